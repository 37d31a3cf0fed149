"""Look at an installation and at a results folder, and say what is wrong with them."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from bench import environment
from bench.errors import InputError
from bench.store import Store, load_jobs, load_rows

OURS = ("bench", "methods", "baselines", "reports")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    ok: bool
    text: str


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


def inspect_results(directory: Path) -> list[Finding]:
    """Damaged and unfinished files of a results folder, each by name."""
    store = Store(directory)
    jobs = load_jobs(directory)
    found = []
    for job in jobs.to_dict("records"):
        text = f"{job['job']} {job['kind']} of {job['method']}: {job['status']}"
        found.append(Finding(job["status"] == "ok", f"{text} {job.get('error') or ''}".strip()))
    temporary = sorted(directory.glob("jobs/*/.*.tmp"))
    found += [Finding(False, f"left behind by a killed process: {path}") for path in temporary]
    known = set(store.jobs())
    strangers = [path for path in (directory / "jobs").iterdir() if path.name not in known]
    found += [Finding(False, f"not a job: {path}") for path in strangers]
    try:
        found.append(Finding(True, f"{len(load_rows(directory))} rows"))
    except InputError as error:
        found.append(Finding(False, str(error)))
    return found
