"""What methods claim of themselves, and whether the conditions hold on the samples measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from reports.folder import Reading
from reports.measurements import Answer, answers, largest
from reports.suite_results import SuiteResults
from reports.tables.measured import (
    assemble,
    cell,
    flags,
    largest_cell,
    listed,
    mean_cell,
    settings,
)
from reports.tables.table import NONE, Cell, Table, number

HOLDS, ONLY_BY_ESTIMATE, VIOLATED = "holds", "only by L̂", "violated"
VACUOUS, DOES_NOT_APPLY = "vacuous (infinite)", "does not apply"
GROUPS = (
    ("Lipschitz constant", ("T", "L̂ (by)", "Jacobian norm", "constraint")),
    ("contraction", ("guaranteed", "seen", "largest")),
    ("gain ‖Δx‖ / ‖Δy‖", ("bounds", "worst found")),
    ("share of samples [%]", ("penalty acts", "L̂ ≤ T in training", "starts in ball")),
)
CAPTION = [
    "T: the Lipschitz constant up to which the method's guarantees hold; L̂: the authors' own "
    "estimate of it (in brackets: how), Jacobian norm: the spectral norm of the Jacobian; the "
    "largest over test samples, at the fixed point. Both are lower bounds.",
    "constraint: “holds” if the largest Jacobian norm is at most T (at these points: not a "
    "certificate), “only by L̂” if the authors' estimate is but the norm is not, else “violated”.",
    "guaranteed: factor by which an iteration brings two points nearer while the constraint holds; "
    "seen: geometric mean of the last third of plain iterations' ratios of steps (mean over "
    "samples); largest: of all ratios and samples.",
    "A bound that is infinite says nothing: vacuous. One whose constraint does not hold by the "
    "Jacobian norm does not apply. Each bound has a line of its own in the table “bounds”.",
    "penalty acts: training samples on which the penalty has a gradient at all.",
]


def constraint(answer: Answer) -> str:
    """Whether the Lipschitz constant is at most T; empty where nothing says so."""
    limit, norms = largest(answer.of("threshold")), answer.of("jacobian_norm")
    norm, estimate = largest(norms), largest(answer.of("estimate"))
    if limit is None or norm is None or not _finite(norms):
        return ""
    if norm <= limit:
        return HOLDS
    return ONLY_BY_ESTIMATE if estimate is not None and estimate <= limit else VIOLATED


def verdict(answer: Answer, readings: Sequence[Reading]) -> str:
    """What is to be said of a bound (one reading a seed): vacuous, does not apply, or nothing."""
    if not any(math.isfinite(one.value) for one in readings):
        return VACUOUS
    state = constraint(answer)
    return "" if state == HOLDS else DOES_NOT_APPLY if state else "constraint not measured"


def bounds(answer: Answer) -> dict[str, list[Reading]]:
    """Readings of every bound by its formula, one a training seed."""
    found: dict[str, list[Reading]] = {}
    for one in answer.of("bound"):
        found.setdefault(str(one.condition["formula"]), []).append(one)
    return found


def bound_value(readings: Sequence[Reading]) -> str:
    """A bound, or its range over training seeds."""
    values = [one.value for one in readings if math.isfinite(one.value)]
    ends = dict.fromkeys(number(value, 2) for value in (min(values), max(values)))
    return " to ".join(ends)


def claims_table(results: SuiteResults) -> Table:
    """Claims next to what was measured; methods without a claim are listed with a dash."""
    found = answers(results, "guarantees")
    caption = list(CAPTION)
    if radii := settings(found, "radius"):
        caption.append(
            f"starts in ball: test samples whose start is nearer to the fixed point than "
            f"{listed(radii)} of its norm, where the constraint is asked for."
        )
    epsilons, steps = settings(found, "epsilon"), settings(found, "steps")
    caption.append(
        f"worst found: largest over test samples, by {listed(steps)} steps and "
        f"{listed(settings(found, 'restarts'))} random start(s), ‖Δy‖ = {listed(epsilons)} ‖y‖; a "
        "lower bound."
    )
    told = [replace(a, readings=tuple(r for r in a.readings if r.metric != "bound")) for a in found]
    return assemble(
        results,
        found,
        ("claims", "Claims and what is seen of them"),
        [*caption, *flags(results, told)],
        GROUPS,
        lambda answer: [_cells(answer)],
    )


def _cells(answer: Answer) -> list[Cell]:
    state = constraint(answer)
    return [
        largest_cell(answer.of("threshold"), _three),
        _estimate(answer),
        largest_cell(answer.of("jacobian_norm"), _three),
        Cell(state or NONE, failed=state == VIOLATED),
        largest_cell(answer.of("guaranteed_rate"), _three),
        mean_cell(answer, answer.of("rate"), _three),
        largest_cell(answer.of("largest_rate"), _three),
        Cell("; ".join(_told(answer, *bound) for bound in bounds(answer).items()) or NONE),
        largest_cell(answer.of("worst_gain"), lambda value: number(value, 2)),
        _percent(answer, answer.of("penalty_acts")),
        _in_training(answer),
        _percent(answer, answer.of("start_in_ball")),
    ]


def _three(value: float | None) -> str:
    return number(value, 3)


def _estimate(answer: Answer) -> Cell:
    readings = answer.of("estimate")
    names = dict.fromkeys(str(one.condition.get("estimator")) for one in readings)
    shown = largest_cell(readings, _three)
    return replace(shown, text=f"{shown.text} ({', '.join(names)})") if names else shown


def _told(answer: Answer, formula: str, readings: Sequence[Reading]) -> str:
    text = verdict(answer, readings)
    if text == VACUOUS:
        return f"{formula} = {VACUOUS}"
    return f"{formula} = {bound_value(readings)}{f' ({text})' if text else ''}"


def _percent(answer: Answer, readings: Sequence[Reading]) -> Cell:
    share = answer.mean(readings)
    return cell(None if share is None else 100 * share, lambda value: number(value, 0), readings)


def _in_training(answer: Answer) -> Cell:
    """Share of training samples whose estimate is at most T."""
    limit = largest(answer.of("threshold"))
    if limit is None:
        return Cell(NONE)
    readings = [
        replace(one, value=float(one.value <= limit)) for one in answer.of("training_estimate")
    ]
    return _percent(answer, readings)


def _finite(readings: Sequence[Reading]) -> bool:
    return all(math.isfinite(one.value) for one in readings)
