"""Trained methods to compare solvers on: the checkpoints of suite `ci`, on its phantom."""

from __future__ import annotations

import torch
from torch import Tensor

import bench
from bench.operators import MultiCoilMRI
from bench.planning.plan import expand
from bench.planning.suite_files import load
from bench.reconstructor import Reconstructor
from bench.registry import create_method
from bench.task import Batch
from bench.weights import CHECKPOINTS, load_checkpoint

# from easy to hard
ACCELERATIONS = (2, 2, 3, 3, 4, 4, 6, 8)
SIZE, COILS, NOISE = 64, 4, 0.01


def trained(name: str, dtype: torch.dtype = torch.float32) -> Reconstructor:
    """The method with its checkpoint."""
    jobs = expand(load("ci"), only=[f"{name} (given)"]).jobs.values()
    (job,) = (job for job in jobs if job.kind == "fit" and job.method == name)
    torch.manual_seed(0)
    method = create_method(job.method, **job.config)
    load_checkpoint(method, CHECKPOINTS / "ci" / f"{name}.safetensors")
    return method.to(dtype).eval()


def mixed_batch(samples: int = 8, dtype: torch.dtype = torch.float32) -> Batch:
    """Phantom slices, each at an acceleration of its own."""
    parts = [_sample(number) for number in range(samples)]

    def joined(name: str) -> Tensor:
        return torch.cat([getattr(part, name) for part in parts])

    masks = torch.cat([part.physics.mask for part in parts]).to(dtype)
    maps = torch.cat([part.physics.coil_maps for part in parts])
    return Batch(
        joined("x").to(dtype),
        joined("y").to(dtype),
        MultiCoilMRI(masks, maps.to(masks.dtype.to_complex())),
        tuple(sample for part in parts for sample in part.samples),
        joined("scale"),
        joined("data_range"),
    )


def _sample(number: int) -> Batch:
    acceleration = ACCELERATIONS[number % len(ACCELERATIONS)]
    task = bench.create_task(
        "mri-multicoil",
        size=SIZE,
        coils=COILS,
        acceleration=acceleration,
        center_fraction=0.32 / acceleration,
        noise=NOISE,
    )
    return task.batch("test", [number % len(task.samples("test"))])
