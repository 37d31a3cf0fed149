"""NumPy's .npz and .npy from outside: plain numbers only, and no more than the file holds.

Nothing is unpickled. What a header declares is compared with the bytes that are there before any
array is made, so that a small file cannot ask for much memory.
"""

from __future__ import annotations

import contextlib
import os
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from bench.data.inflation import require_plausible, size_of
from bench.errors import InputError

Array = NDArray[Any]
NUMBERS = "biufc"  # kinds of dtypes

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # those that NumPy writes
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


class Npz:
    """An open .npz."""

    def __init__(self, archive: zipfile.ZipFile, path: Path) -> None:
        self._archive, self._path, self._size = archive, path, path.stat().st_size
        # NumPy adds the suffix; what has none is looked at as well
        self._entries = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}

    @property
    def names(self) -> list[str]:
        """Of its arrays."""
        return list(self._entries)

    def array(self, name: str) -> Array:
        """One of them. Raises InputError for anything but an array of numbers."""
        info, where = self._entries[name], f"{self._path}: {name}"
        if info.compress_type not in _METHODS:
            raise InputError("is packed in another way", where=where, expected="stored or deflated")
        require_plausible(info.file_size, min(info.compress_size, self._size), where)
        with self._archive.open(info) as member:
            return _read(member, info.file_size, where)


@contextlib.contextmanager
def open_npz(path: Path, contents: str = "arrays") -> Iterator[Npz]:
    """An .npz for reading. What goes wrong in the block is an InputError that names the file."""
    require_file(path, f"an .npz with {contents}")
    try:
        if not zipfile.is_zipfile(path):
            raise InputError("is not an .npz", where=str(path), expected="a zip of NumPy arrays")
        with zipfile.ZipFile(path) as archive:
            yield Npz(archive, path)
    except InputError:
        raise
    except Exception as error:
        raise damaged(path, error, "a readable .npz") from error


def read_npz(path: Path, *keys: str) -> list[Array]:
    """Arrays of an .npz by key. Raises InputError if one is missing, damaged or not of numbers."""
    contents = " and ".join(f"'{key}'" for key in keys)
    with open_npz(path, contents) as archive:
        for key in keys:
            if key not in archive.names:
                raise InputError(
                    f"has no {key!r}, only {', '.join(archive.names[:8]) or 'nothing'}",
                    where=str(path),
                    expected=f"an .npz with {contents}",
                )
        return [archive.array(key) for key in keys]


def read_npy(path: Path) -> Array:
    """The array of an .npy. Raises InputError for a missing or damaged file, or other contents."""
    require_file(path, "an .npy")
    try:
        with path.open("rb") as file:
            require_not_sparse(path)
            return _read(file, path.stat().st_size, str(path))
    except InputError:
        raise
    except Exception as error:
        raise damaged(path, error, "a readable .npy") from error


def require_file(path: Path, expected: str) -> None:
    """Refuse what is missing, and what is no regular file: a pipe would never end."""
    try:
        found = path.is_file()
        what = "is not a file" if path.exists() else "no such file"
    except (OSError, ValueError) as error:  # a name that is too long, or has a NUL
        raise InputError(f"no such file: {error}", where=str(path), expected=expected) from error
    if not found:
        raise InputError(what, where=str(path), expected=expected)


def require_not_sparse(path: Path) -> None:
    """Refuse a file of which hardly anything is on the disk: holes are read as zeros."""
    status = os.stat(path)
    require_plausible(status.st_size, status.st_blocks * 512, str(path))


def damaged(path: Path, error: Exception, expected: str) -> InputError:
    """What a reader's own exception comes down to.

    NumPy parses headers as Python literals: a damaged one raises TokenError, SyntaxError, TypeError
    or OverflowError as well as the zip's and zlib's own errors.
    """
    if isinstance(error, MemoryError):
        return InputError("does not fit into memory", where=str(path), expected="a smaller file")
    return InputError(f"is damaged: {str(error)[:120]}", where=str(path), expected=expected)


def _read(file: IO[bytes], size: int, where: str) -> Array:
    """The array in a file of so many bytes."""
    if size < npy.MAGIC_LEN:
        raise InputError("holds no NumPy array", where=where, expected="an array of numbers")
    start = file.read(npy.MAGIC_LEN)
    if not start.startswith(npy.MAGIC_PREFIX):
        what = "holds pickled Python objects" if start[:1] == b"\x80" else "holds no NumPy array"
        raise InputError(what, where=where, expected="an array of plain numbers")
    read_header = _HEADERS.get((start[-2], start[-1]))
    if read_header is None:
        raise InputError("is of another version", where=where, expected="NumPy's format 1 or 2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of headers that Python 2 wrote
        shape, in_columns, dtype = read_header(file)
    if dtype.hasobject:
        expected = "plain numeric arrays"
        raise InputError("holds pickled Python objects", where=where, expected=expected)
    if dtype.kind not in NUMBERS:
        raise InputError(f"dtype {dtype}", where=where, expected="an array of numbers")
    found, declared = size - file.tell(), size_of(shape, dtype.itemsize)
    if any(length < 0 for length in shape) or declared != found:
        what = f"is damaged: shape {shape} of {dtype} is {declared} bytes, and {found} are there"
        raise InputError(what, where=where, expected="as many")
    content = bytearray(declared)
    view, filled = memoryview(content), 0
    while filled < declared:
        count = file.readinto(view[filled : filled + 2**20])  # type: ignore[attr-defined]
        if not count:
            raise InputError("is damaged: cut off", where=where, expected=f"{declared} bytes")
        filled += count
    flat = np.frombuffer(content, dtype)
    return flat.reshape(shape, order="F" if in_columns else "C")
