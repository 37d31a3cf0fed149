"""Coil maps: normalised, smooth, reproducible; ESPIRiT explains the coil images it came from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.data.coil_maps import estimate_espirit, simulate_coil_maps
from bench.data.phantom import brain_subject
from bench.data.readers import read_kspace
from bench.errors import InputError


def centred_fft(image: np.ndarray) -> np.ndarray:
    shifted = np.fft.ifftshift(image, (-2, -1))
    return np.fft.fftshift(np.fft.fft2(shifted, norm="ortho"), (-2, -1))


def centred_ifft(kspace: np.ndarray) -> np.ndarray:
    shifted = np.fft.ifftshift(kspace, (-2, -1))
    return np.fft.fftshift(np.fft.ifft2(shifted, norm="ortho"), (-2, -1))


@pytest.mark.parametrize("coils", [1, 4, 8, 33])
def test_simulated_maps_have_unit_norm_and_are_smooth(coils: int) -> None:
    maps = simulate_coil_maps(coils, (96, 75), np.random.default_rng(coils))
    assert maps.shape == (coils, 96, 75)
    assert maps.dtype == np.complex64
    np.testing.assert_allclose((np.abs(maps) ** 2).sum(axis=0), 1, atol=1e-6)
    assert np.abs(np.diff(maps, axis=1)).max() < 0.1
    assert np.abs(np.diff(maps, axis=2)).max() < 0.1


def test_simulated_maps_depend_on_the_generator_alone() -> None:
    first, again, other = (
        simulate_coil_maps(8, (32, 32), np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)


def test_every_coil_has_a_view_of_its_own() -> None:
    maps = simulate_coil_maps(8, (64, 64), np.random.default_rng(0)).reshape(8, -1)
    singular = np.linalg.svd(maps, compute_uv=False)
    assert singular[-1] > 0.05 * singular[0]


@pytest.mark.parametrize("shape", [(96, 96), (65, 72)])
def test_espirit_recovers_simulated_maps_up_to_phase(shape: tuple[int, int]) -> None:
    image = brain_subject(1, 96)[: shape[0], : shape[1]]
    truth = simulate_coil_maps(6, shape, np.random.default_rng(3))
    maps = estimate_espirit(centred_fft(truth * image), phase="first-coil")
    norm = np.sqrt((np.abs(maps) ** 2).sum(axis=0))
    assert set(np.round(np.unique(norm), 5)) == {0.0, 1.0}
    agreement = np.abs((maps.conj() * truth).sum(axis=0))
    # Weighted by the image: where there is no signal, nothing can be known.
    assert (agreement * np.abs(image)).sum() > 0.998 * np.abs(image).sum()
    assert np.abs(maps[0].imag).max() < 1e-5


@pytest.mark.parametrize("calibration", [4, 65])
def test_calibration_out_of_range_is_refused(calibration: int) -> None:
    with pytest.raises(InputError, match=f"calibration is {calibration} .*8 to 64"):
        estimate_espirit(np.ones((2, 64, 80), np.complex64), calibration)


@pytest.mark.parametrize(
    ("kspace", "words"),
    [
        (np.ones((64, 64), np.complex64), r"shape \(64, 64\)"),
        (np.ones((2, 64, 64), np.float32), "dtype float32"),
        (np.zeros((2, 64, 64), np.complex64), "empty or not finite"),
        (np.full((2, 64, 64), np.nan, np.complex64), "empty or not finite"),
    ],
)
def test_espirit_refuses_unusable_kspace(kspace: np.ndarray, words: str) -> None:
    with pytest.raises(InputError, match=words):
        estimate_espirit(kspace)


@pytest.mark.parametrize("coils", [0, -3])
def test_no_coils_are_refused(coils: int) -> None:
    with pytest.raises(InputError, match=f"coils is {coils}"):
        simulate_coil_maps(coils, (8, 8), np.random.default_rng(0))


@pytest.mark.parametrize(
    ("name", "limit"), [("brain_t1_8ch_230x180", 0.12), ("brain_gre_16ch_96x96", 0.04)]
)
def test_espirit_explains_acquired_coil_images(data_root: Path, name: str, limit: float) -> None:
    kspace = read_kspace(data_root / "multicoil" / f"{name}.npz")
    maps, images = estimate_espirit(kspace), centred_ifft(kspace)
    # the smooth phase has gone into the maps: the image that is left is nearly real
    combined = (maps.conj() * images).sum(axis=0)
    assert (combined.real**2).sum() > 0.9 * (np.abs(combined) ** 2).sum()
    unexplained = images - maps * (maps.conj() * images).sum(axis=0)
    # What is left is noise and the background; maps flipped or shifted leave more than 1.
    assert np.linalg.norm(unexplained) < limit * np.linalg.norm(images)
