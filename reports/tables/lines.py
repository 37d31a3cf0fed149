"""What the tables of a suite share: a line's first columns and its long-form record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from reports.suite_results import Line, Outcome, SuiteResults
from reports.tables.table import NONE, Cell, count, number

METRICS: Mapping[str, tuple[str, str, Callable[[float | None], str]]] = {
    "psnr": ("PSNR [dB]", "dB", lambda value: number(value, 2)),
    "ssim": ("SSIM", "", lambda value: number(value, 3)),
    "nfe": ("nFE", "", count),
}
"""Columns of the summary: heading, unit, format."""

RANKED = ("psnr", "ssim")  # higher is better


def stub_headings(results: SuiteResults) -> list[str]:
    return ["method", "trained on"] if len(results.train_tasks) > 1 else ["method"]


def stub(results: SuiteResults, line: Line) -> list[Cell]:
    names = [Cell(results.label(line))]
    return [*names, Cell(line.train_task or NONE)] if len(results.train_tasks) > 1 else names


def identity(results: SuiteResults, line: Line, task: str | None) -> dict[str, Any]:
    return {
        "suite": results.name,
        "method": line.method,
        "variant": line.variant,
        "train_task": line.train_task,
        "test_task": task,
    }


def tidy(
    results: SuiteResults, line: Line, task: str, metric: str, condition: str, outcome: Outcome
) -> dict[str, Any]:
    summary = outcome.summary
    return {
        **identity(results, line, task),
        "condition": condition,
        "metric": metric,
        "unit": {"psnr": "dB"}.get(metric, ""),
        "mean": summary.mean if summary else None,
        "std": summary.std if summary else None,
        "low": summary.low if summary else None,
        "high": summary.high if summary else None,
        "subjects": summary.n if summary else 0,
        "samples": outcome.samples,
        "seeds": outcome.seeds,
        "seeds_expected": outcome.seeds_expected,
        "not_finite": outcome.missing,
        "status": outcome.status or "ok",
    }


def reserved_row(
    names: Sequence[Cell], numbers: Sequence[Cell], outcomes: Sequence[Outcome]
) -> list[Cell]:
    """A line of a table, each number followed by what it leaves out.

    What all of them leave out is said once, beside the line's name.
    """
    notes = [
        "" if cell.sort is None else reservation(outcome)
        for cell, outcome in zip(numbers, outcomes, strict=True)
    ]
    shared = {note for cell, note in zip(numbers, notes, strict=True) if cell.sort is not None}
    if len(shared) == 1 and any(notes):
        return [replace(names[0], text=names[0].text + shared.pop()), *names[1:], *numbers]
    told = [replace(cell, text=cell.text + note) for cell, note in zip(numbers, notes, strict=True)]
    return [*names, *told]


def reservation(outcome: Outcome) -> str:
    """What a number leaves out."""
    parts = []
    if outcome.seeds < outcome.seeds_expected:
        parts.append(f"{outcome.seeds} of {outcome.seeds_expected} seeds; {outcome.status}")
    if outcome.missing:
        parts.append(f"{outcome.missing} not finite")
    return f" ({'; '.join(parts)})" if parts else ""
