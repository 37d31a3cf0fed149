"""Prepared datasets as sources of tasks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.data.prepared import Prepared
from bench.errors import InputError
from bench.task import Sample
from bench.tasks.sources import Slice


class _PreparedSource:
    """Samples are named ``FILE#SLICE`` after the file in the manifest."""

    contents: tuple[str, ...]

    def __init__(self, folder: Path) -> None:
        self.data = Prepared(folder)
        self.label = self.data.label
        if self.data.manifest.content not in self.contents:
            raise InputError(
                f"holds {self.data.manifest.content}",
                where=str(folder),
                expected=" or ".join(self.contents),
            )

    def samples(self, subjects: Sequence[str]) -> list[Sample]:
        return [
            Sample(file.subject, f"{file.file}#{index}")
            for file in self.data.files(subjects)
            for index in range(file.samples)
        ]

    def verify(self, subjects: Sequence[str]) -> None:
        self.data.verify(subjects)

    def content_hash(self, subjects: Sequence[str] = ()) -> str:
        """Of the whole dataset."""
        return self.data.content_hash()

    def _array(self, sample: Sample, name: str) -> NDArray[Any] | None:
        file, _, index = sample.sample.rpartition("#")
        return self.data.array(file, name, int(index))


class PreparedKspace(_PreparedSource):
    """Slices of k-space with maps, relative to the subject's largest magnitude."""

    contents = ("kspace",)

    def slice(self, sample: Sample, rng: np.random.Generator) -> Slice:
        image: Any = self._array(sample, "image")
        kspace: Any = self._array(sample, "kspace")
        maps = self._array(sample, "coil_maps")
        if maps is None:  # of a single coil, which sees everything alike
            maps = np.ones((1, *image.shape), np.complex64)
        peak = np.float32(self.data.peak(sample.subject))
        return Slice(image / peak, maps, kspace / peak)


class PreparedImages(_PreparedSource):
    """Real images ``(C, H, W)`` in [0, 1], float32."""

    contents = ("images",)

    def read(self, sample: Sample) -> NDArray[np.float32]:
        """The image as it is stored; 8-bit values over 255, others over the largest one."""
        image = self._array(sample, "image")
        assert image is not None
        if image.dtype == np.uint8:
            return image.astype(np.float32) / np.float32(255)
        return image.astype(np.float32) / np.float32(self.data.peak(sample.subject))
