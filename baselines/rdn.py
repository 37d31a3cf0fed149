"""RDN: densely connected blocks at the low resolution, and what it shares with RCAN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import Tensor, nn

from baselines.bicubic import SuperResolutionConfig
from bench.errors import InputError
from bench.reconstructor import Recipe, Reconstruction, Reconstructor, Trace, check

if TYPE_CHECKING:
    from bench.task import Task


@dataclass(frozen=True)
class SubPixelConfig(SuperResolutionConfig):
    """Base of networks that upsample last: ``scale`` is built into the network."""

    scale: Literal[2, 3, 4] = 2


class SubPixelNetwork(Reconstructor):
    """Measurements straight through ``self.network``, which ends with the image's size."""

    family = "super-resolution"
    tasks = ("superres",)
    Config = SubPixelConfig
    config: SubPixelConfig
    network: nn.Module

    @classmethod
    def for_task(cls, task: Task) -> dict[str, Any]:
        scale = getattr(task.config, "scale", None)
        return {**super().for_task(task), **({} if scale is None else {"scale": scale})}

    def reconstruct(self, y: Tensor, physics: Any, x0: Tensor | None = None) -> Reconstruction:
        """Luma ``(B, C, h, w)`` to ``(B, C, H, W)``, in one network evaluation.

        Raises:
            InputError: if the operator's scale is not the network's.
        """
        if physics.scale != self.config.scale:
            raise InputError(
                f"{self.name} is built for scale {self.config.scale}, measurements have"
                f" scale {physics.scale}",
                expected="config.scale as the task has it",
            )
        image = self.network(y)
        return Reconstruction(image, traces=(Trace.unrolled(image, 1, 1),))

    def networks(self) -> tuple[nn.Module, ...]:
        return (self.network,)

    def recipe(self) -> Recipe:
        """The papers' Adam at 1e-4; a cosine where they halve the rate four times.

        Squared error, which MCNet's comparison trains with too; the papers take absolute error.
        """
        return Recipe(learning_rate=1e-4, schedule="cosine")


def upsampler(inputs: int, features: int, outputs: int, scale: int) -> nn.Sequential:
    """Sub-pixel convolutions to ``scale`` times the size (x4: twice x2), and one to the image."""
    layers: list[nn.Module] = []
    for factor in (2, 2) if scale == 4 else (scale,):
        layers += [_conv(inputs, features * factor**2), nn.PixelShuffle(factor)]
        inputs = features
    return nn.Sequential(*layers, _conv(features, outputs))


def _conv(inputs: int, outputs: int, kernel: int = 3) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)


# ---------------------------------------------------------------------- RDN


@dataclass(frozen=True)
class RDNConfig(SubPixelConfig):
    """The paper's larger network by default (its ablations: 20 blocks of 6 layers, growth 32).

    Attributes:
        blocks: D, residual dense blocks.
        layers: C, convolutions of a block.
        growth: G, features that each of them adds.
        features: G0, features between blocks.
    """

    blocks: int = 16
    layers: int = 8
    growth: int = 64
    features: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("blocks", "layers", "growth", "features"):
            check(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")


class RDN(SubPixelNetwork):
    """Residual dense network (Zhang et al. 2018): every block's output is used at the end."""

    name = "rdn"
    paper = "arXiv:1802.08797"
    bibtex = """@inproceedings{zhang2018rdn,
  title={Residual dense network for image super-resolution},
  author={Zhang, Yulun and Tian, Yapeng and Kong, Yu and Zhong, Bineng and Fu, Yun},
  booktitle={IEEE Conference on Computer Vision and Pattern Recognition},
  pages={2472--2481}, year={2018}}"""
    Config = RDNConfig
    config: RDNConfig

    def __init__(self, config: RDNConfig) -> None:
        super().__init__(config)
        self.network = _ResidualDenseNetwork(config)

    @classmethod
    def small(cls, task: Task) -> dict[str, Any]:
        return {**super().small(task), "blocks": 2, "layers": 3, "growth": 8, "features": 8}


class _ResidualDenseNetwork(nn.Module):
    def __init__(self, config: RDNConfig) -> None:
        super().__init__()
        width = config.features
        self.shallow = _conv(config.channels, width)
        self.enter = _conv(width, width)
        self.blocks = nn.ModuleList(
            _DenseBlock(width, config.growth, config.layers) for _ in range(config.blocks)
        )
        self.fuse = nn.Sequential(_conv(config.blocks * width, width, 1), _conv(width, width))
        self.upsample = upsampler(width, config.growth, config.channels, config.scale)

    def forward(self, x: Tensor) -> Tensor:
        shallow = self.shallow(x)
        outputs = [self.enter(shallow)]
        for block in self.blocks:
            outputs.append(block(outputs[-1]))
        fused = self.fuse(torch.cat(outputs[1:], 1))
        return cast(Tensor, self.upsample(fused + shallow))


class _DenseBlock(nn.Module):
    """Each layer sees the block's input and all layers before it."""

    def __init__(self, width: int, growth: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_conv(width + i * growth, growth) for i in range(layers))
        self.fuse = _conv(width + layers * growth, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        features = x
        for layer in self.layers:
            features = torch.cat([features, torch.relu(layer(features))], 1)
        return cast(Tensor, x + self.fuse(features))
