"""PSNR against the size of a perturbation: adversarial, and noise of the same norm."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports.figures.style import MARKERS, PAGE, house_style, line_styles, shortened
from reports.measurements import Answer, answers, as_they_are
from reports.suite_results import SuiteResults
from reports.tables.robustness import attack_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST = 10  # lines of a panel that can still be told apart
DRAWN = 8  # of more, the best so many
COLUMNS = 2
KINDS = {"pgd": "-", "gaussian": "--"}


@dataclass(frozen=True)
class Curve:
    """A line's PSNR by ε, the clean one at 0; ``flagged``: of its points."""

    answer: Answer
    clean: float
    points: Mapping[str, Sequence[tuple[float, float]]]
    flagged: frozenset[tuple[str, float]]


def robustness_figures(results: SuiteResults) -> Iterator[tuple[str, str, Figure]]:
    """Name, caption and figure: a panel for each task. Nothing where it was not asked."""
    panels: dict[str, list[Curve]] = {}
    asked = answers(results, "robustness")
    for answer in as_they_are(results, asked):
        curve = _curve(answer)
        if curve is not None:
            panels.setdefault(answer.task, []).append(curve)
    left_out = any(len(curves) > MOST for curves in panels.values())
    panels = {task: _best(curves) for task, curves in panels.items()}
    if panels:
        with house_style():
            figure = _draw(results, panels)
        yield "robustness", _caption(results, panels, left_out), figure


def _curve(answer: Answer) -> Curve | None:
    if not answer.readings:
        return None
    first = attack_of(answer.readings[0])  # the table has any others
    alike = [one for one in answer.readings if attack_of(one) == first]
    answer = replace(answer, readings=tuple(alike))
    clean = answer.mean(answer.of("psnr", kind="clean"))
    if clean is None:
        return None
    points: dict[str, list[tuple[float, float]]] = {}
    flagged = set()
    for kind in KINDS:
        readings = answer.of("psnr", kind=kind, objective="error")
        for epsilon in sorted({float(one.condition["epsilon"]) for one in readings}):
            own = [one for one in readings if one.condition["epsilon"] == epsilon]
            value = answer.mean(own)
            if value is not None:
                points.setdefault(kind, []).append((epsilon, value))
            if any(one.flag for one in own):
                flagged.add((kind, epsilon))
    return Curve(answer, clean, points, frozenset(flagged)) if points else None


def _best(curves: Sequence[Curve]) -> list[Curve]:
    """Those with the highest clean PSNR where there are too many, in the suite's order."""
    if len(curves) <= MOST:
        return list(curves)
    kept = sorted(curves, key=lambda curve: -curve.clean)[:DRAWN]
    return [curve for curve in curves if curve in kept]


# ---------------------------------------------------------------------- drawing


def _draw(results: SuiteResults, panels: Mapping[str, Sequence[Curve]]) -> Figure:
    columns = min(COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    cell = PAGE / 2
    entries = max(len(curves) for curves in panels.values()) + len(KINDS) + 1
    tall = max(1.6, 0.135 * entries)
    left, right, above, below = 0.48, 1.42, 0.25, 0.4  # inches: the legend is on the right
    size = (columns * cell, rows * (above + tall + below))
    figure = Figure(figsize=size)
    styles = line_styles(results)
    for place, (task, curves) in enumerate(panels.items()):
        row, column = divmod(place, columns)
        corner = (column * cell + left) / size[0], 1 - (above + tall) / size[1] - row / rows
        axis = figure.add_axes((*corner, (cell - left - right) / size[0], tall / size[1]))
        _panel(axis, curves, styles)
        axis.set_title(results.tasks[task].title)
        _legend(axis, results, curves, styles)
    return figure


def _panel(axis: Axes, curves: Sequence[Curve], styles: Mapping[Any, Mapping[str, Any]]) -> None:
    """Categories, not a scale: ε grows by factors, and the clean point is at 0."""
    epsilons = sorted({e for c in curves for part in c.points.values() for e, _ in part})
    at = {epsilon: place + 1 for place, epsilon in enumerate(epsilons)}
    for curve, marker in zip(curves, MARKERS, strict=False):
        colour = styles[curve.answer.line]["color"]
        for kind, dashes in KINDS.items():
            part = curve.points.get(kind, ())
            x, y = [0, *(at[e] for e, _ in part)], [curve.clean, *(value for _, value in part)]
            axis.plot(x, y, color=colour, ls=dashes, lw=1.2 if kind == "pgd" else 0.9)
            for epsilon, value in part:
                hollow = (kind, epsilon) in curve.flagged
                face = "white" if hollow else colour
                axis.plot([at[epsilon]], [value], marker, color=colour, mfc=face, ms=3, mew=0.9)
        axis.plot([0], [curve.clean], marker, color=colour, ms=3)
    axis.set_xticks([0, *at.values()], ["clean", *(f"{epsilon:g}" for epsilon in epsilons)])
    axis.set_xlabel("ε = ‖δ‖ / ‖y‖")
    axis.set_ylabel("PSNR [dB]")
    axis.grid(axis="y", color="0.9", linewidth=0.5)
    axis.set_axisbelow(True)
    axis.margins(x=0.06)


def _legend(
    axis: Axes,
    results: SuiteResults,
    curves: Sequence[Curve],
    styles: Mapping[Any, Mapping[str, Any]],
) -> None:
    handles = [
        Line2D([], [], color=styles[curve.answer.line]["color"], marker=marker, ms=3)
        for curve, marker in zip(curves, MARKERS, strict=False)
    ]
    labels = [shortened(results.long_label(c.answer.line), 20) for c in curves]
    handles += [Line2D([], [], color="0.3", ls=dashes) for dashes in KINDS.values()]
    labels += ["attack", "noise"]
    if any(curve.flagged for curve in curves):
        handles.append(Line2D([], [], color="0.3", marker="o", mfc="white", ls="", ms=3))
        labels.append("flagged")
    axis.legend(
        handles,
        labels,
        loc="upper left",
        bbox_to_anchor=(1.04, 1.0),
        borderaxespad=0,
        labelspacing=0.25,
        handlelength=1.8,
        handletextpad=0.5,
        fontsize=6.5,
    )


def _caption(results: SuiteResults, panels: Mapping[str, Sequence[Curve]], fewer: bool) -> str:
    parts = [
        "PSNR under perturbed measurements, against their norm relative to the measurements'. "
        "Solid: the worst perturbation that was found for the error (a lower bound of the "
        "damage); dashed: white Gaussian noise of the same norm. Means over subjects. ε is not "
        "to scale."
    ]
    if any(curve.flagged for curves in panels.values() for curve in curves):
        parts.append("Hollow: flagged on at least one sample, see the table “robustness”.")
    if fewer:
        parts.append(
            f"Of more than {MOST} methods, the {DRAWN} with the highest clean PSNR are drawn."
        )
    return " ".join(parts)
