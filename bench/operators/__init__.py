"""Forward operators and linear solves."""

from bench.operators.downsampling import BicubicDownsampling
from bench.operators.linear_solve import (
    Solution,
    conjugate_gradient,
    project_onto_data,
    solve_normal_equations,
)
from bench.operators.multicoil_mri import MultiCoilMRI

__all__ = [
    "BicubicDownsampling",
    "MultiCoilMRI",
    "Solution",
    "conjugate_gradient",
    "project_onto_data",
    "solve_normal_equations",
]
