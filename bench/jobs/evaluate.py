"""Evaluate a fitted method: a row for each sample and metric, and some images."""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.claims import Estimator
from bench.config import build
from bench.inference import Inference
from bench.jobs.common import Context, open_method, open_task, row
from bench.jobs.spec import Job
from bench.measure import quality
from bench.measure.evaluations import count_evaluations
from bench.measure.lipschitz import estimate
from bench.objective import on_device
from bench.reconstructor import Reconstruction, Reconstructor, check
from bench.store import Row, write_atomic
from bench.task import Batch, Split, Task
from bench.training import Report
from bench.weights import load_checkpoint

OWN, CONVERGED = "{}", json.dumps({"stop": "converged"})
RESIDUALS = {OWN: "residual", CONVERGED: "converged_residual"}  # in artifacts: a name and a number


@dataclass(frozen=True)
class EvaluateConfig:
    """What is evaluated.

    Attributes:
        split: of the test task.
        samples: the first so many; all if None.
        artifacts: images kept, from the first samples.
        converged_tol: a second pass iterates methods with an inner solver to this tolerance, so
            that their fixed point is scored besides their stopping rule; 0 leaves it out.
        converged_max_iter: cap of that pass.
        lipschitz: estimates, at the reconstructions of the first ``lipschitz_samples``.
        inference: another stop or start than the method's own.
    """

    split: Split = "test"
    samples: int | None = None
    artifacts: int = 2
    converged_tol: float = 1e-5
    converged_max_iter: int = 200
    lipschitz: tuple[Estimator, ...] = ()
    lipschitz_samples: int = 2
    inference: Inference = field(default_factory=Inference)

    def __post_init__(self) -> None:
        check(self.samples is None or self.samples >= 1, "samples", self.samples, "at least 1")
        check(self.artifacts >= 0, "artifacts", self.artifacts, "0 or more")
        check(self.converged_tol >= 0, "converged_tol", self.converged_tol, "0 or more")


def evaluate(job: Job, context: Context, report: Report) -> int:
    """Reconstruct every sample of the split, one at a time, and write rows and images.

    Returns:
        The number of trainable parameters.
    """
    method, task = open_method(job, context), open_task(job, context)
    load_checkpoint(method, context.store.checkpoint(job.requires[0]))
    method.eval()
    config = build(EvaluateConfig, job.settings, "evaluate")
    stops = _stops(config.inference.view(method), config)
    samples = task.samples(config.split)[: config.samples]
    rows: list[Row] = []
    _warm_up(method, on_device(task.batch(config.split, [0]), torch.device(context.device)))
    for index in range(len(samples)):
        batch = on_device(task.batch(config.split, [index]), torch.device(context.device))
        wanted = config.lipschitz if index < config.lipschitz_samples else ()
        start = config.inference.first(method, batch)
        scored = {stop: _score(view, batch, task, wanted, start) for stop, view in stops.items()}
        for condition, part in scored.items():
            rows += _rows(job, part, batch, config.split, condition)
        if index < config.artifacts:
            _keep_image(job, context, scored, batch, task)
        report((index + 1) / len(samples), f"sample {index + 1}/{len(samples)}")
    context.store.write_rows(job.key, rows)
    return sum(p.numel() for p in method.parameters() if p.requires_grad)


@dataclass
class _Scored:
    reference: NDArray[np.float32]
    image: NDArray[np.float32]
    metrics: dict[str, tuple[float, str]]
    flag: str
    histories: list[NDArray[np.float32]]


def _stops(method: Reconstructor, config: EvaluateConfig) -> dict[str, Reconstructor]:
    """The method's own stop, and its fixed point where it has a solver that gets there."""
    stops = {OWN: method}
    if config.converged_tol > 0:
        converged = method.to_convergence(config.converged_tol, config.converged_max_iter)
        if converged is not None:
            stops[CONVERGED] = converged
    return stops


def _warm_up(method: Reconstructor, batch: Batch) -> None:
    with torch.no_grad():
        method.with_solver(max_iter=2).reconstruct(batch.y, batch.physics)


