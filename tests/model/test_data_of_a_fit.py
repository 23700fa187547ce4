"""The data of a fit are those that it was made of, whatever becomes of the frame; those of a refit have its response."""

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import multilevel as ml

N = 240
FORMULA = "y ~ x + k + f + h + b + nullable + word + day + (1 + b | g)"


@pytest.fixture
def frame():
    rng = np.random.default_rng(3)
    g, x = np.repeat(np.arange(12), 20), rng.uniform(1, 9, N)
    days = pd.to_timedelta(rng.integers(0, 100, N), "D")
    return pd.DataFrame(
        {
            "y": x + rng.normal(0, 2, 12)[g] + rng.normal(size=N),
            "x": x,
            "k": rng.integers(0, 5, N),
            "f": np.array(list("abc"))[rng.integers(0, 3, N)],
            "h": pd.Categorical(np.array(list("uvw"))[rng.integers(0, 2, N)], categories=list("wuvz")),
            "b": rng.random(N) > 0.5,
            "nullable": pd.array(rng.integers(0, 9, N), dtype="Int64"),
            "word": np.array(["p", "q"], dtype=object)[rng.integers(0, 2, N)],
            "day": pd.Timestamp("2020-01-01") + days,
            "g": g,
            "other": rng.normal(size=N),
        }
    )


def as_arrays(frame):
    plain = {"y", "x", "k", "f", "b", "word", "g", "other"}
    return {name: frame[name].to_numpy().copy() if name in plain else frame[name].copy() for name in frame}


KINDS = {
    "pandas": lambda frame: frame,
    "arrays": as_arrays,
    "lists": lambda frame: {name: frame[name] if name == "h" else list(frame[name]) for name in frame},
    "polars": pl.from_pandas,
    "pyarrow": pa.Table.from_pandas,
}


def change(data):
    """Change the columns of a frame in place, as far as its library lets one."""
    if isinstance(data, pd.DataFrame):
        data["x"] += 1000.0
        data.loc[:50, "f"] = "c"
        data.loc[:50, "h"] = "z"
        data["g"] = data["g"].to_numpy()[::-1]
        for name in ("y", "k", "b", "nullable", "word", "day"):
            data[name] = data[name].iloc[0]
    elif isinstance(data, dict):
        for name, values in data.items():
            if isinstance(values, list):
                values.reverse()
            elif isinstance(values, np.ndarray):
                values[:] = values[::-1].copy()
            else:
                data[name] = values.iloc[::-1]
    elif isinstance(data, pl.DataFrame):
        data.replace_column(0, pl.Series("y", np.arange(float(N))))
        data.replace_column(1, pl.Series("x", np.arange(float(N))))


def answers(fit):
    """Return what looks at the data of a fit, as text or tables."""
    return [
        ml.emmeans(fit, "f").to_frame(),
        ml.emmeans(fit, ["h", "b"], weights="proportional").to_frame(),
        ml.emtrends(fit, "f", "x").to_frame(),
        ml.anova(fit).to_frame(),
        ml.ranova(fit).to_frame(),
        ml.drop1(fit, test="chisq").to_frame(),
        str(ml.step(fit)),
        str(ml.standardize_parameters(fit)),
        str(ml.reduce_random_effects(fit)),
        str(fit.summary(vcov="CR2", cluster="g")),
        str(ml.influence(fit, "h")),
        str(ml.check_autocorrelation(fit, "x")),
        str(fit.simulate(2, rng=1)),
        fit.augment(),
        str(fit.update(". ~ . - x").summary()),
        ml.plot_model(fit, "pred", terms=["x"]).data,
    ]


def check_same(before, after):
    for one, other in zip(before, after, strict=True):
        if isinstance(one, str):
            assert one == other
        else:
            pd.testing.assert_frame_equal(one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_changing_what_was_given_changes_nothing(kind, frame):
    data = KINDS[kind](frame)
    weights = np.random.default_rng(1).uniform(0.5, 2.0, N)
    contrasts = {"f": np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])}
    fit = ml.lmer(FORMULA, data, weights=weights, contrasts=contrasts)
    before = answers(fit)
    change(data)
    weights[:] = 5.0
    contrasts["f"][:] = 9.0
    contrasts.clear()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The data frame has been changed")
        check_same(before, answers(fit))


