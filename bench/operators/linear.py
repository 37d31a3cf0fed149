"""What every forward operator of ours does: count its applications, and be its own derivative."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Map = Callable[[Tensor], Tensor]


@dataclass
class OperatorCount:
    """Applications of A and of its adjoint, summed over samples (a fused A^H A counts in both)."""

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
