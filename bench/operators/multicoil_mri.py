"""Multi-coil Cartesian MRI: y = M F S x."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bench.operators.fourier import to_channels, to_complex
from bench.operators.linear import LinearOperator

_PER_SAMPLE = ("mask", "coil_maps", "_coil_maps_conj", "_modulated_maps", "_shifted_mask")


class MultiCoilMRI(LinearOperator):
    """Undersampled Fourier samples of coil-weighted images, ``y = M F S x``.

    Images ``(B, 2, H, W)`` and k-space ``(B, 2, N, H, W)``, real and imaginary parts on axis 1.
    The Fourier transform is orthonormal and centred (equal to ``fastmri.fft2c``), odd sizes too.
    A series or a volume has one more axis, ``(B, 2, T, H, W)`` and ``(B, 2, N, T, H, W)``, whose
    frames (2D + time) or planes across a fully sampled readout (3D) are transformed each by itself.
    With coil maps whose sum of squares is at most one, ``||A|| <= 1``.

    Nothing is shifted at run time but single images. Shifting k-space is a modulation of the
    image, and is folded into the maps once; in ``A^H A`` the image shift commutes with the
    convolution ``F^H M F``, so plain transforms with the mask shifted once are exact. Where the
    mask is constant along H (1-D undersampling, phase encoding along W), ``A^H A`` separates and
    only W is transformed.

    Args:
        mask: sampling mask of zeros and ones, ``(H or 1, W)``, ``(B, H or 1, W)`` or
            ``(B, 1, H or 1, W)``; of a series ``(B, 1, T or 1, H or 1, W)``.
        coil_maps: complex coil sensitivity maps, ``(N, H, W)`` or ``(B, N, H, W)``; of a series
            ``(B, N, T or 1, H, W)``.

    Raises:
        ValueError: if the maps are not complex, or shapes do not fit.
    """

    def __init__(self, mask: Tensor, coil_maps: Tensor) -> None:
        super().__init__()
        self._prepare(mask, coil_maps)

    def _prepare(self, mask: Tensor, coil_maps: Tensor) -> None:
        coil_maps = coil_maps.unsqueeze(0) if coil_maps.ndim == 3 else coil_maps
        mask = mask.reshape(-1, 1, *mask.shape[-2:]) if mask.ndim < 4 else mask
        _check_shapes(mask, coil_maps)
        height, width = coil_maps.shape[-2:]
        mask = mask.to(coil_maps.real.dtype)
        rows, columns = _centring_ramp(height, coil_maps), _centring_ramp(width, coil_maps)
        modulated = torch.fft.ifftshift(coil_maps, dim=(-2, -1)) * rows[:, None] * columns
        self.register_buffer("mask", mask)
        self.register_buffer("coil_maps", coil_maps)
        self.register_buffer("_coil_maps_conj", coil_maps.conj().resolve_conj())
        self.register_buffer("_modulated_maps", modulated)
        # A^H A takes the mask twice, and the scale of its transform pair with it
        pair = width if mask.shape[-2] == 1 else height * width
        shifted = torch.fft.ifftshift(mask.square() / pair, dim=(-2, -1))
        self.register_buffer("_shifted_mask", shifted)

    def update_parameters(
        self, mask: Tensor | None = None, coil_maps: Tensor | None = None, **_: Any
    ) -> None:
        """Replace the mask or the maps (deepinv's way to change a physics in place)."""
        if mask is not None or coil_maps is not None:
            self._prepare(
                self.mask if mask is None else mask,
                self.coil_maps if coil_maps is None else coil_maps,
            )

    # ------------------------------------------------------------------ the operator

    def A(self, x: Tensor, **parameters: Any) -> Tensor:  # noqa: N802
        """Image ``(B, 2, H, W)`` to k-space ``(B, 2, N, H, W)``, zero where not sampled."""
        self.update_parameters(**parameters)
        return super().A(x)

    def A_adjoint(self, y: Tensor, **parameters: Any) -> Tensor:  # noqa: N802
        """k-space ``(B, 2, N, H, W)`` to image ``(B, 2, H, W)``; unsampled entries are ignored."""
        self.update_parameters(**parameters)
        return super().A_adjoint(y)

    def A_adjoint_A(self, x: Tensor, **parameters: Any) -> Tensor:  # noqa: N802
        """The fused normal operator, image to image ``(B, 2, H, W)``."""
        self.update_parameters(**parameters)
        return super().A_adjoint_A(x)

    def _forward(self, x: Tensor) -> Tensor:
        image = torch.fft.ifftshift(to_complex(x), dim=(-2, -1)).unsqueeze(1)
        kspace = torch.fft.fft2(image * self._modulated_maps, norm="ortho")
        return to_channels(kspace.mul_(self.mask))

    def _adjoint(self, y: Tensor) -> Tensor:
        coil_images = torch.fft.ifft2(to_complex(y).mul_(self.mask), norm="ortho")
        image = (coil_images * self._modulated_maps.conj()).sum(1)
        return to_channels(torch.fft.fftshift(image, dim=(-2, -1)))

    def _normal(self, x: Tensor) -> Tensor:
        coil_images = to_complex(x).unsqueeze(1) * self.coil_maps
        # one name throughout: each stack of coil images is freed when the next one is there
        if self.mask.shape[-2] == 1:
            coil_images = torch.fft.fft(coil_images, dim=-1).mul_(self._shifted_mask)
            coil_images = torch.fft.ifft(coil_images, dim=-1, norm="forward")
        else:
            coil_images = torch.fft.fft2(coil_images).mul_(self._shifted_mask)
            coil_images = torch.fft.ifft2(coil_images, norm="forward")
        return to_channels(coil_images.mul_(self._coil_maps_conj).sum(1))

    # ------------------------------------------------------------------ batches

    def select(self, indices: Tensor) -> MultiCoilMRI:
        """The operator of these samples of the batch (``indices``: integers, shape ``(b,)``).

        Shares the evaluation count with the operator that it came from.
        """
        chosen = MultiCoilMRI.__new__(MultiCoilMRI)
        chosen.__dict__.update(self.__dict__)
        chosen._buffers = {
            name: buffer[indices]
            if name in _PER_SAMPLE and buffer is not None and buffer.shape[0] > 1
            else buffer
            for name, buffer in self._buffers.items()
        }
        return chosen


def _centring_ramp(size: int, like: Tensor) -> Tensor:
    """The modulation whose transform is a circular shift by ``size // 2``, in FFT order."""
    n = torch.arange(size, device=like.device, dtype=torch.float64)
    # the integer product is reduced first: exact phases, also at large sizes
    phase = 2 * torch.pi * torch.remainder(n * (size // 2), size) / size
    return torch.polar(torch.ones_like(phase), phase).to(like.dtype)


def _check_shapes(mask: Tensor, coil_maps: Tensor) -> None:
    if not coil_maps.is_complex():
        raise ValueError(f"coil maps must be complex, got {coil_maps.dtype}")
    if coil_maps.ndim not in (4, 5) or mask.ndim != coil_maps.ndim or mask.shape[1] != 1:
        raise ValueError(
            f"mask (B, 1, [T,] H or 1, W) and coil maps (B, N, [T,] H, W) expected, "
            f"got {tuple(mask.shape)} and {tuple(coil_maps.shape)}"
        )
    height, width = coil_maps.shape[-2:]
    fits = mask.shape[-1] == width and mask.shape[-2] in (1, height)
    # what is not 1 for all samples, or all frames, is as many for mask and maps
    for a, b in zip(
        mask.shape[2:-2] + mask.shape[:1], coil_maps.shape[2:-2] + coil_maps.shape[:1], strict=True
    ):
        fits = fits and (a == b or 1 in (a, b))
    if not fits:
        raise ValueError(
            f"mask {tuple(mask.shape)} does not fit coil maps {tuple(coil_maps.shape)}"
        )
