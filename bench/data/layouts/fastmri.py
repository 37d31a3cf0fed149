"""fastMRI: fully sampled k-space of knees and brains, a volume a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bench.data.layouts.contract import Array, Item, dataset, files, open_hdf5, part_of, sound
from bench.errors import InputError


class FastMRI:
    """HDF5 with ``kspace``, ``ismrmrd_header`` and ``reconstruction_rss`` (or ``_esc``).

    ``kspace`` is complex64, (slices, coils, height, width) in multi-coil and (slices, height,
    width) in single-coil files, zero frequency in the middle, readout (twice oversampled) along
    height, undersampled along width. Attributes ``acquisition``, ``max`` (largest value of the
    published reconstruction), ``norm`` and ``patient_id``; volumes of one patient stay together.
    Folders are called ``multicoil_train``, ``multicoil_val`` and so on, which is the split. Test
    and challenge files, whose k-space is undersampled (they have a ``mask``), are refused: there is
    nothing to compare with.

    The published reconstructions are root sums of squares (or emulated single coils), cut to
    320x320. Our reference is the k-space's own image, combined with the estimated coil maps; for
    single-coil data its magnitude is ``reconstruction_esc``. Scores of the middle 320x320 pixels,
    relative to the volume's maximum, are ``center_crop: 320`` of the tasks.

    Source: Zbontar et al., arXiv:1811.08839, and the reader in fastMRI's repository.
    """

    content = "kspace"

    def __init__(self, kind: Literal["multicoil", "singlecoil"]) -> None:
        self.kind = kind
        self.about = f"fastMRI {kind} HDF5"
        self.axes = "slices, coils, height, width"
        if kind == "singlecoil":
            self.axes = "slices, height, width"

    def find(self, source: Path) -> list[Item]:
        found = []
        for path in files(source, "*.h5", "fastMRI .h5 files"):
            folder = path.parent.name
            with_part = part_of(folder)
            name = path.stem if with_part is None else f"{with_part}-{path.stem}"
            found.append(Item(name, _patient(path), path, with_part))
        return found

    def slices(self, item: Item) -> Iterator[Array]:
        with open_hdf5(item.path) as file:
            kspace = dataset(file, "kspace", self.axes)
            if "ismrmrd_header" not in file:
                raise InputError(
                    "no such dataset", where=f"{item.path}: ismrmrd_header", expected="as published"
                )
            if "mask" in file:
                raise InputError(
                    "is undersampled, as test and challenge files are",
                    where=f"{item.path}: kspace",
                    expected="fully sampled k-space, to have a reference",
                )
            for number in range(len(kspace)):
                where = f"{item.path}: kspace, slice {number}"
                array = np.asarray(kspace[number], np.complex64)
                yield sound(array if array.ndim == 3 else array[None], where)


def _patient(path: Path) -> str:
    """By the attribute; a file without one is a patient of its own.

    An unreadable file has none either: it is refused when it is read.
    """
    try:
        with open_hdf5(path) as file:
            patient: Any = file.attrs.get("patient_id", "")
            text = patient.decode() if isinstance(patient, bytes) else str(patient)
    except InputError:
        return path.stem
    return text or path.stem
