"""What tasks share whose measurements are simulated from real-valued images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor

from bench.data.splits import Split as SplitFile
from bench.data.splits import load_split
from bench.errors import InputError
from bench.task import Batch, Sample, Split, Task

# which random stream of a sample draws what
CROP, NOISE = 0, 1


class ImageSource(Protocol):
    """Real images by subject and sample."""

    label: str

    def samples(self, subjects: Sequence[str]) -> list[Sample]:
        """The images of these subjects, in order."""

    def verify(self, subjects: Sequence[str]) -> None:
        """Raise InputError for the first file of these subjects that cannot be used."""

    def content_hash(self, subjects: Sequence[str]) -> str:
        """Hash of these subjects' contents, or the name and version of the generator."""


class SimulatedTask(Task):
    """``y = A x + noise`` for images in [0, 1], the same operator for every sample."""

    source: Any
    default_splits: ClassVar[dict[str, str]]

    def __init__(self, config: Any, data: Path | None, data_seed: int) -> None:
        self.config, self.data_seed = config, data_seed
        self.split = self._load_split(data)
        self.split_name, self.split_sha256 = self.split.name, self.split.sha256
        self.source = self.open_source(data)
        self.dataset_label = self.source.label

    def open_source(self, data: Path | None) -> ImageSource:
        """Where the images come from, from the configuration."""
        raise TypeError(f"{type(self).__name__} has no source")

    def image(self, sample: Sample, split: Split, epoch: int | None) -> Tensor:
        """The reference ``(C, H, W)``; training may see another crop in every epoch."""
        raise TypeError(f"{type(self).__name__} has no images")

    def physics(self) -> Any:
        """The forward operator."""
        raise TypeError(f"{type(self).__name__} has no operator")

    def noise_level(self, y: Tensor) -> Tensor:
        """Standard deviation of the noise on the measurements of one sample, 0-d."""
        return torch.as_tensor(self.config.noise, dtype=y.dtype)

    # ------------------------------------------------------------------ samples

    def samples(self, split: Split) -> Sequence[Sample]:
        found: list[Sample] = self.source.samples(self.split.parts()[split])
        return found

    def batch(self, split: Split, indices: Sequence[int], epoch: int | None = None) -> Batch:
        known, physics = self.samples(split), self.physics()
        samples = [known[i] for i in indices]
        images = [self.image(sample, split, epoch) for sample in samples]
        x = stacked(images, f"{self.name}: {split} split")
        clean = physics.A(x)
        noise = [
            self.noise_level(y) * _normal(self.rng(sample, NOISE, epoch), y)
            for sample, y in zip(samples, clean, strict=True)
        ]
        return Batch(
            x=x,
            y=clean + torch.stack(noise),
            physics=physics,
            samples=tuple(samples),
            scale=torch.ones(len(samples)),
            data_range=torch.ones(len(samples)),
        )

    def subjects(self) -> list[str]:
        return self.split.subjects

    def check_subjects(self, subjects: Sequence[str]) -> None:
        self.source.verify(subjects)

    def content_hash(self) -> str:
        content: str = self.source.content_hash(self.subjects())
        return content

    # ------------------------------------------------------------------ places

    def _load_split(self, data: Path | None) -> SplitFile:
        config = self.config
        if config.dataset == "prepared" and config.split is None:
            split = load_split(self.located(data) / "split.json")
        else:
            split = load_split(config.split or self.default_splits[config.dataset])
        return split.without(config.exclude)

    def located(self, data: Path | None) -> Path:
        """The configured file or folder.

        Raises:
            InputError: there is no data folder, or nothing of that name in it.
        """
        return locate(self.config.file, data, self.config.dataset, self.name)


def locate(file: str | None, data: Path | None, dataset: str, where: str) -> Path:
    """A file or folder below the data folder, or anywhere by an absolute path.

    Raises:
        InputError: there is no data folder, or nothing of that name in it.
    """
    if data is None and not Path(str(file)).is_absolute():
        raise InputError(
            f"dataset {dataset!r} ({file}) needs a data folder",
            where=where,
            expected="--data DIR or EQUIBENCH_DATA",
        )
    path = (data or Path()) / str(file)
    if not path.exists():
        raise InputError("no such file or folder", where=str(path), expected=dataset)
    return path


def stacked(images: Sequence[Tensor], where: str) -> Tensor:
    """Samples as a batch. Raises InputError where they are not of one size."""
    shapes = {tuple(image.shape) for image in images}
    if len(shapes) != 1:
        sizes = ", ".join(sorted("x".join(map(str, shape[-2:])) for shape in shapes))
        raise InputError(
            f"images of {sizes} in one batch", where=where, expected="one size, or batch_size 1"
        )
    return torch.stack(list(images))


def _normal(rng: np.random.Generator, like: Tensor) -> Tensor:
    return torch.from_numpy(rng.standard_normal(like.shape, dtype=np.float32))
