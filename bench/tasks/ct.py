"""Sparse-view parallel-beam CT, as in LUSER."""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from bench.data import ellipses
from bench.data.readers import file_hash, read_hounsfield
from bench.data.splits import is_number
from bench.errors import InputError
from bench.operators.tomography import ParallelBeam
from bench.reconstructor import check
from bench.task import Protocol, Sample, Split
from bench.tasks.prepared import PreparedImages
from bench.tasks.simulated import ImageSource, SimulatedTask


@dataclass(frozen=True)
class TomographyConfig:
    """A CT task.

    Attributes:
        dataset: random ellipse phantoms, slices in Hounsfield units (an .npz with ``hu`` and
            ``subject``), or a prepared dataset (LoDoPaB-CT).
        file: of the data, relative to the data folder.
        split: a shipped split's name or a JSON file; by default the dataset's own.
        size: pixels along both axes (362 in the paper; prepared images keep their own).
        views, of: how many angles are measured, of so many over half a turn.
        choice: which: evenly spread, or drawn once from the data seed.
        noise: standard deviation of Gaussian noise, relative to the sample's largest measurement
            (the paper does not say its own).
        window: Hounsfield units that become 0 and 1.
        exclude: subjects that are left out of every split (what ``--skip-bad`` found).
    """

    dataset: Literal["ellipses", "hounsfield", "prepared"] = "ellipses"
    file: str | None = None
    split: str | None = None
    size: int = 128
    views: int = 200
    of: int = 1000
    choice: Literal["even", "random"] = "even"
    noise: float = 0.005
    window: tuple[float, float] = (-1000.0, 1500.0)
    exclude: tuple[str, ...] = ()
    channels: Literal[1] = 1

    def __post_init__(self) -> None:
        check(16 <= self.size <= 1024, "size", self.size, "16 to 1024 pixels")
        check(1 <= self.views <= self.of, "views", self.views, f"1 to of = {self.of}")
        check(self.noise >= 0, "noise", self.noise, "0 or more")
        low, high = self.window
        check(low < high, "window", self.window, "two values in order")
        if self.dataset != "ellipses":
            check(self.file is not None, "file", None, f"where the {self.dataset} data lies")


class TomographyTask(SimulatedTask):
    """A noisy sinogram of few views to an image; every iteration starts at the back-projection.

    The operator has norm 1, so that step sizes mean the same as in MRI.
    """

    name = "ct"
    operator = "line integrals, parallel beam"
    protocol = Protocol(image="attenuation in the window", data_range="1")
    Config = TomographyConfig
    config: TomographyConfig
    default_splits: ClassVar = {"ellipses": "ellipses", "hounsfield": "tcia-ct"}

    def __init__(self, config: TomographyConfig, data: Path | None, data_seed: int) -> None:
        super().__init__(config, data, data_seed)
        self.dataset_label = f"{self.source.label}, {config.views} of {config.of} views"

    def open_source(self, data: Path | None) -> ImageSource:
        config = self.config
        if config.dataset == "ellipses":
            return _Ellipses(config.size, self.data_seed)
        path = self.located(data)
        if config.dataset == "prepared":
            return PreparedImages(path)
        return _Hounsfield(path, config.size, config.window)

    def image(self, sample: Sample, split: Split, epoch: int | None) -> Tensor:
        return torch.from_numpy(self.source.read(sample))

    def physics(self) -> ParallelBeam:
        return self._operator

    @functools.cached_property
    def _operator(self) -> ParallelBeam:
        config, size = self.config, self._size()
        if config.choice == "even":
            chosen = np.arange(config.views) * config.of // config.views
        else:
            rng = np.random.default_rng([self.data_seed, config.of])
            chosen = np.sort(rng.choice(config.of, config.views, replace=False))
        return ParallelBeam(size, torch.from_numpy(chosen * (math.pi / config.of)))

    def _size(self) -> int:
        """Of the images, which are square."""
        if self.config.dataset != "prepared":
            return self.config.size
        first = self.source.read(self.source.samples(self.split.test)[0])
        if first.shape[-1] != first.shape[-2]:
            shape = "x".join(map(str, first.shape[-2:]))
            raise InputError(f"images of {shape}", where=self.dataset_label, expected="squares")
        return int(first.shape[-1])

    def noise_level(self, y: Tensor) -> Tensor:
        return self.config.noise * y.abs().max()


class _Ellipses:
    """The embedded phantoms; every one is a subject."""

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed = size, seed
        self.label = f"ellipse phantoms {size}x{size}"

    def samples(self, subjects: Sequence[str]) -> list[Sample]:
        return [Sample(subject, "0") for subject in subjects]

    def read(self, sample: Sample) -> NDArray[np.float32]:
        return _phantom(_number(sample.subject, "split"), self.size, self.seed)[None]

    def verify(self, subjects: Sequence[str]) -> None:
        for subject in subjects:
            _number(subject, "split")

    def content_hash(self, subjects: Sequence[str]) -> str:
        return f"ellipses version {ellipses.VERSION}, seed {self.seed}, size {self.size}"


@functools.lru_cache(maxsize=256)
def _phantom(number: int, size: int, seed: int) -> NDArray[np.float32]:
    rng = np.random.default_rng([ellipses.VERSION, seed, number])
    return ellipses.ellipse_phantom(rng, size)


class _Hounsfield:
    """Slices of patients, averaged to ``size`` pixels; samples are numbered as in the file."""

    def __init__(self, path: Path, size: int, window: tuple[float, float]) -> None:
        self.path, self.size, self.window = path, size, window
        self.label = f"{path.stem} {size}x{size}"

    @functools.cached_property
    def _slices(self) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
        hu, subjects = read_hounsfield(self.path)
        if min(hu.shape[1:]) < self.size:
            found = f"slices of {hu.shape[1]}x{hu.shape[2]}"
            raise InputError(found, where=str(self.path), expected=f"at least size = {self.size}")
        return hu, subjects

    def samples(self, subjects: Sequence[str]) -> list[Sample]:
        owners = self._slices[1]
        found = []
        for subject in subjects:
            numbers = np.nonzero(owners == _number(subject, str(self.path)))[0]
            if not len(numbers):
                raise InputError(f"no slice of {subject!r}", where=str(self.path))
            found += [Sample(subject, str(number)) for number in numbers]
        return found

    def read(self, sample: Sample) -> NDArray[np.float32]:
        low, high = self.window
        hu = torch.from_numpy(self._slices[0][int(sample.sample)].astype(np.float32))
        unit = ((hu - low) / (high - low)).clamp(0, 1)[None, None]
        reduced = F.interpolate(
            unit, size=(self.size, self.size), mode="bilinear", antialias=True, align_corners=False
        )
        pixels: NDArray[Any] = reduced[0].numpy()
        return pixels

    def verify(self, subjects: Sequence[str]) -> None:
        self.samples(subjects)

    def content_hash(self, subjects: Sequence[str]) -> str:
        text = f"{file_hash(self.path)} {self.size} {self.window}"
        return hashlib.sha256(text.encode()).hexdigest()


def _number(subject: str, where: str) -> int:
    number = subject.rpartition("-")[2]
    if not is_number(number):
        raise InputError(f"subject {subject!r}", where=where, expected="NAME-NUMBER")
    return int(number)
