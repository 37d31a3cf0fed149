"""Quality metrics against fastMRI's own evaluation."""

import numpy as np
import pytest

from bench.measure import quality


def test_equal_to_fastmri_on_a_volume():
    evaluate = pytest.importorskip("fastmri.evaluate")
    rng = np.random.default_rng(0)
    reference = rng.random((3, 24, 20)).astype(np.float32) ** 2
    image = reference + 0.1 * rng.standard_normal(reference.shape).astype(np.float32)
    peak = float(reference.max())
    assert quality.psnr(reference, image, peak) == pytest.approx(
        float(evaluate.psnr(reference, image)), rel=1e-6
    )
    assert quality.ssim(reference, image, peak) == pytest.approx(
        float(np.mean(evaluate.ssim(reference, image))), rel=1e-6
    )
    assert quality.nmse(reference, image) == pytest.approx(
        float(evaluate.nmse(reference, image)), rel=1e-6
    )


def test_by_hand():
    reference, image = np.zeros((8, 8)), np.full((8, 8), 0.1)
    reference[0, 0] = 1
    error = (63 * 0.01 + 0.81) / 64
    assert quality.psnr(reference, image, 1.0) == pytest.approx(-10 * np.log10(error))
    assert quality.psnr(reference, reference, 1.0) == float("inf")
    assert quality.nmse(reference, image) == pytest.approx(64 * error)
