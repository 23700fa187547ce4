"""The public names, what importing them costs, and the examples in the docstrings."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import inspect
import pkgutil
import subprocess
import sys
import warnings

import pytest

import multilevel as ml

# Modules whose import needs a package that may be missing.
OPTIONAL = {"plotnine", "nlopt", "sklearn"}


def run(code: str) -> str:
    """Run code in a fresh interpreter and return what it prints."""
    found = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    return found.stdout.strip()


def test_importing_the_package_imports_nothing_heavy():
    heavy = "{'numpy', 'pandas', 'scipy', 'numba', 'narwhals', 'pyarrow', 'polars', 'formulaic', 'plotnine', 'nlopt'}"
    assert run(f"import sys, multilevel; print(sorted({heavy} & set(sys.modules)))") == "[]"


def test_errors_need_nothing_heavy():
    assert run("import sys; from multilevel import DataError; print('numpy' in sys.modules)") == "False"


@pytest.mark.parametrize("name", ml.__all__)
def test_every_name_resolves(name):
    value = getattr(ml, name)
    assert value is not None
    assert getattr(ml, name) is value
    if name != "__version__":
        assert value.__doc__


def test_names_are_listed_once_and_in_order():
    assert len(set(ml.__all__)) == len(ml.__all__)
    assert dir(ml) == sorted(ml.__all__)
    assert set(ml._HOME) | {"__version__"} == set(ml.__all__)


def test_star_import():
    assert run("from multilevel import *; print(lmer.__name__, LmerControl().optimizer)") == "lmer newton"


def test_unknown_names():
    with pytest.raises(AttributeError, match="'multilevel' has no attribute 'glmer'"):
        _ = ml.glmer


def test_version():
    from importlib.metadata import version

    assert ml.__version__ == version("multilevel")


def test_errors_are_also_the_built_in_ones():
    for error, builtin in [
        (ml.FormulaError, ValueError),
        (ml.UnknownColumnError, KeyError),
        (ml.DataError, ValueError),
        (ml.DataTypeError, TypeError),
        (ml.ControlError, ValueError),
        (ml.MissingDependencyError, ImportError),
    ]:
        assert issubclass(error, ml.MultilevelError)
        assert issubclass(error, builtin)
        assert str(error("what is wrong")) == "what is wrong"
    for warning in (ml.MissingValuesWarning, ml.RankDeficiencyWarning, ml.ConvergenceWarning):
        assert issubclass(warning, ml.MultilevelWarning)
        assert issubclass(warning, UserWarning)


class Finder(doctest.DocTestFinder):
    """Finds the examples of functions whose arguments are checked, too: they are behind a function of another module."""

    def _from_module(self, module, object):
        return super()._from_module(module, inspect.unwrap(object))


# ---- examples ----------------------------------------------------------------------------------------------------------

MODULES = sorted(module.name for module in pkgutil.walk_packages(ml.__path__, "multilevel."))


@pytest.mark.parametrize("name", ["multilevel", *MODULES])
def test_examples(name):
    if name.endswith("__main__"):
        pytest.skip("runs the command line")
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        if error.name in OPTIONAL:
            pytest.skip(f"needs {error.name}")
        raise
    finder = Finder(exclude_empty=True)
    for test in finder.find(module, name):
        if any(package in example.source for example in test.examples for package in OPTIONAL) and not all(
            importlib.util.find_spec(package) for package in OPTIONAL
        ):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
            printed: list[str] = []
            runner.run(test, out=printed.append)
        assert runner.summarize(verbose=False).failed == 0, "".join(printed)


def test_the_main_functions_have_examples():
    for name in ("lmer", "LmerControl", "LinearMixedModel", "load_dataset", "parse_formula"):
        assert ">>>" in getattr(ml, name).__doc__, name
