"""What a method claims of itself, and what is seen of it at its reconstructions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from bench.claims import Claims
from bench.config import as_dict
from bench.measure.attack import THREATS, AttackConfig, Attacker
from bench.measure.lipschitz import estimate
from bench.measure.question import Measured, Subject
from bench.operators.norms import sample_norms
from bench.reconstructor import TrainingState, check
from bench.task import Batch


@dataclass(frozen=True)
class GuaranteesConfig:
    """What is spent on it.

    Attributes:
        samples: the first of the test split.
        training_samples: the first of the training split, for the penalty.
        plain_steps: of the method's own map, from its start: the contraction seen.
        converged_tol, converged_max_iter: of the fixed points.
        epsilon: norm of the perturbation whose gain is measured, relative to the measurements.
        attack: how it is looked for.
    """

    samples: int = 2
    training_samples: int = 4
    plain_steps: int = 20
    converged_tol: float = 1e-5
    converged_max_iter: int = 200
    epsilon: float = 0.01
    attack: AttackConfig = field(default_factory=AttackConfig)

    def __post_init__(self) -> None:
        for name in ("samples", "training_samples", "converged_max_iter"):
            check(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        check(self.plain_steps >= 3, "plain_steps", self.plain_steps, "at least 3")
        check(self.converged_tol > 0, "converged_tol", self.converged_tol, "above 0")
        check(self.epsilon > 0, "epsilon", self.epsilon, "above 0")


def measure(subject: Subject, config: GuaranteesConfig) -> Iterator[Measured]:
    """Claims (rows without a sample) and what was measured.

    Claims: ``threshold``, ``guaranteed_rate``, ``bound`` (a formula each). By test sample:
    ``jacobian_norm`` and the authors' ``estimate`` at the fixed point, ``rate`` (seen in plain
    iterations), ``start_in_ball``, ``worst_gain``. By training sample: ``estimate``, and whether
    the ``penalty_acts``: has a gradient at all.
    """
    claims = subject.method.claims()
    if claims is not None:
        yield from _claimed(claims)
    for index in range(min(config.samples, len(subject.task.samples("test")))):
        yield from _seen(subject, subject.batch("test", [index]), claims, config)
    count = min(config.training_samples, len(subject.task.samples("train")))
    for index in range(count if claims is not None and subject.recipe.stages else 0):
        yield from _trained(subject, subject.batch("train", [index]), claims)


def _claimed(claims: Claims) -> Iterator[Measured]:
    yield Measured("threshold", claims.threshold)
    if claims.contraction is not None:
        yield Measured("guaranteed_rate", claims.contraction)
    for formula, value in claims.bounds.items():
        flag = "" if math.isfinite(value) else "vacuous: infinite"
        yield Measured("bound", value, "", "evaluate", {"formula": formula}, flag=flag)


def _seen(
    subject: Subject, batch: Batch, claims: Claims | None, config: GuaranteesConfig
) -> Iterator[Measured]:
    method, sample = subject.method, batch.samples[0]
    stop = {"tol": config.converged_tol, "max_iter": config.converged_max_iter}
    view = method.to_convergence(config.converged_tol, config.converged_max_iter) or method
    with torch.no_grad():
        result = view.reconstruct(batch.y, batch.physics)
    probes = method.probes(result, batch.y, batch.physics)
    if probes:
        norm = float(estimate("jacobian", probes))
        yield Measured("jacobian_norm", norm, "", "evaluate", stop, sample)
        if claims is not None and claims.estimator != "jacobian":
            found = float(estimate(claims.estimator, probes))
            how = {**stop, "estimator": claims.estimator}
            yield Measured("estimate", found, "", "evaluate", how, sample)
    yield from _rates(subject, batch, config)
    if claims is not None and math.isfinite(claims.radius):
        start = method.held_start(batch.y, batch.physics)
        if start is not None:
            distance = sample_norms(start - result.image) / sample_norms(result.image)
            how = {**stop, "radius": claims.radius}
            inside = float(distance <= claims.radius)
            yield Measured("start_distance", float(distance), "", "evaluate", how, sample)
            yield Measured("start_in_ball", inside, "", "evaluate", how, sample)
    yield _worst_gain(subject, batch, config)


def _rates(subject: Subject, batch: Batch, config: GuaranteesConfig) -> Iterator[Measured]:
    """Ratios of successive steps of plain iteration: the largest, and the mean of the last third.

    From the first step below 1e-5 of the image on, what is left may be rounding (single precision
    stands still at about 1e-6), and is left out.
    """
    with torch.no_grad():
        found = subject.method.fixed_point_map(batch.y, batch.physics)
        if found is None:
            return
        f, x = found
        steps: list[float] = []
        for _ in range(config.plain_steps):
            following = f(x)
            steps.append(float(sample_norms(following - x) / sample_norms(following)))
            x = following
    steps = list(itertools.takewhile(lambda step: 1e-5 < step < math.inf, steps))
    ratios = [b / a for a, b in itertools.pairwise(steps)]
    how = {"plain_steps": config.plain_steps}
    flag = "" if len(ratios) > 1 else "too few steps to see a rate"
    last = ratios[-max(1, len(ratios) // 3) :]
    rate = math.prod(last) ** (1 / len(last)) if last else math.nan
    yield Measured("rate", rate, "", "evaluate", how, batch.samples[0], flag)
    largest = max(ratios, default=math.nan)
    yield Measured("largest_rate", largest, "", "evaluate", how, batch.samples[0], flag)


def _worst_gain(subject: Subject, batch: Batch, config: GuaranteesConfig) -> Measured:
    physics = batch.physics
    support = THREATS[subject.task.threat](batch.y, physics)
    seed = subject.task.data_seed
    attacker = Attacker(subject.method, batch, support, config.attack, seed)
    radius: Tensor = config.epsilon * sample_norms(batch.y * support)
    found = attacker.ascend(radius, "displacement")
    gain = attacker.damage(found.delta, "displacement") / radius
    how = {"threat": subject.task.threat, "epsilon": config.epsilon, **as_dict(config.attack)}
    return Measured("worst_gain", float(gain), "", "attack", how, batch.samples[0], found.flags[0])


def _trained(subject: Subject, batch: Batch, claims: Claims | None) -> Iterator[Measured]:
    assert claims is not None
    method, sample = subject.method, batch.samples[0]
    with torch.no_grad():
        result = method.reconstruct(batch.y, batch.physics)
    probes = method.probes(result, batch.y, batch.physics)
    if probes:
        found = float(estimate(claims.estimator, probes))
        how = {"split": "train", "estimator": claims.estimator}
        yield Measured("training_estimate", found, "", "fit", how, sample)
    if subject.recipe.penalty_weight > 0:
        parameters = [p for p in method.parameters() if p.requires_grad]
        with torch.enable_grad():
            penalty, _ = method.penalty(result, batch, TrainingState(0, 1, 0))
            gradients = torch.autograd.grad(penalty, parameters, allow_unused=True)
        acts = any(g is not None and bool((g != 0).any()) for g in gradients)
        yield Measured("penalty_acts", float(acts), "", "fit", {"split": "train"}, sample)
