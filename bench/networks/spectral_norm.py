"""Convolutions normalised by their norm as operators on images.

What counts for a contraction is the zero-padded convolution itself. The norm of its kernel reshaped
to a matrix, which common spectral normalisation takes, is another number.
"""

from __future__ import annotations

from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.grad import conv2d_weight, conv3d_weight

from bench.measure.lipschitz import operator_norm, probe

Mode = Literal["exact", "bound"]
Tracking = Literal["lanczos", "power"]

FIRST_ITERATIONS = 30
# by the number of axes: the convolution, its transpose, and its derivative in the kernel
CONVOLUTIONS: dict[int, tuple[Any, Any, Any]] = {
    2: (F.conv2d, F.conv_transpose2d, conv2d_weight),
    3: (F.conv3d, F.conv_transpose3d, conv3d_weight),
}


class SpectralConv(nn.modules.conv._ConvNd):
    """A convolution of stride 1, zero-padded to the same size, of operator norm ``sigma``.

    ``(B, in, ..., H, W) -> (B, out, ..., H, W)``; :class:`SpectralConv2d` and
    :class:`SpectralConv3d` are for images and for series or volumes. The kernel applied is
    ``weight * sigma / norm``, ``norm`` being the largest singular value of the zero-padded
    convolution on images of ``image_size``.
    That norm grows with the size, from below, to the largest singular value of the transfer
    function: between 40 and 320 pixels by about a tenth of a percent for random kernels, by which
    a larger image may exceed ``sigma``.

    **When the norm is determined.** Not by the caller: the first forward pass after the weight has
    changed does it. All calls within a training step, whether of a fixed-point iteration, its
    gradient or a penalty, therefore see the same map.

    - In training mode, ``iterations`` steps go on from ``u``, the left singular vector of the step
      before; the norm comes out a little too small. Gradients take singular vectors as constants
      and reach the weight through ``norm = <u, conv(v, weight)>``.
    - In evaluation mode it is computed to ``tol``. ``u`` is where the search starts and is not
      changed, so that validating in between leaves no trace in a training.

    The literature tracks by one power iteration a step. That lags behind where singular values are
    close: layers of a small denoiser had norms up to 1.4 ``sigma`` after 50 to 300 steps of Adam,
    and evaluation is then by another map. Eight Lanczos steps kept them below 1.02 ``sigma`` from
    the hundredth step on.

    In-place changes of ``weight.data`` are not seen (those under ``torch.no_grad()`` are): call
    :func:`refresh_spectral_norms` after them, and after loading a weight without its ``u``.

    Args:
        sigma: the norm.
        mode: ``exact`` scales up as well as down, ``bound`` leaves norms below ``sigma`` as they
            are.
        image_size: pixels in each direction.
        tracking, iterations: in training mode, for each new weight; ``power`` and 1 in the papers.
        tol, max_iter: in evaluation mode; residual, see :class:`OperatorNorm`. A ``tol`` of 0
            never looks at a value.

    Raises:
        ValueError: if an argument is out of its range.

    Source: Ryu et al. 2019 ("RealSN"); singular vectors as constants: Miyato et al. 2018.
    """

    u: Tensor
    padding: tuple[int, ...]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        *,
        bias: bool = True,
        sigma: float = 1.0,
        mode: Mode = "exact",
        image_size: int = 40,
        tracking: Tracking = "lanczos",
        iterations: int = 8,
        tol: float = 1e-4,
        max_iter: int = 150,
    ) -> None:
        if kernel_size % 2 == 0 or sigma <= 0 or image_size < 1 or iterations < 1:
            raise ValueError(
                f"an odd kernel_size, sigma > 0, image_size and iterations >= 1 expected, "
                f"got {kernel_size}, {sigma}, {image_size} and {iterations}"
            )
        super().__init__(  # type: ignore[call-arg]  # Conv2d's or Conv3d's
            in_channels,
            out_channels,
            kernel_size,  # type: ignore[arg-type]
            padding=kernel_size // 2,  # type: ignore[arg-type]
            bias=bias,
        )
        self.sigma, self.mode = sigma, mode
        self.tracking, self.iterations = tracking, iterations
        self.tol, self.max_iter = tol, max_iter
        axes = self.weight.ndim - 2
        self._convolve, self._transposed, self._kernel_gradient = CONVOLUTIONS[axes]
        u = probe(self.weight.new_empty(1, out_channels, *(image_size,) * axes))
        self.register_buffer("u", u.clone())
        self._sensitivities: dict[bool, tuple[tuple[object, ...], Tensor]] = {}
        self._fresh = True  # nothing is computed until something is called

    def forward(self, input: Tensor) -> Tensor:
        output = self._convolve(input, self.normalized_weight(), self.bias, padding=self.padding)
        return cast(Tensor, output)

    def normalized_weight(self) -> Tensor:
        """The kernel of norm ``sigma``, as ``weight``, and differentiable in it."""
        norm = (self.weight * self._sensitivity()).sum()
        scale = self.sigma / norm.clamp_min(torch.finfo(norm.dtype).tiny)
        return self.weight * (scale.clamp_max(1) if self.mode == "bound" else scale)

    @property
    def caches(self) -> tuple[Tensor, ...]:
        """What is kept until the weight changes; memory counts know it from a leak."""
        return tuple(sensitivity for _, sensitivity in self._sensitivities.values())

    def fix_cost(self, steps: int) -> None:
        """Look at no value any more, and take at most so many steps, in either mode."""
        self.iterations = min(self.iterations, steps)
        self.tol, self.max_iter, self._fresh = 0.0, self.iterations, False

    def refresh(self) -> None:
        """Compute ``u`` to the tolerance, and forget every norm."""
        self.u = self._left_vector(probe(self.u), self.tol, self.max_iter)
        self._sensitivities.clear()

    def _sensitivity(self) -> Tensor:
        """The norm's derivative in the weight; their inner product is the norm itself.

        So the singular vectors need not be convolved again in every forward pass.
        """
        weight = self.weight
        current = (id(weight), weight._version, weight.device, weight.dtype)
        known, sensitivity = self._sensitivities.get(self.training, (None, weight))
        if known != current:
            with torch.no_grad():
                sensitivity = self._determine()
            self._sensitivities[self.training] = (current, sensitivity)
        return sensitivity

    def _determine(self) -> Tensor:
        if not self.training:
            # near the answer, and yet with a part in every direction: u may be another's
            start = _unit(self.u) + 0.3 * _unit(probe(self.u))
            u, v = self._power_iteration(self._left_vector(start, self.tol, self.max_iter))
        elif self._fresh or self.tracking == "lanczos":
            # a random vector's gain is far too small: the first steps would have a wild network
            iterations = FIRST_ITERATIONS if self._fresh else self.iterations
            u, v = self._power_iteration(self._left_vector(self.u, 0.0, iterations))
        else:
            u, v = self._power_iteration(self.u)
            for _ in range(self.iterations - 1):
                u, v = self._power_iteration(u)
        if self.training:
            self.u, self._fresh = u, False
        # <u, conv(v, W)> is linear in W; this is what W is multiplied with
        gradient = self._kernel_gradient(v, self.weight.shape, u, padding=self.padding)
        return cast(Tensor, gradient)

    def _load_from_state_dict(self, *arguments: Any) -> None:
        super()._load_from_state_dict(*arguments)
        self._fresh = False  # `u` goes on from where it was saved

    def _power_iteration(self, u: Tensor) -> tuple[Tensor, Tensor]:
        v = _unit(self._adjoint(u))
        return _unit(self._apply_kernel(v)), v

    def _left_vector(self, start: Tensor, tol: float, max_iter: int) -> Tensor:
        def normal(u: Tensor) -> Tensor:
            return self._apply_kernel(self._adjoint(u))

        return operator_norm(normal, start, tol=tol, max_iter=max_iter).direction

    def _apply_kernel(self, v: Tensor) -> Tensor:
        return cast(Tensor, self._convolve(v, self.weight, padding=self.padding))

    def _adjoint(self, u: Tensor) -> Tensor:
        return cast(Tensor, self._transposed(u, self.weight, padding=self.padding))

    def __getstate__(self) -> dict[str, Any]:
        # a copy has another weight, whose version may once be that of this one
        return {**self.__dict__, "_sensitivities": {}}


