"""The papers' own numbers, to stand below ours: other data and protocol, never a pass or fail."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from reports.published import Published, load_published
from reports.suite_results import SuiteResults, TaskInfo
from reports.tables.table import NONE, Cell, Table, number

LABEL = "Other data and protocol; for orientation only."


def published_table(results: SuiteResults) -> Table:
    """PSNR and SSIM of the suite's methods, at its accelerations. No rows: nothing matches.

    A suite that names the tables it is about has those, whole, instead (``paper_tables``).
    """
    names = _registry_names(results)
    cells: dict[tuple[str, ...], dict[str, Published]] = {}
    for item in () if results.published else load_published():
        if item.metric not in ("psnr", "ssim") or item.method not in names or item.value is None:
            continue
        if any(_matches(item, task) for task in results.test_tasks):
            place = (item.method, item.variant, item.condition, item.dataset, item.source)
            cells.setdefault(place, {})[item.metric] = item
    places = sorted(cells, key=lambda place: (place[2], place[3], names.index(place[0])))
    return Table(
        name="published",
        title="Published values",
        caption=[LABEL, *_notes(cells)],
        stub=["method", "variant", "condition", "dataset"],
        groups=[("", ["PSNR [dB]", "SSIM"]), ("", ["source"])],
        rows=[_row(place, cells[place]) for place in places],
        tidy=[vars(item) for place in places for item in cells[place].values()],
    )


def _registry_names(results: SuiteResults) -> list[str]:
    """The methods' registry names in the suite's order; labels may add to them."""
    names = [str(results.job(e.job).get("method") or e.method) for e in results.entries]
    return list(dict.fromkeys(names))


def _matches(item: Published, task: TaskInfo) -> bool:
    """The same task, and the same acceleration or scale where the paper's cell has one."""
    if item.task != task.name:
        return False
    factor = re.fullmatch(r"(?:x(\d+)|(\d+)x)", item.condition)
    ours = task.config.get("acceleration", task.config.get("scale"))
    if factor is None or ours is None:
        return not factor and ours is None
    return float(factor[1] or factor[2]) == float(ours)


def _row(place: Sequence[str], found: Mapping[str, Published]) -> list[Cell]:
    *names, source = place
    values = [_value(found.get("psnr"), 2), _value(found.get("ssim"), 3)]
    return [*(Cell(name or NONE) for name in names), *values, Cell(source)]


def _value(item: Published | None, decimals: int) -> Cell:
    if item is None or item.value is None:
        return Cell(NONE)
    spread = "" if item.std is None else f" ± {number(item.std, decimals)}"
    return Cell(number(item.value, decimals) + spread, sort=item.value)


def _notes(cells: Mapping[tuple[str, ...], Mapping[str, Published]]) -> list[str]:
    notes = [
        f"{item.paper}: {item.note}."
        for found in cells.values()
        for item in found.values()
        if item.note
    ]
    return list(dict.fromkeys(notes))
