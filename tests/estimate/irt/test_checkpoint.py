"""Checkpoints: resumed, refused where they belong to something else, replaced atomically."""

from __future__ import annotations

import numpy as np
import pytest

from jmix.errors import DataError
from jmix.estimate.irt.checkpoint import Checkpoint, checkpoint_for, data_fingerprint, spec_fingerprint
from jmix.responses.read import read_responses
from jmix.spec.irt.build import build_spec


@pytest.fixture(scope="module")
def table():
    return (np.random.default_rng(0).random((50, 4)) < 0.5).astype(np.int8)


def test_written_and_resumed(tmp_path):
    own = Checkpoint(tmp_path / "fit.npz", "key", every=0.0)
    start = np.zeros(3)
    assert own.resume(start) is start
    own.visit(np.array([1.0, 2.0, 3.0]), -10.0)
    own.visit(np.array([9.0, 9.0, 9.0]), -11.0)
    other = Checkpoint(tmp_path / "fit.npz", "key")
    assert other.resume(start).tolist() == [1.0, 2.0, 3.0]
    assert other.best == -10.0
    assert [path.name for path in tmp_path.iterdir()] == ["fit.npz"]
    other.remove()
    assert not list(tmp_path.iterdir())


def test_not_too_often(tmp_path):
    own = Checkpoint(tmp_path / "fit.npz", "key", every=1000.0)
    own.visit(np.ones(1), 1.0)
    own.visit(np.full(1, 2.0), 2.0)
    assert Checkpoint(tmp_path / "fit.npz", "key").resume(np.zeros(1)).tolist() == [1.0]


def test_refused(tmp_path):
    path = tmp_path / "fit.npz"
    Checkpoint(path, "key", every=0.0).visit(np.ones(2), 1.0)
    with pytest.raises(DataError, match="other data or another model"):
        Checkpoint(path, "another").resume(np.zeros(2))
    with pytest.raises(DataError, match="other data or another model"):
        Checkpoint(path, "key").resume(np.zeros(3))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match="cannot be read"):
        Checkpoint(path, "key").resume(np.zeros(2))


def test_a_file_with_pickled_objects_is_refused(tmp_path):
    path = tmp_path / "fit.npz"
    np.savez(path, format=1, key="key", x=np.array([object()]), value=1.0)
    with pytest.raises(DataError, match="cannot be read"):
        Checkpoint(path, "key").resume(np.zeros(1))


def test_a_folder_that_does_not_exist(tmp_path, table):
    data = read_responses(table)
    spec, _ = build_spec(data, "2PL")
    with pytest.raises(DataError, match="no folder"):
        checkpoint_for(tmp_path / "nowhere" / "fit.npz", spec, data)


def test_keys_tell_models_and_data_apart(tmp_path, table):
    data = read_responses(table)
    specs = [
        build_spec(data, "2PL")[0],
        build_spec(data, "Rasch")[0],
        build_spec(data, "2PL", fixed={"a1[Item.1]": 1.0})[0],
        build_spec(data, "2PL", fixed={"a1[Item.1]": 2.0})[0],
        build_spec(data, "2PL", priors={"a": "lognormal(0, 1)"})[0],
    ]
    assert len({spec_fingerprint(spec) for spec in specs}) == len(specs)
    assert spec_fingerprint(build_spec(data, "2PL", start={"d[Item.1]": 0.5})[0]) == spec_fingerprint(specs[0])
    other = table.copy()
    other[3, 2] = 1 - other[3, 2]
    assert data_fingerprint(read_responses(table.copy())) == data_fingerprint(data)
    assert data_fingerprint(read_responses(other)) != data_fingerprint(data)
    own = checkpoint_for(tmp_path / "a.npz", specs[0], data)
    assert (
        own.key
        == checkpoint_for(tmp_path / "b.npz", specs[0], data).key
        != checkpoint_for(tmp_path / "a.npz", specs[1], data).key
    )
