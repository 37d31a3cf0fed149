"""Suite files: what they hold, and how one is found and read."""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from bench.config import nearest
from bench.errors import InputError


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TaskEntry(_Strict):
    """A task of the registry with its configuration, and a title for tables."""

    task: str
    title: str = ""
    config: dict[str, Any] = {}


class WeightsEntry(_Strict):
    """A checkpoint: its file, below the data folder, and its layout (None: our own)."""

    file: str
    layout: str | None = None


class MethodEntry(_Strict):
    """A method of the registry; everything but its name is optional.

    Attributes:
        label: in tables.
        config, recipe, training, evaluate: fields that differ from the method's and the suite's.
        backbone: the method that this one is built on, where it is built on one.
        weights: released weights instead of a training.
        unavailable: why nothing can be run (weights that are not at hand); tables say so.
        train_on, test_on: instead of the suite's.
    """

    name: str
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

    @field_validator("backbone", mode="before")
    @classmethod
    def _name(cls, value: Any) -> Any:
        """A bare name is a method with nothing changed."""
        return {"name": value} if isinstance(value, str) else value

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


class Suite(_Strict):
    """What a suite file holds.

    Attributes:
        name: also of the results folder and of the report.
        title, note: above and below every table.
        tasks: by label, in the order of the tables' columns.
        train_on, test_on: labels of tasks. Every method is trained on each of the former and
            evaluated on each of the latter; without ``test_on``, on the one that it was trained on.
        methods: in the order of the tables' rows.
        measure: what else is measured of each fit.
        train: if not, nothing is trained or evaluated, and only what needs no fit is measured.
        training, evaluate: settings that hold for all methods.
        seeds: of training; data_seed: of masks, noise, coil maps and phantoms.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)
    title: str = ""
    note: str = ""
    tasks: dict[str, TaskEntry] = Field(min_length=1)
    train_on: list[str] = Field(min_length=1)
    test_on: list[str] = []
    methods: list[MethodEntry] = Field(min_length=1)
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


def shipped() -> dict[str, Path]:
    """The suites that come with the package, by name."""
    folder = importlib.resources.files("bench") / "suites"
    return {
        Path(str(file)).stem: Path(str(file))
        for file in sorted(folder.iterdir(), key=str)
        if file.name.endswith(".yaml")
    }


def load(name_or_path: str) -> Suite:
    """A shipped suite by name, or a file.

    Raises:
        InputError: unknown name, no such file, not YAML, an unknown key or a wrong type.
    """
    known = shipped()
    path = known.get(name_or_path, Path(name_or_path))
    if not path.is_file():
        raise InputError(
            f"unknown suite {name_or_path!r}", expected=nearest(name_or_path, known) + ", or a file"
        )
    try:
        content = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"not YAML ({error})", where=str(path)) from error
    if not isinstance(content, dict):
        raise InputError("not a suite", where=str(path), expected="a mapping of fields")
    try:
        return Suite(**content)
    except (ValidationError, TypeError) as error:
        raise InputError(_first(error), where=str(path)) from error


def _first(error: Exception) -> str:
    """The first problem of a validation, in one line with its field."""
    if not isinstance(error, ValidationError):
        return str(error)
    problem: Mapping[str, Any] = error.errors()[0]
    field = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        known = ", ".join(Suite.model_fields)
        return f"unknown key {field!r} (fields of a suite: {known})"
    return f"{field}: {problem['msg']}"
