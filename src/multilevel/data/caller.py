"""Warnings that point at the line of the user's that caused them, however deep in the package they arise."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

_PACKAGE = str(Path(__file__).parent.parent)


def warn_caller(message: str, category: type[Warning]) -> None:
    """Issue a warning as if the code that called this package had."""
    level = 2  # 1 is this function
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
        level += 1
    warnings.warn(message, category, stacklevel=level)
