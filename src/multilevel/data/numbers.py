"""Numbers as R prints them: at most fifteen significant digits, and whichever of two notations is shorter."""

from __future__ import annotations

import math

SIGNIFICANT_DIGITS = 15


def format_number(value: float) -> str:
    """Format a number as R's ``as.character`` does.

    Examples
    --------
    >>> [format_number(v) for v in (1.0, 0.1, 100000.0, 123456.0, 1e-5, 1 / 3)]
    ['1', '0.1', '1e+05', '123456', '1e-05', '0.333333333333333']
    """
    value = float(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Inf" if value > 0 else "-Inf"
    if value == 0:
        return "0"
    mantissa, exponent_text = f"{value:.{SIGNIFICANT_DIGITS - 1}e}".split("e")
    exponent = int(exponent_text)
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    digits = len(mantissa.lstrip("-").replace(".", ""))
    decimals = max(0, digits - 1 - exponent)
    fixed = f"{value:.{decimals}f}"
    scientific = f"{mantissa}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"
    return fixed if len(fixed) <= len(scientific) else scientific
