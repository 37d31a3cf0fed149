"""The end-to-end variational network, with known coil maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from baselines.unet import PaddedUNet
from bench.reconstructor import (
    Recipe,
    Reconstruction,
    Reconstructor,
    ReconstructorConfig,
    Trace,
    check,
)
from bench.task import Task


@dataclass(frozen=True)
class VarNetConfig(ReconstructorConfig):
    """Published values by default.

    Attributes:
        cascades: number of blocks, each with its own network.
        width: features of a U-Net's first level, doubled at every pooling.
        pools: poolings, 4 at most (fastMRI's U-Net pads its input to multiples of 16).
    """

    cascades: int = 12
    width: int = 18
    pools: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.channels == 2, "channels", self.channels, "2, a complex image")
        check(self.cascades >= 1, "cascades", self.cascades, "at least 1")
        check(self.width >= 1, "width", self.width, "at least 1")
        check(1 <= self.pools <= 4, "pools", self.pools, "1 to 4")


class VarNet(Reconstructor):
    """K blocks on full k-space, ``k <- k - η M(k - y) - F S U(S^H F^H k)``, from ``k = y``.

    ``M (k - y)`` keeps k-space near the measurements: η is learned, and starts at 1, which puts
    them in place. U is a U-Net on the coil-combined image, normalised to zero mean and unit
    deviation and scaled back, so that the image follows the scale of the data.

    Departures: the blocks are fastMRI's, but the coil maps S are the task's (fastMRI estimates them
    by a network of its own), and the image is ``S^H F^H k``, which has a phase (fastMRI's is the
    root of the sum of squares over coils). U's normalisation is undefined for an image that is
    constant: measurements that are all zero give NaN.

    Source: Sriram et al. 2020.
    """

    name = "varnet"
    family = "unrolled"
    paper = "arXiv:2004.06688"
    bibtex = """@inproceedings{sriram2020varnet,
  title={End-to-end variational networks for accelerated {MRI} reconstruction},
  author={Sriram, Anuroop and Zbontar, Jure and Murrell, Tullie and Defazio, Aaron and
    Zitnick, C. Lawrence and Yakubova, Nafissa and Knoll, Florian and Johnson, Patricia},
  booktitle={Medical Image Computing and Computer-Assisted Intervention},
  pages={64--73}, year={2020}}"""
    scale_equivariant = True
    tasks: ClassVar = ("mri-multicoil",)
    Config = VarNetConfig
    config: VarNetConfig

    def __init__(self, config: VarNetConfig) -> None:
        super().__init__(config)
        # here, for fastmri needs pandas and h5py, which training of other methods does not
        from fastmri.models.varnet import NormUnet, VarNetBlock

        self.cascades = nn.ModuleList()
        for _ in range(config.cascades):
            model = NormUnet(config.width, config.pools)
            model.unet = PaddedUNet(model.unet)
            self.cascades.append(VarNetBlock(model))

    def reconstruct(self, y: Tensor, physics: Any, x0: Tensor | None = None) -> Reconstruction:
        maps = torch.view_as_real(physics.coil_maps)
        kspace = self.kspace(y, physics, x0)
        combined = self._block.sens_reduce(kspace, maps)  # (B, 1, H, W, 2)
        image = combined[:, 0].movedim(-1, 1).contiguous()
        count = self.config.cascades
        return Reconstruction(image, traces=(Trace.unrolled(image, count, count),))

    def kspace(self, y: Tensor, physics: Any, x0: Tensor | None = None) -> Tensor:
        """The last block's k-space, sampled or not, in fastMRI's layout ``(B, N, H, W, 2)``.

        Args:
            y: measurements ``(B, 2, N, H, W)``.
            physics: multi-coil MRI with ``mask (B or 1, 1, H or 1, W)`` and ``coil_maps``.
            x0: image ``(B, 2, H, W)`` whose k-space is the first, instead of ``y``.
        """
        mask = physics.mask.unsqueeze(-1) > 0
        maps = torch.view_as_real(physics.coil_maps)
        measured = to_fastmri(y) * mask
        kspace: Tensor = measured
        if x0 is not None:
            kspace = self._block.sens_expand(x0.movedim(1, -1).unsqueeze(1).contiguous(), maps)
        for block in self.cascades:
            kspace = block(kspace, measured, mask, maps)
        return kspace

    @property
    def _block(self) -> Any:
        """Any block: what it does to change between image and k-space has no parameters."""
        return self.cascades[0]

    def networks(self) -> tuple[nn.Module, ...]:
        blocks: list[Any] = list(self.cascades)
        return tuple(block.model for block in blocks)

    def recipe(self) -> Recipe:
        """Adam 3e-4 (fastMRI). Its loss is SSIM of magnitudes; here their squared error."""
        return Recipe(loss="magnitude", learning_rate=3e-4)

    @classmethod
    def small(cls, task: Task) -> dict[str, Any]:
        return {**super().small(task), "cascades": 2, "width": 4, "pools": 2}


def to_fastmri(y: Tensor) -> Tensor:
    """k-space ``(B, 2, N, H, W)`` in fastMRI's layout, ``(B, N, H, W, 2)``."""
    return y.movedim(1, -1).contiguous()
