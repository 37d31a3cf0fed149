"""Predicted peak memory of a training step, one bar a method."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from reports.figures.style import COLUMN, house_style, line_styles, shortened
from reports.measurements import Answer, answers, as_they_are
from reports.suite_results import SuiteResults
from reports.tables.memory import smallest_batch, training_peak
from reports.tables.table import size

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Bars = Sequence[tuple[Answer, float]]


def memory_figures(results: SuiteResults) -> Iterator[tuple[str, str, Figure]]:
    """Name, caption and figure: a panel for each task. Nothing where it was not asked."""
    found = answers(results, "memory")
    batch = smallest_batch(found)
    panels: dict[str, list[tuple[Answer, float]]] = {}
    for answer in as_they_are(results, found):
        peak = training_peak(answer, batch)
        if peak is not None:
            panels.setdefault(answer.task, []).append((answer, peak))
    if not panels:
        return
    with house_style():
        figure = _draw(results, {task: _sorted(bars) for task, bars in panels.items()})
    caption = (
        f"Predicted peak memory of a training step at batch {batch}: an upper bound of what "
        "tensors need, without workspaces, fragmentation and the CUDA context."
    )
    if any(_logarithmic([peak for _, peak in bars]) for bars in panels.values()):
        caption += " A range of more than 10 is on a logarithmic axis, which does not begin at 0."
    yield "memory", caption, figure


def _logarithmic(peaks: Sequence[float]) -> bool:
    return max(peaks) > 10 * min(peaks)


def _sorted(bars: Bars) -> Bars:
    return sorted(bars, key=lambda bar: bar[1])


def _draw(results: SuiteResults, panels: dict[str, Bars]) -> Figure:
    heights = [0.17 * len(bars) + 0.66 for bars in panels.values()]
    figure = Figure(figsize=(COLUMN, sum(heights)))
    top = sum(heights)
    styles = line_styles(results)
    for (task, bars), height in zip(panels.items(), heights, strict=True):
        bottom = (top - height + 0.4) / sum(heights)
        axis = figure.add_axes((0.36, bottom, 0.5, (height - 0.62) / sum(heights)))
        colours = [str(styles[answer.line]["color"]) for answer, _ in bars]
        labels = [shortened(results.long_label(answer.line), 22) for answer, _ in bars]
        _panel(axis, labels, [peak for _, peak in bars], colours)
        axis.set_title(results.tasks[task].title, loc="left")
        top -= height
    return figure


def _panel(
    axis: Axes, labels: Sequence[str], peaks: Sequence[float], colours: Sequence[str]
) -> None:
    places = range(len(peaks))
    axis.barh(places, peaks, height=0.7, color=colours)
    for place, peak in zip(places, peaks, strict=True):
        axis.annotate(
            size(peak),
            (peak, place),
            xytext=(2, 0),
            textcoords="offset points",
            va="center",
            fontsize=6.5,
        )
    axis.set_yticks(places, labels)
    axis.tick_params(axis="y", length=0)
    axis.set_ylim(len(peaks) - 0.4, -0.6)
    if _logarithmic(peaks):
        axis.set_xscale("log")
        axis.set_xlim(min(peaks) / 2, None)
        axis.xaxis.set_minor_formatter(NullFormatter())
    else:
        axis.set_xlim(0, None)
        axis.xaxis.set_major_locator(MaxNLocator(4))
    scale, unit = (1e9, "GB") if max(peaks) >= 1e9 else (1e6, "MB")
    axis.xaxis.set_major_formatter(lambda value, _: f"{value / scale:g}")
    axis.set_xlabel(f"predicted peak [{unit}]")
