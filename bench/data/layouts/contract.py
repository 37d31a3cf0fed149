"""What a layout gives, and the checks that readers of HDF5 share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bench.data.hdf5 import open_hdf5, require_own_data
from bench.errors import InputError

Array = NDArray[Any]

__all__ = ["Array", "Item", "Layout", "dataset", "files", "open_hdf5", "part_of", "sound"]


@dataclass(frozen=True)
class Item:
    """What becomes one prepared file.

    Attributes:
        name: unique, for the file.
        subject: whose data it is; a subject's items never stand in two splits.
        path: the source file.
        part: ``train``, ``validation`` or ``test`` where the publisher says so, else None.
        detail: what else a layout needs to find the data again.
    """

    name: str
    subject: str
    path: Path
    part: str | None = None
    detail: tuple[Any, ...] = ()


class Layout(Protocol):
    """One published way to lay out files."""

    @property
    def about(self) -> str:
        """A line for help and errors."""

    @property
    def content(self) -> str:
        """``kspace``: slices are complex k-space (N, H, W), zero frequency at ``n // 2``;
        ``images``: slices are real (C, H, W), uint8 or float32.
        """

    def find(self, source: Path) -> list[Item]:
        """The items below a folder, in order.

        Raises:
            InputError: there are none, or a list beside them is not what it should be.
        """

    def slices(self, item: Item) -> Iterator[Array]:
        """The slices of an item, read one after the other.

        Raises:
            InputError: naming the file, the dataset in it, and what was expected.
        """


def files(source: Path, pattern: str, what: str) -> list[Path]:
    """Files below a folder that match, sorted. Raises InputError if there is no folder or none."""
    if not source.is_dir():
        raise InputError("no such folder", where=str(source), expected=f"a folder of {what}")
    found = sorted(path for path in source.rglob(pattern) if path.is_file())
    if not found:
        raise InputError(f"no file matches {pattern}", where=str(source), expected=what)
    return found


def part_of(name: str) -> str | None:
    """The part of a split that a folder's or a file's name says, by the usual words."""
    for part, words in {
        "train": ("train",),
        "validation": ("val", "validation"),
        "test": ("test",),
    }.items():
        pieces = name.lower().replace("-", "_").split("_")
        if any(piece in words for piece in pieces):
            return part
    return None


def dataset(file: Any, key: str, axes: str, kind: str = "c") -> Any:
    """A dataset of an open file, checked.

    Args:
        axes: names of its axes, comma-separated.
        kind: of its dtype: c complex, f real.

    Raises:
        InputError: no such dataset, another rank or dtype, or data that is not in the file.
    """
    where = f"{file.filename}: {key}"
    expected = f"{'complex' if kind == 'c' else 'real'} ({axes})"
    if key not in file:
        keys = ", ".join(list(file)[:8]) or "nothing"
        raise InputError(f"no such dataset, only {keys}", where=where, expected=expected)
    found = file[key]
    if not hasattr(found, "shape") or found.dtype.kind != kind or found.ndim != axes.count(",") + 1:
        shape, dtype = getattr(found, "shape", "a group"), getattr(found, "dtype", "")
        hint = ""
        if kind == "c" and getattr(found, "dtype", np.dtype(int)).kind == "f":
            hint = " (real numbers: are real and imaginary parts stored side by side?)"
        raise InputError(f"shape {shape}, dtype {dtype}{hint}", where=where, expected=expected)
    if 0 in found.shape:
        raise InputError(f"is empty, shape {found.shape}", where=where, expected=expected)
    require_own_data(found, where)
    return found


def sound(array: Array, where: str) -> Array:
    """The array, refused if it is not finite, or zero everywhere."""
    if not np.isfinite(array).all():
        raise InputError("has NaN or Inf", where=where, expected="finite values")
    if not array.any():
        raise InputError("is zero everywhere", where=where, expected="some signal")
    return array
