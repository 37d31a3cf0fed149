"""SRCNN: three convolutions after bicubic interpolation."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

from baselines.bicubic import SuperResolutionConfig
from bench.reconstructor import Layout, Recipe, Reconstruction, Reconstructor, Trace, check

if TYPE_CHECKING:
    from bench.task import Task


@dataclass(frozen=True)
class SRCNNConfig(SuperResolutionConfig):
    """The 9-5-5 network of the journal paper, as released with SR-MCNet, by default.

    Attributes:
        kernels: sides of the three convolutions, odd.
        features: channels after the first and the second.
    """

    kernels: tuple[int, int, int] = (9, 5, 5)
    features: tuple[int, int] = (64, 32)

    def __post_init__(self) -> None:
        super().__post_init__()
        odd = all(kernel >= 1 and kernel % 2 for kernel in self.kernels)
        check(odd, "kernels", self.kernels, "odd numbers")
        check(min(self.features) >= 1, "features", self.features, "at least 1")


class SRCNN(Reconstructor):
    """Bicubic interpolation, then three convolutions with ReLU between (Dong et al. 2016).

    Convolutions pad with zeros. Released weights load as ``network.load_state_dict``.
    """

    name = "srcnn"
    family = "super-resolution"
    paper = "arXiv:1501.00092"
    bibtex = """@article{dong2016srcnn,
  title={Image super-resolution using deep convolutional networks},
  author={Dong, Chao and Loy, Chen Change and He, Kaiming and Tang, Xiaoou},
  journal={IEEE Transactions on Pattern Analysis and Machine Intelligence},
  volume={38}, number={2}, pages={295--307}, year={2016}}"""
    tasks = ("superres",)
    layouts: ClassVar = {
        "sr-mcnet": Layout(rename={r"(conv[123]\.(?:weight|bias))": r"network.\1"})
    }
    Config = SRCNNConfig
    config: SRCNNConfig

    def __init__(self, config: SRCNNConfig) -> None:
        super().__init__(config)
        widths = (config.channels, *config.features, config.channels)
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for i, kernel in enumerate(config.kernels):
            conv = nn.Conv2d(widths[i], widths[i + 1], kernel, padding=kernel // 2)
            layers[f"conv{i + 1}"] = conv
            if i < 2:
                layers[f"relu{i + 1}"] = nn.ReLU(inplace=True)
        self.network = nn.Sequential(layers)

    @classmethod
    def small(cls, task: Task) -> dict[str, Any]:
        return {**super().small(task), "features": (8, 4)}

    def reconstruct(self, y: Tensor, physics: Any, x0: Tensor | None = None) -> Reconstruction:
        image = self.network(physics.upsample(y))
        return Reconstruction(image, traces=(Trace.unrolled(image, 1, 1),))

    def networks(self) -> tuple[nn.Module, ...]:
        return (self.network,)

    def recipe(self) -> Recipe:
        """The paper's rates, a tenth for the last layer; Adam here where it has SGD."""
        last = {f"network.conv3.{name}": 1e-5 for name in ("weight", "bias")}
        return Recipe(learning_rate=1e-4, group_rates=last)