class SpectralConv2d(SpectralConv, nn.Conv2d):
    """:class:`SpectralConv` of images ``(B, C, H, W)``."""


class SpectralConv3d(SpectralConv, nn.Conv3d):
    """:class:`SpectralConv` of series and volumes ``(B, C, T, H, W)``."""


def refresh_spectral_norms(module: nn.Module) -> None:
    """:meth:`SpectralConv.refresh` on every such layer of ``module``.

    Needed only after weights were set from outside without their ``u``; training needs no call.
    """
    for layer in module.modules():
        if isinstance(layer, SpectralConv):
            layer.refresh()


def conv_operator_norm(
    weight: Tensor,
    size: int | tuple[int, ...],
    *,
    padding: int | None = None,
    tol: float = 1e-4,
    max_iter: int = 150,
) -> Tensor:
    """The largest singular value of a zero-padded convolution on images of ``size``, 0-d.

    Args:
        weight: kernel ``(out, in, k, k)``, or ``(out, in, k, k, k)`` for volumes.
        size: of the input, pixels; in every direction, or in each.
        padding: zeros on each side; what keeps the size if None.
        tol, max_iter: residual, see :class:`OperatorNorm`.
    """
    axes = weight.ndim - 2
    sides = (size,) * axes if isinstance(size, int) else size
    convolve, transposed, _ = CONVOLUTIONS[axes]
    pad = weight.shape[-1] // 2 if padding is None else padding
    weight = weight.detach()

    def normal(v: Tensor) -> Tensor:
        return cast(Tensor, transposed(convolve(v, weight, padding=pad), weight, padding=pad))

    start = probe(weight.new_empty(1, weight.shape[1], *sides))
    return operator_norm(normal, start, tol=tol, max_iter=max_iter).norm[0]


def convolution(
    in_channels: int,
    out_channels: int,
    *,
    bias: bool,
    spectral_norm: float | None = None,
    image_size: int = 40,
    axes: int = 2,
) -> nn.Conv2d | nn.Conv3d:
    """A convolution 3x3 (or 3x3x3) that keeps the size, of this operator norm if one is given."""
    if spectral_norm is None:
        plain = nn.Conv2d if axes == 2 else nn.Conv3d
        return plain(in_channels, out_channels, 3, padding=1, bias=bias)
    spectral = SpectralConv2d if axes == 2 else SpectralConv3d
    return spectral(
        in_channels, out_channels, bias=bias, sigma=spectral_norm, image_size=image_size
    )


def scale_last(layer: nn.Module, factor: float) -> None:
    """Scale the initial parameters of a network's last layer.

    A spectral layer that is scaled keeps its norm as an upper bound only (``mode = "bound"``): with
    an exact one, a scale would do nothing.
    """
    if factor != 1 and isinstance(layer, SpectralConv):
        layer.mode = "bound"
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(factor)


def _unit(x: Tensor) -> Tensor:
    norm = torch.linalg.vector_norm(x)
    return cast(Tensor, x / norm.clamp_min(torch.finfo(x.dtype).tiny))
