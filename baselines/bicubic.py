"""Bicubic interpolation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from bench.reconstructor import Reconstruction, Reconstructor, ReconstructorConfig


@dataclass(frozen=True)
class SuperResolutionConfig(ReconstructorConfig):
    """Base of every super-resolution method's configuration: luma alone."""

    channels: int = 1


class Bicubic(Reconstructor):
    """Antialiased bicubic interpolation of the measurements (Keys 1981, a = -0.5)."""

    name = "bicubic"
    family = "super-resolution"
    paper = "Keys 1981"
    bibtex = """@article{keys1981cubic,
  title={Cubic convolution interpolation for digital image processing},
  author={Keys, Robert G.},
  journal={IEEE Transactions on Acoustics, Speech, and Signal Processing},
  volume={29}, number={6}, pages={1153--1160}, year={1981}}"""
    tasks = ("superres",)
    Config = SuperResolutionConfig
    config: SuperResolutionConfig

    def reconstruct(self, y: Tensor, physics: Any, x0: Tensor | None = None) -> Reconstruction:
        return Reconstruction(physics.upsample(y))
