"""RCAN: a very deep residual network with channel attention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from torch import Tensor, nn

from baselines.rdn import SubPixelConfig, SubPixelNetwork, upsampler
from bench.reconstructor import check

if TYPE_CHECKING:
    from bench.task import Task


@dataclass(frozen=True)
class RCANConfig(SubPixelConfig):
    """Published values by default.

    Attributes:
        groups: residual groups.
        blocks: residual channel attention blocks of a group.
        features: channels between blocks.
        reduction: of ``features`` within the attention.
    """

    groups: int = 10
    blocks: int = 20
    features: int = 64
    reduction: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("groups", "blocks", "features", "reduction"):
            check(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        whole = self.features % self.reduction == 0
        check(whole, "features", self.features, f"a multiple of reduction = {self.reduction}")


class RCAN(SubPixelNetwork):
    """Residual channel attention network (Zhang et al. 2018).

    On luma, so without the paper's subtraction of the training set's mean colour.
    """

    name = "rcan"
    paper = "arXiv:1807.02758"
    bibtex = """@inproceedings{zhang2018rcan,
  title={Image super-resolution using very deep residual channel attention networks},
  author={Zhang, Yulun and Li, Kunpeng and Li, Kai and Wang, Lichen and Zhong, Bineng and Fu, Yun},
  booktitle={European Conference on Computer Vision}, pages={286--301}, year={2018}}"""
    Config = RCANConfig
    config: RCANConfig

    def __init__(self, config: RCANConfig) -> None:
        super().__init__(config)
        width = config.features
        groups = [_group(config) for _ in range(config.groups)]
        self.network = nn.Sequential(
            _conv(config.channels, width),
            _Residual(*groups, _conv(width, width)),
            upsampler(width, width, config.channels, config.scale),
        )

    @classmethod
    def small(cls, task: Task) -> dict[str, Any]:
        return {**super().small(task), "groups": 2, "blocks": 2, "features": 8, "reduction": 4}


class _Residual(nn.Sequential):
    """``x + f(x)``."""

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for layer in self:
            y = layer(y)
        return x + y


class _ChannelAttention(nn.Module):
    """Every channel times a gate in (0, 1), from the means of all channels."""

    def __init__(self, width: int, reduction: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(width, width // reduction, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width // reduction, width, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, x * self.gate(x))


def _group(config: RCANConfig) -> nn.Module:
    width = config.features

    def block() -> nn.Module:
        attention = _ChannelAttention(width, config.reduction)
        return _Residual(_conv(width, width), nn.ReLU(inplace=True), _conv(width, width), attention)

    return _Residual(*(block() for _ in range(config.blocks)), _conv(width, width))


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)
