"""What tasks share whose measurements are simulated from real-valued images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from bench.task import Batch, Sample, Split
from bench.tasks.sourced import SourcedTask, stacked

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


class SimulatedTask(SourcedTask):
    """``y = A x + noise`` for images in [0, 1], the same operator for every sample."""

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


def _normal(rng: np.random.Generator, like: Tensor) -> Tensor:
    return torch.from_numpy(rng.standard_normal(like.shape, dtype=np.float32))
