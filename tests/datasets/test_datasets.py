"""The data sets that ship, compared with R and with the shared csv files."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jmix.datasets import list_data, load_data
from jmix.errors import DataError

ROWS = {
    "sleepstudy": 180,
    "Dyestuff": 30,
    "Penicillin": 144,
    "Pastes": 60,
    "cbpp": 56,
    "VerbAgg": 7584,
    "InstEval": 73421,
    "MathAchieve": 7185,
    "MathAchSchool": 160,
    "anorexia": 144,
    "Contraception": 1934,
    "bacteria": 220,
    "grouseticks": 403,
    "epil": 236,
    "wine": 72,
    "RatPupWeight": 322,
    "Gasoline": 32,
    "MathExam14W": 729,
    "ConspiracistBeliefs2016": 2449,
}

MISSING = {"ConspiracistBeliefs2016": 106}
"""Missing cells; no other set has any."""

# In R, from the packages' own objects: sum(seq_along(x) * as.numeric(x)), so that a factor counts by its codes and the
# order of rows and of levels matters. MASS's anorexia was interleaved first.
ROW_WEIGHTED_SUMS = {
    "sleepstudy": {"Reaction": 4967738.2834, "Days": 74790, "Subject": 203205},
    "Dyestuff": {"Batch": 2065, "Yield": 710095},
    "Penicillin": {"diameter": 237825, "plate": 171900, "sample": 36960},
    "Pastes": {"strength": 109475.8, "batch": 13035, "cask": 3740, "sample": 37355},
    "cbpp": {"herd": 16908, "incidence": 2523, "size": 23851, "period": 4006},
    "VerbAgg": {
        "Anger": 575167608,
        "Gender": 35438568,
        "item": 474363400,
        "resp": 45512260,
        "id": 4621936080,
        "btype": 59122336,
        "situ": 46738296,
        "mode": 50333112,
        "r2": 40837299,
    },
    "InstEval": {
        "s": 5340047898849,
        "d": 1476558483909,
        "studage": 6947105183,
        "lectage": 7712833363,
        "service": 3869537380,
        "dept": 20186384379,
        "y": 8618410019,
    },
    "MathAchieve": {
        "School": 2097071050,
        "Minority": 32243665,
        "Sex": 39502587,
        "SES": 238650.4,
        "MathAch": 328461896.877,
        "MEANSES": 393188.55,
    },
    "MathAchSchool": {
        "School": 1378160,
        "Size": 14191799,
        "Sector": 18368,
        "PRACAD": 6328.87,
        "DISCLIM": 123.301,
        "HIMINTY": 15929,
        "MEANSES": -88.45,
    },
    "anorexia": {
        "girl": 505452,
        "time": 15696,
        "time01": 5256,
        "Rx": 20488,
        "Treat": 20488,
        "weight": 886838.6,
        "Rx1": 4727,
        "Rx3": 4335,
    },
    "Contraception": {
        "woman": 2413153335,
        "district": 73928501,
        "use": 2630601,
        "livch": 4914149,
        "age": 53401.1479000001,
        "urban": 2409181,
    },
    "bacteria": {"y": 43550, "ap": 32989, "hilo": 34090, "week": 109205, "ID": 816201, "trt": 48321},
    "grouseticks": {
        "INDEX": 21898214,
        "TICKS": 440663,
        "BROOD": 6305332,
        "HEIGHT": 37662804,
        "YEAR": 200187,
        "LOCATION": 2517513,
        "cHEIGHT": 33638,
    },
    "epil": {
        "y": 233926,
        "trt": 49604,
        "base": 883780,
        "age": 787680,
        "V4": 7080,
        "subject": 1112740,
        "period": 70210,
        "lbase": 793.506977489018,
        "lage": -220.435878425023,
    },
    "wine": {"response": 117612, "rating": 7334, "temp": 4014, "contact": 3978, "bottle": 12204, "judge": 16980},
    "RatPupWeight": {"weight": 310047.81, "sex": 78432, "Litter": 835582, "Lsize": 664107, "Treatment": 114210},
    "Gasoline": {"yield": 12880.4, "endpoint": 188804, "Sample": 3050, "API": 20988, "vapor": 2280.7, "ASTM": 126083},
    "MathExam14W": {
        "quad": 117901,
        "deriv": 193544,
        "elasticity": 201595,
        "integral": 132217,
        "interest": 189331,
        "annuity": 178572,
        "payflow": 38515,
        "matrix": 175786,
        "planning": 87419,
        "equations": 107958,
        "hesse": 216086,
        "implicit": 175280,
        "lagrange": 109120,
        "tests": 5258185,
        "gender": 415171,
        "study": 476262,
        "semester": 789241,
        "attempt": 507418,
        "group": 476225,
    },
    "ConspiracistBeliefs2016": {
        "q1": 7350427,
        "q2": 5787797,
        "q3": 3013216,
        "q4": 4764652,
        "q5": 6694089,
        "q6": 6195907,
        "q7": 4880146,
        "q8": 4260824,
        "q9": 3586837,
        "q10": 7343282,
        "q11": 6713189,
        "q12": 4842643,
        "q13": 3264016,
        "q14": 5758828,
        "q15": 9620184,
        "area": 6420782,
        "gender": 4692889,
    },
}

# Number of levels, ordered, first levels.
LEVELS = {
    ("sleepstudy", "Subject"): (18, False, ["308", "309", "310"]),
    ("Pastes", "sample"): (30, False, ["A:a", "A:b", "A:c"]),
    ("cbpp", "herd"): (15, False, ["1", "2", "3"]),
    ("VerbAgg", "resp"): (3, True, ["no", "perhaps", "yes"]),
    ("VerbAgg", "item"): (24, False, ["S1WantCurse", "S1WantScold", "S1WantShout"]),
    ("VerbAgg", "mode"): (2, False, ["want", "do"]),
    ("InstEval", "s"): (2972, False, ["1", "2", "3"]),
    ("InstEval", "d"): (1128, False, ["1", "6", "7", "8"]),
    ("InstEval", "studage"): (4, True, ["2", "4", "6", "8"]),
    ("InstEval", "lectage"): (6, True, ["1", "2", "3"]),
    ("InstEval", "service"): (2, False, ["0", "1"]),
    ("InstEval", "dept"): (14, False, ["15", "5", "10", "12"]),
    ("MathAchieve", "School"): (160, True, ["8367", "8854", "4458"]),
    ("MathAchieve", "Sex"): (2, False, ["Male", "Female"]),
    ("MathAchSchool", "School"): (160, False, ["1224", "1288", "1296"]),
    ("MathAchSchool", "Sector"): (2, False, ["Public", "Catholic"]),
    ("anorexia", "girl"): (72, False, ["1", "2", "3"]),
    ("anorexia", "Treat"): (3, False, ["CBT", "Cont", "FT"]),
    ("Contraception", "woman"): (1934, False, ["1", "2", "3"]),
    ("Contraception", "district"): (60, False, ["1", "2", "3"]),
    ("Contraception", "use"): (2, False, ["N", "Y"]),
    ("Contraception", "livch"): (4, False, ["0", "1", "2", "3+"]),
    ("bacteria", "y"): (2, False, ["n", "y"]),
    ("bacteria", "ID"): (50, False, ["X01", "X02", "X03"]),
    ("bacteria", "trt"): (3, False, ["placebo", "drug", "drug+"]),
    ("grouseticks", "BROOD"): (118, False, ["501", "502", "503"]),
    ("grouseticks", "YEAR"): (3, False, ["95", "96", "97"]),
    ("grouseticks", "LOCATION"): (63, False, ["1", "2", "3"]),
    ("epil", "trt"): (2, False, ["placebo", "progabide"]),
    ("wine", "rating"): (5, True, ["1", "2", "3", "4", "5"]),
    ("wine", "temp"): (2, False, ["cold", "warm"]),
    ("wine", "judge"): (9, False, ["1", "2", "3"]),
    ("RatPupWeight", "Litter"): (27, True, ["9", "8", "7"]),
    ("RatPupWeight", "Treatment"): (3, True, ["Control", "Low", "High"]),
    ("Gasoline", "Sample"): (10, True, ["1", "2", "7", "9"]),
    ("MathExam14W", "gender"): (2, False, ["female", "male"]),
    ("MathExam14W", "study"): (2, False, ["155", "571"]),
    ("MathExam14W", "attempt"): (5, True, ["1", "2", "3", "4"]),
    ("ConspiracistBeliefs2016", "area"): (3, False, ["rural", "suburban", "urban"]),
    ("ConspiracistBeliefs2016", "gender"): (3, False, ["male", "female", "other"]),
}

# Shared file: data set and its columns in the order of the file; None where the file's column is not ours.
SHARED_FILES = {
    "sleepstudy": ("sleepstudy", ["Reaction", "Days", "Subject"]),
    "Dyestuff": ("Dyestuff", ["Batch", "Yield"]),
    "Penicillin": ("Penicillin", ["diameter", "plate", "sample"]),
    "cbpp": ("cbpp", ["herd", "incidence", "size", "period"]),
    "Contraception": ("Contraception", ["woman", "district", "use", "livch", "age", "urban"]),
    "VerbAgg": ("VerbAgg", ["Anger", "Gender", "item", "resp", "id", "btype", "situ", "mode", "r2"]),
    "anorexia_long": ("anorexia", ["girl", "time", "time01", "Rx", "Treat", "weight", "Rx1", "Rx3"]),
    "mathachieve": ("MathAchieve", [None, "School", "Minority", "Sex", "SES", "MathAch"]),
    "mathachieveschool": (
        "MathAchSchool",
        ["School", "Size", "Sector", "PRACAD", "DISCLIM", "HIMINTY", "MEANSES"],
    ),
}


def numbers(column: pd.Series) -> np.ndarray:
    """A column as R's as.numeric sees it: a factor by its codes, from 1."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.codes.to_numpy(dtype=float) + 1
    return column.to_numpy(dtype=float, na_value=np.nan)


