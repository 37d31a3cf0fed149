"""What the tables of measurements share: cells, rows, captions and long-form records."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from reports.folder import Reading
from reports.measurements import Answer, largest
from reports.suite_results import SuiteResults
from reports.tables.captions import counted, describe, fewer_seeds, sentence
from reports.tables.lines import identity, stub, stub_headings
from reports.tables.table import NONE, Cell, Table

MARK = " !"
PHASES = {
    "fit": "training step",
    "evaluate": "reconstruction",
    "backward": "training's gradient",
    "attack": "attack",
}
_NUMBER = re.compile(r"\d+(?:\.\d+)?")

Groups = Sequence[tuple[str, Sequence[str]]]


def assemble(
    results: SuiteResults,
    found: Sequence[Answer],
    about: tuple[str, str],
    caption: Sequence[str],
    groups: Groups,
    build: Callable[[Answer], Iterable[Sequence[Cell]]],
    beside: Sequence[str] = (),
    where: Callable[[Answer], str] = lambda answer: answer.machine,
) -> Table:
    """A table with the rows that ``build`` makes of every answer that has readings.

    A line whose job failed shows its status. Where devices differ, a column says which.

    Args:
        about: name and title.
        beside: headings of text columns that ``build`` fills before those of ``groups``.
        where: what an answer was measured on.
    """
    devices = {where(answer) for answer in found if answer.readings}
    width = sum(len(names) for _, names in groups)
    rows = []
    for answer in found:
        blank = [Cell(answer.status, failed=True), *[Cell(NONE)] * (width - 1)]
        built = list(build(answer)) if answer.readings else []
        if not built and answer.status:
            built = [[*[Cell(NONE)] * len(beside), *blank]]
        elif built and answer.status:
            built = [_reserved(built[0], len(beside), answer.reservation), *built[1:]]
        last = [Cell(where(answer) or NONE)] if len(devices) > 1 else []
        rows += [[Cell(answer.task), *stub(results, answer.line), *r, *last] for r in built]
    return Table(
        name=about[0],
        title=about[1],
        caption=[*measured_caption(results, found, where), *caption],
        stub=["test task", *stub_headings(results), *beside],
        groups=[*groups, *([("", ("device",))] if len(devices) > 1 else [])],
        rows=rows,
        tidy=[record for answer in found for record in records(results, answer)] if rows else [],
    )


def _reserved(cells: Sequence[Cell], index: int, reservation: str) -> list[Cell]:
    first = cells[index]
    told = Cell(first.text + reservation, sort=first.sort)
    return [*cells[:index], told, *cells[index + 1 :]]


# ---------------------------------------------------------------------- cells


def cell(
    value: float | None, show: Callable[[float | None], str], readings: Sequence[Reading] = ()
) -> Cell:
    """A number with what is to be said of the readings that it comes from."""
    lost = sum(not math.isfinite(reading.value) for reading in readings)
    note = f" ({lost} not finite)" if lost and value is not None else ""
    mark = MARK if any(reading.flag for reading in readings) else ""
    return Cell(show(value) + note + mark, sort=value)


def mean_cell(
    answer: Answer, readings: Sequence[Reading], show: Callable[[float | None], str]
) -> Cell:
    """The mean over subjects, each subject's samples and training seeds first."""
    return cell(answer.mean(readings), show, readings)


def largest_cell(readings: Sequence[Reading], show: Callable[[float | None], str]) -> Cell:
    """The largest value."""
    return cell(largest(readings), show, readings)


# ---------------------------------------------------------------------- captions


def measured_caption(
    results: SuiteResults, found: Sequence[Answer], where: Callable[[Answer], str]
) -> list[str]:
    """The tasks, how much of them was measured, the training seeds and the suite's note."""
    lines = []
    for label in dict.fromkeys(answer.task for answer in found):
        task = results.tasks[label]
        counts = [_places(answer) for answer in found if answer.task == label]
        subjects = {len({subject for subject, _ in places}) for places in counts if places}
        samples = {len(places) for places in counts if places}
        size = f"{counted(subjects, 'subject')}, {counted(samples, 'image')}" if samples else ""
        lines.append(describe(task, f"measured on {size}" if size else ""))
    seeds = sorted({seed for answer in found for seed in answer.seeds.values()})
    if seeds:
        named = ", ".join(map(str, seeds))
        own = [(results.label(one.line), sorted(set(one.seeds.values()))) for one in found]
        told = f"Training seed{'s' if len(seeds) > 1 else ''} {named}"
        lines.append("; ".join([told, *fewer_seeds(seeds, own)]) + ".")
    devices = {where(answer) for answer in found if answer.readings}
    if len(devices) == 1 and any(devices):
        lines.append(f"Device: {devices.pop()}.")
    return [*lines, *([sentence(results.note)] if results.note else [])]


