"""The values that R wrote, and the frame they were written for."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

REFERENCE = Path(__file__).parent.parent / "reference" / "formula_designs.json"


@cache
def reference() -> dict[str, Any]:
    return json.loads(REFERENCE.read_text())


def typed_frame() -> pd.DataFrame:
    data = pd.DataFrame(reference()["data"])
    data["b"] = pd.Categorical(data["b"], categories=["low", "mid", "high"])
    data["dose"] = pd.Categorical(data["dose"], ordered=True)
    return data
