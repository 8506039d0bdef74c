"""``jmix info``: what a bug report needs to say about the machine, and the compilation cache."""

from __future__ import annotations

import os
import platform
import re
from argparse import Namespace
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import jmix
from jmix.errors import DataError
from jmix.runtime import cache_dir

PACKAGES = (
    "jax", "jaxlib", "jaxopt", "optax", "numpyro", "numpy", "scipy", "pandas", "formulaic", "narwhals",
    "pyarrow", "polars",
)  # fmt: skip

_COMPILED = re.compile(r".+-[0-9a-f]{64}-(cache|atime)")


def run(options: Namespace) -> int:
    """Print the facts, one a line; with ``--clear-cache`` empty the cache first."""
    if options.clear_cache:
        print(clear_cache())
    facts = [("jmix", jmix.__version__), ("python", f"{platform.python_version()} on {platform.platform()}")]
    facts += [(name, version(name)) for name in PACKAGES]
    facts += [*devices(), ("cache", cache_line())]
    width = max(len(name) for name, _ in facts)
    print("\n".join(f"{name:<{width}}  {value}" for name, value in facts))
    return 0


def version(package: str) -> str:
    """The installed version of a package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def devices() -> Iterator[tuple[str, str]]:
    """The devices that JAX sees, the one that jmix computes on, and the type of its numbers."""
    import numpy as np

    from jmix.runtime import default_device, put

    try:
        import jax

        names = ", ".join(f"{device} ({device.device_kind})" for device in jax.devices())
        used, precision = str(default_device()), str(put(np.zeros(1)).dtype)
    except Exception as error:  # what JAX raises depends on the driver and the platform
        yield "devices", f"JAX cannot start: {' '.join(str(error).split()) or type(error).__name__}"
        return
    yield "devices", f"{names}; jmix computes on {used}"
    yield "precision", f"{precision}, for jmix's own programs only"


def compiled_programs(folder: Path) -> list[Path]:
    """The files that JAX's cache has made in a folder; any others are not ours to count or remove."""
    try:
        return [file for file in folder.iterdir() if _COMPILED.fullmatch(file.name) and file.is_file()]
    except OSError:
        return []


def cache_line() -> str:
    """Where compiled programs are kept, and how much they take."""
    own = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    if own:
        return f"JAX's own, in {own} (JAX_COMPILATION_CACHE_DIR)"
    folder = cache_dir()
    if folder is None:
        return "off (JMIX_CACHE_DIR)"
    files = compiled_programs(folder)
    present = next((place for place in (folder, *folder.absolute().parents) if place.exists()), folder)
    state = "on" if present.is_dir() and os.access(present, os.W_OK) else "off, because the folder cannot be written"
    return f"{state}, {folder}: {_amount(files)}"


def clear_cache() -> str:
    """Remove the compiled programs; says how many.

    Raises:
        DataError: a file cannot be removed.
    """
    folder = cache_dir()
    files = [] if folder is None else compiled_programs(folder)
    amount = _amount(files)
    for file in files:
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            raise DataError(f"cannot remove {str(file)!r} from the cache: {error.strerror or error}") from error
    return f"Removed {amount}, from the cache"


def _amount(files: list[Path]) -> str:
    programs = sum(file.name.endswith("-cache") for file in files)
    return f"{programs} program{'' if programs == 1 else 's'}, {sum(map(_size, files)) / 1e6:.1f} MB"


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0
