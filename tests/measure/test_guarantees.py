"""Claims as their formulas say, and what is seen of a map that is known."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.claims import Claims
from bench.measure import guarantees
from bench.measure.attack import AttackConfig
from bench.measure.guarantees import GuaranteesConfig
from bench.measure.question import Measured
from bench.problems import random_problem
from bench.reconstructor import Probe, Recipe, Reconstruction
from bench.registry import create_method
from tests.measure.toys import Toy, subject

CHEAP = GuaranteesConfig(samples=2, training_samples=3, attack=AttackConfig(steps=6, restarts=1))


class Contracting(Toy):
    """``x -> c x + (1 - c) G y``: its rate is c, and its fixed point ``G y``."""

    def __init__(self, rate: float, threshold: float, weight: float = 1.0) -> None:
        super().__init__()
        self.rate, self.threshold, self.weight = rate, threshold, weight
        self.factor = nn.Parameter(torch.tensor(rate))

    def fixed_point_map(self, y: Tensor, physics: Any, x0: Tensor | None = None) -> Any:
        gain = torch.linspace(0.5, 3.0, y[0].numel()).view_as(y[0])
        return lambda x: self.factor * x + (1 - self.factor) * gain * y, torch.zeros_like(y)

    def held_start(self, y: Tensor, physics: Any) -> Tensor:
        return torch.zeros_like(y)

    def reconstruct(self, y: Tensor, physics: Any, x0: Tensor | None = None) -> Reconstruction:
        step, x = self.fixed_point_map(y, physics)
        for _ in range(80):
            x = step(x)
        return Reconstruction(x)

    def probes(self, result: Reconstruction, y: Tensor, physics: Any) -> tuple[Probe, ...]:
        return (Probe(lambda x: self.factor * x, result.image),)

    def claims(self) -> Claims:
        bounds = {"3": 3.0, "1/0": math.inf}
        return Claims(self.threshold, "sphere", self.threshold, bounds, radius=0.5)

    def recipe(self) -> Recipe:
        return Recipe(penalty_weight=self.weight)

    def penalty(self, result: Reconstruction, batch: Any, state: Any) -> Any:
        return (self.factor - self.threshold).relu().square(), {}


def measured(method: Toy) -> dict[str, list[Measured]]:
    found: dict[str, list[Measured]] = {}
    for row in guarantees.measure(subject(method), CHEAP):
        found.setdefault(row.metric, []).append(row)
    return found


def test_a_known_map_is_seen_as_it_is() -> None:
    found = measured(Contracting(rate=0.6, threshold=0.7))
    assert [row.value for row in found["threshold"]] == [0.7]
    assert [row.value for row in found["jacobian_norm"]] == pytest.approx([0.6, 0.6], rel=1e-3)
    assert [row.value for row in found["estimate"]] == pytest.approx([0.6, 0.6], rel=1e-3)
    assert [row.value for row in found["rate"]] == pytest.approx([0.6, 0.6], rel=0.03)
    # the largest entry of G; ascent comes near to it in six steps
    assert all(2.4 < row.value <= 3.0001 for row in found["worst_gain"])
    assert len(found["training_estimate"]) == 3
    assert [row.value for row in found["start_in_ball"]] == [0.0, 0.0]  # from zero: distance 1
    vacuous = {row.condition["formula"]: row.flag for row in found["bound"]}
    assert vacuous == {"3": "", "1/0": "vacuous: infinite"}


@pytest.mark.parametrize(("rate", "acts"), [(0.6, 0.0), (0.8, 1.0)])
def test_a_penalty_acts_or_not(rate: float, acts: float) -> None:
    found = measured(Contracting(rate, threshold=0.7))
    assert [row.value for row in found["penalty_acts"]] == [acts] * 3
    assert "penalty_acts" not in measured(Contracting(rate, threshold=0.7, weight=0.0))


def test_the_bounds_of_mol_are_those_of_the_papers() -> None:
    """At released values 63,540 and 126; infinite from the papers' largest step size on."""
    released = create_method("mol-lr", width=4, lam=1270.8, m=0.02, alpha=0.01, shift=0.0)
    papers, ratio, sharp = released.claims().bounds.values()
    assert ratio == pytest.approx(63_540)
    assert sharp == pytest.approx(126.0, abs=0.1)
    # αλ = 12.708 over 3.98e-6: the step size is just below the largest, 0.0102
    assert papers == pytest.approx(3.19e6, rel=1e-2)
    smaller = create_method("mol-lr", width=4, lam=1270.8, m=0.02, alpha=1e-5, shift=0.0)
    assert next(iter(smaller.claims().bounds.values())) == pytest.approx(63_540, rel=1e-2)
    beyond = create_method("mol-lr", width=4, lam=1270.8, m=0.02, alpha=1.0, shift=0.0)
    papers, ratio, sharp = beyond.claims().bounds.values()
    assert (papers, ratio) == (math.inf, pytest.approx(63_540))
    assert create_method("mol", width=4).claims() is None


@pytest.mark.parametrize(("alpha", "m"), [(1.0, 0.1), (0.5, 0.3), (1.05, 0.2)])
def test_the_sharp_bound_and_the_rate_hold_for_a_linear_h(alpha: float, m: float) -> None:
    """Against the dense fixed point ``((1 - h) I + λ A^H A) x = λ A^H b`` for ``H = h I``."""
    lam = 7.0
    problem = random_problem("mri-multicoil", batch=1, size=(6, 5), dtype=torch.float64)
    method = create_method("mol-lr", width=4, lam=lam, m=m, alpha=alpha, shift=0.0).double()
    claims = method.claims()
    n = problem.x[0].numel()
    basis = torch.eye(n, dtype=torch.float64).view(n, *problem.x.shape[1:])
    physics = problem.physics
    forward = torch.cat([physics.A(e[None]).flatten(1) for e in basis]).mT
    for h in (1 - m, -(1 - m), 0.0):
        matrix = (1 - h) * torch.eye(n, dtype=torch.float64) + lam * forward.mT @ forward
        gain = float(torch.linalg.matrix_norm(lam * torch.linalg.solve(matrix, forward.mT), 2))
        assert gain <= claims.bounds["½√(λ/m)"] * (1 + 1e-9)
        solve = torch.linalg.inv(
            torch.eye(n, dtype=torch.float64) + alpha * lam * forward.mT @ forward
        )
        rate = float(torch.linalg.matrix_norm((1 - alpha + alpha * h) * solve, 2))
        assert rate <= claims.contraction + 1e-9
