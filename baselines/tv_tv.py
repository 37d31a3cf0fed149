"""TV-TV: the image that fits the data, flat where it can be and where the backbone's edges are."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from bench.backbone import DEFAULT, OnBackbone
from bench.operators import conjugate_gradient, project_onto_data
from bench.operators.norms import per_sample, sample_norms
from bench.reconstructor import (
    Backbone,
    Recipe,
    Reconstruction,
    ReconstructorConfig,
    Search,
    Trace,
    check,
)
from bench.task import Task

# as many values, and as dense, as every tuned baseline gets; the seventh is the published 1
SEARCH_VALUES = tuple(float(10 ** (-1.5 + k / 4)) for k in range(13))
# for noisy data of many coils; the penalty kept is then faster by far than the adapted one
NOISY = {"fidelity": 3e3, "rho": 20.0, "adapted": 0}
FACTOR, RATIO = 2.0, 10.0  # penalty's change, and where the residuals are this far apart


@dataclass(frozen=True)
class TVTVConfig(ReconstructorConfig):
    """Published values by default, but for ``adapted`` and the inner solves.

    Attributes:
        backbone: the method whose image is w: fitted on its own, then frozen.
        beta: weight of the distance to w, before tuning.
        rho, adapted: penalty of ADMM, and for how many iterations it is doubled or halved where the
            primal and the dual residual are ten times apart. To the end (``max_iter``) in the
            paper, where it can cycle: a thousand iterations are then not always enough.
        tol: on both residuals, relative (see the class); 0 runs exactly ``max_iter`` iterations.
        fidelity: None holds the data exactly, as published; a number μ replaces ``A x = y`` by the
            penalty ``μ/2 ||A x - y||²``. Noisy data of many coils fits no image, and the nearest
            fit is all noise, so that MRI has a number by default.
        cg_iterations, cg_tol: of solves with operators that have no exact one, relative to a
            correction that vanishes (published: 500 and 1e-6, of one that does not).
    """

    backbone: Backbone = field(default_factory=lambda: Backbone(DEFAULT))
    beta: float = 1.0
    rho: float = 1.0
    adapted: int = 50
    tol: float = 1e-3
    max_iter: int = 1000
    fidelity: float | None = None
    cg_iterations: int = 20
    cg_tol: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.rho > 0, "rho", self.rho, "above 0")
        for name in ("beta", "adapted", "tol"):
            check(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")
        check(self.fidelity is None or self.fidelity > 0, "fidelity", self.fidelity, "above 0")
        for name in ("max_iter", "cg_iterations"):
            check(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        check(0 <= self.cg_tol < 1, "cg_tol", self.cg_tol, "in [0, 1)")


class TVTV(OnBackbone):
    """``min_x ||D x||_1 + β ||D (x - w)||_1  s.t.  A x = y``, with w the image of the backbone.

    D takes forward differences along H and W, periodic at the border, and every channel counts by
    itself: anisotropic, and for complex images of the real and the imaginary part separately.

    ADMM on ``d = D x`` and ``p = x``, from ``x = w``, with scaled duals a and b of both:

    1. ``x = (D^H D + I)^-1 (D^H (d - a) + p - b)``, exactly, in the Fourier basis.
    2. ``d`` minimises ``|d| + β |d - D w| + ρ/2 (d - (D x + a))²``, entry by entry: a median of
       five numbers. Both norms share one split.
    3. ``p`` is ``x + b`` projected onto ``A p = y``. As b is a sum of earlier corrections
       ``A^+ (A x - y)``, that is ``x - A^+ (A x - y)``: a solve whose right-hand side vanishes.

    A sample stops where ``||(D x - d, x - p)||`` relative to the larger of ``||(D x, x)||`` and
    ``||(d, p)||``, and ``||D^H Δd + Δp||`` (Δ: since the last iteration) relative to the larger of
    ``||D^H a||`` and ``||b||`` (at least a hundredth of the former), are both below the tolerance.
    The image is p, which fits the data.

    Sources: Vella, Mota 2021, with the settings of MCNet's comparison; Boyd et al. 2011 (ADMM, its
    penalty and stop); Li, Osher 2009 (the median).
    """

    name = "tv-tv"
    family = "classical"
    paper = "arXiv:2004.00843"
    bibtex = """@article{vella2021robust,
  title={Robust single-image super-resolution via {CNNs} and {TV-TV} minimization},
  author={Vella, Marija and Mota, Jo{\\~a}o F. C.},
  journal={IEEE Transactions on Image Processing}, year={2021}}"""
    tasks: ClassVar = ("mri-multicoil", "superres")
    Config = TVTVConfig
    config: TVTVConfig

    def __init__(self, config: TVTVConfig) -> None:
        super().__init__(config)
        self.stand_on(config.backbone, config.channels)
        self.register_buffer("beta", torch.tensor(config.beta))

    @classmethod
    def for_task(cls, task: Task) -> dict[str, Any]:
        noisy = NOISY if task.name.startswith("mri") else {}
        return {**super().for_task(task), **noisy}

    @classmethod
    def small(cls, task: Task) -> dict[str, Any]:
        return {**super().small(task), "max_iter": 10}

    def networks(self) -> tuple[nn.Module, ...]:
        return self.backbone.networks() or ()

    @torch.no_grad()
    def reconstruct(self, y: Tensor, physics: Any, x0: Tensor | None = None) -> Reconstruction:
        """The backbone's image is the intermediate, its traces come first."""
        config = self.config
        guess = self.backbone.reconstruct(y, physics)
        batch = _Batch(guess.image, guess.image if x0 is None else x0, y, physics, config.rho)
        found = _Found(guess.image)
        for k in range(config.max_iter):
            residual = batch.iterate(self.beta.to(y), config, adapt=k < config.adapted)
            found.record(batch, residual, config.tol)
            if config.tol > 0:
                if bool(found.stopped.all()):
                    break
                batch = batch.without(found.stopped)
        return Reconstruction(found.image, (guess.image,), (*guess.traces, found.trace()))

    def with_solver(
        self,
        tol: float | None = None,
        max_iter: int | None = None,
        fixed_iterations: int | None = None,
    ) -> Self:
        config = self.config
        if fixed_iterations is not None:
            tol, max_iter, config = 0.0, fixed_iterations, replace(config, cg_tol=0.0)
        tol = config.tol if tol is None else tol
        return self.view(config=replace(config, tol=tol, max_iter=max_iter or config.max_iter))

    def recipe(self) -> Recipe:
        return Recipe(stages=(), search=Search("beta", SEARCH_VALUES))


