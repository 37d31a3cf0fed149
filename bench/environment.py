"""What ran: versions, device, threads and commit, kept with every job."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import Any

PACKAGES = ("equibench", "torch", "torchvision", "deepinv", "fastmri", "numpy", "scipy", "sigpy")


def describe(device: str) -> dict[str, Any]:
    """The environment of this process, JSON-ready."""
    import torch

    on_cuda = device.startswith("cuda")
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "device": torch.cuda.get_device_name(device) if on_cuda else "cpu",
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in PACKAGES},
        "commit": _commit(),
    }


def device_class(device: str) -> str:
    """``cpu``, or the name of the GPU: what measurements on a device are kept apart by.

    Where there is no such device (a login node that only submits), the device as it was asked for.
    """
    import torch

    on_cuda = device.startswith("cuda") and torch.cuda.is_available()
    return str(torch.cuda.get_device_name(device)) if on_cuda else device


def version(package: str) -> str:
    """The installed version of a package, or "not installed"."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


@functools.cache
def _commit() -> str:
    """The commit of a checkout, with "+" where it has been changed; "" for an installed wheel."""
    here = Path(__file__).resolve().parent
    commands = (["rev-parse", "--short=12", "HEAD"], ["status", "--porcelain", "-uno"])
    outputs = []
    for arguments in commands:
        done = subprocess.run(
            ["git", "-C", str(here), *arguments], capture_output=True, text=True, check=False
        )
        if done.returncode:
            return ""
        outputs.append(done.stdout.strip())
    return outputs[0] + ("+" if outputs[1] else "")
