"""How images lie in memory while convolutions work on them."""

from __future__ import annotations

import torch
from torch import Tensor


def channels_last(x: Tensor) -> Tensor:
    """``x (B, C, H, W)`` with a pixel's channels side by side, where convolutions are faster so.

    That is on the CPU in float32 (docs/performance.md); elsewhere ``x`` as it is. What a network
    returns goes through ``.contiguous()``, so that nobody outside of it notices.
    """
    if x.device.type == "cpu" and x.dtype == torch.float32 and x.ndim == 4:
        return x.contiguous(memory_format=torch.channels_last)
    return x
