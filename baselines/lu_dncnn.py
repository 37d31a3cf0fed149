"""LU-DnCNN: proximal gradient steps unrolled with one DnCNN, LUSER's comparison method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from bench.networks import DnCNN
from bench.operators.norms import relative_norms
from bench.reconstructor import (
    Recipe,
    Reconstruction,
    Reconstructor,
    ReconstructorConfig,
    Trace,
    Variant,
    check,
)
from bench.task import Task


@dataclass(frozen=True)
class LUDnCNNConfig(ReconstructorConfig):
    """The published architecture by default; what the paper leaves open is marked.

    Attributes:
        iterations: K.
        width, depth: of the DnCNN.
        eta: initial step size of the data term, learned (its start is open; DEQ4IP's for MRI).
        output_scale: factor on the last layer's initial weights.
    """

    iterations: int = 8
    width: int = 64
    depth: int = 17
    eta: float = 0.4
    output_scale: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.iterations >= 1, "iterations", self.iterations, "K of at least 1")
        check(self.width >= 1 and self.depth >= 3, "width, depth", (self.width, self.depth), "1, 3")
        check(self.eta > 0, "eta", self.eta, "above 0")
        check(self.output_scale > 0, "output_scale", self.output_scale, "above 0")


class LUDnCNN(Reconstructor):
    """K iterations that share one network N and one step size η, from ``A^H y``.

        ``g = x - η (A^H A x - A^H y);  x <- g + N(g)``

    N is a DnCNN without convolution bias, with affine batch norm on its middle layers and without
    spectral normalisation: the step of DEQ4IP's DE-Prox, unrolled. As published, 556,033 parameters
    on 1 channel, 557,185 on 2 and 558,337 on 3 (558,580 there, with the 243 entries of the frozen
    blur kernel).

    Source: Guan et al. 2022 (LUSER), its comparison method.
    """

    name = "lu-dncnn"
    family = "unrolled"
    paper = "arXiv:2210.04987"
    bibtex = """@article{guan2022loop,
  title={Loop unrolled shallow equilibrium regularizer ({LUSER})},
  author={Guan, Peimeng and Jin, Jihui and Romberg, Justin and Davenport, Mark A.},
  journal={arXiv preprint arXiv:2210.04987}, year={2022}}"""
    Config = LUDnCNNConfig
    config: LUDnCNNConfig
    # the loss of the final image, or of all K (the mean of the others times K - 1 is their sum)
    variants: ClassVar = {"final": Variant(), "aux": Variant(recipe={"auxiliary": 1.0})}

    def __init__(self, config: LUDnCNNConfig) -> None:
        super().__init__(config)
        self.network = DnCNN(
            config.channels, config.width, config.depth, output_scale=config.output_scale
        )
        self.eta = nn.Parameter(torch.tensor(config.eta))

    def reconstruct(self, y: Tensor, physics: Any, x0: Tensor | None = None) -> Reconstruction:
        """All images but the last are intermediates."""
        adjoint = physics.A_adjoint(y)
        x = adjoint if x0 is None else x0
        images = []
        for _ in range(self.config.iterations):
            x = self._iterate(x, adjoint, physics)
            images.append(x)
        count = self.config.iterations
        return Reconstruction(x, tuple(images[:-1]), (Trace.unrolled(x, count, count),))

    def _iterate(self, x: Tensor, adjoint: Tensor, physics: Any) -> Tensor:
        g: Tensor = x - self.eta * (physics.A_adjoint_A(x) - adjoint)
        output: Tensor = self.network(g)
        return g + output

    def residual(self, x: Tensor, y: Tensor, physics: Any) -> Tensor:
        """Of the unrolled map, which is not iterated to its fixed point."""
        step = self._iterate(x, physics.A_adjoint(y), physics) - x
        return relative_norms(step, x)

    def networks(self) -> tuple[nn.Module, ...]:
        return (self.network,)

    def recipe(self) -> Recipe:
        """Adam 1e-4 (open, as LUSER's here), mean squared error."""
        return Recipe(learning_rate=1e-4)

    @classmethod
    def small(cls, task: Task) -> dict[str, Any]:
        return {**cls.for_task(task), "width": 8, "depth": 4, "iterations": 3}
