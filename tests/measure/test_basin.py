"""The basin of a fixed point: toys whose basins are known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import bench
from bench.inference import Inference, displaced
from bench.measure import basin
from bench.measure.basin import BasinConfig
from bench.measure.question import Measured, Subject
from bench.reconstructor import Recipe
from methods.equilibrium import EquilibriumConfig, SolverConfig
from methods.equilibrium_method import EquilibriumMethod, EquilibriumMethodConfig

NORM = 10.0


class Sphere(EquilibriumMethod):
    """Pulls an iterate to the sphere of radius NORM along itself: every point on it is fixed."""

    name = ""
    Config = EquilibriumMethodConfig

    def step(self, x: Tensor, physics: Any, adjoint: Tensor) -> Tensor:
        return 0.5 * x + 0.5 * NORM * x / x.flatten(1).norm(dim=1).view(-1, 1, 1, 1)


class Point(Sphere):
    """Contracts to the adjoint image from anywhere."""

    def step(self, x: Tensor, physics: Any, adjoint: Tensor) -> Tensor:
        return 0.5 * (x + adjoint)


def rows(cls: type[EquilibriumMethod], **settings: Any) -> list[Measured]:
    solver = SolverConfig(method="picard", tol=1e-6, max_iter=100)
    config = EquilibriumMethodConfig(equilibrium=EquilibriumConfig(solver, solver))
    task = bench.create_task("mri-multicoil", size=48, coils=2)
    subject = Subject(cls(config), task, Recipe(stages=()))
    return list(basin.measure(subject, BasinConfig(samples=1, draws=2, **settings)))


def values(found: list[Measured], metric: str, distance: float) -> list[float]:
    at = [r for r in found if r.metric == metric and r.condition["distance"] == distance]
    return [row.value for row in at]


def test_one_basin_is_everything_where_the_map_contracts() -> None:
    found = rows(Point, distances=(0.1, 3.0))
    assert values(found, "same_point", 0.1) == values(found, "same_point", 3.0) == [1.0, 1.0]
    assert not any(row.flag for row in found)


def test_other_fixed_points_are_found_and_how_far_they_lie() -> None:
    """From x + r|x|u in many dimensions the pull along itself ends at the angle arctan(r)."""
    found = rows(Sphere, distances=(0.1, 1.0))
    for distance in (0.1, 1.0):
        angle = torch.tensor(distance).atan()
        chord = float(2 * (angle / 2).sin())
        # u is orthogonal to x up to one part in the root of 4,608 dimensions
        assert values(found, "end_distance", distance) == pytest.approx([chord] * 2, rel=0.05)
        assert values(found, "same_point", distance) == [0.0, 0.0]


def test_what_does_not_converge_is_flagged() -> None:
    found = rows(Point, distances=(1.0,), max_iter=2)
    assert all("converge" in row.flag for row in found)


def test_a_displacement_has_its_length_and_repeats() -> None:
    task = bench.create_task("mri-multicoil", size=48, coils=2)
    batch = task.batch("test", [0, 1])
    moved = displaced(batch.x, 0.3, batch)
    length = (moved - batch.x).flatten(1).norm(dim=1) / batch.x.flatten(1).norm(dim=1)
    assert length.tolist() == pytest.approx([0.3, 0.3], rel=1e-5)
    assert torch.equal(moved, displaced(batch.x, 0.3, batch))
    alone = task.batch("test", [1])
    assert torch.equal(displaced(alone.x, 0.3, alone), moved[1:])  # whatever stands beside it
    assert not torch.equal(displaced(batch.x, 0.3, batch, draw=1), moved)


@pytest.mark.parametrize("name", ["mol-lr", "mnm-mol", "de-prox", "de-admm", "modl", "luser-sw"])
def test_every_start_is_taken(name: str) -> None:
    task = bench.create_task("mri-multicoil", size=48, coils=2)
    batch = task.batch("test", [0])
    cls = bench.registry.method_class(name)
    method = bench.create_method(name, **cls.small(task)).eval()
    for start in ("adjoint", "zero", "random"):
        first = Inference(start=start, distance=0.3).first(method, batch)
        with torch.no_grad():
            image = method.reconstruct(batch.y, batch.physics, first).image
        assert image.shape == batch.x.shape and bool(image.isfinite().all()), start


def test_a_stop_at_test_time_is_the_solvers() -> None:
    task = bench.create_task("mri-multicoil", size=48, coils=2)
    batch = task.batch("test", [0])
    method = bench.create_method("mol-lr", task, variant="stable", width=8).eval()
    with torch.no_grad():
        view = replace(Inference(), fixed_iterations=3).view(method)
        (trace,) = view.reconstruct(batch.y, batch.physics).traces
    assert trace.evaluations.tolist() == [3]
    assert Inference().view(method) is method
