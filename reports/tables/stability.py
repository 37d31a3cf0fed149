"""How much depends on the training seed: which trainings diverge, and how far the others spread."""

from __future__ import annotations

import math
from collections.abc import Mapping

from bench.statistics import Stability, means_by_seed, stability
from bench.store import FINISHED
from reports.suite_results import Outcome, SuiteResults
from reports.tables.captions import data_caption
from reports.tables.lines import METRICS, identity, reservation, stub, stub_headings
from reports.tables.table import NONE, Cell, Table, number

METRIC = "psnr"
CAPTION = [
    "Diverged: share of the trainings that diverged, of those that ended by themselves (seeds).",
    "PSNR: mean over the seeds that did not diverge, at the method's own stop; SD: sample standard "
    "deviation over seeds of each seed's mean over subjects (each subject's slices first).",
    "What is not trained is the same for every seed and has one.",
]


def stability_table(results: SuiteResults) -> Table:
    """Share of seeds that diverge and spread over seeds. No rows: a single training seed."""
    rows, records = [], []
    places = [(task.label, line) for task in results.test_tasks for line in results.lines]
    for task, line in places if len(results.train_seeds) > 1 else ():
        outcome = results.outcome(line, task, METRIC)
        if not outcome.seeds_expected:
            continue
        scores = results.scores(line, task, METRIC)
        finite = {place: value for place, value in scores.items() if math.isfinite(value)}
        statuses = results.fit_statuses(line, task)
        found = stability(statuses, means_by_seed(finite))
        cells = [_seeds_cell(found, statuses), *_cells(found, outcome)]
        rows.append([Cell(task), *stub(results, line), *cells])
        record = {"condition": "{}", "metric": METRIC, "unit": "dB", "seeds": found.seeds}
        record |= {"diverged": found.diverged, "mean": found.mean, "std_over_seeds": found.std}
        status = outcome.status or "ok"
        records.append({**identity(results, line, task), **record, "status": status})
    return Table(
        name="stability",
        title="Training seeds",
        caption=[*data_caption(results), *CAPTION],
        stub=["test task", *stub_headings(results)],
        groups=[("", ("seeds", "diverged [%]", "PSNR [dB]", "SD over seeds [dB]"))],
        rows=rows,
        tidy=records,
    )


def _seeds_cell(found: Stability, statuses: Mapping[int, str]) -> Cell:
    """Trainings that ended, and what became of the others."""
    others = dict.fromkeys(status for status in statuses.values() if status not in FINISHED)
    note = f" of {len(statuses)} ({', '.join(others)})" if others else ""
    return Cell(f"{found.seeds}{note}", sort=found.seeds)


def _cells(found: Stability, outcome: Outcome) -> list[Cell]:
    percent = None if found.diverged is None else 100 * found.diverged
    mean = Cell(outcome.status or NONE, failed=bool(outcome.status))
    if found.mean is not None:
        mean = Cell(METRICS[METRIC][2](found.mean) + reservation(outcome), sort=found.mean)
    return [
        Cell(number(percent, 0), sort=percent),
        mean,
        Cell(number(found.std, 2), sort=found.std),
    ]