def test_rows_left_out_and_columns_beside_the_formula(frame):
    frame.loc[[3, 77], "x"] = np.nan
    frame.loc[5, "f"] = None
    frame["w"] = np.linspace(1, 2, N)
    formula = "log(y + 10) ~ poly(x, 2) + f + (1 | g)"
    with pytest.warns(ml.MissingValuesWarning):
        fit = ml.lmer(formula, frame, weights="w", offset="k", residual=ml.var_ident("b"))
    assert set(fit._design.data.columns) == {"y", "x", "f", "g", "w", "k", "b"}
    before = ml.emmeans(fit, "f").to_frame(), fit.augment()
    frame[["y", "x", "w", "k"]] = 1.0
    frame["b"] = True
    check_same(before, (ml.emmeans(fit, "f").to_frame(), fit.augment()))


def test_a_relationship_matrix_and_an_offset_that_are_changed(frame):
    matrix = np.eye(12) + 0.3
    kinship, offset = pd.DataFrame(matrix.copy(), index=range(12), columns=range(12)), frame["x"].to_numpy().copy()
    fit = ml.lmer("y ~ f + (1 | g)", frame, relationship={"g": kinship}, offset=offset)
    before = str(fit.update(". ~ . - f").summary())
    kinship.iloc[:, :] = np.eye(12)
    offset[:] = 0.0
    assert str(fit.update(". ~ . - f").summary()) == before


def test_many_categories_are_not_shared_with_the_frame():
    n = 70_000
    codes = np.arange(n) // 2
    frame = pd.DataFrame({"y": np.random.default_rng(0).normal(size=n), "g": pd.Categorical(codes)})
    fit = ml.lmer("y ~ 1 + (1 | g)", frame)
    expected = fit.fitted().to_numpy()
    frame["g"].array.codes  # noqa: B018 - what a library may hand out
    frame["g"].array._ndarray[:] = 0
    np.testing.assert_array_equal(fit.fitted().to_numpy(), expected)
    assert fit.ngroups["g"] == n // 2 == len(np.unique(fit._design.random[0].factor.codes))


def test_a_new_column_of_an_unchanged_frame(frame):
    fit = ml.lmer("y ~ f + (1 | g)", frame)
    frame["extra"] = np.arange(N) % 7
    assert "extra" in fit.update(". ~ . + extra").fixef
    assert ml.influence(fit, "extra") is not None


@pytest.mark.parametrize("way", ["values", "order", "rows"])
def test_other_columns_of_a_frame_that_was_changed(way, frame):
    fit = ml.lmer("y ~ x + (1 | g)", frame)
    expected = fit.update(". ~ . - x").fixef
    if way == "values":
        frame["x"] += 1.0
    elif way == "order":
        order = np.argsort(frame["x"].to_numpy())
        for name in frame:
            frame[name] = frame[name].array[order]
    else:
        frame.loc[N] = frame.loc[0]
    message = "other rows" if way == "rows" else "in the columns? 'y'" if way == "order" else "in the column 'x'"
    with pytest.raises(ml.DataError, match=message):
        fit.update(". ~ . + other")
    with pytest.raises(ml.DataError, match=message):
        ml.influence(fit, "word")
    with pytest.warns(ml.MultilevelWarning, match="give data= to use those that it has now"):
        smaller = fit.update(". ~ . - x")
    pd.testing.assert_series_equal(smaller.fixef, expected)
    assert "x" in fit.update(". ~ . + I(x^2)", data=frame).fixef