def _score(
    method: Reconstructor,
    batch: Batch,
    task: Task,
    estimators: tuple[Estimator, ...],
    start: Tensor | None,
) -> _Scored:
    with torch.no_grad(), count_evaluations(method) as count:
        _synchronise(batch.y)
        started = time.perf_counter()
        result = method.reconstruct(batch.y, batch.physics, start)
        _synchronise(batch.y)
        seconds = time.perf_counter() - started
    with torch.no_grad():
        residual = method.residual(result.image, batch.y, batch.physics)
        fidelity = float((batch.physics.A(result.image) - batch.y).norm())
        reference, image = (
            task.comparable(x, batch)[0].cpu().numpy() for x in (batch.x, result.image)
        )
    data_range = float(batch.data_range)  # planes (P, h, w): the error over all, the mean of SSIM
    metrics = {
        "psnr": (quality.psnr(reference, image, data_range), "dB"),
        "ssim": (quality.ssim(reference, image, data_range), ""),
        "nmse": (quality.nmse(reference, image), ""),
        "seconds": (seconds, "s"),
        "data_fidelity": (fidelity, "||A x - y||"),
    }
    if method.networks() is not None:
        metrics["nfe"] = (float(count.network), "evaluations")
    if residual is not None:
        metrics["residual"] = (float(residual), "")
    probes = method.probes(result, batch.y, batch.physics) if estimators else ()
    for kind in estimators if probes else ():
        metrics[f"lipschitz_{kind}"] = (float(estimate(kind, probes)), "")
    flag = _cross_check(result, count.network)
    return _Scored(reference, image, metrics | _solver(result), flag, _histories(result))


def _solver(result: Reconstruction) -> dict[str, tuple[float, str]]:
    iterative = [t for t in result.traces if t.history.numel()]
    if not iterative:
        return {}
    return {
        "iterations": (float(sum(int(t.iterations) for t in iterative)), ""),
        "converged": (float(all(bool(t.converged) for t in iterative)), ""),
    }


def _histories(result: Reconstruction) -> list[NDArray[np.float32]]:
    """Residuals (K,) of the batch's one sample, a trace each: one every evaluation of its network.

    Iterations without a network are left out: theirs may be of another kind, and not every step's.
    """
    iterative = (t for t in result.traces if t.history.numel() and int(t.evaluations.sum()))
    found = (t.history[:, 0].cpu().float().numpy() for t in iterative)
    return [history[~np.isnan(history)] for history in found]


def _cross_check(result: Reconstruction, counted: int) -> str:
    """The trace's own count against the hooks'; a method without traces claims nothing."""
    claimed = sum(int(t.evaluations.sum()) for t in result.traces)
    return "" if not result.traces or claimed == counted else f"trace claims {claimed} evaluations"


def _rows(job: Job, scored: _Scored, batch: Batch, split: str, condition: str) -> Iterator[Row]:
    sample = batch.samples[0]
    for metric, (value, unit) in scored.metrics.items():
        yield row(
            job,
            metric,
            value,
            unit,
            split=split,
            subject=sample.subject,
            sample=sample.sample,
            phase="evaluate",
            condition=condition,
            flag=scored.flag if metric == "nfe" else "",
        )


def _keep_image(
    job: Job, context: Context, scored: Mapping[str, _Scored], batch: Batch, task: Task
) -> None:
    """The image at the method's own stop, and how every stop's iterations got there."""
    sample, own = batch.samples[0], scored[OWN]
    folder = context.store.folder(job.key) / "artifacts"
    folder.mkdir(exist_ok=True)
    arrays: dict[str, Any] = {
        "reference": task.picture(own.reference),
        "reconstruction": task.picture(own.image),
        "data_range": np.float32(batch.data_range.item()),
        "psnr": np.float32(own.metrics["psnr"][0]),
    }
    for stop, part in scored.items():
        for number, history in enumerate(part.histories):
            arrays[f"{RESIDUALS[stop]}_{number}"] = history
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_atomic(
        folder / f"{_file_name(f'{sample.subject}--{sample.sample}')}.npz", buffer.getvalue()
    )


def _file_name(text: str) -> str:
    """Ids come from files: what is no letter of a plain name becomes a dash."""
    return re.sub(r"[^A-Za-z0-9._#-]", "-", text).lstrip(".")[-120:]


def _synchronise(tensor: Tensor) -> None:
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)
