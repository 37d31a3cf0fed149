"""Estimates of a network's local Lipschitz constant. All are lower bounds, never certificates."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Map = Callable[[Tensor], Tensor]


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
    radius = _norm(u)
    with torch.no_grad():
        reference = network(u)
    v = u + displacement * torch.rand_like(u)
    for _ in range(steps):
        v = v.detach().requires_grad_()
        with torch.enable_grad():
            ratio = _ratio(network(v) - reference, v - u)
            (gradient,) = torch.autograd.grad(ratio.sum(), v)
        v = v + step_size * gradient
        v = v * _wide(radius / _norm(v), v)
    return _ratio(network(v.detach()) - network(u), v.detach() - u)


def _norm(x: Tensor) -> Tensor:
    norms: Tensor = torch.linalg.vector_norm(x.flatten(1), dim=1)
    return norms


def _ratio(output: Tensor, displacement: Tensor) -> Tensor:
    return _norm(output) / _norm(displacement).clamp_min(torch.finfo(output.dtype).tiny)


def _wide(per_sample: Tensor, x: Tensor) -> Tensor:
    return per_sample.view(-1, *(1,) * (x.ndim - 1))
