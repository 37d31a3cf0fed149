"""Ask a question of a fitted method: memory, evaluations, robustness, time."""

from __future__ import annotations

import importlib
import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.config import build
from bench.data.archives import open_npz
from bench.jobs.common import Context, open_method, open_task, row
from bench.jobs.spec import Job
from bench.measure.question import Measured, Subject
from bench.measure.questions import QUESTIONS
from bench.reconstructor import Recipe
from bench.registry import create_task
from bench.store import Row, Store, write_atomic
from bench.task import Task
from bench.training import Report
from bench.weights import load_checkpoint

PERTURBATIONS = "perturbations.npz"


def measure(job: Job, context: Context, report: Report) -> int:
    """Write the rows of one question.

    Returns:
        The number of trainable parameters.
    """
    method, task = open_method(job, context), open_task(job, context)
    settings = job.settings
    question = QUESTIONS[settings["question"]]
    if question.needs_fit:
        load_checkpoint(method, context.store.checkpoint(job.requires[0]))
    method.eval()
    module = importlib.import_module(question.module)
    config = build(question.config(), settings["config"], settings["question"])
    torch.manual_seed(job.data_seed)

    def retask(changes: Mapping[str, Any]) -> Task:
        fields = {**job.task_config, **changes}
        return create_task(job.task, data=context.data, data_seed=job.data_seed, **fields)

    subject = Subject(
        method=method,
        task=task,
        recipe=build(Recipe, settings["recipe"], "recipe"),
        batch_size=settings["batch_size"],
        device=context.device,
        threads=settings["threads"],
        retask=retask,
        shared=_perturbations(job, context.store),
        keep=lambda tensors: _keep(job, context.store, tensors),
    )
    rows = []
    for number, measured in enumerate(module.measure(subject, config)):
        rows.append(_row(job, measured))
        report(1 - 0.99**number, settings["question"])  # how many there will be is not known
    context.store.write_rows(job.key, rows)
    return sum(p.numel() for p in method.parameters() if p.requires_grad)


def _row(job: Job, measured: Measured) -> Row:
    split = "train" if measured.phase == "fit" else "test"
    fields: dict[str, Any] = {"phase": measured.phase, "flag": measured.flag, "split": split}
    fields["condition"] = json.dumps(measured.condition, sort_keys=True)
    if measured.sample is not None:
        fields |= {"subject": measured.sample.subject, "sample": measured.sample.sample}
    return row(job, measured.metric, float(measured.value), measured.unit, **fields)


def _keep(job: Job, store: Store, tensors: Mapping[str, Tensor]) -> None:
    folder = store.folder(job.key) / "artifacts"
    folder.mkdir(exist_ok=True)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{name: t.cpu().numpy() for name, t in tensors.items()})  # type: ignore[arg-type]
    write_atomic(folder / PERTURBATIONS, buffer.getvalue())


def _perturbations(job: Job, store: Store) -> dict[str, Tensor]:
    """What the measurements that this one builds on have kept."""
    found: dict[str, Tensor] = {}
    for key in job.requires[1:]:
        with open_npz(store.folder(key) / "artifacts" / PERTURBATIONS) as file:
            found |= {name: torch.from_numpy(file.array(name)) for name in file.names}
    return found
