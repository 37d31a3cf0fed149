"""ADMM-Net: unrolled ADMM with a network for the regulariser's step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from bench.networks import PlainCNN
from bench.operators import solve_normal_equations
from bench.operators.sense import sense_image
from bench.reconstructor import (
    IMAGES,
    VOLUMES,
    Recipe,
    Reconstruction,
    Reconstructor,
    ReconstructorConfig,
    Trace,
    check,
)
from bench.task import Task


@dataclass(frozen=True)
class ADMMNetConfig(ReconstructorConfig):
    """K, network, λ and shift as in the MOL authors' unrolled methods; the solver is ours.

    Attributes:
        axes: 2 for images, 3 for series and volumes, with convolutions of 3x3x3.
        iterations: K.
        lam, lam_trainable: initial weight of the data term, and whether it is learned.
        shift: of the solve (0.001 in the authors' code, 0 in the formula).
        cg_iterations, cg_tol: of every solve, warm-started at the current image.
        output_scale: factor on the last layer's initial weights.
    """

    axes: Literal[2, 3] = 2
    width: int = 64
    depth: int = 5
    iterations: int = 10
    lam: float = 100.0
    lam_trainable: bool = True
    shift: float = 0.001
    cg_iterations: int = 10
    cg_tol: float = 1e-6
    output_scale: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.width >= 1 and self.depth >= 2, "width, depth", (self.width, self.depth), "1, 2")
        check(self.iterations >= 1, "iterations", self.iterations, "K of at least 1")
        check(self.lam > 0, "lam", self.lam, "above 0")
        check(self.shift >= 0, "shift", self.shift, "0 or more")
        check(self.cg_iterations >= 1, "cg_iterations", self.cg_iterations, "at least 1")
        check(self.cg_tol >= 0, "cg_tol", self.cg_tol, "0 or more")


class ADMMNet(Reconstructor):
    """K iterations that share one network N and one weight λ, from the SENSE image and ``u = 0``.

        ``z = (x - u) - N(x - u)``
        ``x = (λ A^H A + (1 + s)I)^-1 (z + u + λ A^H y)``
        ``u <- u + z - x``

    The order and the signs are those of the comparison method in MOL's code. It is scaled ADMM for
    ``min λ/2 ||A x - y||² + g(z) s.t. x = z`` with the dual variable's sign turned (``u = -v`` for
    the usual ``v <- v + x - z``): where ``I - N`` is g's proximal map and ``s = 0``, it converges
    to that minimiser.

    Source: Yang et al. 2016, in the form of MOL's comparison.
    """

    name = "admm-net"
    family = "unrolled"
    paper = "Yang et al. 2016"
    bibtex = """@inproceedings{yang2016admmnet,
  title={Deep {ADMM-Net} for compressive sensing {MRI}},
  author={Yang, Yan and Sun, Jian and Li, Huibin and Xu, Zongben},
  booktitle={Advances in Neural Information Processing Systems},
  volume={29}, pages={10--18}, year={2016}}"""
    tasks: ClassVar = (*IMAGES, *VOLUMES)
    Config = ADMMNetConfig
    config: ADMMNetConfig

    def __init__(self, config: ADMMNetConfig) -> None:
        super().__init__(config)
        self.network: nn.Module = PlainCNN(
            config.channels,
            config.width,
            config.depth,
            output_scale=config.output_scale,
            axes=config.axes,
        )
        self.lam = nn.Parameter(torch.tensor(config.lam), requires_grad=config.lam_trainable)

    def reconstruct(self, y: Tensor, physics: Any, x0: Tensor | None = None) -> Reconstruction:
        config, adjoint = self.config, physics.A_adjoint(y)
        x = self._start(y, physics) if x0 is None else x0
        u = torch.zeros_like(x)
        images = []
        for _ in range(config.iterations):
            z = x - u - self.network(x - u)
            x = solve_normal_equations(
                physics,
                z + u + self.lam * adjoint,
                self.lam,
                1 + config.shift,
                x0=x,
                tol=config.cg_tol,
                max_iter=config.cg_iterations,
            )
            u = u + z - x
            images.append(x)
        count = config.iterations
        return Reconstruction(x, tuple(images[:-1]), (Trace.unrolled(x, count, count),))

    def _start(self, y: Tensor, physics: Any) -> Tensor:
        return sense_image(y, physics, tol=1e-6 if self.config.cg_tol > 0 else 0.0)

    def networks(self) -> tuple[nn.Module, ...]:
        return (self.network,)

    def recipe(self) -> Recipe:
        """As MOL's: Adam 1e-3, squared error of magnitudes, λ at rate 1."""
        return Recipe(loss="magnitude", learning_rate=1e-3, group_rates={"lam": 1.0})

    @classmethod
    def small(cls, task: Task) -> dict[str, Any]:
        return {**super().small(task), "width": 6, "depth": 3, "iterations": 3}