def _places(answer: Answer) -> set[tuple[str, str]]:
    """Test samples; those of the training split are no part of the task's size."""
    return {
        (one.subject, one.sample or "")
        for one in answer.readings
        if one.subject is not None and one.condition.get("split") != "train"
    }


def flags(results: SuiteResults, found: Sequence[Answer], phases: bool = False) -> list[str]:
    """Why cells are marked: line, task, text, and how many samples it is said of."""
    lines = []
    for answer in found:
        seen: dict[tuple[str, str], list[tuple[str, Reading]]] = {}
        for one in answer.readings:
            for text in _texts(one.flag):
                pattern = _NUMBER.sub("#", text)
                seen.setdefault((one.phase if phases else "", pattern), []).append((text, one))
        for (phase, _), cases in seen.items():
            where = [results.long_label(answer.line), answer.task]
            where += [PHASES.get(phase, phase)] if phase else []
            text = merged([text for text, _ in cases]) + _extent([one for _, one in cases])
            lines.append(f"! {', '.join(where)}: {text}.")
    return lines


def _texts(flag: str) -> list[str]:
    """The single reasons of a flag."""
    found = []
    for part in filter(None, flag.split("; ")):
        head, colon, signs = part.partition(": ")
        found += [f"{head}: {sign}" for sign in signs.split(", ")] if colon else [part]
    return found


def reasons(flags: Iterable[str]) -> list[tuple[str, int]]:
    """Why rows are flagged, those that differ in numbers alone as one, and how many rows there are
    of each.
    """
    alike: dict[str, list[str]] = {}
    for text in (text for flag in flags for text in _texts(flag)):
        alike.setdefault(_NUMBER.sub("#", text), []).append(text)
    return [(merged(texts), len(texts)) for texts in alike.values()]


def merged(texts: Sequence[str]) -> str:
    """Texts that differ in their numbers alone as one, with ranges."""
    columns = list(zip(*(_NUMBER.findall(text) for text in texts), strict=True))
    ends = iter([(min(column, key=float), max(column, key=float)) for column in columns])

    def ranged(_match: re.Match[str]) -> str:
        low, high = next(ends)
        return low if low == high else f"{low} to {high}"

    return _NUMBER.sub(ranged, texts[0])


def _extent(readings: Sequence[Reading]) -> str:
    """How many samples, and at which ε."""
    samples = {(one.job, one.subject, one.sample) for one in readings if one.subject is not None}
    epsilons = sorted({float(one.condition["epsilon"]) for one in readings if _has_epsilon(one)})
    parts = [f"{len(samples)} sample{'' if len(samples) == 1 else 's'}"] if samples else []
    parts += [f"ε {', '.join(f'{epsilon:g}' for epsilon in epsilons)}"] if epsilons else []
    return f" ({'; '.join(parts)})" if parts else ""


def _has_epsilon(reading: Reading) -> bool:
    return "epsilon" in reading.condition


def settings(found: Sequence[Answer], name: str) -> list[Any]:
    """Every value that a condition gives a setting, each once."""
    values = (one.condition.get(name) for answer in found for one in answer.readings)
    unique = {json.dumps(value): value for value in values if value is not None}
    return list(unique.values())


def listed(values: Iterable[Any]) -> str:
    """Values in a sentence."""
    return " or ".join(f"{v:g}" if isinstance(v, int | float) else str(v) for v in values)


# ---------------------------------------------------------------------- long form


def records(results: SuiteResults, answer: Answer) -> list[dict[str, Any]]:
    """Mean and largest of every metric under every condition; one record for a failed line."""
    kinds: dict[tuple[str, str, str, str], list[Reading]] = {}
    for one in answer.readings:
        condition = json.dumps(one.condition, sort_keys=True, ensure_ascii=False)
        kinds.setdefault((one.phase, one.metric, one.unit, condition), []).append(one)
    if not kinds and answer.status:
        kinds["", "", "", "{}"] = []
    return [
        {
            **identity(results, answer.line, answer.task),
            "device": answer.machine,
            "phase": phase,
            "metric": metric,
            "unit": unit,
            "condition": condition,
            "mean": answer.mean(readings),
            "largest": largest(readings),
            "samples": len({(one.subject, one.sample) for one in readings}),
            "seeds": len({answer.seeds[one.job] for one in readings}),
            "flagged": sum(bool(one.flag) for one in readings),
            "flags": "; ".join(dict.fromkeys(one.flag for one in readings if one.flag)),
            "status": answer.status or "ok",
        }
        for (phase, metric, unit, condition), readings in kinds.items()
    ]
