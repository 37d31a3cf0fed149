"""Plug-and-play ADMM: a trained denoiser in place of a regulariser's proximal map."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from baselines.sense import SEARCH_VALUES
from bench.networks import DnCNN
from bench.operators import project_onto_data, solve_normal_equations
from bench.reconstructor import (
    IMAGES,
    Probe,
    Recipe,
    Reconstruction,
    Reconstructor,
    ReconstructorConfig,
    Search,
    Stage,
    Variant,
    check,
)
from bench.task import Task
from methods.equilibrium import EquilibriumConfig, SolverConfig, implicit
from methods.equilibrium_method import Iteration

# DnCNN as it is makes both iterations diverge; bounded so, N cannot expand, and they settle
STABLE = Variant(config={"spectral_norm": 1.0, "batch_norm": False})


@dataclass(frozen=True)
class DenoiserPriorConfig(ReconstructorConfig):
    """A DnCNN as the prior, and an iteration with a solve of the data term in every step.

    Attributes:
        weight: w of the prior before tuning.
        width, depth: of the DnCNN; 17 layers in its paper and in MCNet's comparison.
        batch_norm: affine, on the middle layers. It is not norm-bounded.
        spectral_norm: of every convolution; None: not normalised, as in MCNet's comparison, and
            nothing keeps the iteration from diverging (a sample then returns the iterate of the
            lowest residual).
        output_scale: factor on the last layer's initial weights.
        denoising_noise: range of the noise levels that the denoiser is trained at. One level by
            default: a blind denoiser takes a fixed point's clean image for what it is, and stops
            regularising.
        solver: of the fixed point.
        cg_iterations, cg_tol: of solves with operators that have no exact one. They look for a
            correction that vanishes at the fixed point, which a loose tolerance does not move.
    """

    weight: float = 0.1
    width: int = 64
    depth: int = 17
    batch_norm: bool = True
    spectral_norm: float | None = None
    output_scale: float = 1.0
    denoising_noise: tuple[float, float] = (0.05, 0.05)
    solver: SolverConfig = field(
        default_factory=lambda: SolverConfig(method="picard", tol=1e-4, max_iter=100)
    )
    cg_iterations: int = 30
    cg_tol: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        sigma = self.spectral_norm
        check(self.weight > 0, "weight", self.weight, "above 0")
        check(self.width >= 1 and self.depth >= 3, "width, depth", (self.width, self.depth), "1, 3")
        check(sigma is None or sigma > 0, "spectral_norm", sigma, "above 0, or none")
        check(self.output_scale > 0, "output_scale", self.output_scale, "above 0")
        low, high = self.denoising_noise
        check(0 <= low <= high, "denoising_noise", self.denoising_noise, "a range in order")
        check(self.cg_iterations >= 1, "cg_iterations", self.cg_iterations, "at least 1")
        check(0 <= self.cg_tol < 1, "cg_tol", self.cg_tol, "in [0, 1)")


class DenoiserPrior(Reconstructor):
    """What PnP-ADMM and RED share: the denoiser ``D(x) = x - N(x)``, its training, the solver.

    N, a DnCNN, is trained to return the noise: on reference images with white noise, never through
    the iteration. Afterwards the weight w is searched for on the validation split.
    """

    tasks: ClassVar = (*IMAGES, "superres")
    config: DenoiserPriorConfig

    def __init__(self, config: DenoiserPriorConfig) -> None:
        super().__init__(config)
        self.network = DnCNN(
            config.channels,
            config.width,
            config.depth,
            norm="batch" if config.batch_norm else "none",
            spectral_norm=config.spectral_norm,
            output_scale=config.output_scale,
        )
        self.register_buffer("weight", torch.tensor(config.weight))

    def denoise(self, x: Tensor) -> Tensor:
        """``D(x) = x - N(x)``."""
        output: Tensor = self.network(x)
        return x - output

    def data_step(self, z: Tensor, v: Tensor, physics: Any, adjoint: Tensor) -> Tensor:
        """``(A^H A + w I)^-1 (A^H y + w v)``, near ``z``; ``adjoint`` is ``A^H y``."""
        config, weight = self.config, self.weight.to(adjoint.dtype)
        return solve_normal_equations(
            physics,
            adjoint + weight * v,
            1.0,
            weight,
            x0=z,
            tol=config.cg_tol,
            max_iter=config.cg_iterations,
        )

    def start(self, physics: Any, adjoint: Tensor) -> Tensor:
        """Regularised least squares, ``(A^H A + 0.01 I)^-1 A^H y``: MOL's start."""
        return solve_normal_equations(
            physics, adjoint, 1.0, 0.01, tol=self.config.cg_tol, max_iter=self.config.cg_iterations
        )

    def held_start(self, y: Tensor, physics: Any) -> Tensor:
        return self.start(physics, physics.A_adjoint(y))

    @property
    def gradient_mode(self) -> str:
        return self.equilibrium().gradient

    def equilibrium(self) -> EquilibriumConfig:
        """The solver, forward and for gradients (which only attacks take)."""
        return EquilibriumConfig(self.config.solver, self.config.solver)

    # ------------------------------------------------------------------ views and training

    def with_solver(
        self,
        tol: float | None = None,
        max_iter: int | None = None,
        fixed_iterations: int | None = None,
    ) -> Self:
        view = super().with_solver(tol, max_iter, fixed_iterations)
        solver = self.config.solver.changed(tol, max_iter, fixed_iterations)
        return view.view(config=replace(view.config, solver=solver))

    def to_convergence(self, tol: float, max_iter: int) -> Self:
        """By Anderson acceleration, whatever the method's own solver is."""
        solver = SolverConfig(method="anderson", tol=tol, max_iter=max_iter)
        return self.view(config=replace(self.config, solver=solver))

    def networks(self) -> tuple[nn.Module, ...]:
        return (self.network,)

    def recipe(self) -> Recipe:
        """DnCNN's Adam 1e-3 on noisy reference images; then the weight."""
        return Recipe(
            stages=(Stage("denoiser", noise=self.config.denoising_noise),),
            search=Search("weight", SEARCH_VALUES),
            learning_rate=1e-3,
        )

    @classmethod
    def small(cls, task: Task) -> dict[str, Any]:
        network = {"width": 8, "depth": 4, "batch_norm": False, "output_scale": 0.01}
        solver = SolverConfig(method="picard", tol=1e-4, max_iter=20, keep="last")
        return {**cls.for_task(task), **network, "weight": 0.5, "solver": solver}


