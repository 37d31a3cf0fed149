"""HDF5 files that somebody has made to harm; registered in ``harmful``."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from tests.hostile.harmful import HARMFUL, Damage

_DATASET = {
    "fastmri multicoil": ("kspace", "<c8", 4),
    "fastmri singlecoil": ("kspace", "<c8", 3),
    "calgary-campinas": ("kspace", "<f4", 4),
    "lodopab": ("data", "<f4", 3),
    "prepared": ("image", "|u1", 4),
}
Change = Callable[[h5py.File, str, str, int], None]


def _changed(kind: str, change: Change) -> Damage:
    key, dtype, rank = _DATASET[kind]

    def damage(path: Path) -> None:
        with h5py.File(path, "a") as file:
            del file[key]
            change(file, key, dtype, rank)

    return damage


def _absurd(file: h5py.File, key: str, dtype: str, rank: int) -> None:
    shape = (10**9, *[8] * (rank - 1))
    file.create_dataset(key, shape, dtype, chunks=(1, *shape[1:]))


def _wide(file: h5py.File, key: str, dtype: str, rank: int) -> None:
    shape = (2, *[1] * (rank - 3), 60000, 60000)
    chunks = (1, *[1] * (rank - 3), 1000, 1000)
    file.create_dataset(key, shape, dtype, chunks=chunks, compression="gzip")


def _packed(file: h5py.File, key: str, dtype: str, rank: int) -> None:
    """200 MiB of hardly anything, gzip-ed."""
    size = np.dtype(dtype).itemsize
    shape = (20, *[1] * (rank - 3), 10 * 2**20 // size, 1)
    data = file.create_dataset(key, shape, dtype, chunks=(1, *shape[1:]), compression="gzip")
    slab = np.zeros(shape[1:], dtype)
    slab.flat[0] = 1
    for number in range(len(data)):
        data[number] = slab


def _chunk_larger_than_all(file: h5py.File, key: str, dtype: str, rank: int) -> None:
    shape = (2, *[4] * (rank - 1))
    most, chunks = (None, *[2**14] * (rank - 1)), (1, *[1] * (rank - 3), 2**14, 2**14)
    file.create_dataset(key, shape, dtype, chunks=chunks, maxshape=most, compression="gzip")


def _external(file: h5py.File, key: str, dtype: str, rank: int) -> None:
    shape = (2, *[4] * (rank - 1))
    file.create_dataset(key, shape, dtype, external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])


def _virtual(file: h5py.File, key: str, dtype: str, rank: int) -> None:
    shape = (2, *[4] * (rank - 1))
    layout = h5py.VirtualLayout(shape, dtype)
    layout[:] = h5py.VirtualSource("/nowhere/other.h5", "x", shape)
    file.create_virtual_dataset(key, layout)


def _link_out(file: h5py.File, key: str, dtype: str, rank: int) -> None:
    file[key] = h5py.ExternalLink("/nowhere/other.h5", "/kspace")


def _link_to_pipe(file: h5py.File, key: str, dtype: str, rank: int) -> None:
    pipe = Path(file.filename).with_suffix(".pipe")
    os.mkfifo(pipe)
    file[key] = h5py.ExternalLink(str(pipe), "/kspace")


def _link_loop(file: h5py.File, key: str, dtype: str, rank: int) -> None:
    file[key], file["other"] = h5py.SoftLink("/other"), h5py.SoftLink(f"/{key}")


def _link_to_nothing(file: h5py.File, key: str, dtype: str, rank: int) -> None:
    file[key] = h5py.SoftLink("/nothing")


def _group(file: h5py.File, key: str, dtype: str, rank: int) -> None:
    file.create_group(key)


def _named_type(file: h5py.File, key: str, dtype: str, rank: int) -> None:
    file[key] = np.dtype(dtype)


def _null(file: h5py.File, key: str, dtype: str, rank: int) -> None:
    file[key] = h5py.Empty(dtype)


def _no_rank(file: h5py.File, key: str, dtype: str, rank: int) -> None:
    file[key] = np.zeros((), dtype)


def _opaque(file: h5py.File, key: str, dtype: str, rank: int) -> None:
    file[key] = np.void(b"\x80\x04" * 30)


def _words(file: h5py.File, key: str, dtype: str, rank: int) -> None:
    file[key] = ["a", "b"]


def _references(file: h5py.File, key: str, dtype: str, rank: int) -> None:
    data = file.create_dataset(key, (2, *[1] * (rank - 1)), h5py.ref_dtype)
    data[0] = file.ref


def _empty(file: h5py.File, key: str, dtype: str, rank: int) -> None:
    file.create_dataset(key, (0, *[4] * (rank - 1)), dtype)


for _change in (
    *(_absurd, _wide, _packed, _chunk_larger_than_all, _external, _virtual, _link_out),
    *(_link_to_pipe, _link_loop, _link_to_nothing, _group, _named_type, _null, _no_rank),
    *(_opaque, _words, _references, _empty),
):
    for _kind in _DATASET:
        HARMFUL[_kind, _change.__name__.strip("_").replace("_", " ")] = _changed(_kind, _change)
