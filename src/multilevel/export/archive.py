"""A zip file of plain arrays and one JSON text: nothing in it is ever executed, whoever made it."""

from __future__ import annotations

import io
import json
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from multilevel.errors import DataError

MANIFEST = "manifest.json"
MAX_BYTES = 2 * 1024**3
"""The most that a file may hold once unpacked, unless more is allowed."""

_KINDS = frozenset("biuf")


class ArchiveWriter:
    """Collects a JSON text, arrays and other members, and writes them to one file."""

    def __init__(self) -> None:
        self._members: dict[str, bytes] = {}

    def array(self, name: str, values: npt.ArrayLike) -> str:
        """Add an array of numbers or truth values, and return its name."""
        array = np.asarray(values)
        if array.dtype.kind not in _KINDS:
            raise TypeError(f"arrays of type {array.dtype} are not stored")
        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=False)
        return self.member(f"{name}.npy", buffer.getvalue())

    def member(self, name: str, content: bytes) -> str:
        """Add a member as it is, and return its name."""
        if name in self._members:
            raise ValueError(f"there is a member {name!r} already")
        self._members[name] = content
        return name

    def write(self, path: Path, manifest: dict[str, Any]) -> None:
        """Write the file; one that is there is replaced when the new one is complete."""
        partial = path.with_name(path.name + ".partial")
        try:
            with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=4) as archive:
                archive.writestr(MANIFEST, json.dumps(manifest, ensure_ascii=False))
                for name, content in self._members.items():
                    archive.writestr(name, content)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


class ArchiveReader:
    """Reads the members of such a file, with a bound on their size."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._archive = zipfile.ZipFile(path)
        infos = self._archive.infolist()
        names = [info.filename for info in infos]
        if len(set(names)) != len(names):
            self._archive.close()
            raise ValueError("it holds a member twice")
        self._path, self._max_bytes, self._size = path, max_bytes, 0
        try:
            self.count(sum(info.file_size for info in infos))
        except DataError:
            self._archive.close()
            raise
        self._names = frozenset(names)

    def count(self, size: int) -> None:
        """Add to the bytes that the file holds once unpacked, and refuse the file where they are too many."""
        self._size += size
        if self._size > self._max_bytes:
            raise DataError(
                f"The file {str(self._path)!r} holds {self._size / 1e9:.1f} GB or more once unpacked and at most"
                f" {self._max_bytes / 1e9:.1f} GB are read; give max_bytes= if you trust it."
            )

    def close(self) -> None:
        """Close the file."""
        self._archive.close()

    def member(self, name: str) -> bytes:
        """Return a member's bytes."""
        if name not in self._names:
            raise KeyError(f"it has no {name}")
        return self._archive.read(name)

    def manifest(self) -> Any:
        """Return the JSON text's content."""
        return json.loads(self.member(MANIFEST).decode("utf-8"))

    def array(self, name: str, kind: str, ndim: int) -> npt.NDArray[Any]:
        """Return an array of a kind (``"f"`` doubles, ``"i"`` 64-bit and ``"c"`` 32-bit integers, ``"b"`` truth values)."""
        content = self.member(name)
        buffer = io.BytesIO(content)
        version = np.lib.format.read_magic(buffer)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = reader(buffer)
        expected = {"f": np.float64, "i": np.int64, "c": np.int32, "b": np.bool_}[kind]
        if dtype != np.dtype(expected) or len(shape) != ndim:
            raise ValueError(f"{name} has the type {dtype} and {len(shape)} dimensions")
        count = math.prod(shape)
        if count * dtype.itemsize != len(content) - buffer.tell():
            raise ValueError(f"{name} has another size than it says")
        flat = np.frombuffer(content, dtype=dtype, offset=buffer.tell()).copy()
        return flat.reshape(shape, order="F" if fortran else "C")
