"""Super-resolution of photographs from antialiased bicubic downsampling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bench.data.splits import load_split
from bench.errors import InputError
from bench.operators.downsampling import BicubicDownsampling
from bench.reconstructor import check
from bench.task import Batch, Protocol, Sample, Split, Task
from bench.tasks.images import ImageFolder, Photographs, Pixels, names_hash
from bench.tasks.sourced import locate, stacked

# which random stream of a sample draws what
PATCH, NOISE = 0, 1
SSIM_WINDOW = 7


@dataclass(frozen=True)
class SuperResolutionConfig:
    """A super-resolution task.

    Attributes:
        dataset: photographs that come with scikit-image, reduced to 256 pixels along the longer
            side, or a folder of images.
        folder: of the images, relative to the data folder; a split names files in it without
            their endings (``set5/baby``).
        split: a shipped split's name or a file; by default the dataset's own.
        scale: pixels of an image, along each axis, for one of the measurements.
        patch: side of training patches in image pixels, rounded down to a multiple of ``scale``;
            ``20 * scale`` if None, as published.
        patches: training patches of an image in an epoch, each a sample of its own.
        noise: standard deviation of Gaussian noise on the measurements (range 0 to 1).
        exclude: images that are left out of every split (what ``--skip-bad`` found).
    """

    dataset: Literal["photographs", "image-folder"] = "photographs"
    folder: str | None = None
    split: str | None = None
    scale: Literal[2, 3, 4] = 2
    patch: int | None = None
    patches: int = 1
    noise: float = 0.0
    exclude: tuple[str, ...] = ()
    channels: Literal[1] = 1

    def __post_init__(self) -> None:
        smallest = 4 * self.scale
        holds = self.patch is None or self.patch >= smallest
        check(holds, "patch", self.patch, f"at least 4 * scale = {smallest}")
        check(self.patches >= 1, "patches", self.patches, "at least 1")
        check(self.noise >= 0, "noise", self.noise, "0 or more")
        if self.dataset == "image-folder":
            check(self.folder is not None, "folder", None, "where the images lie")

    @property
    def patch_size(self) -> int:
        """Side of training patches in image pixels."""
        patch = 20 * self.scale if self.patch is None else self.patch
        return patch // self.scale * self.scale


DEFAULT_SPLITS = {"photographs": "photographs", "image-folder": "t91-set5"}


class SuperResolutionTask(Task):
    """Luma of a small image to that of a ``scale`` times larger one.

    The order is that of the code behind SR-MCNet's tables, found by reproducing them (its SRCNN
    weights on Set5 give the published PSNR within 0.008 dB at x2, x3 and x4, and the published SSIM
    to all but the last of four digits):

    1. 8-bit RGB, **resized** with Pillow's bicubic filter, not cropped, to sides that ``scale``
       divides. Only x3 changes Set5 images; cropping instead costs 0.65 dB there.
    2. RGB reduced with torch's antialiased bicubic interpolation, clamped, **truncated** to 8 bits.
    3. Of both, ``Y = (65.738 R + 129.057 G + 25.064 B) / 256 + 16``, over 255, not rounded.
    4. Noise, if any, is added last.

    Scores leave out ``scale`` pixels at each border and take 1 as the peak. So ``y`` is ``A x`` to
    within 8-bit truncation of three colours (at most 0.86 of 255, where nothing was clamped).
    Training sees a random patch of each image, downsampled by itself.
    """

    name = "superres"
    operator = "antialiased bicubic downsampling"
    Config = SuperResolutionConfig
    config: SuperResolutionConfig
    protocol = Protocol(image="luma of BT.601, over 255", data_range="1", crop=2)

    def __init__(self, config: SuperResolutionConfig, data: Path | None, data_seed: int) -> None:
        self.config, self.data_seed = config, data_seed
        self.protocol = Protocol(self.protocol.image, self.protocol.data_range, config.scale)
        split = load_split(config.split or DEFAULT_SPLITS[config.dataset])
        self._split = split.without(config.exclude)
        self.split_name, self.split_sha256 = self._split.name, self._split.sha256
        self.source = self._open(data)
        self.dataset_label = f"{self.source.label}, x{config.scale}"

    def _open(self, data: Path | None) -> Photographs | ImageFolder:
        config = self.config
        if config.dataset == "photographs":
            return Photographs()
        folder = locate(config.folder, data, config.dataset, self.name)
        return ImageFolder(folder, self.split_name)

    # ------------------------------------------------------------------ samples

    def samples(self, split: Split) -> Sequence[Sample]:
        count = self.config.patches if split == "train" else 1
        return [Sample(name, str(i)) for name in self._names[split] for i in range(count)]

    @property
    def _names(self) -> dict[str, tuple[str, ...]]:
        return self._split.parts()

    def batch(self, split: Split, indices: Sequence[int], epoch: int | None = None) -> Batch:
        known = self.samples(split)
        samples = [known[i] for i in indices]
        images = [self._image(sample, split, epoch) for sample in samples]
        rgb, scale = stacked(images, f"{self.name}: {split} split"), self.config.scale
        low = BicubicDownsampling(scale, (rgb.shape[-2], rgb.shape[-1])).to(rgb).A(rgb)
        # what is whole stays so, whichever way it was rounded
        y = _luma((low + 1e-6).floor().clamp(0, 255))
        noise = [self._noise(sample, y[0], epoch) for sample in samples]
        return Batch(
            x=_luma(rgb),
            y=y + torch.stack(noise),
            physics=BicubicDownsampling(scale, (rgb.shape[-2], rgb.shape[-1])),
            samples=tuple(samples),
            scale=torch.ones(len(samples)),
            data_range=torch.ones(len(samples)),
        )

    def subjects(self) -> list[str]:
        return self._split.subjects

    def check_subjects(self, subjects: Sequence[str]) -> None:
        for split, names in self._names.items():
            for name in names:
                if name in subjects:
                    self._pixels(name, split)

    def content_hash(self) -> str:
        return names_hash(self.source, self.subjects())

    def _pixels(self, name: str, split: str) -> Pixels:
        """The whole image at its size for this scale, refused if too small for its use."""
        pixels = _multiple(self.source.read(name), self.config.scale)
        training = split == "train"
        least = self.config.patch_size if training else 2 * self.protocol.crop + SSIM_WINDOW
        if min(pixels.shape[:2]) < least:
            raise InputError(
                f"{name} has {pixels.shape[0]}x{pixels.shape[1]} pixels",
                where=f"{self.dataset_label}: {split} split",
                expected=f"at least {least} along both" + ", a patch" * training,
            )
        return pixels

    def _image(self, sample: Sample, split: Split, epoch: int | None) -> Tensor:
        """RGB ``(3, H, W)``, 0 to 255, in float64: truncation must not depend on rounding."""
        pixels = self._pixels(sample.subject, split)
        if split == "train":
            size, rng = self.config.patch_size, self.rng(sample, PATCH, epoch)
            top, left = (int(rng.integers(side - size + 1)) for side in pixels.shape[:2])
            pixels = pixels[top : top + size, left : left + size]
        return torch.from_numpy(pixels.astype(np.float64)).movedim(-1, 0)

    def _noise(self, sample: Sample, like: Tensor, epoch: int | None) -> Tensor:
        rng = self.rng(sample, NOISE, epoch)
        drawn = rng.standard_normal(like.shape, dtype=np.float32)
        return self.config.noise * torch.from_numpy(drawn)


# ---------------------------------------------------------------------- colours and sizes


def _multiple(pixels: Pixels, scale: int) -> Pixels:
    height, width = (side // scale * scale for side in pixels.shape[:2])
    if (height, width) == pixels.shape[:2]:
        return pixels
    resized = Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(resized)


def _luma(rgb: Tensor) -> Tensor:
    weights = torch.tensor([65.738, 129.057, 25.064], dtype=rgb.dtype).view(3, 1, 1)
    return (((rgb * weights).sum(1, keepdim=True) / 256 + 16) / 255).float()
