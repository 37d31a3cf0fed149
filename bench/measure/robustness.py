"""How much worse an image gets when measurements are perturbed: adversarially, and by noise.

Every row names its threat model, ε, objective and the attack's settings. What may have hidden a
weakness flags the row: see :func:`_suspicions`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from bench.config import as_dict
from bench.errors import InputError
from bench.measure.attack import THREATS, AttackConfig, Attacker, Objective, Perturbed
from bench.measure.question import Measured, Subject
from bench.objective import batch_psnr
from bench.operators.norms import sample_norms
from bench.reconstructor import check
from bench.task import Task

Kind = Literal["pgd", "gaussian", "transfer"]
MISMATCH = 0.2  # of gradients and differences; kinks of ReLUs and tolerances make a few percent


@dataclass(frozen=True)
class RobustnessConfig:
    """The threat and what is spent on it.

    Attributes:
        threat: a name of :data:`bench.measure.attack.THREATS`; it must be the task's.
        epsilon: norms of perturbations, relative to those of the measurements. Required.
        objectives: what attacks raise: the ``error`` (lowers PSNR), and the ``displacement`` from
            the clean reconstruction (the gain that bounds speak of).
        samples: the first of the test split; batch: so many at a time.
        attack: steps, restarts, tolerances.
        transfer_from: label of the method whose perturbations are tried as well; the suite resolves
            it.
    """

    threat: Literal["kspace-l2", "measurement-l2"]
    epsilon: tuple[float, ...]
    objectives: tuple[Objective, ...] = ("error", "displacement")
    samples: int = 8
    batch: int = 4
    attack: AttackConfig = field(default_factory=AttackConfig)
    transfer_from: str = ""

    def __post_init__(self) -> None:
        check(len(self.epsilon) > 0, "epsilon", self.epsilon, "at least one")
        for epsilon in self.epsilon:
            check(epsilon > 0, "epsilon", epsilon, "above 0")
        rising = list(self.epsilon) == sorted(set(self.epsilon))
        check(rising, "epsilon", self.epsilon, "rising values")
        check(len(self.objectives) > 0, "objectives", self.objectives, "at least one")
        check(self.samples >= 1, "samples", self.samples, "at least 1")
        check(self.batch >= 1, "batch", self.batch, "at least 1")


def require_task(config: RobustnessConfig, task: Task) -> None:
    """Raise InputError where the task does not have the threat model."""
    if config.threat != task.threat:
        raise InputError(f"{task.name} does not have {config.threat!r}", expected=task.threat)


def measure(subject: Subject, config: RobustnessConfig) -> Iterator[Measured]:
    """Rows by sample: ``psnr`` (clean, and where the error is attacked) and, for perturbed
    measurements, ``displacement`` (relative to the clean image), ``gain`` ``||Δx|| / ||δ||`` and
    ``gain_adjoint`` ``||Δx|| / ||A^H δ||``.
    """
    count = min(config.samples, len(subject.task.samples("test")))
    kept: dict[str, Tensor] = {}
    for first in range(0, count, config.batch):
        indices = range(first, min(first + config.batch, count))
        yield from _Attacked(subject, config, list(indices), kept).rows()
    subject.keep(kept)


class _Attacked:
    """The samples of one batch; what is found for them is added to ``kept``."""

    def __init__(
        self,
        subject: Subject,
        config: RobustnessConfig,
        indices: Sequence[int],
        kept: dict[str, Tensor],
    ) -> None:
        self.subject, self.config, self.kept = subject, config, kept
        self.batch = subject.batch("test", indices)
        support = THREATS[config.threat](self.batch.y, self.batch.physics)
        seed = subject.task.data_seed
        self.attacker = Attacker(subject.method, self.batch, support, config.attack, seed)
        self.norms = sample_norms(self.batch.y * support)
        self.settings = {
            "threat": config.threat,
            "gradient": subject.method.gradient_mode,
            **as_dict(config.attack),
        }

    def rows(self) -> Iterator[Measured]:
        psnr = batch_psnr(self.attacker.clean, self.batch, self.subject.task)
        for i, sample in enumerate(self.batch.samples):
            clean = {**self.settings, "kind": "clean"}
            yield Measured("psnr", float(psnr[i]), "dB", "evaluate", clean, sample)
        for objective in self.config.objectives:
            found = {e: self._both(e, objective) for e in self.config.epsilon}
            flags = _suspicions(found, self._mismatch(objective))
            for epsilon, scored in found.items():
                for kind, score in scored.items():
                    yield from self._rows(epsilon, objective, kind, score, flags[epsilon])

    def _both(self, epsilon: float, objective: Objective) -> dict[Kind, _Score]:
        """The attack, its control, and what another method's attack does."""
        radius = epsilon * self.norms
        attack = self.attacker.ascend(radius, objective)
        names = [f"{s.subject}|{s.sample}|{objective}|{epsilon!r}" for s in self.batch.samples]
        self.kept.update(zip(names, attack.delta, strict=True))
        scored: dict[Kind, _Score] = {
            "pgd": self._score(attack, objective),
            "gaussian": self._score(self.attacker.gaussian(radius, objective), objective),
        }
        if self.subject.shared:  # by the same settings, so that none is missing
            other = torch.stack([self.subject.shared[name] for name in names]).to(attack.delta)
            scored["transfer"] = self._score(Perturbed(other, ("",) * len(names)), objective)
        return scored

    def _score(self, perturbed: Perturbed, objective: Objective) -> _Score:
        attacker, batch = self.attacker, self.batch
        image = attacker.image(attacker.tight, perturbed.delta)
        moved = sample_norms(image - attacker.clean)
        with torch.no_grad():
            seen = sample_norms(batch.physics.A_adjoint(perturbed.delta))
            residual = attacker.tight.residual(image, batch.y + perturbed.delta, batch.physics)
        reference = batch.x if objective == "error" else attacker.clean
        psnr = batch_psnr(image, batch, self.subject.task)
        tiny = torch.finfo(moved.dtype).tiny
        flags = list(perturbed.flags)
        if residual is not None and attacker.iterates:
            share = residual * sample_norms(image) / moved.clamp_min(tiny)
            flags = [
                flag or ("residual above 1 % of the displacement" if float(s) > 0.01 else "")
                for flag, s in zip(flags, share, strict=True)
            ]
        return _Score(
            damage=sample_norms(image - reference),
            flags=flags,
            metrics={
                # δ and -δ displace a linear map's image alike, and not its error
                **({"psnr": (psnr, "dB")} if objective == "error" else {}),
                "displacement": (moved / sample_norms(attacker.clean).clamp_min(tiny), ""),
                "gain": (moved / sample_norms(perturbed.delta).clamp_min(tiny), ""),
                "gain_adjoint": (moved / seen.clamp_min(tiny), ""),
            },
        )

    def _mismatch(self, objective: Objective) -> list[float]:
        radius = self.config.epsilon[0] * self.norms
        found: list[float] = self.attacker.gradient_mismatch(radius, objective).tolist()
        return found

    def _rows(
        self, epsilon: float, objective: Objective, kind: Kind, score: _Score, flags: list[str]
    ) -> Iterator[Measured]:
        condition: dict[str, Any] = {
            **self.settings,
            "kind": kind,
            "epsilon": epsilon,
            "objective": objective,
        }
        if kind == "transfer":
            condition["transfer_from"] = self.config.transfer_from
        for i, sample in enumerate(self.batch.samples):
            flag = "; ".join(dict.fromkeys(filter(None, (score.flags[i], flags[i]))))
            for metric, (values, unit) in score.metrics.items():
                value = float(values[i])
                yield Measured(metric, value, unit, "attack", condition, sample, flag)


