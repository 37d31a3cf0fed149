"""Reconstructors whose worst perturbation, counts and faults are known."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from bench.measure.question import Subject
from bench.operators.linear import LinearOperator
from bench.reconstructor import (
    Recipe,
    Reconstruction,
    Reconstructor,
    ReconstructorConfig,
    Trace,
)
from bench.task import Batch, Protocol, Sample, Task

SIDE = 6
PIXELS = SIDE * SIDE


class Identity(LinearOperator):
    """y = x."""

    def _forward(self, x: Tensor) -> Tensor:
        return x.clone()

    def _adjoint(self, y: Tensor) -> Tensor:
        return y.clone()


class ToyTask(Task):
    """Random images that are measured as they are."""

    name = "toy"
    protocol = Protocol()
    data_seed = 0
    config = type("Config", (), {"channels": 1})()

    def samples(self, split: str) -> list[Sample]:
        return [Sample(f"subject {i}", "0") for i in range(3)]

    def batch(self, split: str, indices: Any, epoch: int | None = None) -> Batch:
        g = torch.Generator().manual_seed(7)
        x = torch.rand(3, 1, SIDE, SIDE, generator=g)[list(indices)]
        samples = tuple(self.samples(split)[i] for i in indices)
        one = torch.ones(len(x))
        return Batch(
            x=x, y=x.clone(), physics=Identity(), samples=samples, scale=one, data_range=one
        )


class Toy(Reconstructor):
    """``x = f(y)``."""

    name = "toy-method"
    family = "toy"
    paper = "none"

    def __init__(self) -> None:
        super().__init__(ReconstructorConfig(channels=1))

    def reconstruct(self, y: Tensor, physics: Any, x0: Tensor | None = None) -> Reconstruction:
        return Reconstruction(self.image(y))

    def image(self, y: Tensor) -> Tensor:
        return y


class Linear(Toy):
    """A random orthogonal map, and one direction that is magnified by ``gain``."""

    def __init__(self, gain: float = 6.0) -> None:
        super().__init__()
        g = torch.Generator().manual_seed(3)
        left, _ = torch.linalg.qr(torch.randn(PIXELS, PIXELS, generator=g))
        right, _ = torch.linalg.qr(torch.randn(PIXELS, PIXELS, generator=g))
        values = torch.rand(PIXELS, generator=g)
        values[0] = gain
        self.register_buffer("matrix", left @ torch.diag(values) @ right.mT)
        self.register_buffer("worst", right[:, 0])
        self.gain = gain

    def image(self, y: Tensor) -> Tensor:
        flat: Tensor = y.flatten(1) @ self.matrix.mT
        return flat.view_as(y)


class Rounded(Linear):
    """The same weakness behind a step function: its gradient is zero."""

    def image(self, y: Tensor) -> Tensor:
        return (super().image(y) * 2000).round() / 2000


class HalfHidden(Linear):
    """The weakness is there, and not in the gradient."""

    def image(self, y: Tensor) -> Tensor:
        return super().image(y).detach() + 0.3 * (y - y.detach())


class Loop(Toy):
    """``iterations`` evaluations of one convolution, with a data step (A^H A) after each."""

    def __init__(self, iterations: int = 4) -> None:
        super().__init__()
        self.network = nn.Conv2d(1, 1, 3, padding=1)
        self.iterations = iterations

    def reconstruct(self, y: Tensor, physics: Any, x0: Tensor | None = None) -> Reconstruction:
        x = physics.A_adjoint(y)
        for _ in range(self.iterations):
            x = x - 0.1 * self.network(x)
            x = x - 0.5 * physics.A_adjoint_A(x)
        return Reconstruction(x, traces=(Trace.unrolled(x, self.iterations, self.iterations),))

    def recipe(self) -> Recipe:
        return Recipe()


class Leaky(Loop):
    """Keeps an image of every call."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Tensor] = []

    def reconstruct(self, y: Tensor, physics: Any, x0: Tensor | None = None) -> Reconstruction:
        result = super().reconstruct(y, physics)
        self.kept.append(result.image.detach())
        return result


class Nested(Loop):
    """Names its network twice, and a module that only calls it."""

    def __init__(self) -> None:
        super().__init__()
        self.outer = nn.Sequential(self.network)

    def networks(self) -> tuple[nn.Module, ...]:
        return (self.network, self.network, self.outer)

    def reconstruct(self, y: Tensor, physics: Any, x0: Tensor | None = None) -> Reconstruction:
        x = self.outer(physics.A_adjoint(y))
        return Reconstruction(x, traces=(Trace.unrolled(x, 1, 1),))


def subject(method: Reconstructor, **changes: Any) -> Subject:
    """A question's subject: the toy task and the method's own recipe."""
    return Subject(method.eval(), ToyTask(), method.recipe(), **changes)
