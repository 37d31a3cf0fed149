"""Look at an installation, and say what is wrong with it; results: bench.storage.inspection."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path

from bench import environment
from bench.storage.inspection import Finding as Finding
from bench.storage.inspection import inspect_results as inspect_results

OURS = ("bench", "methods", "baselines", "reports")


def inspect_environment(data: Path | None) -> list[Finding]:
    """Versions, the torchvision import, modules that shadow ours, plugins, the data folder."""
    import torch

    from bench import registry
    from bench.deepinv_import import cured

    found = [Finding(True, f"{name} {environment.version(name)}") for name in environment.PACKAGES]
    how = "imports after its two missing operators were declared" if cured else "imports"
    found.append(Finding(True, f"torchvision {how}"))
    cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    found.append(Finding(True, f"CUDA device: {cuda}"))
    found += _shadowing()
    found.append(Finding(True, f"{len(registry.methods())} methods, {len(registry.tasks())} tasks"))
    if data is not None:
        found.append(Finding(data.is_dir(), f"data folder {data}"))
    return found


def _shadowing() -> list[Finding]:
    """Our packages have common names: say whose they are."""
    home = Path(__file__).resolve().parent.parent
    found = []
    for name in OURS:
        spec = importlib.util.find_spec(name)
        origin = Path(spec.origin).resolve() if spec and spec.origin else None
        ours = origin is not None and origin.is_relative_to(home)
        text = f"package {name}: {origin}"
        found.append(Finding(ours, text if ours else f"{text} shadows ours in {home}"))
    return found
