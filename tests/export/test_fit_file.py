"""Saved fits: what comes back, what is refused, and files of earlier versions."""

from __future__ import annotations

import bz2
import contextlib
import io
import json
import lzma
import pickle
import random
import struct
import tracemalloc
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import multilevel as ml
import reference_cases as rc
from multilevel.export.archive import ArchiveReader, ArchiveWriter
from multilevel.export.stored_tables import frame_content, read_table

FOLDER = Path(__file__).parent

CASES = [
    "sleepstudy_reml",
    "sleepstudy_uncorrelated_ml",
    "dyestuff2_reml",
    "penicillin_reml",
    "cake_recipe_slopes_reml",
    "nested_vector_ml",
    "nested_crossed_reml",
    "weights_and_offset_reml",
    "rank_deficient_reml",
    "bad_scale_reml",
]


def reload(fit: ml.LinearMixedModel, tmp_path: Path, **options) -> ml.LinearMixedModel:
    fit.save(tmp_path / "fit.mlm", **options)
    return ml.load(tmp_path / "fit.mlm")


def check_same(fit: ml.LinearMixedModel, again: ml.LinearMixedModel) -> None:
    assert repr(again) == repr(fit)
    for ddf in ("satterthwaite", "kenward-roger") if fit.reml else ("satterthwaite",):
        assert str(again.summary(ddf=ddf)) == str(fit.summary(ddf=ddf))
    assert again.summary().to_dict() == fit.summary().to_dict()
    for kind in (1, 2, 3):
        assert str(ml.anova(again, type=kind)) == str(ml.anova(fit, type=kind))
    for group, frame in fit.ranef().items():
        pd.testing.assert_frame_equal(again.ranef()[group], frame)
    pd.testing.assert_frame_equal(again.tidy(("ran_vals", "ran_pars")), fit.tidy(("ran_vals", "ran_pars")))
    frame = fit._data.frame
    new = frame.iloc[:5] if isinstance(frame, pd.DataFrame) else frame[:5]
    offset = {} if fit._design.offset is None else {"offset": 0.0}
    pd.testing.assert_frame_equal(again.predict(new, se=True, **offset), fit.predict(new, se=True, **offset))
    weights = {} if fit._design.weights is None else {"weights": 1.0}
    found = again.simulate(2, new, rng=1, **offset, **weights)
    np.testing.assert_array_equal(found, fit.simulate(2, new, rng=1, **offset, **weights))
    assert again.convergence.status == fit.convergence.status
    np.testing.assert_allclose(again.convergence.hessian, fit.convergence.hessian, rtol=1e-10)
    assert (again.deviance, again.reml_criterion, again.nobs) == (fit.deviance, fit.reml_criterion, fit.nobs)


@pytest.mark.parametrize("name", CASES)
def test_without_the_rows(name, tmp_path):
    fit = rc.fit(name)
    again = reload(fit, tmp_path)
    check_same(fit, again)
    if name == "sleepstudy_reml":
        np.testing.assert_allclose(again.confint(), fit.confint(), rtol=1e-9)
    # It can be saved again.
    check_same(fit, reload(again, tmp_path))


