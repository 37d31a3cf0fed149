"""Image quality and network evaluations: over subjects, and subject by subject."""

from __future__ import annotations

from collections.abc import Sequence

from bench.statistics import MIN_SUBJECTS
from reports.suite_results import OWN_STOP, Outcome, SuiteResults
from reports.tables.captions import data_caption, flags_caption, spread_caption
from reports.tables.lines import METRICS, RANKED, identity, reserved_row, stub, stub_headings, tidy
from reports.tables.table import NONE, Cell, Table


def summary_table(results: SuiteResults) -> Table:
    """Image quality and network evaluations, at each method's own stop."""
    places = [(task, metric) for task in results.test_tasks for metric in METRICS]
    outcomes = {
        (line, task.label, metric): results.outcome(line, task.label, metric)
        for line in results.lines
        for task, metric in places
    }
    best = {
        (task.label, metric): _best(
            [outcomes[line, task.label, metric] for line in results.lines], metric
        )
        for task, metric in places
    }
    rows = []
    for line in results.lines:
        cells = [
            _summary_cell(outcomes[line, task.label, metric], metric, best[task.label, metric])
            for task, metric in places
        ]
        row = [outcomes[line, task.label, metric] for task, metric in places]
        rows.append(reserved_row(stub(results, line), cells, row))
    bold = "Bold: highest mean in its column, without a test of significance."
    evaluations = "nFE: network evaluations a slice, forward."
    return Table(
        name="table",
        title=results.title,
        caption=[
            *data_caption(results),
            *spread_caption(results),
            bold,
            evaluations,
            *flags_caption(results),
        ],
        stub=stub_headings(results),
        groups=[
            (task.label, [heading for heading, *_ in METRICS.values()])
            for task in results.test_tasks
        ],
        rows=rows,
        tidy=[
            tidy(results, line, label, metric, OWN_STOP, outcome)
            for (line, label, metric), outcome in outcomes.items()
            if outcome.seeds_expected
        ],
    )


def _best(outcomes: Sequence[Outcome], metric: str) -> str | None:
    """The best mean as printed, so that equal prints are both bold; None without a contest."""
    # A mean over the seeds or images that survived is no fair winner.
    whole = [o for o in outcomes if o.summary and not o.missing and o.seeds == o.seeds_expected]
    if metric not in RANKED or len(whole) < 2:
        return None
    return METRICS[metric][2](max(o.summary.mean for o in whole if o.summary))


def _summary_cell(outcome: Outcome, metric: str, best: str | None) -> Cell:
    if not outcome.seeds_expected:
        return Cell("")  # not asked for
    if outcome.summary is None:
        failed = bool(outcome.status) and metric == "psnr"  # once a task is enough
        return Cell(outcome.status if failed else NONE, failed=failed)
    show = METRICS[metric][2]
    text = show(outcome.summary.mean)
    whole = not outcome.missing and outcome.seeds == outcome.seeds_expected
    is_best = whole and text == best
    if outcome.summary.std is not None and metric in RANKED:
        text += f" ± {show(outcome.summary.std)}"
    return Cell(text, best=is_best, sort=outcome.summary.mean)


def subjects_table(results: SuiteResults) -> Table:
    """Each subject's PSNR and SSIM, for tasks with two to seven subjects. No rows: none has."""
    rows, records = [], []
    for task in results.test_tasks:
        for line in results.lines:
            outcomes = {metric: results.outcome(line, task.label, metric) for metric in RANKED}
            summary = outcomes["psnr"].summary
            if summary is None or not 1 < summary.n < MIN_SUBJECTS:
                continue
            for subject in summary.subjects:
                values = [
                    None if o.summary is None else o.summary.subjects.get(subject)
                    for o in outcomes.values()
                ]
                cells = [
                    Cell(METRICS[metric][2](value), sort=value)
                    for metric, value in zip(RANKED, values, strict=True)
                ]
                rows.append([Cell(task.label), *stub(results, line), Cell(subject), *cells])
                record = identity(results, line, task.label) | {"subject": subject}
                records.append(record | dict(zip(RANKED, values, strict=True)))
    return Table(
        name="subjects",
        title="Values per subject",
        caption=[*data_caption(results), "Each subject's mean over its slices and training seeds."],
        stub=["test task", *stub_headings(results), "subject"],
        groups=[("", [METRICS[metric][0] for metric in RANKED])],
        rows=rows,
        tidy=records,
    )
