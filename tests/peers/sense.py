"""SENSE of a real 8-coil brain to the same residual: BART, sigpy and deepinv beside ours.

All solve ``(A^H A + mu I) x = A^H y`` by conjugate gradients in float32, with one thread, and are
given as many iterations as they need to reach the residual. A program's start and its reading of
files are taken off by the time of one iteration; ours is then taken off too.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor

from bench.data.coil_maps import estimate_espirit
from bench.data.masks import draw_mask
from bench.data.readers import read_cfl, read_kspace
from bench.deepinv_import import deepinv
from bench.operators import MultiCoilMRI
from bench.operators.sense import sense_image
from tests.data.test_readers import write_cfl
from tests.peers.comparison import Comparison, error, seconds, times_as_fast, unavailable

FILE = Path("multicoil") / "brain_t1_8ch_230x180.npz"
MU, TOLERANCE, MOST = 1e-3, 1e-4, 200


@dataclass(frozen=True)
class Problem:
    """Undersampled k-space ``y (1, 2, N, H, W)`` and its operator."""

    y: Tensor
    physics: MultiCoilMRI

    def residual(self, x: Tensor) -> float:
        """Of the normal equations, relative to ``A^H y``."""
        rhs = self.physics.A_adjoint(self.y)
        return error(self.physics.A_adjoint_A(x) + MU * x, rhs)


Solver = Callable[[int], Tensor]
"""An image after so many iterations."""


def problem(data: Path, columns: bool) -> Problem:
    """The slice at a fourth of its samples, with maps from its own calibration region."""
    kspace = read_kspace(data / FILE)
    maps = torch.from_numpy(estimate_espirit(kspace))[None]
    kind = "random" if columns else "variable-density-2d"
    drawn = draw_mask(kind, kspace.shape[-2:], 4, 0.08, np.random.default_rng(3))
    mask = torch.from_numpy(drawn)[None, None]
    physics = MultiCoilMRI(mask, maps)
    full = torch.view_as_real(torch.from_numpy(kspace)).movedim(-1, 0)[None]
    # large numbers: deepinv's solver adds 1e-8 to its denominators, and stalls on small ones
    return Problem(1e3 * full / full.abs().max() * physics.mask.unsqueeze(1), physics)


def ours(given: Problem) -> Solver:
    return lambda iterations: sense_image(
        given.y, given.physics, weight=1.0, shift=MU, tol=0.0, max_iter=iterations
    )


def by_deepinv(given: Problem) -> Solver:
    mask = given.physics.mask.expand(1, 2, *given.y.shape[-2:]).contiguous()
    theirs = deepinv.physics.MultiCoilMRI(
        mask=mask, coil_maps=given.physics.coil_maps, img_size=(2, *given.y.shape[-2:])
    )

    def solve(iterations: int) -> Tensor:
        rhs = theirs.A_adjoint(given.y)
        image: Tensor = deepinv.optim.linear.conjugate_gradient(
            lambda x: theirs.A_adjoint_A(x) + MU * x, rhs, max_iter=iterations, tol=0.0
        )
        return image

    return solve


def by_sigpy(given: Problem) -> Solver:
    from sigpy.mri.app import SenseRecon

    y = torch.view_as_complex(given.y[0].movedim(0, -1).contiguous()).numpy()
    maps = given.physics.coil_maps[0].numpy()
    weights = given.physics.mask[0, 0].expand(y.shape[-2:]).contiguous().numpy()

    def solve(iterations: int) -> Tensor:
        image = SenseRecon(
            y, maps, lamda=MU, weights=weights, max_iter=iterations, tol=0.0, show_pbar=False
        ).run()
        return torch.view_as_real(torch.from_numpy(image)).movedim(-1, 0)[None]

    return solve


class Bart:
    """``bart pics`` on files of its own; every call is a process."""

    def __init__(self, given: Problem, folder: Path) -> None:
        self.folder, self.size = folder, given.y.shape[-2:]
        y = torch.view_as_complex(given.y[0].movedim(0, -1).contiguous()).numpy()
        mask = given.physics.mask[0].expand(1, *y.shape[-2:]).numpy()
        arrays = {"kspace": y, "maps": given.physics.coil_maps[0].numpy(), "mask": mask}
        for name, array in arrays.items():
            # (coils, height, width) as BART has it
            write_cfl(folder / f"{name}.cfl", array.transpose(1, 2, 0)[:, :, None])

    def __call__(self, iterations: int) -> Tensor:
        # plain conjugate gradients; no scaling of the data, and none of the image
        settings = ["-l2", "-r", str(MU), "-i", str(iterations), "-w", "1", "-d", "0"]
        files = [str(self.folder / name) for name in ("mask", "kspace", "maps", "image")]
        subprocess.run(
            ["bart", "pics", *settings, "-p", *files],
            check=True,
            capture_output=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        # its centred transform of an even size N carries the sign (-1)^(N/2)
        height, width = self.size
        image = read_cfl(self.folder / "image.cfl").reshape(height, width)
        image = image * (-1) ** (height // 2 + width // 2)
        return torch.view_as_real(torch.from_numpy(image)).movedim(-1, 0)[None]


def rows(data: Path) -> Iterator[Comparison]:
    """A mask of columns, and a two-dimensional one."""
    for columns in (True, False):
        given = problem(data, columns)
        mask = "columns" if columns else "2-D mask"
        work = f"SENSE, 8-coil brain 230x180, {mask}, residual {TOLERANCE:g}"
        yield from _rows(work, given)


def _rows(work: str, given: Problem) -> Iterator[Comparison]:
    solve = ours(given)
    need = iterations_to(solve, given)
    libraries = {"sigpy": by_sigpy(given), "deepinv": by_deepinv(given)}
    needs = {name: iterations_to(theirs, given) for name, theirs in libraries.items()}
    time_ = seconds(
        {
            "ours": lambda: solve(need),
            **{name: (lambda s=s, n=needs[name]: s(n)) for name, s in libraries.items()},
        },
        repeats=7,
    )
    for name in libraries:
        said = f"{need} against {needs[name]} iterations"
        yield times_as_fast(work, name, time_["ours"], time_[name], 3.0, said)
    if shutil.which("bart") is None:
        yield unavailable(work, "BART pics", 1.5, "no `bart` here (Debian's package bart)")
        return
    with tempfile.TemporaryDirectory() as folder:
        bart = Bart(given, Path(folder))
        theirs = iterations_to(bart, given)
        a, b = _without_start({"ours": solve, "bart": bart}, {"ours": need, "bart": theirs})
        yield times_as_fast(work, "BART pics", a, b, 1.5, f"{need} against {theirs} iterations")


def iterations_to(solve: Solver, given: Problem) -> int:
    """The fewest iterations that reach the residual. Raises AssertionError if none do."""
    low, high = 1, 2
    while given.residual(solve(high)) > TOLERANCE:
        assert high < MOST, f"residual {given.residual(solve(high)):.1e} after {high} iterations"
        low, high = high, min(MOST, 2 * high)
    while high - low > 1:
        middle = (low + high) // 2
        if given.residual(solve(middle)) <= TOLERANCE:
            high = middle
        else:
            low = middle
    return high


def _without_start(solvers: dict[str, Solver], needs: dict[str, int]) -> list[float]:
    """Median times of all iterations but the first."""
    taken: dict[str, list[float]] = {name: [] for name in solvers}
    for _ in range(9):
        for name, solve in solvers.items():
            times = []
            for iterations in (1, needs[name]):
                start = time.perf_counter()
                solve(iterations)
                times.append(time.perf_counter() - start)
            taken[name].append(times[1] - times[0])
    return [median(values) for values in taken.values()]
