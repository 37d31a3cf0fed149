"""Single-coil Cartesian MRI, as in DEQ4IP and LUSER."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from bench.reconstructor import check
from bench.task import Protocol, Sample
from bench.tasks.cartesian import CartesianTask, PlanarConfig
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


@dataclass(frozen=True)
class SingleCoilConfig(PlanarConfig):
    """A single-coil task; LUSER's by default, 4x and 8x with random columns.

    Attributes:
        dataset: the embedded phantom, coil-combined complex images, magnitude images (which have no
            phase to recover), a folder of acquired k-space of one coil, or a prepared dataset.
        scored: magnitudes, or the real and imaginary parts as two channels. Papers do either: two
            channels count errors of phase too.
    """

    dataset: Literal[
        "brain-phantom", "complex-images", "magnitude-images", "kspace", "prepared"
    ] = "brain-phantom"
    scored: Literal["magnitude", "complex"] = "magnitude"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dataset == "kspace":
            check(self.noise_range[1] == 0, "noise", self.noise, "0: acquired data has its own")


class SingleCoilTask(CartesianTask):
    """Undersampled k-space of one coil to a complex image, scored on magnitudes or two channels."""

    name = "mri-singlecoil"
    operator = "mask x FFT"
    Config = SingleCoilConfig
    config: SingleCoilConfig
    default_splits: ClassVar = {
        "brain-phantom": "brain-phantom",
        "complex-images": "siat200",
        "magnitude-images": "stanford-knee20",
        "kspace": "singlecoil",
    }
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
