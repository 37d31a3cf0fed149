"""How much of a result is the fixed point, and how much is where the iteration stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from reports.suite_results import CONVERGED, OWN_STOP, Outcome, SuiteResults
from reports.tables.captions import data_caption, spread_caption
from reports.tables.lines import reserved_row, stub, stub_headings, tidy
from reports.tables.table import Cell, Table, count, number, scientific

STOPPING: Sequence[tuple[str, str, Callable[[float | None], str]]] = (
    ("psnr", "PSNR [dB]", lambda value: number(value, 2)),
    ("residual", "residual", scientific),
    ("iterations", "iterations", count),
    ("nfe", "nFE", count),
)


def stopping_table(results: SuiteResults) -> Table:
    """PSNR, residual and effort at the method's own stop and at convergence."""
    rows, records, direct = [], [], []
    for task in results.test_tasks:
        for line in results.lines:
            pairs = {
                metric: (
                    results.outcome(line, task.label, metric, OWN_STOP),
                    results.outcome(line, task.label, metric, CONVERGED),
                )
                for metric in ("psnr", "residual", "iterations", "nfe", "converged")
            }
            if not pairs["psnr"][0].seeds_expected:
                continue
            if not _iterates(pairs):
                direct.append(results.label(line))
                continue
            shown = [outcome for metric, *_ in STOPPING for outcome in pairs[metric]]
            shown.append(pairs["converged"][0])
            told = reserved_row(stub(results, line), _stopping_cells(pairs), shown)
            rows.append([Cell(task.label), *told])
            records += [
                tidy(results, line, task.label, metric, condition, outcome)
                for metric, pair in pairs.items()
                for condition, outcome in zip((OWN_STOP, CONVERGED), pair, strict=True)
            ]
    caption = [
        "Own stop: the method's stopping rule as configured; converged: to a tight tolerance.",
        "Residual: relative residual of the method's map at step size 1, which, unlike a step "
        "tolerance, does not shrink with the step size.",
        "“ended”: share of slices that met the method's own tolerance before its cap.",
    ]
    if direct:
        names = ", ".join(dict.fromkeys(direct))
        caption.append(f"Without a fixed point to converge to: {names}.")
    return Table(
        name="stopping",
        title="Stopping",
        caption=[*data_caption(results), *spread_caption(results)[:1], *caption],
        stub=["test task", *stub_headings(results)],
        groups=[
            *((heading, ("own stop", "converged")) for _, heading, _ in STOPPING),
            ("", ("ended [%]",)),
        ],
        rows=rows,
        tidy=records,
    )


def _iterates(pairs: Mapping[str, tuple[Outcome, Outcome]]) -> bool:
    """Whether there is a residual or a converged value, or a failure that hides which."""
    own, converged = pairs["psnr"]
    known = pairs["residual"][0].summary or pairs["residual"][1].summary or converged.summary
    return bool(known) or (own.summary is None and bool(own.status))


def _stopping_cells(pairs: Mapping[str, tuple[Outcome, Outcome]]) -> list[Cell]:
    cells = []
    for metric, _, show in STOPPING:
        for outcome in pairs[metric]:
            mean = outcome.summary.mean if outcome.summary else None
            cells.append(Cell(show(mean), sort=mean))
    own = pairs["psnr"][0]
    if own.summary is None and own.status:
        cells[0] = Cell(own.status, failed=True)
    share = pairs["converged"][0].summary
    percent = None if share is None else 100 * share.mean
    return [*cells, Cell(number(percent, 0), sort=percent)]
