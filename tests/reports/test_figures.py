"""What the figures of quality, convergence and batches draw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from bench.jobs.evaluate import RESIDUALS, _histories
from bench.reconstructor import Reconstruction, Trace
from reports.figures.convergence import STOPS, convergence_figures
from reports.figures.labels import name_points
from reports.figures.quality import quality_figures
from reports.figures.style import DPI
from reports.folder import load_folder
from reports.suite_results import SuiteResults

if TYPE_CHECKING:
    from conftest import Synthetic


def covered(axis: Axes, points: Sequence[tuple[float, float]]) -> int:
    """How many names touch another one, a point, or what is outside of the axes."""
    axis.figure.canvas.draw()
    # an annotation's own extent includes the line to its point
    boxes = [Text.get_window_extent(text).padded(-0.5) for text in axis.texts]
    frame, places = axis.get_window_extent(), axis.transData.transform(points)
    return sum(
        any(box.overlaps(other) for other in boxes[:number])
        or any(box.contains(x, y) for x, y in places)
        or not (frame.x0 <= box.x0 and box.x1 <= frame.x1)
        for number, box in enumerate(boxes)
    )


@pytest.mark.parametrize("spread", [0.05, 0.5])
def test_names_do_not_cover_each_other(spread: float) -> None:
    draw = np.random.default_rng(0)
    points = [tuple(0.5 + spread * (draw.random(2) - 0.5)) for _ in range(12)]
    axis = Figure(figsize=(3.5, 3), dpi=DPI).subplots()
    axis.plot(*zip(*points, strict=True), "o")
    axis.set_xlim(0, 1)
    axis.margins(y=1.0)  # the limits are found when they are asked for
    name_points(axis, points, [f"method {number}" for number in range(len(points))])
    assert covered(axis, points) == 0


def test_quality_is_against_evaluations(synthetic: Synthetic) -> None:
    results = SuiteResults(load_folder(synthetic.root), "small")
    ((name, caption, figure),) = quality_figures(results, results.tasks["4x"])
    assert name == "quality-4x"
    (axis,) = figure.axes  # no memory was asked for
    shown = {text.get_text() for text in axis.texts}
    assert {"sense", "modl", "mol_lr 100%"} < shown
    assert "mol (no constraint)" not in shown
    assert "Without a number: mol (no constraint)." in caption
    mean = float(np.mean(list(synthetic.evaluated["modl", "4x", "{}", "psnr"].values())))
    points = [(x[0], y[0]) for x, y in (line.get_data() for line in axis.get_lines())]
    marks = [
        point for point, line in zip(points, axis.get_lines(), strict=True) if line.get_ms() < 5
    ]
    assert covered(axis, marks) == 0
    assert any(point == pytest.approx((5.0, mean)) for point in points)


def test_stages_follow_each_other(synthetic: Synthetic) -> None:
    results = SuiteResults(load_folder(synthetic.root), "small")
    ((_, caption, figure),) = convergence_figures(results, results.tasks["4x"])
    own, converged = figure.axes
    curves = [line.get_xdata() for line in own.get_lines() if len(line.get_xdata()) > 1]
    assert sorted({(x[0], x[-1]) for x in curves}) == [(1, 5), (6, 12)]
    assert {line.get_xdata()[-1] for line in converged.get_lines()} == {30}
    assert own.get_ylim() == converged.get_ylim()
    assert "begin anew" in caption


def test_an_evaluation_keeps_the_residuals_that_the_figure_looks_for() -> None:
    assert set(RESIDUALS.values()) == set(STOPS)
    one, none = torch.ones(1, dtype=torch.long), torch.zeros(1, dtype=torch.long)
    history = torch.tensor([[1.0], [0.1], [torch.nan]])
    solved = Trace(2 * one, 2 * one, history[1], one.bool(), history)
    without_network = Trace(one, none, history[1], one.bool(), history)
    unrolled = Trace.unrolled(torch.zeros(1, 2, 4, 4), 3, 3)
    result = Reconstruction(torch.zeros(1, 2, 4, 4), traces=(solved, without_network, unrolled))
    (kept,) = _histories(result)
    assert kept.tolist() == pytest.approx([1.0, 0.1])
