"""Attacks find planted weaknesses, and say so where they may have missed one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

import bench
from bench.errors import InputError
from bench.measure import robustness
from bench.measure.attack import THREATS, AttackConfig, Attacker, measurement_support
from bench.measure.question import Measured
from bench.measure.robustness import RobustnessConfig
from bench.operators.norms import sample_norms
from bench.planning.plan import expand
from bench.planning.suite import Suite
from bench.planning.suite_files import load
from tests.measure.toys import HalfHidden, Linear, Rounded, ToyTask, subject

DEFAULT = AttackConfig()


def rows(method: Any, **config: Any) -> list[Measured]:
    wanted = RobustnessConfig("measurement-l2", **{"epsilon": (0.01, 0.02, 0.05), **config})
    return list(robustness.measure(subject(method), wanted))


def chosen(found: list[Measured], metric: str, kind: str, objective: str) -> list[Measured]:
    return [
        row
        for row in found
        if row.metric == metric
        and row.condition["kind"] == kind
        and row.condition.get("objective", objective) == objective
    ]


def test_the_planted_weakness_is_found() -> None:
    """A linear map's worst gain, at the default settings, within 2 % of its exact value."""
    method = Linear(gain=6.0)
    found = rows(method)
    gains = chosen(found, "gain", "pgd", "displacement")
    assert len(gains) == 3 * 3  # samples and ε
    for row in gains:
        assert 0.98 * method.gain <= row.value <= 1.0001 * method.gain
        assert not row.flag
    noise = [row.value for row in chosen(found, "gain", "gaussian", "displacement")]
    # in 36 dimensions, noise has a sixth of its length along one direction, more or less
    assert max(noise) < 0.6 * method.gain
    adjoint = chosen(found, "gain_adjoint", "pgd", "displacement")
    assert adjoint[0].value == pytest.approx(gains[0].value, rel=1e-5)  # A is the identity


def test_perturbations_have_the_norm_and_the_place_that_the_threat_allows() -> None:
    batch = ToyTask().batch("test", [0, 1, 2])
    support = torch.zeros_like(batch.y)
    support[..., :2] = 1
    attacker = Attacker(Linear(), batch, support, DEFAULT, seed=0)
    radius = 0.03 * sample_norms(batch.y * support)
    for delta in (
        attacker.ascend(radius, "error").delta,
        attacker.gaussian(radius, "error").delta,
        attacker.random(radius, 0),
    ):
        assert torch.allclose(sample_norms(delta), radius, rtol=1e-5)
        assert float((delta * (1 - support)).abs().max()) == 0


def test_the_error_attack_lowers_psnr_more_than_noise() -> None:
    found = rows(Linear(gain=6.0), objectives=("error",))
    attacked = [row.value for row in chosen(found, "psnr", "pgd", "error")]
    noise = [row.value for row in chosen(found, "psnr", "gaussian", "error")]
    assert all(a < b for a, b in zip(attacked, noise, strict=True))


def test_a_sample_is_attacked_alike_in_any_batch() -> None:
    alone, together = (rows(Linear(), batch=size, samples=3) for size in (1, 3))

    def key(row: Measured) -> tuple[str, str]:
        return row.metric, f"{row.sample} {sorted(row.condition.items())}"

    other = {key(row): row.value for row in together}
    assert len(other) == len(alone)
    for row in alone:
        assert row.value == pytest.approx(other[key(row)], rel=1e-4), key(row)


def test_a_gradient_of_zero_is_flagged() -> None:
    found = rows(Rounded(), samples=1)
    attacked = [row for row in found if row.phase == "attack"]
    flagged = [row.flag for row in attacked if row.condition["kind"] == "pgd"]
    assert flagged and all("gradient is zero" in flag for flag in flagged)


def test_a_gradient_that_hides_the_weakness_is_flagged() -> None:
    found = chosen(rows(HalfHidden(), samples=2), "gain", "pgd", "displacement")
    assert all("finite differences" in row.flag for row in found)
    assert max(row.value for row in found) < 5.5  # and it did miss it


def test_a_transferred_attack_that_does_more_is_flagged() -> None:
    """What is found on the open method breaks the masked one, by name."""
    kept: dict[str, torch.Tensor] = {}
    config = RobustnessConfig("measurement-l2", (0.05,), ("displacement",), samples=3, batch=2)
    list(robustness.measure(subject(Linear(), keep=kept.update), config))
    assert len(kept) == 3  # of both batches
    config = replace(config, transfer_from="open")
    found = list(robustness.measure(subject(Rounded(), shared=kept), config))
    transferred = chosen(found, "gain", "transfer", "displacement")
    assert len(transferred) == 3
    assert all(row.value == pytest.approx(6.0, rel=0.03) for row in transferred)
    assert all(row.condition["transfer_from"] == "open" for row in transferred)
    own = chosen(found, "gain", "pgd", "displacement")
    assert all("transferred attack does more" in row.flag for row in own)


def test_kspace_is_perturbed_where_it_was_sampled() -> None:
    task = bench.create_task("mri-multicoil", size=64, coils=3)
    batch = task.batch("test", [0, 1])
    support = THREATS["kspace-l2"](batch.y, batch.physics)
    assert support.shape == batch.y.shape
    assert torch.equal(support[:, 0, 0, 0] > 0, batch.physics.mask[:, 0, 0] > 0)
    assert torch.equal(measurement_support(batch.y, None), torch.ones_like(batch.y))


def test_every_row_says_how_it_was_attacked() -> None:
    for row in rows(Linear(), samples=1):
        wanted = {"threat", "gradient", "steps", "restarts", "step_size", "tol", "verify_tol"}
        assert wanted <= set(row.condition)
        if row.phase == "attack":
            assert {"epsilon", "objective", "kind"} <= set(row.condition)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"threat": "kspace-l2"}, "epsilon"),
        ({"threat": "kspace-l2", "epsilon": [-0.1]}, "above 0"),
        ({"threat": "kspace-l2", "epsilon": []}, "at least one"),
        ({"threat": "image-l2", "epsilon": [0.1]}, "one of kspace-l2, measurement-l2"),
        ({"threat": "measurement-l2", "epsilon": [0.1]}, "expected kspace-l2"),
        ({"threat": "kspace-l2", "epsilon": [0.1], "attack": {"restarts": 0}}, "at least 1"),
        ({"threat": "kspace-l2", "epsilon": [0.1], "transfer_from": "modle"}, "modl"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_any_work(
    config: dict[str, Any], message: str
) -> None:
    given = load("measures").model_dump()
    given |= {"methods": ["modl"], "measure": [{"question": "robustness", "config": config}]}
    with pytest.raises(InputError, match=message) as refusal:
        expand(Suite(**given))
    assert "\n" not in str(refusal.value) and "measure.0" in str(refusal.value)