def test_every_promised_set_ships() -> None:
    assert set(list_data()["name"]) == set(ROWS)


@pytest.mark.parametrize("name", ROWS)
def test_rows_columns_and_sums_agree_with_r(name: str) -> None:
    data = load_data(name)
    assert len(data) == ROWS[name]
    assert list(data.columns) == list(ROW_WEIGHTED_SUMS[name])
    assert isinstance(data.index, pd.RangeIndex)
    assert int(data.isna().sum().sum()) == MISSING.get(name, 0)
    weights = np.arange(1, len(data) + 1)
    sums = {column: float(np.nansum(weights * numbers(data[column]))) for column in data}
    assert sums == pytest.approx(ROW_WEIGHTED_SUMS[name], rel=1e-13)


@pytest.mark.parametrize(("name", "column"), LEVELS)
def test_factors_keep_rs_level_order(name: str, column: str) -> None:
    dtype = load_data(name)[column].dtype
    size, ordered, first = LEVELS[name, column]
    assert isinstance(dtype, pd.CategoricalDtype)
    assert (len(dtype.categories), dtype.ordered) == (size, ordered)
    assert list(dtype.categories[: len(first)]) == first


@pytest.mark.parametrize("name", ROWS)
def test_types_are_rs_types(name: str) -> None:
    integers = {"Anger", "y", "time", "time01", "Rx1", "Rx3", "week", "base", "age", "V4", "subject", "period"}
    integers |= {"tests", "semester", *list(ROW_WEIGHTED_SUMS["MathExam14W"])[:13]}
    incomplete = {f"q{k}" for k in range(1, 16)} - {"q10"}
    for column, dtype in load_data(name).dtypes.items():
        if not isinstance(dtype, pd.CategoricalDtype):
            whole = column in integers and (name, column) != ("Contraception", "age")
            whole_type = "Int64" if column in incomplete else "int64"
            assert dtype == (whole_type if whole or column in {*incomplete, "q10"} else "float64"), column


