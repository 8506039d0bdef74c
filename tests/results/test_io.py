"""Fits written to disk and read again."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import jmix
from jmix import DataError
from jmix.results.fit import Fit


def _sleep() -> pd.DataFrame:
    return jmix.load_data("sleepstudy")


def _transformed() -> Fit:
    d = _sleep().assign(w=np.linspace(0.5, 2, 180), o=np.linspace(0, 9, 180))
    d["half"] = pd.Categorical(np.where(d.Days > 4, "late", "early"))
    d.loc[3, "Reaction"] = np.nan
    fixed = "log(Reaction) ~ poly(Days, 2) + bs(Days, df = 4) + C(half, Sum) + offset(o / 100)"
    return jmix.lmm(f"{fixed} + (1 + Days || Subject)", d, weights="w", offset="o", reml=False)


def _vector_crossed() -> Fit:
    d = jmix.load_data("Penicillin")
    d["dose"] = np.arange(len(d)) % 5 + 0.5
    return jmix.lmm("diameter ~ 1 + (0 + dose | sample) + (1 | plate)", d)


MAKERS = {
    "slope": lambda: jmix.lmm("Reaction ~ Days + (Days | Subject)", _sleep()),
    "transformed": _transformed,
    "crossed": _vector_crossed,
    "nested": lambda: jmix.lmm("strength ~ 1 + (1 | batch/cask)", jmix.load_data("Pastes")),
    "singular": lambda: jmix.lmm("Reaction ~ Days + (1 | Subject) + (1 | g)", _sleep().assign(g=np.arange(180) % 7)),
    "least squares": lambda: jmix.lm("Reaction ~ Days", _sleep()),
}


@pytest.mark.parametrize("name", MAKERS)
def test_round_trip(name: str, tmp_path: Path) -> None:
    fit = MAKERS[name]()
    path = tmp_path / "a fit.of.mine"
    fit.save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["a fit.of.mine"]
    back = jmix.load_fit(path)
    assert type(back) is Fit
    for frame in (Fit.fixef, Fit.se, Fit.vcov, Fit.varcorr, Fit.fitted, Fit.leverage, Fit.residuals):
        before, after = frame(fit), frame(back)
        (pd.testing.assert_frame_equal if before.ndim == 2 else pd.testing.assert_series_equal)(before, after)
    for scalar in ("sigma", "loglik", "aic", "bic", "deviance", "criterion", "method", "formula", "npar", "status"):
        assert getattr(fit, scalar) == getattr(back, scalar), scalar
    for group, table in fit.ranef().items():
        pd.testing.assert_frame_equal(table, back.ranef()[group])
        pd.testing.assert_frame_equal(fit.ranef_sd()[group], back.ranef_sd()[group])
    pd.testing.assert_frame_equal(fit.simulate(2, seed=4), back.simulate(2, seed=4))
    assert list(back.design.dropped) == list(fit.design.dropped)


def test_a_read_fit_predicts_new_data_as_the_original(tmp_path: Path) -> None:
    fit = _transformed()
    fit.save(tmp_path / "fit.npz")
    new = pd.DataFrame({"Days": [0.5, 8.5], "half": ["early", "late"], "o": [1.0, 2.0], "Subject": ["308", "372"]})
    pd.testing.assert_frame_equal(jmix.load_fit(tmp_path / "fit.npz").predict(new, se=True), fit.predict(new, se=True))


def test_a_read_fit_refits_and_prints(tmp_path: Path) -> None:
    fit = MAKERS["crossed"]()
    fit.save(tmp_path / "fit.npz")
    back = jmix.load_fit(tmp_path / "fit.npz")
    assert str(back) == str(fit)
    response = fit.simulate(1, seed=2)["sim_1"].to_numpy()
    again, expected = back.refit(response), fit.refit(response)
    assert again.criterion == expected.criterion
    pd.testing.assert_series_equal(again.theta, expected.theta)


def test_a_posterior_mode_keeps_its_covariance(tmp_path: Path) -> None:
    fit = jmix.model("Reaction ~ Days + (Days | Subject)", _sleep()).fit("map")
    fit.save(tmp_path / "fit.npz")
    back = jmix.load_fit(tmp_path / "fit.npz")
    assert back.method == "MAP"
    pd.testing.assert_frame_equal(back.laplace(), fit.laplace())


def test_a_read_fit_can_be_saved_again(tmp_path: Path) -> None:
    fit = MAKERS["slope"]()
    fit.save(tmp_path / "one.npz")
    jmix.load_fit(tmp_path / "one.npz").save(tmp_path / "two.npz")
    with np.load(tmp_path / "one.npz") as one, np.load(tmp_path / "two.npz") as two:
        assert one.files == two.files
        assert all(np.array_equal(one[name], two[name]) for name in one.files)


INDEXES = {
    "range": pd.RangeIndex(3, 9, 2, name="row"),
    "integers": pd.Index([7, 1, 7]),
    "text": pd.Index(["a", "é", "c"], name="who"),
    "dates": pd.DatetimeIndex(["2026-01-01", "2026-02-03", "2025-01-01"], name="day"),
    "zoned": pd.DatetimeIndex(["2026-03-29", "2026-03-30"], tz="Europe/Berlin"),
    "multi": pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)], names=["g", None]),
    "mixed": pd.Index(["a", 1, 2.5], dtype=object),
}


@pytest.mark.parametrize("kind", INDEXES)
def test_the_index_survives(kind: str) -> None:
    from jmix.results.index import decode_index, encode_index

    arrays: dict[str, Any] = {}
    meta = json.loads(json.dumps(encode_index(INDEXES[kind], "index", arrays)))
    pd.testing.assert_index_equal(decode_index(meta, arrays), INDEXES[kind])
    assert all(a.dtype != object for a in arrays.values())


def _archive(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


def _rewrite(path: Path, **changes: Any) -> None:
    arrays = _archive(path) | changes
    np.savez(path, **{k: v for k, v in arrays.items() if v is not None})


def _meta(path: Path, **changes: Any) -> np.ndarray:
    meta = json.loads(_archive(path)["meta"].tobytes()) | changes
    return np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)


def _pickled() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, meta=np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def _npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ones(3))
    return buffer.getvalue()


def _foreign() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, a=np.ones(3))
    return buffer.getvalue()


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("readme.txt", "hello")
    return buffer.getvalue()


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04broken", _pickled(), _npy(), _foreign(), _zip()])
def test_foreign_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"x\.npz.*fit and save"):
        jmix.load_fit(path)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("saved") / "fit.npz"
    MAKERS["slope"]().save(path)
    return path.read_bytes()


DAMAGE: dict[str, dict[str, Any]] = {
    "no response": {"y": None},
    "a short response": {"y": np.ones(5)},
    "a flat X": {"X": np.ones(180)},
    "text for numbers": {"y": np.array(["a"] * 180)},
    "codes beyond the levels": {"random.0.codes": np.full(180, 99, dtype=np.int32)},
    "negative codes": {"random.0.codes": np.full(180, -1, dtype=np.int32)},
    "a long theta": {"solution.theta": np.ones(7)},
    "no contrast": {"solution.contrast": None},
    "constant y that X fits": {"y": np.zeros(180), "X": np.zeros((180, 2))},
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_files_are_refused(damage: str, saved: bytes, tmp_path: Path) -> None:
    path = tmp_path / "fit.npz"
    path.write_bytes(saved)
    _rewrite(path, **DAMAGE[damage])
    with pytest.raises(DataError, match="damaged"):
        jmix.load_fit(path)


def test_damaged_descriptions_are_refused(saved: bytes, tmp_path: Path) -> None:
    path = tmp_path / "fit.npz"
    for changes in ({"spec": []}, {"design": {}}, {"solution": None}, {"design": [1]}):
        path.write_bytes(saved)
        _rewrite(path, meta=_meta(path, **changes))
        with pytest.raises(DataError, match="damaged"):
            jmix.load_fit(path)


def test_a_truncated_file_is_refused(saved: bytes, tmp_path: Path) -> None:
    path = tmp_path / "fit.npz"
    for keep in (10, len(saved) // 2, len(saved) - 30):
        path.write_bytes(saved[:keep])
        with pytest.raises(DataError, match="fit and save"):
            jmix.load_fit(path)


def test_a_later_format_is_refused(saved: bytes, tmp_path: Path) -> None:
    path = tmp_path / "fit.npz"
    path.write_bytes(saved)
    _rewrite(path, meta=_meta(path, format=99))
    with pytest.raises(DataError, match="format 99"):
        jmix.load_fit(path)


def test_paths_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no file"):
        jmix.load_fit(tmp_path / "nothing.npz")
    fit = MAKERS["least squares"]()
    with pytest.raises(DataError, match="cannot write"):
        fit.save(tmp_path / "no" / "folder" / "fit.npz")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="cannot write"):
        fit.save(tmp_path / "folder")
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]
