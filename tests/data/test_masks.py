"""Sampling masks: the stated acceleration, a full centre, the same bits for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from bench.data.masks import MASK_KINDS, draw_mask
from bench.errors import InputError

SETTINGS = [(4, 0.08), (8, 0.04), (3.5, 0.08), (2, 0.0)]


@pytest.mark.parametrize("kind", MASK_KINDS)
@pytest.mark.parametrize(("acceleration", "center_fraction"), SETTINGS)
def test_acceleration_is_the_stated_one_on_average(
    kind: str, acceleration: float, center_fraction: float
) -> None:
    rng = np.random.default_rng(0)
    draws = 200 if kind != "variable-density-2d" else 5
    fractions = [
        draw_mask(kind, (96, 128), acceleration, center_fraction, rng).mean() for _ in range(draws)
    ]
    assert 1 / np.mean(fractions) == pytest.approx(acceleration, rel=0.03)
    if kind == "variable-density-2d":
        assert {round(f * 96 * 128) for f in fractions} == {round(96 * 128 / acceleration)}


@pytest.mark.parametrize("shape", [(96, 96), (65, 63), (230, 180)])
def test_centre_is_fully_sampled(shape: tuple[int, int]) -> None:
    for kind in MASK_KINDS:
        mask = draw_mask(kind, shape, 4, 0.08, np.random.default_rng(1))
        assert mask.dtype == np.float32
        assert set(np.unique(mask)) == {0.0, 1.0}
        width = shape[1] // 2
        if kind == "variable-density-2d":
            assert mask.shape == shape
            reach_y, reach_x = (round(n * 0.08**0.5) // 2 - 1 for n in shape)
            height = shape[0] // 2
            centre = mask[height - reach_y : height + reach_y, width - reach_x : width + reach_x]
        else:
            assert mask.shape == (1, shape[1])
            reach = round(shape[1] * 0.08) // 2
            centre = mask[:, width - reach : width + reach]
        assert centre.all()


@pytest.mark.parametrize("kind", MASK_KINDS)
def test_a_mask_depends_on_the_generator_alone(kind: str) -> None:
    np.random.seed(0)  # the global state must have no say
    first = draw_mask(kind, (64, 96), 4, 0.08, np.random.default_rng(7))
    np.random.seed(1)
    assert np.array_equal(first, draw_mask(kind, (64, 96), 4, 0.08, np.random.default_rng(7)))
    rng = np.random.default_rng(7)
    draws = {draw_mask(kind, (64, 96), 4, 0.08, rng).tobytes() for _ in range(20)}
    assert len(draws) > 3


def test_gaussian_columns_are_as_many_as_asked_for_and_dense_in_the_middle() -> None:
    masks = [
        draw_mask("gaussian", (8, 96), 4, 0.04, np.random.default_rng(seed)) for seed in range(60)
    ]
    assert {int(mask.sum()) for mask in masks} == {24}
    assert all(mask[0, 46:50].all() for mask in masks)  # 4 % of 96
    density = np.mean(masks, axis=0)[0]
    # a standard deviation of a sixth of the columns: e^-0.5 there, nearly nothing at the ends
    assert density[40:56].mean() > 2 * density[20:28].mean() > 4 * density[:8].mean()
    assert abs(density[:48].sum() - density[48:].sum()) < 3


def test_equispaced_columns_are_equally_spaced_and_their_offset_varies() -> None:
    masks = [
        draw_mask("equispaced", (8, 96), 4, 0.0, np.random.default_rng(seed)) for seed in range(40)
    ]
    columns = [np.flatnonzero(mask) for mask in masks]
    assert all((np.diff(column) == 4).all() for column in columns)
    assert {int(column[0]) for column in columns} == {0, 1, 2, 3}


def test_density_falls_from_the_centre() -> None:
    rng = np.random.default_rng(0)
    mean = np.mean(
        [draw_mask("variable-density-2d", (64, 64), 6, 0.02, rng) for _ in range(60)], axis=0
    )
    rings = [mean[32 - reach : 32 + reach, 32 - reach : 32 + reach].mean() for reach in (8, 16, 32)]
    assert rings[0] > 1.4 * rings[1] > 2 * rings[2]
    assert mean[:8].mean() > 0


@pytest.mark.parametrize("kind", MASK_KINDS)
def test_limits_sample_everything_or_the_centre_only(kind: str) -> None:
    rng = np.random.default_rng(0)
    assert draw_mask(kind, (16, 16), 1, 0.5, rng).all()
    centre = draw_mask(kind, (16, 16), 4, 0.25, rng)
    assert centre.mean() == 0.25
    assert centre[..., 6:10].sum() == (4 if kind != "variable-density-2d" else 32)
    assert draw_mask(kind, (16, 16), 16, 0.0, rng).any()


@pytest.mark.parametrize(
    ("kind", "acceleration", "center_fraction", "words"),
    [
        (
            "spiral",
            4,
            0.08,
            "unknown mask 'spiral'.*equispaced, gaussian, variable-density-2d",
        ),
        ("random", 0.5, 0.08, "acceleration is 0.5"),
        ("random", float("nan"), 0.08, "acceleration is nan"),
        ("variable-density-2d", 0, 0.08, "acceleration is 0"),
        ("equispaced", 8, 0.2, r"center_fraction is 0.2 .*1 / acceleration = 0.125"),
        ("variable-density-2d", 4, -0.1, "center_fraction is -0.1"),
    ],
)
def test_fields_out_of_range_are_named(
    kind: str, acceleration: float, center_fraction: float, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        draw_mask(kind, (32, 32), acceleration, center_fraction, np.random.default_rng(0))
