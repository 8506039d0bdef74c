"""Results on disk: one ``.npz`` archive of plain arrays and JSON text, no pickle. Nothing in a file is executed."""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from jmix.errors import DataError, JmixError

UNREADABLE = (
    OSError, EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError, NotImplementedError,
    zipfile.BadZipFile, zlib.error, JmixError, np.linalg.LinAlgError,
)  # fmt: skip
"""What reading a file that is not what it claims to be can raise."""

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Kind:
    """What a file holds.

    Attributes:
        name: in the file. noun, verb: what it is and how it is made. reader: the function that reads it.
        format: version of the layout; raised when a reader of the previous one could no longer read the file.
    """

    name: str
    noun: str
    verb: str
    reader: str
    format: int

    @property
    def again(self) -> str:
        """What to do about a file that cannot be read."""
        return f"{self.verb} and save the model again"


FIT = Kind("jmix-fit", "fit", "fit", "jmix.load_fit", 1)
POSTERIOR = Kind("jmix-posterior", "posterior", "sample", "jmix.load_posterior", 1)
GLMM = Kind("jmix-glmm", "fit", "fit", "jmix.load_fit", 1)
IRT = Kind("jmix-irt", "fit", "fit", "jmix.load_fit", 1)
CML = Kind("jmix-cml", "fit", "fit", "jmix.load_fit", 1)
KINDS = {kind.name: kind for kind in (FIT, GLMM, IRT, CML, POSTERIOR)}


def write(path: str | Path, kind: Kind, meta: dict[str, Any], arrays: Arrays) -> None:
    """Write to exactly ``path``; the file appears when it is complete.

    Raises:
        DataError: the folder does not exist or cannot be written.
    """
    target = Path(path)
    text = json.dumps({"kind": kind.name, "format": kind.format, **meta}, default=_plain_number)
    packed = arrays | {"meta": np.frombuffer(text.encode("utf-8"), dtype=np.uint8)}
    partial = target.with_name(f".{target.name}.{uuid4().hex}")
    try:
        try:
            with partial.open("xb") as file:
                np.savez_compressed(file, allow_pickle=False, **packed)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"cannot write {str(target)!r}: {reason}; choose a folder that exists and allows it") from error


def read(path: str | Path, *kinds: Kind) -> tuple[dict[str, Any], Arrays]:
    """The description and the arrays of a file; ``meta["kind"]`` names which of the kinds it is.

    Raises:
        DataError: there is no such file, it is of another kind, it is damaged, or another version of jmix wrote it.
    """
    kind = kinds[0]
    target = Path(path)
    if not target.is_file():
        raise DataError(f"there is no file {str(target)!r}; save a {kind.noun} with {kind.noun}.save(path)")
    try:
        archive = np.load(target, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError("a single array")
        with archive:
            meta = json.loads(archive["meta"].tobytes().decode("utf-8"))
            found = KINDS[meta["kind"]]
            require(isinstance(meta["format"], int))
            arrays = {name: archive[name] for name in archive.files if name != "meta"} if found in kinds else {}
    except UNREADABLE as error:
        raise DataError(
            f"{str(target)!r} is not a {kind.noun} that jmix saved, or it is damaged; {kind.again}"
        ) from error
    if found not in kinds:
        raise DataError(f"{str(target)!r} holds a {found.noun}, not a {kind.noun}; read it with {found.reader}(path)")
    if meta["format"] != found.format:
        raise DataError(
            f"{str(target)!r} has format {meta['format']}, this version of jmix reads {found.format}; {found.again}"
        )
    return meta, arrays


def damaged(path: str | Path, kind: Kind) -> DataError:
    """The error for a file whose parts do not fit together."""
    return DataError(f"{str(Path(path))!r} is a damaged jmix {kind.noun}; {kind.again}")


def floats(values: npt.NDArray[Any], shape: tuple[int, ...] | None = None) -> npt.NDArray[np.float64]:
    """The array, which must hold float64 and have the shape, if one is given."""
    require(values.dtype == np.float64 and (shape is None or values.shape == shape))
    return values


def require(condition: bool) -> None:
    """Raise ValueError unless the condition holds."""
    if not condition:
        raise ValueError("the arrays of the file do not fit together")


def _plain_number(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is not a JSON type")
