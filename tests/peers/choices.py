"""What choices of ours bring, each against doing without it: the numbers of docs/performance.md."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from methods.equilibrium_method import SHORT_SOLVERS, EquilibriumMethod
from tests.peers.comparison import Comparison, seconds, times_as_fast
from tests.peers.subjects import mixed_batch, trained
from tests.peers.training import gradient

TIGHT = 1e-5  # of a cotangent's solve, whatever the backward iteration asks for
KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**32),
    "MALLOC_TRIM_THRESHOLD_": str(2**40),
    "THP_MEM_ALLOC_ENABLE": "1",
}
NORMAL_OPERATOR = """
import torch; torch.set_num_threads(1)
from tests.peers.comparison import seconds
from tests.peers.operators import contenders
print(seconds({"ours": contenders(8, False)[0]["ours"]})["ours"])
"""


def rows() -> Iterator[Comparison]:
    """No goals were set: at least as good as without."""
    yield _cotangents()
    yield _kept_memory()
    yield _smooth_size()


def _cotangents() -> Comparison:
    """Applications of A^H A in a gradient with the solvers of a short training: no clock in it."""

    def applications() -> int:
        method, batch = trained("mol-lr"), mixed_batch(4)
        view = method.view(config=replace(method.config, equilibrium=SHORT_SOLVERS))
        before = batch.physics.count.adjoint
        gradient(view, batch)
        found: int = batch.physics.count.adjoint - before
        return found

    tied = applications()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EquilibriumMethod, "cotangent_tol", lambda *_: TIGHT)
        tight = applications()
    said = f"{tied} against {tight} applications of A^H A"
    work = "Tied cotangent tolerance, gradient of mol-lr"
    return Comparison(work, f"{TIGHT:g} always", tight / tied, 1, "at least", detail=said)


def _kept_memory() -> Comparison:
    """Freed memory that stays with the process, which the program does not ask for."""

    def median(variables: dict[str, str]) -> float:
        command = [sys.executable, "-c", NORMAL_OPERATOR]
        environment = {**os.environ, **variables}
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        return float(done.stdout)

    kept, usual = median(KEEP_MEMORY), median({})
    return times_as_fast("Freed memory kept, A^H A, batch 8", "glibc's default", kept, usual, 1)


def _smooth_size() -> Comparison:
    """Transforms of the slice of the comparison of SENSE, and of one with ten more lines."""

    def pair(height: int) -> Tensor:
        images = torch.ones(1, 8, height, 180, dtype=torch.complex64)
        return torch.fft.ifft2(torch.fft.fft2(images))

    time = seconds({"240": lambda: pair(240), "230": lambda: pair(230)}, repeats=51)
    work = "Image height without large primes: transform pair, 8 coils, 240x180"
    return times_as_fast(work, "230x180 (230 = 2 x 5 x 23)", time["240"], time["230"], 1)
