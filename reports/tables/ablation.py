"""Every setting of an ablation against the method as it is, on the same samples."""

from __future__ import annotations

from typing import Any

from reports.ablations import Place, Study, in_order, studies
from reports.suite_results import SuiteResults
from reports.tables.captions import data_caption, spread_caption
from reports.tables.comparison import (
    compared,
    difference_cells,
    difference_record,
    interval_caption,
)
from reports.tables.lines import METRICS, identity, reservation
from reports.tables.table import NONE, Cell, Table

BASE = "as it is"


def ablation_table(results: SuiteResults) -> Table:
    """A section an axis. No rows: nothing is varied."""
    rows, records = [], []
    for task in results.test_tasks:
        for study in studies(results, task.label):
            for place in ordered(study):
                rows.append(_row(results, task.label, study, place))
                records.append(_record(results, task.label, study, place))
    return Table(
        name="ablation",
        title="Ablations",
        caption=[*data_caption(results), *spread_caption(results), *_caption(results)],
        stub=["test task", "axis", "method", "setting"],
        groups=[
            ("", [heading for heading, *_ in METRICS.values()]),
            ("against the method as it is", ("PSNR [dB]", "95 % interval", "subjects better")),
        ],
        rows=rows,
        tidy=records,
    )


def ordered(study: Study) -> list[Place]:
    """Numbers by size, names as they come; a method of an unknown setting comes first."""
    orders = [
        in_order([place.values[number] for place in study.places if place.values])
        for number in range(len(study.axes))
    ]
    return sorted(
        study.places,
        key=lambda place: [
            order.index(value) for order, value in zip(orders, place.values, strict=False)
        ],
    )


def title(study: Study) -> str:
    """The axis, or both."""
    return " × ".join(axis.title for axis in study.axes)


def setting(place: Place) -> str:
    """Where a line stands, in words."""
    text = " × ".join(place.values)
    return f"{text} ({BASE})" if place.is_base and text else text or BASE


def _row(results: SuiteResults, task: str, study: Study, place: Place) -> list[Cell]:
    outcomes = {metric: results.outcome(place.line, task, metric) for metric in METRICS}
    status = outcomes["psnr"].status if outcomes["psnr"].summary is None else ""
    cells = []
    for metric, outcome in outcomes.items():
        if outcome.summary is None:
            cells.append(Cell(status or NONE if metric == "psnr" else NONE, failed=bool(status)))
            continue
        show = METRICS[metric][2]
        text = show(outcome.summary.mean)
        if outcome.summary.std is not None and metric != "nfe":
            text += f" ± {show(outcome.summary.std)}"
        cells.append(Cell(text + reservation(outcome), sort=outcome.summary.mean))
    stub = [task, title(study), study.method, setting(place)]
    return [*map(Cell, stub), *cells, *_difference(results, task, study, place)]


def _difference(results: SuiteResults, task: str, study: Study, place: Place) -> list[Cell]:
    outcome = results.outcome(place.line, task, "psnr")
    if study.base is None or place.is_base or outcome.summary is None:
        return [Cell(NONE)] * 3
    found, status = compared(results, task, place.line, study.base, BASE)
    if found is None:
        return [Cell(status), Cell(NONE), Cell(NONE)]
    return difference_cells(found, reservation(outcome))


def _record(results: SuiteResults, task: str, study: Study, place: Place) -> dict[str, Any]:
    found, status = None, ""
    if study.base is not None and not place.is_base:
        found, status = compared(results, task, place.line, study.base, BASE)
    outcomes = {metric: results.outcome(place.line, task, metric) for metric in METRICS}
    means = {m: o.summary.mean if o.summary else None for m, o in outcomes.items()}
    return {
        **identity(results, place.line, task),
        "axis": " × ".join(axis.name for axis in study.axes),
        "of": study.method,
        "setting": " × ".join(place.values),
        "as_it_is": place.is_base,
        **means,
        **difference_record(found),
        "status": status or outcomes["psnr"].status or "ok",
    }


def _caption(results: SuiteResults) -> list[str]:
    lines = [
        "One axis is varied at a time (two where it says ×); everything else is the method as it "
        "is, trained anew where the axis asks for it.",
        "Against the method as it is: PSNR less the method's own on the same slices.",
    ]
    return [*lines, *interval_caption(results)]
