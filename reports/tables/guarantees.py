"""What methods claim of themselves, measured: fit to the data, and Lipschitz constants."""

from __future__ import annotations

from collections.abc import Sequence

from reports.suite_results import SuiteResults
from reports.tables.captions import data_caption, spread_caption
from reports.tables.lines import reserved_row, stub, stub_headings, tidy
from reports.tables.table import NONE, Cell, Table, number, scientific

FIDELITY = "data_fidelity"
ESTIMATES = {
    "lipschitz_jacobian": "Jacobian norm",
    "lipschitz_sphere": "on a sphere",
    "lipschitz_ball": "in a ball",
}
CAPTION = [
    "‖A x − y‖: in the scale of the measurements.",
    "Lipschitz constants: of the map that the method's guarantee bounds (H for MOL, I − Q for "
    "MnM-MOL, the iteration for DEQ4IP, a stage's map for LUSER, I − R for MCNet), the largest at "
    "the reconstructions. All are lower bounds. A claimed bound is judged by the Jacobian norm; "
    "the papers' estimators (sphere: MOL, ball: MnM-MOL) under-report.",
]


def guarantees_table(results: SuiteResults) -> Table:
    """Data fidelity and every Lipschitz estimate that there are rows of."""
    lipschitz = [name for name in ESTIMATES if _measured(results, name)]
    metrics = [FIDELITY, *lipschitz]
    rows, records = [], []
    for task in results.test_tasks:
        for line in results.lines:
            outcomes = {m: results.outcome(line, task.label, m) for m in metrics}
            if not outcomes[FIDELITY].seeds_expected:
                continue
            cells = []
            for metric, outcome in outcomes.items():
                mean = outcome.summary.mean if outcome.summary else None
                if mean is None:
                    cells.append(Cell(NONE))
                    continue
                text = scientific(mean) if metric == FIDELITY else number(mean, 3)
                cells.append(Cell(text, sort=mean))
            told = reserved_row(stub(results, line), cells, list(outcomes.values()))
            rows.append([Cell(task.label), *told])
            records += [
                tidy(results, line, task.label, metric, "{}", outcome)
                for metric, outcome in outcomes.items()
                if outcome.summary
            ]
    groups: list[tuple[str, Sequence[str]]] = [("", ("‖A x − y‖",))]
    if lipschitz:
        groups.append(("Lipschitz constant", tuple(ESTIMATES[name] for name in lipschitz)))
    return Table(
        name="guarantees",
        title="Data fidelity and Lipschitz constants",
        caption=[*data_caption(results), *spread_caption(results)[:1], *CAPTION],
        stub=["test task", *stub_headings(results)],
        groups=groups,
        rows=rows,
        tidy=records,
    )


def _measured(results: SuiteResults, metric: str) -> bool:
    return any(
        results.outcome(line, task.label, metric).summary
        for task in results.test_tasks
        for line in results.lines
    )