def test_columns_that_can_be_read_once_and_a_frame_that_is_none_any_more(frame):
    data = {"y": iter(frame["y"].tolist()), "x": (x for x in frame["x"]), "g": frame["g"].tolist()}
    fit = ml.lmer("y ~ x + (1 | g)", data)
    expected = ml.lmer("y ~ x + (1 | g)", frame)
    pd.testing.assert_series_equal(fit.update(". ~ . - x").fixef, expected.update(". ~ . - x").fixef)
    arrays = as_arrays(frame)
    fit = ml.lmer("y ~ x + (1 | g)", arrays)
    arrays["other"] = arrays["other"][:5]
    pd.testing.assert_frame_equal(ml.ranova(fit).to_frame(), ml.ranova(expected).to_frame())
    with pytest.raises(ml.DataError, match="other rows"):
        fit.update(". ~ . + k")


@pytest.mark.parametrize("kind", KINDS)
def test_copies_keep_their_data(kind, frame):
    fit = ml.lmer("y ~ x + f + (1 | g)", KINDS[kind](frame))
    for own in (fit, fit.refit(fit.simulate(1, rng=1)[0])):
        again = pickle.loads(pickle.dumps(own))
        pd.testing.assert_frame_equal(ml.emmeans(again, "f").to_frame(), ml.emmeans(own, "f").to_frame())
        pd.testing.assert_series_equal(again.update(". ~ . - x").fixef, own.update(". ~ . - x").fixef)


def test_a_column_that_is_dropped_or_gets_another_type(frame):
    fit = ml.lmer("y ~ x + f + (1 | g)", frame)
    del frame["x"]
    frame["f"] = frame["f"].astype("category")
    assert "other" in fit.update(". ~ . + other").fixef
    assert "x" in fit.augment()


def test_the_frame_comes_back_as_it_was(frame):
    formula = "y ~ x + k + f + h + b + nullable + word + day + (1 | g)"
    used = [name for name in frame if name != "other"]
    fit = ml.lmer(formula, frame)
    pd.testing.assert_frame_equal(fit._design.data.native()[used], frame[used])
    found = ml.lmer(formula, pl.from_pandas(frame))._design.data.native()
    assert found.select(used).equals(pl.from_pandas(frame[used]))
    gaps = frame.assign(nullable=frame["nullable"].where(frame["k"] > 0), f=frame["f"].where(frame["k"] > 0))
    with pytest.warns(ml.MissingValuesWarning):
        fit = ml.lmer(formula, gaps)
    pd.testing.assert_frame_equal(fit._design.data.native()[used], gaps[used])


def test_numbers_that_the_design_holds_are_not_held_twice(frame):
    fit = ml.lmer("y ~ x + k + (1 | g)", frame)
    kept = fit._design.data._kept
    assert all(np.shares_memory(kept[name].values, fit._design.columns) for name in ("y", "x", "k"))
    assert kept["g"].values.codes is fit._design.random[0].factor.codes


# ---- after refit ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("response", ["y", "log(y)", "scale(y)", "I(y - x)"])
@pytest.mark.parametrize("gaps", [False, True])
def test_a_refit_is_the_fit_to_a_frame_with_its_response(response, gaps, frame, tmp_path):
    frame["y"] -= frame["y"].min() - 1.0
    if gaps:
        frame.loc[[4, 100], "x"] = np.nan
        frame.loc[7, "y"] = np.nan
    right = "x + f + (x | g)"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ml.MissingValuesWarning)
        fit = ml.lmer(f"{response} ~ {right}", frame)
        new = fit.simulate(1, rng=1)[0]
        found = fit.refit(new)
        whole = np.full(N, np.nan)
        whole[slice(None) if fit._design.kept is None else fit._design.kept] = new
        expected = ml.lmer(f"new ~ {right}", frame.assign(new=whole))
        found.save(tmp_path / "fit.mlm", data=True)
        for own in (found, ml.load(tmp_path / "fit.mlm")):
            check_refit(own, expected)
            check_refit(own.refit(new[::-1]), expected.refit(new[::-1]))
        assert np.allclose(fit.update(". ~ . - f").fixef, ml.lmer(f"{response} ~ x + (x | g)", frame).fixef, rtol=1e-6)


