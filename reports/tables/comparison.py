"""Every method against the best of its task, on the same samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.comparison import EQUIVALENT, Comparison, compare
from bench.errors import InputError
from bench.statistics import MIN_SUBJECTS, RESAMPLES
from reports.suite_results import Line, Outcome, SuiteResults
from reports.tables.captions import data_caption, subject_counts
from reports.tables.lines import identity, reservation, stub, stub_headings
from reports.tables.table import NONE, Cell, Table, signed

METRIC = "psnr"
EQUIVALENCE = {True: "yes", False: "no", None: NONE}
ONE_TRAINING = "One training each: what another one would change, no interval here shows."


def comparison_table(results: SuiteResults) -> Table:
    """Paired PSNR differences to the best mean, at each method's own stop.

    No rows for a task on which a single line is tested, and where all lines failed.
    """
    rows, records = [], []
    for task in results.test_tasks:
        asked = {line: results.outcome(line, task.label, METRIC) for line in results.lines}
        outcomes = {line: outcome for line, outcome in asked.items() if outcome.seeds_expected}
        best = _best(outcomes)
        if best is None or len(outcomes) < 2:
            continue
        for line, outcome in outcomes.items():
            found, status = compared(results, task.label, line, best, "best")
            cells = [Cell(status, failed=True), Cell(NONE), Cell(NONE), Cell(NONE)]
            if line == best:
                text = "best" + reservation(outcome)
                cells = [Cell(text, best=True, sort=0.0), Cell(NONE), Cell(NONE), Cell(NONE)]
            elif found is not None:
                cells = difference_cells(found, reservation(outcome))
                cells.append(Cell(EQUIVALENCE[found.equivalent()]))
            rows.append([Cell(task.label), *stub(results, line), *cells])
            record = identity(results, line, task.label)
            record["compared_with"] = results.long_label(best)
            records.append(
                record | difference_record(found) | {"status": status or outcome.status or "ok"}
            )
    return Table(
        name="comparison",
        title="PSNR differences to the best",
        caption=[*data_caption(results), *_caption(results)],
        stub=["test task", *stub_headings(results)],
        groups=[("", ("difference [dB]", "95 % interval", "subjects better", "equivalent"))],
        rows=rows,
        tidy=records,
    )


def _best(outcomes: Mapping[Line, Outcome]) -> Line | None:
    """The highest mean; of lines without a number left out, if there are any."""
    means = {line: o.summary.mean for line, o in outcomes.items() if o.summary}
    # as in the summary: a mean over the seeds or images that survived is no fair winner
    whole = [line for line in means if not reservation(outcomes[line])]
    return max(whole or means, key=means.__getitem__, default=None)


def compared(
    results: SuiteResults, task: str, line: Line, other: Line, called: str
) -> tuple[Comparison | None, str]:
    """The line less the other one, which is ``called`` so; else, in words, why there is none."""
    outcome, of_other = (results.outcome(which, task, METRIC) for which in (line, other))
    if outcome.summary is None:
        return None, outcome.status or "no PSNR"
    if of_other.summary is None:
        return None, f"{called}: {of_other.status or 'no PSNR'}"
    for whose, missing in (("", outcome.missing), (f"{called}: ", of_other.missing)):
        if missing:
            return None, f"{whose}{missing} not finite"
    try:
        a, b = (results.scores(which, task, METRIC) for which in (line, other))
        return compare(a, b), ""
    except InputError:
        return None, "other samples"


def difference_cells(found: Comparison, note: str) -> list[Cell]:
    """Difference, interval, and on how many subjects the line is better."""
    interval = NONE
    if found.low is not None and found.high is not None:
        interval = f"{signed(found.low)} to {signed(found.high)}"
    better = f"{round(found.better * found.n)} of {found.n}"
    return [
        Cell(signed(found.difference) + note, sort=found.difference),
        Cell(interval, sort=found.low),
        Cell(better, sort=found.better),
    ]


def difference_record(found: Comparison | None) -> dict[str, Any]:
    """The same, not rounded."""
    return {
        "condition": "{}",
        "metric": METRIC,
        "unit": "dB",
        "difference": found.difference if found else None,
        "low": found.low if found else None,
        "high": found.high if found else None,
        "subjects": found.n if found else 0,
        "better": found.better if found else None,
        "equivalent": found.equivalent() if found else None,
    }


def _caption(results: SuiteResults) -> list[str]:
    several = len(results.train_seeds) > 1
    first = "slices and training seeds" if several else "slices"
    lines = [
        "Difference: PSNR less that of the best line (the task's highest mean) on the same slices, "
        f"at each method's own stop; averaged over each subject's {first}, then over subjects.",
        "Subjects better: on how many subjects the line has the higher PSNR.",
    ]
    if several:
        lines.append("Training seeds are paired where both lines have the same.")
    return [*lines, *interval_caption(results), *_equivalence_caption(results)]


def _equivalence_caption(results: SuiteResults) -> list[str]:
    counts = [n for task in results.test_tasks for n in subject_counts(results, task)[0]]
    if all(n < MIN_SUBJECTS for n in counts):
        return []
    return [
        f"Equivalent: yes where the interval lies within ±{EQUIVALENT} dB, no where all of it lies "
        f"beyond; {NONE} where neither is settled."
    ]


def interval_caption(results: SuiteResults) -> list[str]:
    """How the intervals of differences come about, and where there are none."""
    lines: list[str] = []
    counts = [n for task in results.test_tasks for n in subject_counts(results, task)[0]]
    if any(n >= MIN_SUBJECTS for n in counts):
        several = len(results.train_seeds) > 1
        drawn = "subjects and, independently, training seeds" if several else "subjects"
        lines += [
            f"Interval: percentile bootstrap of the mean over {drawn}, {RESAMPLES:,} resamples. "
            "Where it contains 0, the order of the two is not settled.",
            "Intervals are not corrected for multiple comparisons, nor for a best line having "
            "been found on the same data.",
        ]
        if not several:
            lines.append(ONE_TRAINING)
    if any(n < MIN_SUBJECTS for n in counts):
        lines.append(f"Fewer than {MIN_SUBJECTS} subjects: no interval, and no order is claimed.")
    return lines
