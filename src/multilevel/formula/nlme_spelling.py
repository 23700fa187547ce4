"""What to write here for the residual structures of R's nlme, for messages to those who write them as nlme does."""

from __future__ import annotations

import re

CALL = re.compile(r"\s*(?P<name>[A-Za-z][A-Za-z0-9]*)\s*(?:\((?P<inside>.*)\))?\s*", re.DOTALL)
FORM = re.compile(r"~(?P<left>[^|,]*)(?:\|(?P<groups>[^|,]*))?")

CORRELATIONS = {"corAR1": "cor_ar1", "corCAR1": "cor_car1", "ar1": "cor_ar1", "car1": "cor_car1", "AR1": "cor_ar1"}
"""The function here for each of nlme's, and for bare words."""

INSTEAD = {
    "corCompSymm": "residuals that are equally correlated within g are those of a random intercept, the term (1 | g)",
    "varFixed": "known variances v are prior weights, weights = 1/v",
}
"""What takes the place of structures that are written otherwise here."""

ABSENT = frozenset(
    {"corSymm", "corARMA", "corExp", "corGaus", "corLin", "corRatio", "corSpher", "varPower", "varExp", "varConstPower"}
)
"""Structures of nlme that are not here."""


def combination(text: str) -> str:
    """Return a formula of factors, such as ``g/visit`` or ``a*b``, as the combination of their levels, ``g:visit``."""
    return ":".join(part.strip() for part in re.split(r"[/*:]", text))


def nlme_advice(text: str) -> str:
    """Return in a clause what to write for a structure in nlme's spelling; empty where the text is no such structure."""
    call = CALL.fullmatch(text)
    if call is None:
        return ""
    name = call["name"]
    if name in INSTEAD:
        return INSTEAD[name]
    if name in ABSENT:
        return f"{name}() is not available; there are var_ident(), cor_ar1() and cor_car1()"
    if name in CORRELATIONS:
        return f"write {correlation_call(CORRELATIONS[name], call['inside'] or '')}"
    if name == "varIdent":
        return f"write {strata_call(call['inside'] or '')}"
    return ""


def strata_call(form: str) -> str:
    """Return the call for variances by the groups of a formula such as ``~ 1 | sex``."""
    found = FORM.search(form)
    groups = found["groups"] if found is not None else None
    return f"var_ident({combination(groups)!r})" if groups else "var_ident('f') for a variance for each level of f"


def correlation_call(function: str, form: str) -> str:
    """Return the call for a correlation over a formula such as ``~ time | g``."""
    found = FORM.search(form)
    if found is None:
        return f"{function}('time', within='g')"
    arguments = [] if found["left"].strip() in ("", "1") else [repr(found["left"].strip())]
    if found["groups"]:
        arguments.append(f"within={combination(found['groups'])!r}")
    return f"{function}({', '.join(arguments)})"