@pytest.mark.parametrize("name", CASES)
def test_with_the_rows(name, tmp_path):
    fit = rc.fit(name)
    again = reload(fit, tmp_path, data=True)
    check_same(fit, again)
    pd.testing.assert_series_equal(again.fitted(), fit.fitted())
    pd.testing.assert_series_equal(again.residuals("pearson"), fit.residuals("pearson"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ml.RankDeficiencyWarning)
        changed = again.update(". ~ .")
    np.testing.assert_allclose(changed.fixef, fit.fixef, rtol=1e-6, atol=1e-9)
    assert again.simulate(1, rng=1).shape == (1, fit.nobs)
    np.testing.assert_allclose(again.refit(again.get_me("y")).theta, fit.theta, atol=1e-4)


def test_comparing_loaded_fits(tmp_path):
    fit = rc.fit("sleepstudy_reml")
    small = fit.update("Reaction ~ Days + (1 | Subject)")
    again = reload(fit, tmp_path, data=True)
    assert str(ml.anova(again, small)) == str(ml.anova(fit, small))
    without = reload(fit, tmp_path)
    with pytest.raises(ml.DataError, match="rows of the data, which were not saved"):
        ml.anova(without, small)


def test_what_needs_the_rows(tmp_path):
    again = reload(rc.fit("sleepstudy_reml"), tmp_path)
    uses = {
        "fitted": again.fitted, "residuals": again.residuals, "predict": again.predict, "simulate": again.simulate,
        "bootstrap": again.bootstrap, "X": lambda: again.get_me("X"), "refit": lambda: again.refit(np.arange(180.0)),
        "y": lambda: again.get_me("y"), "save": lambda: again.save(tmp_path / "x.mlm", data=True),
    }  # fmt: skip
    for name, use in uses.items():
        with pytest.raises(ml.DataError, match="rows"):
            use()
        assert name
    for use in (again.augment, lambda: again.update(". ~ . - Days")):
        with pytest.raises(ml.DataError, match="holds no data frame"):
            use()
    ml_fit = again.update(reml=False)
    assert ml_fit.loglik == pytest.approx(rc.fit("sleepstudy_reml").update(reml=False).loglik, rel=1e-10)
    assert not (tmp_path / "x.mlm").exists()


def test_all_kinds_of_terms_and_levels(tmp_path):
    rng = np.random.default_rng(2)
    n = 240
    frame = pd.DataFrame(
        {
            "y": rng.normal(size=n),
            "x": rng.normal(size=n),
            "z": rng.uniform(1, 9, n),
            "arm": rng.choice(["a", "b", "c"], n),
            "grade": pd.Categorical(rng.choice(["low", "mid", "high"], n), ["low", "mid", "high"], ordered=True),
            "flag": rng.random(n) < 0.5,
            "day": pd.to_datetime("2024-01-01") + pd.to_timedelta(rng.integers(0, 12, n), unit="D"),
            "site": rng.integers(0, 8, n),
            "half": rng.integers(0, 6, n) / 2,
            "my group": rng.choice(["été", "ñ", "日本", "x:y"], n),
        },
        index=pd.Index([f"row {i}" for i in range(n)], name="id"),
    )  # fmt: skip
    formula = (
        "y ~ poly(z, 2) + ns(x, 3) + cut(z, c(0, 3, 6, 10)) + scale(x):arm + arm * flag + grade + relevel(arm, 'b'):x"
        " + offset(0.1 * z) + (1 + x | site) + (1 | day) + (1 | half) + (0 + grade || `my group`) + (1 | arm:site)"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ml.RankDeficiencyWarning)
        fit = ml.lmer(formula, frame, contrasts={"arm": "sum", "grade": np.array([[1.0, 0], [0, 1], [-1, -1]])})
    for data in (False, True):
        again = reload(fit, tmp_path, data=data)
        assert str(again.summary()) == str(fit.summary())
        pd.testing.assert_frame_equal(again.predict(frame, se=True), fit.predict(frame, se=True))
        for group, modes in fit.ranef().items():
            assert again.ranef()[group].index.tolist() == modes.index.tolist()
    pd.testing.assert_series_equal(again.fitted(), fit.fitted())
    pd.testing.assert_frame_equal(again._data.frame, frame)


@pytest.mark.parametrize("kind", ["polars", "mapping"])
def test_other_frames(kind, tmp_path):
    frame = ml.load_dataset("sleepstudy").astype({"Subject": str})
    given = pl.from_pandas(frame) if kind == "polars" else {name: frame[name].to_numpy() for name in frame}
    fit = ml.lmer("Reaction ~ Days + (Days | Subject)", given)
    again = reload(fit, tmp_path, data=True)
    np.testing.assert_allclose(again.update("Reaction ~ Days + (1 | Subject)").nobs, 180)
    assert str(ml.anova(again, type=3)) == str(ml.anova(fit, type=3))


def test_rows_left_out(tmp_path):
    frame = ml.load_dataset("sleepstudy")
    frame.loc[[3, 50], "Reaction"] = np.nan
    with pytest.warns(ml.MissingValuesWarning):
        fit = ml.lmer("Reaction ~ Days + (1 | Subject)", frame, na_action="exclude", weights=np.ones(180))
    for data in (False, True):
        again = reload(fit, tmp_path, data=data)
        assert again.n_missing == 2
        assert str(again.summary()) == str(fit.summary())
    pd.testing.assert_series_equal(again.fitted(), fit.fitted())
    with pytest.warns(ml.MissingValuesWarning):
        assert again.update(". ~ . - Days").nobs == 178


def test_a_fit_after_refit_is_saved_with_its_response(tmp_path):
    fit = rc.fit("sleepstudy_reml")
    again = reload(fit.refit(fit.get_me("y") * 2), tmp_path, data=True)
    assert again.fixef.iloc[1] == pytest.approx(2 * fit.fixef.iloc[1])
    np.testing.assert_allclose(again.augment()["Reaction"], 2 * fit.get_me("y"))
    smaller = again.update(". ~ . - Days")
    assert smaller.fixef.iloc[0] == pytest.approx(2 * fit.update(". ~ . - Days").fixef.iloc[0])


def test_data_that_parquet_cannot_hold(tmp_path):
    frame = ml.load_dataset("sleepstudy").assign(note=[object() for _ in range(180)])
    fit = ml.lmer("Reaction ~ Days + (1 | Subject)", frame)
    with pytest.raises(ml.DataError, match="cannot be written as Parquet"):
        fit.save(tmp_path / "fit.mlm", data=True)
    assert list(tmp_path.iterdir()) == []
    assert reload(fit, tmp_path).nobs == 180


def test_control_survives(tmp_path):
    control = ml.LmerControl(optimizer="nelder-mead", max_evaluations=5000, start=(1.0, 0.1, 0.5))
    fit = ml.lmer("Reaction ~ Days + (Days | Subject)", ml.load_dataset("sleepstudy"), control=control)
    assert reload(fit, tmp_path)._control == control


# ---- related levels ----------------------------------------------------------------------------------------------------


ANIMALS = rc.reference("covariance_structures")
PEDIGREE = pd.DataFrame(
    ANIMALS["pedigree"]["matrix"], index=ANIMALS["pedigree"]["labels"], columns=ANIMALS["pedigree"]["labels"]
)


@pytest.mark.parametrize("formula", ["y ~ x + (1 | animal)", "y ~ x + (1 | animal) + (1 | herd)"])
@pytest.mark.parametrize("data", [False, True])
def test_related_levels(formula, data, tmp_path):
    frame = pd.DataFrame(ANIMALS["data"]["animals"])
    fit = ml.lmer(formula, frame, relationship={"animal": PEDIGREE})
    again = reload(fit, tmp_path, data=data)
    assert json.loads(members(tmp_path / "fit.mlm")["manifest.json"])["version"] == 2
    assert str(again.summary(ddf="kenward-roger")) == str(fit.summary(ddf="kenward-roger"))
    pd.testing.assert_frame_equal(again.relatives("animal"), fit.relatives("animal"))
    pd.testing.assert_series_equal(again.predict(frame), fit.predict(frame))
    assert again.update(reml=False).loglik == pytest.approx(fit.update(reml=False).loglik, rel=1e-10)
    if data:
        smaller = ". ~ . - x"
        assert again.update(smaller).loglik == pytest.approx(fit.update(smaller).loglik, rel=1e-12)
        np.testing.assert_array_equal(again.simulate(2, rng=1), fit.simulate(2, rng=1))


def test_damaged_relationships(tmp_path):
    frame = pd.DataFrame(ANIMALS["data"]["animals"])
    ml.lmer("y ~ x + (1 | animal)", frame, relationship={"animal": PEDIGREE}).save(tmp_path / "fit.mlm")
    content = members(tmp_path / "fit.mlm")
    stored = json.loads(content["manifest.json"])
    name = stored["design"]["factors"][0]["relation"]["lower"]
    lower = np.load(io.BytesIO(content[name]))
    for wrong in (lower[:-1], np.zeros_like(lower), lower.T.copy(), np.where(lower > 0, np.nan, lower)):
        path = write(tmp_path / "wrong.mlm", {**content, name: npy(wrong)})
        with pytest.raises(ml.DataError, match="the relationship of levels"):
            ml.load(path)


# ---- residual structures -----------------------------------------------------------------------------------------------


RESIDUALS = {
    "variances": ml.var_ident("Days > 4"),
    "ar1": ml.cor_ar1("Days", within="Subject"),
    "car1": ml.cor_car1("Days"),
    "both": [ml.var_ident("half"), ml.cor_ar1()],
}


def residual_fit(name: str) -> tuple[ml.LinearMixedModel, pd.DataFrame]:
    frame = ml.load_dataset("sleepstudy").assign(half=lambda f: np.where(f["Days"] > 4, "late", "early"))
    return ml.lmer("Reaction ~ Days + (1 | Subject)", frame, residual=RESIDUALS[name]), frame


@pytest.mark.parametrize("data", [False, True])
@pytest.mark.parametrize("name", RESIDUALS)
def test_residual_structures(name, data, tmp_path):
    fit, frame = residual_fit(name)
    again = reload(fit, tmp_path, data=data)
    assert json.loads(members(tmp_path / "fit.mlm")["manifest.json"])["version"] == 3
    for loaded in (again, reload(again, tmp_path, data=data)):
        assert repr(loaded) == repr(fit)
        assert str(loaded.summary()) == str(fit.summary())
        assert str(loaded.residual_structure) == str(fit.residual_structure)
        pd.testing.assert_series_equal(loaded.residual_parameters, fit.residual_parameters)
        assert str(ml.anova(loaded, type=3)) == str(ml.anova(fit, type=3))
        np.testing.assert_array_equal(loaded.convergence.hessian, fit.convergence.hessian)
        pd.testing.assert_frame_equal(loaded.confint("wald"), fit.confint("wald"))
        pd.testing.assert_frame_equal(
            loaded.predict(frame[:7], interval="prediction"), fit.predict(frame[:7], interval="prediction")
        )
        pd.testing.assert_frame_equal(loaded.ranef()["Subject"], fit.ranef()["Subject"])
        if name == "variances":
            np.testing.assert_array_equal(loaded.simulate(2, frame, rng=1), fit.simulate(2, frame, rng=1))
    rows = {
        "residuals": lambda f: f.residuals("pearson"),
        "simulate": lambda f: f.simulate(2, rng=1),
        "refit": lambda f: f.refit(f.get_me("y")[::-1]).theta,
        "refit_many": lambda f: f.refit_many([f.get_me("y")[::-1]]),
        "other criterion": lambda f: f.update(reml=False).theta,
        "other model": lambda f: f.update(". ~ . - Days").theta,
    }
    for use in rows.values():
        if data:
            np.testing.assert_array_equal(use(again), use(fit))
        else:
            with pytest.raises(ml.DataError, match=r"rows|holds no data frame"):
                use(again)


def test_profiles_of_residual_structures_need_the_rows(tmp_path):
    again = reload(residual_fit("ar1")[0], tmp_path)
    with pytest.raises(ml.DataError, match="needs the rows of the data, and they were not saved with the fit"):
        _ = again._engine.residual.products.at(np.zeros(1))


def test_damaged_residual_structures(tmp_path):
    residual_fit("both")[0].save(tmp_path / "fit.mlm", data=True)
    content = members(tmp_path / "fit.mlm")
    stored = json.loads(content["manifest.json"])
    arrays = [name for name in content if name.startswith("residual/")] + [
        f"rows/{name}.npy" for name in ("stratum_codes", "sequence", "previous", "gap")
    ]
    assert len(arrays) == 10
    rng = np.random.default_rng(1)
    for name in arrays:
        array = np.load(io.BytesIO(content[name]))
        longer = np.concatenate([array, array[:1]])
        far = array.copy()
        far.flat[rng.integers(array.size)] = np.nan if array.dtype.kind == "f" else 10**6
        low = array.copy()
        low.flat[rng.integers(array.size)] = -np.inf if array.dtype.kind == "f" else -2
        for wrong in (longer, far, low):
            with pytest.raises(ml.DataError, match="damaged or no saved fit"):
                ml.load(write(tmp_path / "wrong.mlm", {**content, name: npy(wrong)}))
    order = np.load(io.BytesIO(content["rows/sequence.npy"]))
    for wrong in (order[::-1].copy(), np.zeros_like(order)):
        with pytest.raises(ml.DataError, match="the order of the rows is damaged"):
            ml.load(write(tmp_path / "wrong.mlm", {**content, "rows/sequence.npy": npy(wrong)}))
    delta = np.load(io.BytesIO(content["residual/delta.npy"]))
    for wrong, words in ((delta + 0.1, "do not fit together"), (delta + 1000.0, "out of range")):
        with pytest.raises(ml.DataError, match=words):
            ml.load(write(tmp_path / "wrong.mlm", {**content, "residual/delta.npy": npy(wrong)}))
    for change in (
        {"kind": "other"},
        {"strata": ["a", "a"]},
        {"strata": []},
        {"by": 3},
        {"rows": None},
        {"within": [1]},
    ):
        changed = {**stored, "residual": {**stored["residual"], **change}}
        with pytest.raises(ml.DataError, match="residual structure is"):
            ml.load(write(tmp_path / "wrong.mlm", {**content, "manifest.json": json.dumps(changed).encode()}))


# ---- earlier versions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["version_1", "version_1_rows"])
def test_files_of_earlier_versions(name):
    """Files that ``fit.save(path)`` and ``fit.save(path, data=True)`` wrote once, and that every later version must read."""
    again = ml.load(FOLDER / f"{name}.mlm")
    frame = pd.read_parquet(rc.FOLDER / "machines.parquet")
    fit = ml.lmer(str(again.formula), frame)
    # The last line has numbers of the size of rounding errors, which are not those of the version that wrote the file.
    written, now = (str(model.summary()).rpartition("exact gradient")[0] for model in (again, fit))
    assert len(written) > 0
    assert written == now
    np.testing.assert_allclose(again.predict(frame), fit.predict(), rtol=1e-10)
    if name.endswith("rows"):
        pd.testing.assert_series_equal(again.fitted(), fit.fitted())


def test_later_versions_are_refused(tmp_path):
    path = altered(tmp_path, manifest={"version": 4, "library": "9.9"})
    with pytest.raises(ml.DataError, match=r"written by multilevel 9\.9 in a format that this version .* cannot read"):
        ml.load(path)


# ---- damaged and hostile files -----------------------------------------------------------------------------------------


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path: Path, content: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def altered(tmp_path: Path, *, manifest=None, arrays=None, source="version_1_rows") -> Path:
    content = members(FOLDER / f"{source}.mlm")
    stored = json.loads(content["manifest.json"])
    stored.update(manifest or {})
    content["manifest.json"] = json.dumps(stored).encode()
    for name, array in (arrays or {}).items():
        content[name] = array if isinstance(array, bytes) else npy(array)
    return write(tmp_path / "altered.mlm", content)


def npy(array: np.ndarray, **options) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def test_files_that_are_no_fits(tmp_path):
    with pytest.raises(FileNotFoundError):
        ml.load(tmp_path / "nothing.mlm")
    for number, content in enumerate([b"", b"hello", pickle.dumps({"a": 1})]):
        path = tmp_path / f"{number}.mlm"
        path.write_bytes(content)
        with pytest.raises(ml.DataError, match="no saved fit"):
            ml.load(path)
    empty = write(tmp_path / "empty.mlm", {"other.txt": b"x"})
    with pytest.raises(ml.DataError, match="has no manifest"):
        ml.load(empty)
    other = write(tmp_path / "other.mlm", {"manifest.json": b'{"format": "something"}'})
    with pytest.raises(ml.DataError, match="no saved fit"):
        ml.load(other)
    listed = write(tmp_path / "listed.mlm", {"manifest.json": b"[1]"})
    with pytest.raises(ml.DataError, match="no saved fit"):
        ml.load(listed)


def test_pickled_arrays_are_not_unpickled(tmp_path):
    class Loud:
        def __reduce__(self):
            return (pytest.fail, ("something was executed",))

    path = altered(tmp_path, arrays={"engine/beta.npy": npy(np.array([Loud()]), allow_pickle=True)})
    with pytest.raises(ml.DataError, match="damaged"):
        ml.load(path)


def test_large_files(tmp_path):
    path = FOLDER / "version_1_rows.mlm"
    with pytest.raises(ml.DataError, match="give max_bytes= if you trust it"):
        ml.load(path, max_bytes=1000)
    huge = (
        b"\x93NUMPY\x01\x00v\x00"
        + b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }".ljust(117)
        + b"\n"
    )
    with pytest.raises(ml.DataError, match="another size than it says"):
        ml.load(altered(tmp_path, arrays={"engine/beta.npy": huge}))


