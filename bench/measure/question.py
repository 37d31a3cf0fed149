"""What every measurement has in common: what it is about, and what it leaves.

A question is a module of this package with a frozen ``Config`` of its settings and a function
``measure(subject, config)`` that yields rows. :data:`bench.measure.questions.QUESTIONS` names them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from bench.objective import on_device
from bench.reconstructor import Recipe, Reconstructor
from bench.task import Batch, Sample, Split, Task


@dataclass(frozen=True)
class Measured:
    """One number.

    Attributes:
        phase: fit, evaluate, backward or attack.
        condition: every setting that the number depends on.
        sample: the image it is about, if it is about one.
        flag: empty, or why it is not to be trusted.
    """

    metric: str
    value: float
    unit: str = ""
    phase: str = "evaluate"
    condition: Mapping[str, Any] = field(default_factory=dict)
    sample: Sample | None = None
    flag: str = ""


@dataclass(frozen=True)
class Subject:
    """What is measured.

    Attributes:
        method: fitted, in evaluation mode, on the device.
        recipe: what it was fitted by, or would be.
        batch_size: of its training.
        retask: the same task with other fields.
        threads: of this process.
        shared: perturbations that another method's attack has left, by sample; empty if none.
        keep: writes perturbations where other measurements find them.
    """

    method: Reconstructor
    task: Task
    recipe: Recipe
    batch_size: int = 1
    device: str = "cpu"
    threads: int = 1
    retask: Callable[[Mapping[str, Any]], Task] | None = None
    shared: Mapping[str, Any] = field(default_factory=dict)
    keep: Callable[[Mapping[str, Tensor]], None] = lambda tensors: None

    def batch(self, split: Split, indices: Iterable[int], task: Task | None = None) -> Batch:
        """Samples of the task (or of a changed one), on the device."""
        batch = (task or self.task).batch(split, list(indices))
        return on_device(batch, torch.device(self.device))
