"""A long fit's best point on disk, from which it goes on after an interruption."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.errors import DataError
from jmix.responses.data import Responses
from jmix.spec.irt.spec import IrtSpec

FloatArray = npt.NDArray[np.float64]

EVERY = 10.0
"""Seconds between two writes at least."""

FORMAT = 1
SAMPLED = 2**26
"""Bytes of an array that enter its fingerprint: of larger ones evenly spaced pieces."""


@dataclass
class Checkpoint:
    """Best point so far of one fit, in an npz file without pickled objects.

    Attributes:
        path: the file. key: of the data and the specification; a file with another key is refused. every: seconds
            between writes. written: whether this run wrote one.
    """

    path: Path
    key: str
    every: float = EVERY
    written: bool = False
    best: float = -np.inf
    _last: float = field(default=-np.inf, repr=False)

    def resume(self, start: FloatArray) -> FloatArray:
        """The point to go on from: that of the file, or ``start`` (P,) where there is none.

        Raises:
            DataError: the file cannot be read, or belongs to other data or another model.
        """
        if not self.path.exists():
            return start
        try:
            with np.load(self.path, allow_pickle=False) as archive:
                found = {name: archive[name] for name in ("format", "key", "x", "value")}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(f"the checkpoint {self.path} cannot be read ({error}): delete it to start anew") from None
        x = np.asarray(found["x"], dtype=np.float64)
        if int(found["format"]) != FORMAT or str(found["key"]) != self.key or x.shape != start.shape:
            raise DataError(
                f"the checkpoint {self.path} belongs to other data or another model: delete it or name another file"
            )
        self.best = float(found["value"])
        return x

    def visit(self, x: FloatArray, value: float) -> None:
        """Keep x (P,) if its objective ``value`` is the best and the last write is some seconds ago."""
        if not value > self.best or not np.all(np.isfinite(x)):
            return
        now = time.monotonic()
        if now - self._last < self.every:
            return
        self.best, self._last = value, now
        self.write(x, value)

    def write(self, x: FloatArray, value: float) -> None:
        """Replace the file atomically.

        Raises:
            DataError: the folder cannot be written.
        """
        content: dict[str, Any] = {"format": FORMAT, "key": self.key, "x": x, "value": value}
        name = ""
        try:
            with tempfile.NamedTemporaryFile(dir=self.path.parent, suffix=".part", delete=False) as file:
                name = file.name
                np.savez(file, **content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, self.path)
        except OSError as error:
            Path(name).unlink(missing_ok=True) if name else None
            raise DataError(f"the checkpoint {self.path} cannot be written ({error}): name a writable file") from None
        self.written = True

    def remove(self) -> None:
        """Delete the file of a fit that has arrived."""
        self.path.unlink(missing_ok=True)


def checkpoint_for(path: str | Path, spec: IrtSpec, data: Responses | str) -> Checkpoint:
    """A checkpoint of one model on one data set.

    Args:
        data: the responses, or a text that identifies them.

    Raises:
        DataError: the folder does not exist.
    """
    path = Path(path).expanduser()
    if not path.parent.is_dir():
        raise DataError(f"the checkpoint {path} has no folder {path.parent}: create it first")
    key = hashlib.blake2b(digest_size=16)
    key.update(spec_fingerprint(spec).encode())
    key.update((data if isinstance(data, str) else data_fingerprint(data)).encode())
    return Checkpoint(path, key.hexdigest())


def spec_fingerprint(spec: IrtSpec) -> str:
    """A text that differs between models: items, kinds, constraints, fixed numbers and priors, not starting values."""
    key = hashlib.blake2b(digest_size=16)
    table = spec.table
    fixed = table.values.copy()
    fixed[table.free] = 0.0
    key.update(repr((spec.items, spec.factors, spec.groups, table.names, spec.covariates, table.priors)).encode())
    for block in spec.blocks:
        key.update(repr((block.kind, block.columns, block.n_categories)).encode())
        _add(key, block.slopes, block.own)
    _add(key, fixed, table.free, spec.mean, spec.sd, spec.corr, spec.regression, spec.cluster_sd, spec.specific)
    for part in spec.linear:
        _add(key, part.target, part.matrix, part.source)
    return key.hexdigest()


def data_fingerprint(responses: Responses) -> str:
    """A text that differs between data sets."""
    key = hashlib.blake2b(digest_size=16)
    key.update(repr((responses.items, responses.categories, responses.groups)).encode())
    long = responses.long
    parts = [responses.table] if long is None else [long.item, long.value, long.start]
    _add(key, *parts, responses.weights, responses.group, responses.cluster)
    return key.hexdigest()


def _add(key: Any, *arrays: Any) -> None:
    for array in arrays:
        if array is None:
            key.update(b"none")
            continue
        flat = np.ascontiguousarray(array)
        key.update(repr((flat.shape, flat.dtype.str)).encode())
        raw = flat.reshape(-1).view(np.uint8)
        if raw.size <= SAMPLED:
            key.update(raw.data)
            continue
        # of a large array 64 pieces, the first and the last bytes among them
        piece = SAMPLED // 64
        for start in np.linspace(0, raw.size - piece, 64).astype(np.int64):
            key.update(raw[start : start + piece].data)
