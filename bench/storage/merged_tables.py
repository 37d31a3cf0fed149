"""The tables of a suite that was run into several folders, as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.errors import InputError
from bench.storage.job_table import checked_jobs
from bench.store import UNAVAILABLE, Store

Table = dict[str, Any]
# what a row stands for in the table
PLACE = ("kind", "question", "method", "variant", "train_task", "test_task", "train_seed")
# what a task's label means; its title is only a word for it
MEANING = ("name", "config", "dataset", "protocol")


def merged_tables(stores: Sequence[Store]) -> dict[str, Table]:
    """Every suite of these folders by name, the first folder's words before the others'.

    Raises:
        InputError: for a label that means different things.
    """
    found: dict[str, Table] = {}
    for store in stores:
        for name, table in store.suites().items():
            where = f"{store.root}: suite {name}"
            checked_jobs(table, where)
            try:
                found[name] = _joined(found.get(name, table), table, where)
            except (AttributeError, KeyError, TypeError) as error:
                what = f"damaged ({type(error).__name__} {error})"
                raise InputError(what, where=where, expected="a suite's table") from error
    return found


def _joined(first: Table, second: Table, where: str) -> Table:
    if first.get("scale") != second.get("scale"):
        raise _another(f"scale {second.get('scale')}", where, f"{first.get('scale')}, as elsewhere")
    tasks = dict(first.get("tasks", {}))
    for label, task in second.get("tasks", {}).items():
        known = tasks.setdefault(label, task)
        for name in MEANING:
            if known.get(name) != task.get(name):
                raise _another(f"task {label!r} is another one: its {name} differs", where)
    methods = list(dict.fromkeys([*_methods(first), *_methods(second)]))
    jobs = sorted(_rows(first, second, where), key=lambda row: methods.index(row["method"]))
    joined = {**second, **first, "tasks": tasks, "jobs": jobs}
    if "methods" in joined:
        joined["methods"] = methods
    if "axes" in joined:
        joined["axes"] = _axes(first.get("axes", {}), second.get("axes", {}))
    return joined


def _methods(table: Table) -> list[str]:
    return [*table.get("methods", ()), *(row["method"] for row in table["jobs"])]


def _rows(first: Table, second: Table, where: str) -> list[dict[str, Any]]:
    """Rows of both, each once; those without a job only where no folder has one."""
    ours, theirs = _by_place(first), _by_place(second)
    for place in (place for place in ours if place in theirs):
        a, b = _jobs(ours[place]), _jobs(theirs[place])
        if a and b and not (a <= b or b <= a):
            labels = dict(zip(PLACE, place, strict=True))
            said = ", ".join(f"{name} {value}" for name, value in labels.items() if value)
            raise _another(f"another job under the same label ({said})", where)
    rows: list[dict[str, Any]] = []
    for place in dict.fromkeys([*ours, *theirs]):
        both = {row["job"]: row for row in (*theirs.get(place, ()), *ours.get(place, ()))}
        if len(both) > 1:
            both.pop(UNAVAILABLE, None)
        rows += both.values()
    return rows


def _by_place(table: Table) -> dict[tuple[Any, ...], list[dict[str, Any]]]:
    places: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in table["jobs"]:
        places.setdefault(tuple(row.get(name) for name in PLACE), []).append(row)
    return places


def _jobs(rows: Sequence[Mapping[str, Any]]) -> set[str]:
    return {row["job"] for row in rows} - {UNAVAILABLE}


def _axes(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Axes of both, with every setting of either."""
    axes = dict(first)
    for name, axis in second.items():
        known = axes.get(name, axis)
        settings = list(dict.fromkeys([*known["settings"], *axis["settings"]]))
        axes[name] = {**known, "settings": settings, "base": {**axis["base"], **known["base"]}}
    return axes


def _another(what: str, where: str, expected: str = "a suite of another name") -> InputError:
    return InputError(what, where=where, expected=expected)
