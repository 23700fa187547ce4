"""Turn the CSV and JSON pairs that the R scripts write into Parquet: ``python to_parquet.py FROM TO``.

Doubles keep every bit, integers become int64, and factors become dictionary columns with their levels in
R's order, with the ordered flag where R has it.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


def _column(text: list[str], description: dict[str, Any]) -> pa.Array:
    kind = description["kind"]
    if kind == "text":
        return pa.array([value if value else None for value in text], type=pa.string())
    if kind == "double":
        return pa.array([float(value) if value else None for value in text], type=pa.float64())
    whole = [int(value) if value else None for value in text]
    if kind == "integer":
        return pa.array(whole, type=pa.int64())
    codes = pa.array(whole, type=pa.int32())
    levels = pa.array(description["levels"], type=pa.string())
    return pa.DictionaryArray.from_arrays(codes, levels, ordered=kind == "ordered")


def convert(source: Path, target: Path) -> None:
    """Write ``target`` from the CSV file ``source`` and the JSON file beside it."""
    schema = json.loads(source.with_suffix(".json").read_text(encoding="utf-8"))
    with source.open(encoding="utf-8", newline="") as lines:
        header, *rows = csv.reader(lines)
    columns = {name: _column([row[i] for row in rows], schema[name]) for i, name in enumerate(header)}
    discrete = [name for name in header if schema[name]["kind"] != "double"]
    # Doubles with few distinct values are far smaller as a dictionary; the others gain from splitting their bytes.
    repeated = [
        name for name in header if name not in discrete and len(pc.unique(columns[name])) < max(16, len(rows) // 8)
    ]
    split = {name: "BYTE_STREAM_SPLIT" for name in header if name not in discrete and name not in repeated}
    pq.write_table(
        pa.table(columns),
        target,
        compression="zstd",
        compression_level=19,
        use_dictionary=discrete + repeated,
        column_encoding=split or None,
        write_statistics=False,
    )


def main(arguments: list[str]) -> None:
    """Convert every pair in the folder ``FROM`` into the folder ``TO``."""
    source, target = Path(arguments[0]), Path(arguments[1])
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.glob("*.csv")):
        convert(path, target / f"{path.stem}.parquet")
        print(f"{path.stem}: {(target / path.stem).with_suffix('.parquet').stat().st_size} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
