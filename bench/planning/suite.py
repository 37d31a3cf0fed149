"""What a suite file holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

ScaleName = Literal["smoke", "small", "reference", "paper"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PublishedTable(_Strict):
    """A paper's table that the report lays out beside ours."""

    paper: str
    table: str


class PublishedColumn(_Strict):
    """Where a task stands in it: the paper's dataset and condition, in its words."""

    dataset: str | None = None
    condition: str | None = None


class TaskEntry(_Strict):
    """A task of the registry with its configuration, and a title for tables.

    Attributes:
        data: role of the dataset, found in the data folder or else replaced: bench.planning.roles.
        published: the paper's column that it reproduces.
        fallback: what stands in for the paper's data; written by the role.
    """

    task: str
    title: str = ""
    data: str | None = None
    config: dict[str, Any] = {}
    published: PublishedColumn = PublishedColumn()
    fallback: str = ""


class WeightsEntry(_Strict):
    """A checkpoint: its file, below the data folder, and its layout (None: our own)."""

    file: str
    layout: str | None = None


class MethodEntry(_Strict):
    """A method of the registry, or all of some families or for some tasks.

    Attributes:
        name: of the method; or, instead:
        family, supports: of these families; of those that reconstruct these tasks. What the suite
            names elsewhere is not repeated.
        label: in tables.
        config, recipe, training, evaluate: fields that differ from the method's and the suite's.
        backbone: the method that this one is built on, where it is built on one.
        weights: released weights instead of a training.
        unavailable: why nothing can be run (weights that are not at hand); tables say so.
        train_on, test_on, seeds: instead of the suite's.
        published: the paper's word for this line, where it has several of a method.
        changes: fields by dotted path, as axes name them, that hold at every scale. What the line
            says itself (its method, its variant) is not among them.
        base, settings: of a setting of an ablation: the line it departs from, and where it stands
            on each axis. Written by the axes.
    """

    name: str = ""
    family: list[str] | None = None
    supports: list[str] | None = None
    label: str = ""
    variant: str | None = None
    config: dict[str, Any] = {}
    recipe: dict[str, Any] = {}
    training: dict[str, Any] = {}
    evaluate: dict[str, Any] = {}
    backbone: MethodEntry | None = None
    weights: WeightsEntry | None = None
    unavailable: str = ""
    train_on: list[str] | None = None
    test_on: list[str] | None = None
    seeds: list[Annotated[int, Field(ge=0)]] | None = Field(default=None, min_length=1)
    published: str = ""
    base: str = ""
    settings: dict[str, str] = {}
    changes: dict[str, Any] = {}

    @field_validator("backbone", mode="before")
    @classmethod
    def _name(cls, value: Any) -> Any:
        """A bare name is a method with nothing changed."""
        return {"name": value} if isinstance(value, str) else value

    @field_validator("family", "supports", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        selected = self.family is not None or self.supports is not None
        if bool(self.name) == selected:
            raise ValueError("a method has a name, or else a family or the tasks it supports")
        return self

    @property
    def shown_as(self) -> str:
        """The label in tables: the given one, or the name with its variant."""
        default = f"{self.name} ({self.variant})" if self.variant else self.name
        return self.label or default


class MeasureEntry(_Strict):
    """A measurement of every fitted method.

    Attributes:
        question: its name; see :data:`bench.measure.questions.QUESTIONS`.
        config: its settings.
        tasks: labels: of the tasks that a method is tested on, only these.
        methods: labels of methods, by pattern; all if empty.
        every_seed: measure the fits of all training seeds, and not only of the first.
    """

    question: str
    config: dict[str, Any] = {}
    tasks: list[str] | None = None
    methods: list[str] = []
    every_seed: bool = False


class Axis(_Strict):
    """One thing that an ablation varies.

    Attributes:
        title: of the axis in figures.
        field, values: a dotted path and what it is set to. Paths begin with ``config``,
            ``recipe``, ``training``, ``evaluate``, ``backbone``, ``train`` (a field of the task
            that is trained on), or are ``name`` or ``variant``.
        settings: instead of both: several fields by the setting's name.
        unset: what a field without a value is called, such as ``all``.
        methods: labels of the methods that have it, by pattern; all if empty.
    """

    title: str = ""
    unset: str = "unset"
    field: str | None = None
    values: list[Any] = []
    settings: dict[str, dict[str, Any]] = {}
    methods: list[str] = []

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if self.settings and (self.field or self.values):
            raise ValueError("an axis has a field with values, or settings")
        if not self.settings and not (self.field and self.values):
            raise ValueError("an empty axis: expected a field with values, or settings")
        return self

    def named(self) -> dict[str, dict[str, Any]]:
        """Fields by the setting's name."""
        return self.settings or {self.shown(one): {self.field or "": one} for one in self.values}

    def shown(self, value: Any) -> str:
        """A value as tables and figures have it."""
        return self.unset if value is None else shown(value)


class AnswerFigure(_Strict):
    """The figure that answers a suite's question.

    Attributes:
        title: the question.
        x, y: a metric of images (``psnr``), ``QUESTION/METRIC`` of a measurement, with
            ``[FORMULA]`` for one of several bounds, or ``fit.METRIC`` of a training; x may also be
            an axis, a field of the tasks (``task.acceleration``), or a condition of what is
            measured for y (``condition.distance``).
        diagonal: whether y = x is drawn, where they bound each other.
    """

    title: str
    x: str
    y: str
    diagonal: bool = False


class Suite(_Strict):
    """What a suite file holds.

    Attributes:
        name: also of the results folder and of the report.
        title, note: above and below every table.
        published: the papers' tables that it reproduces.
        scale: that it runs at unless told otherwise; None: as it is written, which is the size of
            the paper where there is one.
        tasks: by label, in the order of the tables' columns.
        train_on, test_on: labels of tasks. Every method is trained on each of the former and
            evaluated on each of the latter; without ``test_on``, on the one that it was trained on.
        methods: in the order of the tables' rows.
        axes: what may be varied, by name.
        ablate: axes that are varied one at a time, beside the methods as they are.
        grid: axes that are varied together, every combination.
        figures: that answer the suite's question.
        measure: what else is measured of each fit.
        train: if not, nothing is trained or evaluated, and only what needs no fit is measured.
        training, evaluate: settings that hold for all methods.
        seeds: of training; data_seed: of masks, noise, coil maps and phantoms.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)
    title: str = ""
    note: str = ""
    published: list[PublishedTable] = []
    scale: ScaleName | None = None
    tasks: dict[str, TaskEntry] = Field(min_length=1)
    train_on: list[str] = Field(min_length=1)
    test_on: list[str] = []
    methods: list[MethodEntry] = Field(min_length=1)
    axes: dict[str, Axis] = {}
    ablate: list[str] = []
    grid: list[Annotated[list[str], Field(min_length=1)]] = []
    figures: list[AnswerFigure] = []
    measure: list[MeasureEntry] = []
    train: bool = True
    training: dict[str, Any] = {}
    evaluate: dict[str, Any] = {}
    seeds: list[Annotated[int, Field(ge=0)]] = Field(default=[0], min_length=1)
    data_seed: int = Field(default=0, ge=0)

    def with_methods(self, names: Sequence[str]) -> Suite:
        """The suite with more methods below its own, each as its defaults are."""
        added = [MethodEntry(name=name) for name in names]
        return self.model_copy(update={"methods": [*self.methods, *added]})

    @field_validator("methods", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        """A bare name is a method with nothing changed."""
        if not isinstance(value, list):
            return value
        return [{"name": item} if isinstance(item, str) else item for item in value]

    @field_validator("measure", mode="before")
    @classmethod
    def _questions(cls, value: Any) -> Any:
        """A bare name is a question with its usual settings."""
        if not isinstance(value, list):
            return value
        return [{"question": item} if isinstance(item, str) else item for item in value]


class Collection(_Strict):
    """A file that names other suites: all are run into one folder, and share their jobs."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)
    title: str = ""
    suites: list[str] = Field(min_length=1)


def shown(value: Any) -> str:
    """A value of an axis as tables show it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
