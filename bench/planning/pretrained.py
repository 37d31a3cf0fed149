"""Checkpoints that come with the package, in the place of trainings (``--pretrained``)."""

from __future__ import annotations

from bench.planning.suite import MethodEntry, Suite, WeightsEntry
from bench.weights import CHECKPOINTS, SHIPPED

FOLDER, DATA = "reference", "phantom"  # whence they are, and what they were trained on


def with_pretrained(suite: Suite) -> Suite:
    """The suite with a checkpoint for every method that one was committed for.

    Their labels say what they were trained on, which need not be what the suite trains on. Other
    lines are as they were. That a network has the checkpoint's size is checked with the plan.
    """
    return suite.model_copy(update={"methods": [_method(entry) for entry in suite.methods]})


def _method(entry: MethodEntry) -> MethodEntry:
    file = f"{FOLDER}/{entry.name}.safetensors"
    if entry.weights or entry.unavailable or not (CHECKPOINTS / file).is_file():
        return entry
    backbone = entry.backbone
    return entry.model_copy(
        update={
            "label": f"{entry.shown_as} (pretrained: {DATA})",
            "weights": WeightsEntry(file=SHIPPED + file),
            "backbone": None if backbone is None else _method(backbone),
            "seeds": [0],
        }
    )
