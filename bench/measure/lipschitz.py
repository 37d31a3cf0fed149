"""Local Lipschitz constants of networks. All are lower bounds, never certificates.

Two kinds. The papers' estimators ascend the gain between two points; they are differentiable in
the network's parameters, so that training can keep them small, and they under-report. The norm of
the Jacobian is what a claimed bound is judged by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from bench.claims import Estimator
from bench.operators.norms import per_sample, relative_norms, sample_norms

Map = Callable[[Tensor], Tensor]


# ---------------------------------------------------------------------- estimators for training


def sphere_estimate(
    network: Map, u: Tensor, *, displacement: float = 0.01, steps: int = 10, step_size: float = 1.0
) -> Tensor:
    """MOL's estimate ``max_v ||H(v) - H(u)|| / ||v - u||`` for each sample, ``(B,)``.

    ``v`` starts at ``u`` plus uniform noise in [0, displacement) on every channel (a low-frequency
    direction, as in the authors' code), takes ``steps`` gradient ascent steps, and is scaled back
    onto the sphere ``||v|| = ||u||`` after each. The result is differentiable in the parameters of
    the network, not in ``u`` or ``v``. It under-reports: a lower bound, found well below the
    Jacobian's norm in practice.

    Source: arXiv:2206.04797, released code.
    """
    u = u.detach()
    radius = sample_norms(u)
    reference = network(u)
    v = u + displacement * torch.rand_like(u)
    for _ in range(steps):
        v = v.detach().requires_grad_()
        with torch.enable_grad():
            ratio = relative_norms(network(v) - reference.detach(), v - u)
            (gradient,) = torch.autograd.grad(ratio.sum(), v)
        v = v + step_size * gradient
        v = v * per_sample(radius / sample_norms(v), v)
    return relative_norms(network(v.detach()) - reference, v.detach() - u)


def ball_estimate(
    network: Map,
    center: Tensor,
    *,
    radius: float = 0.3,
    steps: int = 20,
    step_size: float = 1.0,
    mask: Tensor | None = None,
) -> Tensor:
    """MnM-MOL's estimate ``max_{u,v} ||H(u) - H(v)|| / ||u - v||`` for each sample, ``(B,)``.

    Both points move in the ball of radius ``radius ||center||`` around ``center`` (the paper's
    ``B_δ(x*)``), by ``steps`` projected gradient ascent steps. The result is differentiable in the
    parameters of the network, not in ``center``, ``u`` or ``v``.

    Args:
        network: the map H, ``(B, C, H, W) -> (B, C, H, W)``, acting on each sample alone.
        center: ``(B, C, H, W)``; a sample of zeros has no ball, and its estimate is 0.
        radius: δ.
        steps: ascent steps, each two evaluations with gradients.
        step_size: of the logarithm of the gain, in units of ``||u - v||²``, half of it for each
            point. It thus means the same at every scale and size: on a linear map, 1 is one power
            iteration on ``H^T H``. The papers do not say theirs.
        mask: where points may differ from ``center``, broadcastable to it (the coils' support).

    The start (not said by the paper either): Gaussian directions, distances from the centre uniform
    in [0, radius).

    Source: arXiv:2312.00386.
    """
    center = center.detach()
    mask = torch.ones_like(center) if mask is None else mask.to(center.dtype).expand_as(center)
    reach = radius * sample_norms(center)
    a, b = _inside_ball(mask, reach), _inside_ball(mask, reach)
    for _ in range(steps):
        a, b = a.detach().requires_grad_(), b.detach().requires_grad_()
        with torch.enable_grad():
            gain = relative_norms(network(center + a) - network(center + b), a - b)
            gradients = torch.autograd.grad(gain.sum(), (a, b))
        distance, gain = sample_norms((a - b).detach()), gain.detach()
        tiny = torch.finfo(gain.dtype).tiny
        scale = per_sample(0.5 * step_size * distance.square() / gain.clamp_min(tiny), a)
        a, b = (
            _into_ball(x.detach() + scale * mask * gradient, reach)
            for x, gradient in zip((a, b), gradients, strict=True)
        )
    return relative_norms(network(center + a) - network(center + b), a - b)


def _inside_ball(mask: Tensor, reach: Tensor) -> Tensor:
    direction = mask * torch.randn_like(mask)
    norms = sample_norms(direction).clamp_min(torch.finfo(reach.dtype).tiny)
    return direction * per_sample(torch.rand_like(reach) * reach / norms, direction)


def _into_ball(x: Tensor, reach: Tensor) -> Tensor:
    norms = sample_norms(x).clamp_min(torch.finfo(reach.dtype).tiny)
    return x * per_sample((reach / norms).clamp_max(1), x)


# ---------------------------------------------------------------------- norms of linear maps


class OperatorNorm(NamedTuple):
    """The largest singular value found, sample by sample.

    Attributes:
        norm: ``(B,)``, a lower bound; NaN where the map is not finite.
        iterations: ``(B,)`` applications of ``J^T J`` until the sample stopped.
        residual: ``(B,)``, ``||J^T J v - norm² v|| / norm²`` for ``v = direction``. Some singular
            value is within about ``residual / 2``, relatively, of ``norm``. Nearly always it is the
            largest, and far closer; close to it, two can be mixed up.
        converged: ``(B,)`` whether the residual reached the tolerance.
        direction: ``(B, ...)``, of unit norm: what is amplified by ``norm``.
    """

    norm: Tensor
    iterations: Tensor
    residual: Tensor
    converged: Tensor
    direction: Tensor


def jacobian_norm(f: Map, x: Tensor, *, tol: float = 1e-3, max_iter: int = 100) -> OperatorNorm:
    """The 2-norm of the Jacobian of ``f`` at each sample of ``x (B, ...)``. Carries no gradient.

    ``f`` is evaluated once. Products with ``J^T`` are backward passes on that graph, products with
    ``J`` are backward passes through the backward pass, so that whatever ``f`` is made of must be
    twice differentiable. It must act on each sample alone (a batch norm in evaluation mode). The
    start is the same for every sample and call.

    Args:
        f: the map, ``(B, ...) -> (B, ...)``.
        x: where, ``(B, ...)``.
        tol: on ``residual``; 0 runs exactly ``max_iter`` iterations.
        max_iter: most products with ``J^T J``; as many vectors like ``x`` are kept.
    """
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        y = f(x)
        cotangent = torch.zeros_like(y).requires_grad_()
        # linear in the cotangent: its own derivative is J
        (pulled,) = torch.autograd.grad(y, x, cotangent, create_graph=True)

    def normal(v: Tensor) -> Tensor:
        (pushed,) = torch.autograd.grad(pulled, cotangent, v, retain_graph=True)
        (product,) = torch.autograd.grad(y, x, pushed, retain_graph=True)
        return product

    return operator_norm(normal, probe(x), tol=tol, max_iter=max_iter)


def operator_norm(
    normal: Map, start: Tensor, *, tol: float = 1e-3, max_iter: int = 100
) -> OperatorNorm:
    """The norm of a linear map J of which ``normal = J^T J`` is given, sample by sample.

    Lanczos iteration: the best of the subspace that power iteration walks through. Where singular
    values are close, as those of convolutions are, power iteration creeps (and a small change per
    step says nothing): for a random convolution from 64 channels to 2 on 40 x 40 pixels it was
    still 4 to 8 % off after 300 steps, where this took 20.

    Args:
        normal: ``(B, ...) -> (B, ...)``, symmetric, acting on each sample alone.
        start: ``(B, ...)``, not zero.
        tol: on ``residual``; 0 runs exactly ``max_iter`` iterations without looking at values.
        max_iter: most iterations; as many vectors like ``start`` are kept.

    Source: Lanczos 1950, with full reorthogonalisation.
    """
    with torch.no_grad():
        lanczos = _Lanczos(start, max_iter)
        q = start / per_sample(sample_norms(start), start)
        for _ in range(max_iter):
            q = lanczos.step(q, normal(q), tol)
            if tol > 0 and not bool(lanczos.active.any()):
                break
        return lanczos.result(tol)


def probe(x: Tensor) -> Tensor:
    """A Gaussian start like ``x (B, ...)``: the same for every sample, call and device."""
    generator = torch.Generator().manual_seed(0)
    sample = torch.randn(x.shape[1:], dtype=torch.float64, generator=generator)
    return sample.to(x).expand_as(x)


class _Lanczos:
    """The tridiagonal matrix of ``normal`` on its Krylov space, and its largest Ritz pair."""

    def __init__(self, start: Tensor, max_iter: int) -> None:
        batch = start.shape[0]
        self.shape, self.size = start.shape, 0
        self.basis = start.new_zeros(batch, max_iter, start[0].numel())
        # small and looked at in every step: on the CPU
        self.matrix = torch.zeros(batch, max_iter + 1, max_iter + 1, dtype=torch.float64)
        self.weights = torch.zeros(batch, max_iter, dtype=torch.float64)
        self.value = torch.zeros(batch, dtype=torch.float64)
        self.residual = torch.full_like(self.value, torch.inf)
        self.iterations = torch.zeros(batch, dtype=torch.long)
        self.active = torch.ones(batch, dtype=torch.bool)

    def step(self, q: Tensor, product: Tensor, tol: float) -> Tensor:
        """Take in the basis vector ``q`` and ``normal(q)``; returns the next one."""
        k, self.size = self.size, self.size + 1
        self.basis[:, k] = q.flatten(1)
        known, rest = self.basis[:, : k + 1], product.flatten(1).unsqueeze(2)
        alpha = (known[:, k:] @ rest).flatten()
        for _ in range(2):  # one was 12 times off from a start mostly in the null space
            rest = rest - known.transpose(1, 2) @ (known @ rest)
        beta = sample_norms(rest)
        self._record(k, alpha.double().cpu(), beta.double().cpu(), tol)
        # samples that have stopped go on as zeros, which touch nothing
        goes_on = per_sample(self.active.to(q.device), q)
        following = rest.flatten(1) / beta.clamp_min(torch.finfo(beta.dtype).tiny).unsqueeze(1)
        return torch.where(goes_on, following.view(self.shape), 0.0)

    def _record(self, k: int, alpha: Tensor, beta: Tensor, tol: float) -> None:
        bad = ~torch.isfinite(alpha + beta)  # would stop the decomposition for all samples
        self.matrix[:, k, k] = alpha.masked_fill(bad, 0)
        self.matrix[:, k, k + 1] = self.matrix[:, k + 1, k] = beta.masked_fill(bad, 0)
        values, vectors = torch.linalg.eigh(self.matrix[:, : k + 1, : k + 1])
        value = values[:, -1].clamp_min(0).masked_fill(bad, torch.nan)
        tiny = torch.finfo(value.dtype).tiny
        residual = beta * vectors[:, -1, -1].abs() / value.clamp_min(tiny)
        self.value = torch.where(self.active, value, self.value)
        self.residual = torch.where(self.active, residual, self.residual)
        self.iterations += self.active
        self.weights[:, : k + 1] = torch.where(
            self.active.unsqueeze(1), vectors[:, :, -1], self.weights[:, : k + 1]
        )
        # where the space is exhausted, what is left is rounding, and no direction
        exhausted = beta <= 10 * torch.finfo(self.basis.dtype).eps * value
        self.active = self.active & ~bad & ~exhausted & (residual > tol)

    def result(self, tol: float) -> OperatorNorm:
        like = self.basis
        weights = self.weights.to(like).unsqueeze(1)[..., : self.size]
        return OperatorNorm(
            norm=self.value.sqrt().to(like),
            iterations=self.iterations.to(like.device),
            residual=self.residual.to(like),
            converged=(self.residual <= tol).to(like.device),
            direction=(weights @ self.basis[:, : self.size]).view(self.shape),
        )


# ---------------------------------------------------------------------- by name


def estimate(kind: Estimator, probes: Iterable[tuple[Map, Tensor]]) -> Tensor:
    """The largest estimate over maps and points, ``(B,)``, at the papers' settings.

    ``sphere``: displacement 0.01, 10 steps; ``ball``: δ = 0.3, 20 steps; ``jacobian``: to 1e-3.
    Carries no gradient.
    """
    values = []
    for f, x in probes:
        if kind == "jacobian":
            values.append(jacobian_norm(f, x).norm)
            continue
        with torch.no_grad():
            values.append(sphere_estimate(f, x) if kind == "sphere" else ball_estimate(f, x))
    return torch.stack(values).amax(0)
