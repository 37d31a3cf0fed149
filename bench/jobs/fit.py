"""Fit a method: a checkpoint, and the trace of its training."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from safetensors.torch import save

from bench import resume
from bench.config import build
from bench.data.readers import file_hash
from bench.errors import Diverged, InputError
from bench.jobs.common import Context, open_method, open_task, row
from bench.jobs.spec import Job
from bench.reconstructor import Recipe, Reconstructor
from bench.store import Row, write_atomic
from bench.training import Record, Report, Trainer, TrainingConfig
from bench.weights import description, load_checkpoint, load_released, weights_path


def fit(job: Job, context: Context, report: Report) -> int:
    """Train (or tune, or leave alone) and write checkpoint and rows.

    Returns:
        The number of trainable parameters.

    Raises:
        Diverged: with the rows up to there written, and no checkpoint.
    """
    method, task = open_method(job, context), open_task(job, context)
    for name, key in zip(method.requires(), job.requires, strict=True):
        load_checkpoint(getattr(method, name), context.store.checkpoint(key))
    if "weights" in job.settings:
        _load_weights(method, job.settings["weights"], context)
    recipe = build(Recipe, job.settings["recipe"], "recipe")
    config = build(TrainingConfig, job.settings["training"], "training")
    folder = context.store.folder(job.key)
    resume_file = folder / "resume.safetensors"
    trainer = Trainer(method, task, recipe, config, job.train_seed, resume_file, report)
    try:
        records = trainer.run(save_every=float(os.environ.get("EQUIBENCH_SAVE_SECONDS", "15")))
    except Diverged:
        context.store.write_rows(job.key, _rows(job, trainer.progress.records))
        raise
    parameters: int = sum(p.numel() for p in method.parameters() if p.requires_grad)
    rows = _rows(job, records)
    rows.append(row(job, "parameters", parameters, split="train", phase="fit"))
    tensors = {k: v.detach().cpu().contiguous() for k, v in method.state_dict().items()}
    metadata = {**description(method), "job": job.key}
    write_atomic(context.store.checkpoint(job.key), save(tensors, metadata))
    context.store.write_rows(job.key, rows)
    resume.discard(resume_file)
    return parameters


def _rows(job: Job, records: Iterable[Record]) -> list[Row]:
    return [
        row(job, r.metric, r.value, r.unit, split="train", phase="fit", step=r.step)
        for r in records
    ]


def _load_weights(method: Reconstructor, weights: Mapping[str, Any], context: Context) -> None:
    path = weights_path(weights["file"], context.data)
    if file_hash(path) != weights["sha256"]:
        raise InputError("the weights have changed since the job was planned", where=str(path))
    load_released(method, path, weights["layout"])
