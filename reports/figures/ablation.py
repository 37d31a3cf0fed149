"""Ablations: quality and network evaluations against the settings of an axis, a line a method."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from bench.comparison import Comparison
from reports.ablations import Place, Study, in_order, numeric, studies
from reports.figures.style import COLUMN, PAGE, file_name, house_style, line_styles, shortened
from reports.suite_results import PENDING, Outcome, SuiteResults, TaskInfo
from reports.tables.comparison import ONE_TRAINING, compared

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 3
FACTOR = 100  # numbers that span more are on a logarithmic axis
METRICS = {"psnr": "PSNR [dB]", "nfe": "nFE a slice"}
LEAST = {"psnr": 0.5, "nfe": 2.0}  # that a panel spans
LETTER, LONGEST = 0.065, 14  # inches of a letter below an axis, and letters of a name
ROOM = 1.75  # inches of a panel
# around a method as it is
RING: dict[str, Any] = {"marker": "o", "ms": 7, "mfc": "none", "mew": 0.8, "ls": ""}


def ablation_figures(results: SuiteResults, task: TaskInfo) -> Iterator[tuple[str, str, Figure]]:
    """Name, caption and figure: a panel an axis. Nothing where none is varied by itself."""
    found = studies(results, task.label)
    axes: dict[str, list[Study]] = {}
    for study in found:
        if len(study.axes) == 1 and _any(results, task, study, "psnr"):
            axes.setdefault(study.axes[0].name, []).append(study)
    if axes:
        with house_style():
            figure = _draw(results, task, list(axes.values()))
        caption = _caption(results, task, [study for part in axes.values() for study in part])
        yield f"ablation-{file_name(task.label)}", caption, figure


# ---------------------------------------------------------------------- drawing


def _draw(results: SuiteResults, task: TaskInfo, axes: Sequence[Sequence[Study]]) -> Figure:
    """Up to three axes beside each other, PSNR above nFE."""
    metrics = [m for m in METRICS if any(_any(results, task, s, m) for part in axes for s in part)]
    columns = min(COLUMNS, len(axes))
    width = PAGE if columns > 1 else COLUMN
    blocks, long = math.ceil(len(axes) / columns), any(map(_slanted, axes))
    tall, gap, below, above = 1.35, 0.12, 0.8 if long else 0.5, 0.06  # inches
    block = len(metrics) * (tall + gap) + below
    handles = _handles(results, axes)
    across = 4 if columns > 1 else 2
    legend = 0.16 * math.ceil(len(handles) / across) + 0.1
    height = legend + blocks * block + above
    figure = Figure(figsize=(width, height))
    wide, left = width / columns, 0.5
    for number, part in enumerate(axes):
        row, column = divmod(number, columns)
        top = height - legend - above - row * block
        for place, metric in enumerate(metrics):
            bottom = top - (place + 1) * tall - place * gap
            corner = (column * wide + left) / width, bottom / height
            axis = figure.add_axes((*corner, (wide - left - 0.12) / width, tall / height))
            _panel(axis, results, task, part, metric)
            axis.set_ylabel(METRICS[metric] if column == 0 else "")
            if place < len(metrics) - 1:
                axis.set_xticklabels([])
            else:
                axis.set_xlabel(shortened(part[0].axes[0].title, 34))
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(left / width, 1 - 0.03 / height),
        ncols=across,
        borderaxespad=0,
        columnspacing=1.2,
        labelspacing=0.3,
    )
    return figure


def _any(results: SuiteResults, task: TaskInfo, study: Study, metric: str) -> bool:
    return any(results.outcome(place.line, task.label, metric).summary for place in study.places)


def _handles(results: SuiteResults, axes: Sequence[Sequence[Study]]) -> list[Line2D]:
    styles = line_styles(results)
    methods = {study.method: _style(styles, study) for part in axes for study in part}
    handles = [
        Line2D([], [], **style, marker="o", ms=3, label=shortened(method, 28))
        for method, style in methods.items()
    ]
    return [*handles, Line2D([], [], color="0.3", **RING, label="as it is")]


def _style(styles: Mapping[Any, Mapping[str, Any]], study: Study) -> dict[str, Any]:
    if study.base is not None:
        return dict(styles[study.base])
    return {"color": styles[study.places[0].line]["color"], "ls": "-"}


def _panel(
    axis: Axes, results: SuiteResults, task: TaskInfo, part: Sequence[Study], metric: str
) -> None:
    at = _positions(axis, _values(part))
    styles = line_styles(results)
    for study in part:
        style = _style(styles, study)
        outcomes = {p: results.outcome(p.line, task.label, metric) for p in study.places}
        placed = sorted((p for p in outcomes if p.values), key=lambda p: at[p.values[0]])
        for points in _joined(placed):
            _curve(axis, [(at[p.values[0]], p, outcomes[p]) for p in points], style)
        if metric == "psnr":
            _bars(axis, results, task, study, [(at[p.values[0]], p) for p in placed], style)
        for place, outcome in outcomes.items():
            if not place.values and outcome.summary:  # nobody knows where it stands
                axis.axhline(outcome.summary.mean, color=style["color"], ls=":", lw=0.8)
    axis.grid(axis="y", color="0.92", linewidth=0.5)
    axis.set_axisbelow(True)
    axis.margins(y=0.1)
    low, high = axis.get_ylim()
    missing = max(LEAST[metric] - (high - low), 0)  # noise is not to fill the panel
    axis.set_ylim(low - missing / 2, high + missing / 2)
    axis.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))


def _values(part: Sequence[Study], number: int = 0) -> list[str]:
    """The settings on an axis, in order."""
    return in_order([p.values[number] for study in part for p in study.places if p.values])


def _slanted(part: Sequence[Study]) -> bool:
    values = _values(part)
    return numeric(values) is None and slanted(values, ROOM / len(values))


def _positions(axis: Axes, values: Sequence[str]) -> dict[str, float]:
    """Where settings stand: numbers to scale, names (and numbers about 0) at equal distances."""
    numbers = numeric(values)
    spread = numbers is not None and max(numbers.values()) > FACTOR * min(numbers.values())
    if numbers is None or (spread and min(numbers.values()) <= 0):
        name_settings(axis, values, ROOM / len(values))
        axis.set_xlim(-0.4, len(values) - 0.6)
        return {value: float(place) for place, value in enumerate(values)}
    if spread:
        axis.set_xscale("log")
    axis.set_xticks(list(numbers.values()), _apart(list(numbers.values()), spread))
    axis.minorticks_off()
    return numbers


def _apart(numbers: Sequence[float], spread: bool) -> list[str]:
    """The numbers that have room on the axis; the others keep their tick."""
    scaled = [math.log(number) if spread else number for number in numbers]
    room = (scaled[-1] - scaled[0]) / 9
    shown, last = [], -math.inf
    for number, place in zip(numbers, scaled, strict=True):
        shown.append(f"{number:g}" if place - last >= room else "")
        last = place if shown[-1] else last
    return shown


def slanted(values: Sequence[str], inches: float) -> bool:
    """Whether names would run into each other, with so much room for each."""
    return max(len(shortened(value, LONGEST)) for value in values) * LETTER > inches


def name_settings(axis: Axes, values: Sequence[str], inches: float) -> None:
    """Names below an axis at 0, 1, ..., slanted where there is not enough room for each."""
    axis.set_xticks(range(len(values)), [shortened(value, LONGEST) for value in values])
    if slanted(values, inches):
        axis.tick_params(axis="x", labelrotation=25)
        for tick in axis.get_xticklabels():
            tick.set(ha="right", rotation_mode="anchor")


def _joined(places: Sequence[Place]) -> list[list[Place]]:
    """What a line joins: numbers; between names there is nothing."""
    numbers = [place for place in places if numeric(place.values) is not None]
    names = [[place] for place in places if place not in numbers]
    return [numbers, *names] if numbers else names


def _curve(
    axis: Axes, points: Sequence[tuple[float, Place, Outcome]], style: Mapping[str, Any]
) -> None:
    """Missing settings break the line; a cross at the lower edge says that one failed."""
    x = [position for position, *_ in points]
    y = [o.summary.mean if o.summary else math.nan for *_, o in points]
    axis.plot(x, y, **style, marker="o", ms=3, lw=1.0)
    for position, place, outcome in points:
        summary = outcome.summary
        if summary is None:
            if _failed(outcome):
                edge = axis.get_xaxis_transform()
                axis.plot([position], [0.03], "x", color=style["color"], ms=4, transform=edge)
            continue
        if place.is_base:
            axis.plot([position], [summary.mean], color=style["color"], **RING)


def _failed(outcome: Outcome) -> bool:
    return outcome.summary is None and bool(outcome.status) and outcome.status not in PENDING


def _bars(
    axis: Axes,
    results: SuiteResults,
    task: TaskInfo,
    study: Study,
    points: Sequence[tuple[float, Place]],
    style: Mapping[str, Any],
) -> None:
    """Intervals of the differences to the method as it is, around the means."""
    for position, place in points:
        found = _difference(results, task, study, place)
        summary = results.outcome(place.line, task.label, "psnr").summary
        if found is None or summary is None or found.low is None or found.high is None:
            continue
        ends = [summary.mean + end - found.difference for end in (found.low, found.high)]
        axis.plot([position] * 2, ends, color=style["color"], lw=0.8)


def _difference(
    results: SuiteResults, task: TaskInfo, study: Study, place: Place
) -> Comparison | None:
    if study.base is None or place.is_base:
        return None
    return compared(results, task.label, place.line, study.base, "")[0]


def _caption(results: SuiteResults, task: TaskInfo, found: Sequence[Study]) -> str:
    parts = [
        f"{task.title}: one axis varied at a time, everything else as it is (ring). PSNR: means "
        "over subjects."
    ]
    differences = (_difference(results, task, s, p) for s in found for p in s.places)
    if any(d is not None and d.low is not None for d in differences):
        parts.append(
            "Bars: 95 % interval of the difference to the method as it is, on the same slices."
        )
        parts += [ONE_TRAINING] if len(results.train_seeds) == 1 else []
    outcomes = [results.outcome(p.line, task.label, "psnr") for s in found for p in s.places]
    if any(map(_failed, outcomes)):
        parts.append("Cross: no number, for the training failed or diverged.")
    if any(not place.values for study in found for place in study.places):
        parts.append("Dotted: a method as it is, whose setting is not known.")
    return " ".join(parts)
