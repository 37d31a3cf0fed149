"""Time and adjointness of parallel-beam projectors: ours, deepinv's and, where it starts, ASTRA's.

    python -m tests.peers.projectors [SIZE VIEWS]

One thread, one image, float32; the median of five calls. ASTRA is not among our dependencies: its
package from PyPI needs CUDA libraries to start (`pip install astra-toolbox`).
"""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from bench.deepinv_import import deepinv
from bench.operators import ParallelBeam


def main(size: int = 128, views: int = 200) -> None:
    """Print a line for every projector."""
    torch.set_num_threads(1)
    angles = torch.arange(views, dtype=torch.float64) * (math.pi / views)
    print(f"{size}x{size}, {views} views: projection, back-projection [ms], adjoint error")
    ours = ParallelBeam(size, angles)
    theirs = deepinv.physics.Tomography(angles=views, img_width=size, circle=False, normalize=False)
    for name, physics in (("equibench", ours), ("deepinv", theirs)):
        x = torch.rand(1, 1, size, size)
        y = torch.rand_like(physics.A(x))
        _line(name, physics.A, physics.A_adjoint, x, y)
    try:
        import astra
    except (ImportError, OSError) as error:
        print(f"astra: {error}")
        return
    volume = astra.create_vol_geom(size, size)
    geometry = astra.create_proj_geom("parallel", 1.0, ours.detectors, angles.numpy())
    matrix = astra.OpTomo(astra.create_projector("linear", geometry, volume))
    x, y = (torch.rand(n) for n in (size * size, views * ours.detectors))

    def forward(v: Any) -> Any:
        return torch.from_numpy(np.asarray(matrix @ v.numpy()))

    def adjoint(v: Any) -> Any:
        return torch.from_numpy(np.asarray(matrix.T @ v.numpy()))

    _line("astra, linear", forward, adjoint, x, y)


def _line(
    name: str, a: Callable[[Any], Any], adjoint: Callable[[Any], Any], x: Any, y: Any
) -> None:
    left, right = float((a(x) * y).sum()), float((x * adjoint(y)).sum())
    times = [1000 * _median(call, v) for call, v in ((a, x), (adjoint, y))]
    print(f"{name:14} {times[0]:8.1f} {times[1]:8.1f}   {abs(left - right) / abs(left):.0e}")


def _median(call: Callable[[Any], Any], argument: Any) -> float:
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        call(argument)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
