"""The adjoint image: unmeasured k-space left at zero."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from bench.reconstructor import IMAGES, VOLUMES, Reconstruction, Reconstructor


class ZeroFilled(Reconstructor):
    """``A^H y``: what the measurements give without any reconstruction."""

    name = "zero-filled"
    family = "classical"
    paper = "-"
    tasks: ClassVar = (*IMAGES, *VOLUMES)

    def reconstruct(self, y: Tensor, physics: Any, x0: Tensor | None = None) -> Reconstruction:
        return Reconstruction(physics.A_adjoint(y))
