"""The one training loop. What differs between methods is in their Recipe."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench import resume
from bench.claims import Estimator
from bench.errors import Diverged
from bench.measure.lipschitz import estimate
from bench.objective import batch_psnr, evaluation_counts, image_loss, noisy, on_device, rate
from bench.reconstructor import Recipe, Reconstruction, Reconstructor, Stage, TrainingState, check
from bench.task import Batch, Task


@dataclass(frozen=True)
class TrainingConfig:
    """How long and how, the same for every method of a suite.

    Attributes:
        steps: optimiser steps, over all stages of a recipe.
        batch_size: training samples a step.
        validate_every: steps between validations; the best checkpoint by validation PSNR is kept.
        lipschitz: estimates logged at every validation, at the first validation image.
        validation_samples: the first of the validation split.
        log_every: steps that a logged training loss is the mean of.
        samples: the first of the training split; all if None.
    """

    steps: int = 300
    batch_size: int = 2
    validate_every: int = 50
    validation_samples: int = 8
    log_every: int = 10
    lipschitz: tuple[Estimator, ...] = ()
    samples: int | None = None

    def __post_init__(self) -> None:
        check(self.samples is None or self.samples >= 1, "samples", self.samples, "at least 1")
        for name in ("steps", "batch_size", "validate_every", "validation_samples", "log_every"):
            check(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")


@dataclass(frozen=True)
class Record:
    """One logged number."""

    step: int | None
    metric: str
    value: float
    unit: str = ""


@dataclass
class Progress:
    """Everything that an interrupted training goes on from, besides parameters and moments."""

    step: int = 0
    seconds: float = 0.0
    best_psnr: float = -math.inf
    records: list[Record] = field(default_factory=list)
    window: dict[str, list[float]] = field(default_factory=dict)


Report = Callable[[float, str], None]


class Trainer:
    """Trains ``method`` on ``task``; the outcome depends on the arguments and the seed alone.

    Whatever is random within a step is seeded by the step, and batches and masks are functions of
    the epoch, so that a training that was killed and resumed ends bit for bit where an undisturbed
    one does.
    """

    def __init__(
        self,
        method: Reconstructor,
        task: Task,
        recipe: Recipe,
        config: TrainingConfig,
        seed: int,
        resume_file: Path,
        report: Report = lambda share, text: None,
    ) -> None:
        self.method, self.task, self.recipe, self.config = method, task, recipe, config
        self.seed, self.resume_file, self.report = seed, resume_file, report
        self.device = next((p.device for p in method.parameters()), torch.device("cpu"))
        self.progress = Progress()
        self.best = _snapshot(method)

    # ------------------------------------------------------------------ outcome

    def run(self, save_every: float = 15.0) -> list[Record]:
        """Train, then tune; the method holds the best parameters afterwards.

        Raises:
            Diverged: if a loss, a gradient or a validation image is not finite.
        """
        if self.recipe.stages:
            self._train(save_every)
        if self.recipe.search is not None:
            self._search()
        return self.progress.records

    def _search(self) -> None:
        search = self.recipe.search
        assert search is not None
        buffer = self.method.get_buffer(search.parameter)
        scores = []
        for i, value in enumerate(search.values):
            buffer.fill_(value)
            scores.append(self.validate(self.method))
            self.report((i + 1) / len(search.values), f"{search.parameter} {value:.3g}")
        best = int(np.argmax(scores))
        buffer.fill_(search.values[best])
        self.progress.records += [
            Record(None, f"tuned:{search.parameter}", search.values[best]),
            Record(None, "validation_psnr", scores[best], "dB"),
        ]

    def _train(self, save_every: float) -> None:
        groups = _groups(self.method, self.recipe)
        optimizer = torch.optim.Adam(groups, lr=self.recipe.learning_rate)
        self._resume(optimizer)
        config, progress = self.config, self.progress
        started = saved = time.monotonic() - progress.seconds
        while progress.step < config.steps:
            stage = self._stage(progress.step)
            self._step(optimizer, stage)
            progress.step += 1
            ends = progress.step == config.steps or self._stage(progress.step) != stage
            if progress.step % config.validate_every == 0 or ends:
                self._keep_best(stage)
            if ends:
                self.method.load_state_dict(self.best)
                progress.best_psnr = (
                    -math.inf if progress.step < config.steps else progress.best_psnr
                )
            progress.seconds = time.monotonic() - started
            if time.monotonic() - saved > save_every:
                self._save(optimizer)
                saved = time.monotonic()
            self.report(progress.step / config.steps, f"step {progress.step}/{config.steps}")
        progress.records.append(Record(None, "train_seconds", progress.seconds, "s"))
        progress.records.append(Record(None, "best_validation_psnr", progress.best_psnr, "dB"))

    # ------------------------------------------------------------------ one step

    def _step(self, optimizer: torch.optim.Optimizer, stage: Stage) -> None:
        state = self._state()
        torch.manual_seed(_mix(self.seed, state.step))
        for group in optimizer.param_groups:
            group["lr"] = group["base"] * rate(self.recipe, state.step, state.steps)
        self.method.train()
        view = self.method.during(stage.name, state.progress)
        batch = on_device(self._batch(state), self.device)
        if stage.noise is None:
            reconstruction = view.reconstruct(batch.y, batch.physics)
        else:
            reconstruction = Reconstruction(view.denoise(noisy(batch.x, stage.noise)))
        loss = image_loss(self.recipe, reconstruction, batch)
        logged = {"train_loss": loss.detach()}
        weight = self.recipe.penalty_weight * self.recipe.penalty_decay**state.epoch
        if weight > 0 and stage.noise is None:
            penalty, diagnostics = view.penalty(reconstruction, batch, state)
            loss = loss + weight * penalty
            logged |= {"penalty": penalty.detach(), **diagnostics}
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._clip()
        _require_finite(loss, self.method, state.step)
        optimizer.step()
        self._log(logged, reconstruction, optimizer)

    def _state(self) -> TrainingState:
        per_epoch = max(1, self._count() // self.config.batch_size)
        step = self.progress.step
        return TrainingState(step, self.config.steps, step // per_epoch)

    def _count(self) -> int:
        """Training samples that are used."""
        return len(self.task.samples("train")[: self.config.samples])

    def _stage(self, step: int) -> Stage:
        passed = 0.0
        for stage in self.recipe.stages:
            passed += stage.share
            if step < round(passed * self.config.steps):
                return stage
        return self.recipe.stages[-1]

    def _batch(self, state: TrainingState) -> Batch:
        count, size = self._count(), self.config.batch_size
        order = np.random.default_rng([self.seed, state.epoch]).permutation(count)
        first = (state.step * size) % (max(1, count // size) * size)
        return self.task.batch("train", [int(i) for i in order[first : first + size]], state.epoch)

    def _clip(self) -> None:
        parameters = [p for p in self.method.parameters() if p.grad is not None]
        if self.recipe.clip_value is not None:
            torch.nn.utils.clip_grad_value_(parameters, self.recipe.clip_value)
        if self.recipe.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(parameters, self.recipe.clip_norm)

    def _log(
        self, logged: dict[str, Tensor], result: Reconstruction, optimizer: torch.optim.Optimizer
    ) -> None:
        window = self.progress.window
        for name, value in {**logged, **evaluation_counts(result)}.items():
            window.setdefault(name, []).append(float(value))
        step = self.progress.step + 1
        if step % self.config.log_every and step != self.config.steps:
            return
        means = {name: float(np.mean(values)) for name, values in window.items()}
        means["learning_rate"] = float(optimizer.param_groups[0]["lr"])
        self.progress.records += [Record(step, name, value) for name, value in means.items()]
        window.clear()

    # ------------------------------------------------------------------ validation

    def validate(self, method: Reconstructor, noise: tuple[float, float] | None = None) -> float:
        """Mean PSNR [dB] over the validation samples, as the task compares them.

        With ``noise``, of denoised reference images, the same noise every time.
        """
        method.eval()
        count = min(self.config.validation_samples, len(self.task.samples("validation")))
        total = 0.0
        with torch.no_grad():
            for index in range(count):
                batch = on_device(self.task.batch("validation", [index]), self.device)
                if noise is None:
                    image = method.reconstruct(batch.y, batch.physics).image
                else:
                    torch.manual_seed(_mix(self.seed, index))
                    image = method.denoise(noisy(batch.x, noise))
                total += float(batch_psnr(image, batch, self.task).sum())
        return total / count

    def _keep_best(self, stage: Stage) -> None:
        step, last = self.progress.step, stage is self.recipe.stages[-1]
        view = self.method if last else self.method.during(stage.name, 1.0)
        psnr = self.validate(view, stage.noise)
        if not math.isfinite(psnr):
            raise Diverged(f"validation PSNR is {psnr} after step {step}")
        metric = "validation_psnr" if stage.noise is None else "denoising_psnr"
        self.progress.records.append(Record(step, metric, psnr, "dB"))
        if stage.noise is None and self.config.lipschitz:
            self._log_lipschitz(view)
        if psnr > self.progress.best_psnr:
            self.progress.best_psnr = psnr
            self.best = _snapshot(self.method)

    def _log_lipschitz(self, method: Reconstructor) -> None:
        batch = on_device(self.task.batch("validation", [0]), self.device)
        with torch.no_grad():
            result = method.reconstruct(batch.y, batch.physics)
        probes = method.probes(result, batch.y, batch.physics)
        for kind in self.config.lipschitz if probes else ():
            for value in estimate(kind, probes):
                record = Record(self.progress.step, f"lipschitz_{kind}", float(value))
                self.progress.records.append(record)

    # ------------------------------------------------------------------ interruption

    def _save(self, optimizer: torch.optim.Optimizer) -> None:
        tensors = {f"method.{name}": value for name, value in self.method.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in self.best.items()}
        for i, moments in optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{i}.{name}": value for name, value in moments.items()}
        progress = vars(self.progress) | {"records": [vars(r) for r in self.progress.records]}
        resume.keep(self.resume_file, tensors, progress)

    def _resume(self, optimizer: torch.optim.Optimizer) -> None:
        saved = resume.last_good(self.resume_file, str(self.device))
        if saved is None:
            return
        tensors, values = saved
        print(f"going on from step {values['step']}", file=sys.stderr)
        values["records"] = [Record(**record) for record in values["records"]]
        self.progress = Progress(**values)
        self.method.load_state_dict(_below("method.", tensors))
        self.best = _below("best.", tensors)
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in _below("adam.", tensors).items():
            index, _, key = name.partition(".")
            moments.setdefault(int(index), {})[key] = value
        optimizer.load_state_dict(optimizer.state_dict() | {"state": moments})


def _groups(method: Reconstructor, recipe: Recipe) -> list[dict[str, Any]]:
    groups: dict[float, list[Tensor]] = {}
    for name, parameter in method.named_parameters():
        if parameter.requires_grad:
            base = recipe.group_rates.get(name, recipe.learning_rate)
            groups.setdefault(base, []).append(parameter)
    return [{"params": parameters, "base": base} for base, parameters in groups.items()]


def _require_finite(loss: Tensor, method: Reconstructor, step: int) -> None:
    if not bool(torch.isfinite(loss)):
        raise Diverged(f"the loss is {loss.item()} at step {step}")
    for name, parameter in method.named_parameters():
        if parameter.grad is not None and not bool(torch.isfinite(parameter.grad).all()):
            raise Diverged(f"the gradient of {name} is not finite at step {step}")


def _snapshot(method: Reconstructor) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in method.state_dict().items()}


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def _mix(seed: int, step: int) -> int:
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0] >> 1)