def differences(x: Tensor) -> Tensor:
    """Forward differences along H and W, periodic: ``(B, C, H, W)`` to ``(B, 2, C, H, W)``."""
    return torch.stack((x.roll(-1, -2) - x, x.roll(-1, -1) - x), dim=1)


def differences_adjoint(d: Tensor) -> Tensor:
    """The adjoint of :func:`differences`, ``(B, 2, C, H, W)`` to images."""
    return d[:, 0].roll(1, -2) - d[:, 0] + d[:, 1].roll(1, -1) - d[:, 1]


def shrink_to_two(v: Tensor, centre: Tensor, beta: Tensor | float, step: Tensor) -> Tensor:
    """The minimiser of ``|d| + β |d - centre| + (d - v)² / (2 step)``, entry by entry.

    The median of the two kinks, and of v minus the step times each of the three slopes.
    """
    between = torch.where(centre > 0, 1 - beta, beta - 1)
    outside = (1 + beta) * step
    candidates = (torch.zeros_like(v), centre, v - outside, v - between * step, v + outside)
    return torch.stack(candidates).median(dim=0).values


class _Batch:
    """The samples that are still iterated; ``index (B,)`` says which of the whole batch."""

    def __init__(self, w: Tensor, x0: Tensor, y: Tensor, physics: Any, rho: float) -> None:
        self.physics, self.y = physics, y
        self.index = torch.arange(len(w), device=w.device)
        self.rho = torch.full_like(w[:, 0, 0, 0], rho)
        self.edges = differences(w)
        self.d, self.p = differences(x0), x0
        self.a, self.b = torch.zeros_like(self.d), torch.zeros_like(x0)
        self.inverse = 1 / (1 + _spectrum(w))

    def iterate(self, beta: Tensor, config: TVTVConfig, adapt: bool) -> Tensor:
        """One iteration; the larger of the two relative residuals, ``(B,)``."""
        d, p = self.d, self.p
        rhs = differences_adjoint(d - self.a) + p - self.b
        x = torch.fft.irfft2(torch.fft.rfft2(rhs) * self.inverse, s=rhs.shape[-2:])
        slopes = differences(x)
        self.d = shrink_to_two(slopes + self.a, self.edges, beta, per_sample(1 / self.rho, slopes))
        self.a = self.a + slopes - self.d
        self.p = self._fit(x, config)
        self.b = self.b + x - self.p
        primal = _norms(slopes - self.d, x - self.p)
        dual = sample_norms(differences_adjoint(self.d - d) + self.p - p)
        size = torch.maximum(_norms(slopes, x), _norms(self.d, self.p))
        pull = torch.maximum(sample_norms(differences_adjoint(self.a)), sample_norms(self.b))
        if adapt:
            self._adapt(primal, dual)
        size = size.clamp_min(torch.finfo(size.dtype).tiny)
        # where everything is flat, nothing pulls, and what is left of it is rounding
        return torch.maximum(primal / size, dual / torch.maximum(pull, 0.01 * size))

    def _fit(self, x: Tensor, config: TVTVConfig) -> Tensor:
        """The new p."""
        tol, max_iter, physics = config.cg_tol, config.cg_iterations, self.physics
        if config.fidelity is None:
            return project_onto_data(physics, x, self.y, tol=tol, max_iter=max_iter)
        shift = self.rho / config.fidelity
        wide = per_sample(shift, x)
        misfit = physics.A_adjoint(self.y - physics.A(self.p)) + wide * (x + self.b - self.p)
        if hasattr(physics, "solve_normal"):
            correction: Tensor = physics.solve_normal(misfit, 1.0, shift)
            return self.p + correction

        def normal(v: Tensor) -> Tensor:
            return torch.addcmul(physics.A_adjoint_A(v), wide, v)

        return self.p + conjugate_gradient(normal, misfit, tol=tol, max_iter=max_iter).x

    def _adapt(self, primal: Tensor, dual: Tensor) -> None:
        dual = self.rho * dual
        change = torch.ones_like(self.rho)
        change = torch.where(primal > RATIO * dual, FACTOR, change)
        change = torch.where(dual > RATIO * primal, 1 / FACTOR, change)
        self.rho = self.rho * change
        self.a, self.b = self.a / per_sample(change, self.a), self.b / per_sample(change, self.b)

    def without(self, stopped: Tensor) -> _Batch:
        """The samples that have not stopped; all, where the operator cannot be restricted."""
        stays = ~stopped[self.index]
        if bool(stays.all()) or not hasattr(self.physics, "select"):
            return self
        other = copy.copy(self)
        other.physics = self.physics.select(stays.nonzero().squeeze(1))
        for name in ("index", "y", "rho", "edges", "d", "p", "a", "b"):
            setattr(other, name, getattr(self, name)[stays])
        return other


