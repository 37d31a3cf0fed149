"""Blurring by a kernel, y = k * x."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.operators.linear import LinearOperator
from bench.operators.norms import per_sample


class Blur(LinearOperator):
    """Every channel convolved with one kernel; images and measurements ``(B, C, H, W)``.

    A circular boundary makes the operator diagonal in the Fourier basis, and solves exact
    (:meth:`solve_normal`). With zeros outside the image it is a zero-padded convolution, as
    networks have it; its solves need conjugate gradients.

    Args:
        kernel: real ``(k, k)``, k odd.
        image_size: (H, W), each at least k.
        boundary: what lies outside of the image.

    Raises:
        ValueError: if the kernel is not square and odd, or larger than the image.
    """

    def __init__(
        self,
        kernel: Tensor,
        image_size: tuple[int, int],
        boundary: Literal["circular", "zero"] = "circular",
    ) -> None:
        super().__init__()
        side = kernel.shape[-1]
        if kernel.ndim != 2 or kernel.shape[0] != side or side % 2 == 0 or side > min(image_size):
            raise ValueError(
                f"kernel of {tuple(kernel.shape)} for images of {image_size} "
                "(expected k x k, k odd and not above the image's sides)"
            )
        self.image_size, self.boundary = image_size, boundary
        self._exact = kernel.detach().double().cpu()
        self._prepare(kernel)
        if boundary == "circular":
            self.solve_normal = self._solve_normal

    def _prepare(self, like: Tensor) -> None:
        self.register_buffer("kernel", self._exact.to(like))
        if self.boundary == "circular":
            side, (height, width) = len(self._exact), self.image_size
            padded = F.pad(self._exact, (0, width - side, 0, height - side))
            transfer = torch.fft.rfft2(padded.roll((-(side // 2), -(side // 2)), (0, 1)))
            self.register_buffer("_transfer", transfer.to(like.device, like.dtype.to_complex()))

    def _apply(self, fn: Any, recurse: bool = True) -> Blur:
        """Whatever ``.to()`` and its like make of the kernel is exact, ``.double()`` too."""
        super()._apply(fn, recurse)
        if "kernel" in self._buffers:  # not yet where the base class places itself on its device
            self._prepare(self.kernel)
        return self

    # ------------------------------------------------------------------ the operator

    def _forward(self, x: Tensor) -> Tensor:
        if self.boundary == "circular":
            return self._filter(x, self._transfer)
        return self._convolve(x, self.kernel)

    def _adjoint(self, y: Tensor) -> Tensor:
        if self.boundary == "circular":
            return self._filter(y, self._transfer.conj())
        return self._convolve(y, self.kernel.flip(0, 1))

    def _normal(self, x: Tensor) -> Tensor:
        if self.boundary == "circular":
            return self._filter(x, self._transfer.abs().square())
        return self._adjoint(self._forward(x))

    def _solve_normal(self, rhs: Tensor, weight: Tensor | float, shift: Tensor | float) -> Tensor:
        """Exact ``(weight A^H A + shift I)^-1 rhs``, differentiable in all three.

        Args:
            rhs: ``(B, C, H, W)``.
            weight, shift: numbers, or ``(B,)`` for each sample its own.
        """
        weight, shift = (
            per_sample(v, rhs) if isinstance(v, Tensor) and v.ndim == 1 else v
            for v in (weight, shift)
        )
        return self._filter(rhs, 1 / (weight * self._transfer.abs().square() + shift))

    def _filter(self, x: Tensor, transfer: Tensor) -> Tensor:
        filtered: Tensor = torch.fft.irfft2(torch.fft.rfft2(x) * transfer, s=x.shape[-2:])
        return filtered

    def _convolve(self, x: Tensor, kernel: Tensor) -> Tensor:
        # conv2d correlates: the kernel is turned for a convolution
        weight = kernel.flip(0, 1)[None, None]
        flat = F.conv2d(x.flatten(0, 1).unsqueeze(1), weight, padding=kernel.shape[-1] // 2)
        return flat.squeeze(1).view(x.shape)


def gaussian_kernel(size: int, variance: float) -> Tensor:
    """An isotropic Gaussian sampled on ``size x size`` pixels, its sum 1, float64."""
    t = torch.arange(size, dtype=torch.float64) - size // 2
    profile = torch.exp(-t.square() / (2 * variance))
    kernel = torch.outer(profile, profile)
    return kernel / kernel.sum()
