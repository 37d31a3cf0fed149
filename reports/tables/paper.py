"""The papers' tables in the papers' own layout, ours in every cell."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports.published import Published, published_cells
from reports.suite_results import Line, SuiteResults, TaskInfo
from reports.tables.lines import identity
from reports.tables.measured import MARK
from reports.tables.paper_captions import paper_caption
from reports.tables.paper_layout import Column, Layout, Row
from reports.tables.reproduced import METRICS, Found, Reproduced, Show
from reports.tables.table import NONE, Cell, Table, number, signed

View = tuple[str, Sequence[TaskInfo] | None]


def paper_tables(results: SuiteResults) -> list[Table]:
    """A table for each that the suite is about: published, reproduced, and the difference.

    Raises:
        InputError: if the package has no numbers of one.
    """
    return [_table(results, published_cells(*named)) for named in results.published]


def _table(results: SuiteResults, items: Sequence[Published]) -> Table:
    layout = Layout(results, items)
    blocks = _Blocks(results, layout)
    rows = [cells for row in layout.rows for cells in blocks.of_paper(row)]
    below = [cells for line in blocks.left_over() for cells in blocks.of_line(line)]
    first = items[0]
    return Table(
        name="paper-" + re.sub("[^a-z0-9]+", "-", f"{first.paper} {first.table}".lower()),
        title=f"{first.source}: published and reproduced",
        caption=paper_caption(results, layout, bool(below)),
        stub=["method", "from"],
        groups=layout.groups,
        rows=[*rows, *below],
        tidy=blocks.records,
    )


@dataclass(frozen=True)
class _Ours:
    """Ours for a cell, and whose it is."""

    line: Line
    task: str
    found: Found


class _Blocks:
    """Rows of cells, one below the other: the paper's, ours, and the difference."""

    def __init__(self, results: SuiteResults, layout: Layout) -> None:
        self.results, self.layout = results, layout
        self.reproduced = Reproduced(results)
        self.used: set[Line] = set()
        self.records: list[dict[str, Any]] = []
        self.shows = {metric: _show(metric, layout.items) for metric in layout.metrics}
        # a table about all tasks has ours task by task
        self.views: list[View] = [("ours", None)]
        if layout.overall:
            self.views = [(f"ours, {task.label}", [task]) for task in results.test_tasks]

    def of_paper(self, row: Row) -> list[list[Cell]]:
        """A row of the paper."""
        cells = self.layout.cells
        paper = {c: cells[row, c] for c in self.layout.columns if (row, c) in cells}
        every = {view[0]: self._ours_of(paper, view) for view in self.views}
        views = {name: ours for name, ours in every.items() if ours} or {"ours": {}}
        lines = [("paper", {c: self._published(item) for c, item in paper.items()})]
        differences: dict[Column, float] = {}
        for name, ours in views.items():
            self.used |= {one.line for one in ours.values()}
            differences |= _differences(paper, ours)
            label = self._label(row, ours)
            lines.append((name + label, {c: self._found(c, o.found) for c, o in ours.items()}))
            for column, item in paper.items():
                self._record(column, item, ours.get(column), differences.get(column))
        if differences:
            shown = {c: signed(value, self.shows[c.metric]) for c, value in differences.items()}
            lines.append(("difference", {c: Cell(text) for c, text in shown.items()}))
        first = next(iter(views.values()), {})
        numbers = {c: item.value for c, item in paper.items()} | {
            c: one.found.value for c, one in first.items() if one.found.value is not None
        }
        return [self._cells(row.label, name, line, numbers) for name, line in lines]

    def left_over(self) -> list[Line]:
        """Lines that the paper does not have."""
        lines = self.results.lines
        return [line for line in lines if line not in self.used and not self.layout.is_repeat(line)]

    def of_line(self, line: Line) -> list[list[Cell]]:
        """A line that the paper does not have: nothing if none of its numbers belongs here."""
        rows, loss = [], self.layout.loss_of(line)
        examples = {c: item for c, item in self.layout.examples.items() if c.loss == loss}
        for name, tasks in self.views:
            ours = {}
            for column, item in examples.items():
                found = self._first(item, [line], tasks or self.layout.tasks[column.place])
                if found is not None:
                    ours[column] = found
                    self._record(column, None, found, None)
            if ours:
                cells = {c: self._found(c, one.found) for c, one in ours.items()}
                numbers = {c: one.found.value for c, one in ours.items()}
                rows.append(self._cells(self.results.long_label(line), name, cells, numbers))
        return rows

    # ------------------------------------------------------------------ which is whose

    def _ours_of(self, paper: Mapping[Column, Published], view: View) -> dict[Column, _Ours]:
        found = {}
        for column, item in paper.items():
            one = self._first(item, None, view[1] or self.layout.tasks[column.place])
            if one is not None:
                found[column] = one
        return found

    def _first(
        self, item: Published, lines: Sequence[Line] | None, tasks: Sequence[TaskInfo]
    ) -> _Ours | None:
        """What was asked for first; ``lines``: None for those that the cell may be of."""
        for task in tasks:
            for line in self.layout.lines(item, task.label) if lines is None else lines:
                found = self.reproduced.find(item, line, task.label)
                if found is not None:
                    return _Ours(line, task.label, found)
        return None

    def _label(self, row: Row, ours: Mapping[Column, _Ours]) -> str:
        """The suite's labels, where they are not the paper's and few."""
        results = self.results
        labels = dict.fromkeys(
            results.label(one.line)
            if one.line.train_task in (None, one.task)
            else results.long_label(one.line)
            for one in ours.values()
        )
        return f": {' / '.join(labels)}" if len(labels) <= 2 and {*labels} - {row.label} else ""

    # ------------------------------------------------------------------ cells

    def _cells(
        self,
        label: str,
        name: str,
        cells: Mapping[Column, Cell],
        numbers: Mapping[Column, float | None],
    ) -> list[Cell]:
        """A row; ``numbers`` are the same for all of a block, which sorting so leaves together."""
        found = [(cells.get(c, Cell(NONE)), numbers.get(c)) for c in self.layout.columns]
        shown = [Cell(cell.text, failed=cell.failed, sort=value) for cell, value in found]
        return [Cell(label), Cell(name), *shown]

    def _published(self, item: Published) -> Cell:
        if item.value is None:
            return Cell(item.text or item.note or NONE)
        show = self.shows[item.metric]
        spread = "" if item.std is None else f" ± {show(item.std)}"
        return Cell(show(item.value) + spread + (MARK if item.damaged else ""))

    def _found(self, column: Column, found: Found) -> Cell:
        if found.value is None:
            return Cell(found.status or NONE, failed=bool(found.status))
        show = self.shows[column.metric]
        interval = ""
        if found.low is not None and found.high is not None:
            interval = f" ({show(found.low)} to {show(found.high)})"
        return Cell((found.text or show(found.value)) + interval + found.note)

    def _record(
        self, column: Column, item: Published | None, ours: _Ours | None, difference: float | None
    ) -> None:
        example = self.layout.examples[column]
        found = ours.found if ours else Found()
        line = ours.line if ours else Line("", "", None)
        self.records.append(
            {
                **{name: getattr(example, name) for name in ("paper", "table")},
                "paper_method": item.method if item else "",
                "paper_variant": item.variant if item else "",
                **{name: getattr(example, name) for name in ("dataset", "condition", "metric")},
                "published": item.value if item else None,
                "published_std": item.std if item else None,
                "published_text": item.text if item else "",
                "note": item.note if item else "",
                **identity(self.results, line, ours.task if ours else None),
                "reproduced": found.value,
                "low": found.low,
                "high": found.high,
                "difference": difference,
                "subjects": found.subjects,
                "samples": found.samples,
                "seeds": found.seeds,
                "status": (found.status or "ok") if ours else "not asked for",
            }
        )


def _differences(
    paper: Mapping[Column, Published], ours: Mapping[Column, _Ours]
) -> dict[Column, float]:
    """Ours less the paper's, where both have a number that can be trusted."""
    return {
        column: one.found.value - item.value
        for column, item in paper.items()
        if (one := ours.get(column)) is not None
        and one.found.value is not None
        and item.value is not None
        and not item.damaged
    }


def _show(metric: str, items: Sequence[Published]) -> Show:
    """How a metric's numbers are printed: with the paper's decimals, unless it has its own way."""
    show = METRICS[metric].show
    if show is not None:
        return show
    texts = [item.text for item in items if item.metric == metric and item.value is not None]
    decimals = max((len(text.partition(".")[2]) for text in texts), default=2)
    return lambda value: number(value, decimals)
