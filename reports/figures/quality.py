"""PSNR against what it costs: predicted memory of a training step, and network evaluations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from reports.ablations import main_lines
from reports.figures.labels import name_points
from reports.figures.style import (
    COLUMN,
    DPI,
    MARKERS,
    file_name,
    house_style,
    line_styles,
    shortened,
)
from reports.measurements import answers
from reports.suite_results import Line, Outcome, SuiteResults, TaskInfo
from reports.tables.memory import smallest_batch, training_peak

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDE = 30  # a range of nFE by this factor is on a logarithmic axis


@dataclass(frozen=True)
class Panel:
    """One panel: its axis, and (cost, PSNR) of every line that has both."""

    label: str
    points: Mapping[Line, tuple[float, Outcome]]
    logarithmic: bool
    scale: float = 1.0


def quality_figures(results: SuiteResults, task: TaskInfo) -> Iterator[tuple[str, str, Figure]]:
    """Name, caption and figure. Nothing where fewer than two methods have a cost and a PSNR."""
    panels = [panel for panel in (_memory(results, task), _evaluations(results, task)) if panel]
    if not panels:
        return
    with house_style():
        figure = _draw(results, panels)
    yield f"quality-{file_name(task.label)}", _caption(results, task, panels), figure


def _memory(results: SuiteResults, task: TaskInfo) -> Panel | None:
    found = answers(results, "memory")
    batch = smallest_batch(found)
    peaks = {(answer.line, answer.task): training_peak(answer, batch) for answer in found}
    points = {}
    for line, outcome in _scored(results, task).items():
        # a training step is of the task that is trained on
        trained = results.trained_for.get(task.label, line.train_task)
        peak = peaks.get((line, trained or ""), peaks.get((line, task.label)))
        if peak is not None:
            points[line] = peak, outcome
    if len(points) < 2:
        return None
    unit, scale = ("GB", 1e9) if max(peak for peak, _ in points.values()) >= 1e9 else ("MB", 1e6)
    label = f"predicted peak of a training step,\nbatch {batch} [{unit}]"
    return Panel(label, points, True, scale)


def _evaluations(results: SuiteResults, task: TaskInfo) -> Panel | None:
    points = {}
    for line, outcome in _scored(results, task).items():
        evaluations = results.outcome(line, task.label, "nfe").summary
        if evaluations is not None:
            points[line] = evaluations.mean, outcome
    costs = [cost for cost, _ in points.values()]
    if len(set(costs)) < 2:
        return None
    positive = [cost for cost in costs if cost > 0]
    return Panel("network evaluations a slice (nFE)", points, max(positive) > WIDE * min(positive))


def _scored(results: SuiteResults, task: TaskInfo) -> dict[Line, Outcome]:
    outcomes = {line: results.outcome(line, task.label, "psnr") for line in main_lines(results)}
    return {line: outcome for line, outcome in outcomes.items() if outcome.summary}


# ---------------------------------------------------------------------- drawing


def _draw(results: SuiteResults, panels: Sequence[Panel]) -> Figure:
    below = 0.26 + 0.14 * max(panel.label.count("\n") + 1 for panel in panels)  # inches
    height, left, right, above = below + 2.6, 0.55, 0.08, 0.1
    width = COLUMN * len(panels)
    figure = Figure(figsize=(width, height), dpi=DPI)
    styles, every = line_styles(results), main_lines(results)
    markers = {line: MARKERS[number % len(MARKERS)] for number, line in enumerate(every)}
    drawn: list[Axes] = []  # with one scale of PSNR
    for number, panel in enumerate(panels):
        corner = (number * COLUMN + left) / width, below / height
        size = (COLUMN - left - right) / width, (height - above - below) / height
        axis = figure.add_axes((*corner, *size), sharey=drawn[0] if drawn else None)
        for line, (cost, outcome) in panel.points.items():
            _point(axis, cost, outcome, str(styles[line]["color"]), markers[line])
        _scales(axis, panel)
        axis.set_xlabel(panel.label)
        axis.set_ylabel("PSNR [dB]")
        axis.grid(color="0.92", linewidth=0.5)
        axis.set_axisbelow(True)
        drawn.append(axis)
    for axis, panel in zip(drawn, panels, strict=True):  # names need all limits to stand
        places = [(cost, o.summary.mean) for cost, o in panel.points.values() if o.summary]
        name_points(axis, places, _names(results, panel), _bars(panel))
    return figure


def _names(results: SuiteResults, panel: Panel) -> list[str]:
    """The training task only where it tells two points apart."""
    labels = [results.label(line) for line in panel.points]
    names = zip(panel.points, labels, strict=True)
    return [
        shortened(label if labels.count(label) == 1 else results.long_label(line), 26)
        for line, label in names
    ]


def _bars(panel: Panel) -> list[tuple[float, float, float]]:
    """Cost and both ends of every interval."""
    summaries = [(cost, o.summary) for cost, o in panel.points.values()]
    return [
        (cost, s.low, s.high)
        for cost, s in summaries
        if s is not None and s.low is not None and s.high is not None
    ]


def _point(axis: Axes, cost: float, outcome: Outcome, colour: str, marker: str) -> None:
    summary = outcome.summary
    assert summary is not None
    if summary.low is not None and summary.high is not None:
        axis.plot([cost, cost], [summary.low, summary.high], color=colour, lw=0.8, alpha=0.6)
    axis.plot([cost], [summary.mean], marker, color=colour, ms=4.5, mew=0, zorder=3)


def _scales(axis: Axes, panel: Panel) -> None:
    """Limits with room for names, and few numbers."""
    costs = [cost for cost, _ in panel.points.values()]
    if panel.logarithmic and min(costs) > 0:
        axis.set_xscale("log")
        axis.set_xlim(min(costs) / 2.2, max(costs) * 2.2)
        axis.xaxis.set_minor_formatter(NullFormatter())
        if max(costs) < 30 * min(costs):  # else there would be one number on the axis, or none
            axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter(lambda value, _: f"{value / panel.scale:g}")
    elif panel.logarithmic:  # some need no network at all
        axis.set_xscale("symlog", linthresh=1)
        axis.set_xlim(-0.4, max(costs) * 1.8)
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    else:
        axis.set_xlim(-0.08 * max(costs), 1.12 * max(costs))
        axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axis.margins(y=0.12)
    axis.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))


def _caption(results: SuiteResults, task: TaskInfo, panels: Sequence[Panel]) -> str:
    parts = [f"{task.title}: PSNR against what it costs, up and to the left is better."]
    found: Any = [outcome for panel in panels for _, outcome in panel.points.values()]
    if any(outcome.summary.low is not None for outcome in found):
        parts.append(
            "Bars: 95 % interval of the mean over subjects; methods are tested on the same "
            "subjects, so overlapping bars do not make them equal (see the table “comparison”)."
        )
    if len(panels) > 1 or panels[0].scale > 1:
        parts.append("Memory: an upper bound of what tensors need, on a logarithmic axis.")
    if any(panel.logarithmic and panel.scale == 1 for panel in panels):
        parts.append("nFE on a logarithmic axis, linear below 1.")
    left_out = [
        results.long_label(line)
        for line in main_lines(results)
        if all(line not in panel.points for panel in panels)
        and results.evaluations(line, task.label)
    ]
    if left_out:
        parts.append(f"Without a number: {', '.join(left_out)}.")
    return " ".join(parts)