def zip_of_one(body: bytes, method: int, said: int) -> bytes:
    """A zip file whose only member, the manifest, says of itself what it likes."""
    name = b"manifest.json"
    fields = (20, 0, method, 0, 0, 0, len(body), said, len(name), 0)
    local = struct.pack("<IHHHHHIIIHH", 0x04034B50, *fields) + name
    central = struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 20, *fields, 0, 0, 0, 0, 0) + name
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 1, 1, len(central), len(local) + len(body), 0)
    return local + body + central + end


@pytest.mark.parametrize("method", [8, 12, 14], ids=["deflate", "bzip2", "lzma"])
def test_a_member_that_lies_about_its_size_is_not_unpacked(method, tmp_path):
    packer = {8: zlib.compressobj(9, wbits=-15), 12: bz2.BZ2Compressor(9), 14: lzma.LZMACompressor()}[method]
    spaces = b" " * 2**24
    body = b"".join([*(packer.compress(spaces) for _ in range(8)), packer.flush()])
    path = tmp_path / "bomb.mlm"
    path.write_bytes(zip_of_one(body, method, 1000))
    tracemalloc.start()
    try:
        with pytest.raises(ml.DataError, match="damaged or no saved fit"):
            ml.load(path, max_bytes=1_000_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000


def test_lists_that_take_more_room_than_their_text(tmp_path):
    path = write(tmp_path / "lists.mlm", {"manifest.json": b"[" + b"[]," * 300_000 + b"[]]"})
    with pytest.raises(ml.DataError, match="give max_bytes= if you trust it"):
        ml.load(path, max_bytes=10_000_000)


def test_naming_one_array_many_times_counts_each_time(tmp_path):
    content = members(FOLDER / "version_1.mlm")
    stored = json.loads(content["manifest.json"])
    stored["encoder"]["matrices"] = [["x", str(i), "big.npy"] for i in range(100)]
    path = altered(tmp_path, manifest=stored, arrays={"big.npy": np.zeros((100, 1000))}, source="version_1")
    with pytest.raises(ml.DataError, match="give max_bytes= if you trust it"):
        ml.load(path, max_bytes=20_000_000)


def parquet(columns: dict[str, pa.Array], **options) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, **options)
    return buffer.getvalue()


