"""Configurations: what is written comes back, and what is wrong is named."""

from dataclasses import FrozenInstanceError

import pytest

from baselines.modl import MoDLConfig
from bench.config import as_dict, build
from bench.errors import InputError
from bench.reconstructor import Recipe
from bench.tasks.mri import MultiCoilConfig
from methods.mol import MOLConfig


@pytest.mark.parametrize("cls", [MoDLConfig, MOLConfig, MultiCoilConfig, Recipe])
def test_round_trip(cls):
    config = cls()
    assert build(cls, as_dict(config), "x") == config
    with pytest.raises(FrozenInstanceError):
        config.channels = 3


def test_conversions_follow_the_annotations():
    config = build(MultiCoilConfig, {"noise": [0, 1], "acceleration": 4}, "task")
    assert config.noise == (0.0, 1.0) and isinstance(config.acceleration, float)
    nested = build(MOLConfig, {"equilibrium": {"forward": {"tol": 0.1}}}, "mol")
    assert nested.equilibrium.forward.tol == 0.1


@pytest.mark.parametrize(
    ("cls", "values", "message"),
    [
        (MoDLConfig, {"itrations": 3}, "modl: unknown key 'itrations' (expected one of iterations"),
        (MoDLConfig, {"iterations": "ten"}, "modl.iterations: 'ten' (expected int)"),
        (MoDLConfig, {"iterations": True}, "modl.iterations: True (expected int)"),
        (MoDLConfig, {"iterations": 0}, "modl: iterations = 0 (expected K of at least 1)"),
        (MoDLConfig, {"formulation": "best"}, "expected one of original, reciprocal"),
        (MultiCoilConfig, {"acceleration": 0.5}, "acceleration = 0.5 (expected at least 1)"),
        (MultiCoilConfig, {"noise": [0.2, 0.1]}, "(expected 0 or more, a range in order)"),
        (MultiCoilConfig, {"noise": "much"}, "modl.noise: 'much' (expected float or tuple"),
        (MOLConfig, {"m": 1.0}, "m = 1.0 (expected in (0, 1))"),
        (MOLConfig, {"alpha": 1.5}, "alpha = 1.5 (expected in (0, 2/(2-m))"),
        (MOLConfig, {"equilibrium": {"forward": {"tol": -1}}}, "modl.equilibrium.forward: tol"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(cls, values, message):
    with pytest.raises(InputError) as caught:
        build(cls, values, "modl")
    assert message in str(caught.value) and "\n" not in str(caught.value)
