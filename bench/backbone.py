"""Methods that stand on another method of the registry, which is fitted first and then frozen."""

from __future__ import annotations

from typing import Any, Self

from bench.reconstructor import Backbone, Reconstructor
from bench.registry import create_method, method_class
from bench.task import Task

DEFAULT = "unet"  # the MCNet paper's for MRI
LUMA = "srcnn"  # of a single channel


class OnBackbone(Reconstructor):
    """A method that refines the image of ``config.backbone``; inherit from it first.

    The backbone is a fit of its own (:meth:`requires`), stays in evaluation mode, and is not
    trained again. What a task says of it, the task says of the backbone as well.
    """

    backbone: Reconstructor

    def stand_on(self, backbone: Backbone, channels: int) -> None:
        """Build the backbone; to be called in the constructor."""
        self.backbone = create_method(backbone.method, **{"channels": channels, **backbone.config})
        self.backbone.requires_grad_(False)

    @classmethod
    def for_task(cls, task: Task) -> dict[str, Any]:
        name = _default(task)
        backbone = {"method": name, "config": method_class(name).for_task(task)}
        return {**super().for_task(task), "backbone": backbone}

    @classmethod
    def small(cls, task: Task) -> dict[str, Any]:
        values = super().small(task)  # by for_task, where no other class says more
        name = values["backbone"]["method"]
        return {**values, "backbone": {"method": name, "config": method_class(name).small(task)}}

    def supports(self, task: Task) -> bool:
        return super().supports(task) and self.backbone.supports(task)

    def requires(self) -> dict[str, Reconstructor]:
        return {"backbone": self.backbone}

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.backbone.eval()
        return self


def _default(task: Task) -> str:
    return LUMA if task.channels == 1 else DEFAULT
