"""Deblurring of photographs, as in DEQ4IP and LUSER."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.errors import InputError
from bench.operators.blur import Blur, gaussian_kernel
from bench.reconstructor import check
from bench.task import Protocol, Sample, Split
from bench.tasks.images import ImageFolder, Photographs, names_hash
from bench.tasks.prepared import PreparedImages
from bench.tasks.simulated import CROP, ImageSource, SimulatedTask


@dataclass(frozen=True)
class DeblurConfig:
    """A deblurring task; LUSER's blur and noise by default.

    Attributes:
        dataset: photographs that come with scikit-image, a folder of images, or a prepared dataset
            (CelebA).
        file: the folder, relative to the data folder; a split names files in it without endings.
        split: a shipped split's name or a JSON file; by default the dataset's own.
        size: side of the square that is cut from an image: at random in training, from its middle
            otherwise.
        patches: training crops of an image in an epoch, each a sample of its own.
        channels: 3 for colours, 1 for grey (ITU-R 601 luma).
        kernel, variance: pixels along each side of the Gaussian kernel, and its variance.
        boundary: see :class:`bench.operators.Blur` (the papers do not say theirs).
        noise: standard deviation of Gaussian noise on the blurred image (range 0 to 1).
        exclude: subjects that are left out of every split (what ``--skip-bad`` found).
    """

    dataset: Literal["photographs", "image-folder", "prepared"] = "photographs"
    file: str | None = None
    split: str | None = None
    size: int = 128
    patches: int = 1
    channels: Literal[1, 3] = 3
    kernel: int = 9
    variance: float = 5.0
    boundary: Literal["circular", "zero"] = "circular"
    noise: float = 0.01
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        odd = self.kernel >= 1 and self.kernel % 2 == 1
        check(odd, "kernel", self.kernel, "an odd number of at least 1")
        smallest = max(16, self.kernel)
        check(self.size >= smallest, "size", self.size, f"at least {smallest}")
        check(self.patches >= 1, "patches", self.patches, "at least 1")
        check(self.variance > 0, "variance", self.variance, "above 0")
        check(self.noise >= 0, "noise", self.noise, "0 or more")
        if self.dataset != "photographs":
            check(self.file is not None, "file", None, "where the images lie")


class DeblurTask(SimulatedTask):
    """A blurred, noisy photograph to the sharp one, in colours or grey."""

    name = "deblur"
    operator = "Gaussian blur"
    protocol = Protocol(image="colour channels, or grey", data_range="1")
    Config = DeblurConfig
    config: DeblurConfig
    default_splits: ClassVar = {"photographs": "photographs", "image-folder": "train400-bsd68"}

    def __init__(self, config: DeblurConfig, data: Path | None, data_seed: int) -> None:
        super().__init__(config, data, data_seed)
        image = "three colour channels" if config.channels == 3 else "grey"
        self.protocol = Protocol(image=image, data_range="1")
        self.dataset_label = f"{self.source.label}, {config.size}x{config.size} {image}"

    def open_source(self, data: Path | None) -> ImageSource:
        config = self.config
        if config.dataset == "photographs":
            return _Whole(Photographs(), config.size)
        path = self.located(data)
        if config.dataset == "prepared":
            return PreparedImages(path)
        return _Whole(ImageFolder(path, self.split_name), config.size)

    def samples(self, split: Split) -> Sequence[Sample]:
        """A training crop is a sample; its number follows the image's own name."""
        images = super().samples(split)
        if split != "train" or self.config.patches == 1:
            return images
        count = self.config.patches
        return [Sample(s.subject, f"{s.sample}.{i}") for s in images for i in range(count)]

    def image(self, sample: Sample, split: Split, epoch: int | None) -> Tensor:
        whole = sample
        if split == "train" and self.config.patches > 1:
            whole = Sample(sample.subject, sample.sample.rpartition(".")[0])
        pixels: NDArray[np.float32] = self.source.read(whole)
        size, sides = self.config.size, pixels.shape[1:]
        if min(sides) < size:
            raise InputError(
                f"{sample.subject} has {sides[0]}x{sides[1]} pixels",
                where=self.dataset_label,
                expected=f"at least size = {size}",
            )
        rng = self.rng(sample, CROP, epoch)
        if split == "train":
            top, left = (int(rng.integers(side - size + 1)) for side in sides)
        else:
            top, left = ((side - size) // 2 for side in sides)
        crop = torch.from_numpy(pixels[:, top : top + size, left : left + size].copy())
        return _channels(crop, self.config.channels)

    def physics(self) -> Blur:
        return self._operator

    @functools.cached_property
    def _operator(self) -> Blur:
        config = self.config
        kernel = gaussian_kernel(config.kernel, config.variance)
        operator: Blur = Blur(kernel, (config.size, config.size), config.boundary).float()
        return operator


class _Whole:
    """8-bit images as values in [0, 1]; every image is a subject."""

    def __init__(self, images: Photographs | ImageFolder, size: int) -> None:
        self.images, self.size, self.label = images, size, images.label

    def samples(self, subjects: Sequence[str]) -> list[Sample]:
        return [Sample(subject, "0") for subject in subjects]

    def read(self, sample: Sample) -> NDArray[np.float32]:
        pixels = self.images.read(sample.subject).astype(np.float32) / np.float32(255)
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))

    def verify(self, subjects: Sequence[str]) -> None:
        for subject in subjects:
            height, width = self.images.read(subject).shape[:2]
            if min(height, width) < self.size:
                raise InputError(
                    f"{subject} has {height}x{width} pixels",
                    where=self.label,
                    expected=f"at least size = {self.size}",
                )

    def content_hash(self, subjects: Sequence[str]) -> str:
        return names_hash(self.images, subjects)


def _channels(image: Tensor, channels: int) -> Tensor:
    if channels == image.shape[0]:
        return image
    if channels == 1:
        weights = torch.tensor([0.299, 0.587, 0.114], dtype=image.dtype).view(3, 1, 1)
        return (image * weights).sum(0, keepdim=True)
    return image.expand(channels, -1, -1).contiguous()