def test_tables_that_expand_are_refused_before_they_are_decoded(tmp_path):
    machines = pd.read_parquet(rc.FOLDER / "machines.parquet")
    n = len(machines)
    zeros = pa.array(np.zeros(20_000_000, dtype=np.int8))
    # a few bytes that are 20 million rows, and one long text that stands in every row
    rows = parquet({"x": zeros})
    own = {name: pa.array(machines[name]) for name in machines}
    text = parquet({**own, "x": pa.array(["a" * 1_000_000] * n)})
    code = pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, dtype=np.int8)), pa.array(["a" * 1_000_000]))
    wide = parquet({f"x{i}": pa.array(np.zeros(n)) for i in range(3000)})
    for content, bound, words in (
        (rows, 2**31, f"a table has 20000000 rows and the fit {n}"),
        (text, 10_000_000, "give max_bytes= if you trust it"),
        (wide, 1_500_000, "give max_bytes= if you trust it"),
        (parquet({"x": pa.array([[1.0]] * n)}), 2**31, "lists or records"),
        (parquet({"x": pa.array([{"a": 1.0}] * n)}), 2**31, "lists or records"),
        (parquet({"x": pa.array(np.zeros(n))}, compression="zstd"), 2**31, "compressed in an unknown way"),
    ):
        path = altered(tmp_path, arrays={"rows/frame.parquet": content})
        before = pa.default_memory_pool().max_memory()
        with pytest.raises(ml.DataError, match=words):
            ml.load(path, max_bytes=bound)
        assert pa.default_memory_pool().max_memory() <= max(before, pa.total_allocated_bytes() + 4_000_000)
    # A text that stays in a dictionary is not laid out, and there is room for the other where more is allowed.
    for content in (text, parquet({**own, "x": code})):
        again = ml.load(altered(tmp_path, arrays={"rows/frame.parquet": content}), max_bytes=100_000_000)
        assert set(again._data.frame["x"]) == {"a" * 1_000_000}
    with pytest.raises(ml.DataError, match="no column named 'score'"):
        ml.load(altered(tmp_path, arrays={"rows/frame.parquet": parquet({"x": code})}), max_bytes=100_000_000)


