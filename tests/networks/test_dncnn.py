"""DnCNN's published parameter counts, and its layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bench.networks import DnCNN, SpectralConv2d


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(("channels", "expected"), [(1, 556_032), (2, 557_184), (3, 558_336)])
def test_parameters_of_17_layers(channels: int, expected: int) -> None:
    assert count(DnCNN(channels)) == expected


def test_parameters_of_6_layers() -> None:
    assert count(DnCNN(1, depth=6, norm="none")) == 148_608


def test_spectral_norm_adds_no_parameters() -> None:
    plain, normalized = DnCNN(1, 8, 4), DnCNN(1, 8, 4, spectral_norm=1.0, image_size=8)
    assert count(normalized) == count(plain)
    layers = [m for m in normalized.modules() if isinstance(m, SpectralConv2d)]
    assert len(layers) == 4
    assert all(layer.u.shape[2:] == (8, 8) for layer in layers)


def test_layers() -> None:
    kinds = [type(layer).__name__ for layer in DnCNN(1, 8, 4).layers]
    middle = ["Conv2d", "BatchNorm2d", "ReLU"]
    assert kinds == ["Conv2d", "ReLU", *middle, *middle, "Conv2d"]
    assert [type(layer).__name__ for layer in DnCNN(1, 8, 2).layers] == ["Conv2d", "ReLU", "Conv2d"]
    network = DnCNN(2, 8, 5, bias=True)
    assert network(torch.randn(3, 2, 9, 7)).shape == (3, 2, 9, 7)


@pytest.mark.parametrize("spectral_norm", [None, 1.0])
def test_output_scale(spectral_norm: float | None) -> None:
    """The output is linear in the last layer; a norm that is to be 1 exactly would undo that."""
    outputs = []
    for scale in (0.1, 0.01):
        torch.manual_seed(0)
        network = DnCNN(2, 8, 4, spectral_norm=spectral_norm, image_size=12, output_scale=scale)
        with torch.no_grad():
            outputs.append(network.eval()(torch.ones(1, 2, 12, 12)))
    torch.testing.assert_close(outputs[0], 10 * outputs[1])
