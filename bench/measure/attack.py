"""Perturbations of measurements: what is allowed, and the worst that is found.

Projected gradient ascent on a sphere, the same for every method: steps, step rule and restarts are
settings, random starts come from the data seed. (The displacement's gradient is zero at δ = 0.)
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from bench.operators.norms import per_sample, sample_norms
from bench.reconstructor import Reconstructor, check
from bench.task import Batch

Objective = Literal["error", "displacement"]


def kspace_support(y: Tensor, physics: Any) -> Tensor:
    """1 where k-space ``y (B, 2, N, ..., H, W)`` is sampled, jointly over coils."""
    mask: Tensor = physics.mask.unsqueeze(1)
    return (mask > 0).to(y.dtype).expand_as(y)


def measurement_support(y: Tensor, physics: Any) -> Tensor:
    """1 everywhere."""
    return torch.ones_like(y)


# A closed list: what may be changed. How far, ``||δ|| = ε ||y||``, is always said by ε.
THREATS: dict[str, Callable[[Tensor, Any], Tensor]] = {
    "kspace-l2": kspace_support,
    "measurement-l2": measurement_support,
}


@dataclass(frozen=True)
class AttackConfig:
    """How the worst perturbation is looked for.

    Attributes:
        steps: gradients of a restart.
        restarts: random starts; the best over all of them is kept, sample by sample.
        step_size: of a step along the normalised gradient, in units of the radius.
        tol, max_iter: of equilibria during the attack, forward and backward.
        verify_tol, verify_max_iter: at which what was found is scored.
    """

    steps: int = 10
    restarts: int = 2
    step_size: float = 1.0
    tol: float = 1e-3
    max_iter: int = 50
    verify_tol: float = 1e-5
    verify_max_iter: int = 200

    def __post_init__(self) -> None:
        check(self.steps >= 1, "steps", self.steps, "at least 1")
        check(self.restarts >= 1, "restarts", self.restarts, "at least 1")
        check(self.step_size > 0, "step_size", self.step_size, "above 0")
        for name in ("tol", "verify_tol"):
            check(getattr(self, name) > 0, name, getattr(self, name), "above 0")
        for name in ("max_iter", "verify_max_iter"):
            check(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")


@dataclass(frozen=True)
class Perturbed:
    """What an attack, or its control, has found: perturbations like y, and flags by sample."""

    delta: Tensor
    flags: tuple[str, ...]


class Attacker:
    """Attacks a method on a batch; scale and start are those of the clean measurements.

    Args:
        method: fitted; equilibria are iterated to the attack's tolerance.
        support: 1 where measurements may change.
        seed: of starts and noise.
    """

    def __init__(
        self, method: Reconstructor, batch: Batch, support: Tensor, config: AttackConfig, seed: int
    ) -> None:
        self.batch, self.support, self.config, self.seed = batch, support, config, seed
        self.fast = method.to_convergence(config.tol, config.max_iter) or method
        self.tight = method.to_convergence(config.verify_tol, config.verify_max_iter) or method
        self.iterates = self.tight is not method
        with torch.no_grad():
            self.start = method.held_start(batch.y, batch.physics)
        self.clean = self.image(self.tight, None)
        self._clean_fast = self.image(self.fast, None)

    def image(self, view: Reconstructor, delta: Tensor | None) -> Tensor:
        """The reconstruction of perturbed measurements, without gradients."""
        with torch.no_grad():
            y = self.batch.y if delta is None else self.batch.y + delta
            return view.reconstruct(y, self.batch.physics, self.start).image

    def damage(self, delta: Tensor, objective: Objective) -> Tensor:
        """What the objective says of perturbations at the tight tolerance, ``(B,)``."""
        reference = self.batch.x if objective == "error" else self.clean
        return sample_norms(self.image(self.tight, delta) - reference)

    def gradient(self, delta: Tensor, objective: Objective) -> tuple[Tensor, Tensor]:
        """The objective ``(B,)`` and its gradient in δ, on the support."""
        reference = self.batch.x if objective == "error" else self._clean_fast
        with torch.enable_grad():
            leaf = delta.detach().requires_grad_()
            result = self.fast.reconstruct(self.batch.y + leaf, self.batch.physics, self.start)
            value = sample_norms(result.image - reference)
            if not value.requires_grad:
                return value, torch.zeros_like(delta)
            (gradient,) = torch.autograd.grad(value.sum(), leaf, allow_unused=True)
        if gradient is None:
            return value.detach(), torch.zeros_like(delta)
        return value.detach(), gradient.detach() * self.support

    # ------------------------------------------------------------------ searches

    def random(self, radius: Tensor, stream: int) -> Tensor:
        """White Gaussian noise on the support, of norm ``radius (B,)``: the same on every call."""
        delta = torch.stack([self._noise(i, stream) for i in range(len(self.support))])
        return _to_sphere(delta.to(self.support) * self.support, radius)

    def _noise(self, index: int, stream: int) -> Tensor:
        sample = self.batch.samples[index]
        name = zlib.crc32(f"{sample.subject}/{sample.sample}/{self.seed}/{stream}".encode())
        generator = torch.Generator().manual_seed(name)
        return torch.randn(self.support.shape[1:], generator=generator)

    def gaussian(self, radius: Tensor, objective: Objective) -> Perturbed:
        """The control: the worst of as many draws as the attack has restarts."""
        draws = [self.random(radius, 500 + k) for k in range(self.config.restarts)]
        best = _Worst(self.support)
        for delta in draws:
            best.see(delta, self.damage(delta, objective))
        return Perturbed(best.delta, ("",) * len(radius))

    def ascend(self, radius: Tensor, objective: Objective) -> Perturbed:
        """The worst over all steps of all restarts, sample by sample."""
        worst, dead = _Worst(self.support), torch.ones_like(radius, dtype=torch.bool)
        broken = torch.zeros_like(dead)
        for restart in range(self.config.restarts):
            delta = self.random(radius, restart)
            for step in range(self.config.steps + 1):
                value, gradient = self.gradient(delta, objective)
                worst.see(delta, value)
                norms = sample_norms(gradient)
                dead &= norms == 0
                broken |= ~torch.isfinite(norms)
                if bool((norms == 0).all()):
                    break  # there is nowhere to go
                if step < self.config.steps:
                    direction = torch.nan_to_num(_to_sphere(gradient, radius))
                    delta = _to_sphere(delta + self.config.step_size * direction, radius)
        flags = tuple(
            "masking: the gradient is zero" if d else "masking: gradient not finite" if b else ""
            for d, b in zip(dead.tolist(), broken.tolist(), strict=True)
        )
        return Perturbed(worst.delta, flags)

    def gradient_mismatch(self, radius: Tensor, objective: Objective) -> Tensor:
        """How far the gradient along itself is from central differences, relative, ``(B,)``.

        At a random start; the differences are of the tight reconstruction.
        """
        delta, step = self.random(radius, 0), 0.1 * radius
        _, gradient = self.gradient(delta, objective)
        norms = sample_norms(gradient)
        direction = _to_sphere(gradient, torch.ones_like(norms))
        shift = per_sample(step, delta) * direction
        above, below = (self.damage(delta + s * shift, objective) for s in (1, -1))
        slope = (above - below) / (2 * step)
        largest = torch.maximum(slope.abs(), norms).clamp_min(torch.finfo(norms.dtype).tiny)
        return (slope - norms).abs() / largest


class _Worst:
    """The perturbation of the largest value so far, sample by sample."""

    def __init__(self, like: Tensor) -> None:
        self.delta = torch.zeros_like(like)
        self.value = torch.full((len(like),), -torch.inf, device=like.device)

    def see(self, delta: Tensor, value: Tensor) -> None:
        higher = torch.isfinite(value) & (value > self.value)
        self.delta = torch.where(per_sample(higher, delta), delta, self.delta)
        self.value = torch.where(higher, value, self.value)


def _to_sphere(delta: Tensor, radius: Tensor) -> Tensor:
    norms = sample_norms(delta).clamp_min(torch.finfo(delta.dtype).tiny)
    return delta * per_sample(radius / norms, delta)
