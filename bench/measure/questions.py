"""The questions that a suite can ask, by name."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Question:
    """Where a question is answered.

    Attributes:
        module, class_name: that measures, and its settings there. Imported when it is asked, so
            that a job's key depends on its own question's code alone.
        alone: nothing else runs beside it on the machine.
        needs_fit: else the method is measured as it is initialised.
    """

    module: str
    class_name: str
    alone: bool = False
    needs_fit: bool = True

    def config(self) -> type[Any]:
        """The settings' dataclass."""
        found: type[Any] = getattr(importlib.import_module(self.module), self.class_name)
        return found


QUESTIONS = {
    "memory": Question("bench.measure.peaks", "MemoryConfig", needs_fit=False),
    "batch-size": Question("bench.measure.batch_size", "BatchSizeConfig", needs_fit=False),
    "evaluations": Question("bench.measure.evaluations", "EvaluationsConfig"),
    "guarantees": Question("bench.measure.guarantees", "GuaranteesConfig"),
    "basin": Question("bench.measure.basin", "BasinConfig"),
    "coverage": Question("bench.measure.coverage", "CoverageConfig"),
    "robustness": Question("bench.measure.robustness", "RobustnessConfig"),
    "shift": Question("bench.measure.shift", "ShiftConfig"),
    "time": Question("bench.measure.timing", "TimeConfig", alone=True),
}
