"""Errors where nothing is measured are told apart, for a method whose errors are known."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import bench
from bench.measure import coverage
from bench.measure.coverage import CoverageConfig, measured_pixels
from bench.measure.question import Subject
from bench.operators import MultiCoilMRI
from bench.operators.fourier import magnitude
from bench.reconstructor import Reconstruction
from bench.task import Batch
from tests.measure.toys import Toy

SIZE, EMPTY = 32, 12
INSIDE, OUTSIDE = 0.1, 0.2  # errors, where coils see and where none does


def holed(**config: Any) -> Any:
    """A task whose coils see nothing of the first rows, and whose image is zero there."""
    task = bench.create_task("mri-multicoil", size=SIZE, coils=3, **config)
    whole = task.batch

    def batch(*wanted: Any) -> Batch:
        full = whole(*wanted)
        maps, x = full.physics.coil_maps.clone(), full.x.clone()
        maps[..., :EMPTY, :], x[..., :EMPTY, :] = 0, 0
        return replace(full, physics=MultiCoilMRI(full.physics.mask, maps), x=x)

    task.batch = batch
    return task


class Off(Toy):
    """The first test image, with these errors in the dataset's units."""

    def __init__(self, task: Any) -> None:
        super().__init__()
        self.batch = task.batch("test", [0])

    def reconstruct(self, y: Tensor, physics: Any, x0: Tensor | None = None) -> Reconstruction:
        image = magnitude(self.batch.x).unsqueeze(1) + INSIDE / self.batch.scale
        image[..., :EMPTY, :] = OUTSIDE / self.batch.scale
        return Reconstruction(torch.cat((image, torch.zeros_like(image)), 1))


@pytest.mark.parametrize("center", [None, 20])
def test_errors_are_told_apart(center: int | None) -> None:
    task = holed(center_crop=center)
    method = Off(task)
    asked = Subject(method, task, method.recipe())
    rows = {row.metric: row.value for row in coverage.measure(asked, CoverageConfig(samples=1))}
    side = center or SIZE
    empty = EMPTY - (SIZE - side) // 2  # rows of it that are scored
    inside, outside = (side - empty) * INSIDE**2, empty * OUTSIDE**2
    peak = float(method.batch.data_range)
    assert rows["unseen_pixels"] == pytest.approx(empty / side)
    assert rows["unseen_error"] == pytest.approx(outside / (inside + outside), rel=1e-4)
    assert rows["psnr"] == pytest.approx(
        10 * math.log10(peak**2 * side / (inside + outside)), abs=1e-3
    )
    assert rows["psnr_seen"] == pytest.approx(20 * math.log10(peak / INSIDE), abs=1e-3)


def test_sense_leaves_what_no_coil_sees_at_zero() -> None:
    task = holed()
    method = bench.create_method("sense", task).eval()
    asked = Subject(method, task, method.recipe())
    rows = list(coverage.measure(asked, CoverageConfig(samples=2)))
    assert {row.value for row in rows if row.metric == "unseen_error"} == {0.0}
    assert {row.sample.subject for row in rows if row.sample} == {
        sample.subject for sample in task.samples("test")[:2]
    }


@pytest.mark.parametrize("task", [holed(), bench.create_task("ct", size=24)], ids=["holed", "ct"])
def test_pixels_are_measured_where_columns_of_the_operator_are_not_zero(task: Any) -> None:
    batch = task.batch("test", [0])
    shape = batch.x.shape
    columns = torch.eye(batch.x.numel()).view(-1, *shape[1:])
    norms = torch.stack([batch.physics.A(one.unsqueeze(0)).norm() for one in columns])
    assert torch.equal(measured_pixels(batch), (norms > 0).view(shape))
