"""What every forward operator of ours does: count its applications, and be its own derivative."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.deepinv_import import deepinv

Map = Callable[[Tensor], Tensor]


@dataclass
class OperatorCount:
    """Applications of A and of its adjoint, summed over samples (a fused A^H A counts in both).

    Those of backward passes too. Exact solves (``solve_normal``, ``A_dagger``) apply neither.
    """

    forward: int = 0
    adjoint: int = 0


class _Linear(torch.autograd.Function):
    """A linear map whose derivative is given by its adjoint, so that autograd stores nothing."""

    @staticmethod
    def forward(x: Tensor, forward: Map, adjoint: Map) -> Tensor:
        return forward(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, ctx.map, ctx.adjoint = inputs

    @staticmethod
    def backward(ctx: Any, *grad: Any) -> Any:
        return linear(grad[0], ctx.adjoint, ctx.map), None, None

    @staticmethod
    def jvp(ctx: Any, *tangent: Any) -> Any:
        return linear(tangent[0], ctx.map, ctx.adjoint)


def linear(x: Tensor, map_: Map, adjoint: Map) -> Tensor:
    """``map_(x)``, differentiable to any order, forwards and backwards, by ``adjoint``."""
    apply: Any = _Linear.apply
    output: Tensor = apply(x, map_, adjoint)
    return output


class LinearOperator(deepinv.physics.LinearPhysics):
    """An operator by its maps ``_forward`` and ``_adjoint`` (and ``_normal``, where it is cheaper).

    The same for all samples of a batch. One that is not selects in :meth:`select`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.count = OperatorCount()

    def A(self, x: Tensor, **_: Any) -> Tensor:  # noqa: N802
        """Image ``(B, C, H, W)`` to measurements."""
        return linear(x, self._counted_forward, self._counted_adjoint)

    def A_adjoint(self, y: Tensor, **_: Any) -> Tensor:  # noqa: N802
        """Measurements to image ``(B, C, H, W)``: the exact adjoint."""
        return linear(y, self._counted_adjoint, self._counted_forward)

    def A_adjoint_A(self, x: Tensor, **_: Any) -> Tensor:  # noqa: N802
        """The normal operator, image to image ``(B, C, H, W)``."""
        return linear(x, self._counted_normal, self._counted_normal)

    def _counted_forward(self, x: Tensor) -> Tensor:
        self.count.forward += x.shape[0]
        return self._forward(x)

    def _counted_adjoint(self, y: Tensor) -> Tensor:
        self.count.adjoint += y.shape[0]
        return self._adjoint(y)

    def _counted_normal(self, x: Tensor) -> Tensor:
        self.count.forward += x.shape[0]
        self.count.adjoint += x.shape[0]
        return self._normal(x)

    def _forward(self, x: Tensor) -> Tensor:
        raise TypeError(f"{type(self).__name__} has no forward map")

    def _adjoint(self, y: Tensor) -> Tensor:
        raise TypeError(f"{type(self).__name__} has no adjoint map")

    def _normal(self, x: Tensor) -> Tensor:
        return self._adjoint(self._forward(x))

    def select(self, indices: Tensor) -> LinearOperator:
        """The operator of these samples of the batch."""
        return self
