"""Values outside their domain are refused where the method is made, in one line."""

from __future__ import annotations

from typing import Any

import pytest

import bench
from bench.errors import InputError

BOUND = 2 / (2 - 0.02)

CASES = [
    *((name, {"m": m}, "m") for name in ("mol", "mol-lr", "mnm-mol") for m in (0.0, 1.0, -0.1)),
    *(("mol", {"alpha": alpha}, "alpha") for alpha in (0.0, -1.0, BOUND, 2.0)),
    ("mol-sn", {"m": 0.5, "alpha": 4 / 3}, "alpha"),
    ("mol", {"lam": 0.0}, "lam"),
    ("mol", {"shift": -0.001}, "shift"),
    ("mnm-mol", {"delta": 0.0}, "delta"),
    ("mnm-mol", {"delta": -0.3}, "delta"),
    ("mnm-mol", {"step_size": 1.5}, "step_size"),
    ("mnm-mol", {"splitting": "dual"}, "splitting"),
    *((name, {"width": 0}, "width") for name in ("mol", "mnm-mol", "de-prox", "mcnet", "luser-sw")),
    ("modl", {"iterations": 0}, "iterations"),
    ("luser-sw", {"stages": 0}, "stages"),
    ("luser-dw", {"stages": 0}, "stages"),
    ("luser-sw", {"width": 30, "groups": 8}, "width"),
    ("de-grad", {"eta": 0.0}, "eta"),
    ("de-prox", {"clamp": 0.0}, "clamp"),
    ("de-prox", {"denoising_noise": (0.2, 0.1)}, "denoising_noise"),
    ("de-admm", {"dual_step": 0.0}, "dual_step"),
    ("mcnet", {"epsilon": -1.0}, "epsilon"),
    ("mol", {"loose_tol": 0.0}, "loose_tol"),
    ("mol", {"equilibrium": {"forward": {"tol": -1.0}}}, "equilibrium.forward: tol"),
    ("mol", {"equilibrium": {"gradient": "exact"}}, "equilibrium.gradient"),
    ("mol", {"channels": 0}, "channels"),
    ("mol", {"alpha": "0.1"}, "alpha"),
]


@pytest.mark.parametrize(("name", "config", "field"), CASES)
def test_out_of_domain(name: str, config: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError) as caught:
        bench.create_method(name, **config)
    message = str(caught.value)
    assert message.startswith(name)
    assert field in message.removeprefix(name)
    assert "expected" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "field", "meant"),
    [
        ("mol", "alfa", "alpha"),
        ("mnm-mol", "deltas", "delta"),
        ("luser-sw", "stage", "stages"),
        ("de-admm", "dual_steps", "dual_step"),
        ("mcnet", "epsilons", "epsilon"),
        ("mol", "start", "start_iterations"),
    ],
)
def test_an_unknown_field_is_answered_with_the_nearest(name: str, field: str, meant: str) -> None:
    with pytest.raises(InputError, match=f"{field}.*expected one of.*{meant}"):
        bench.create_method(name, **{field: 1})


def test_the_largest_step_size_is_accepted() -> None:
    """Up to 2 / (2 - m) the map still contracts, far above the papers' 2m / (2 - m)^2."""
    for alpha in (1.0, BOUND - 1e-6):
        assert bench.create_method("mol", width=4, alpha=alpha).config.alpha == alpha
