"""equibench: the same data, the same measurements, for every equilibrium and unrolled method."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from bench.registry import create_method as create_method
    from bench.registry import create_task as create_task
    from bench.runner import run_suite as run_suite
    from bench.storage.frames import load_jobs as load_jobs
    from bench.storage.frames import load_rows as load_rows

# imported on first use, so that `import bench` does not wait for torch
_HOME = {
    "create_method": "bench.registry",
    "create_task": "bench.registry",
    "load_jobs": "bench.storage.frames",
    "load_rows": "bench.storage.frames",
    "run_suite": "bench.runner",
}
__all__ = ["__version__", "create_method", "create_task", "load_jobs", "load_rows", "run_suite"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'bench' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