def test_tables_of_many_rows_come_back_as_they_were(tmp_path):
    rng = np.random.default_rng(3)
    n = 150_000
    frame = pd.DataFrame(
        {
            "a.b": rng.choice(["x", "y", None], n),
            "kind": pd.Categorical(
                rng.choice(["low", "mid", "high"], n), ["low", "mid", "high", "never"], ordered=True
            ),
            "bytes": pd.Series([b"1", b"23"] * (n // 2)),
            "number": rng.normal(size=n),
            "count": pd.array(rng.integers(0, 9, n), dtype="Int64"),
            "day": pd.to_datetime("2024-01-01") + pd.to_timedelta(rng.integers(0, 90, n), unit="D"),
        }
    )
    writer = ArchiveWriter()
    writer.member("table", frame_content(frame))
    writer.write(tmp_path / "table.zip", {})
    reader = ArchiveReader(tmp_path / "table.zip", 100_000_000)
    again = read_table("table", reader, n)
    pd.testing.assert_frame_equal(again, frame)
    with pytest.raises(ValueError, match=f"has {n} rows and the fit 10"):
        read_table("table", reader, 10)
    reader.close()


def test_lists_are_not_saved(tmp_path):
    frame = ml.load_dataset("sleepstudy").assign(note=[[1, 2]] * 180)
    fit = ml.lmer("Reaction ~ Days + (1 | Subject)", frame)
    with pytest.raises(ml.DataError, match="the column 'note' has lists or records for values"):
        fit.save(tmp_path / "fit.mlm", data=True)


def test_truncated_and_flipped_files(tmp_path):
    content = (FOLDER / "version_1_rows.mlm").read_bytes()
    path = tmp_path / "broken.mlm"
    rng = np.random.default_rng(1)
    for end in rng.integers(1, len(content) - 1, 20).tolist():
        path.write_bytes(content[:end])
        with pytest.raises(ml.DataError):
            ml.load(path)
    for at in rng.integers(0, len(content), 200).tolist():
        path.write_bytes(content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :])
        load_or_refuse(path)


def load_or_refuse(path: Path) -> bool:
    """Load a file and use the fit; say whether that was possible. Nothing but our own errors may come out."""
    try:
        fit = ml.load(path)
        fit.summary()
        fit.ranef(cond_var=True)
    except ml.MultilevelError:
        return False
    return True


def test_altered_arrays_are_refused_or_harmless(tmp_path):
    """Every array with numbers of any size, and in other shapes: the kernels must never see places out of range."""
    content = members(FOLDER / "version_1_rows.mlm")
    arrays = [name for name in content if name.endswith(".npy")]
    rng = np.random.default_rng(2)
    refused = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for name in arrays:
            array = np.load(io.BytesIO(content[name]))
            if not array.size:
                continue
            for change in ("negative", "large", "shuffled", "short", "long", "zero", "nan"):
                new = array.copy()
                if change in ("negative", "large", "nan"):
                    value = {"negative": -3, "large": 10**6, "nan": np.nan if array.dtype.kind == "f" else -1}[change]
                    new.flat[rng.integers(array.size)] = value
                elif change == "shuffled":
                    new = rng.permutation(array.ravel()).reshape(array.shape)
                elif change == "zero":
                    new[...] = 0
                else:
                    new = array[:-1] if change == "short" else np.concatenate([array, array[:1]])
                path = altered(tmp_path, arrays={name: new})
                refused += not load_or_refuse(path)
    assert refused > 3 * len(arrays)


def test_altered_manifests_are_refused(tmp_path):
    stored = json.loads(members(FOLDER / "version_1.mlm")["manifest.json"])

    def leaves(value, path=()):
        if isinstance(value, dict):
            for key in value:
                yield from leaves(value[key], (*path, key))
        elif isinstance(value, list):
            for i, item in enumerate(value[:2]):
                yield from leaves(item, (*path, i))
        yield path

    paths = [path for path in leaves(stored) if path]
    count = 0
    for number, value in enumerate((None, -1, "other")):
        for path in paths[number::3]:
            changed = json.loads(json.dumps(stored))
            at = changed
            for key in path[:-1]:
                at = at[key]
            at[path[-1]] = value
            file = altered(tmp_path, manifest=changed, source="version_1")
            count += not load_or_refuse(file)
    assert count > 0.4 * len(paths)


FRAME = pd.DataFrame(
    {
        "y": np.sin(np.arange(90.0)),
        "x": np.cos(np.arange(90.0) ** 1.1),
        "arm": pd.Series(list("abc") * 30),
        "grade": pd.Categorical(np.repeat(["low", "mid", "high"], 30), ["low", "mid", "high"], ordered=True),
        "site": np.arange(90) % 7,
    }
)


def test_a_memory_that_does_not_fit_the_design_is_refused(tmp_path):
    """Whatever is changed in what a design remembers: refused at once, or a fit of which every use works or says why not."""
    formula = "y ~ poly(x, 2) + ns(x, 3) + cut(x, c(-2, 0, 0.5, 2)) + scale(x):arm + relevel(arm, 'b'):x + grade + (1 + x | site)"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ml.MultilevelWarning)
        fit = ml.lmer(formula, FRAME, contrasts={"arm": "sum"})
    fit.save(tmp_path / "fit.mlm")
    content = members(tmp_path / "fit.mlm")
    stored = json.loads(content["manifest.json"])

    def places(value, path=()):
        if isinstance(value, dict | list):
            for key in value if isinstance(value, dict) else range(len(value)):
                yield (*path, key)
                yield from places(value[key], (*path, key))

    found = [place for part in ("encoder", "design", "arguments") for place in places(stored[part], (part,))]
    chance = random.Random(3)
    values = [None, -1, 0, 1, 10**30, 1.5, "x", "arm", [], {}, [1], ["x"], {"number": "nan"}]
    refused, used = 0, 0
    for _ in range(400):
        changed = json.loads(json.dumps(stored))
        place = chance.choice(found)
        at = changed
        for key in place[:-1]:
            at = at[key]
        at[place[-1]] = chance.choice(values)
        path = write(tmp_path / "changed.mlm", {**content, "manifest.json": json.dumps(changed).encode()})
        try:
            again = ml.load(path)
        except ml.DataError:
            refused += 1
            continue
        for use in (
            lambda fit=again: fit.predict(FRAME.iloc[:3], se=True),
            lambda fit=again: fit.simulate(1, FRAME.iloc[:3], rng=1),
            lambda fit=again: ml.anova(fit, type=3),
            lambda fit=again: fit.tidy(("fixed", "ran_vals")),
            lambda fit=again: fit.save(tmp_path / "again.mlm"),
        ):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with contextlib.suppress(ml.MultilevelError):
                    use()
                    used += 1
    assert refused > 200
    assert used > 100


