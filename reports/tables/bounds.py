"""Every bound that a method's paper puts on its gain, next to the worst gain that was found."""

from __future__ import annotations

import math
from collections.abc import Sequence

from reports.folder import Reading
from reports.measurements import Answer, answers
from reports.suite_results import SuiteResults
from reports.tables.claims import VACUOUS, bound_value, bounds, verdict
from reports.tables.measured import assemble, largest_cell
from reports.tables.table import NONE, Cell, Table, number

CAPTION = [
    "A bound applies if the constraint holds by the Jacobian norm at the test samples (table "
    "“claims”). One that is infinite says nothing: vacuous.",
    "worst found: a lower bound of the gain. found / bound: above 1, a bound that applies is "
    "broken; far below 1, it is loose or the search is weak. The largest over training seeds.",
]


def bounds_table(results: SuiteResults) -> Table:
    """A row for every bound of every method that claims one."""
    claimed = [answer for answer in answers(results, "guarantees") if answer.of("bound")]
    return assemble(
        results,
        claimed,
        ("bounds", "Bounds on the gain"),
        CAPTION,
        [("gain ‖Δx‖ / ‖Δy‖", ("bound", "applies", "worst found", "found / bound"))],
        lambda answer: [_cells(answer, *bound) for bound in bounds(answer).items()],
        beside=["formula"],
    )


def _cells(answer: Answer, formula: str, readings: Sequence[Reading]) -> list[Cell]:
    text = verdict(answer, readings)
    worst = largest_cell(answer.of("worst_gain"), lambda value: number(value, 2))
    if text == VACUOUS:
        return [Cell(formula), Cell(VACUOUS), Cell(NONE), worst, Cell(NONE)]
    value = Cell(bound_value(readings), sort=max(_finite(readings)))
    ratio = _ratio(answer, readings)
    return [
        Cell(formula),
        value,
        Cell(text or "yes"),
        worst,
        Cell(number(ratio, 3), sort=ratio),
    ]


def _ratio(answer: Answer, readings: Sequence[Reading]) -> float | None:
    """The largest gain over its own training seed's bound."""
    limits = {one.job: one.value for one in readings if math.isfinite(one.value) and one.value > 0}
    ratios = [
        one.value / limits[one.job]
        for one in answer.of("worst_gain")
        if one.job in limits and math.isfinite(one.value)
    ]
    return max(ratios, default=None)


def _finite(readings: Sequence[Reading]) -> list[float]:
    return [one.value for one in readings if math.isfinite(one.value)]
