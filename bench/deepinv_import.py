"""Import deepinv, also where a CPU-only torch stands beside a CUDA-built torchvision.

There `import torchvision` fails with ``operator torchvision::nms does not exist``, because its
compiled library does not load and two operators that it registers fake kernels for are missing.
deepinv imports torchvision first thing. Declaring the two operators cures the import; nothing here
calls them. The plain import is tried first, so that an intact pair is left alone.

Import this module before deepinv: ``from bench.deepinv_import import deepinv``.
"""

from __future__ import annotations

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_library: torch.library.Library | None = None  # the definitions live as long as this reference


def cure_torchvision() -> bool:
    """Make ``import torchvision`` work. True if the operators had to be declared first."""
    global _library
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


cured = cure_torchvision()

import deepinv  # noqa: E402

__all__ = ["cure_torchvision", "cured", "deepinv"]
