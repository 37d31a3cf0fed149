"""How much PSNR changes when the test differs from the training."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from reports.folder import Reading
from reports.measurements import Answer, answers, mean_of
from reports.suite_results import SuiteResults
from reports.tables.captions import protocols
from reports.tables.measured import assemble, cell, flags, mean_cell
from reports.tables.table import Cell, Table, number, signed

CAPTION = [
    "unchanged: PSNR on the task itself; change: PSNR with one thing changed less that without, "
    "on the same samples, means over subjects (each subject's samples first).",
    "iterations: as many times those at the method's own stop, or unrolled; map error: the "
    "method is given coil maps with a smooth complex error of this relative norm.",
]


def shift_table(results: SuiteResults) -> Table:
    """PSNR unchanged, and the change in dB with each thing that was changed."""
    found = answers(results, "shift")
    every = (_change(one) for answer in found for one in answer.of("psnr"))
    changes = [change for change in dict.fromkeys(every) if change != "{}"]
    names = [_name(json.loads(change)) for change in changes]

    def build(answer: Answer) -> list[list[Cell]]:
        by_change: dict[str, list[Reading]] = {}
        for one in answer.of("psnr"):
            by_change.setdefault(_change(one), []).append(one)
        before = by_change.get("{}", [])
        first = mean_cell(answer, before, lambda value: number(value, 2))
        return [[first, *(_difference(answer, by_change.get(c, []), before) for c in changes)]]

    return assemble(
        results,
        found,
        ("shift", "Changed test conditions"),
        [*protocols(results, [answer.task for answer in found]), *CAPTION, *flags(results, found)],
        [("PSNR [dB]", ("unchanged",)), *([("change [dB]", names)] if names else [])],
        build,
    )


def _change(reading: Reading) -> str:
    return json.dumps(reading.condition.get("change") or {}, sort_keys=True)


def _name(change: Mapping[str, Any]) -> str:
    """What was changed, in words."""
    if "iterations" in change:
        return f"iterations ×{change['iterations']:g}"
    if "map_error" in change:
        return f"map error {100 * change['map_error']:g} %"
    return ", ".join(f"{name.replace('_', ' ')} {_plain(v)}" for name, v in change.items())


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _difference(answer: Answer, after: Sequence[Reading], before: Sequence[Reading]) -> Cell:
    """Over the samples that both have."""
    known, changed = answer.scores(before), answer.scores(after)
    pairs = {place: value - known[place] for place, value in changed.items() if place in known}
    return cell(mean_of(pairs), signed, after)
