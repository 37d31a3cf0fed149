"""DnCNN, the denoiser of DEQ4IP and MCNet."""

from __future__ import annotations

from typing import Any, Literal, cast

from torch import Tensor, nn

from bench.networks.spectral_norm import convolution, scale_last


class DnCNN(nn.Module):
    """Convolutions 3x3 with ReLU between them, batch norm after all but the first and the last.

    ``(B, channels, H, W) -> (B, channels, H, W)``: what the layers give. Whether that is the image
    or the noise to subtract is up to the caller. Without bias, of 64 features: 557,184 parameters
    with 17 layers and batch norm on 2 channels (DEQ4IP), 148,608 with 6 layers and no batch norm on
    1 channel (MCNet).

    Args:
        channels: image channels, 2 for complex images.
        width: features of the hidden layers.
        depth: number of convolutions, at least 2.
        bias: bias of the convolutions.
        norm: affine batch norm on the ``depth - 2`` middle layers, or none.
        spectral_norm: operator norm of every convolution, at images of ``image_size`` pixels
            (:class:`SpectralConv2d`; batch norm itself is not bounded); None: convolutions as
            they are.
        output_scale: factor on the initial weights of the last layer (a small one makes the
            network start near zero); other than 1, ``spectral_norm`` is an upper bound for
            that layer, not its norm.

    Source: Zhang et al. 2017; Gilton, Ongie, Willett 2021; Mourya and Mota (MCNet).
    """

    def __init__(
        self,
        channels: int,
        width: int = 64,
        depth: int = 17,
        *,
        bias: bool = False,
        norm: Literal["batch", "none"] = "batch",
        spectral_norm: float | None = None,
        image_size: int = 40,
        output_scale: float = 1.0,
    ) -> None:
        super().__init__()
        options: dict[str, Any] = {
            "bias": bias,
            "spectral_norm": spectral_norm,
            "image_size": image_size,
        }
        layers: list[nn.Module] = [convolution(channels, width, **options), nn.ReLU(inplace=True)]
        for _ in range(depth - 2):
            layers.append(convolution(width, width, **options))
            if norm == "batch":
                layers.append(nn.BatchNorm2d(width))
            layers.append(nn.ReLU(inplace=True))
        layers.append(convolution(width, channels, **options))
        self.layers = nn.Sequential(*layers)
        scale_last(layers[-1], output_scale)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.layers(x))
