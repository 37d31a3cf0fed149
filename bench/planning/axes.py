"""The axes of an ablation -> lines of a suite, each with the fields that it changes."""

from __future__ import annotations

import fnmatch
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bench.config import nearest
from bench.errors import InputError
from bench.planning.suite import Axis, MethodEntry, Suite, TaskEntry
from bench.planning.suite_files import parse

ROOTS = ("config", "recipe", "training", "evaluate", "backbone", "train")


def varied(suite: Suite) -> Suite:
    """The suite with a line for every setting: of one axis at a time, and of each grid.

    A method keeps its own line unless a grid alone varies it. What a line changes is still to be
    applied: :func:`with_changes`.

    Raises:
        InputError: for an axis that there is none of, or a path that leads nowhere.
    """
    for name in used(suite):
        if name not in suite.axes:
            raise InputError(
                f"unknown axis {name!r}",
                where=f"suite {suite.name}",
                expected=nearest(name, suite.axes) if suite.axes else "an axis of `axes`",
            )
    for name, axis in suite.axes.items():
        paths = [path for fields in axis.named().values() for path in fields]
        _require_paths(paths, f"suite {suite.name}: axes.{name}", ("name", "variant"))
    for entry in suite.methods:
        _require_paths(entry.changes, f"suite {suite.name}: changes of {entry.shown_as}")
    methods = [line for entry in suite.methods for line in _lines(suite, entry)]
    return suite.model_copy(update={"methods": methods})


def used(suite: Suite) -> list[str]:
    """The axes that are varied, alone or in a grid."""
    return list(dict.fromkeys([*suite.ablate, *itertools.chain(*suite.grid)]))


def varied_along(suite: Suite, axes: Sequence[str]) -> list[MethodEntry]:
    """The lines of :func:`varied` that these axes alone make, and those that they depart from.

    Raises:
        InputError: for an axis that the suite does not vary.
    """
    known = used(suite)
    for name in axes:
        if name not in known:
            expected = nearest(name, known) if known else "a suite with axes: this varies none"
            where = f"suite {suite.name}: --axis"
            raise InputError(f"unknown axis {name!r}", where=where, expected=expected)
    along = [entry for entry in suite.methods if set(entry.settings) <= set(axes)]
    bases = {entry.base for entry in along if entry.settings}
    return [entry for entry in along if entry.base in bases]


def with_changes(suite: Suite) -> Suite:
    """The suite with what its lines change in place, after everything else had its say."""
    tasks = dict(suite.tasks)
    methods: list[MethodEntry] = []
    for entry in suite.methods:
        if any(path.startswith("train.") for path in entry.changes):
            methods += _retrained(suite, entry, tasks)
        else:
            methods.append(_changed(entry))
    return suite.model_copy(update={"tasks": tasks, "methods": methods})


def place_of(axis: Axis, value_of: Mapping[str, Any]) -> str:
    """Where a method stands on an axis, from its fields by dotted path; empty if between settings.

    Paths that are not among the fields count as unknown.
    """
    if axis.field is not None:
        return axis.shown(value_of[axis.field]) if axis.field in value_of else ""
    for name, fields in axis.settings.items():
        if all(path in value_of and value_of[path] == value for path, value in fields.items()):
            return name
    return ""


def _lines(suite: Suite, entry: MethodEntry) -> Iterator[MethodEntry]:
    mine = {
        name: axis
        for name, axis in suite.axes.items()
        if not axis.methods or any(fnmatch.fnmatch(entry.shown_as, p) for p in axis.methods)
    }
    alone = [name for name in suite.ablate if name in mine]
    grids = [names for names in suite.grid if all(name in mine for name in names)]
    if not alone and not grids:
        yield entry
        return
    if alone:
        yield entry.model_copy(update={"base": entry.shown_as})
    fields = {name: axis.named() for name, axis in mine.items()}
    for names in [*([name] for name in alone), *grids]:
        for settings in itertools.product(*(fields[name] for name in names)):
            yield _line(entry, dict(zip(names, settings, strict=True)), fields)


def _line(
    entry: MethodEntry, settings: Mapping[str, str], fields: Mapping[str, Mapping[str, Any]]
) -> MethodEntry:
    changes: dict[str, Any] = {}
    for name, setting in settings.items():
        changes |= fields[name][setting]
    words = [f"{name} = {setting}" for name, setting in settings.items()]
    own = {"name": changes.pop("name", entry.name)}  # first, for it says which defaults hold
    label = ", ".join([entry.shown_as, *words])
    changes = {**entry.changes, **changes}
    update = {"label": label, "base": entry.shown_as, "settings": settings, "changes": changes}
    return entry.model_copy(update=own | update)


def _changed(entry: MethodEntry) -> MethodEntry:
    content, where = entry.model_dump(), f"changes of {entry.shown_as}"
    for path, value in entry.changes.items():
        *parents, last = path.split(".")
        place = content
        for name in parents:
            place[name] = place.get(name) or {}
            place = place[name]
            if not isinstance(place, dict):
                raise InputError(f"{name!r} in {path!r} has no fields", where=where)
        place[last] = value
    return parse(MethodEntry, content, where)


def _retrained(
    suite: Suite, entry: MethodEntry, tasks: dict[str, TaskEntry]
) -> Iterator[MethodEntry]:
    """A line for each task that it is trained on, changed; tests stay where they were."""
    words = ", ".join(f"{name} = {value}" for name, value in entry.settings.items())
    fields = {p: v for p, v in entry.changes.items() if p.startswith("train.")}
    rest = {p: v for p, v in entry.changes.items() if p not in fields}
    changes = {path.removeprefix("train."): value for path, value in fields.items()}
    for label in suite.train_on if entry.train_on is None else entry.train_on:
        task = tasks[label]
        derived = f"{label}, {words}"
        tasks[derived] = task.model_copy(
            update={"title": f"{task.title or label}, {words}", "config": task.config | changes}
        )
        tested = entry.test_on or suite.test_on or [label]
        moved = entry.model_copy(
            update={"train_on": [derived], "test_on": list(tested), "changes": rest}
        )
        yield _changed(moved)


def _require_paths(paths: Iterable[str], where: str, also: Sequence[str] = ()) -> None:
    for path in paths:
        root, _, rest = path.partition(".")
        if path in also or (root in ROOTS and rest):
            continue
        raise InputError(
            f"{path!r} is no field of a line",
            where=where,
            expected=", ".join([*also, "a path below one of "]) + ", ".join(ROOTS),
        )
