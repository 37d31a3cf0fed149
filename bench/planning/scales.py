"""Scales: how small a suite is run, the same way for every suite."""

from __future__ import annotations

import importlib.resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from bench.config import merged
from bench.planning.suite import MethodEntry, ScaleName, Suite
from bench.planning.suite_files import parse, read_yaml
from bench.registry import method_class


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MethodScale(_Strict):
    """What a scale changes of a method."""

    variant: str | None = None
    config: dict[str, Any] = {}
    recipe: dict[str, Any] = {}


class Scale(_Strict):
    """A file of ``suites/shared``.

    Attributes:
        note: that every table carries.
        tasks, methods, measure: fields by the name of the task, the method, the question.
        methods_from: another scale, whose methods hold but for what ``methods`` changes of them.
        training, evaluate: fields of every method.
        seeds: the first so many of the suite's.
    """

    note: str
    tasks: dict[str, dict[str, Any]] = {}
    methods: dict[str, MethodScale] = {}
    methods_from: ScaleName | None = None
    measure: dict[str, dict[str, Any]] = {}
    training: dict[str, Any] = {}
    evaluate: dict[str, Any] = {}
    seeds: int | None = Field(default=None, ge=1)


def scaled(suite: Suite, name: ScaleName | None) -> Suite:
    """The suite at a scale; ``paper`` and None leave it as it is written.

    A scale's values go before the suite's; an ablation's go before a scale's.
    """
    if name is None or name == "paper":
        return suite
    scale = _read(name)
    tasks = {
        label: task.model_copy(update={"config": task.config | scale.tasks.get(task.task, {})})
        for label, task in suite.tasks.items()
    }
    measure = [
        entry.model_copy(update={"config": entry.config | scale.measure.get(entry.question, {})})
        for entry in suite.measure
    ]
    return suite.model_copy(
        update={
            "note": " ".join([scale.note.strip(), suite.note]).strip(),
            "tasks": tasks,
            "methods": [_method(entry, scale) for entry in suite.methods],
            "measure": measure,
            "training": suite.training | scale.training,
            "evaluate": suite.evaluate | scale.evaluate,
            "seeds": suite.seeds[: scale.seeds],
        }
    )


def _read(name: ScaleName) -> Scale:
    file = importlib.resources.files("bench") / "suites" / "shared" / f"{name}.yaml"
    scale = parse(Scale, read_yaml(Path(str(file))), str(file))
    if scale.methods_from is None:
        return scale
    methods = dict(_read(scale.methods_from).methods)
    for method, own in scale.methods.items():
        below = methods.get(method, MethodScale())
        methods[method] = MethodScale(
            variant=own.variant or below.variant,
            config=merged(below.config, own.config),
            recipe=merged(below.recipe, own.recipe),
        )
    return scale.model_copy(update={"methods": methods})


def _method(entry: MethodEntry, scale: Scale) -> MethodEntry:
    """The line at the scale; released weights fit the published size only."""
    if entry.weights is not None or entry.unavailable:
        return entry
    own = scale.methods.get(method_class(entry.name).name, MethodScale())
    backbone = entry.backbone
    return entry.model_copy(
        update={
            "variant": own.variant or entry.variant,
            "label": entry.label or (entry.name if own.variant else ""),
            "config": merged(entry.config, own.config),
            "recipe": merged(entry.recipe, own.recipe),
            "training": entry.training | _known(scale.training, entry.training),
            "evaluate": entry.evaluate | _known(scale.evaluate, entry.evaluate),
            "seeds": None if entry.seeds is None else entry.seeds[: scale.seeds],
            "backbone": None if backbone is None else _method(backbone, scale),
        }
    )


def _known(values: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in own}
