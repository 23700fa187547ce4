"""The example data sets that mixed-model texts and lme4 use, with lme4's columns and levels.

Each set lies beside this module as a Parquet file. Factors are categoricals whose levels stand in the
order they have in R; they are ordered where R's factor is ordered.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType
from typing import TYPE_CHECKING

from multilevel.arguments import checked
from multilevel.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DatasetInfo", "dataset_names", "describe_dataset", "load_dataset"]


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """What an example data set holds and where it comes from.

    Attributes
    ----------
    name : str
        The name that `load_dataset` takes.
    title : str
        What was measured, in one line.
    source : str
        The original publication, and the package that distributes the data.
    n_rows : int
        The number of rows.
    columns : Mapping of str to str
        The meaning of each column, in the order of the columns.
    """

    name: str
    title: str
    source: str
    n_rows: int
    columns: Mapping[str, str]


_DAVIES = (
    "Davies, O. L. and Goldsmith, P. L., eds (1972). Statistical Methods in Research and Production, 4th ed. "
    "Oliver and Boyd, section {section}. Distributed with the R package lme4."
)

_INFOS = (
    DatasetInfo(
        name="sleepstudy",
        title="Reaction times of 18 people over ten days of short sleep",
        source=(
            "Belenky, G., Wesensten, N. J., Thorne, D. R., Thomas, M. L., Sing, H. C., Redmond, D. P., Russo, M. B. "
            "and Balkin, T. J. (2003). Patterns of performance degradation and restoration during sleep restriction "
            "and subsequent recovery: a sleep dose-response study. Journal of Sleep Research 12, 1-12. "
            "Distributed with the R package lme4."
        ),
        n_rows=180,
        columns=MappingProxyType(
            {
                "Reaction": "mean reaction time of the day, in milliseconds",
                "Days": "day of the study, 0 to 9; days 0 and 1 were training, day 2 the baseline",
                "Subject": "the person",
            }
        ),
    ),
    DatasetInfo(
        name="Dyestuff",
        title="Yield of a dyestuff made from six batches of an intermediate product",
        source=_DAVIES.format(section="6.4"),
        n_rows=30,
        columns=MappingProxyType(
            {
                "Batch": "batch of the intermediate product",
                "Yield": "yield of one preparation, in grams of standard colour",
            }
        ),
    ),
    DatasetInfo(
        name="Dyestuff2",
        title="Constructed yields that vary less between the batches than within them",
        source=(
            "Box, G. E. P. and Tiao, G. C. (1973). Bayesian Inference in Statistical Analysis. Addison-Wesley, "
            "section 5.1.2. Distributed with the R package lme4."
        ),
        n_rows=30,
        columns=MappingProxyType({"Batch": "batch", "Yield": "yield of one preparation"}),
    ),
    DatasetInfo(
        name="Penicillin",
        title="Zones of inhibition of six penicillin samples, each tried on 24 plates",
        source=_DAVIES.format(section="6.6"),
        n_rows=144,
        columns=MappingProxyType(
            {
                "diameter": "diameter of the zone in which growth is inhibited, in millimetres",
                "plate": "assay plate",
                "sample": "penicillin sample, crossed with the plates",
            }
        ),
    ),
    DatasetInfo(
        name="Pastes",
        title="Strength of a chemical paste, assayed twice in each of three casks of ten deliveries",
        source=_DAVIES.format(section="6.5"),
        n_rows=60,
        columns=MappingProxyType(
            {
                "strength": "strength found by one assay",
                "batch": "delivery",
                "cask": "cask within the delivery; the letters a, b, c recur in every delivery",
                "sample": "delivery and cask together, one level for each cask",
            }
        ),
    ),
    DatasetInfo(
        name="cake",
        title="Angle at which chocolate cakes break, by recipe and baking temperature",
        source=(
            "Cook, F. E. (1938). Chocolate cake, I. Optimum baking temperature. Master's thesis, Iowa State College; "
            "in Cochran, W. G. and Cox, G. M. (1957). Experimental Designs, 2nd ed. Wiley, p. 300. "
            "Distributed with the R package lme4."
        ),
        n_rows=270,
        columns=MappingProxyType(
            {
                "replicate": "batch of dough; the numbers 1 to 15 recur in every recipe",
                "recipe": "recipe",
                "temperature": "baking temperature in degrees Fahrenheit, as an ordered factor",
                "angle": "angle at which the cake broke, in degrees",
                "temp": "baking temperature in degrees Fahrenheit, as a number",
            }
        ),
    ),
    DatasetInfo(
        name="InstEval",
        title="Ratings of lecturers by students at ETH Zurich",
        source="Lecture evaluations at ETH Zurich, made anonymous. Distributed with the R package lme4.",
        n_rows=73_421,
        columns=MappingProxyType(
            {
                "s": "student",
                "d": "lecturer",
                "studage": "semesters the student has been enrolled, as an ordered factor",
                "lectage": "semesters since the lecture was held, as an ordered factor",
                "service": "1 when the lecture was held for another department than the lecturer's own, else 0",
                "dept": "department of the lecture, as an arbitrary code",
                "y": "rating, from 1 (poor) to 5 (very good)",
            }
        ),
    ),
)

_BY_NAME = MappingProxyType({info.name: info for info in _INFOS})


@checked
def dataset_names() -> tuple[str, ...]:
    """Return the names that `load_dataset` takes.

    Returns
    -------
    tuple of str
        The names.

    Examples
    --------
    >>> from multilevel.data.datasets import dataset_names
    >>> dataset_names()
    ('sleepstudy', 'Dyestuff', 'Dyestuff2', 'Penicillin', 'Pastes', 'cake', 'InstEval')
    """
    return tuple(_BY_NAME)


@checked
def describe_dataset(name: str) -> DatasetInfo:
    """Say what a data set holds and where it comes from.

    Parameters
    ----------
    name : str
        One of `dataset_names`.

    Returns
    -------
    DatasetInfo
        Title, source, number of rows and the meaning of the columns.

    Raises
    ------
    DataError
        There is no data set of that name.

    Examples
    --------
    >>> from multilevel.data.datasets import describe_dataset
    >>> describe_dataset("Penicillin").columns["plate"]
    'assay plate'
    """
    info = _BY_NAME.get(name)
    if info is None:
        raise DataError(_unknown(name))
    return info


@checked
def load_dataset(name: str) -> pd.DataFrame:
    """Load an example data set.

    Parameters
    ----------
    name : str
        One of `dataset_names`.

    Returns
    -------
    pandas.DataFrame
        A fresh copy. Factors are categoricals with their levels in R's order.

    Raises
    ------
    DataError
        There is no data set of that name.

    Examples
    --------
    >>> from multilevel.data.datasets import load_dataset
    >>> load_dataset("sleepstudy").shape
    (180, 3)
    """
    info = describe_dataset(name)
    import pandas as pd

    with (resources.files("multilevel.data") / "sets" / f"{info.name}.parquet").open("rb") as file:
        return pd.read_parquet(file, engine="pyarrow")


def _unknown(name: object) -> str:
    """Say that there is no data set `name`, with the names near to it or else all of them."""
    folded = {known.casefold(): known for known in _BY_NAME}
    near = difflib.get_close_matches(str(name).casefold(), folded, n=2, cutoff=0.6)
    if near:
        return f"There is no data set {name!r}; did you mean {' or '.join(repr(folded[key]) for key in near)}?"
    return f"There is no data set {name!r}; the data sets are {', '.join(_BY_NAME)}."
