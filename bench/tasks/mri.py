"""Multi-coil Cartesian MRI."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor

from bench.data.coil_maps import MapPhase
from bench.errors import InputError
from bench.operators import MultiCoilMRI
from bench.operators.fourier import fft2c
from bench.reconstructor import check
from bench.task import Protocol
from bench.tasks.cartesian import CartesianTask, PlanarConfig
from bench.tasks.prepared import PreparedKspace
from bench.tasks.sources import (
    Calibration,
    ComplexImageSource,
    KspaceSource,
    PhantomSource,
    Slice,
    Source,
)


@dataclass(frozen=True)
class MultiCoilConfig(PlanarConfig):
    """A multi-coil task.

    Attributes:
        dataset: the embedded phantom, coil-combined images, a folder of acquired k-space, or what
            ``equibench data prepare`` has written.
        coils: number of simulated coils.
        compress: acquired coils are compressed to so many virtual ones.
        measurements: simulated from the image and the maps, or as acquired.
        maps: by ESPIRiT, or the file's own (``coil_maps`` in an .npz).
        calibration: width of the k-space centre that ESPIRiT maps are estimated from. It is taken
            from the fully sampled data, as from a separate calibration scan.
        map_phase: which phase ESPIRiT maps carry and which the image keeps: see
            :func:`bench.data.coil_maps.estimate_espirit`.
        scaling: of the measurements, see :class:`CartesianTask`; ``coil-maximum`` is the MOL
            authors' (largest magnitude of the fully sampled coil images: not from measured data
            alone), for their weights.
    """

    dataset: Literal["brain-phantom", "complex-images", "kspace", "prepared"] = "brain-phantom"
    coils: int = 8
    compress: int | None = None
    measurements: Literal["simulated", "acquired"] = "simulated"
    maps: Literal["espirit", "given"] = "espirit"
    calibration: int = 24
    map_phase: MapPhase = "calibration"
    scaling: Literal["sense-percentile", "coil-maximum"] = "sense-percentile"

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.coils >= 1, "coils", self.coils, "at least 1")
        check(self.compress is None or self.compress >= 1, "compress", self.compress, "at least 1")
        if self.measurements == "acquired":
            holds = self.dataset in ("kspace", "prepared")
            check(holds, "measurements", "acquired", "dataset: kspace or prepared with it")
            check(self.noise_range[1] == 0, "noise", self.noise, "0: acquired data has its own")


class MultiCoilTask(CartesianTask):
    """Undersampled multi-coil k-space to a complex image, scored on magnitudes."""

    name = "mri-multicoil"
    operator = "mask x FFT x coil maps"
    protocol = Protocol()
    Config = MultiCoilConfig
    config: MultiCoilConfig
    default_splits: ClassVar = {
        "brain-phantom": "brain-phantom",
        "complex-images": "siat200",
        "kspace": "multicoil",
    }

    def __init__(self, config: MultiCoilConfig, data: Path | None, data_seed: int) -> None:
        super().__init__(config, data, data_seed)
        self.protocol = Protocol(center=config.center_crop)
        self.dataset_label = f"{self.source.label}, {config.measurements} k-space"

    def open_source(self, data: Path | None) -> Source:
        config = self.config
        if config.dataset == "brain-phantom":
            return PhantomSource(config.size, config.coils, self.data_seed, self.subjects())
        path = self.located(data)
        if config.dataset == "complex-images":
            return ComplexImageSource(path, config.size, config.coils)
        if config.dataset == "prepared":
            return PreparedKspace(path)
        how = Calibration(config.calibration, config.map_phase, config.maps, config.compress)
        return KspaceSource(path, how)

    def kspace(self, source: Slice, image: Tensor, maps: Tensor) -> Tensor:
        if self.config.measurements == "simulated":
            return fft2c(image * maps)
        if source.kspace is None:
            raise InputError("the dataset has no acquired k-space", where=self.name)
        return torch.from_numpy(source.kspace)

    def scale(self, y: Tensor, physics: MultiCoilMRI, peaks: Tensor) -> Tensor:
        if self.config.scaling == "coil-maximum":
            return peaks
        return super().scale(y, physics, peaks)
