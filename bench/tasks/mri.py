"""Multi-coil Cartesian MRI."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from bench.data import phantom
from bench.data.coil_maps import MapPhase
from bench.data.masks import draw_mask
from bench.data.splits import load_split
from bench.errors import InputError
from bench.operators import MultiCoilMRI
from bench.operators.fourier import fft2c, ifft2c, magnitude, to_channels
from bench.operators.sense import sense_image
from bench.reconstructor import check
from bench.task import Batch, Protocol, Sample, Split, Task
from bench.tasks.sources import ComplexImageSource, KspaceSource, PhantomSource, Slice, Source

# which random stream of a sample draws what
MAPS, MASK, NOISE = 0, 1, 2


@dataclass(frozen=True)
class MultiCoilConfig:
    """A multi-coil task.

    Attributes:
        dataset: the embedded phantom, coil-combined images, or acquired k-space.
        file: of the images (file) or the k-space (folder), relative to the data folder.
        split: a shipped split's name or a file; by default the dataset's own.
        size: pixels along both axes (acquired k-space keeps its own).
        coils: number of simulated coils.
        measurements: simulated from the image and the maps, or as acquired.
        calibration: width of the k-space centre that ESPIRiT maps are estimated from. It is taken
            from the fully sampled data, as from a separate calibration scan.
        map_phase: which phase ESPIRiT maps carry and which the image keeps: see
            :func:`bench.data.coil_maps.estimate_espirit`.
        mask: kind of sampling; 1-D kinds leave out columns (phase encoding along W).
        acceleration: pixels over samples.
        center_fraction: share of the columns (1-D) or samples (2-D) in the fully sampled centre.
        noise: standard deviation of complex Gaussian noise on the samples (``E|n|^2 = noise^2``),
            relative to the largest coil-image magnitude; a pair is a range, drawn per sample.
        redraw_masks: whether training sees new masks each epoch.
        scaling: of the measurements, see :class:`MultiCoilTask`; ``coil-maximum`` is the MOL
            authors' (largest magnitude of the fully sampled coil images: not from measured data
            alone), for their weights.
    """

    dataset: Literal["brain-phantom", "complex-images", "kspace"] = "brain-phantom"
    file: str | None = None
    split: str | None = None
    size: int = 96
    coils: int = 8
    measurements: Literal["simulated", "acquired"] = "simulated"
    calibration: int = 24
    map_phase: MapPhase = "calibration"
    mask: Literal["random", "equispaced", "variable-density-2d"] = "random"
    acceleration: float = 4.0
    center_fraction: float = 0.08
    noise: float | tuple[float, float] = 0.01
    redraw_masks: bool = True
    scaling: Literal["sense-percentile", "coil-maximum"] = "sense-percentile"
    channels: Literal[2] = 2

    def __post_init__(self) -> None:
        smallest, largest = phantom.SIZES if self.dataset == "brain-phantom" else (16, 4096)
        check(
            smallest <= self.size <= largest, "size", self.size, f"{smallest} to {largest} pixels"
        )
        check(self.coils >= 1, "coils", self.coils, "at least 1")
        check(self.acceleration >= 1, "acceleration", self.acceleration, "at least 1")
        limit = 1 / self.acceleration
        expected = f"above 0, at most 1 / acceleration = {limit:.4g}"
        holds = 0 < self.center_fraction <= limit
        check(holds, "center_fraction", self.center_fraction, expected)
        low, high = self.noise_range
        check(0 <= low <= high, "noise", self.noise, "0 or more, a range in order")
        if self.dataset != "brain-phantom":
            check(self.file is not None, "file", None, f"where the {self.dataset} lie")
        if self.measurements == "acquired":
            check(self.dataset == "kspace", "measurements", "acquired", "dataset: kspace with it")
            check(high == 0, "noise", self.noise, "0: acquired data has its own")

    @property
    def noise_range(self) -> tuple[float, float]:
        """Lowest and highest noise level."""
        return self.noise if isinstance(self.noise, tuple) else (self.noise, self.noise)


DEFAULT_SPLITS = {
    "brain-phantom": "brain-phantom",
    "complex-images": "siat200",
    "kspace": "multicoil",
}


class MultiCoilTask(Task):
    """Undersampled multi-coil k-space to a complex image, scored on magnitudes.

    k-space is scaled, by a number computed from the measurements alone, so that the 99th magnitude
    percentile of their SENSE image (``mu = 0.01``, 10 iterations) is 1.
    """

    name = "mri-multicoil"
    Config = MultiCoilConfig
    config: MultiCoilConfig
    protocol = Protocol()

    def __init__(self, config: MultiCoilConfig, data: Path | None, data_seed: int) -> None:
        self.config, self.data_seed = config, data_seed
        self._split = load_split(config.split or DEFAULT_SPLITS[config.dataset])
        self.split_name, self.split_sha256 = self._split.name, self._split.sha256
        self.source = self._open(data)
        self.dataset_label = f"{self.source.label}, {config.measurements} k-space"

    def _open(self, data: Path | None) -> Source:
        config, split = self.config, self._split
        if config.dataset == "brain-phantom":
            subjects = (*split.train, *split.validation, *split.test)
            return PhantomSource(config.size, config.coils, self.data_seed, subjects)
        if data is None:
            raise InputError(
                f"dataset {config.dataset!r} ({config.file}) needs a data folder",
                where=self.name,
                expected="--data DIR or EQUIBENCH_DATA",
            )
        path = data / str(config.file)
        if not path.exists():
            raise InputError(
                "no such file or folder", where=str(path), expected=f"{config.dataset}"
            )
        if config.dataset == "complex-images":
            return ComplexImageSource(path, config.size, config.coils)
        return KspaceSource(path, config.calibration, config.map_phase)

    # ------------------------------------------------------------------ samples

    def samples(self, split: Split) -> Sequence[Sample]:
        return self._samples[split]

    @functools.cached_property
    def _samples(self) -> dict[str, list[Sample]]:
        subjects = {
            "train": self._split.train,
            "validation": self._split.validation,
            "test": self._split.test,
        }
        return {split: self.source.samples(names) for split, names in subjects.items()}

    def batch(self, split: Split, indices: Sequence[int], epoch: int | None = None) -> Batch:
        samples = [self.samples(split)[i] for i in indices]
        measured = [self._measure(sample, epoch) for sample in samples]
        images, maps, masks, kspaces, peaks = (
            torch.stack(tensors) for tensors in zip(*measured, strict=True)
        )
        physics = MultiCoilMRI(masks.unsqueeze(1), maps)
        y, x = to_channels(kspaces), to_channels(images)
        coil_maximum = self.config.scaling == "coil-maximum"
        scale = peaks if coil_maximum else _percentile_of_sense(y, physics)
        wide = scale.view(-1, 1, 1, 1)
        return Batch(
            x=x / wide,
            y=y / wide.unsqueeze(-1),
            physics=physics,
            samples=tuple(samples),
            scale=scale,
            data_range=torch.ones(len(samples)),  # every subject's largest magnitude is 1
        )

    def verify(self) -> None:
        self.source.verify((*self._split.train, *self._split.validation, *self._split.test))

    def content_hash(self) -> str:
        return self.source.content_hash()

    def _rng(self, sample: Sample, stream: int, epoch: int | None) -> np.random.Generator:
        name = zlib.crc32(f"{sample.subject}/{sample.sample}".encode())
        return np.random.default_rng(
            [self.data_seed, name, stream, 0 if epoch is None else epoch + 1]
        )

    def _measure(self, sample: Sample, epoch: int | None) -> tuple[Tensor, ...]:
        """Image, coil maps, mask, masked k-space and coil images' maximum of one sample."""
        config = self.config
        source = self._slice(sample)
        shape = source.image.shape
        mask = draw_mask(
            config.mask,
            (shape[0], shape[1]),
            config.acceleration,
            config.center_fraction,
            self._rng(sample, MASK, epoch if config.redraw_masks else None),
        )
        image, maps = torch.from_numpy(source.image), torch.from_numpy(source.coil_maps)
        kspace = self._kspace(source, image, maps)
        kspace = kspace + self._noise(image * maps, self._rng(sample, NOISE, epoch))
        mask_tensor = torch.from_numpy(mask)
        return image, maps, mask_tensor, kspace * mask_tensor, ifft2c(kspace).abs().max()

    def _slice(self, sample: Sample) -> Slice:
        return self.source.slice(sample, self._rng(sample, MAPS, None))

    def _kspace(self, source: Slice, image: Tensor, maps: Tensor) -> Tensor:
        if self.config.measurements == "acquired":
            if source.kspace is None:
                raise InputError("the dataset has no acquired k-space", where=self.name)
            return torch.from_numpy(source.kspace)
        return fft2c(image * maps)

    def _noise(self, coil_images: Tensor, rng: np.random.Generator) -> Tensor:
        level = rng.uniform(*self.config.noise_range) * float(coil_images.abs().max())
        pairs = rng.standard_normal((*coil_images.shape, 2), dtype=np.float32)
        return torch.view_as_complex(torch.from_numpy(pairs)) * (level / 2**0.5)


def _percentile_of_sense(y: Tensor, physics: MultiCoilMRI) -> Tensor:
    peak = y.flatten(1).abs().amax(1)
    image = magnitude(sense_image(y, physics, weight=1.0, shift=0.01, tol=1e-3, max_iter=10))
    scale = torch.quantile(image.flatten(1), 0.99, dim=1)
    # an image that is nearly everywhere zero has no useful percentile
    return torch.where(scale > 1e-6 * peak, scale, peak.clamp_min(torch.finfo(y.dtype).tiny))
