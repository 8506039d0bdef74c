"""The result of a streamed fit against that of the same fit in memory."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import jmix
from jmix.errors import DataError
from jmix.estimate.irt.stream_fit import fit_stream
from jmix.likelihood.irt import stream_source
from jmix.likelihood.irt.marginal import Integration
from jmix.results.irt.streamed import streamed_fit

GRID = Integration(nodes=41)


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    theta = rng.standard_normal((1536, 1))
    table = rng.random((1536, 9)) < 1 / (1 + np.exp(-(theta + rng.normal(0, 1, 9))))
    return pd.DataFrame(table.astype(np.int8), columns=[f"i{j}" for j in range(9)]).assign(w=rng.integers(1, 3, 1536))


@pytest.fixture(scope="module")
def fits(frame):
    before = stream_source.STEP, stream_source.BLOCK_BYTES
    stream_source.STEP, stream_source.BLOCK_BYTES = 512, 512 * 9

    def pieces():
        for start in (0, 512, 1024):
            yield frame.iloc[start : start + 512]

    streamed = streamed_fit(fit_stream(pieces, "2PL", weights="w", subsample=512, integration=GRID))
    stream_source.STEP, stream_source.BLOCK_BYTES = before
    return streamed, jmix.irt(frame, itemtype="2PL", weights="w", integration=GRID)


def test_estimates_are_those_of_all_persons(fits):
    streamed, whole = fits
    assert streamed.nobs == whole.nobs
    assert streamed.n_persons == 1536
    assert streamed.bic == pytest.approx(whole.bic, abs=1e-6)
    pd.testing.assert_frame_equal(streamed.items(), whole.items(), atol=1e-5, rtol=1e-4)


def test_scores_of_all_persons(fits, tmp_path):
    streamed, whole = fits
    wanted = whole.scores("EAP")
    found = pd.concat(streamed.score_blocks())
    assert np.allclose(found, wanted, atol=1e-5)
    assert list(found.columns) == list(wanted.columns)
    assert streamed.write_scores(tmp_path / "scores.csv") == 1536
    assert np.allclose(pd.read_csv(tmp_path / "scores.csv", index_col="person"), wanted, atol=1e-5)
    with pytest.raises(DataError, match=r"\.csv or a \.parquet"):
        streamed.write_scores(tmp_path / "scores.xlsx")


def test_scores_in_parquet(fits, tmp_path):
    pytest.importorskip("pyarrow")
    streamed, whole = fits
    assert streamed.write_scores(tmp_path / "scores.parquet") == 1536
    found = pd.read_parquet(tmp_path / "scores.parquet").set_index("person")
    assert np.allclose(found, whole.scores("EAP"), atol=1e-5)


def test_scores_of_the_sample(fits):
    streamed, _ = fits
    assert len(streamed.scores("EAP")) == streamed.responses.n_persons < 1536
    assert "2PL" in str(streamed.summary())