@pytest.mark.parametrize("file", SHARED_FILES)
def test_cells_equal_the_shared_file(file: str, shared_dir: Path) -> None:
    name, columns = SHARED_FILES[file]
    path = shared_dir / "data" / f"{file}.csv"
    if not path.is_file():
        pytest.skip(f"no shared file {path}")
    theirs, ours = pd.read_csv(path, dtype=str), load_data(name)
    assert theirs.shape == (len(ours), len(columns))
    for their_name, our_name in zip(theirs, columns, strict=True):
        if our_name is None:
            continue
        left, right = ours[our_name], theirs[their_name]
        if isinstance(left.dtype, pd.CategoricalDtype):
            # The shared files write school 1224 as s1224.
            labels = right.str.removeprefix("s") if our_name == "School" else right
            assert list(left.astype(str)) == list(labels), our_name
        else:
            np.testing.assert_array_equal(left.to_numpy(float), [float(cell) for cell in right], err_msg=our_name)


@pytest.mark.parametrize("name", ROWS)
def test_numbers_are_the_nearest_doubles(name: str) -> None:
    import jmix.datasets

    path = Path(jmix.datasets.__file__).parent / "data" / f"{name}.csv.gz"
    text = pd.read_csv(path, dtype=str)
    for column, values in load_data(name).select_dtypes("number").items():
        np.testing.assert_array_equal(numbers(values), [float(cell) for cell in text[column]])


