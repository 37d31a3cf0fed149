"""Forward operators and linear solves."""

from bench.operators.blur import Blur, gaussian_kernel
from bench.operators.downsampling import BicubicDownsampling
from bench.operators.linear_solve import (
    Solution,
    conjugate_gradient,
    project_onto_data,
    solve_normal_equations,
)
from bench.operators.multicoil_mri import MultiCoilMRI
from bench.operators.tomography import ParallelBeam

__all__ = [
    "BicubicDownsampling",
    "Blur",
    "MultiCoilMRI",
    "ParallelBeam",
    "Solution",
    "conjugate_gradient",
    "gaussian_kernel",
    "project_onto_data",
    "solve_normal_equations",
]
