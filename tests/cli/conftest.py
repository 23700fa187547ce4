from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from multilevel.cli import main


@pytest.fixture
def run():
    runner = CliRunner()

    def invoke(*arguments, **options):
        return runner.invoke(main, [str(argument) for argument in arguments], **options)

    return invoke


@pytest.fixture(scope="session")
def clinics():
    """Patients in clinics of two arms, with values missing in different rows."""
    rng = np.random.default_rng(3)
    rows = []
    for clinic in range(10):
        level, slope = rng.normal(0, 5), rng.normal(1.2, 0.6)
        for patient in range(int(rng.integers(6, 14))):
            hours = round(rng.normal(10, 3), 1)
            score = round(50 + level + slope * hours + 4 * (clinic % 2) + rng.normal(0, 6), 2)
            rows.append((f"clinic {clinic:02d}", patient, "ab"[clinic % 2], hours, score, 3 * clinic + 1))
    frame = pd.DataFrame(rows, columns=["clinic", "patient", "arm", "hours", "score", "beds"])
    frame.loc[[3, 40], "hours"] = np.nan
    frame.loc[7, "score"] = np.nan
    return frame


@pytest.fixture
def table(clinics, tmp_path):
    """Return the name of a file with the clinics."""
    file = tmp_path / "clinics.csv"
    clinics.to_csv(file, index=False)
    return str(file)


@pytest.fixture
def complaint():
    """Return a function that gives the last line on standard error, after the warnings."""

    def read(result, code=2):
        assert result.exit_code == code, result.output
        assert result.stdout == ""
        *warned, line = result.stderr.splitlines()
        assert all(each.startswith("multilevel: warning: ") for each in warned)
        assert line.startswith("multilevel: error: ")
        return line.removeprefix("multilevel: error: ")

    return read
