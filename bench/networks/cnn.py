"""The plain convolutional network of MoDL, MOL and MnM-MOL."""

from __future__ import annotations

import itertools
from typing import Any, cast

from torch import Tensor, nn

from bench.networks.spectral_norm import convolution, scale_last

# how the released checkpoints of MOL and MnM-MOL name five convolutions, a ReLU between each two:
# expressions for whole names, and what they are in a method with ``network`` and ``lam``
RELEASED_NAMES = {r"f\.lam": "lam"} | {
    rf"f\.dw\.net\.{i}\.conv\.(\w+)": rf"network.layers.{2 * i}.\1" for i in range(5)
}


class PlainCNN(nn.Module):
    """``depth`` convolutions 3x3 with ReLU between them, no skip connection.

    ``(B, channels, H, W) -> (B, channels, H, W)``, or with a third axis. With 2 channels, 64
    features and 5 layers: 113,154 parameters with convolution bias and no batch norm (MOL,
    MnM-MOL); 113,412 without bias and with affine batch norm after every convolution (MoDL).

    Args:
        channels: image channels, 2 for complex images.
        width: features of the hidden layers.
        depth: number of convolutions, at least 2.
        bias: bias of the convolutions.
        batch_norm: affine batch norm after every convolution, the last one too.
        output_scale: factor on the initial weights of the last layer (a small one makes the
            network start near zero); other than 1, ``spectral_norm`` is an upper bound for
            that layer, not its norm.
        spectral_norm: operator norm of every convolution, at images of ``image_size`` pixels
            (:class:`SpectralConv2d`); None: convolutions as they are.
        axes: 2 for images, 3 for series and volumes ``(B, channels, T, H, W)``, whose kernels are
            3x3x3.
    """

    def __init__(
        self,
        channels: int = 2,
        width: int = 64,
        depth: int = 5,
        *,
        bias: bool = True,
        batch_norm: bool = False,
        output_scale: float = 1.0,
        spectral_norm: float | None = None,
        image_size: int = 40,
        axes: int = 2,
    ) -> None:
        super().__init__()
        options: dict[str, Any] = {"spectral_norm": spectral_norm, "image_size": image_size}
        options |= {"bias": bias, "axes": axes}
        batch_norm_of = nn.BatchNorm2d if axes == 2 else nn.BatchNorm3d
        features = [channels] + [width] * (depth - 1) + [channels]
        layers: list[nn.Module] = []
        for i, (inputs, outputs) in enumerate(itertools.pairwise(features)):
            layers.append(convolution(inputs, outputs, **options))
            if batch_norm:
                layers.append(batch_norm_of(outputs))
            if i < depth - 1:
                layers.append(nn.ReLU(inplace=True))
        self.layers = nn.Sequential(*layers)
        # the norm, where there is one: it would undo a scale of its convolution
        scale_last(layers[-1], output_scale)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.layers(x))
