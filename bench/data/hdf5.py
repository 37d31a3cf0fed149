"""HDF5 from outside: data that is in the file itself, and no more than it holds."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.data.archives import damaged, require_file, require_not_sparse
from bench.data.inflation import FREE, require_plausible, size_of
from bench.errors import InputError


@contextlib.contextmanager
def open_hdf5(path: Path) -> Iterator[Any]:
    """An HDF5 file for reading. What goes wrong in the block is an InputError that names it."""
    try:
        with open_file(path) as file:
            yield file
    except InputError:
        raise
    except Exception as error:  # also in the middle of a read, of a file that was cut off
        raise damaged(path, error, "a whole HDF5 file") from error


def open_file(path: Path) -> Any:
    """The same, left open for the caller to close.

    Raises:
        InputError: missing, damaged, or with links: to other files, to nowhere or in circles.
    """
    import h5py

    require_file(path, "an HDF5 file")
    require_not_sparse(path)
    try:
        file = h5py.File(path, "r")
    except Exception as error:  # mostly OSError; RuntimeError and ValueError of damaged ones
        raise damaged(path, error, "a whole HDF5 file") from error
    try:
        _require_no_links(file, path)
    except InputError:
        file.close()
        raise
    except Exception as error:
        file.close()
        raise damaged(path, error, "a whole HDF5 file") from error
    return file


def _require_no_links(file: Any, path: Path) -> None:
    import h5py

    for name in file:
        link = file.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            target = getattr(link, "filename", None) or link.path
            raise InputError(
                f"is a link to {target}", where=f"{path}: {name}", expected="data in this file"
            )


def require_own_data(found: Any, where: str) -> None:
    """Refuse a dataset whose numbers are in other files, or that declares far more than it holds.

    What was never written takes no room in a file, and is read as zeros.
    """
    if found.external or found.is_virtual:
        raise InputError("is kept in other files", where=where, expected="data in this file")
    declared = size_of(found.shape, found.dtype.itemsize)
    require_plausible(declared, found.id.get_storage_size(), where)
    chunk = size_of(found.chunks or (), found.dtype.itemsize)  # is unpacked whole
    if chunk > max(FREE, declared):
        raise InputError(f"has chunks of {chunk} bytes", where=where, expected=f"within {declared}")
