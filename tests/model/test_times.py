"""Dates, times and durations in models: one unit, whatever type they come in."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import multilevel as ml

DAY = np.arange(120) % 5
GROUP = np.repeat([f"s{i:02d}" for i in range(12)], 10)
Y = 15 + 0.5 * DAY + np.random.default_rng(5).normal(size=(2, 120)).sum(axis=0) + np.arange(120) // 10
STAMP = pd.Series(pd.Timestamp("2021-03-01") + pd.to_timedelta(DAY, unit="D"))
DATES = list(STAMP.dt.date)
EXPECTED = ml.lmer("y ~ day + (1 | g)", {"y": Y, "day": DAY, "g": GROUP}).predict({"day": [1], "g": ["s01"]}).iloc[0]

FITTED = {
    "datetime64[ns]": STAMP.astype("datetime64[ns]"),
    "datetime64[s]": STAMP.astype("datetime64[s]"),
    "datetime64[D]": np.array(DATES, dtype="datetime64[D]"),
    "date": pd.Series(DATES, dtype=object),
    "datetime": [stamp.to_pydatetime() for stamp in STAMP],
    "zoned": STAMP.dt.tz_localize("Europe/Berlin"),
    "polars Date": pl.Series(DATES),
    "polars Datetime zoned": pl.Series(STAMP.to_list()).dt.replace_time_zone("Asia/Tokyo"),
    "date32": pa.array(DATES),
    "date64": pa.array(DATES, pa.date64()),
    "timestamp": pa.array(STAMP.to_list(), pa.timestamp("ms")),
}
SECOND = dt.date(2021, 3, 2)
NEW = {
    "Timestamp": [pd.Timestamp(SECOND)],
    "date": [SECOND],
    "datetime64[D]": np.array([SECOND], dtype="datetime64[D]"),
    "datetime64[ns]": np.array([SECOND], dtype="datetime64[ns]"),
    "zoned": pd.Series([pd.Timestamp(SECOND)]).dt.tz_localize("UTC"),
    "polars Date": pl.Series([SECOND]),
    "date32": pa.array([SECOND]),
    "timestamp": pa.array([dt.datetime(2021, 3, 2)], pa.timestamp("ns")),
}


@pytest.mark.parametrize("fitted", FITTED)
def test_a_day_is_the_same_day_in_every_type(fitted, tmp_path):
    fit = ml.lmer("y ~ t + (1 | g)", {"y": Y, "t": FITTED[fitted], "g": GROUP})
    fit.save(tmp_path / "fit.mlm", data=True)
    again = ml.load(tmp_path / "fit.mlm")
    zoned = fitted in ("zoned", "polars Datetime zoned")
    for name, values in NEW.items():
        if zoned and name == "zoned":
            continue  # midnight in London is no midnight in Berlin
        new = {"t": values, "g": ["s01"]}
        for own in (fit, again, again.update("y ~ t + (1 | g)")):
            assert own.predict(new).iloc[0] == pytest.approx(EXPECTED, abs=1e-7), name
        assert fit.augment(newdata=new)[".fitted"].iloc[0] == pytest.approx(EXPECTED, abs=1e-7)
    means = [ml.emmeans(fit, "t", at={"t": values}).to_frame() for values in ([SECOND], [pd.Timestamp(SECOND)])]
    pd.testing.assert_frame_equal(*means)
    slope = fit.fixef["t"] * (1 if fitted in ("datetime64[D]", "date", "polars Date", "date32", "date64") else 86400)
    reference = ml.lmer("y ~ day + (1 | g)", {"y": Y, "day": DAY, "g": GROUP})
    assert slope == pytest.approx(reference.fixef["day"], rel=1e-6)


def test_times_of_another_zone_are_read_on_the_fits_clock():
    fit = ml.lmer("y ~ t + (1 | g)", {"y": Y, "t": FITTED["zoned"], "g": GROUP})
    moment = pd.Series([pd.Timestamp("2021-03-02", tz="Europe/Berlin")])
    for zone in ("UTC", "Asia/Tokyo", "America/New_York"):
        found = fit.predict({"t": moment.dt.tz_convert(zone), "g": ["s01"]})
        assert found.iloc[0] == pytest.approx(EXPECTED, abs=1e-7)
    as_group = ml.lmer("y ~ 1 + (1 | t)", {"y": Y, "t": FITTED["zoned"]})
    again = as_group.predict({"t": FITTED["zoned"].dt.tz_convert("UTC")})
    np.testing.assert_allclose(again, as_group.fitted())


def test_what_is_no_date_is_refused():
    fit = ml.lmer("y ~ t + (1 | g)", {"y": Y, "t": DATES, "g": GROUP})
    for values, message in (
        ([18688], "'t' holds numbers in the new data and dates in the fitted data"),
        (["2021-03-02"], "'t' holds text or categories in the new data, and dates in the fitted data"),
        ([dt.timedelta(1)], "'t' holds durations in the new data and dates in the fitted data"),
    ):
        for call in (fit.predict, lambda new: fit.simulate(1, newdata=new, rng=1)):
            with pytest.raises((ml.DataTypeError, ml.DataError), match=message):
                call({"t": values, "g": ["s01"]})
    numbers = ml.lmer("y ~ day + (1 | g)", {"y": Y, "day": DAY, "g": GROUP})
    with pytest.raises(ml.DataTypeError, match="'day' holds dates in the new data and numbers in the fitted data"):
        numbers.predict({"day": [SECOND], "g": ["s01"]})


def test_functions_of_dates_remember_the_unit():
    for formula in ("y ~ scale(t) + (1 | g)", "y ~ poly(t, 2) + (1 | g)", "y ~ I(t - 18000) + (1 | g)"):
        fit = ml.lmer(formula, {"y": Y, "t": DATES, "g": GROUP})
        new = [fit.predict({"t": values, "g": ["s01"]}).iloc[0] for values in NEW.values()]
        np.testing.assert_allclose(new, new[0], rtol=1e-9)


@pytest.mark.parametrize("name", ["datetime64[ns]", "date", "zoned"])
def test_levels_of_dates_are_dates(name):
    data = {"y": Y, "t": FITTED[name], "g": GROUP}
    fit = ml.lmer("y ~ factor(t) + (1 | g)", data)
    assert list(fit.fixef.index[1:]) == [f"factor(t)2021-03-0{day}" for day in range(2, 6)]
    np.testing.assert_allclose(fit.predict(data), fit.fitted())
    for values in (*NEW.values(), ["2021-03-02"]):
        if name != "zoned":
            assert len(fit.predict({"t": values, "g": ["s01"]})) == 1
    assert list(map(str, ml.emmeans(fit, "t").to_frame()["t"].astype(str).str[:10])) == [
        f"2021-03-0{i}" for i in range(1, 6)
    ]


def test_dates_are_compared_with_their_text():
    after = ml.lmer("y ~ I(t >= '2021-03-03') + (1 | g)", {"y": Y, "t": FITTED["datetime64[ns]"], "g": GROUP})
    expected = ml.lmer("y ~ I(day >= 2) + (1 | g)", {"y": Y, "day": DAY, "g": GROUP})
    np.testing.assert_allclose(after.fixef, expected.fixef)
    with pytest.raises(ml.FormulaError, match="'t' holds dates, and 'March' is none"):
        ml.lmer("y ~ I(t == 'March') + (1 | g)", {"y": Y, "t": DATES, "g": GROUP})


# ---- durations ---------------------------------------------------------------------------------------------------------

DURATIONS = {
    "pandas": pd.to_timedelta(DAY, unit="D"),
    "numpy": DAY.astype("timedelta64[D]"),
    "numpy hours": (24 * DAY).astype("timedelta64[h]"),
    "polars": pl.Series([dt.timedelta(int(day)) for day in DAY]),
    "arrow": pa.array([dt.timedelta(int(day)) for day in DAY]),
    "objects": [dt.timedelta(int(day)) for day in DAY],
}


@pytest.mark.parametrize("name", DURATIONS)
def test_a_duration_has_one_slope_in_seconds(name):
    # As R's units(td) <- "secs": fixef(lmer(y ~ as.numeric(td) + (1 | g)))
    reference = ml.lmer("y ~ day + (1 | g)", {"y": Y, "day": DAY, "g": GROUP})
    fit = ml.lmer("y ~ td + (1 | g)", {"y": Y, "td": DURATIONS[name], "g": GROUP})
    assert list(fit.fixef.index) == ["(Intercept)", "td"]
    assert 86400 * fit.fixef["td"] == pytest.approx(reference.fixef["day"], rel=1e-9)
    for values in (pd.to_timedelta([1], unit="D"), np.array([24], dtype="timedelta64[h]"), [dt.timedelta(1)]):
        assert fit.predict({"td": values, "g": ["s01"]}).iloc[0] == pytest.approx(EXPECTED, rel=1e-9)
    grouped = ml.lmer("y ~ 1 + (1 | td)", {"y": Y, "td": DURATIONS[name]})
    assert grouped.ranef().groups["td"].levels[1:3] == ("1 days", "2 days")
    response = ml.lmer("td ~ y + (1 | g)", {"y": Y, "td": DURATIONS[name], "g": GROUP})
    assert response.nobs == 120


def test_durations_are_described_in_seconds():
    table = ml.describe(pd.DataFrame({"td": DURATIONS["pandas"]})).to_frame()
    assert table.loc["td", "mean"] == pytest.approx(86400 * DAY.mean())
