"""What Cartesian MRI tasks share: masks, noise, scale, and how a batch is measured."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from bench.data import phantom
from bench.data.masks import draw_mask
from bench.operators import MultiCoilMRI
from bench.operators.fourier import fft2c, ifft2c, magnitude, to_channels
from bench.operators.norms import per_sample
from bench.operators.sense import sense_image
from bench.reconstructor import check
from bench.task import Batch, Sample, Split
from bench.tasks.sourced import SourcedTask, stacked
from bench.tasks.sources import Slice

# which random stream of a sample draws what
MAPS, MASK, NOISE = 0, 1, 2


@dataclass(frozen=True)
class CartesianConfig:
    """How k-space is sampled, in every Cartesian task.

    Attributes:
        file: of the data, relative to the data folder.
        split: a shipped split's name or a JSON file; by default the dataset's own.
        mask: kind of sampling; 1-D kinds leave out columns (phase encoding along W).
        acceleration: pixels over samples.
        center_fraction: share of the columns (1-D) or samples (2-D) in the fully sampled centre.
        noise: standard deviation of complex Gaussian noise on the samples (``E|n|^2 = noise^2``),
            relative to the largest coil-image magnitude; a pair is a range, drawn per sample.
        redraw_masks: whether training sees new masks each epoch.
        exclude: subjects that are left out of every split (what ``--skip-bad`` found).
    """

    file: str | None = None
    split: str | None = None
    mask: Literal["random", "equispaced", "gaussian", "variable-density-2d"] = "random"
    acceleration: float = 4.0
    center_fraction: float = 0.08
    noise: float | tuple[float, float] = 0.01
    redraw_masks: bool = True
    exclude: tuple[str, ...] = ()
    channels: Literal[2] = 2

    def __post_init__(self) -> None:
        check(self.acceleration >= 1, "acceleration", self.acceleration, "at least 1")
        limit = 1 / self.acceleration
        expected = f"above 0, at most 1 / acceleration = {limit:.4g}"
        holds = 0 < self.center_fraction <= limit
        check(holds, "center_fraction", self.center_fraction, expected)
        low, high = self.noise_range
        check(0 <= low <= high, "noise", self.noise, "0 or more, a range in order")

    @property
    def noise_range(self) -> tuple[float, float]:
        """Lowest and highest noise level."""
        return self.noise if isinstance(self.noise, tuple) else (self.noise, self.noise)


@dataclass(frozen=True)
class PlanarConfig(CartesianConfig):
    """What tasks of single slices share.

    Attributes:
        size: pixels along both axes (acquired k-space keeps its own).
        center_crop: scores leave out all but this many pixels in the middle of each axis (fastMRI:
            320).
    """

    dataset: str = "brain-phantom"
    size: int = 96
    center_crop: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        embedded = self.dataset == "brain-phantom"
        smallest, largest = phantom.SIZES if embedded else (16, 4096)
        expected = f"{smallest} to {largest} pixels"
        check(smallest <= self.size <= largest, "size", self.size, expected)
        crop = self.center_crop
        check(crop is None or crop >= 16, "center_crop", crop, "at least 16")
        if not embedded:
            check(self.file is not None, "file", None, f"where the {self.dataset} lie")


class CartesianTask(SourcedTask):
    """Undersampled k-space to a complex image or series, of any number of coils.

    k-space is scaled, by a number computed from the measurements alone, so that the 99th magnitude
    percentile of their SENSE image (``mu = 0.01``, 10 iterations) is 1.
    """

    threat = "kspace-l2"

    # ------------------------------------------------------------------ samples

    def samples(self, split: Split) -> Sequence[Sample]:
        return self._samples[split]

    @functools.cached_property
    def _samples(self) -> dict[str, list[Sample]]:
        parts = self.split.parts()
        return {name: self.source.samples(subjects) for name, subjects in parts.items()}

    def batch(self, split: Split, indices: Sequence[int], epoch: int | None = None) -> Batch:
        samples = [self.samples(split)[i] for i in indices]
        measured = [self._measure(sample, epoch) for sample in samples]
        images, maps, masks, kspaces, peaks = (
            stacked(tensors, f"{self.name}: {split} split")
            for tensors in zip(*measured, strict=True)
        )
        physics = MultiCoilMRI(masks.unsqueeze(1), maps)
        y, x = to_channels(kspaces), to_channels(images)
        scale = self.scale(y, physics, peaks)
        return Batch(
            x=x / per_sample(scale, x),
            y=y / per_sample(scale, y),
            physics=physics,
            samples=tuple(samples),
            scale=scale,
            data_range=torch.ones(len(samples)),  # every subject's largest magnitude is 1
        )

    def scale(self, y: Tensor, physics: MultiCoilMRI, peaks: Tensor) -> Tensor:
        """What measurements are divided by, ``(B,)``; ``peaks``: largest coil-image magnitudes."""
        return percentile_of_sense(y, physics)

    def _measure(self, sample: Sample, epoch: int | None) -> tuple[Tensor, ...]:
        """Image, coil maps, mask, masked k-space and coil images' maximum of one sample."""
        source = self.source.slice(sample, self.rng(sample, MAPS, None))
        mask_epoch = epoch if self.config.redraw_masks else None
        mask = self.draw_mask(source.image.shape, self.rng(sample, MASK, mask_epoch))
        image, maps = torch.from_numpy(source.image), torch.from_numpy(source.coil_maps)
        kspace = self.kspace(source, image, maps)
        kspace = kspace + self._noise(image * maps, self.rng(sample, NOISE, epoch))
        return image, maps, mask, kspace * mask, ifft2c(kspace).abs().max()

    def draw_mask(self, shape: tuple[int, ...], rng: np.random.Generator) -> Tensor:
        """Of one sample, ``(H or 1, W)``; of a series with the frames' axis in front."""
        config = self.config
        height, width = shape[-2:]
        drawn = draw_mask(
            config.mask, (height, width), config.acceleration, config.center_fraction, rng
        )
        return torch.from_numpy(drawn)

    def kspace(self, source: Slice, image: Tensor, maps: Tensor) -> Tensor:
        """Fully sampled k-space of one sample, complex ``(N, ..., H, W)``."""
        return fft2c(image * maps)

    def _noise(self, coil_images: Tensor, rng: np.random.Generator) -> Tensor:
        level = rng.uniform(*self.config.noise_range) * float(coil_images.abs().max())
        pairs = rng.standard_normal((*coil_images.shape, 2), dtype=np.float32)
        noise: Tensor = torch.view_as_complex(torch.from_numpy(pairs)) * (level / 2**0.5)
        return noise


def percentile_of_sense(y: Tensor, physics: MultiCoilMRI) -> Tensor:
    """The 99th percentile of the SENSE image's magnitude, ``(B,)``; see :class:`CartesianTask`."""
    peak = y.flatten(1).abs().amax(1)
    image = magnitude(sense_image(y, physics, weight=1.0, shift=0.01, tol=1e-3, max_iter=10))
    # (torch.quantile takes at most 16 million numbers)
    rank = 0.99 * (image[0].numel() - 1)
    ordered = image.flatten(1).sort(dim=1).values
    low, high = ordered[:, int(rank)], ordered[:, min(int(rank) + 1, image[0].numel() - 1)]
    scale = low + (rank - int(rank)) * (high - low)
    # an image that is nearly everywhere zero has no useful percentile
    tiny = torch.finfo(y.dtype).tiny
    found: Tensor = torch.where(scale > 1e-6 * peak, scale, peak.clamp_min(tiny))
    return found
