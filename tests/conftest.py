"""Fixtures that all tests share."""

from __future__ import annotations

import functools
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

REPO = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("JMIX_SHARED", REPO.parent / "shared"))


@functools.cache
def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def repo() -> Path:
    """The root of the repository."""
    return REPO


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder with ``data/`` and ``reference/``: $JMIX_SHARED, or ``shared`` beside the repository."""
    if not (SHARED / "reference").is_dir():
        pytest.skip(f"no reference files: {SHARED} has no folder 'reference'; JMIX_SHARED can name another place")
    return SHARED


@pytest.fixture(scope="session")
def reference(shared_dir: Path) -> Callable[[str], Any]:
    """A loader: ``reference("lmm")`` is the content of ``reference/lmm.json``, shared by all tests."""

    def load(name: str) -> Any:
        path = shared_dir / "reference" / f"{name}.json"
        if not path.is_file():
            pytest.skip(f"no reference file {path}")
        return _read_json(path)

    return load


@pytest.fixture(scope="session")
def rscript() -> str:
    """The path of Rscript; tests that use it carry the mark ``r``."""
    path = shutil.which("Rscript")
    if path is None:
        pytest.skip("Rscript is not installed")
    return path
