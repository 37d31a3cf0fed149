"""What a reconstruction and its gradients cost: counted where it happens, not where it is claimed.

A network evaluation is a call of one of ``method.networks()``, times the samples that it is made
with; a Jacobian product is a backward pass through such a call; an operator application is one of
A or of its adjoint (a fused A^H A is two). Forward, backward and attack are counted apart.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from bench.measure.phases import NoGradientError, TrainingStep, attack_gradient
from bench.measure.question import Measured, Subject
from bench.objective import batch_psnr
from bench.reconstructor import Reconstructor, check
from bench.task import Batch


@dataclass
class EvaluationCount:
    """Sums over the samples that each call was made with.

    Attributes:
        network: calls of networks.
        jacobian: backward passes through such calls.
        operator: applications of A and of its adjoint; 0 where no operator was given.
    """

    network: int = 0
    jacobian: int = 0
    operator: int = 0


@contextlib.contextmanager
def count_evaluations(method: Reconstructor, physics: Any = None) -> Iterator[EvaluationCount]:
    """Count what happens while the block runs.

    A network that another one calls is part of that one: only the outermost call counts, and a
    network that is named twice counts once.

    Args:
        physics: its own count tells the applications; one without a ``count`` tells none.
    """
    count, inside = EvaluationCount(), [0]

    def enter(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if not inside[0]:
            count.network += inputs[0].shape[0]
        inside[0] += 1

    def leave(_module: nn.Module, _inputs: Any, output: Any) -> None:
        inside[0] -= 1
        if not inside[0] and isinstance(output, Tensor) and output.requires_grad:
            output.register_hook(product)

    def product(gradient: Tensor) -> None:
        count.jacobian += gradient.shape[0]

    networks = {id(network): network for network in method.networks() or ()}.values()
    handles = [network.register_forward_pre_hook(enter) for network in networks]
    handles += [n.register_forward_hook(leave, always_call=True) for n in networks]
    before = _applications(physics)
    try:
        yield count
    finally:
        count.operator = _applications(physics) - before
        for handle in handles:
            handle.remove()


def _applications(physics: Any) -> int:
    count = getattr(physics, "count", None)
    return 0 if count is None else int(count.forward + count.adjoint)


# ---------------------------------------------------------------------- the question


@dataclass(frozen=True)
class EvaluationsConfig:
    """Counts, and what they buy.

    Attributes:
        samples: the first of the test split, one at a time.
        converged_tol, converged_max_iter: of the second stop, as in evaluations; 0 leaves it out.
    """

    samples: int = 2
    converged_tol: float = 1e-5
    converged_max_iter: int = 200

    def __post_init__(self) -> None:
        check(self.samples >= 1, "samples", self.samples, "at least 1")
        check(self.converged_tol >= 0, "converged_tol", self.converged_tol, "0 or more")
        check(self.converged_max_iter >= 1, "converged_max_iter", self.converged_max_iter, "1")


def measure(subject: Subject, config: EvaluationsConfig) -> Iterator[Measured]:
    """Rows by sample, at the method's own stop and at convergence.

    Forward: ``network``, ``operator``, ``flops``, ``authors_index`` (the equilibrium papers' nFE,
    one less than the calls), ``psnr`` and ``residual``. Backward (a training step's gradient) and
    attack (a gradient in the measurements): ``network``, ``jacobian`` and ``operator`` of forward
    and backward pass together; the attack's at its own stop.
    """
    stops: dict[str, Reconstructor] = {"own": subject.method}
    if config.converged_tol > 0:
        converged = subject.method.to_convergence(config.converged_tol, config.converged_max_iter)
        if converged is not None:
            stops["converged"] = converged
    for index in range(min(config.samples, len(subject.task.samples("test")))):
        batch = subject.batch("test", [index])
        for stop, view in stops.items():
            yield from _forward(subject, view, batch, _condition(config, stop))
        own = _condition(config, "own")
        if subject.recipe.stages:
            yield from _gradient("backward", subject, batch, own, _training_gradient)
        yield from _gradient("attack", subject, batch, own, _attack_gradient)


def _condition(config: EvaluationsConfig, stop: str) -> dict[str, Any]:
    if stop == "own":
        return {"stop": "own"}
    return {"stop": stop, "tol": config.converged_tol, "max_iter": config.converged_max_iter}


def _forward(
    subject: Subject, method: Reconstructor, batch: Batch, condition: dict[str, Any]
) -> Iterator[Measured]:
    sample = batch.samples[0]
    with torch.no_grad(), count_evaluations(method, batch.physics) as count, _flops() as flops:
        result = method.reconstruct(batch.y, batch.physics)
    values: dict[str, tuple[float, str]] = {
        "operator": (count.operator, "applications"),
        "flops": (flops.get_total_flops(), "convolutions, products and FFTs"),
        "psnr": (float(batch_psnr(result.image, batch, subject.task)), "dB"),
    }
    if method.networks() is not None:
        values["network"] = (count.network, "evaluations")
        iterated = sum(trace.history.numel() > 0 for trace in result.traces)
        if 0 < iterated < count.network:  # and a network is what is iterated
            values["authors_index"] = (count.network - iterated, "evaluations")
    with torch.no_grad():
        residual = method.residual(result.image, batch.y, batch.physics)
    if residual is not None:
        values["residual"] = (float(residual), "")
    for metric, (value, unit) in values.items():
        yield Measured(metric, value, unit, "evaluate", condition, sample)


def _gradient(
    phase: str,
    subject: Subject,
    batch: Batch,
    condition: dict[str, Any],
    take: Callable[[Subject, Batch], None],
) -> Iterator[Measured]:
    with count_evaluations(subject.method, batch.physics) as count:
        flag = ""
        try:
            take(subject, batch)
        except NoGradientError as error:
            flag = str(error)
    subject.method.zero_grad()
    for metric in ("network", "jacobian", "operator"):
        value = getattr(count, metric)
        yield Measured(metric, value, "", phase, condition, batch.samples[0], flag)


def _training_gradient(subject: Subject, batch: Batch) -> None:
    with torch.enable_grad():
        TrainingStep(subject.method, subject.recipe, penalty=False).loss(batch).backward()


def _attack_gradient(subject: Subject, batch: Batch) -> None:
    attack_gradient(subject.method, batch.physics, batch.y, batch.x)


def _flops() -> FlopCounterMode:
    transforms = (torch.ops.aten._fft_c2c, torch.ops.aten._fft_r2c, torch.ops.aten._fft_c2r)
    return FlopCounterMode(display=False, custom_mapping=dict.fromkeys(transforms, _fft_flops))


def _fft_flops(shape: Any, dim: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
    """``5 N log2 N`` of every transform, the usual count of a complex one."""
    sizes = [shape[axis] for axis in dim]
    points = math.prod(shape)
    return int(5 * points * sum(math.log2(size) for size in sizes if size > 1))
