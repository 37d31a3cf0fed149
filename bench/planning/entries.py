"""What a suite's entries for tasks and methods come to: opened, resolved, checked, as jobs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import definitions
from bench.config import as_dict, build, flattened, merged
from bench.data.readers import file_hash
from bench.errors import InputError
from bench.jobs.evaluate import EvaluateConfig
from bench.jobs.spec import Job, Settled
from bench.measure.questions import QUESTIONS
from bench.planning.suite import MethodEntry, Suite, TaskEntry, WeightsEntry
from bench.reconstructor import Recipe, Reconstructor
from bench.registry import (
    create_task,
    method_class,
    require_support,
    task_class,
    variant_of,
)
from bench.task import Split, Task
from bench.training import TrainingConfig
from bench.weights import layout_of, load_released, weights_path


class OpenTask:
    """A task of the suite, opened: a wrong field or a missing file shows before any work."""

    def __init__(
        self,
        suite: Suite,
        label: str,
        entry: TaskEntry,
        data: Path | None,
        skip_bad: bool = False,
    ) -> None:
        self.where = where = f"suite {suite.name}: tasks.{label}"
        self.entry = entry
        cls: Any = task_class(entry.task, f"{where}.task")
        self.config: dict[str, Any] = as_dict(build(cls.Config, entry.config, f"{where}.config"))
        self.seed = suite.data_seed
        self.left_out: dict[str, str] = {}
        try:
            self.task = self._create(data)
            if skip_bad:
                self.left_out = self.task.unusable()
            if self.left_out:
                excluded = sorted({*self.config["exclude"], *self.left_out})
                self.config = {**self.config, "exclude": excluded}
                self.task = self._create(data)
            self.config = Settled(self.config)
            self.content = self.task.content_hash()
            self.task.verify()
        except InputError as error:
            raise InputError(str(error), where=where) from error

    def _create(self, data: Path | None) -> Task:
        return create_task(self.entry.task, data=data, data_seed=self.seed, **self.config)

    def require(self, split: Split, count: int) -> None:
        """Refuse the task if the split has fewer samples than a fit needs."""
        if count and len(self.task.samples(split)) < count:
            have = f"{len(self.task.samples(split))} {split} samples"
            raise InputError(have, where=self.where, expected=f"at least {count} to fit on")

    def describe(self) -> dict[str, Any]:
        return {
            "title": self.entry.title,
            "name": self.entry.task,
            "config": self.config,
            "dataset": self.task.dataset_label,
            "protocol": str(self.task.protocol),
            "left_out": self.left_out,
            "fallback": self.entry.fallback,
            "published": self.entry.published.model_dump(),
        }

    def fields(self) -> dict[str, Any]:
        return {
            "task": self.entry.task,
            "task_config": self.config,
            "data_seed": self.seed,
            "content": self.content,
            "split": self.task.split_sha256,
            "dataset_label": self.task.dataset_label,
            "protocol": str(self.task.protocol),
        }


class PlannedMethod:
    """A method of the suite, trained on a task, with everything resolved."""

    def __init__(
        self, suite: Suite, entry: MethodEntry, task: OpenTask, data: Path | None = None
    ) -> None:
        where = f"suite {suite.name}: {entry.name}"
        self.task, self.entry = task, entry
        self._versions: dict[tuple[str, ...], Settled] = {}
        self.cls = method_class(entry.name, f"suite {suite.name}: methods")
        variant = variant_of(self.cls, entry.variant, where)
        config = build(self.cls.Config, _values(entry, task.task, where), f"{where}.config")
        self.config = Settled(as_dict(config))
        self.method: Reconstructor = self.cls(config)
        recipe = merged({**as_dict(self.method.recipe()), **variant.recipe}, entry.recipe)
        training = {**suite.training, **entry.training}
        fitting = {
            "recipe": as_dict(build(Recipe, recipe, f"{where}.recipe")),
            "training": as_dict(build(TrainingConfig, training, f"{where}.training")),
        }
        if entry.weights is not None:
            recipe = as_dict(Recipe(stages=()))
            fitting["recipe"] = recipe
            fitting["weights"] = _weights(self.method, entry.weights, data, where)
        if not recipe["stages"]:  # nothing is trained, so the length of training is not in the key
            fitting["training"] = as_dict(
                TrainingConfig(validation_samples=fitting["training"]["validation_samples"])
            )
        self.fitting = Settled(fitting)
        evaluating = {**suite.evaluate, **entry.evaluate}
        evaluating = as_dict(build(EvaluateConfig, evaluating, f"{where}.evaluate"))
        self.evaluating = Settled(evaluating)
        self.backbones = [
            PlannedMethod(suite, _backbone_entry(entry, method), task, data)
            for method in self.method.requires().values()
        ]

    def fields(self) -> dict[str, Any]:
        """Every setting by its dotted path, as axes name them."""
        tree = {
            "name": self.cls.name,
            "variant": self.entry.variant,
            "config": self.config,
            "recipe": self.fitting["recipe"],
            "training": self.fitting["training"],
            "evaluate": self.evaluating,
            "train": self.task.config,
        }
        return flattened(tree)

    def fits(self, seed: int) -> list[Job]:
        """The fit, after those that it builds on."""
        parents = [backbone.fits(seed) for backbone in self.backbones]
        trained = bool(self.fitting["recipe"]["stages"])
        searched = self.fitting["recipe"]["search"] is not None
        self.task.require("train", self.fitting["training"]["batch_size"] if trained else 0)
        self.task.require("validation", 1 if trained or searched else 0)
        own = self._job(
            self.task,
            kind="fit",
            settings=self.fitting,
            train_seed=seed if trained or parents else 0,  # nothing depends on it otherwise
            requires=tuple(jobs[-1].key for jobs in parents),
            roots=("bench.jobs.fit",),
        )
        return [*(job for jobs in parents for job in jobs), own]

    def evaluate(self, task: OpenTask, fit: Job) -> Job:
        return self._job(
            task,
            kind="evaluate",
            settings=self.evaluating,
            train_seed=fit.train_seed,
            requires=(fit.key,),
            roots=("bench.jobs.evaluate",),
        )

    def measure(
        self, task: OpenTask, fit: Job, settings: dict[str, Any], others: Sequence[str]
    ) -> Job:
        """A question, asked of a fit and of what other measurements have left."""
        question = QUESTIONS[settings["question"]]
        return self._job(
            task,
            kind="measure",
            settings={
                **settings,
                "recipe": self.fitting["recipe"],
                "batch_size": self.fitting["training"]["batch_size"],
            },
            train_seed=fit.train_seed if question.needs_fit else 0,
            requires=(fit.key, *others) if question.needs_fit else (),
            roots=("bench.jobs.measure", question.module),
        )

    def _job(self, task: OpenTask, roots: tuple[str, ...], **fields: Any) -> Job:
        require_support(self.method, task.task)
        classes = (self.cls, type(task.task), *(backbone.cls for backbone in self.backbones))
        modules = (*(c.__module__ for c in classes), *roots)
        if modules not in self._versions:  # the same for every seed
            self._versions[modules] = Settled(definitions.versions(modules))
        return Job(
            method=self.cls.name,
            config=self.config,
            variant=self.entry.variant or "",
            bibtex=self.cls.bibtex,
            definitions=self._versions[modules],
            **task.fields(),
            **fields,
        )


def _values(entry: MethodEntry, task: Task, where: str) -> dict[str, Any]:
    """The configuration's fields: the task's, the variant's, the entry's, the backbone's."""
    cls = method_class(entry.name, where)
    values = {**cls.for_task(task), **variant_of(cls, entry.variant, where).config}
    if entry.weights is not None and entry.weights.layout is not None:
        values |= layout_of(cls, entry.weights.layout).config
    values = merged(as_dict({**as_dict(cls.Config()), **values}), entry.config)
    if entry.backbone is not None:
        where = f"{where}.backbone"
        if "backbone" not in cls.Config.__dataclass_fields__:
            raise InputError(f"{entry.name} is not built on another method", where=where)
        values["backbone"] = {
            "method": entry.backbone.name,
            "config": _values(entry.backbone, task, where),
        }
    return values


def _weights(
    method: Reconstructor, entry: WeightsEntry, data: Path | None, where: str
) -> dict[str, Any]:
    """What identifies released weights; loaded once, so that a misfit shows before any work."""
    path = weights_path(entry.file, data)
    try:
        load_released(method, path, entry.layout)
    except InputError as error:
        raise InputError(str(error), where=f"{where}.weights") from error
    return {"file": entry.file, "layout": entry.layout, "sha256": file_hash(path)}


def _backbone_entry(entry: MethodEntry, method: Reconstructor) -> MethodEntry:
    """The entry of a method that another one requires: what the suite says of it, resolved."""
    given = entry.backbone or MethodEntry(name=method.name)
    return given.model_copy(update={"config": as_dict(method.config)})
