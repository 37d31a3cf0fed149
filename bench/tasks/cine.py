"""Multi-coil MRI with a third axis: cine (2D + time) and volumes (3D)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from bench.data import phantom
from bench.reconstructor import check
from bench.task import Protocol
from bench.tasks.cartesian import CartesianConfig, CartesianTask
from bench.tasks.series import HeartSource, SeriesSource, StackSource, VolumeSource
from bench.tasks.sources import Source


@dataclass(frozen=True)
class CineConfig(CartesianConfig):
    """A cine task.

    Attributes:
        dataset: a simulated beating heart, or a file with one real series.
        size: pixels along both axes of a frame (the phantom's; a real series is cut to its middle
            and reduced).
        frames: of a beat; of a real series the first so many, all if None.
        coils: number of simulated coils.
        mask_per_frame: k-t sampling, every frame with a mask of its own; otherwise all alike.
    """

    dataset: Literal["beating-heart", "series"] = "beating-heart"
    size: int = 64
    frames: int | None = 8
    coils: int = 4
    mask_per_frame: bool = True
    redraw_masks: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check(16 <= self.size <= 1024, "size", self.size, "16 to 1024 pixels")
        check(self.coils >= 1, "coils", self.coils, "at least 1")
        check(self.frames is None or self.frames >= 2, "frames", self.frames, "at least 2")
        if self.dataset == "series":
            check(self.file is not None, "file", None, "where the series lies")
        else:
            check(self.frames is not None, "frames", None, "a number, of the phantom's beat")


class _SeriesTask(CartesianTask):
    @property
    def axes(self) -> int:
        return 3


class CineTask(_SeriesTask):
    """Undersampled k-space of a beating heart to a complex series, scored on all frames."""

    name = "mri-cine"
    operator = "k-t mask x FFT of each frame x coil maps"
    protocol = Protocol(image="magnitude of every frame", data_range="series maximum")
    Config = CineConfig
    config: CineConfig
    default_splits: ClassVar = {"beating-heart": "beating-heart", "series": "cardiac-cine"}

    def __init__(self, config: CineConfig, data: Path | None, data_seed: int) -> None:
        super().__init__(config, data, data_seed)
        kind = "k-t masks" if config.mask_per_frame else "one mask for all frames"
        self.dataset_label = f"{self.source.label}, {kind}"

    def open_source(self, data: Path | None) -> Source:
        config = self.config
        if config.dataset == "beating-heart":
            assert config.frames is not None
            return HeartSource(config.size, config.frames, config.coils, self.data_seed)
        return SeriesSource(self.located(data), config.size, config.frames, config.coils)

    def draw_mask(self, shape: tuple[int, ...], rng: np.random.Generator) -> Tensor:
        frames = shape[0] if self.config.mask_per_frame else 1
        masks = [super(CineTask, self).draw_mask(shape, rng) for _ in range(frames)]
        return torch.stack(masks)


@dataclass(frozen=True)
class VolumeConfig(CartesianConfig):
    """A 3D task: both phase encodings undersampled, the readout along the first axis.

    Attributes:
        dataset: slices of the embedded phantom, or neighbouring slices of coil-combined images.
        size: pixels along both phase-encoding axes; slices: along the readout.
        coils: number of simulated coils; their maps are the same for all slices.
    """

    dataset: Literal["brain-phantom", "complex-images"] = "brain-phantom"
    size: int = 64
    slices: int = 8
    coils: int = 4
    mask: Literal["random", "equispaced", "gaussian", "variable-density-2d"] = "variable-density-2d"

    def __post_init__(self) -> None:
        super().__post_init__()
        smallest, largest = phantom.SIZES
        expected = f"{smallest} to {largest} pixels"
        check(smallest <= self.size <= largest, "size", self.size, expected)
        check(2 <= self.slices <= 24, "slices", self.slices, "2 to 24")
        check(self.coils >= 1, "coils", self.coils, "at least 1")
        if self.dataset != "brain-phantom":
            check(self.file is not None, "file", None, "where the images lie")


class VolumeTask(_SeriesTask):
    """Undersampled k-space of a volume to a complex volume, scored on all slices."""

    name = "mri-3d"
    operator = "mask of both phase encodings x FFT x coil maps"
    protocol = Protocol(image="magnitude of every slice")
    Config = VolumeConfig
    config: VolumeConfig
    default_splits: ClassVar = {"brain-phantom": "brain-volumes", "complex-images": "siat200"}

    def open_source(self, data: Path | None) -> Source:
        config = self.config
        if config.dataset == "brain-phantom":
            return VolumeSource(config.size, config.slices, config.coils, self.data_seed)
        return StackSource(self.located(data), config.size, config.slices, config.coils)

    def draw_mask(self, shape: tuple[int, ...], rng: np.random.Generator) -> Tensor:
        return super().draw_mask(shape, rng).unsqueeze(0)  # the same for every slice
