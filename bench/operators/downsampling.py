"""Antialiased bicubic downsampling, y = D_h x D_w^T."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.operators.linear import LinearOperator
from bench.operators.norms import per_sample


class BicubicDownsampling(LinearOperator):
    """Every side of an image over ``scale``, as torch's antialiased bicubic interpolation does it.

    Images ``(B, C, H, W)`` to ``(B, C, H / scale, W / scale)``. Resizing separates into one small
    matrix for each axis, so that the adjoint, the pseudo-inverse and regularised solves are exact
    matrix products, which autograd differentiates. Rows of the matrices sum to one, so ``||A||^2``
    is not 1 but 1.01 to 1.04 times ``1 / scale^2`` (scales 2 to 4); ``A A^H`` has a condition
    number below 5.

    Args:
        scale: pixels of an image, along each axis, for one of the measurements.
        image_size: (H, W).

    Raises:
        ValueError: if a side is not a multiple of ``scale``.
    """

    def __init__(self, scale: int, image_size: tuple[int, int]) -> None:
        super().__init__()
        self.scale, self.image_size = scale, image_size
        self.low_size = (image_size[0] // scale, image_size[1] // scale)
        if scale < 1 or min(self.low_size) < 1 or any(side % scale for side in image_size):
            raise ValueError(f"image of {image_size} (expected sides that {scale} divides)")
        self._prepare(torch.zeros(()))

    def _prepare(self, like: Tensor) -> None:
        rows, columns = (_axis(side, self.scale) for side in self.image_size)
        for name, axis in (("rows", rows), ("columns", columns)):
            self.register_buffer(f"_{name}", axis.reduce.to(like, copy=True))
            self.register_buffer(f"_{name}_inverse", axis.inverse.to(like, copy=True))
            self.register_buffer(f"_{name}_basis", axis.basis.to(like, copy=True))
        self.register_buffer("_spectrum", torch.outer(rows.spectrum, columns.spectrum).to(like))

    def _apply(self, fn: Any, recurse: bool = True) -> BicubicDownsampling:
        """Whatever ``.to()`` and its like make of the matrices is exact, ``.double()`` too."""
        super()._apply(fn, recurse)
        if "_rows" in self._buffers:  # not yet where the base class places itself on its device
            self._prepare(self._rows)
        return self

    # ------------------------------------------------------------------ the operator

    def _forward(self, x: Tensor) -> Tensor:
        _require_size(x, self.image_size, "image")
        return _separable(self._rows, x, self._columns)

    def _adjoint(self, y: Tensor) -> Tensor:
        """``scale^2`` times it is :meth:`upsample`, but not near the borders."""
        _require_size(y, self.low_size, "measurements")
        return _separable(self._rows.mT, y, self._columns.mT)

    def A_dagger(self, y: Tensor, **_: Any) -> Tensor:  # noqa: N802
        """``A^H (A A^H)^-1 y``, the smallest image with these measurements."""
        _require_size(y, self.low_size, "measurements")
        return _separable(self._rows_inverse, y, self._columns_inverse)

    def solve_normal(self, rhs: Tensor, weight: Tensor | float, shift: Tensor | float) -> Tensor:
        """Exact ``(weight A^H A + shift I)^-1 rhs``, differentiable in all three.

        Args:
            rhs: ``(B, C, H, W)``.
            weight, shift: numbers, or ``(B,)`` for each sample its own; ``shift`` is not 0, for
                ``A^H A`` is singular.
        """
        _require_size(rhs, self.image_size, "right-hand side")
        weight, shift = _wide(weight, rhs), _wide(shift, rhs)
        inside = _separable(self._rows_basis.mT, rhs, self._columns_basis.mT)
        # on the range of A^H the inverse is 1 / (weight s + shift), on the rest 1 / shift
        gain = weight * self._spectrum / (weight * self._spectrum + shift)
        return (rhs - _separable(self._rows_basis, gain * inside, self._columns_basis)) / shift

    def upsample(self, y: Tensor) -> Tensor:
        """Bicubic interpolation of measurements to the image's size."""
        _require_size(y, self.low_size, "measurements")
        return F.interpolate(
            y, size=self.image_size, mode="bicubic", antialias=True, align_corners=False
        )


class _Axis(NamedTuple):
    """Resizing along one axis of n pixels to m, in float64."""

    reduce: Tensor  # D, (m, n)
    inverse: Tensor  # D^T (D D^T)^-1, (n, m)
    basis: Tensor  # orthonormal eigenvectors of D^T D in its range, (n, m)
    spectrum: Tensor  # their eigenvalues, (m,)


@functools.lru_cache(maxsize=32)
def _axis(size: int, scale: int) -> _Axis:
    # (interpolating an image of width 1 instead gives wrong values in torch 2.13)
    unit = torch.eye(size, dtype=torch.float64)[None, None]
    resized = F.interpolate(
        unit, size=(size // scale, size), mode="bicubic", antialias=True, align_corners=False
    )
    reduce = resized[0, 0]
    spectrum, vectors = torch.linalg.eigh(reduce @ reduce.mT)
    basis = reduce.mT @ vectors / spectrum.sqrt()
    return _Axis(reduce, basis @ (vectors / spectrum.sqrt()).mT, basis, spectrum)


def _separable(rows: Tensor, x: Tensor, columns: Tensor) -> Tensor:
    return rows @ x @ columns.mT


def _wide(factor: Tensor | float, x: Tensor) -> Tensor | float:
    return per_sample(factor, x) if isinstance(factor, Tensor) and factor.ndim == 1 else factor


def _require_size(x: Tensor, size: tuple[int, int], what: str) -> None:
    if x.ndim != 4 or tuple(x.shape[-2:]) != size:
        raise ValueError(
            f"{what} of shape {tuple(x.shape)} (expected (B, C, {size[0]}, {size[1]}))"
        )
