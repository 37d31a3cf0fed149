"""Total variation: least squares with an edge-preserving regulariser, to a certified accuracy."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from bench.operators import conjugate_gradient
from bench.operators.fourier import magnitude
from bench.operators.norms import per_sample
from bench.operators.sense import sense_image
from bench.reconstructor import (
    IMAGES,
    Recipe,
    Reconstruction,
    Reconstructor,
    ReconstructorConfig,
    Search,
    Trace,
    check,
)
from bench.task import Task

# as many values, and as dense, as every tuned baseline gets; the range is total variation's own
SEARCH_VALUES = tuple(float(10 ** (-4 + k / 4)) for k in range(13))
RELAXATION = 1.6  # of the splitting: anything in (0, 2) converges, about this much the fastest
POLISHING = 5  # passes that make the dual variable of a certificate feasible: cheap, no operator


@dataclass(frozen=True)
class TVConfig(ReconstructorConfig):
    """The problem's weight, and how it is solved.

    Attributes:
        weight: w before tuning, for images whose magnitudes are about 1.
        tol: on the duality gap relative to the objective; 0 runs exactly ``max_iter`` iterations.
        max_iter: most iterations.
        check_every: iterations from one look at the gap to the next.
        threshold: gradients shrink by this share of the largest magnitude in an iteration; it sets
            the speed (through the penalty of the splitting) and not the result.
        cg_iterations, cg_tol: conjugate gradients for the correction in every iteration; with
            ``tol = 0`` and ``cg_tol = 0`` nothing looks at a value.
    """

    weight: float = 1e-3
    tol: float = 1e-3
    max_iter: int = 1000
    check_every: int = 5
    threshold: float = 0.1
    cg_iterations: int = 20
    cg_tol: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.weight > 0, "weight", self.weight, "above 0")
        check(self.tol >= 0, "tol", self.tol, "0 or more")
        check(self.threshold > 0, "threshold", self.threshold, "above 0")
        for name in ("max_iter", "check_every", "cg_iterations"):
            check(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        check(0 <= self.cg_tol < 1, "cg_tol", self.cg_tol, "in [0, 1)")


class TotalVariation(Reconstructor):
    """``min_x P(x) = 1/2 ||A x - y||² + w sum_pixels |D x|``, by ADMM on ``d = D x``.

    D takes forward differences along H and W (none across the border), and ``|D x|`` is the length
    over both directions and all channels: isotropic, and of the complex image jointly.

    Each sample stops at a relative duality gap: the residual in its trace, whose ``history`` has a
    row for every look at it. For any q and p with ``A^H q + D^H p = 0`` and ``|p| <= w`` at
    every pixel, ``-<q, y> - 1/2 ||q||²`` is at most the minimum of P. A has a null space, so that
    no iterate fulfils the equation by itself; a feasible pair is made of one:

    1. ``D^H p`` has zero mean in every channel, so ``A^H q`` must too. ``q = A x - y`` has it once
       the constant that fits the data best is added to x (``D x`` stays, P falls).
    2. ``p - D (D^H D)^+ (A^H q + D^H p)`` then fulfils the equation exactly. The inverse Laplacian
       is diagonal in the cosine basis. Clipping to ``|p| <= w`` and this, in turn, bring the
       largest ``|p|`` down.
    3. A multiple of a pair that solves the equation solves it: (q, p) times the best number up to
       ``w / max |p|``.

    So ``P(x) - min P <= gap`` needs no assumption, as a bound on ||x|| would be. Rounding limits
    it: in float32, a relative gap below 1e-6 has no meaning.

    Sources: Rudin, Osher, Fatemi 1992; Block et al. 2007 (for MRI); Boyd et al. 2011 (ADMM).
    """

    name = "tv"
    family = "classical"
    paper = "Rudin, Osher, Fatemi 1992"
    bibtex = """@article{rudin1992nonlinear,
  title={Nonlinear total variation based noise removal algorithms},
  author={Rudin, Leonid I. and Osher, Stanley and Fatemi, Emad},
  journal={Physica D}, volume={60}, pages={259--268}, year={1992}}"""
    tasks: ClassVar = (*IMAGES, "superres")
    Config = TVConfig
    config: TVConfig

    def __init__(self, config: TVConfig) -> None:
        super().__init__(config)
        self.register_buffer("weight", torch.tensor(config.weight))

    @torch.no_grad()
    def reconstruct(self, y: Tensor, physics: Any, x0: Tensor | None = None) -> Reconstruction:
        config, weight = self.config, self.weight.to(y)
        mask = getattr(physics, "mask", None)
        y = y if mask is None else y * mask.unsqueeze(1)  # other entries were not measured
        batch = _Batch.begin(y, physics, x0, weight, config)
        found = _Found(batch.x)
        for k in range(1, config.max_iter + 1):
            batch.iterate(weight, config)
            if k < config.max_iter and (config.tol == 0 or k % config.check_every):
                continue
            found.record(batch, batch.certify(weight), k, config.tol)
            if config.tol == 0 or bool(found.stopped.all()):
                break
            batch = batch.without(found.stopped)
        return Reconstruction(found.image, traces=(found.trace(),))

    def with_solver(
        self,
        tol: float | None = None,
        max_iter: int | None = None,
        fixed_iterations: int | None = None,
    ) -> Self:
        config = self.config
        if fixed_iterations is not None:
            config, tol, max_iter = replace(config, cg_tol=0.0), 0.0, fixed_iterations
        tol = config.tol if tol is None else tol
        return self.view(config=replace(config, tol=tol, max_iter=max_iter or config.max_iter))

    @classmethod
    def small(cls, task: Task) -> dict[str, Any]:
        return {**super().small(task), "max_iter": 50}

    def recipe(self) -> Recipe:
        return Recipe(stages=(), search=Search("weight", SEARCH_VALUES))


def gradient(x: Tensor) -> Tensor:
    """Forward differences of ``x (B, C, H, W)`` along H and W, ``(B, 2, C, H, W)``."""
    g = x.new_zeros(x.shape[0], 2, *x.shape[1:])
    torch.sub(x[..., 1:, :], x[..., :-1, :], out=g[:, 0, :, :-1])
    torch.sub(x[..., 1:], x[..., :-1], out=g[:, 1, ..., :-1])
    return g


def gradient_adjoint(g: Tensor) -> Tensor:
    """The adjoint of :func:`gradient`, minus the divergence: ``(B, 2, C, H, W)`` to images."""
    along_h, along_w = g[:, 0, :, :-1], g[:, 1, ..., :-1]
    x = g.new_zeros(g.shape[0], *g.shape[2:])
    x[..., 1:, :] += along_h
    x[..., :-1, :] -= along_h
    x[..., 1:] += along_w
    x[..., :-1] -= along_w
    return x


def lengths(g: Tensor) -> Tensor:
    """Length of the gradient at every pixel, ``(B, 2, C, H, W)`` to ``(B, 1, 1, H, W)``."""
    return g.square().sum((1, 2), keepdim=True).sqrt()


@dataclass
class _Batch:
    """The samples that are still iterated."""

    physics: Any
    index: Tensor  # in the whole batch, (B,)
    y: Tensor
    adjoint: Tensor  # A^H y
    penalty: Tensor  # of the splitting, (B, 1, 1, 1)
    constants: Tensor  # sums over pixels of A^H A on images that are 1 in a channel, (B, C, C)
    x: Tensor
    split: Tensor  # what the gradient is held to, (B, 2, C, H, W)
    dual: Tensor  # the scaled dual of that

    @staticmethod
    def begin(
        y: Tensor, physics: Any, x0: Tensor | None, weight: Tensor, config: TVConfig
    ) -> _Batch:
        if x0 is None:
            tol = 1e-3 if config.tol > 0 else 0.0
            x0 = sense_image(y, physics, weight=1.0, shift=0.01, tol=tol, max_iter=10)
        peak = magnitude(x0).flatten(1).amax(1).view(-1, 1, 1, 1)
        peak = torch.where(peak > 0, peak, 1.0)
        ones = torch.eye(x0.shape[1]).to(x0)[:, None, :, None, None].expand(-1, *x0.shape)
        columns = [physics.A_adjoint_A(one).sum((2, 3)) for one in ones]
        split = gradient(x0)
        return _Batch(
            physics,
            index=torch.arange(x0.shape[0], device=x0.device),
            y=y,
            adjoint=physics.A_adjoint(y),
            penalty=weight / (config.threshold * peak),
            constants=torch.stack(columns, 2),
            x=x0,
            split=split,
            dual=torch.zeros_like(split),
        )

    def iterate(self, weight: Tensor, config: TVConfig) -> None:
        """One iteration of ADMM, inexact: conjugate gradients only reduce the residual."""

        def normal(v: Tensor) -> Tensor:
            smooth = gradient_adjoint(gradient(v))
            return torch.addcmul(self.physics.A_adjoint_A(v), self.penalty, smooth)

        pull = self.penalty * gradient_adjoint(self.split - self.dual)
        residual = self.adjoint + pull - normal(self.x)
        # relative to the correction: as the iteration converges, so do its solves
        tol, max_iter = config.cg_tol, config.cg_iterations
        self.x = self.x + conjugate_gradient(normal, residual, tol=tol, max_iter=max_iter).x
        relaxed = torch.lerp(self.split, gradient(self.x), RELAXATION) + self.dual
        self.dual = _clip(relaxed, weight / self.penalty.unsqueeze(1))
        self.split = relaxed - self.dual

    def certify(self, weight: Tensor) -> Tensor:
        """Relative duality gap, ``(B,)``; moves x by the constant that fits the data best."""
        slope = (self.physics.A_adjoint_A(self.x) - self.adjoint).sum((2, 3))
        shift = torch.linalg.pinv(self.constants, hermitian=True) @ slope.unsqueeze(2)
        self.x = self.x - shift.unsqueeze(3)
        q = self.physics.A(self.x) - self.y
        largest = self._feasible_dual(self.physics.A_adjoint(q), weight)
        along, square = -(q * self.y).flatten(1).sum(1), q.square().flatten(1).sum(1)
        tiny = torch.finfo(q.dtype).tiny
        scale = torch.minimum(weight / largest.clamp_min(tiny), along / square.clamp_min(tiny))
        scale = scale.clamp_min(0)
        lower = scale * along - 0.5 * scale.square() * square
        upper = 0.5 * square + weight * lengths(gradient(self.x)).flatten(1).sum(1)
        gap: Tensor = (upper - lower) / upper.clamp_min(tiny)
        return gap

    def _feasible_dual(self, adjoint_q: Tensor, weight: Tensor) -> Tensor:
        """The smallest ``max |p|`` that was found, ``(B,)``, with ``A^H q + D^H p = 0``."""
        rows, row_values = _cosines(self.x.shape[-2], self.x)
        columns, column_values = _cosines(self.x.shape[-1], self.x)
        values = row_values.unsqueeze(1) + column_values
        inverse = torch.where(values > 0, 1 / values, 0.0)
        p = self.penalty.unsqueeze(1) * self.dual
        best = torch.full_like(adjoint_q[:, 0, 0, 0], torch.inf)
        for _ in range(POLISHING + 1):
            violation = adjoint_q + gradient_adjoint(p)
            potential = rows.mT @ (inverse * (rows @ violation @ columns.mT)) @ columns
            p = p - gradient(potential)
            best = torch.minimum(best, lengths(p).flatten(1).amax(1))
            p = _clip(p, weight)
        return best

    def without(self, stopped: Tensor) -> _Batch:
        """The samples that have not stopped; all, where the operator cannot be restricted."""
        stays = ~stopped[self.index]
        if bool(stays.all()) or not hasattr(self.physics, "select"):
            return self
        physics = self.physics.select(stays.nonzero().squeeze(1))
        tensors = {k: v[stays] for k, v in vars(self).items() if k != "physics"}
        return _Batch(physics, **tensors)


class _Found:
    """What every sample of the whole batch returns, and its trace."""

    def __init__(self, x: Tensor) -> None:
        self.image = x.clone()
        self.gap = torch.full_like(x[:, 0, 0, 0], torch.inf)
        self.iterations = torch.zeros(x.shape[0], dtype=torch.long, device=x.device)
        self.stopped = torch.zeros(x.shape[0], dtype=torch.bool, device=x.device)
        self.history: list[Tensor] = []

    def record(self, batch: _Batch, gap: Tensor, iterations: int, tol: float) -> None:
        index, running = batch.index, ~self.stopped[batch.index]
        self.image[index] = torch.where(per_sample(running, batch.x), batch.x, self.image[index])
        self.gap[index] = torch.where(running, gap, self.gap[index])
        self.iterations[index] = torch.where(running, iterations, self.iterations[index])
        row = torch.full_like(self.gap, torch.nan)
        row[index] = torch.where(running, gap, torch.nan)
        self.history.append(row)
        self.stopped[index] |= gap <= tol

    def trace(self) -> Trace:
        none = torch.zeros_like(self.iterations)  # evaluations: there is no network
        return Trace(self.iterations, none, self.gap, self.stopped, torch.stack(self.history))


def _clip(g: Tensor, largest: Tensor) -> Tensor:
    """Gradients no longer than ``largest`` at any pixel."""
    return g * (largest / torch.maximum(lengths(g), largest))


def _cosines(size: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Orthonormal cosine basis, a row each, and eigenvalues of ``D^H D`` along one axis."""
    n = torch.arange(size, device=like.device, dtype=torch.float64)
    basis = torch.cos(math.pi / size * (n + 0.5) * n.unsqueeze(1)) * math.sqrt(2 / size)
    basis[0] = 1 / math.sqrt(size)
    values = 2 - 2 * torch.cos(math.pi / size * n)
    return basis.to(like.dtype), values.to(like.dtype)