def test_mathachieve_joins_its_schools() -> None:
    pupils, schools = load_data("MathAchieve"), load_data("MathAchSchool")
    joined = pupils.merge(schools.astype({"School": str}), left_on=pupils["School"].astype(str), right_on="School")
    assert len(joined) == 7185
    np.testing.assert_array_equal(joined["MEANSES_x"], joined["MEANSES_y"])


def test_each_load_is_independent() -> None:
    first = load_data("cbpp")
    first.loc[0, "size"] = -1.0
    assert load_data("cbpp").loc[0, "size"] == 14.0


def test_names_ignore_case() -> None:
    pd.testing.assert_frame_equal(load_data("INSTEVAL"), load_data(" insteval "))


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("slepstudy", "Did you mean 'sleepstudy'?"),
        ("mathachschol", "'MathAchSchool'"),
        ("../x", "Available: sleep"),
    ],
)
def test_unknown_name_is_a_data_error(name: str, suggestion: str) -> None:
    with pytest.raises(DataError) as caught:
        load_data(name)
    assert suggestion in str(caught.value) and repr(name) in str(caught.value)


def test_far_name_gets_no_suggestion() -> None:
    with pytest.raises(DataError) as caught:
        load_data("zzzz")
    assert "Did you mean" not in str(caught.value)


def test_name_must_be_a_string() -> None:
    with pytest.raises(DataError, match="not int"):
        load_data(3)  # type: ignore[arg-type]


def test_list_data_names_source_and_licence() -> None:
    table = list_data().set_index("name")
    assert table["rows"].to_dict() == ROWS
    assert table.loc["sleepstudy", "columns"] == "Reaction, Days, Subject"
    assert table["source"].str.fullmatch(r"Debian r-cran-(lme4|nlme|mass|mlmrev|ordinal|psychotools) \d\S+").all()
    assert table["license"].str.contains("GPL-2").all()
    assert (table[["title", "citation"]].map(len) > 15).all(axis=None)


def test_readme_has_a_row_for_each_set() -> None:
    import jmix.datasets

    folder = Path(jmix.datasets.__file__).parent
    readme = (folder / "README.md").read_text(encoding="utf-8")
    for row in list_data().itertuples():
        assert f"| {row.name} | {row.rows:,} | {row.source} | {row.license} |" in readme
    assert "GNU GENERAL PUBLIC LICENSE" in (folder / "GPL-2").read_text(encoding="utf-8")


def test_loading_is_fast() -> None:
    seconds = []
    for _ in range(30):
        start = time.perf_counter()
        load_data("sleepstudy")
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.002


def test_loading_opens_no_socket() -> None:
    program = (
        "import sys; sys.addaudithook(lambda e, a: sys.exit(e) if e.startswith('socket.') else None)\n"
        "from jmix.datasets import list_data, load_data\n"
        "print(sum(len(load_data(n)) for n in list_data()['name']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(sum(ROWS.values()))


@pytest.mark.r
def test_export_script_reproduces_the_files(rscript: str, tmp_path: Path) -> None:
    import jmix.datasets

    folder = Path(jmix.datasets.__file__).parent
    done = subprocess.run([rscript, folder / "_export.R", tmp_path], capture_output=True, text=True, timeout=120)
    if "there is no package called" in done.stderr or "dpkg-query" in done.stderr:
        pytest.skip(f"Debian's R packages are not installed: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    new, shipped = (json.loads((at / "datasets.json").read_text(encoding="utf-8")) for at in (tmp_path, folder))
    if [entry["source"] for entry in new.values()] != [entry["source"] for entry in shipped.values()]:
        pytest.skip("other versions of Debian's R packages are installed than those the files came from")
    assert new == shipped
    for path in (folder / "data").glob("*.csv.gz"):
        assert path.read_bytes()[4:8] == bytes(4), f"{path.name} carries a time stamp"
        assert gzip.decompress(path.read_bytes()) == gzip.decompress((tmp_path / "data" / path.name).read_bytes())
