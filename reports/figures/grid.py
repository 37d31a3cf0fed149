"""Ablations of two axes at once: a map of PSNR for each method."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from reports.ablations import Study, in_order, studies
from reports.figures.ablation import name_settings, slanted
from reports.figures.style import PAGE, file_name, house_style, shortened
from reports.suite_results import SuiteResults, TaskInfo

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ACROSS = 3  # maps beside each other
CELL = 0.34, 0.5  # height and largest width, inches


def grid_figures(results: SuiteResults, task: TaskInfo) -> Iterator[tuple[str, str, Figure]]:
    """Name, caption and figure: one for every two axes that vary at once."""
    grids: dict[str, list[Study]] = {}
    for study in studies(results, task.label):
        places = (results.outcome(p.line, task.label, "psnr") for p in study.places)
        if len(study.axes) == 2 and any(outcome.summary for outcome in places):
            name = "-".join(axis.name for axis in study.axes)
            grids.setdefault(name, []).append(study)
    for name, part in grids.items():
        with house_style():
            figure = _draw(results, task, part)
        yield f"ablation-{file_name(f'{name}-{task.label}')}", _caption(task, part), figure


def _draw(results: SuiteResults, task: TaskInfo, part: Sequence[Study]) -> Figure:
    """A map of PSNR for each method, on one scale."""
    rows, columns = (
        in_order([p.values[number] for study in part for p in study.places if p.values])
        for number in range(2)
    )
    outcomes = [results.outcome(p.line, task.label, "psnr") for s in part for p in s.places]
    means = [outcome.summary.mean for outcome in outcomes if outcome.summary]
    scale = min(means), max(means)
    across = min(ACROSS, len(part))
    left, above = 0.8, 0.24  # inches
    wide = min(PAGE / across - left, CELL[1] * len(columns))
    below = 0.85 if slanted(columns, wide / len(columns)) else 0.5
    block = above + CELL[0] * len(rows) + below
    size = (across * (wide + left) + 0.1, math.ceil(len(part) / across) * block)
    figure = Figure(figsize=size)
    for number, study in enumerate(part):
        row, column = divmod(number, across)
        corner = column * (wide + left) + left - 0.05, size[1] - row * block - block + below
        place = corner[0] / size[0], corner[1] / size[1]
        axis = figure.add_axes((*place, wide / size[0], CELL[0] * len(rows) / size[1]))
        _map(axis, results, task, study, rows, columns, scale)
        name_settings(axis, columns, wide / len(columns))
        axis.set_ylabel(shortened(study.axes[0].title, 22) if column == 0 else "")
    return figure


def _map(
    axis: Axes,
    results: SuiteResults,
    task: TaskInfo,
    study: Study,
    rows: Sequence[str],
    columns: Sequence[str],
    scale: tuple[float, float],
) -> None:
    shown = np.full((len(rows), len(columns)), math.nan)
    places = [place for place in study.places if place.values]
    for place in places:
        row, column = rows.index(place.values[0]), columns.index(place.values[1])
        outcome = results.outcome(place.line, task.label, "psnr")
        text = outcome.status or "–"
        dark = True
        if outcome.summary is not None:
            shown[row, column] = outcome.summary.mean
            text = f"{outcome.summary.mean:.2f}"
            dark = outcome.summary.mean > (scale[0] + scale[1]) / 2
        colour = "black" if dark else "white"
        axis.text(column, row, text, ha="center", va="center", fontsize=6.5, color=colour)
        if place.is_base:
            box = Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, ec="#D55E00", lw=1.5)
            axis.add_patch(box)
    axis.imshow(shown, cmap="cividis", vmin=scale[0], vmax=scale[1], aspect="auto")
    axis.set_facecolor("0.92")
    axis.set_yticks(range(len(rows)), [shortened(value, 10) for value in rows])
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set_xlabel(shortened(study.axes[1].title, 30))
    axis.set_title(shortened(study.method, 26), loc="left")


def _caption(task: TaskInfo, part: Sequence[Study]) -> str:
    text = f"{task.title}: PSNR [dB], mean over subjects, of two settings varied at once."
    if any(place.is_base and place.values for study in part for place in study.places):
        text += " Framed: the method as it is."
    return text + " One colour scale for all methods; grey: not run, or no number."
