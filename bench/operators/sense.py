"""The SENSE image: regularised least squares by conjugate gradients."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from bench.operators.linear_solve import solve_normal_equations


def sense_image(
    y: Tensor,
    physics: Any,
    *,
    weight: float | Tensor = 100.0,
    shift: float | Tensor = 1.001,
    tol: float = 1e-6,
    max_iter: int = 50,
) -> Tensor:
    """``(w A^H A + s I)^-1 w A^H y`` from zero, ``(B, 2, H, W)``.

    Always by iterations, whose number regularises too. Differentiable in the measurements, by a
    solve of its own.

    The defaults are the initial guess of MOL, MnM-MOL and MoDL in the authors' code (w = 100,
    s = 1.001, 50 iterations). In the common form ``(A^H A + mu I)^-1 A^H y``, mu = s / w.
    """
    rhs = weight * physics.A_adjoint(y)
    return solve_normal_equations(
        physics, rhs, weight, shift, tol=tol, max_iter=max_iter, exact=False
    )
