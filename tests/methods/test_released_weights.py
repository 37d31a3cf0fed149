"""The authors' weights: the published cells where the images are at hand, the data crime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import bench
from bench.measure.quality import psnr, ssim
from bench.operators.sense import sense_image
from bench.weights import load_released

SET5 = {"dataset": "image-folder", "folder": "natural", "split": "t91-set5"}
REAL = {
    "dataset": "kspace",
    "file": "multicoil",
    "mask": "variable-density-2d",
    "acceleration": 6,
    "noise": 0.0,
    "scaling": "coil-maximum",
}


def released_mcnet(data_root: Path) -> Any:
    method = bench.create_method("mcnet", channels=1, backbone={"method": "srcnn"})
    weights = data_root / "weights"
    load_released(method.backbone, weights / "srcnn_x2.pth", "sr-mcnet")
    load_released(method, weights / "mcnet_srcnn_x2.pth", "sr-mcnet")
    return method.eval()


def scores(task: Any, image: Tensor, batch: Any) -> tuple[float, float]:
    pair = [task.comparable(x, batch)[0].numpy() for x in (batch.x, image)]
    return psnr(*pair, 1.0), ssim(*pair, 1.0)


def test_mcnet_improves_on_its_backbone_before_it_has_converged(data_root: Path) -> None:
    """24 evaluations on one image; the whole published cell is the slow test below."""
    task = bench.create_task("superres", data=data_root, scale=2, **SET5)
    method = released_mcnet(data_root)
    names = [sample.subject for sample in task.samples("test")]
    batch = task.batch("test", [names.index("set5/butterfly")])
    with torch.no_grad():
        result = method.with_solver(max_iter=24).reconstruct(batch.y, batch.physics)
    before, after = (scores(task, x, batch)[0] for x in (result.intermediates[0], result.image))
    assert before == pytest.approx(32.727, abs=0.01)
    # 33.92 when this was written; at the fixed point it is 33.18 (docs/decisions/0008)
    assert after - before > 1.0
    assert float((batch.physics.A(result.image) - batch.y).norm()) < 1e-4


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_mcnet_reproduces_the_published_cell(data_root: Path) -> None:
    """Set5 x2: 37.227 dB and 0.9624, five images, 200 evaluations each."""
    task = bench.create_task("superres", data=data_root, scale=2, **SET5)
    method = released_mcnet(data_root)
    values = []
    for index in range(5):
        batch = task.batch("test", [index])
        with torch.no_grad():
            image = method.reconstruct(batch.y, batch.physics).image
        assert float((batch.physics.A(image) - batch.y).norm()) < 1e-4
        values.append(scores(task, image, batch))
    mean_psnr, mean_ssim = np.mean(values, axis=0)
    assert mean_psnr == pytest.approx(37.227, abs=0.01)
    assert mean_ssim == pytest.approx(0.9624, abs=5e-4)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("name", "held_up", "further"), [("butterfly", 34.07, 33.18), ("bird", 42.03, 41.45)]
)
def test_mcnet_loses_quality_on_the_way_to_its_fixed_point(
    data_root: Path, name: str, held_up: float, further: float
) -> None:
    """The published regulariser holds the iteration up (docs/decisions/0008)."""
    task = bench.create_task("superres", data=data_root, scale=2, **SET5)
    method = released_mcnet(data_root)
    names = [sample.subject for sample in task.samples("test")]
    batch = task.batch("test", [names.index(f"set5/{name}")])
    relative = method.to_convergence(tol=1e-5, max_iter=200)
    for view, expected in ((method, held_up), (relative, further)):
        with torch.no_grad():
            image = view.reconstruct(batch.y, batch.physics).image
        assert scores(task, image, batch)[0] == pytest.approx(expected, abs=0.1)


def test_mcnet_weights_work_at_any_scale(data_root: Path) -> None:
    """The x3 and x4 settings need other files and no other code: a few evaluations of x2's."""
    method = released_mcnet(data_root).with_solver(max_iter=3)
    for scale in (3, 4):
        task = bench.create_task("superres", data=data_root, scale=scale, **SET5)
        names = [sample.subject for sample in task.samples("test")]
        batch = task.batch("test", [names.index("set5/woman")])
        with torch.no_grad():
            image = method.reconstruct(batch.y, batch.physics).image
        assert float((batch.physics.A(image) - batch.y).norm()) < 1e-4


@pytest.mark.timeout(600)
def test_mol_settles_and_shows_the_data_crime(data_root: Path) -> None:
    """Better than SENSE on simulated noise-free coils, worse by 9 dB on the k-space as acquired.

    Trained on simulated coils without noise, the weights do not carry over. METHODS found 41.47
    against 35.69 and 20.64 against 31.76 with another mask; the phase of the maps, which matters
    for networks trained here (docs/decisions/0005), makes no difference of more than 0.3 dB.
    """
    method = bench.create_method("mol-lr").eval()
    load_released(method, data_root / "weights" / "mol_brain.pth", "mol")
    view = method.to_convergence(tol=1e-3, max_iter=25)
    assert view is not None
    found = {}
    for measurements in ("acquired", "simulated"):
        config = {**REAL, "measurements": measurements}
        task = bench.create_task("mri-multicoil", data=data_root, **config)
        names = [sample.subject for sample in task.samples("test")]
        batch = task.batch("test", [next(i for i, n in enumerate(names) if "8ch" in n)])
        sense = sense_image(batch.y, batch.physics)
        with torch.no_grad():
            result = view.reconstruct(batch.y, batch.physics)
            residual = float(view.residual(result.image, batch.y, batch.physics))
        (trace,) = result.traces
        assert bool(trace.converged)
        # the image is one evaluation past where the trace took its residual
        assert residual < 2 * float(trace.residual)
        found[measurements] = [scores(task, x, batch)[0] for x in (sense, result.image)]
    sense_psnr, mol_psnr = found["simulated"]
    assert mol_psnr > sense_psnr + 2
    sense_psnr, mol_psnr = found["acquired"]
    assert mol_psnr < sense_psnr - 6
