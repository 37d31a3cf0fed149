"""What a method costs: parameters and seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reports.suite_results import Line, SuiteResults
from reports.tables.captions import data_caption
from reports.tables.lines import identity, stub, stub_headings
from reports.tables.table import NONE, Cell, Table, number, seconds


def cost_table(results: SuiteResults) -> Table:
    """Parameters, training time, and time a slice on each test task."""
    labels = tuple(task.label for task in results.test_tasks)
    costs = {line: _cost(results, line) for line in results.lines}
    machines = {line: _machine(results, line) for line in results.lines}
    known = sorted(set(machines.values()) - {NONE})
    groups = [("", ("parameters", "training [s]")), ("seconds a slice", labels)]
    rows = [[*stub(results, line), *_cells(cost)] for line, cost in costs.items()]
    where = f"All times on: {known[0] if known else 'a machine that is not recorded'}."
    if len(known) > 1:  # times of different machines never share a column without saying so
        where = "Times belong to the line's machine: compare only lines that share it."
        groups.append(("", ("machine",)))
        rows = [[*row, Cell(name)] for row, name in zip(rows, machines.values(), strict=True)]
    fits = "Training: seconds of the method's own fit, without the fits it builds on."
    return Table(
        name="cost",
        title="Cost",
        caption=[*data_caption(results), fits, where],
        stub=stub_headings(results),
        groups=groups,
        rows=rows,
        tidy=[
            {**identity(results, line, None), **cost, "machine": machines[line]}
            for line, cost in costs.items()
        ],
    )


def _cost(results: SuiteResults, line: Line) -> dict[str, float | None]:
    """Parameters, then seconds: of training, and a slice of each test task."""
    names = ("parameters", "train_seconds")
    cost = {name: _of_fits(results, line, name) for name in names}
    for task in results.test_tasks:
        summary = results.outcome(line, task.label, "seconds").summary
        cost[f"seconds:{task.label}"] = summary.mean if summary else None
    return cost


def _cells(cost: Mapping[str, float | None]) -> list[Cell]:
    return [
        Cell(number(value, 0) if name == "parameters" else seconds(value), sort=value)
        for name, value in cost.items()
    ]


def _of_fits(results: SuiteResults, line: Line, metric: str) -> float | None:
    """The mean over training seeds of a row that a fit leaves once."""
    fits = [key for key in results.fits(line) if results.status(key) == "ok"]
    found = [results.folder.finals.get((key, metric)) for key in fits]
    values = [value for value in found if value is not None]
    if not values and metric == "parameters":
        values = [float(results.job(key)[metric]) for key in fits if metric in results.job(key)]
    return sum(values) / len(values) if values else None


def _machine(results: SuiteResults, line: Line) -> str:
    """Device and threads of the line's jobs; all of them where they differ."""
    keys = [*results.fits(line)]
    for task in results.test_tasks:
        keys += results.evaluations(line, task.label)
    found = [_describe(results.job(key).get("environment") or {}) for key in keys]
    return " / ".join(dict.fromkeys(text for text in found if text)) or NONE


def _describe(environment: Mapping[str, Any]) -> str:
    device, threads = str(environment.get("device", "")), environment.get("threads")
    if device == "cpu":  # which one is what times depend on
        device = str(environment.get("processor") or "CPU")
    count = f"{threads} thread{'' if threads == 1 else 's'}" if threads else ""
    return ", ".join(part for part in (device, count) if part)