def check_refit(found, expected):
    def close(call, rtol=1e-4):
        one, other = (call(fit).select_dtypes("number").to_numpy() for fit in (found, expected))
        np.testing.assert_allclose(one, other, rtol=rtol, atol=1e-6)

    close(lambda fit: ml.anova(fit).to_frame())
    close(lambda fit: ml.anova(fit, ddf="kenward-roger").to_frame())
    close(lambda fit: ml.anova(fit, test="chisq").to_frame())
    close(lambda fit: ml.ranova(fit).to_frame())
    close(lambda fit: ml.drop1(fit, test="chisq").to_frame())
    close(lambda fit: ml.step(fit).fixed.to_frame())
    close(lambda fit: ml.standardize_parameters(fit, transformed="after").to_frame())
    close(lambda fit: ml.emmeans(fit, "f").to_frame())
    close(lambda fit: ml.emtrends(fit, "f", "x").to_frame())
    close(lambda fit: ml.reduce_random_effects(fit).final_model.summary().coefficients)
    close(lambda fit: fit.update(". ~ . - f").summary().coefficients)
    close(lambda fit: fit.update(reml=False).summary().coefficients)
    close(lambda fit: fit.augment()[[".fitted", ".resid", ".hat"]])
    close(lambda fit: ml.plot_model(fit, "pred", terms=["x"], scale="linear").data)
    assert ml.check_model(found) is not None


def test_what_a_refit_shows_is_its_response(frame, tmp_path):
    fit = ml.lmer("y ~ x + f + (x | g)", frame)
    new = fit.simulate(1, rng=2)[0]
    found = fit.refit(new)
    np.testing.assert_array_equal(found.augment()["y"], new)
    np.testing.assert_array_equal(found.update(". ~ . - f").get_me("y"), new)
    ml.report(found, tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size > 0
    assert found.bootstrap(3, rng=1, threads=1) is not None
    doubled = found.bootstrap(
        2, rng=1, threads=1, statistic=lambda one: float(np.ptp(one.update(". ~ . - f").get_me("y") - one.get_me("y")))
    )
    assert (doubled.replicates.to_numpy() == 0.0).all()


def test_a_refit_of_a_transformed_response_and_another_transformation(frame):
    frame["y"] -= frame["y"].min() - 1.0
    found = ml.lmer("log(y) ~ x + (1 | g)", frame).refit(np.arange(float(N)))
    with pytest.raises(ml.DataError, match=r"on the scale of 'log\(y\)', so that there is no 'sqrt\(y\)'"):
        found.update("sqrt(y) ~ .")
    with pytest.raises(ml.ControlError, match="transformed='after'"):
        ml.standardize_fit(found)
    assert ml.standardize_fit(found, include_response=False).fixef["x"] == pytest.approx(
        found.fixef["x"] * frame["x"].std()
    )


def test_a_predictor_made_of_the_response_stays_in_a_refit(frame):
    fit = ml.lmer("y ~ x + I(y > 5) + (1 | g)", frame)
    new = fit.get_me("y")[::-1].copy()
    again = fit.refit(new).update(". ~ . - x")
    np.testing.assert_array_equal(again.get_me("y"), new)
    np.testing.assert_array_equal(again.get_me("X")[:, 1], frame["y"] > 5)


def test_replicates_of_a_power_analysis_have_their_response(frame):
    frame.loc[[4, 100], "x"] = np.nan
    with pytest.warns(ml.MissingValuesWarning):
        fit = ml.lmer("y ~ x + f + (1 | g)", frame, weights=np.linspace(1, 2, N))
    seen = []

    def test(one):
        smaller = one.update(". ~ . - x", reml=False)
        seen.append(np.array_equal(smaller.get_me("y"), one.get_me("y")))
        return 0.5

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ml.MissingValuesWarning)
        ml.power(fit, test=test, n=2, rng=1, threads=1)
    assert seen[-2:] == [True, True]
    found = ml.power(fit, reduced=". ~ . - x", n=2, rng=1, threads=1)
    assert found is not None
