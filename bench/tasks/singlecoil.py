"""Single-coil Cartesian MRI, as in DEQ4IP and LUSER."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from bench.data import phantom
from bench.reconstructor import check
from bench.task import Protocol, Sample
from bench.tasks.cartesian import CartesianConfig, CartesianTask
from bench.tasks.prepared import PreparedKspace
from bench.tasks.sources import (
    Calibration,
    ComplexImageSource,
    KspaceSource,
    MagnitudeSource,
    PhantomSource,
    Slice,
    Source,
)

KINDS = {
    "brain-phantom": "brain-phantom",
    "complex-images": "siat200",
    "magnitude-images": "stanford-knee20",
    "kspace": "singlecoil",
}


@dataclass(frozen=True)
class SingleCoilConfig(CartesianConfig):
    """A single-coil task; LUSER's by default, 4x and 8x with random columns.

    Attributes:
        dataset: the embedded phantom, coil-combined complex images, magnitude images (which have no
            phase to recover), a folder of acquired k-space of one coil, or a prepared dataset.
        size: pixels along both axes (acquired k-space keeps its own).
        scored: magnitudes, or the real and imaginary parts as two channels. Papers do either: two
            channels count errors of phase too.
        center_crop: scores leave out all but this many pixels in the middle of each axis (fastMRI:
            320).
    """

    dataset: Literal[
        "brain-phantom", "complex-images", "magnitude-images", "kspace", "prepared"
    ] = "brain-phantom"
    size: int = 96
    scored: Literal["magnitude", "complex"] = "magnitude"
    center_crop: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        smallest, largest = phantom.SIZES if self.dataset == "brain-phantom" else (16, 4096)
        expected = f"{smallest} to {largest} pixels"
        check(smallest <= self.size <= largest, "size", self.size, expected)
        crop = self.center_crop
        check(crop is None or crop >= 16, "center_crop", crop, "at least 16")
        if self.dataset != "brain-phantom":
            check(self.file is not None, "file", None, f"where the {self.dataset} lie")
        if self.dataset == "kspace":
            check(self.noise_range[1] == 0, "noise", self.noise, "0: acquired data has its own")


class SingleCoilTask(CartesianTask):
    """Undersampled k-space of one coil to a complex image, scored on magnitudes or two channels."""

    name = "mri-singlecoil"
    operator = "mask x FFT"
    Config = SingleCoilConfig
    config: SingleCoilConfig
    default_splits: ClassVar = KINDS
    protocol = Protocol()

    def __init__(self, config: SingleCoilConfig, data: Path | None, data_seed: int) -> None:
        super().__init__(config, data, data_seed)
        image = "magnitude" if config.scored == "magnitude" else "real and imaginary part"
        self.protocol = Protocol(image=image, center=config.center_crop)

    def open_source(self, data: Path | None) -> Source:
        config = self.config
        if config.dataset == "brain-phantom":
            return _OneCoil(PhantomSource(config.size, 1, self.data_seed, self.subjects()))
        path = self.located(data)
        if config.dataset == "complex-images":
            return _OneCoil(ComplexImageSource(path, config.size, 1))
        if config.dataset == "magnitude-images":
            return MagnitudeSource(path, config.size)
        if config.dataset == "prepared":
            return PreparedKspace(path)
        return KspaceSource(path, Calibration(maps="none"))


class _OneCoil:
    """A source's images under a coil that sees everything alike."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.label = source.label.replace("1 simulated coils", "one coil")
        self.samples, self.verify = source.samples, source.verify
        self.content_hash = source.content_hash

    def slice(self, sample: Sample, rng: np.random.Generator) -> Slice:
        image = self.source.slice(sample, rng).image
        return Slice(image, np.ones((1, *image.shape), np.complex64))
