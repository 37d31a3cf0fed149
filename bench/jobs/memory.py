"""The memory that a job needs, predicted before it is started."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from bench.config import build
from bench.jobs.spec import Job
from bench.measure.memory import StepConfig, predict_peak
from bench.reconstructor import Recipe
from bench.registry import create_method, create_task


def predicted_bytes(job: Job, data: Path | None) -> int | None:
    """Peak bytes of the job's tensors: of a training step where it trains, else of a
    reconstruction. None where that cannot be predicted.
    """
    settings = job.settings
    batch = settings.get("batch_size", settings.get("training", {}).get("batch_size", 1))
    content = {
        "method": job.method,
        "config": job.config,
        "task": job.task,
        "task_config": job.task_config,
        "recipe": None if job.kind == "evaluate" else settings["recipe"],
        "batch": batch,
    }
    return _predicted(json.dumps(content, sort_keys=True), data)


@functools.cache
def _predicted(content: str, data: Path | None) -> int | None:
    """One for all seeds."""
    given: dict[str, Any] = json.loads(content)
    try:
        method = create_method(given["method"], **given["config"])
        task = create_task(given["task"], data=data, **given["task_config"])
        recipe = build(Recipe, given["recipe"], "recipe") if given["recipe"] else Recipe(stages=())
        if not recipe.stages:
            return predict_peak(method, task, 1, StepConfig("evaluate"), recipe)
        return predict_peak(method, task, given["batch"], StepConfig("fit"), recipe)
    except Exception:  # a method that looks at values: not to be predicted, and no reason to fail
        return None
