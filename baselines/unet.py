"""A U-Net on the SENSE image, with a residual connection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.operators.sense import sense_image
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
class UNetConfig(ReconstructorConfig):
    """Two poolings as in MOL's comparison; its width is not known, 32 is fastMRI's.

    Attributes:
        width: features of the first level, doubled at every pooling.
        pools: number of poolings.
        start_iterations, start_tol: conjugate gradients of the SENSE image.
    """

    width: int = 32
    pools: int = 2
    start_iterations: int = 50
    start_tol: float = 1e-6

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.width >= 1, "width", self.width, "at least 1")
        check(self.pools >= 1, "pools", self.pools, "at least 1")
        check(self.start_iterations >= 1, "start_iterations", self.start_iterations, "at least 1")
        check(self.start_tol >= 0, "start_tol", self.start_tol, "0 or more")


class PaddedUNet(nn.Module):
    """fastMRI's U-Net for images ``(B, C, H, W)`` of any size.

    Zeros extend the sides to what can be halved at every pooling. (fastMRI mirrors inside the
    decoder, which loses what pooling cut off, and looks at a tensor's value to decide on it, which
    fake tensors do not have. So its layers are run here.)

    Args:
        unet: a ``fastmri.models.Unet``.
    """

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet: Any = unet

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        multiple = 2**self.unet.num_pool_layers
        bottom, right = -height % multiple, -width % multiple
        top, left = bottom // 2, right // 2
        x = F.pad(x, (left, right - left, top, bottom - top))
        return self._layers(x)[..., top : top + height, left : left + width]

    def _layers(self, x: Tensor) -> Tensor:
        kept = []
        for layer in self.unet.down_sample_layers:
            kept.append(layer(x))
            x = F.avg_pool2d(kept[-1], 2)
        x = self.unet.conv(x)
        for up, conv in zip(self.unet.up_transpose_conv, self.unet.up_conv, strict=True):
            x = conv(torch.cat([up(x), kept.pop()], 1))
        return x


class UNet(Reconstructor):
    """``x + U(x)`` with x the SENSE image; nothing holds the result to the data.

    U is fastMRI's U-Net. Its blocks have instance norm, where the U-Net that MOL was compared with
    has no normalisation at all. Instance norm also takes the scale out of U's input, so U's part
    of the image does not follow the scale of the data.

    Sources: Ronneberger et al. 2015; Zbontar et al. 2018 (fastMRI); MOL for poolings and input.
    """

    name = "unet"
    family = "network"
    paper = "arXiv:1505.04597"
    bibtex = """@inproceedings{ronneberger2015unet,
  title={{U-Net}: Convolutional networks for biomedical image segmentation},
  author={Ronneberger, Olaf and Fischer, Philipp and Brox, Thomas},
  booktitle={Medical Image Computing and Computer-Assisted Intervention},
  pages={234--241}, year={2015}}"""
    Config = UNetConfig
    config: UNetConfig

    def __init__(self, config: UNetConfig) -> None:
        super().__init__(config)
        # here, for fastmri needs pandas and h5py, which training of other methods does not
        from fastmri.models import Unet

        channels = config.channels
        self.network = PaddedUNet(Unet(channels, channels, config.width, config.pools))

    def reconstruct(self, y: Tensor, physics: Any, x0: Tensor | None = None) -> Reconstruction:
        x = self._start(y, physics) if x0 is None else x0
        image: Tensor = x + self.network(x)
        return Reconstruction(image, traces=(Trace.unrolled(image, 1, 1),))

    def _start(self, y: Tensor, physics: Any) -> Tensor:
        config = self.config
        return sense_image(y, physics, tol=config.start_tol, max_iter=config.start_iterations)

    def networks(self) -> tuple[nn.Module, ...]:
        return (self.network,)

    def recipe(self) -> Recipe:
        """Adam 1e-3 on the complex image (as a backbone its phase counts); MOL's is not known."""
        return Recipe(loss="complex", learning_rate=1e-3)

    @classmethod
    def small(cls, task: Task) -> dict[str, Any]:
        return {**super().small(task), "width": 4}
