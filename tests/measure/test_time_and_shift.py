"""Times leave out the warm-up and what is measured as it was; shifts change one thing."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch
from torch import Tensor

import bench
from bench.measure import shift, timing
from bench.measure.question import Measured, Subject
from bench.measure.shift import ShiftConfig, _wrong_maps, with_iterations
from bench.measure.timing import TimeConfig
from bench.reconstructor import Reconstruction
from tests.measure.toys import Loop, subject


class Slow(Loop):
    """5 ms a slice, but for the first call."""

    calls = 0

    def reconstruct(self, y: Tensor, physics: Any, x0: Tensor | None = None) -> Reconstruction:
        type(self).calls += 1
        time.sleep(0.8 if type(self).calls == 1 else 0.005)
        return super().reconstruct(y, physics)


def test_times_are_medians_after_the_warm_up() -> None:
    method = Slow()
    before = [p.clone() for p in method.parameters()]
    threads = torch.get_num_threads()
    config = TimeConfig(repeats=5, warm_up=1, samples=2, threads=(1, 0))
    rows = list(timing.measure(subject(method, batch_size=2), config))
    assert torch.get_num_threads() == threads
    assert all(torch.equal(a, b) for a, b in zip(before, method.parameters(), strict=True))
    for metric in ("step_seconds", "slice_seconds"):
        for count in {row.condition["threads"] for row in rows}:
            chosen = {
                row.condition["statistic"]: row.value
                for row in rows
                if row.metric == metric and row.condition["threads"] == count
            }
            assert chosen["quartile 1"] <= chosen["median"] <= chosen["quartile 3"]
            assert 0.005 <= chosen["median"] < 0.6  # and not the 0.8 s of the first


def test_a_busy_machine_is_said(monkeypatch: Any) -> None:
    assert 0.0 < timing.free_share(1, seconds=0.05) < 1.1
    config = TimeConfig(repeats=3, warm_up=1, samples=1, threads=(1,))
    for share, flagged in ((0.5, True), (0.98, False)):
        monkeypatch.setattr(timing, "free_share", lambda threads, share=share: share)
        rows = list(timing.measure(subject(Loop()), config))
        assert all(("50% of 1 core" in row.flag) == flagged for row in rows)


def phantom(**config: Any) -> Any:
    fields = {"size": 64, "coils": 3, **config}
    return bench.create_task("mri-multicoil", **fields)


def mean(rows: list[Measured], change: dict[str, Any], metric: str = "psnr") -> float:
    found = [
        row.value for row in rows if row.condition["change"] == change and row.metric == metric
    ]
    assert found, change
    return sum(found) / len(found)


def test_every_change_has_its_rows() -> None:
    task = phantom()
    torch.manual_seed(0)
    method = bench.create_method(
        "modl", task, width=4, iterations=4, batch_norm=False, bias=True, output_scale=0.1
    ).eval()
    changes = ({"acceleration": 8.0, "center_fraction": 0.04}, {"mask": "equispaced"})
    config = ShiftConfig(changes, iterations=(0.5, 2.0), map_errors=(0.0, 0.3), samples=2)
    asked = Subject(method, task, method.recipe(), retask=lambda change: phantom(**change))
    rows = list(shift.measure(asked, config))
    unchanged = mean(rows, {})
    assert mean(rows, dict(changes[0])) < unchanged - 1  # 8x is harder
    assert abs(mean(rows, dict(changes[1])) - unchanged) > 0.05
    assert [mean(rows, {"iterations": k}, "network") for k in (0.5, 2.0)] == [2, 8]
    assert mean(rows, {"map_error": 0.0}) == pytest.approx(unchanged, abs=0.01)
    assert mean(rows, {"map_error": 0.3}) < unchanged - 0.2


def test_the_usual_changes_are_those_of_the_sampling() -> None:
    task = phantom(acceleration=4.0, center_fraction=0.08)
    faster, fastest, mask = shift.usual_changes(task)
    assert [change["acceleration"] for change in (faster, fastest)] == [6.0, 8.0]
    assert mask == {"mask": "equispaced"}
    for change in (faster, fastest, mask):
        phantom(**change)  # a task that there is
    assert shift.usual_changes(bench.create_task("deblur", size=24)) == ()


def test_maps_are_wrong_by_as_much_as_was_asked() -> None:
    batch = phantom().batch("test", [0])
    right, wrong = batch.physics.coil_maps, _wrong_maps(batch, 0.1, seed=0).physics.coil_maps
    # those beyond unit norm are scaled back, which takes some of it away
    assert 0.05 < float((wrong - right).norm() / right.norm()) <= 0.1001
    assert float(wrong.abs().square().sum(1).max()) <= 1 + 1e-5
    assert torch.equal(batch.physics.coil_maps, right)


def test_equilibria_take_so_many_times_their_own_iterations() -> None:
    task = phantom()
    torch.manual_seed(0)
    method = bench.create_method("mol-lr", task, variant="stable", width=4).eval()
    batch = task.batch("test", [0])
    with torch.no_grad():
        own = int(method.reconstruct(batch.y, batch.physics).traces[0].iterations)
        view, count = with_iterations(method, batch, 2.0)
        assert view is not None and count == 2 * own
        assert int(view.reconstruct(batch.y, batch.physics).traces[0].iterations) == count
    assert with_iterations(bench.create_method("zero-filled", task), batch, 2.0) == (None, 0)
