"""SENSE with a quadratic regulariser, its weight tuned on the validation split."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from bench.operators.sense import sense_image
from bench.reconstructor import (
    IMAGES,
    VOLUMES,
    Recipe,
    Reconstruction,
    Reconstructor,
    ReconstructorConfig,
    Search,
    check,
)

# the search budget that every tuned baseline gets: 13 values, four a decade
SEARCH_VALUES = tuple(float(10 ** (-3 + k / 4)) for k in range(13))


@dataclass(frozen=True)
class SenseConfig(ReconstructorConfig):
    """``weight`` before tuning; conjugate gradients stop at ``tol`` or ``max_iter``."""

    weight: float = 0.03
    tol: float = 1e-6
    max_iter: int = 50

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.weight > 0, "weight", self.weight, "above 0")
        check(self.max_iter >= 1, "max_iter", self.max_iter, "at least 1")


class Sense(Reconstructor):
    """``x = (A^H A + w I)^-1 A^H y`` (Pruessmann et al. 2001, regularised)."""

    name = "sense"
    family = "classical"
    paper = "Pruessmann et al. 2001"
    bibtex = """@article{pruessmann2001sense,
  title={Advances in sensitivity encoding with arbitrary k-space trajectories},
  author={Pruessmann, Klaas P. and Weiger, Markus and B{\\"o}rnert, Peter and Boesiger, Peter},
  journal={Magnetic Resonance in Medicine}, volume={46}, pages={638--651}, year={2001}}"""
    Config = SenseConfig
    tasks: ClassVar = (*IMAGES, *VOLUMES)
    config: SenseConfig

    def __init__(self, config: SenseConfig) -> None:
        super().__init__(config)
        self.register_buffer("weight", torch.tensor(config.weight))

    def reconstruct(self, y: Tensor, physics: Any, x0: Tensor | None = None) -> Reconstruction:
        config = self.config
        shift = self.weight.to(y.dtype)
        return Reconstruction(
            sense_image(
                y, physics, weight=1.0, shift=shift, tol=config.tol, max_iter=config.max_iter
            )
        )

    def with_solver(
        self,
        tol: float | None = None,
        max_iter: int | None = None,
        fixed_iterations: int | None = None,
    ) -> Self:
        """Its iterations regularise: only a fixed number of them is another setting."""
        if fixed_iterations is None:
            return self
        return self.view(config=replace(self.config, tol=0.0, max_iter=fixed_iterations))

    def recipe(self) -> Recipe:
        return Recipe(stages=(), search=Search("weight", SEARCH_VALUES))
