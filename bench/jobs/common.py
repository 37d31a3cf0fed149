"""What every kind of job does: build its method and task, and write rows under its name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bench.errors import InputError
from bench.jobs.spec import Job
from bench.reconstructor import Reconstructor
from bench.registry import create_method, create_task
from bench.store import Row, Store
from bench.task import Task


@dataclass(frozen=True)
class Context:
    """Where a job runs: its store, the data folder, the device."""

    store: Store
    data: Path | None
    device: str


def open_task(job: Job, context: Context) -> Task:
    """The job's task; refused if the data is not what the job was planned with."""
    task = create_task(job.task, data=context.data, data_seed=job.data_seed, **job.task_config)
    if (task.content_hash(), task.split_sha256) != (job.content, job.split):
        raise InputError("the data has changed since the job was planned", where=task.dataset_label)
    return task


def open_method(job: Job, context: Context) -> Reconstructor:
    """The job's method, initialised with its training seed, on the device."""
    torch.manual_seed(job.train_seed)
    method = create_method(job.method, **job.config)
    method.to(context.device)
    return method


def row(job: Job, metric: str, value: float | None, unit: str = "", **fields: Any) -> Row:
    """A row of this job; ``fields`` fill the columns that are about the sample and the phase."""
    defaults: dict[str, Any] = {
        "subject": None,
        "sample": None,
        "step": None,
        "condition": "{}",
        "flag": "",
    }
    return Row(
        job=job.key,
        method=job.method,
        variant=job.variant,
        task=job.task,
        dataset=job.dataset_label,
        split_hash=job.split,
        data_seed=job.data_seed,
        train_seed=job.train_seed,
        metric=metric,
        value=value,
        unit=unit,
        protocol=job.protocol,
        **{**defaults, **fields},
    )
