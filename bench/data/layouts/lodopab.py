"""LoDoPaB-CT: slices of low-dose CT in chunks of 128."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench.data.layouts.contract import Array, Item, dataset, files, open_hdf5, part_of, sound
from bench.data.splits import is_number
from bench.errors import InputError
from bench.text_input import read_text

CHUNK = 128
PATIENTS = {"train": "train", "validation": "validation", "test": "test"}


class LoDoPaB:
    """``ground_truth_{train,validation,test}_NNN.hdf5``, each ``data``, float32 (128, 362, 362).

    The last chunk of a part may be filled up with zeros after its last slice; slices of zeros at
    the end are left out. ``observation_*.hdf5`` beside them (``data``, (128, 1000, 513)) is checked
    for its shape where there is one, and not used: measurements are simulated from the ground truth
    (200 of 1000 angles), whose values are attenuations over the largest possible one.

    The parts are disjoint in patients. ``patient_ids_rand_{part}.csv``, a number a slice, says
    which; without it every chunk stands for a subject, and intervals over subjects are then too
    narrow.

    Source: Leuschner et al. 2021, doi:10.1038/s41597-021-00893-z.
    """

    about = "LoDoPaB-CT HDF5 chunks"
    content = "images"

    def find(self, source: Path) -> list[Item]:
        found: list[Item] = []
        for path in files(source, "ground_truth_*.hdf5", "ground_truth_*.hdf5 chunks"):
            part, number = part_of(path.stem), path.stem.rpartition("_")[2]
            if part is None or not is_number(number):
                raise InputError(
                    f"is called {path.name}",
                    where=str(path.parent),
                    expected="ground_truth_{train,validation,test}_NNN.hdf5",
                )
            patients = _patients(path.parent, part)
            first = int(number) * CHUNK
            if patients is None:
                found.append(Item(path.stem, path.stem, path, part, (0, CHUNK)))
                continue
            for start, stop, patient in _runs(patients[first : first + CHUNK]):
                name = f"{path.stem}-{start:03d}"
                found.append(Item(name, f"{part}-{patient}", path, part, (start, stop)))
        return found

    def slices(self, item: Item) -> Iterator[Array]:
        start, stop = item.detail
        with open_hdf5(item.path) as file:
            data = dataset(file, "data", "slices, height, width", kind="f")
            self._check_observation(item.path, len(data))
            last = len(data)
            while last > 0 and not data[last - 1].any():
                last -= 1
            for number in range(start, min(stop, last)):
                pixels = np.asarray(data[number], np.float32)[None]
                yield sound(pixels, f"{item.path}: data, slice {number}")

    def _check_observation(self, path: Path, slices: int) -> None:
        observation = path.with_name(path.name.replace("ground_truth", "observation"))
        if not observation.is_file():
            return
        with open_hdf5(observation) as file:
            found = dataset(file, "data", "slices, angles, detectors", kind="f")
            if len(found) != slices:
                raise InputError(
                    f"{len(found)} slices",
                    where=f"{observation}: data",
                    expected=f"{slices}, as {path.name}",
                )


def _patients(folder: Path, part: str) -> list[str] | None:
    path = folder / f"patient_ids_rand_{PATIENTS[part]}.csv"
    if not path.is_file():
        return None
    expected = "a number a slice"
    try:
        rows = list(csv.reader(read_text(path, expected).splitlines()))
    except csv.Error as error:
        raise InputError(f"is not CSV: {error}", where=str(path), expected=expected) from error
    return [row[-1].strip() for row in rows if row and row[-1].strip().isdigit()]


def _runs(values: list[str]) -> Iterator[tuple[int, int, str]]:
    """Where equal values stand side by side: first index, one after the last, value."""
    start = 0
    for index in range(1, len(values) + 1):
        if index == len(values) or values[index] != values[start]:
            yield start, index, values[start]
            start = index
