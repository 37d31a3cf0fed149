"""Peak memory of a training step, a reconstruction and an attack's gradient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reports.folder import Reading
from reports.measurements import Answer, answers, largest
from reports.suite_results import SuiteResults
from reports.tables.measured import assemble, flags, largest_cell, listed, settings
from reports.tables.table import NONE, Cell, Table, number, significant, size

REFERENCE = "modl"
# heading, phase, whether the penalty is left out of a step that has one
STEPS = (
    ("training", "fit", False),
    ("without penalty", "fit", True),
    ("reconstruction", "evaluate", False),
    ("attack's gradient", "attack", False),
)
CAPTION = [
    "Predicted: an upper bound, counted from the tensors of one step without running it; MB is "
    "10⁶ bytes. Not counted: workspaces inside operators (convolutions, FFTs), fragmentation, the "
    "CUDA context.",
    "training: a step on a sample of the training split, which may be a patch of an image. "
    "without penalty: a training step without the Lipschitz estimate, where the recipe has one; "
    "attack's gradient: of the error in the measurements alone.",
]


def memory_table(results: SuiteResults) -> Table:
    """Predicted peaks, next to what a CUDA device allocated where there is one."""
    found = answers(results, "memory")
    batch = smallest_batch(found)
    steps = [step for step in STEPS if any(peaks(a, batch, *step[1:]) for a in found)]
    against = references(results, found)
    measured = [s for s in steps if any(peaks(a, batch, *s[1:], "allocated_peak") for a in found)]
    names = [heading for heading, *_ in steps]
    groups = [("predicted peak", names), ("training", ("of reference",))]
    if measured:
        names = [heading for heading, *_ in measured]
        groups += [("allocated on the device", names), ("allocated / predicted", names)]

    def build(answer: Answer) -> list[list[Cell]]:
        row = [largest_cell(peaks(answer, batch, *step[1:]), size) for step in steps]
        row.append(_share(training_peak(answer, batch), against.get(answer.task)))
        rows = [peaks(answer, batch, *step[1:], "allocated_peak") for step in measured]
        row += [largest_cell(readings, size) for readings in rows]
        ratio = "allocated_over_predicted"
        rows = [peaks(answer, batch, *step[1:], ratio) for step in measured]
        return [[*row, *(largest_cell(r, lambda value: number(value, 2)) for r in rows)]]

    return assemble(
        results,
        found,
        ("memory", "Peak memory"),
        [*CAPTION, *_about(found, batch, against), *flags(results, found, phases=True)],
        groups,
        build,
    )


def smallest_batch(found: Sequence[Answer]) -> int:
    """The smallest batch that was counted."""
    return min(settings(found, "batch"), default=1)


def peaks(
    answer: Answer, batch: int, phase: str, without: bool = False, metric: str = "predicted_peak"
) -> list[Reading]:
    """Readings of a step; ``without`` the penalty of a step that has one."""
    readings = answer.of(metric, phase, batch=batch)
    full = [one for one in readings if one.condition.get("penalty")]
    rest = [one for one in readings if not one.condition.get("penalty")]
    if without:
        return rest if full else []
    return full or rest


def training_peak(answer: Answer, batch: int) -> float | None:
    """Predicted bytes of a training step as the recipe has it."""
    return largest(peaks(answer, batch, "fit"))


def references(results: SuiteResults, found: Sequence[Answer]) -> dict[str, tuple[str, float]]:
    """By task, what training peaks are compared with: MoDL if it is there, else the largest."""
    batch = smallest_batch(found)
    chosen: dict[str, tuple[str, float]] = {}
    for task in dict.fromkeys(answer.task for answer in found):
        known = {
            results.label(answer.line): peak
            for answer in found
            if answer.task == task and (peak := training_peak(answer, batch)) is not None
        }
        if known:
            name = REFERENCE if REFERENCE in known else max(known, key=known.__getitem__)
            chosen[task] = name, known[name]
    return chosen


def _share(peak: float | None, reference: tuple[str, float] | None) -> Cell:
    if peak is None or reference is None or not reference[1]:
        return Cell(NONE)
    share = peak / reference[1]
    text = f"1/{significant(1 / share)}" if share < 0.995 else f"{significant(share)}"
    return Cell("1" if peak == reference[1] else text, sort=share)


def _about(
    found: Sequence[Answer], batch: int, against: Mapping[str, tuple[str, float]]
) -> list[str]:
    lines = [
        f"Batch {batch}; fixed points: {listed(settings(found, 'iterations'))} iterations forward "
        "and backward (an implicit gradient's peak does not grow with them)."
    ]
    if against:
        told = "; ".join(f"{name} ({task})" for task, (name, _) in against.items())
        lines.append(f"Reference of the training peaks: {told}.")
    others = sorted(set(settings(found, "batch")) - {batch})
    if others:
        lines.append(f"Batches of {listed(others)} are in memory.csv.")
    return lines
