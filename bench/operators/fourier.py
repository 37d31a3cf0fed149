"""Orthonormal, centred Fourier transforms, and the two layouts of a complex image.

Layouts: *channels* is real with the pair (real, imaginary) on axis 1, ``(B, 2, ...)``;
*complex* is a complex tensor without that axis, ``(B, ...)``.
"""

from __future__ import annotations

import torch
from torch import Tensor


def fft2c(x: Tensor) -> Tensor:
    """Image to k-space over the last two axes, complex in and out, zero frequency at the centre."""
    shifted = torch.fft.ifftshift(x, dim=(-2, -1))
    kspace: Tensor = torch.fft.fftshift(torch.fft.fft2(shifted, norm="ortho"), dim=(-2, -1))
    return kspace


def ifft2c(k: Tensor) -> Tensor:
    """k-space to image: the adjoint, and the inverse, of :func:`fft2c`."""
    shifted = torch.fft.ifftshift(k, dim=(-2, -1))
    image: Tensor = torch.fft.fftshift(torch.fft.ifft2(shifted, norm="ortho"), dim=(-2, -1))
    return image


def to_complex(channels: Tensor) -> Tensor:
    """``(B, 2, ...)`` real to ``(B, ...)`` complex."""
    return torch.complex(channels[:, 0], channels[:, 1])


def to_channels(image: Tensor) -> Tensor:
    """``(B, ...)`` complex to ``(B, 2, ...)`` real."""
    return torch.stack((image.real, image.imag), dim=1)


def magnitude(channels: Tensor) -> Tensor:
    """``(B, 2, ...)`` real pairs to ``(B, ...)`` magnitudes; the gradient at zero is zero."""
    lengths: Tensor = torch.linalg.vector_norm(channels, dim=1)
    return lengths
