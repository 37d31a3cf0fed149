"""How reconstructions converge: residual against evaluations, at the own stop and beyond it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter
from numpy.typing import NDArray

from bench.data.archives import open_npz
from reports.ablations import main_lines
from reports.figures.scene import kept_samples
from reports.figures.style import PAGE, file_name, house_style, line_styles, shortened
from reports.suite_results import Line, SuiteResults, TaskInfo

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Curves = Mapping[Line, Sequence[Sequence[NDArray[np.float64]]]]
"""Of every line and each of its samples: the residuals of one trace after the other."""

# names of arrays in artifacts, each with a number: what an evaluation leaves of its stops
STOPS = {"residual": "at the method's own stop", "converged_residual": "iterated to convergence"}
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
LOWEST = 1e-9  # a residual of 0 has no place on a logarithmic axis


def convergence_figures(results: SuiteResults, task: TaskInfo) -> Iterator[tuple[str, str, Figure]]:
    """Name, caption and figure. Nothing where no residuals were kept."""
    panels = {stop: _curves(results, task, stop) for stop in STOPS}
    panels = {stop: curves for stop, curves in panels.items() if curves}
    if not panels:
        return
    with house_style():
        figure = _draw(results, panels)
    yield f"convergence-{file_name(task.label)}", _caption(task, panels), figure


def _curves(results: SuiteResults, task: TaskInfo, stop: str) -> Curves:
    found = {}
    for line in main_lines(results):
        files = kept_samples(results, line, task).values()
        samples = [traces for path in files if (traces := _read(path, stop))]
        if samples:
            found[line] = samples
    return found


def _read(path: Path, stop: str) -> list[NDArray[np.float64]]:
    """One array (K,) a trace, in order; none in the files of older runs."""
    with open_npz(path) as file:
        names = [name for name in file.names if name.rpartition("_")[0] == stop]
        names.sort(key=lambda name: int(name.rpartition("_")[2]))
        traces = [file.array(name).astype(np.float64) for name in names]
    return [trace for trace in traces if trace.size]


# ---------------------------------------------------------------------- drawing


def _draw(results: SuiteResults, panels: Mapping[str, Curves]) -> Figure:
    lines = [line for line in main_lines(results) if any(line in part for part in panels.values())]
    columns = 4
    rows = math.ceil(len(lines) / columns)
    above, tall, below = 0.22, 1.9, 0.42  # inches
    legend = 0.15 * rows + 0.08
    height = above + tall + below + legend
    figure = Figure(figsize=(PAGE, height))
    styles = line_styles(results)
    shared: Axes | None = None  # both panels on one scale
    for number, (stop, curves) in enumerate(panels.items()):
        corner = 0.08 + 0.49 * number, (below + legend) / height
        axis = shared = figure.add_axes((*corner, 0.42, tall / height), sharey=shared)
        for line, samples in curves.items():
            for traces in samples:
                _curve(axis, traces, styles[line])
        _axes(axis)
        axis.set_title(STOPS[stop], loc="left")
        if number == 0:
            axis.set_ylabel("relative residual")
    figure.legend(
        [Line2D([], [], **styles[line]) for line in lines],
        [shortened(results.long_label(line), 28) for line in lines],
        loc="lower left",
        bbox_to_anchor=(0.07, 0.02 / height),
        ncols=columns,
        borderaxespad=0,
        labelspacing=0.3,
        columnspacing=1.2,
        handlelength=1.8,
    )
    return figure


def _curve(axis: Axes, traces: Sequence[NDArray[np.float64]], style: Mapping[str, Any]) -> None:
    """Stages one after the other: lines begin anew, evaluations go on. A dot where each ended."""
    done = 0
    for residuals in traces:
        x = done + 1 + np.arange(len(residuals))
        y = np.maximum(residuals, LOWEST)
        axis.plot(x, y, **style, lw=0.9)
        axis.plot(x[-1:], y[-1:], "o", color=style["color"], ms=2.5)
        done += len(residuals)


def _axes(axis: Axes) -> None:
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter(lambda value, _: _power(value))
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.set_xlabel("evaluations of the iterated map")
    axis.set_xlim(0, None)
    axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axis.grid(color="0.92", linewidth=0.5)
    axis.set_axisbelow(True)


def _power(value: float) -> str:
    """A power of ten as one writes it."""
    exponent = round(math.log10(value))
    return "10" + str(exponent).translate(RAISED) if exponent else "1"


def _caption(task: TaskInfo, panels: Mapping[str, Curves]) -> str:
    parts = [
        f"{task.title}: relative residual ‖f(x) − x‖ / ‖f(x)‖ of each method's iteration at every "
        "evaluation of its map, a line for each kept image; the dot is the last."
    ]
    curves = [samples for part in panels.values() for samples in part.values()]
    if any(len(traces) > 1 for samples in curves for traces in samples):
        parts.append("Methods with stages begin anew at each.")
    parts.append(
        "Residuals depend on each method's step size: at the own stop they say when it ends, and "
        "not which method is nearer to its fixed point."
    )
    if "converged_residual" in panels:
        parts.append("Iterated to convergence: with Anderson acceleration, at step size 1.")
    return " ".join(parts)