@dataclass
class _Score:
    damage: Tensor
    flags: list[str]
    metrics: dict[str, tuple[Tensor, str]]


def _suspicions(
    found: dict[float, dict[Kind, _Score]], mismatch: Sequence[float]
) -> dict[float, list[str]]:
    """By ε, for each sample: signs that the attack did not find what there is (masking).

    Noise does more damage than the attack, damage falls as ε grows, another method's perturbation
    does more damage, or the gradient is not that of finite differences. (After Athalye, Carlini,
    Wagner 2018 and Carlini et al. 2019.)
    """
    flags: dict[float, list[str]] = {}
    before: Tensor | None = None
    for epsilon, scored in found.items():
        damage, noise = scored["pgd"].damage, scored["gaussian"].damage
        other = scored["transfer"].damage if "transfer" in scored else torch.zeros_like(damage)
        flags[epsilon] = []
        for i, off in enumerate(mismatch):
            signs = {
                "Gaussian noise does more": bool(noise[i] > damage[i]),
                "less damage than at a smaller ε": before is not None
                and bool(before[i] > 1.001 * damage[i]),
                "a transferred attack does more": bool(other[i] > 1.01 * damage[i]),
                f"gradient is {off:.0%} off finite differences": not off <= MISMATCH,
            }
            found_signs = [text for text, seen in signs.items() if seen]
            flags[epsilon].append("masking: " + ", ".join(found_signs) if found_signs else "")
        before = damage
    return flags
