"""Turns stored results into tables."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from .environments import PEERS
from .models import MODELS

ROOT = Path(__file__).resolve().parent
TARGET = ROOT / "RESULTS.md"
README = ROOT.parent / "README.md"
BEGIN, END = "<!-- benchmarks -->", "<!-- /benchmarks -->"
REFERENCES = ("multilevel", "lme4")
"""Whose times and criteria the others are compared with: the first that has a result."""

TITLES = {"glmm-lean": "glmm, no df"}


def progress(what: str, name: str, result: dict[str, Any]) -> None:
    """Print one line about a measurement."""
    shown = {
        key: float(f"{value:.9g}") if isinstance(value, float) else value
        for key, value in result.items()
        if not isinstance(value, list) and key not in {"rows", "sigma"}
    }
    print(f"{what:18} {name:14} {shown}", flush=True)


def duration(seconds: float) -> str:
    """Write a duration with three digits in a fitting unit."""
    for factor, unit in ((1, "s"), (1e3, "ms")):
        value = seconds * factor
        if value >= 1:
            return f"{value:.3g} {unit}" if value < 1000 else f"{value:.0f} {unit}"
    return f"{seconds * 1e6:.0f} µs"


def ratio(value: float) -> str:
    """Write a ratio with two digits."""
    return f"{value:.0f}×" if value >= 10 else f"{value:.2g}×"


def reference(peers: dict[str, Any], key: str) -> tuple[str, float]:
    """Return whose figure the others are compared with, and the figure."""
    for name in REFERENCES:
        if peers.get(name, {}).get(key) is not None:
            return name, float(peers[name][key])
    return "", math.nan


def columns(entries: list[dict[str, Any]]) -> list[str]:
    """Return the peers that occur in any of the entries, in the usual order."""
    return [name for name in PEERS if any(name in entry["peers"] for entry in entries)]


def table(header: list[str], rows: list[list[str]]) -> str:
    """Lay out a Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" + " ---: |" * (len(header) - 1)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def short(note: str) -> str:
    """Shorten a note for a table cell."""
    first = note.replace("|", "/").partition("\n")[0]
    if first.startswith("cannot:"):
        return "–"
    return first if len(first) <= 60 else first[:57] + "…"


def times(entries: dict[str, dict[str, Any]]) -> str:
    """Make the table of medians and their ratios to the reference."""
    names = columns(list(entries.values()))
    rows = []
    for key, entry in entries.items():
        peers, cells = entry["peers"], []
        chosen, base = reference(peers, "median")
        for name in names:
            result = peers.get(name, {})
            if "median" not in result:
                cells.append(short(result.get("note", "")))
            elif name == chosen:
                cells.append(f"**{duration(result['median'])}**")
            elif chosen:
                cells.append(f"{duration(result['median'])} ({ratio(result['median'] / base)})")
            else:
                cells.append(duration(result["median"]))
        rows.append([MODELS[key].title, *cells])
    return table(["model", *(TITLES.get(name, name) for name in names)], rows)


def agreement(entries: dict[str, dict[str, Any]]) -> str:
    """Make the table of the REML criteria's differences from the reference."""
    names = columns(list(entries.values()))
    rows = []
    for key, entry in entries.items():
        peers, cells = entry["peers"], []
        chosen, base = reference(peers, "criterion")
        for name in names:
            criterion = peers.get(name, {}).get("criterion")
            if criterion is None:
                cells.append("")
            elif name == chosen or not chosen:
                cells.append(f"{criterion:.6f}")
            else:
                cells.append(f"{criterion - base:+.1e}")
            if peers.get(name, {}).get("converged") is False:
                cells[-1] += " (says it did not converge)"
        rows.append([MODELS[key].title, *cells])
    return table(["model", *(TITLES.get(name, name) for name in names)], rows)


def extras(stored: dict[str, Any]) -> str:
    """Make the table of refit rates, memory and start-up times."""
    found = stored.get("extras", {})
    rows = []
    for name in columns(list(found.values())):
        refit, memory, start = (
            found.get(kind, {}).get("peers", {}).get(name, {}) for kind in ("refit", "memory", "start")
        )
        row = [TITLES.get(name, name)]
        row.append(f"{refit['median']:,.0f}" if "median" in refit else short(refit.get("note", "")))
        if "increase" in memory:
            relative = memory["increase"] / memory["frame"]
            row.append(f"{memory['increase'] / 2**20:,.0f} MB ({relative:.1f}×)")
        else:
            row.append(short(memory.get("note", "")))
        row += [
            duration(start[f"{k}_median"]) if f"{k}_median" in start else "" for k in ("import", "first", "process")
        ]
        rows.append(row)
    header = ["package", "refits a second", "memory, 500,000 rows (× the frame)", "import", "first fit", "process"]
    return table(header, rows)


def render(stored: dict[str, Any]) -> str:
    """Write everything as Markdown."""
    entries = {name: stored.get("models", {})[name] for name in MODELS if name in stored.get("models", {})}
    machine = stored.get("machine", {})
    versions: dict[str, str] = {}
    for entry in entries.values():
        for name, result in entry["peers"].items():
            if "version" in result:
                versions[TITLES.get(name, name)] = result["version"]
    threads = machine.get("threads")
    parts = [
        "Median time from data frame to fitted model, by REML, in one process after one warm-up call; the packages"
        " take turns. In brackets: times as long as the reference, in bold (multilevel where it was run, else lme4)."
        " A dash: the package has no such model.",
    ]
    if entries:
        parts.append(times(entries))
        parts.append("REML criterion of the reference, and how far each package ends above (+) or below (−) it:")
        parts.append(agreement(entries))
    if stored.get("extras"):
        parts.append(
            "New responses for the `sleepstudy` design fitted per second with one thread; how far one fit of the"
            " 500,000-row model drives up the resident memory; importing the package, its first fit of"
            " `sleepstudy`, and a whole fresh process from its start over reading the data to that fit:"
        )
        parts.append(extras(stored))
    parts.append(
        f"Measured on {machine.get('cores', '?')} cores of {machine.get('processor', '?')}"
        f" ({machine.get('system', '?')}), "
        + (f"{threads} thread(s) per package" if threads else "each package with its default number of threads")
        + ". Versions: "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + "."
    )
    return "\n\n".join(parts) + "\n"


def write(stored: dict[str, Any], *, readme: bool = False) -> str:
    """Write RESULTS.md, on request the README too, and return the text."""
    text = render(stored)
    TARGET.write_text("# Benchmark results\n\n" + text, encoding="utf-8")
    if readme:
        content = README.read_text(encoding="utf-8")
        if BEGIN not in content or END not in content:
            print(f"README.md has no {BEGIN} … {END} to fill")
        else:
            head, _, rest = content.partition(BEGIN)
            _, _, tail = rest.partition(END)
            README.write_text(f"{head}{BEGIN}\n\n{text}\n{END}{tail}", encoding="utf-8")
    return text
