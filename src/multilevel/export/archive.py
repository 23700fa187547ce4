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
from multilevel.files import replacing

MANIFEST = "manifest.json"
MAX_BYTES = 2 * 1024**3
"""The most that a file may hold once unpacked, unless more is allowed."""

_KINDS = frozenset("biuf")

_COMPRESSIONS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
"""What is written; others unpack without a bound."""

_ITEM_BYTES = 100
"""About what Python needs for an item of a list."""


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
        text = json.dumps(manifest, ensure_ascii=False).encode("utf-8")
        with (
            replacing(path) as stream,
            zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=4) as archive,
        ):
            archive.writestr(MANIFEST, text)
            for name, content in self._members.items():
                archive.writestr(name, content)


class ArchiveReader:
    """Reads the members of such a file, with a bound on what they grow to whatever the file says of their sizes."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path, self._max_bytes, self._size = path, max_bytes, 0
        # The list of members is read whole, and is as long as the file at most.
        self.count(path.stat().st_size)
        self._size = 0
        self._read: set[str] = set()
        self._archive = zipfile.ZipFile(path)
        try:
            self._members = {info.filename: info for info in self._archive.infolist()}
            if len(self._members) != len(self._archive.infolist()):
                raise ValueError("it holds a member twice")
            for info in self._members.values():
                if info.compress_type not in _COMPRESSIONS:
                    raise ValueError(f"{info.filename} is compressed in an unknown way")
            self.count(sum(info.file_size for info in self._members.values()))
        except BaseException:
            self._archive.close()
            raise

    def count(self, size: int) -> None:
        """Add to the bytes that the file holds once unpacked, and refuse the file where they are too many."""
        self._size += size
        if self._size > self._max_bytes:
            raise DataError(
                f"The file {str(self._path)!r} holds {self._size / 1e9:.1g} GB or more once unpacked and at most"
                f" {self._max_bytes / 1e9:.1g} GB are read; give max_bytes= if you trust it."
            )

    def close(self) -> None:
        """Close the file."""
        self._archive.close()

    def member(self, name: str) -> bytes:
        """Return a member's bytes; one that is asked for again counts again, so that names cannot multiply what a file holds."""
        if name not in self._members:
            raise KeyError(f"it has no {name}")
        info = self._members[name]
        if name in self._read:
            self.count(info.file_size)
        self._read.add(name)
        with self._archive.open(info) as stream:
            # Asked for no more than the size that was counted, zlib unpacks no more, however much there is.
            content = stream.read(info.file_size)
        if len(content) != info.file_size:
            raise ValueError(f"{name} has another size than it says")
        return content

    def manifest(self) -> Any:
        """Return the JSON text's content."""
        content = self.member(MANIFEST)
        # A list, a record or an item of one takes far more room than the characters that stand for it.
        self.count(_ITEM_BYTES * sum(content.count(mark) for mark in (b"[", b"{", b",")))
        return json.loads(content.decode("utf-8"))

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
