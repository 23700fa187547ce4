"""The stored prints of R and of this package."""

from __future__ import annotations

import functools
import json
import os
import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


@functools.cache
def r_printing() -> dict[str, Any]:
    """Return what R printed."""
    return json.loads((HERE / "r_printing.json").read_text())


def without_ending(text: str) -> str:
    """Take out what differs between machines: how near to the optimum a fit ended."""
    return re.sub(r"\d+ evaluations?\): exact gradient \S+ gain left \S+", "… evaluations): …", text)


def check_expected(name: str, text: str) -> None:
    """Compare a text with the stored one; ``REWRITE_EXPECTED=1 pytest tests/reporting`` stores anew."""
    file = HERE / "expected" / name
    own = without_ending(text) + "\n"
    if os.environ.get("REWRITE_EXPECTED"):
        file.write_text(own, encoding="utf-8")
    assert own == file.read_text(encoding="utf-8")
