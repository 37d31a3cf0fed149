"""Any reconstructor of deepinv as a method: ``deepinv:NAME`` in a suite.

    - name: deepinv:PGD
      config:
        arguments:
          data_fidelity: {deepinv: L2}
          prior: {deepinv: TVPrior}
          lambda_reg: 0.01
          max_iter: 100

A mapping with the key ``deepinv`` is an object of that class, its other keys the arguments.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor, nn

from bench.config import nearest
from bench.deepinv_import import deepinv
from bench.errors import InputError
from bench.reconstructor import IMAGES, Recipe, Reconstruction, Reconstructor, ReconstructorConfig

PREFIX = "deepinv:"


@dataclass(frozen=True)
class DeepinvConfig(ReconstructorConfig):
    """``arguments`` of the class; ``version`` of deepinv, so that results are kept apart by it."""

    arguments: Mapping[str, Any] = field(default_factory=dict)
    version: str = deepinv.__version__


class _DeepinvMethod(Reconstructor):
    """A reconstructor of deepinv, called as it is."""

    family = "deepinv"
    paper = "deepinv"
    bibtex = """@article{tachella2025deepinverse,
  title={{DeepInverse}: A {Python} package for solving imaging inverse problems with deep learning},
  author={Tachella, Juli{\\'a}n and others}, journal={Journal of Open Source Software}, year={2025}}
"""
    tasks: ClassVar = (*IMAGES, "superres")
    Config = DeepinvConfig
    config: DeepinvConfig
    target: ClassVar[type[nn.Module]]

    def __init__(self, config: DeepinvConfig) -> None:
        super().__init__(config)
        if config.version != deepinv.__version__:
            here = f"{deepinv.__version__}, as here"
            raise InputError(f"deepinv {config.version}", expected=here)
        self.model = _create(self.target, config.arguments, self.name)

    def reconstruct(self, y: Tensor, physics: Any, x0: Tensor | None = None) -> Reconstruction:
        image: Tensor = self.model(y, physics)
        return Reconstruction(image)

    def networks(self) -> None:
        """None: which of its parts calls which is deepinv's own affair."""
        return None

    def recipe(self) -> Recipe:
        """Adam 1e-3 where there is anything to train."""
        trainable = any(parameter.requires_grad for parameter in self.parameters())
        return Recipe() if trainable else Recipe(stages=())


@functools.cache
def deepinv_method(name: str) -> type[Reconstructor]:
    """The method ``deepinv:NAME``. Raises InputError with the nearest names if there is none."""
    known = dict(_classes(deepinv.models.Reconstructor))
    short = name.removeprefix(PREFIX)
    if short not in known:
        raise InputError(f"unknown name {name!r}", expected=nearest(short, known))
    members = {"name": name, "target": known[short], "__doc__": known[short].__doc__}
    return type(short, (_DeepinvMethod,), members)


def _classes(base: type) -> Iterator[tuple[str, type]]:
    """The public classes of deepinv that reconstruct, or that such a class is made of."""
    for module in (deepinv.models, deepinv.optim, deepinv.sampling, deepinv.unfolded):
        for name, cls in inspect.getmembers(module, inspect.isclass):
            if issubclass(cls, base) and cls is not base:
                yield name, cls


def _create(cls: Any, arguments: Mapping[str, Any], where: str) -> Any:
    values = {name: _value(value, f"{where}.{name}") for name, value in arguments.items()}
    try:
        return cls(**values)
    except (TypeError, ValueError) as error:
        raise InputError(str(error), where=where) from error


def _value(value: Any, where: str) -> Any:
    if not isinstance(value, Mapping) or "deepinv" not in value:
        return value
    known = dict(_classes(object))
    name = value["deepinv"]
    if name not in known:
        raise InputError(f"unknown class {name!r}", where=where, expected=nearest(str(name), known))
    arguments = {key: item for key, item in value.items() if key != "deepinv"}
    return _create(known[name], arguments, where)
