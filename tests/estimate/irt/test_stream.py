"""Fits of streamed responses against the same fit in memory."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pytest

from jmix.errors import DataError, ModelError
from jmix.estimate.irt.fit import FitOptions, fit_irt
from jmix.estimate.irt.sample import take_sample
from jmix.estimate.irt.start import start_values
from jmix.estimate.irt.stochastic import StochasticOptions
from jmix.estimate.irt.stream_fit import fit_stream, two_stage_start
from jmix.likelihood.irt import stream_source
from jmix.likelihood.irt.build import build_marginal
from jmix.likelihood.irt.marginal import Integration
from jmix.likelihood.irt.stream_coding import find_coding
from jmix.likelihood.irt.stream_source import open_source
from jmix.responses.read import read_responses
from jmix.spec.irt.build import build_spec

GRID = Integration(nodes=41)
N, J = 3072, 10


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    a, d, theta = rng.lognormal(0, 0.3, J), rng.normal(0, 1, J), rng.standard_normal(N)
    group = np.where(rng.random(N) < 0.5, "x", "y")
    theta = theta + 0.5 * (group == "y")
    table = (rng.random((N, J)) < 1 / (1 + np.exp(-(theta[:, None] * a + d)))).astype(np.int8)
    out = pd.DataFrame(table, columns=[f"i{j}" for j in range(J)])
    return out.assign(w=rng.integers(1, 4, N), g=group)


@pytest.fixture(scope="module")
def path(frame, tmp_path_factory):
    pytest.importorskip("pyarrow")
    file = tmp_path_factory.mktemp("stream") / "responses.parquet"
    frame.to_parquet(file, row_group_size=768)
    return file


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(stream_source, "STEP", 256)
    monkeypatch.setattr(stream_source, "BLOCK_BYTES", 1024 * J)
    monkeypatch.setattr("jmix.likelihood.irt.stream.REPEATING", 0.0)


@pytest.fixture(scope="module")
def in_memory(frame):
    data = read_responses(frame, weights="w", group="g")
    spec, _ = build_spec(data, "2PL")
    sample = take_sample(data)
    start = start_values(spec, sample)
    return fit_irt(build_marginal(spec, data, GRID), sample, start, FitOptions(refine=False))[0]


def agrees(found, other):
    assert found.status.converged
    assert found.loglik == pytest.approx(other.loglik, abs=1e-7)
    se = np.sqrt(np.diag(other.vcov))
    assert np.all(np.abs(found.x - other.x) < 1e-4 * se)
    assert np.allclose(np.sqrt(np.diag(found.vcov)), se, rtol=1e-5)


def test_a_file_gives_the_answer_of_memory(path, in_memory, tmp_path):
    keep = tmp_path / "point.npz"
    found = fit_stream(path, "2PL", weights="w", group="g", subsample=1024, integration=GRID, memory=0, checkpoint=keep)
    agrees(found.solution, in_memory)
    assert found.n_persons == N
    assert found.solution.spec.groups == ("x", "y")
    assert found.n_passes <= 12
    assert not keep.exists()


@pytest.mark.parametrize("share", [0.0, pytest.param(0.9, id="equal patterns together")])
def test_small_blocks_are_read_once(path, in_memory, monkeypatch, share):
    monkeypatch.setattr("jmix.likelihood.irt.stream.REPEATING", share)
    found = fit_stream(path, "2PL", weights="w", group="g", subsample=1024, integration=GRID)
    agrees(found.solution, in_memory)
    assert found.n_passes == 1


@pytest.mark.slow
def test_stochastic_steps_then_passes(path, in_memory):
    options = StochasticOptions(epochs=4)
    found = fit_stream(
        path, "2PL", weights="w", group="g", subsample=1024, integration=GRID, method="stochastic",
        stochastic_options=options,
    )  # fmt: skip
    agrees(found.solution, in_memory)


@pytest.mark.slow
def test_pieces_from_a_function(frame, in_memory):
    def pieces():
        for start in (0, 1024, 2048):
            yield frame.iloc[start : start + 1024]

    found = fit_stream(pieces, "2PL", weights="w", group="g", subsample=1024, integration=GRID)
    agrees(found.solution, in_memory)


def test_patterns_that_outgrow_the_memory(path, in_memory, monkeypatch):
    """Put together at first, then block by block."""
    from jmix.likelihood.irt.stream import StreamMarginal

    monkeypatch.setattr("jmix.likelihood.irt.stream.REPEATING", 0.9)
    opened = open_source(path, other=["w", "g"])
    coding, _ = find_coding(opened, 512, "w", "g")
    spec = in_memory.spec
    for memory, passes in ((0, 2), (700 * J, 2), (10**8, 1)):
        stream = StreamMarginal(spec, GRID, opened, coding, memory=memory)
        for _ in range(2):
            assert stream.value_and_grad(in_memory.x)[0] == pytest.approx(in_memory.loglik, abs=1e-7)
        assert stream.n_passes == passes


@pytest.mark.slow
def test_methods_of_the_stream_are_those_of_memory(path, frame):
    opened = open_source(path, other=["w", "g"])
    coding, sample = find_coding(opened, 512, "w", "g")
    assert sample.n_persons == 512
    from jmix.likelihood.irt.stream import StreamMarginal

    data = read_responses(frame, weights="w", group="g")
    spec, _ = build_spec(data, "2PL")
    stream, whole = StreamMarginal(spec, GRID, opened, coding), build_marginal(spec, data, GRID)
    x = spec.table.values[spec.table.free] + 0.1
    value, gradient, hessian = stream.value_gradient_hessian(x)
    assert value == pytest.approx(whole.value_and_grad(x)[0], abs=1e-8)
    assert np.allclose(gradient, whole.value_and_grad(x)[1], atol=1e-8)
    assert np.allclose(hessian, whole.hessian(x), atol=1e-7)
    assert np.allclose(stream.by_person(x), whole.by_person(x), atol=1e-10)
    assert np.allclose(stream.moments(x).mean, whole.moments(x).mean, atol=1e-10)
    with pytest.raises(ModelError, match="traceable"):
        stream.log_marginal(x, None)


@pytest.mark.slow
def test_a_sample_gives_a_start(frame, in_memory):
    data = read_responses(frame, weights="w", group="g")
    spec, _ = build_spec(data, "2PL")
    x, hessian = two_stage_start(data, spec, start_values(spec, take_sample(data)), integration=GRID, subsample=1024)
    se = np.sqrt(np.diag(in_memory.vcov))
    assert np.all(np.abs(x - in_memory.x) < 10 * se)
    ratio = np.diag(hessian) / np.diag(build_marginal(spec, data, GRID).hessian(in_memory.x))
    assert np.all((ratio > 0.5) & (ratio < 2.0))


# --- values -----------------------------------------------------------------------------------------------------------
def coded(pieces, **options):
    opened = open_source(lambda: iter(pieces))
    coding, _ = find_coding(opened, 10, **options)
    return coding, np.concatenate([coding.responses(block).table for block in opened.blocks()])


def test_categories_of_all_pieces_are_known_before_the_first():
    first = pd.DataFrame({"a": [1, 2, 1], "b": ["lo", "hi", None]})
    second = pd.DataFrame({"a": [4, 1, -1], "b": ["mid", "lo", "lo"]})
    coding, table = coded([first, second])
    assert coding.labels == ((1, 2, 4), ("hi", "lo", "mid"))
    assert table[:, 0].tolist() == [0, 1, 0, 2, 0, -1]
    assert table[:, 1].tolist() == [1, 0, -1, 2, 1, 1]
    whole = read_responses(pd.concat([first, second]))
    assert np.array_equal(whole.table, table)


def test_missing_floats_and_truth_values():
    piece = pd.DataFrame({"a": [1.0, np.nan, 0.0], "b": [True, False, True], "c": pd.array([1, None, 0], "Int8")})
    coding, table = coded([piece, piece])
    assert table[:3].tolist() == [[1, 1, 1], [-1, 0, -1], [0, 1, 0]]
    assert coding.n == 6


def test_nulls_in_a_file(tmp_path):
    pytest.importorskip("pyarrow")
    piece = pd.DataFrame({"a": pd.array([1, None, 0, 1], "Int8"), "b": pd.array([0, 1, 1, None], "UInt8")})
    piece.to_parquet(tmp_path / "p.parquet")
    opened = open_source(tmp_path)
    coding, sample = find_coding(opened, 10)
    assert coding.labels == ((0, 1), (0, 1))
    assert sample.table.tolist() == [[1, 0], [-1, 1], [0, 1], [1, -1]]


def test_statistics_do_not_hide_an_empty_middle(tmp_path):
    """Extremes 0 and 2 do not tell whether anybody answered 1."""
    pytest.importorskip("pyarrow")
    pd.DataFrame({"a": [0, 2, 2, 0], "b": [0, 1, 2, 1]}).to_parquet(tmp_path / "p.parquet")
    coding, _ = find_coding(open_source(tmp_path / "p.parquet"), 10)
    assert coding.labels == ((0, 2), (0, 1, 2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: iter([np.zeros((3, 2))]), "read only once"),
        (lambda: 3, "give the path"),
        (lambda: "nowhere.parquet", "no file nowhere.parquet"),
        (lambda: lambda: iter([]), "empty"),
        (lambda: lambda: iter([np.array([[0, 1], [0, 0]])]), "item 'Item.1' has one category"),
        (lambda: lambda: iter([np.eye(2, dtype=int), np.zeros((2, 3), int)]), r"shape \(2, 3\)"),
    ],
)
def test_what_cannot_be_read(make, message):
    with pytest.raises(DataError, match=message):
        fit_stream(make(), "2PL")


def test_columns_and_weights(path, frame):
    with pytest.raises(DataError, match=r"no column 'i99': did you mean 'i[0-9]'"):
        fit_stream(path, "2PL", items=["i0", "i99"])
    bad = frame.assign(w=np.where(np.arange(N) == 7, 0.0, frame["w"]))
    with pytest.raises(DataError, match=r"row 7 has the weight 0\.0"):
        fit_stream(lambda: iter([bad]), "2PL", weights="w", group="g", subsample=10 * N)
    with pytest.raises(ModelError, match="'newton' or 'stochastic'"):
        fit_stream(path, "2PL", method="em")
    with pytest.raises(ModelError, match="formula"):
        fit_stream(path, "2PL", formula="~ w", weights="w", group="g")


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path):
    """Five times the persons, 250 MB more of responses as the file has them, in the memory of the first fit."""
    pytest.importorskip("pyarrow")
    program = textwrap.dedent(
        """
        import resource, sys
        import numpy as np, pyarrow as pa, pyarrow.parquet as pq
        from jmix.estimate.irt.stream_fit import fit_stream
        from jmix.likelihood.irt import stream_source
        from jmix.likelihood.irt.marginal import Integration
        folder, j, rows = sys.argv[1], 40, 98_304
        stream_source.BLOCK_BYTES = rows * j
        rng = np.random.default_rng(0)
        a, d = rng.lognormal(0, 0.3, j), rng.normal(0, 1, j)
        schema = pa.schema([(f"i{k}", pa.int64()) for k in range(j)])
        peaks = []
        for blocks in (2, 10):
            path = f"{folder}/{blocks}.parquet"
            with pq.ParquetWriter(path, schema) as writer:
                for _ in range(2 * blocks):
                    theta = rng.standard_normal((rows // 2, 1))
                    y = (rng.random((rows // 2, j)) < 1 / (1 + np.exp(-(theta * a + d)))).astype(np.int64)
                    writer.write_table(pa.table({f"i{k}": y[:, k] for k in range(j)}, schema=schema))
            fit = fit_stream(path, "2PL", subsample=20_000, integration=Integration(nodes=31), memory=0)
            own = fit.solution
            assert own.status.converged, own.status
            z = (own.x - np.stack([a, d], 1).ravel()) / np.sqrt(np.diag(own.vcov))
            assert abs(np.mean(z**2) - 1) < 0.6, np.mean(z**2)
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)
        print(peaks)
        assert peaks[1] - peaks[0] < 120, peaks
        """
    )
    out = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