class _Found:
    """What every sample of the whole batch returns, and its trace."""

    def __init__(self, w: Tensor) -> None:
        self.image = w.clone()
        self.residual = torch.full_like(w[:, 0, 0, 0], torch.inf)
        self.iterations = torch.zeros(len(w), dtype=torch.long, device=w.device)
        self.stopped = torch.zeros(len(w), dtype=torch.bool, device=w.device)
        self.history: list[Tensor] = []

    def record(self, batch: _Batch, residual: Tensor, tol: float) -> None:
        index, running = batch.index, ~self.stopped[batch.index]
        self.image[index] = torch.where(per_sample(running, batch.p), batch.p, self.image[index])
        self.residual[index] = torch.where(running, residual, self.residual[index])
        self.iterations[index] += running.long()
        row = torch.full_like(self.residual, torch.nan)
        row[index] = torch.where(running, residual, torch.nan)
        self.history.append(row)
        self.stopped[index] |= residual <= tol

    def trace(self) -> Trace:
        evaluations = torch.zeros_like(self.iterations)  # the backbone's are in its own traces
        fields = (self.iterations, evaluations, self.residual, self.stopped)
        return Trace(*fields, torch.stack(self.history))


def _spectrum(like: Tensor) -> Tensor:
    """Eigenvalues of ``D^H D`` in the order of a real transform, ``(H, W // 2 + 1)``."""
    height, width = like.shape[-2:]
    options: dict[str, Any] = {"device": like.device, "dtype": torch.float64}
    rows = torch.fft.fftfreq(height, **options).mul(torch.pi).sin().square()
    columns = torch.fft.rfftfreq(width, **options).mul(torch.pi).sin().square()
    spectrum: Tensor = 4 * (rows.unsqueeze(1) + columns)
    return spectrum.to(like.dtype)


def _norms(d: Tensor, x: Tensor) -> Tensor:
    """Of the pair ``(d, x)``, ``(B,)``."""
    return torch.hypot(sample_norms(d), sample_norms(x))
