"""Estimates of a network's local Lipschitz constant. All are lower bounds, never certificates."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from bench.operators.norms import per_sample, relative_norms, sample_norms

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
    radius = sample_norms(u)
    with torch.no_grad():
        reference = network(u)
    v = u + displacement * torch.rand_like(u)
    for _ in range(steps):
        v = v.detach().requires_grad_()
        with torch.enable_grad():
            ratio = relative_norms(network(v) - reference, v - u)
            (gradient,) = torch.autograd.grad(ratio.sum(), v)
        v = v + step_size * gradient
        v = v * per_sample(radius / sample_norms(v), v)
    return relative_norms(network(v.detach()) - network(u), v.detach() - u)
