"""Forward operators and linear solves."""

from bench.operators.linear_solve import Solution, conjugate_gradient, solve_normal_equations
from bench.operators.multicoil_mri import MultiCoilMRI

__all__ = ["MultiCoilMRI", "Solution", "conjugate_gradient", "solve_normal_equations"]
