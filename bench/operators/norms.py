"""Norms and factors of each sample of a batch."""

from __future__ import annotations

import torch
from torch import Tensor


def sample_norms(x: Tensor) -> Tensor:
    """Euclidean norm of every sample, ``(B, ...) -> (B,)``."""
    norms: Tensor = torch.linalg.vector_norm(x.flatten(1), dim=1)
    return norms


def relative_norms(difference: Tensor, reference: Tensor) -> Tensor:
    """``||difference|| / ||reference||`` of every sample, ``(B,)``; 0 / 0 is 0.

    NaN where the reference has overflowed: a finite difference over infinity would pass for 0.
    """
    norms = sample_norms(reference)
    ratios = sample_norms(difference) / norms.clamp_min(torch.finfo(norms.dtype).tiny)
    return torch.where(torch.isinf(norms), torch.nan, ratios)


def per_sample(factors: Tensor, x: Tensor) -> Tensor:
    """Factors ``(B,)`` in a shape that multiplies the samples of ``x (B, ...)``."""
    return factors.view(-1, *(1,) * (x.ndim - 1))
