"""Fixed points of trained methods to 1e-5, a batch of unequal difficulty: evaluations and time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.operators.norms import relative_norms
from methods.equilibrium import SolverConfig, solve
from methods.equilibrium_method import EquilibriumMethod
from tests.peers.comparison import Comparison, error, seconds, times_as_fast
from tests.peers.engines import Solver, by_deepinv, by_torchdeq
from tests.peers.subjects import mixed_batch, trained

METHODS = ("mol-lr", "mnm-mol")
TOLERANCE, MOST = 1e-5, 400


@dataclass
class Counted:
    """A map that counts what it is asked for, in samples; it can be restricted where ``f`` can."""

    f: Any
    samples: list[int]

    def __call__(self, x: Tensor) -> Tensor:
        self.samples.append(len(x))
        value: Tensor = self.f(x)
        return value

    def select(self, indices: Tensor) -> Counted:
        return Counted(self.f.select(indices), self.samples)


def problem(name: str, samples: int = 8) -> tuple[Any, Tensor]:
    """The map of the trained method (inner solves to 1e-4 of the step), and its start."""
    method = trained(name).reference()
    assert isinstance(method, EquilibriumMethod)
    batch = mixed_batch(samples)
    return method.fixed_point_map(batch.y, batch.physics)


def ours(f: Any, x0: Tensor, method: str = "anderson") -> Tensor:
    config = SolverConfig(method=method, tol=TOLERANCE, max_iter=MOST)  # type: ignore[arg-type]
    return solve(f, x0, config).value


def rows() -> Iterator[Comparison]:
    """Evaluations against plain iteration, time against two libraries."""
    for name in METHODS:
        with torch.no_grad():
            yield from _rows(name)


def _rows(name: str) -> Iterator[Comparison]:
    f, x0 = problem(name)
    work = f"Fixed point of {name} to {TOLERANCE:g}, batch 8"
    counts, images = {}, {}
    libraries: dict[str, Solver] = {"torchdeq": by_torchdeq, "deepinv": by_deepinv}
    for method in ("anderson", "picard"):
        counted = Counted(f, [])
        images[method] = ours(counted, x0, method)
        counts[method] = sum(counted.samples)
    for library, solver in libraries.items():
        counted = Counted(f, [])
        images[library] = solver(counted, x0, TOLERANCE, MOST)
        counts[library] = sum(counted.samples)
    reached = {key: relative_norms(f(x) - x, x).amax().item() for key, x in images.items()}
    # as far apart as residuals of 1e-5 and a slow contraction allow
    assert error(images["picard"], images["anderson"]) < 1e-2
    yield Comparison(
        work,
        "Picard: evaluations",
        counts["picard"] / counts["anderson"],
        1.6,
        "at least",
        detail=f"{counts['anderson']} against {counts['picard']}, per sample and stop",
    )
    time = seconds(
        {
            "ours": lambda: ours(f, x0),
            **{k: (lambda s=s: s(f, x0, TOLERANCE, MOST)) for k, s in libraries.items()},
        },
        repeats=3,
        warm_up=1,
    )
    for key in libraries:
        stalled = "" if reached[key] <= 2 * TOLERANCE else f"; only {reached[key]:.0e} is reached"
        said = f"{counts['anderson']} against {counts[key]} evaluations{stalled}"
        yield times_as_fast(work, key, time["ours"], time[key], 3.0, said)
