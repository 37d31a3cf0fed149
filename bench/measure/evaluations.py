"""How many network evaluations: counted where the calls happen, not where they are claimed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from bench.reconstructor import Reconstructor


@dataclass
class EvaluationCount:
    """Network calls, summed over the samples that each call was made with."""

    network: int = 0


@contextlib.contextmanager
def count_evaluations(method: Reconstructor) -> Iterator[EvaluationCount]:
    """Count the calls of ``method.networks()`` with pre-forward hooks while the block runs."""
    count = EvaluationCount()

    def hook(_module: Any, inputs: tuple[Tensor, ...]) -> None:
        count.network += inputs[0].shape[0]

    networks = method.networks() or ()
    handles = [network.register_forward_pre_hook(hook) for network in networks]
    try:
        yield count
    finally:
        for handle in handles:
            handle.remove()
