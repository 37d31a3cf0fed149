"""Training curves, as in MOL's Fig. 2: loss, validation PSNR, Lipschitz estimate, evaluations."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from reports.ablations import main_lines
from reports.figures.lipschitz import threshold
from reports.figures.style import COLUMN, file_name, house_style, line_styles, shortened
from reports.suite_results import Line, SuiteResults

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Panel:
    """One panel: what it shows, and metrics as solid and dashed lines."""

    label: str
    metrics: Sequence[str]
    logarithmic: bool = False


PANELS = (
    Panel("training loss", ("train_loss",), logarithmic=True),
    Panel("validation\nPSNR [dB]", ("validation_psnr",)),
    Panel("Lipschitz\nestimate", ("lipschitz",)),
    Panel("nFE a slice", ("nfe_forward", "nfe_backward")),
)


def training_figures(results: SuiteResults) -> Iterator[tuple[str, str, Figure]]:
    """Name, caption and figure: one, or one for each task that is trained on for a column.

    Nothing where nothing was trained step by step.
    """
    if not results.trained_for:
        found = _training_figure(results)
        if found:
            yield "training", *found
        return
    for label in dict.fromkeys(results.trained_for[task.label] for task in results.test_tasks):
        found = _training_figure(results.trained_on(label))
        if found:
            title = results.tasks[label].title
            yield f"training-{file_name(label)}", f"{title}. {found[0]}", found[1]


def _training_figure(results: SuiteResults) -> tuple[str, Figure] | None:
    """Caption and figure."""
    panels = [panel for panel in PANELS if any(_has(results, m) for m in panel.metrics)]
    if not panels:
        return None
    lines = [line for line in main_lines(results) if _trained(results, line)]
    styles = line_styles(results)
    rows = math.ceil(len(lines) / 2)
    legend, above, below, panel = 0.16 * rows + 0.1, 0.05, 0.42, 1.25  # inches
    height = legend + above + below + panel * len(panels)
    with house_style():
        figure = Figure(figsize=(COLUMN, height))
        grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False)
        figure.subplots_adjust(
            left=0.25,
            right=0.97,
            top=1 - (legend + above) / height,
            bottom=below / height,
            hspace=0.16,
        )
        for axis, shown in zip(grid[:, 0], panels, strict=True):
            _panel(axis, shown, results, lines, styles)
        grid[-1, 0].set_xlabel("optimiser step")
        grid[-1, 0].xaxis.set_major_locator(MaxNLocator(5, integer=True))
        figure.align_ylabels()
        _legend(figure, results, lines, styles, 1 - 0.03 / height)
    return _caption(results, panels), figure


def _has(results: SuiteResults, metric: str) -> bool:
    fits = (key for line in results.lines for key in results.fits(line))
    return any((key, metric) in results.folder.traces for key in fits)


def _trained(results: SuiteResults, line: Line) -> bool:
    names = [metric for panel in PANELS for metric in panel.metrics]
    traces = results.folder.traces
    return any((key, name) in traces for key in results.fits(line) for name in names)


def _panel(
    axis: Axes,
    panel: Panel,
    results: SuiteResults,
    lines: Sequence[Line],
    styles: Mapping[Line, Mapping[str, Any]],
) -> None:
    everything: list[Floats] = []
    for line in lines:
        for metric in panel.metrics:
            style = dict(styles[line])
            if metric == "nfe_backward":
                style |= {"ls": ":", "lw": 0.9}
            everything += _curves(axis, results, line, metric, style)
    axis.set_ylabel(panel.label)
    axis.grid(axis="y", color="0.9", linewidth=0.5)
    axis.set_axisbelow(True)
    axis.margins(x=0.02)
    _limits(axis, panel, everything)
    if "lipschitz" in panel.metrics:
        _thresholds(axis, results, lines, styles)
    if "nfe_backward" in panel.metrics and _has(results, "nfe_backward"):
        axis.set_title("solid: forward, dotted: backward", loc="right", fontsize=6.5, pad=1)
    for line in lines:
        _mark_diverged(axis, panel, results, line, styles[line]["color"])


def _curves(
    axis: Axes, results: SuiteResults, line: Line, metric: str, style: Mapping[str, Any]
) -> list[Floats]:
    """A thin line for every seed, and a thick one for their mean."""
    found = [results.folder.traces.get((key, metric)) for key in results.fits(line)]
    curves = [np.array(points, np.float64) for points in found if points]
    seed = {"lw": 0.5, "alpha": 0.6} if len(curves) > 1 else {}
    for curve in curves:
        few = {"marker": "o", "ms": 2.5} if len(curve) < 3 else {}  # one point is no line
        axis.plot(curve[:, 0], running_median(curve[:, 1]), **{**style, **seed, **few})
    if len(curves) > 1:
        axis.plot(*_mean(curves), **style)
    return curves


def _mark_diverged(
    axis: Axes, panel: Panel, results: SuiteResults, line: Line, colour: str
) -> None:
    """A cross at a diverged fit's last number, at the panel's edge if it is beyond."""
    low, high = axis.get_ylim()
    for key in results.fits(line):
        points = results.folder.traces.get((key, panel.metrics[0]), ())
        finite = [point for point in points if math.isfinite(point[1])]
        if results.status(key) == "diverged" and finite:
            step, value = finite[-1]
            inside = min(max(value, low), high)
            axis.plot([step], [inside], "x", color=colour, ms=5, mew=1.2, clip_on=False, zorder=5)


def running_median(values: Floats) -> Floats:
    """Over a fiftieth of the curve, where it has more than 100 points; ends keep their share."""
    half = len(values) // 100
    if half == 0:
        return values
    windows = (values[max(0, i - half) : i + half + 1] for i in range(len(values)))
    return np.array([np.median(window) for window in windows])


def _mean(curves: Sequence[Floats]) -> tuple[Floats, Floats]:
    """The mean at the steps that all seeds have reached."""
    steps = set(curves[0][:, 0])
    for curve in curves[1:]:
        steps &= set(curve[:, 0])
    common = np.array(sorted(steps))
    rows = [dict(zip(c[:, 0], running_median(c[:, 1]), strict=True)) for c in curves]
    return common, np.array([np.mean([row[step] for row in rows]) for step in common])


def _limits(axis: Axes, panel: Panel, curves: Sequence[Floats]) -> None:
    """Room for what trained well: a fit that runs away leaves the panel."""
    shown = [running_median(curve[:, 1]) for curve in curves]
    parts = [part[np.isfinite(part) & (part > 0)] for part in shown]
    parts = [part for part in parts if len(part)]
    if panel.logarithmic and parts:
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.yaxis.set_minor_formatter(NullFormatter())
        typical = float(np.median([part.max() for part in parts]))
        low, high = (pick(float(pick(part)) for part in parts) for pick in (min, max))
        low, high = low / 1.5, min(1.5 * high, 10 * typical)
        axis.set_ylim(low, high)
        if high < 100 * low:  # else there would be one number on the axis, or none
            axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    elif "nfe_forward" in panel.metrics and parts:
        axis.set_ylim(0, 1.08 * max(float(part.max()) for part in parts))
        axis.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    elif "validation_psnr" in panel.metrics and parts:
        low, high = axis.get_ylim()
        axis.set_ylim(max(low, max(float(part.max()) for part in parts) - 15), high)


def _thresholds(
    axis: Axes,
    results: SuiteResults,
    lines: Sequence[Line],
    styles: Mapping[Line, Mapping[str, Any]],
) -> None:
    """Dashed: where each penalty sets in. Grey if all methods share it."""
    found = {line: threshold(results, line) for line in lines}
    values = {value for value in found.values() if value is not None}
    for value in sorted(values):
        owners = [line for line, own in found.items() if own == value]
        colour = "0.35" if len(values) == 1 else styles[owners[0]]["color"]
        axis.axhline(value, color=colour, ls="--", lw=0.8, zorder=1)
        axis.annotate(
            f"threshold {value:g}",
            (0.995, value),
            xycoords=("axes fraction", "data"),
            xytext=(0, 1.5),
            ha="right",
            textcoords="offset points",
            fontsize=6.5,
            color=colour,
        )
    low, high = axis.get_ylim()
    if values:  # the text needs room as well
        axis.set_ylim(low, max(high, max(values) + 0.15 * (high - low)))


def _legend(
    figure: Figure,
    results: SuiteResults,
    lines: Sequence[Line],
    styles: Mapping[Line, Mapping[str, Any]],
    top: float,
) -> None:
    handles = [Line2D([], [], **styles[line]) for line in lines]
    labels = [shortened(results.long_label(line), 30) for line in lines]
    figure.legend(
        handles,
        labels,
        loc="upper left",
        bbox_to_anchor=(0.02, top),
        ncols=2,
        borderaxespad=0,
        columnspacing=1.0,
        handlelength=2.2,
        labelspacing=0.25,
    )


def _caption(results: SuiteResults, panels: Sequence[Panel]) -> str:
    parts = ["Training, against optimiser steps."]
    if any("train_loss" in panel.metrics for panel in panels):
        parts.append(
            "Each method minimises its own loss (penalties not included), so that losses do not "
            "compare between methods."
        )
    if any("lipschitz" in panel.metrics for panel in panels):
        parts.append("The Lipschitz estimate is a local lower bound, no certificate.")
    if len(results.train_seeds) > 1:
        parts.append("Thin: one training seed; thick: their mean.")
    parts.append("Curves of more than 100 points: running median. Cross: the fit diverged there.")
    return " ".join(parts)
