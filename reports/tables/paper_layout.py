"""Where the cells of a paper's table stand, and which of a suite's tasks and lines they are of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reports.published import Published
from reports.suite_results import Line, SuiteResults, TaskInfo
from reports.tables.reproduced import METRICS

LOSSES = ("final", "aux")
"""Variants that papers have columns for; of others (backbones) each is a row."""
EVERY_TASK = "all"


@dataclass(frozen=True)
class Place:
    """What the paper tested on."""

    task: str
    dataset: str
    condition: str

    @property
    def name(self) -> str:
        """The dataset without what is said of it."""
        return self.dataset.partition(" (")[0]


@dataclass(frozen=True)
class Column:
    """``setting``: the paper's condition, where it is one of the measurement (a GPU's size)."""

    place: Place
    loss: str
    metric: str
    setting: str

    @property
    def heading(self) -> str:
        """Below the place's heading."""
        return f"{self.loss} {METRICS[self.metric].heading.format(self.setting)}".strip()


@dataclass(frozen=True)
class Row:
    """A method under the registry's name; ``variant``: what it is built on, say."""

    method: str
    variant: str

    @property
    def label(self) -> str:
        return f"{self.method} ({self.variant})" if self.variant else self.method


class Layout:
    """Rows and columns in the paper's order, and the suite's tasks that stand for its places.

    Attributes:
        tasks: by place.
        ambiguous: labels of tasks that several places fit: none has them.
        outside: labels of tasks that the table has no place for.
    """

    def __init__(self, results: SuiteResults, items: Sequence[Published]) -> None:
        self.items = items
        self._names = {line: results.method_name(line) for line in results.lines}
        self._words: dict[Line, str] = {}
        for entry in results.entries:
            if entry.published:
                self._words.setdefault(results.line_of(entry), entry.published)
        self.cells = {(row_of(item), column_of(item)): item for item in items}
        self.rows = tuple(dict.fromkeys(row for row, _ in self.cells))
        columns = {column: item for (_, column), item in self.cells.items()}
        self.places = tuple(dict.fromkeys(column.place for column in columns))
        self.columns = tuple(c for place in self.places for c in columns if c.place == place)
        self.examples = columns
        self.losses = tuple(dict.fromkeys(column.loss for column in columns))
        self.metrics = tuple(dict.fromkeys(item.metric for item in items))
        self.overall = all(place.task == EVERY_TASK for place in self.places)
        fitting = {
            task.label: [place for place in self.places if self._fits(place, task)]
            for task in results.test_tasks
        }
        self.tasks = {
            place: [task for task in results.test_tasks if fitting[task.label] == [place]]
            for place in self.places
        }
        self.ambiguous = [label for label, places in fitting.items() if len(places) > 1]
        self.outside = [label for label, places in fitting.items() if not places]

    def _fits(self, place: Place, task: TaskInfo) -> bool:
        if place.task == EVERY_TASK:
            return True
        wanted = task.published
        # where conditions are sizes of GPUs, that of the task is another table's
        anywhere = any(METRICS[metric].has_setting for metric in self.metrics)
        return (
            bool(wanted)
            and wanted.get("dataset", place.dataset) == place.dataset
            and (anywhere or wanted.get("condition", place.condition) == place.condition)
        )

    @property
    def groups(self) -> list[tuple[str, list[str]]]:
        """Headings of places, and of the columns below each."""
        return [
            (self.heading(place), [c.heading for c in self.columns if c.place == place])
            for place in self.places
        ]

    def heading(self, place: Place) -> str:
        """What tells the place from the table's others."""
        names = {other.name for other in self.places}
        conditions = {other.condition for other in self.places}
        alone = len(names) == len(conditions) == 1
        parts = [place.name if alone or len(names) > 1 else ""]
        parts += [place.condition if alone or len(conditions) > 1 else ""]
        return ", ".join(part for part in parts if part)

    def lines(self, item: Published, task: str) -> list[Line]:
        """Lines that the cell may be of, the likeliest first."""

        def distance(line: Line) -> tuple[bool, bool]:
            said_more = bool(self.word(line)) and not item.variant
            return said_more, line.train_task not in (None, task)

        found = [
            line
            for line, name in self._names.items()
            if name == item.method and item.variant in ("", self.word(line) or line.variant)
        ]
        return sorted(found, key=distance)

    def word(self, line: Line) -> str:
        """The paper's variant that the suite names for the line; empty if it names none."""
        return self._words.get(line, "")

    def is_repeat(self, line: Line) -> bool:
        """Whether the paper has the line elsewhere, and here one number for all its variants."""
        variants = {item.variant for item in self.items if item.method == self._names[line]}
        return bool(self.word(line)) and variants == {""}

    def loss_of(self, line: Line) -> str:
        """Which loss's columns a line that the paper does not have stands in."""
        return self.word(line) if self.word(line) in self.losses else self.losses[0]


def row_of(item: Published) -> Row:
    """The row of a cell."""
    return Row(item.method, "" if item.variant in LOSSES else item.variant)


def column_of(item: Published) -> Column:
    """The column of a cell."""
    setting = item.condition if METRICS[item.metric].has_setting else ""
    place = Place(item.task, item.dataset, "" if setting else item.condition)
    loss = item.variant if item.variant in LOSSES else ""
    return Column(place, loss, item.metric, setting)
