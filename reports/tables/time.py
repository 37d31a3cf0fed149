"""Seconds of a training step and of a reconstruction, by number of threads."""

from __future__ import annotations

from reports.measurements import Answer, answers
from reports.suite_results import SuiteResults
from reports.tables.measured import assemble, flags, listed, settings
from reports.tables.table import NONE, Cell, Table, seconds

METRICS = {"training step [s]": "step_seconds", "slice [s]": "slice_seconds"}


def time_table(results: SuiteResults) -> Table:
    """Medians with both quartiles."""
    found = answers(results, "time")
    threads = sorted(settings(found, "threads"))
    columns = [f"{n} thread{'' if n == 1 else 's'}" for n in threads]
    batches = sorted(settings(found, "batch"))
    several = len(batches) > 1
    caption = [
        f"Median (quartiles) of {listed(settings(found, 'repeats'))} runs after "
        f"{listed(settings(found, 'warm_up'))} to warm up. slice: {_slices(found)}, one at a time.",
    ]
    if batches:
        told = "as the column says" if several else str(batches[0])
        caption.append(f"A training step as the recipe has it, penalty included; batch {told}.")

    def build(answer: Answer) -> list[list[Cell]]:
        cells = [_cell(answer, m, n) for m in METRICS.values() for n in threads]
        sizes = settings([answer], "batch")
        return [[*cells, *([Cell(listed(sizes) or NONE)] if several else [])]]

    return assemble(
        results,
        found,
        ("time", "Time"),
        [*caption, *flags(results, found)],
        [*((heading, columns) for heading in METRICS), *([("", ("batch",))] if several else [])],
        build,
        where=lambda answer: answer.hardware,
    )


def _slices(found: list[Answer]) -> str:
    counts = settings(found, "samples")
    return f"the mean of {listed(counts)} test image{'' if counts == [1] else 's'}"


def _cell(answer: Answer, metric: str, threads: int) -> Cell:
    low, median, high = (
        answer.mean(answer.of(metric, threads=threads, statistic=statistic))
        for statistic in ("quartile 1", "median", "quartile 3")
    )
    if median is None:
        return Cell(NONE)
    return Cell(f"{seconds(median)} ({seconds(low)} to {seconds(high)})", sort=median)
