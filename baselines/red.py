"""RED: regularisation by denoising, as a fixed point."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from baselines.pnp_admm import STABLE, DenoiserPrior, DenoiserPriorConfig
from bench.operators.norms import relative_norms
from bench.reconstructor import Probe, Reconstruction, Variant
from methods.equilibrium import implicit
from methods.equilibrium_method import Iteration


class RED(DenoiserPrior):
    """The fixed point of ``x <- (A^H A + w I)^-1 (A^H y + w D(x))``, from least squares.

    There ``A^H (A x - y) + w (x - D(x)) = 0``. Where D's Jacobian is symmetric and D homogeneous,
    that is the gradient of ``1/2 ||A x - y||² + w/2 <x, x - D(x)>``; a trained D is neither, and
    the equation stands without an objective. The iteration contracts where D does.

    Source: Romano, Elad, Milanfar 2017 (the fixed-point strategy).
    """

    name = "red"
    family = "plug-and-play"
    paper = "arXiv:1611.02862"
    bibtex = """@article{romano2017little,
  title={The little engine that could: Regularization by denoising ({RED})},
  author={Romano, Yaniv and Elad, Michael and Milanfar, Peyman},
  journal={SIAM Journal on Imaging Sciences}, volume={10}, pages={1804--1844}, year={2017}}"""
    Config = DenoiserPriorConfig
    variants: ClassVar = {"unbounded": Variant(), "stable": STABLE}

    def reconstruct(self, y: Tensor, physics: Any, x0: Tensor | None = None) -> Reconstruction:
        result = implicit(*self.fixed_point_map(y, physics, x0), self.equilibrium())
        return Reconstruction(result.value, traces=(result.trace,))

    def fixed_point_map(
        self, y: Tensor, physics: Any, x0: Tensor | None = None
    ) -> tuple[Iteration, Tensor]:
        adjoint = physics.A_adjoint(y)
        x = self.start(physics, adjoint) if x0 is None else x0
        return Iteration(self.step, physics, adjoint), x

    def step(self, x: Tensor, physics: Any, adjoint: Tensor) -> Tensor:
        """One update of ``x``; ``adjoint`` is ``A^H y``."""
        # the old image and not the denoised one: the correction is what vanishes
        return self.data_step(x, self.denoise(x), physics, adjoint)

    def residual(self, x: Tensor, y: Tensor, physics: Any) -> Tensor:
        step = self.step(x, physics, physics.A_adjoint(y)) - x
        return relative_norms(step, x)

    def probes(self, result: Reconstruction, y: Tensor, physics: Any) -> tuple[Probe, ...]:
        """D at the image: what has to contract."""
        return (Probe(self.denoise, result.image),)
