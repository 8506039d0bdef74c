"""Files of every kind and of every habit become the same data frame."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from jmix import cli_fit, cli_tables
from jmix.cli import main


def read(path: str, **options: Any) -> pd.DataFrame:
    return cli_tables.read_table(Path(path), cli_tables.TextOptions(**options))


@pytest.mark.parametrize("name", ["s.csv", "s.csv.gz", "s.tsv", "s.TSV.gz", "s.parquet"])
def test_every_kind_of_file_gives_the_same_frame(folder: Path, name: str, sleepstudy: pd.DataFrame) -> None:
    data = sleepstudy.assign(Subject="s" + sleepstudy["Subject"].astype(str))
    cli_tables.write_table(data, Path(name))
    back = read(name)
    assert isinstance(back["Subject"].dtype, pd.CategoricalDtype)
    pd.testing.assert_frame_equal(back.astype({"Subject": str}), data.astype({"Subject": str}))


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (b"y,g\n1.5,a\xc3\xa9\n2.5,b\n", {}),
        (b"\xef\xbb\xbfy,g\n1.5,a\xc3\xa9\n2.5,b\n", {}),
        ("y,g\n1.5,aé\n2.5,b\n".encode("utf-16"), {}),
        ("y,g\n1.5,aé\n2.5,b\n".encode("utf-16-be"), {"encoding": "utf-16-be"}),
        (b"y;g\n1,5;a\xe9\n2,5;b\n", {"encoding": "latin-1", "sep": ";", "decimal": ","}),
        (b"y, g\r\n1.5, a\xc3\xa9\r\n2.5, b\r\n", {}),
        (b"y\tg\n1.5\ta\xc3\xa9\n2.5\tb\n", {"sep": "tab"}),
    ],
)
def test_text_as_spreadsheets_write_it(folder: Path, content: bytes, options: dict[str, str]) -> None:
    Path("t.csv").write_bytes(content)
    frame = read("t.csv", **options)
    assert frame["y"].tolist() == [1.5, 2.5]
    assert frame["g"].tolist() == ["aé", "b"]


def test_missing_values_are_not_levels_but_none_is(folder: Path) -> None:
    Path("t.csv").write_text("y,g\n1,None\nNA,a\n3,NA\n-99,\n.,b\n", encoding="utf-8")
    frame = read("t.csv", na=["-99", "."])
    assert frame["y"].isna().tolist() == [False, True, False, True, True]
    assert frame["g"].cat.categories.tolist() == ["None", "a", "b"]


def test_a_repeated_column_is_ambiguous_only_when_used(folder: Path, refuse: Callable[..., str]) -> None:
    Path("t.csv").write_text("y,x,x,z.1\n1,2,3,1\n2,3,4,5\n3,1,1,2\n4,2,2,2\n", encoding="utf-8")
    assert main(["fit", "t.csv", "y ~ z.1", "--quiet"]) == 0
    assert "2 columns named 'x'" in refuse("fit", "t.csv", "y ~ x")
    assert "several columns" in refuse("fit", "t.csv", "y ~ x", "--factor", "x")


def test_r_row_names_stay_out_of_the_columns(folder: Path) -> None:
    Path("t.csv").write_text('"y","g"\n"r1",1,"a"\n"r2",2,"b"\n', encoding="utf-8")
    frame = read("t.csv")
    assert frame.columns.tolist() == ["y", "g"]
    assert frame.index.tolist() == ["r1", "r2"]


def test_row_names_that_are_numbers_are_not_counted_on(folder: Path) -> None:
    rows = "".join(f"{i},{i % 7},{i % 3}\n" for i in range(11, 31))
    Path("t.csv").write_text(f"y,x\n{rows}", encoding="utf-8")
    assert main(["fit", "t.csv", "y ~ x", "--quiet", "--out", "o"]) == 0
    assert pd.read_csv("o/augment.csv")["row"].tolist() == list(range(11, 31))


def test_the_index_of_a_parquet_file_is_a_column(folder: Path) -> None:
    pd.DataFrame({"y": [1.0, 2.0]}, index=pd.Index(["a", "b"], name="g")).to_parquet("t.parquet")
    assert read("t.parquet").columns.tolist() == ["g", "y"]
    pd.DataFrame({"y": [1.0, 2.0]}, index=pd.Index(["a", "b"], name="y")).to_parquet("u.parquet", index=False)
    assert read("u.parquet").columns.tolist() == ["y"]


def test_a_numeric_column_becomes_a_factor_in_its_place(folder: Path) -> None:
    pd.DataFrame({1: [1.0, 2.0], "y": [3.0, 4.0]}).rename(columns=str).to_csv("t.csv", index=False)
    frame = cli_fit.as_factors(read("t.csv"), ["1"])
    assert isinstance(frame["1"].dtype, pd.CategoricalDtype)
    assert frame.columns.tolist() == ["1", "y"]
