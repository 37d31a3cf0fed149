"""What holds for every task of the registry, on its embedded data and on real data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import bench
from bench import registry
from bench.errors import InputError
from bench.task import Split, Task

SMALL: dict[str, dict[str, Any]] = {
    "mri-multicoil": {"size": 32, "coils": 3},
    "mri-singlecoil": {"size": 32},
    "mri-cine": {"size": 24, "frames": 4, "coils": 3},
    "mri-3d": {"size": 32, "slices": 4, "coils": 3},
    "ct": {"size": 24, "views": 15, "of": 60},
    "deblur": {"size": 32},
    "superres": {"scale": 2, "patch": 32, "noise": 0.01},
}
REAL: list[tuple[str, dict[str, Any]]] = [
    ("mri-multicoil", {"dataset": "kspace", "file": "multicoil", "noise": 0.0, "compress": 4}),
    ("mri-singlecoil", {"dataset": "kspace", "file": "singlecoil", "noise": 0.0}),
    (
        "mri-singlecoil",
        {"dataset": "magnitude-images", "file": "images/knee_stanford20.npz", "size": 128},
    ),
    (
        "mri-singlecoil",
        {"dataset": "complex-images", "file": "images/brain_t2_complex_siat200.npz", "size": 96},
    ),
    (
        "mri-cine",
        {"dataset": "series", "file": "dynamic/cardiac_cine_30x144x144.npy", "frames": None},
    ),
    ("mri-3d", {"dataset": "complex-images", "file": "images/brain_t2_complex_siat200.npz"}),
    ("ct", {"dataset": "hounsfield", "file": "ct/chest_ct_tcia100.npz", "size": 64}),
    ("deblur", {"dataset": "image-folder", "file": "natural", "channels": 1}),
    ("superres", {"dataset": "image-folder", "folder": "natural", "scale": 3}),
]
PARTS: tuple[Split, ...] = ("train", "validation", "test")


def small(name: str, **config: Any) -> Task:
    return bench.create_task(name, **{**SMALL[name], **config})


def test_every_task_is_tested_here() -> None:
    assert sorted(registry.tasks()) == sorted(SMALL)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize(("dtype", "tol"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_the_adjoint_is_the_adjoint(name: str, dtype: torch.dtype, tol: float) -> None:
    batch = small(name).batch("test", [0, 1])
    physics, g = batch.physics, torch.Generator().manual_seed(0)
    if dtype == torch.float64:
        physics = _double(physics)
    x = torch.randn(batch.x.shape, generator=g, dtype=torch.float64).to(dtype)
    y = torch.randn(batch.y.shape, generator=g, dtype=torch.float64).to(dtype)
    forward, backward = physics.A(x), physics.A_adjoint(y)
    assert forward.dtype == backward.dtype == dtype
    for i in range(2):
        left, right = float((forward[i] * y[i]).sum()), float((x[i] * backward[i]).sum())
        # relative to the largest that the inner product could be
        assert abs(left - right) <= tol * float(forward[i].norm() * y[i].norm())
    normal = physics.A_adjoint(physics.A(x))
    assert float((physics.A_adjoint_A(x) - normal).norm()) <= 10 * tol * float(normal.norm())


def _double(physics: Any) -> Any:
    if hasattr(physics, "coil_maps"):
        return type(physics)(physics.mask.double(), physics.coil_maps.to(torch.complex128))
    return physics.double()


@pytest.mark.parametrize("name", SMALL)
def test_draws_depend_on_sample_epoch_and_data_seed_only(name: str) -> None:
    one, again, other = small(name), small(name), small(name, data_seed=1)
    torch.manual_seed(5)
    y = one.batch("train", [1, 2], 3).y
    assert torch.equal(y, again.batch("train", [1, 2], 3).y)
    # the same sample in another batch, at another place
    assert torch.equal(y[1], one.batch("train", [2], 3).y[0])
    assert not torch.equal(y, one.batch("train", [1, 2], 4).y)
    assert not torch.equal(y, other.batch("train", [1, 2], 3).y)


@pytest.mark.parametrize("name", SMALL)
def test_no_subject_stands_in_two_splits(name: str) -> None:
    task = small(name)
    subjects = {part: {s.subject for s in task.samples(part)} for part in PARTS}
    assert all(subjects.values())
    assert len(set().union(*subjects.values())) == sum(map(len, subjects.values()))


@pytest.mark.parametrize("name", SMALL)
def test_what_is_compared_is_in_dataset_units(name: str) -> None:
    task = small(name)
    batch = task.batch("test", [0])
    planes = task.comparable(batch.x, batch)
    assert planes.ndim == 4 and planes.shape[0] == 1
    assert float(planes.max()) <= 1 + 1e-5
    picture = task.picture(planes[0].numpy())
    assert picture.shape[:2] == planes.shape[-2:]
    assert picture.ndim == (3 if task.channels == 3 else 2)
    assert registry.task_class(name).operator and str(task.protocol)


@pytest.mark.parametrize(("name", "config"), REAL, ids=lambda v: v if isinstance(v, str) else "")
def test_on_real_data(name: str, config: dict[str, Any], data_root: Path) -> None:
    task = bench.create_task(name, data=data_root, **config)
    task.verify()
    subjects = {part: {s.subject for s in task.samples(part)} for part in PARTS}
    assert subjects["test"]
    assert len(set().union(*subjects.values())) == sum(map(len, subjects.values()))
    batch = task.batch("test", [0])
    misfit = float((batch.physics.A(batch.x) - batch.y).norm() / batch.y.norm())
    assert misfit < 0.1
    assert str(data_root) not in task.dataset_label


def test_patients_of_the_ct_set_stay_together(data_root: Path) -> None:
    config = {"dataset": "hounsfield", "file": "ct/chest_ct_tcia100.npz", "size": 32}
    task = bench.create_task("ct", data=data_root, **config)
    counts = [len(task.samples(part)) for part in PARTS]
    assert sum(counts) == 100 and min(counts) > 0
    assert len({s.subject for part in PARTS for s in task.samples(part)}) == 54


def test_two_channels_count_what_magnitudes_do_not() -> None:
    """A phase error is an error on real and imaginary parts, and none on magnitudes."""
    turned = {}
    for scored in ("magnitude", "complex"):
        task = small("mri-singlecoil", scored=scored)
        batch = task.batch("test", [0])
        other = torch.stack((-batch.x[:, 1], batch.x[:, 0]), 1)
        error = task.comparable(other, batch) - task.comparable(batch.x, batch)
        turned[scored] = float(error.norm()), error.shape[1]
    assert turned["magnitude"] == (pytest.approx(0, abs=1e-5), 1)
    assert turned["complex"][0] > 1 and turned["complex"][1] == 2


def test_frames_have_masks_of_their_own_or_one_in_common() -> None:
    masks = small("mri-cine").batch("test", [0]).physics.mask
    assert masks.shape == (1, 1, 4, 1, 24)
    assert not torch.equal(masks[:, :, 0], masks[:, :, 1])
    assert small("mri-cine", mask_per_frame=False).batch("test", [0]).physics.mask.shape[2] == 1
    volume = small("mri-3d").batch("test", [0]).physics
    assert volume.mask.shape == (1, 1, 1, 32, 32)


def test_the_heart_beats_and_the_chest_does_not() -> None:
    task = small("mri-cine", size=64, frames=8)
    series = task.comparable(task.batch("test", [0]).x, task.batch("test", [0]))[0]
    moving = series.std(0)
    assert moving[24:40, 24:44].max() > 10 * moving[:8].max()
    # periodic: the last frame is no further from the first than neighbours are
    steps = (series.roll(-1, 0) - series).flatten(1).norm(dim=1)
    assert steps[-1] <= 1.5 * steps[:-1].max()


@pytest.mark.parametrize(
    ("name", "config", "words"),
    [
        ("mri-singlecoil", {"scored": "phase"}, "scored: 'phase'"),
        ("mri-singlecoil", {"dataset": "kspace"}, "file = None"),
        ("mri-multicoil", {"compress": 0}, "compress = 0"),
        ("mri-cine", {"frames": 1}, "frames = 1"),
        ("mri-3d", {"slices": 40}, "slices = 40"),
        ("ct", {"views": 61, "of": 60}, "views = 61"),
        ("ct", {"window": [3.0, 1.0]}, "window = "),
        ("deblur", {"kernel": 8}, "kernel = 8"),
        ("deblur", {"channels": 2}, "channels: 2"),
        ("deblur", {"size": 200}, "has .* pixels .*at least size = 200"),
        ("ct", {"dataset": "prepared", "file": "x"}, "--data DIR or EQUIBENCH_DATA"),
    ],
)
def test_a_wrong_setting_is_refused(name: str, config: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words) as refused:
        bench.create_task(name, **config).verify()
    assert "\n" not in str(refused.value)
