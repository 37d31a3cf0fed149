"""What an interrupted training goes on from: the last two saves, so that one may be damaged."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
from safetensors.torch import save
from torch import Tensor

from bench.store import write_atomic

Saved = tuple[dict[str, Tensor], dict[str, Any]]


def keep(file: Path, tensors: Mapping[str, Tensor], progress: Mapping[str, Any]) -> None:
    """Save tensors and JSON-ready progress; the save before this one stays beside it."""
    cpu = {name: value.detach().cpu().clone() for name, value in tensors.items()}
    content = save(cpu, {"progress": json.dumps(progress)})
    if file.exists():
        os.replace(file, _previous(file))
    write_atomic(file, content)


def last_good(file: Path, device: str) -> Saved | None:
    """The newest save that can be read, on this device; what cannot is said on stderr."""
    for path in (file, _previous(file)):
        try:
            return _read(path, device)
        except FileNotFoundError:
            continue
        except Exception as error:  # safetensors' own, and whatever damaged JSON makes of itself
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            said = f"{path.name} is damaged ({reason}): going on from the save before"
            print(said, file=sys.stderr)
            path.unlink(missing_ok=True)  # or it would take that save's place at the next one
    return None


def discard(file: Path) -> None:
    """The training is done."""
    for path in (file, _previous(file)):
        path.unlink(missing_ok=True)


def _read(path: Path, device: str) -> Saved:
    with safetensors.safe_open(path, "pt", device=device) as opened:
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        progress = json.loads(opened.metadata()["progress"])
    if not isinstance(progress, dict):
        raise ValueError("no progress")
    return tensors, progress


def _previous(file: Path) -> Path:
    return file.with_name(f"{file.stem}.previous{file.suffix}")
