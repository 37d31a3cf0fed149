"""One training step of five methods at the same error of the gradient, by three engines.

The maps, starts and losses are the same; what differs is who finds the fixed point and the
cotangent. Every engine gets the loosest tolerances, out of the same list, at which the gradient of
all parameters is within 1e-3 of the exact one, which is found in float64 to 1e-8. Where float32
does not carry that far (slow contractions magnify its rounding), the next error that ours reaches.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from bench.reconstructor import Reconstructor
from bench.task import Batch
from methods.equilibrium import EquilibriumConfig, SolverConfig
from tests.peers.comparison import Comparison, error, seconds, times_as_fast, unavailable
from tests.peers.engines import by_picard, by_torchdeq, instead_of_ours, two_evaluations
from tests.peers.subjects import mixed_batch, trained

METHODS = ("mol-lr", "mnm-mol", "de-prox", "luser-sw", "mcnet")
TOLERANCES = (1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6)
GOALS, MOST, SAMPLES = (1e-3, 3e-3, 1e-2), 400, 4

ENGINES: dict[str, Callable[..., Any] | None] = {
    "ours": None,
    "torchdeq": two_evaluations(by_torchdeq),
    "textbook": two_evaluations(by_picard),
}


def with_tolerance(method: Reconstructor, tol: float, exact: bool = False) -> Reconstructor:
    """The same weights; forward and backward to ``tol``; data-consistency solves that are exact
    enough not to be seen in the gradient.
    """
    solver = SolverConfig(method="anderson", tol=tol, max_iter=2000 if exact else MOST)
    changes: dict[str, Any] = {"equilibrium": EquilibriumConfig(solver, solver)}
    config: Any = method.config
    if hasattr(config, "cg_tol"):
        changes |= {"cg_tol": 1e-9 if exact else min(config.cg_tol, 1e-3), "cg_iterations": 500}
    if hasattr(config, "cg_backward_iterations"):
        changes |= {"cg_backward_iterations": 500}
    view: Reconstructor = method.view(config=replace(config, **changes))
    return view


def gradient(method: Reconstructor, batch: Batch) -> Tensor:
    """Of the squared error, in all parameters that are trained."""
    parameters = [p for p in method.parameters() if p.requires_grad]
    loss = (method.reconstruct(batch.y, batch.physics).image - batch.x).square().mean()
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return torch.cat(
        [
            (torch.zeros_like(p) if g is None else g).flatten()
            for p, g in zip(parameters, found, strict=True)
        ]
    )


def exact_gradient(name: str, samples: int = SAMPLES) -> Tensor:
    """In float64."""
    method = with_tolerance(trained(name, torch.float64), 1e-8, exact=True)
    return gradient(method, mixed_batch(samples, torch.float64)).float()


def loosest(
    name: str, engine: str, truth: Tensor, goal: float, samples: int = SAMPLES
) -> tuple[float, float] | None:
    """The tolerance that reaches the goal, and the error there; None if none does."""
    method, batch = trained(name), mixed_batch(samples)
    with instead_of_ours(ENGINES[engine]):
        for tol in TOLERANCES:
            found = error(gradient(with_tolerance(method, tol), batch), truth)
            if found <= goal:
                return tol, found
    return None


def step(name: str, engine: str, tol: float) -> Callable[[], None]:
    """Forward, backward, update; with Adam, on a copy of the weights."""
    method: nn.Module = copy.deepcopy(trained(name))
    view, batch = with_tolerance(method, tol), mixed_batch(SAMPLES)  # type: ignore[arg-type]
    # so small a rate that the problem stays the same
    optimizer = torch.optim.Adam([p for p in method.parameters() if p.requires_grad], lr=1e-12)

    def run() -> None:
        with instead_of_ours(ENGINES[engine]):
            loss = (view.reconstruct(batch.y, batch.physics).image - batch.x).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return run


def rows() -> Iterator[Comparison]:
    """Each method by each engine."""
    for name in METHODS:
        truth = exact_gradient(name)
        goals = ((goal, loosest(name, "ours", truth, goal)) for goal in GOALS)
        goal, mine = next(((goal, found) for goal, found in goals if found), (GOALS[-1], None))
        if mine is None:
            work = f"Training step of {name}, batch {SAMPLES}"
            yield unavailable(work, "-", 3.0, f"no tolerance gives the gradient within {goal:g}")
            continue
        reached = {e: mine if e == "ours" else loosest(name, e, truth, goal) for e in ENGINES}
        calls = {e: step(name, e, found[0]) for e, found in reached.items() if found is not None}
        time = seconds(calls, repeats=3, warm_up=1)
        for engine in ("torchdeq", "textbook"):
            work = f"Training step of {name}, batch {SAMPLES}, gradient within {goal:g}"
            found = reached[engine]
            if found is None:
                why = f"no tolerance down to {TOLERANCES[-1]:g} gives that gradient"
                yield unavailable(work, engine, 3.0, why)
                continue
            said = (
                f"tolerances {mine[0]:g} and {found[0]:g}, errors {mine[1]:.0e} and {found[1]:.0e}"
            )
            yield times_as_fast(work, engine, time["ours"], time[engine], 3.0, said)
