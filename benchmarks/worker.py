"""Fits models with one package, on command.

Run in the environment of the package it measures: ``python worker.py PACKAGE``. Commands come on standard input, one a
line; each is answered by one line on standard output that starts with ``@@`` and holds JSON. The module uses nothing
outside the standard library, NumPy and pandas besides the package itself, and imports nothing from the other modules
of the benchmark, because none of them is installed there.

Commands
--------
``open JSON``
    Load the data of a model.
``fit COUNT``
    Fit it that many times from the data frame; answer with the seconds each call took.
``estimates``
    Criterion and estimates of the last fit.
``refit FILE COUNT``
    Fit that many new responses by the package's quickest way; answer with the seconds they took together.
``quit``
    End.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import importlib.metadata
import json
import os
import sys
import time
import warnings
from typing import Any

clock = time.perf_counter


class UnsupportedModelError(Exception):
    """The package cannot fit the model."""


class Adapter:
    """How one package is called."""

    distribution = ""
    module = ""

    def __init__(self) -> None:
        self.package = importlib.import_module(self.module)
        self._refit: Any = None

    def load(self, model: dict[str, Any]) -> Any:
        import pandas as pd

        return pd.read_parquet(model["parquet"])

    def size(self, data: Any) -> int:
        return int(data.memory_usage(index=False, deep=True).sum())

    def fit(self, model: dict[str, Any], data: Any) -> Any:
        raise NotImplementedError

    def estimates(self, fit: Any) -> dict[str, Any]:
        raise NotImplementedError

    def refit_all(self, model: dict[str, Any], data: Any, responses: Any) -> None:
        """Fit every response, one after the other."""
        if self._refit is None:
            self._refit = self.refitter(model, data)
        for response in responses:
            self._refit(response)

    def refitter(self, model: dict[str, Any], data: Any) -> Any:
        """Return a function that fits a new response; by default a whole fit of a changed frame."""
        response = model["response"]

        def refit(y: Any) -> Any:
            return self.fit(model, data.assign(**{response: y}))

        return refit


class Multilevel(Adapter):
    distribution = "multilevel"
    module = "multilevel"

    def fit(self, model: dict[str, Any], data: Any) -> Any:
        return self.package.lmer(model["formula"], data, reml=True)

    def estimates(self, fit: Any) -> dict[str, Any]:
        return {
            "criterion": float(fit.reml_criterion),
            "fixef": [float(value) for value in fit.fixef],
            "sigma": float(fit.sigma),
            "converged": fit.convergence.status != "not converged",
        }

    def refit_all(self, model: dict[str, Any], data: Any, responses: Any) -> None:
        # Many responses at once are a call of their own.
        self.fit(model, data).refit_many(responses, threads=1)


class Glmm(Adapter):
    distribution = "glmm"
    module = "glmm"
    options: dict[str, Any] = {}  # noqa: RUF012

    def fit(self, model: dict[str, Any], data: Any) -> Any:
        return self.package.fit(data, model["formula"], reml=True, **self.options)

    def estimates(self, fit: Any) -> dict[str, Any]:
        return {
            "criterion": -2 * fit.loglik,
            "fixef": list(fit.beta),
            "sigma": fit.dispersion**0.5,
            "converged": bool(fit.converged),
        }

    def refitter(self, model: dict[str, Any], data: Any) -> Any:
        # There is no refit: a whole fit, from a dict of columns, which it reads faster than a frame.
        columns = {name: data[name].array if data[name].dtype == "category" else data[name].to_numpy() for name in data}
        formula, response = model["formula"], model["response"]

        def refit(y: Any) -> Any:
            columns[response] = y
            return self.package.fit(columns, formula, reml=True, **self.options)

        return refit


class GlmmLean(Glmm):
    # Without the degrees of freedom and with the simpler standard errors, which lme4 computes too.
    options = {"satterthwaite": False, "wald_se": "rx"}  # noqa: RUF012


class LmePython(Adapter):
    distribution = "lme-python"
    module = "lme_python"

    def load(self, model: dict[str, Any]) -> Any:
        # Its own data frame: a polars one, with strings for factors, is what it reads fastest.
        import polars as pl

        frame = pl.read_parquet(model["parquet"])
        return frame.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))

    def size(self, data: Any) -> int:
        return int(data.estimated_size())

    def fit(self, model: dict[str, Any], data: Any) -> Any:
        return self.package.lmer(model["formula"], data, reml=True)

    def estimates(self, fit: Any) -> dict[str, Any]:
        return {
            "criterion": fit.reml_criterion,
            "fixef": list(fit.coefficients),
            "sigma": fit.sigma2**0.5,
            "converged": bool(fit.converged),
        }

    def refitter(self, model: dict[str, Any], data: Any) -> Any:
        prepared = self.package.prepare_lmer(model["formula"], data)
        return lambda y: prepared.fit(y=y.tolist(), reml=True)


class Mixedlm(Adapter):
    distribution = "mixedlm"
    module = "mixedlm"

    def fit(self, model: dict[str, Any], data: Any) -> Any:
        return self.package.lmer(model["formula"], data, REML=True)

    def estimates(self, fit: Any) -> dict[str, Any]:
        return {
            "criterion": float(fit.REMLcrit()),
            "fixef": [float(value) for value in fit.fixef().values()],
            "sigma": float(fit.sigma),
            "converged": bool(fit.converged),
        }

    def refitter(self, model: dict[str, Any], data: Any) -> Any:
        return self.fit(model, data).refit


class MixedlmRs(Adapter):
    distribution = "mixedlm-rs"
    module = "mixedlm_rs"

    def build(self, model: dict[str, Any], data: Any) -> Any:
        if len(model["random"]) > 1:
            raise UnsupportedModelError("one grouping factor only")
        terms, (group,) = model["random"][0]
        return self.package.mixedlm(
            f"{model['response']} ~ {model['fixed']}", data, groups=group, re_formula=f"~ {terms}"
        )

    def fit(self, model: dict[str, Any], data: Any) -> Any:
        return self.build(model, data).fit(reml=True)

    def estimates(self, fit: Any) -> dict[str, Any]:
        return {
            "criterion": float(-2 * fit.llf),
            "fixef": [float(value) for value in fit.fe_params],
            "sigma": float(fit.scale**0.5),
            "converged": bool(fit.converged),
        }

    def refitter(self, model: dict[str, Any], data: Any) -> Any:
        built = self.build(model, data)
        return lambda y: built.with_endog(y).fit(reml=True)


class Statsmodels(MixedlmRs):
    distribution = "statsmodels"
    module = "statsmodels.formula.api"

    def build(self, model: dict[str, Any], data: Any) -> Any:
        groups = [group for _, group in model["random"]]
        fixed = f"{model['response']} ~ {model['fixed']}"
        if len(groups) == 1:
            return self.package.mixedlm(fixed, data, groups=groups[0][0], re_formula=f"~ {model['random'][0][0]}")
        if len(groups) == 2 and groups[1][:1] == groups[0]:
            inner = groups[1][1]
            return self.package.mixedlm(
                fixed, data, groups=groups[0][0], re_formula="1", vc_formula={inner: f"0 + C(Q('{inner}'))"}
            )
        raise UnsupportedModelError("crossed factors only as one dense group of all rows")

    def refitter(self, model: dict[str, Any], data: Any) -> Any:
        return Adapter.refitter(self, model, data)


class Interlace(Adapter):
    distribution = "interlace-lme"
    module = "interlace"

    def fit(self, model: dict[str, Any], data: Any) -> Any:
        random = []
        for terms, columns in model["random"]:
            if len(columns) > 1:  # it has no interactions of grouping factors
                name = "_by_".join(columns)
                joined = data[columns[0]].astype(str)
                for column in columns[1:]:
                    joined = joined + ":" + data[column].astype(str)
                data = data.assign(**{name: joined})
            else:
                name = columns[0]
            random.append(f"({terms} | {name})")
        return self.package.fit(f"{model['response']} ~ {model['fixed']}", data, random=random, method="REML")

    def estimates(self, fit: Any) -> dict[str, Any]:
        return {
            "criterion": float(-2 * fit.llf),
            "fixef": [float(value) for value in fit.fe_params],
            "sigma": float(fit.scale**0.5),
            "converged": bool(fit.converged),
        }


ADAPTERS: dict[str, type[Adapter]] = {
    "multilevel": Multilevel,
    "glmm": Glmm,
    "glmm-lean": GlmmLean,
    "lme-python": LmePython,
    "mixedlm": Mixedlm,
    "mixedlm-rs": MixedlmRs,
    "statsmodels": Statsmodels,
    "interlace-lme": Interlace,
}


def read_responses(path: str, rows: int) -> Any:
    import numpy as np

    return np.fromfile(path, dtype="<f8").reshape(-1, rows)


def settle() -> None:
    """Give back what reading the data left behind, so that a fit's memory is measured from a clean start."""
    gc.collect()
    pyarrow = sys.modules.get("pyarrow")
    if pyarrow is not None:
        pyarrow.default_memory_pool().release_unused()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


