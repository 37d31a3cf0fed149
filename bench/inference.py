"""How a fit is used at test time, where that differs from how it was trained."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from bench.operators.norms import per_sample, sample_norms
from bench.reconstructor import Reconstructor, check
from bench.task import Batch


@dataclass(frozen=True)
class Inference:
    """Another stop or another start than the method's own.

    Attributes:
        tol, max_iter, fixed_iterations: of the method's solver; None leaves it as it is.
        start: the method's own, the adjoint image, zero, or a random point at ``distance`` from the
            reconstruction (relative to its norm), drawn once for each sample.
        distance: of a random start.
    """

    tol: float | None = None
    max_iter: int | None = None
    fixed_iterations: int | None = None
    start: Literal["own", "adjoint", "zero", "random"] = "own"
    distance: float = 0.1

    def __post_init__(self) -> None:
        check(self.tol is None or self.tol > 0, "tol", self.tol, "above 0")
        for name in ("max_iter", "fixed_iterations"):
            value = getattr(self, name)
            check(value is None or value >= 1, name, value, "at least 1")
        check(self.distance > 0, "distance", self.distance, "above 0")

    def view(self, method: Reconstructor) -> Reconstructor:
        """The method with this stop."""
        stop = (self.tol, self.max_iter, self.fixed_iterations)
        return method if stop == (None, None, None) else method.with_solver(*stop)

    def first(self, method: Reconstructor, batch: Batch) -> Tensor | None:
        """Where the method starts on one sample; None: where it does by itself."""
        if self.start == "own":
            return None
        adjoint: Tensor = batch.physics.A_adjoint(batch.y)
        if self.start == "adjoint":
            return adjoint
        if self.start == "zero":
            return torch.zeros_like(adjoint)
        with torch.no_grad():
            image = method.reconstruct(batch.y, batch.physics).image
        return displaced(image, self.distance, batch)


def displaced(image: Tensor, distance: float, batch: Batch, draw: int = 0) -> Tensor:
    """A point at a relative distance from an image ``(B, C, ...)``, in a random direction.

    The direction is a function of the samples' names and ``draw``.
    """
    directions = []
    for sample, one in zip(batch.samples, image, strict=True):
        name = hashlib.sha256(f"{sample.subject}/{sample.sample}/{draw}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(name[:7], "big"))
        directions.append(torch.randn(one.shape, generator=generator).to(image))
    direction = torch.stack(directions)
    length = distance * sample_norms(image) / sample_norms(direction)
    return image + per_sample(length, image) * direction
