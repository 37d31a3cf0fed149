"""The plain convolutional network of MoDL, MOL and MnM-MOL."""

from __future__ import annotations

import itertools
from typing import cast

import torch
from torch import Tensor, nn


class PlainCNN(nn.Module):
    """``depth`` convolutions 3x3 with ReLU between them, no skip connection.

    ``(B, channels, H, W) -> (B, channels, H, W)``. With 2 channels, 64 features and 5 layers:
    113,154 parameters with convolution bias and no batch norm (MOL, MnM-MOL); 113,412 without bias
    and with affine batch norm after every convolution (MoDL).

    Args:
        channels: image channels, 2 for complex images.
        width: features of the hidden layers.
        depth: number of convolutions, at least 2.
        bias: bias of the convolutions.
        batch_norm: affine batch norm after every convolution, the last one too.
        output_scale: factor on the initial weights of the last layer (a small one makes the
            network start near zero).
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
    ) -> None:
        super().__init__()
        features = [channels] + [width] * (depth - 1) + [channels]
        layers: list[nn.Module] = []
        for i, (inputs, outputs) in enumerate(itertools.pairwise(features)):
            layers.append(nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias))
            if batch_norm:
                layers.append(nn.BatchNorm2d(outputs))
            if i < depth - 1:
                layers.append(nn.ReLU(inplace=True))
        self.layers = nn.Sequential(*layers)
        last = layers[-1]  # the norm, where there is one: it would undo a scale of its convolution
        with torch.no_grad():
            for parameter in last.parameters():
                parameter.mul_(output_scale)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.layers(x))
