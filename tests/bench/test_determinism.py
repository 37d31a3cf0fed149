"""One checkpoint, other numbers of threads: the same reconstruction but for rounding."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

import bench
from bench.objective import batch_psnr
from bench.weights import CHECKPOINTS, load_method

LARGEST = 1e-3  # dB


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("file", sorted(CHECKPOINTS.glob("ci/*.safetensors")), ids=lambda f: f.stem)
def test_threads_change_a_reconstruction_by_rounding_only(file: object, threads: None) -> None:
    method = load_method(str(file))
    task = bench.create_task("mri-multicoil", size=64, coils=4)
    batch = task.batch("test", [0, 1])
    found = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        with torch.no_grad():
            image = method.reconstruct(batch.y, batch.physics).image
        found.append(batch_psnr(image, batch, task))
    spread = (torch.stack(found) - found[0]).abs().max()
    assert spread <= LARGEST, f"{spread:.2e} dB"
