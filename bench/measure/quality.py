"""How good an image is: PSNR, SSIM and NMSE, as fastMRI defines them on a volume."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Volume = NDArray[np.floating]


def psnr(reference: Volume, image: Volume, data_range: float) -> float:
    """Peak signal-to-noise ratio [dB] over all pixels, ``10 log10(range^2 / MSE)``."""
    error = np.mean((reference.astype(np.float64) - image.astype(np.float64)) ** 2)
    return float(10 * np.log10(data_range**2 / error)) if error > 0 else float("inf")


def ssim(reference: Volume, image: Volume, data_range: float) -> float:
    """Structural similarity, mean over slices ``(S, H, W)`` or of one ``(H, W)``.

    scikit-image's defaults: uniform 7x7 window, K1 = 0.01, K2 = 0.03, sample covariance.
    """
    from skimage.metrics import structural_similarity

    def slices(volume: Volume) -> Volume:
        return volume.reshape(-1, *volume.shape[-2:])

    pairs = zip(slices(reference), slices(image), strict=True)
    return float(np.mean([structural_similarity(a, b, data_range=data_range) for a, b in pairs]))


def nmse(reference: Volume, image: Volume) -> float:
    """Normalised mean squared error, ``||x - x_ref||^2 / ||x_ref||^2``."""
    return float(np.linalg.norm(reference - image) ** 2 / np.linalg.norm(reference) ** 2)
