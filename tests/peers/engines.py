"""Other engines in the place of ours: torchdeq's and deepinv's solvers, and the papers' own loop.

Each takes the arguments of :func:`methods.equilibrium.implicit`, so that a method's training step
runs with it, on the same map, from the same start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torchdeq.solver.anderson import anderson_solver

from bench.deepinv_import import deepinv
from bench.operators.norms import relative_norms
from bench.reconstructor import Map, Trace
from methods.equilibrium import EquilibriumConfig, FixedPoint

Solver = Callable[[Map, Tensor, float, int], Tensor]
"""``f(x)`` near the fixed point: of a map, from a start, to a tolerance, in so many evaluations."""


def by_torchdeq(f: Map, x0: Tensor, tol: float, most: int) -> Tensor:
    """Its Anderson solver with its own settings; stops when the whole batch has converged."""
    with torch.no_grad():
        value: Tensor = anderson_solver(f, x0, max_iter=most, tol=tol, stop_mode="rel")[0]
    return value


def by_deepinv(f: Map, x0: Tensor, tol: float, most: int) -> Tensor:
    """Its fixed-point loop, Anderson accelerated with its own settings, stopped likewise."""
    seen: dict[str, Any] = {}

    class Step:
        cost_fn = None

        def __call__(self, state: dict[str, Any], *_: Any, **__: Any) -> dict[str, Any]:
            x = state["est"][0]
            value = f(x)
            seen.update(value=value, residual=relative_norms(value - x, value).amax())
            return {"est": (value,), "cost": None}

    loop = deepinv.optim.FixedPoint(
        iterator=Step(),
        init_iterate_fn=lambda *_, **__: {"est": (x0,), "cost": None},
        check_conv_fn=lambda *_: bool(seen["residual"] <= tol),
        max_iter=most,
        anderson_acceleration_config=deepinv.optim.AndersonAccelerationConfig(),
    )
    with torch.no_grad():
        loop()
    value: Tensor = seen["value"]
    return value


def by_picard(f: Map, x0: Tensor, tol: float, most: int) -> Tensor:
    """Plain iteration until the whole batch has converged, as the papers' code has it."""
    with torch.no_grad():
        x = x0
        for _ in range(most):
            x, previous = f(x), x
            if bool((relative_norms(x - previous, x) <= tol).all()):
                break
    return x


def two_evaluations(solver: Solver) -> Callable[[Map, Tensor, EquilibriumConfig], FixedPoint]:
    """The textbook's implicit layer: one tracked evaluation to return, another for the products.

    What a hook makes of the first's cotangent is solved by the same solver (Bai et al. 2019; the
    authors' code of the equilibrium methods, deepinv and torchdeq are all built so).
    """

    def implicit(f: Map, x0: Tensor, config: EquilibriumConfig) -> FixedPoint:
        forward, backward = config.forward, config.backward
        point = solver(f, x0.detach(), forward.tol, forward.max_iter)
        trace = Trace.unrolled(point, 0, 0)
        if not torch.is_grad_enabled():
            return FixedPoint(point, point, trace)
        value = f(point)
        leaf = point.detach().requires_grad_()
        product = f(leaf)

        def solve(cotangent: Tensor) -> Tensor:
            def step(u: Tensor) -> Tensor:
                with torch.enable_grad():
                    return torch.autograd.grad(product, leaf, u, retain_graph=True)[0] + cotangent

            return solver(step, cotangent, backward.tol, backward.max_iter)

        if value.requires_grad:
            value.register_hook(solve)
        return FixedPoint(point, value, trace)

    return implicit


@contextmanager
def instead_of_ours(
    implicit: Callable[[Map, Tensor, EquilibriumConfig], FixedPoint] | None,
) -> Iterator[None]:
    """Methods use this engine; None: ours."""
    with pytest.MonkeyPatch.context() as patch:
        if implicit is not None:
            for module in ("equilibrium_method", "luser", "mcnet"):
                patch.setattr(f"methods.{module}.implicit", implicit)
        yield
