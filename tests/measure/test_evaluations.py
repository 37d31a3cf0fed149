"""Counts by hand: networks, operators, Jacobian products; nothing twice."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bench.measure import evaluations
from bench.measure.evaluations import EvaluationsConfig, count_evaluations
from bench.problems import random_problem
from bench.registry import create_method
from methods.equilibrium import EquilibriumConfig, SolverConfig
from tests.measure.toys import PIXELS, Loop, Nested, ToyTask, subject

ONE = EvaluationsConfig(samples=1)


def values(method: Any, config: EvaluationsConfig = ONE) -> dict[tuple[str, str, str], float]:
    """By phase, stop and metric."""
    found = evaluations.measure(subject(method), config)
    return {(r.phase, str(r.condition["stop"]), r.metric): r.value for r in found}


def test_a_loop_is_counted_as_by_hand() -> None:
    """Four times a network and A^H A, after A^H y."""
    found = values(Loop(iterations=4))
    assert found["evaluate", "own", "network"] == 4
    assert found["evaluate", "own", "operator"] == 1 + 4 * 2
    # the gradient: every network and every A^H A once more
    for phase in ("backward", "attack"):
        assert found[phase, "own", "network"] == 4
        assert found[phase, "own", "jacobian"] == 4
    # in the measurements, A^H y is passed as well
    assert found["backward", "own", "operator"] == 2 * (4 * 2) + 1
    assert found["attack", "own", "operator"] == 2 * (4 * 2) + 2
    # a kernel of 9 multiplications and additions at every pixel
    assert found["evaluate", "own", "flops"] == 4 * 2 * 9 * PIXELS


def test_counts_are_by_sample_of_each_call() -> None:
    batch = ToyTask().batch("test", [0, 1, 2])
    method = Loop(iterations=2)
    with count_evaluations(method, batch.physics) as count:
        method.reconstruct(batch.y, batch.physics)
    assert (count.network, count.operator) == (3 * 2, 3 * 5)


def test_nothing_counts_twice() -> None:
    """A network that is named twice, and one that another one calls, are one evaluation."""
    assert values(Nested())["evaluate", "own", "network"] == 1
    method = Nested()
    before = [len(module._forward_pre_hooks) for module in method.modules()]
    with count_evaluations(method):
        pass
    assert [len(module._forward_pre_hooks) for module in method.modules()] == before


def test_an_equilibrium_is_counted_as_by_hand() -> None:
    """Six plain iterations, the one with gradients, and five products of the backward."""
    problem = random_problem("mri-multicoil", batch=2, size=(12, 10))
    solvers = EquilibriumConfig(
        SolverConfig("picard", tol=0.0, max_iter=6), SolverConfig("picard", tol=0.0, max_iter=5)
    )
    method = create_method("mnm-mol", width=4, depth=2, lam=5.0, skip=0.1, equilibrium=solvers)
    physics = problem.physics
    with count_evaluations(method, physics) as count:
        image = method.reconstruct(problem.y, physics, torch.zeros_like(problem.x)).image
    assert count.network == 2 * (6 + 1)
    assert count.operator == 2 * (1 + 2 * (6 + 1))  # A^H y, and A^H A in every evaluation
    with count_evaluations(method, physics) as count:
        (image - problem.x).square().sum().backward()
    assert (count.network, count.jacobian) == (0, 0)  # what another block has called is not ours


def test_products_are_counted_where_the_forward_was() -> None:
    problem = random_problem("mri-multicoil", batch=2, size=(12, 10))
    solvers = EquilibriumConfig(
        SolverConfig("picard", tol=0.0, max_iter=6), SolverConfig("picard", tol=0.0, max_iter=5)
    )
    method = create_method("mnm-mol", width=4, depth=2, lam=5.0, skip=0.1, equilibrium=solvers)
    with count_evaluations(method, problem.physics) as count:
        start = torch.zeros_like(problem.x)
        image = method.reconstruct(problem.y, problem.physics, start).image
        (image - problem.x).square().sum().backward()
    assert count.jacobian == 2 * (5 + 1)
    # forward: A^H y and 7 fused A^H A; backward: 5 + 1 fused ones
    assert count.operator == 2 * (1 + 2 * 7 + 2 * 6)


def test_checkpointing_pays_with_evaluations() -> None:
    found = {}
    for name in ("modl", "modl-checkpointed"):
        problem = random_problem("mri-multicoil", batch=1, size=(12, 10))
        torch.manual_seed(0)
        method = create_method(name, width=4, depth=2, iterations=3)
        with count_evaluations(method, problem.physics) as count:
            image = method.reconstruct(problem.y, problem.physics).image
            (image - problem.x).square().sum().backward()
        found[name] = (count.network, count.jacobian)
    assert found["modl"] == (3, 3)
    assert found["modl-checkpointed"] == (6, 3)


@pytest.mark.parametrize("size", [(8, 8), (6, 10)])
def test_transforms_are_part_of_the_flops(size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size, dtype=torch.complex64)
    with evaluations._flops() as flops:
        torch.fft.fft2(x)
    n = size[0] * size[1]
    expected = 2 * 3 * 5 * n * torch.log2(torch.tensor(float(n)))
    assert flops.get_total_flops() == pytest.approx(float(expected), rel=1e-3)
