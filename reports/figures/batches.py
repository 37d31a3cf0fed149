"""The largest batch that a training step fits into a GPU: bars by method, one for each size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from bench.measure.batch_size import parse_size
from reports.figures.style import COLUMN, house_style, line_styles, shortened
from reports.measurements import Answer, answers, as_they_are, largest
from reports.suite_results import SuiteResults
from reports.tables.measured import settings
from reports.tables.table import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PALEST = 0.35  # of the colour that the smallest GPU's bar has; the largest has all of it
BAR = 0.115  # inches


@dataclass(frozen=True)
class Bars:
    """A method's largest batch by GPU; ``capped``: where the search ended before the memory did."""

    answer: Answer
    sizes: Mapping[str, float]
    capped: frozenset[str]


def batches_figures(results: SuiteResults) -> Iterator[tuple[str, str, Figure]]:
    """Name, caption and figure: a panel for each task. Nothing where it was not asked."""
    found = answers(results, "batch-size")
    gpus = sorted(settings(found, "gpu"), key=parse_size)
    panels: dict[str, list[Bars]] = {}
    for answer in as_they_are(results, found):
        bars = _bars(answer, gpus)
        if bars.sizes:
            panels.setdefault(answer.task, []).append(bars)
    if not panels:
        return
    with house_style():
        ordered = {task: sorted(bars, key=_last, reverse=True) for task, bars in panels.items()}
        figure = _draw(results, ordered, gpus)
    caption = (
        "Largest batch whose predicted peak of a training step fits into a GPU, penalty included "
        "where the recipe has one; 0: not one sample fits."
    )
    if any(bars.capped for part in panels.values() for bars in part):
        caption += " ≥: more were not tried."
    if any(_logarithmic(bars) for bars in panels.values()):
        caption += " A range of more than 10 is on a logarithmic axis, which does not begin at 0."
    yield "batches", caption, figure


def _bars(answer: Answer, gpus: Sequence[str]) -> Bars:
    sizes, capped = {}, set()
    for gpu in gpus:
        found = answer.of("largest_batch", "fit", gpu=gpu, how="predicted")
        full = [one for one in found if one.condition.get("penalty")] or found
        size = largest(full)
        if size is not None:
            sizes[gpu] = size
            if any(size >= one.condition.get("most", float("inf")) for one in full):
                capped.add(gpu)
    return Bars(answer, sizes, frozenset(capped))


def _last(bars: Bars) -> tuple[float, ...]:
    return tuple(reversed(list(bars.sizes.values())))


def _logarithmic(panel: Sequence[Bars]) -> bool:
    sizes = [max(size, 1) for bars in panel for size in bars.sizes.values()]
    return max(sizes) > 10 * min(sizes)


# ---------------------------------------------------------------------- drawing


def _draw(
    results: SuiteResults, panels: Mapping[str, Sequence[Bars]], gpus: Sequence[str]
) -> Figure:
    rows = {task: len(bars) * (len(gpus) + 0.6) * BAR for task, bars in panels.items()}
    legend, above, below = 0.25, 0.24, 0.42  # inches
    total = legend + sum(rows.values()) + len(rows) * (above + below)
    figure = Figure(figsize=(COLUMN, total))
    styles, top = line_styles(results), total - legend
    for task, bars in panels.items():
        bottom = top - above - rows[task]
        axis = figure.add_axes((0.36, bottom / total, 0.52, rows[task] / total))
        colours = [str(styles[one.answer.line]["color"]) for one in bars]
        _panel(axis, bars, gpus, colours)
        labels = [shortened(results.long_label(one.answer.line), 22) for one in bars]
        axis.set_yticks(range(len(bars)), labels)
        axis.set_title(results.tasks[task].title, loc="left")
        top = bottom - below
    handles = [Patch(color=_pale("#404040", n, len(gpus)), label=g) for n, g in enumerate(gpus)]
    figure.legend(
        handles=handles,
        loc="upper right",
        bbox_to_anchor=(0.98, 1 - 0.03 / total),
        ncols=len(gpus),
        borderaxespad=0,
        columnspacing=1.0,
        handlelength=1.2,
    )
    return figure


def _panel(axis: Axes, panel: Sequence[Bars], gpus: Sequence[str], colours: Sequence[str]) -> None:
    thick = 1 / (len(gpus) + 0.6)
    logarithmic = _logarithmic(panel)
    start = 0.5 if logarithmic else 0.0
    for row, (bars, colour) in enumerate(zip(panel, colours, strict=True)):
        for place, gpu in enumerate(gpus):
            if gpu not in bars.sizes:
                continue
            size = bars.sizes[gpu]
            y = row + (place - (len(gpus) - 1) / 2) * thick
            shade = _pale(colour, place, len(gpus))
            axis.barh(y, max(size - start, 0), left=start, height=0.9 * thick, color=shade)
            axis.annotate(
                f"{'≥ ' if gpu in bars.capped else ''}{number(size, 0)}",
                (max(size, start), y),
                xytext=(2, -0.3),
                textcoords="offset points",
                va="center",
                fontsize=6,
            )
    axis.tick_params(axis="y", length=0)
    axis.set_ylim(len(panel) - 0.45, -0.55)
    if logarithmic:
        axis.set_xscale("log")
        axis.set_xlim(start, None)
        axis.xaxis.set_major_locator(LogLocator(10, numticks=5))
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    else:
        axis.set_xlim(0, None)
        axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axis.set_xlabel("largest training batch")


def _pale(colour: str, place: int, of: int) -> tuple[float, float, float]:
    """The colour mixed with white, the less the larger the GPU."""
    share = 1.0 if of == 1 else PALEST + (1 - PALEST) * place / (of - 1)
    red, green, blue = (1 - share * (1 - part) for part in to_rgb(colour))
    return red, green, blue