class State:
    """What lasts between commands: an adapter, a model, its data and the last fit."""

    def __init__(self, package: str) -> None:
        start = clock()
        self.adapter = ADAPTERS[package]()
        self.import_seconds = clock() - start
        self.model: dict[str, Any] = {}
        self.data: Any = None
        self.last: Any = None

    def answer(self, command: str, argument: str) -> dict[str, Any]:
        """Carry out one command."""
        match command:
            case "open":
                self.last = self.data = None
                self.model = json.loads(argument)
                self.data = self.adapter.load(self.model)
                settle()
                return {"rows": len(self.data), "bytes": self.adapter.size(self.data)}
            case "fit":
                seconds = []
                for _ in range(int(argument)):
                    self.last = None
                    start = clock()
                    self.last = self.adapter.fit(self.model, self.data)
                    seconds.append(clock() - start)
                return {"seconds": seconds}
            case "estimates":
                return self.adapter.estimates(self.last)
            case "refit":
                path, count = argument.rsplit(" ", 1)
                responses = read_responses(path, len(self.data))
                wanted = responses[[i % len(responses) for i in range(int(count))]]
                start = clock()
                self.adapter.refit_all(self.model, self.data, wanted)
                return {"seconds": clock() - start}
        raise ValueError(f"unknown command {command!r}")


def main() -> None:
    # Whatever a package prints must not mix with the answers.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")

    def reply(content: dict[str, Any]) -> None:
        replies.write("@@ " + json.dumps(content) + "\n")
        replies.flush()

    try:
        state = State(sys.argv[1])
        version = importlib.metadata.version(state.adapter.distribution)
    except Exception as problem:
        reply({"error": f"{type(problem).__name__}: {problem}"})
        return
    reply({"import": state.import_seconds, "version": version})
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        if command == "quit":
            break
        try:
            reply(state.answer(command, argument))
        except UnsupportedModelError as problem:
            reply({"unsupported": str(problem)})
        except Exception as problem:
            reply({"error": f"{type(problem).__name__}: {problem}"[:400]})


if __name__ == "__main__":
    main()
