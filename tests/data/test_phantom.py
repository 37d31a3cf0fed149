"""The brain phantom: deterministic, diverse, well framed, and cached safely."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.data import phantom
from bench.data.contrast import CONTRASTS, contrast_of, spin_echo
from bench.data.phantom import brain_subject, brain_subjects
from bench.errors import InputError


@pytest.fixture(scope="module")
def population() -> np.ndarray:
    return brain_subjects(range(24), 96)


def test_images_are_normalised_finite_and_framed_by_air(population: np.ndarray) -> None:
    magnitude = np.abs(population)
    assert population.dtype == np.complex64
    assert population.shape == (24, 96, 96)
    np.testing.assert_allclose(magnitude.max(axis=(1, 2)), 1, atol=1e-6)
    assert not magnitude[:, [0, -1], :].any()
    assert not magnitude[:, :, [0, -1]].any()
    head = (magnitude > 0).mean(axis=(1, 2))
    assert head.min() > 0.25
    assert head.max() < 0.7


def test_same_arguments_give_the_same_bits_and_others_do_not() -> None:
    image = brain_subject(5, 96)
    assert np.array_equal(image, brain_subject(5, 96))
    assert np.array_equal(image, brain_subjects([7, 5], 96)[1])
    assert not np.array_equal(image, brain_subject(5, 96, seed=1))


def test_subjects_differ_in_anatomy_and_not_only_in_contrast(population: np.ndarray) -> None:
    for contrast in range(len(CONTRASTS)):
        flat = np.abs(population[contrast :: len(CONTRASTS)]).reshape(6, -1)
        off_diagonal = np.corrcoef(flat)[~np.eye(6, dtype=bool)]
        assert off_diagonal.max() < 0.97


def test_a_subject_is_the_same_anatomy_at_every_size() -> None:
    fine, coarse = np.abs(brain_subject(1, 256)), np.abs(brain_subject(1, 64))
    averaged = fine.reshape(64, 4, 64, 4).mean(axis=(1, 3))
    averaged /= averaged.max()
    assert np.linalg.norm(averaged - coarse) < 0.01 * np.linalg.norm(coarse)


def test_phase_is_smooth_and_within_pi(population: np.ndarray) -> None:
    neighbours = population[:, 1:] * population[:, :-1].conj()
    steps = np.angle(neighbours[np.abs(neighbours) > 0])
    assert 0 < np.abs(steps).mean() < 0.2
    assert np.abs(steps).max() < 0.9


def test_contrasts_order_tissues_as_scanners_do() -> None:
    white, grey, fluid = (0.70, 720.0, 72.0), (0.84, 1250.0, 95.0), (1.0, 4000.0, 1200.0)
    t1w = [spin_echo(*tissue, 500, 10) for tissue in (white, grey, fluid)]
    t2w = [spin_echo(*tissue, 5000, 100) for tissue in (fluid, grey, white)]
    assert t1w == sorted(t1w, reverse=True)
    assert t2w == sorted(t2w, reverse=True)
    assert spin_echo(*fluid, 9000, 110, 2370) < 0.02  # FLAIR nulls the fluid
    assert [contrast_of(i) for i in range(5)] == ["T1w", "T2w", "PD", "FLAIR", "T1w"]


def test_cache_is_read_back_and_rebuilt_when_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = brain_subjects([3, 4], 64, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(phantom, "brain_subject", None)  # any computation would fail
        assert np.array_equal(brain_subjects([3, 4], 64, cache=tmp_path), images)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 255
    for damaged in (bytes(content), bytes(content[:100]), b""):
        file.write_bytes(damaged)
        assert np.array_equal(brain_subjects([3, 4], 64, cache=tmp_path), images)
    brain_subjects([4, 3], 64, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [((-1, 96), "subject is -1"), ((0, 8), "32 to 512"), ((0, 96, -2), "seed is -2")],
)
def test_arguments_out_of_range_are_named(arguments: tuple[int, ...], words: str) -> None:
    with pytest.raises(InputError, match=words):
        brain_subject(*arguments)