@dataclass(frozen=True)
class PnPADMMConfig(DenoiserPriorConfig):
    """``formulation``: the data as a penalty ``1/2 ||A x - y||²``, or held exactly.

    The second is MCNet's comparison, and the first's limit for w to 0. There is no weight in it to
    be tuned, and noisy data of many coils fits no image.
    """

    formulation: Literal["penalised", "constrained"] = "penalised"


class PnPADMM(DenoiserPrior):
    """The fixed point in (x, u) of ADMM with a denoiser D for the prior's proximal map.

        ``z = D(x + u);  x <- (A^H A + w I)^-1 (A^H y + w (z - u));  u <- u + x - z``

    from regularised least squares and ``u = 0``; constrained, x is the image nearest to ``z - u``
    with ``A x = y``. The order is MCNet's, and with it the image has just seen the data. There,
    ``A^H (A x - y) + w u = 0`` and ``x = D(x + u)``. It converges where N's Lipschitz constant is
    small enough for ``A^H A`` and w (Ryu et al.), of which a DnCNN as it is knows nothing.

    Sources: Venkatakrishnan, Bouman, Wohlberg 2013; Ryu et al. 2019; Mourya and Mota, whose
    comparison method is MCNet with β = 0 and DnCNN-17.
    """

    name = "pnp-admm"
    family = "plug-and-play"
    paper = "Venkatakrishnan et al. 2013"
    bibtex = """@inproceedings{venkatakrishnan2013plug,
  title={Plug-and-play priors for model based reconstruction},
  author={Venkatakrishnan, Singanallur V. and Bouman, Charles A. and Wohlberg, Brendt},
  booktitle={IEEE Global Conference on Signal and Information Processing},
  pages={945--948}, year={2013}}"""
    Config = PnPADMMConfig
    config: PnPADMMConfig
    variants: ClassVar = {
        "penalised": Variant(),
        "constrained": Variant(config={"formulation": "constrained"}),
        "stable": STABLE,
    }

    def reconstruct(self, y: Tensor, physics: Any, x0: Tensor | None = None) -> Reconstruction:
        result = implicit(*self.fixed_point_map(y, physics, x0), self.equilibrium())
        return Reconstruction(result.value.chunk(2, dim=1)[0], traces=(result.trace,))

    def fixed_point_map(
        self, y: Tensor, physics: Any, x0: Tensor | None = None
    ) -> tuple[Iteration, Tensor]:
        """Of the state, x and u on the channel axis."""
        adjoint = physics.A_adjoint(y)
        x = self.start(physics, adjoint) if x0 is None else x0
        state = torch.cat((x, torch.zeros_like(x)), dim=1)
        return Iteration(self.step, physics, adjoint, y), state

    def step(self, state: Tensor, physics: Any, adjoint: Tensor, y: Tensor) -> Tensor:
        """One pass; the state is x and u on the channel axis."""
        config = self.config
        x, u = state.chunk(2, dim=1)
        z = self.denoise(x + u)
        if config.formulation == "penalised":
            x = self.data_step(z, z - u, physics, adjoint)
        else:
            tol, max_iter = config.cg_tol, config.cg_iterations
            x = project_onto_data(physics, z - u, y, tol=tol, max_iter=max_iter)
        return torch.cat((x, u + x - z), dim=1)

    def residual(self, x: Tensor, y: Tensor, physics: Any) -> None:
        """None: the image alone does not determine the next iterate."""
        return None

    def probes(self, result: Reconstruction, y: Tensor, physics: Any) -> tuple[Probe, ...]:
        """N at the image: what has to be small."""
        return (Probe(self.network, result.image),)

    def recipe(self) -> Recipe:
        recipe = super().recipe()
        return recipe if self.config.formulation == "penalised" else replace(recipe, search=None)
