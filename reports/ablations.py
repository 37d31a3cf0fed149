"""What a suite's ablations have varied: axes, the settings on them, and the lines that stand there.

The job table says of each job which method it is a setting of (``base``) and what was changed
(``settings``, by axis); tables of older runs say nothing, and have no ablations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports.suite_results import Entry, Line, SuiteResults


@dataclass(frozen=True)
class Axis:
    """One thing that is varied; ``base`` has the setting of each method as it is, if known."""

    name: str
    title: str
    base: Mapping[str, str]


@dataclass(frozen=True)
class Place:
    """A line on the axes of a study; the method as it is has ``is_base``.

    ``values``: one an axis, as shown; empty where the setting of the method as it is is not known.
    """

    values: tuple[str, ...]
    line: Line
    is_base: bool = False


@dataclass(frozen=True)
class Study:
    """What one method was varied in, on one axis or on two at once.

    ``base``: its line as it is, if the suite has that.
    """

    axes: tuple[Axis, ...]
    method: str
    base: Line | None
    places: tuple[Place, ...]


def studies(results: SuiteResults, task: str) -> list[Study]:
    """By axes, then by method, in the suite's order: of what is tested on a task."""
    tested = [e for e in results.entries if e.kind == "evaluate" and e.test_task == task]
    own = {(e.method, e.train_task): results.line_of(e) for e in reversed(tested) if not e.settings}
    found: dict[tuple[str, ...], dict[tuple[str, Line | None], list[Place]]] = {}
    for entry in tested:
        names = tuple(name for name, _ in entry.settings)
        if names and entry.base:
            place = Place(tuple(value for _, value in entry.settings), results.line_of(entry))
            of = entry.base, _base(entry, own)
            places = found.setdefault(names, {}).setdefault(of, [])
            if place not in places:
                places.append(place)
    return [
        _study(results, names, method, base, places)
        for names, methods in found.items()
        for (method, base), places in methods.items()
    ]


def _base(entry: Entry, own: Mapping[tuple[str, str | None], Line]) -> Line | None:
    """The method as it is, trained on the same task, or on the one that this one's is made of."""
    lines = {train: line for (method, train), line in own.items() if method == entry.base}
    if entry.train_task in lines:
        return lines[entry.train_task]
    made = (line for train, line in lines.items() if f"{entry.train_task}".startswith(f"{train},"))
    return next(made, None) or next(reversed(lines.values()), None)


def main_lines(results: SuiteResults) -> tuple[Line, ...]:
    """The lines of methods as they are; all, if there are only settings of them."""
    varied = {results.line_of(e) for e in results.entries if e.settings}
    return tuple(line for line in results.lines if line not in varied) or results.lines


def _study(
    results: SuiteResults,
    names: Sequence[str],
    method: str,
    base: Line | None,
    places: Sequence[Place],
) -> Study:
    axes = tuple(_axis(results, name) for name in names)
    values = tuple(axis.base.get(method, "") for axis in axes)
    label = method if base is None else results.long_label(base)
    kept = list(places)
    if base is not None:
        # a setting that is the method's own is the same job twice
        others = [place for place in places if place.values != values]
        kept = [Place(values if all(values) else (), base, is_base=True), *others]
    return Study(axes, label, base, tuple(kept))


def _axis(results: SuiteResults, name: str) -> Axis:
    about = results.axes.get(name) or {}
    base = {str(label): str(value) for label, value in (about.get("base") or {}).items()}
    return Axis(name, str(about.get("title") or name), base)


# ---------------------------------------------------------------------- order of settings


def numeric(values: Sequence[str]) -> dict[str, float] | None:
    """The values as numbers; None unless all are."""
    try:
        return {value: float(value) for value in values}
    except ValueError:
        return None


def in_order(values: Sequence[str]) -> list[str]:
    """Each value once: numbers by size, with names among them at the end; names as they come."""
    unique = dict.fromkeys(values)
    return sorted(unique, key=lambda value: (numeric([value]) or {}).get(value, math.inf))
