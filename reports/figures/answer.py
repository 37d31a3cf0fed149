"""The figures that a suite declares as the answer to its question."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from reports.figures.ablation import name_settings
from reports.figures.labels import name_points
from reports.figures.style import COLUMN, DPI, MARKERS, PALETTE, house_style, shortened
from reports.quantities import Point, label, points
from reports.suite_results import SuiteResults

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FACTOR = 100  # numbers that span more are on a logarithmic axis
PANEL = 2.5  # inches


def answer_figures(results: SuiteResults) -> Iterator[tuple[str, str, Figure]]:
    """Name, caption and figure; nothing for one that has no point yet."""
    for number, wanted in enumerate(results.figures):
        found = list(points(results, wanted["x"], wanted["y"]))
        if found:
            with house_style():
                figure = _draw(results, wanted, found)
            yield f"answer-{number + 1}", _caption(results, wanted, found), figure


def _draw(results: SuiteResults, wanted: Mapping[str, Any], found: Sequence[Point]) -> Figure:
    """A panel a task, or one where the tasks are the axis."""
    panels = _panels(results, wanted, found)
    width, left, below, above = COLUMN * len(panels), 0.7, 0.6, 0.2
    series = list(dict.fromkeys(_series(results, point) for point in found))
    legend = 0.16 * ((len(series) + 1) // 2) + 0.08
    height = legend + above + PANEL + below
    figure = Figure(figsize=(width, height), dpi=DPI)
    for number, (title, part) in enumerate(panels.items()):
        corner = (number * COLUMN + left) / width, below / height
        size = (COLUMN - left - 0.12) / width, PANEL / height
        axis = figure.add_axes((*corner, *size))
        _panel(axis, results, wanted, part, series)
        axis.set_title(shortened(title, 44) if len(panels) > 1 else "")
        axis.set_xlabel(label(results, wanted["x"]))
        axis.set_ylabel(label(results, wanted["y"]) if number == 0 else "")
    handles, names = axis.get_legend_handles_labels()
    known = dict(zip(names, handles, strict=True))
    figure.legend(
        known.values(),
        [shortened(name, 30) for name in known],
        loc="upper left",
        bbox_to_anchor=(left / width, 1 - 0.03 / height),
        ncols=2,
        borderaxespad=0,
    )
    return figure


def _panels(
    results: SuiteResults, wanted: Mapping[str, Any], found: Sequence[Point]
) -> dict[str, list[Point]]:
    if wanted["x"].startswith("task."):
        return {"": list(found)}
    parts: dict[str, list[Point]] = {}
    for point in found:
        parts.setdefault(results.tasks[point.task].title, []).append(point)
    return parts


def _series(results: SuiteResults, point: Point) -> str:
    """What has a colour: a method, with all its settings where they are what is drawn."""
    return results.base_of(point.line)


def _panel(
    axis: Axes,
    results: SuiteResults,
    wanted: Mapping[str, Any],
    found: Sequence[Point],
    series: Sequence[str],
) -> None:
    joined = wanted["x"] in results.axes or wanted["x"].startswith(("task.", "condition."))
    at = _positions(axis, found, joined)
    for name in series:
        mine = [point for point in found if _series(results, point) == name]
        place = series.index(name)
        style: dict[str, Any] = {
            "ms": 4,
            "lw": 1.0,
            "color": PALETTE[place % len(PALETTE)],
            "marker": MARKERS[place % len(MARKERS)],
        }
        for part in _strands(mine, wanted["x"].startswith("condition.")):
            ordered = sorted(part, key=lambda point: at[point.x]) if joined else part
            xs, ys = [at[point.x] for point in ordered], [point.y for point in ordered]
            axis.plot(xs, ys, "-" if joined else "", **style, label=name)
    ys = [point.y for point in found]
    _scale(axis, ys)
    if wanted["diagonal"]:
        low, high = min([*at.values(), *ys]), max([*at.values(), *ys])
        axis.plot([low, high], [low, high], color="0.5", ls=":", lw=0.8, label="equal")
    axis.grid(color="0.92", linewidth=0.5)
    axis.set_axisbelow(True)
    axis.margins(x=0.08)
    if not joined:
        places = [(at[point.x], point.y) for point in found]
        # a method with a single point is told by its colour and sign
        many = Counter(_series(results, point) for point in found)
        settings = [
            _setting(results, point) if many[_series(results, point)] > 1 else "" for point in found
        ]
        name_points(axis, places, settings)


def _scale(axis: Axes, ys: Sequence[float]) -> None:
    """Logarithmic where numbers span decades, or are so small that only their decade counts."""
    if min(ys) <= 0 or (max(ys) <= FACTOR * min(ys) and max(ys) > 1 / FACTOR):
        axis.margins(y=0.12)
        return
    axis.set_yscale("log")
    low, high = min(ys), max(ys)
    missing = max(0.0, 1 - math.log10(high / low))  # at least a decade: rounding is no result
    axis.set_ylim(low / 10 ** (0.1 + missing / 2), high * 10 ** (0.1 + missing / 2))
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


def _strands(found: Sequence[Point], by_line: bool) -> list[list[Point]]:
    """Points that a line joins: of a method, or of each of its settings."""
    strands: dict[Any, list[Point]] = {}
    for point in found:
        strands.setdefault(point.line if by_line else None, []).append(point)
    return list(strands.values())


def _setting(results: SuiteResults, point: Point) -> str:
    """What tells a point from the others of its colour."""
    base = results.base_of(point.line)
    text = results.label(point.line)
    return shortened(text.removeprefix(base).lstrip(", ") or "as it is", 18)


def _positions(axis: Axes, found: Sequence[Point], joined: bool) -> dict[float | str, float]:
    """Where x stands: numbers to scale; with words at equal distances, words last.

    ``joined``: the numbers were chosen by somebody, and a few of them are the ticks.
    """
    values = list(dict.fromkeys(point.x for point in found))
    numbers = [value for value in values if isinstance(value, float)]
    if len(numbers) < len(values):
        values.sort(key=lambda value: value if isinstance(value, float) else math.inf)
        words = [f"{value:g}" if isinstance(value, float) else value for value in values]
        name_settings(axis, words, PANEL / len(words))
        return {value: float(place) for place, value in enumerate(values)}
    few = len(numbers) <= 8
    decades = min(numbers) > 0 and max(numbers) > FACTOR / 4 * min(numbers)
    if decades or (joined and few and _geometric(numbers)):
        axis.set_xscale("log")
        axis.minorticks_off()
        if few:
            axis.set_xticks(numbers)
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    return {value: value for value in numbers}


def _geometric(numbers: Sequence[float]) -> bool:
    """Whether their ratios are more alike than their differences."""
    ordered = sorted(numbers)
    if len(ordered) < 3 or ordered[0] <= 0:
        return False
    ratios = [high / low for low, high in itertools.pairwise(ordered)]
    gaps = [high - low for low, high in itertools.pairwise(ordered)]
    return max(ratios) / min(ratios) < max(gaps) / min(gaps)


def _caption(results: SuiteResults, wanted: Mapping[str, Any], found: Sequence[Point]) -> str:
    parts = [f"{wanted['title']} {label(results, wanted['y'])}".replace("\n", " ")]
    parts[0] += f" against {label(results, wanted['x'])}; means over subjects and training seeds."
    if wanted["diagonal"]:
        parts.append("Dotted: equality.")
    if wanted["x"].startswith("condition."):
        parts.append("A line for each setting of a method.")
    missing = [results.label(one) for one in results.lines if one not in {p.line for p in found}]
    if missing and len(missing) <= 6:
        parts.append(f"Without a number: {', '.join(missing)}.")
    return " ".join(parts)
