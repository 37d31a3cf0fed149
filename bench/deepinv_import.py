"""Import deepinv, also where a CPU-only torch stands beside a CUDA-built torchvision.

There `import torchvision` fails with ``operator torchvision::nms does not exist``, because its
compiled library does not load and two operators that it registers fake kernels for are missing.
deepinv imports torchvision first thing. Declaring the two operators cures the import; nothing here
calls them. The plain import is tried first, so that an intact pair is left alone.

torchvision imports torch's compiler for one function of its RoIAlign, which takes longer than all
the rest of deepinv: more than a second of every job's process. It gets a function that imports the
compiler when it is called; whoever compiles anything finds the real one.

Import this module before deepinv: ``from bench.deepinv_import import deepinv``.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from types import ModuleType

import torch

_COMPILER = "torch._dynamo"
_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_library: torch.library.Library | None = None  # the definitions live as long as this reference


def cure_torchvision() -> bool:
    """Make ``import torchvision`` work. True if the operators had to be declared first."""
    global _library
    with _compiler_later():
        try:
            import torchvision
        except RuntimeError as error:
            if "torchvision::nms does not exist" not in str(error):
                raise
            _library = torch.library.Library("torchvision", "FRAGMENT")
            for schema in _SCHEMAS:
                _library.define(schema)
            import torchvision  # noqa: F401
    return _library is not None


@contextlib.contextmanager
def _compiler_later() -> Iterator[None]:
    if _COMPILER in sys.modules:
        yield
        return
    package, utils = ModuleType(_COMPILER), ModuleType(f"{_COMPILER}.utils")
    package.__path__ = []
    utils.is_compile_supported = _is_compile_supported  # type: ignore[attr-defined]
    sys.modules |= {_COMPILER: package, f"{_COMPILER}.utils": utils}
    try:
        yield
    finally:
        for name, module in ((_COMPILER, package), (f"{_COMPILER}.utils", utils)):
            if sys.modules.get(name) is module:
                del sys.modules[name]


def _is_compile_supported(device_type: str) -> bool:
    from torch._dynamo.utils import is_compile_supported

    return bool(is_compile_supported(device_type))


cured = cure_torchvision()

import deepinv  # noqa: E402

__all__ = ["cure_torchvision", "cured", "deepinv"]