@pytest.mark.parametrize(
    "term",
    [
        "sin(2 * pi * t / 12)",
        "poly(t, 2, raw = T)",
        "poly(x, t, degree = 2)",
        "I(max(x, 4) - x)",
        "factor(t, labels = c('a', 'b', 'c', 'd'))",
        "as.numeric(factor(f))",
        "dummy(f, 'b')",
        "interaction(f, h)",
        "paste(f, t)",
        "(x > 3)",
        "splines::ns(x, 3)",
        "C(f)",
        "offset(pi * x) + x",
    ],
)
def test_functions_of_formulas(term, tmp_path):
    n = 96
    rng = np.random.default_rng(8)
    data = pd.DataFrame(
        {
            "y": rng.normal(size=n),
            "x": rng.uniform(1, 5, n),
            "t": np.arange(n) % 4,
            "f": np.array(list("abc"))[np.arange(n) % 3],
            "h": np.array(list("uv"))[np.arange(n) // 2 % 2],
            "g": np.arange(n) // 8,
        }
    )
    fit = ml.lmer(f"y ~ {term} + (1 | g)", data)
    # A column that comes later does not take the place of a constant of R.
    row = data.iloc[[13]].assign(T=0.0, pi=1.0)
    for again in (reload(fit, tmp_path), pickle.loads(pickle.dumps(fit))):
        np.testing.assert_allclose(again.predict(row), fit.predict(data).iloc[[13]], rtol=1e-12)
        assert again.formula.variables == fit.formula.variables
        assert str(again.summary()) == str(fit.summary())
