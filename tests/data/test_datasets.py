"""The example data sets have the columns, levels and values that they have in R."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest

from multilevel.data.datasets import DatasetInfo, dataset_names, describe_dataset, load_dataset
from multilevel.errors import DataError

# R: sapply(frame, nlevels); which are ordered
FACTORS = {
    "sleepstudy": {"Subject": (18, False)},
    "Dyestuff": {"Batch": (6, False)},
    "Dyestuff2": {"Batch": (6, False)},
    "Penicillin": {"plate": (24, False), "sample": (6, False)},
    "Pastes": {"batch": (10, False), "cask": (3, False), "sample": (30, False)},
    "cake": {"replicate": (15, False), "recipe": (3, False), "temperature": (6, True)},
    "InstEval": {
        "s": (2972, False),
        "d": (1128, False),
        "studage": (4, True),
        "lectage": (6, True),
        "service": (2, False),
        "dept": (14, False),
    },
}


@pytest.mark.parametrize("name", dataset_names())
def test_rows_and_columns_are_as_described(name: str) -> None:
    frame, info = load_dataset(name), describe_dataset(name)
    assert list(frame.columns) == list(info.columns)
    assert len(frame) == info.n_rows
    assert isinstance(frame.index, pd.RangeIndex)
    assert not frame.isna().any(axis=None)


@pytest.mark.parametrize("name", dataset_names())
def test_factors_have_levels_and_order_of_r(name: str) -> None:
    frame = load_dataset(name)
    found = {
        column: (len(frame[column].cat.categories), bool(frame[column].cat.ordered))
        for column in frame.columns
        if isinstance(frame[column].dtype, pd.CategoricalDtype)
    }
    assert found == FACTORS[name]


def test_numbers_are_doubles_or_64_bit_integers() -> None:
    for name in dataset_names():
        dtypes = load_dataset(name).dtypes
        assert {str(dtype) for dtype in dtypes if not isinstance(dtype, pd.CategoricalDtype)} <= {"float64", "int64"}


def test_levels_stand_in_the_order_of_r_not_of_the_alphabet() -> None:
    departments = ["15", "5", "10", "12", "6", "7", "4", "8", "9", "14", "1", "3", "11", "2"]
    ratings = load_dataset("InstEval")
    assert list(ratings["dept"].cat.categories) == departments
    assert list(ratings["d"].cat.categories[:6]) == ["1", "6", "7", "8", "12", "13"]
    assert list(load_dataset("cake")["temperature"].cat.categories) == ["175", "185", "195", "205", "215", "225"]


def test_values_are_those_of_r() -> None:
    # R: print(c(sum(sleepstudy$Reaction), sleepstudy$Reaction[1]), digits = 17)
    sleep = load_dataset("sleepstudy")
    assert sleep["Reaction"].sum() == pytest.approx(53731.4205, abs=1e-9)
    assert sleep["Reaction"].iloc[0] == 249.56
    # R: print(c(sum(as.integer(InstEval$s)), sum(as.integer(InstEval$d))), digits = 15); table(InstEval$studage)
    ratings = load_dataset("InstEval")
    assert int((ratings["s"].cat.codes.astype("int64") + 1).sum()) == 108853382
    assert int((ratings["d"].cat.codes.astype("int64") + 1).sum()) == 40264666
    assert ratings["studage"].value_counts(sort=False).tolist() == [15406, 16888, 22107, 19020]
    assert ratings["lectage"].value_counts(sort=False).tolist() == [20125, 16297, 10999, 8638, 6258, 11104]


def test_a_loaded_frame_is_a_fresh_copy() -> None:
    first = load_dataset("Dyestuff")
    first.loc[0, "Yield"] = -1.0
    assert load_dataset("Dyestuff").loc[0, "Yield"] == 1545.0


def test_an_unknown_name_is_answered_with_the_near_ones() -> None:
    with pytest.raises(DataError, match=r"^There is no data set 'Sleepstudies'; did you mean 'sleepstudy'\?$"):
        load_dataset("Sleepstudies")
    with pytest.raises(DataError, match=r"^There is no data set 'iris'; the data sets are sleepstudy, Dyestuff,"):
        describe_dataset("iris")


def test_a_description_cannot_be_changed() -> None:
    info = describe_dataset("cake")
    assert isinstance(info, DatasetInfo)
    assert "lme4" in info.source
    with pytest.raises(dataclasses.FrozenInstanceError):
        info.title = "another"  # type: ignore[misc]
    with pytest.raises(TypeError):
        info.columns["angle"] = "another"  # type: ignore[index]
