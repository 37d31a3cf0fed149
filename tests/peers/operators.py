"""The normal operator of multi-coil MRI against its bare transforms, and deepinv's."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from bench.deepinv_import import deepinv
from bench.operators import MultiCoilMRI
from tests.peers.comparison import Call, Comparison, error, seconds, times_as_fast, times_the_cost

SIZE, COILS = 256, 12


def contenders(batch: int, columns: bool) -> tuple[dict[str, Call], float]:
    """Calls that apply ``A^H A`` to the same image, and the largest difference of their results.

    ``transforms`` are the two Fourier transforms of the coil images alone.
    """
    generator = torch.Generator().manual_seed(1)
    maps = torch.randn(batch, COILS, SIZE, SIZE, dtype=torch.complex64, generator=generator)
    maps = maps / maps.abs().square().sum(1, keepdim=True).sqrt()
    rows = 1 if columns else SIZE
    mask = (torch.rand(batch, 1, rows, SIZE, generator=generator) < 0.3).float()
    x = torch.randn(batch, 2, SIZE, SIZE, generator=generator)
    ours = MultiCoilMRI(mask, maps)
    theirs = deepinv.physics.MultiCoilMRI(
        mask=mask.expand(batch, 2, SIZE, SIZE).contiguous(),
        coil_maps=maps,
        img_size=(2, SIZE, SIZE),
    )
    calls: dict[str, Call] = {
        "ours": lambda: ours.A_adjoint_A(x),
        "transforms": lambda: _transforms(maps),
        "deepinv": lambda: theirs.A_adjoint_A(x),
    }
    return calls, error(calls["ours"](), calls["deepinv"]())


def _transforms(stack: Tensor) -> Tensor:
    return torch.fft.ifft2(torch.fft.fft2(stack, norm="ortho"), norm="ortho")


def rows() -> Iterator[Comparison]:
    """Both kinds of mask, one image and eight, one thread and two."""
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            for batch in (1, 8):
                for columns in (False, True):
                    yield from _rows(batch, columns, threads)
    finally:
        torch.set_num_threads(before)


def _rows(batch: int, columns: bool, threads: int) -> Iterator[Comparison]:
    calls, difference = contenders(batch, columns)
    assert difference < 2e-6, f"the operators differ by {difference:.1e}"
    with torch.no_grad():
        time = seconds(calls)
    mask = "columns" if columns else "2-D mask"
    work = f"A^H A, {SIZE}x{SIZE}, {COILS} coils, {mask}, batch {batch}, {threads} thread(s)"
    yield times_the_cost(work, "its bare FFTs", time["ours"], time["transforms"], 1.25)
    yield times_as_fast(work, "deepinv", time["ours"], time["deepinv"], 1.8)
