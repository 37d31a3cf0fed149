"""Building blocks that methods and baselines share."""

from bench.networks.cnn import RELEASED_NAMES, PlainCNN
from bench.networks.dncnn import DnCNN
from bench.networks.spectral_norm import (
    SpectralConv2d,
    SpectralConv3d,
    conv_operator_norm,
    refresh_spectral_norms,
)

__all__ = [
    "RELEASED_NAMES",
    "DnCNN",
    "PlainCNN",
    "SpectralConv2d",
    "SpectralConv3d",
    "conv_operator_norm",
    "refresh_spectral_norms",
]
