"""The multi-coil task: what measurements depend on, and what they do not."""

import pytest
import torch

import bench
from bench.errors import InputError
from bench.operators.fourier import magnitude
from bench.operators.sense import sense_image

SMALL = {"size": 32, "coils": 3}


def task(**config):
    return bench.create_task("mri-multicoil", **{**SMALL, **config})


def test_measurements_follow_the_operator():
    t = task(noise=0.0)
    batch = t.batch("test", [0, 5])
    error = batch.physics.A(batch.x) - batch.y
    assert error.norm() < 2e-6 * batch.y.norm()


def test_scale_comes_from_the_measurements_alone():
    batch = task().batch("test", [0, 1])
    image = sense_image(batch.y, batch.physics, weight=1.0, shift=0.01, tol=1e-3, max_iter=10)
    percentile = torch.quantile(magnitude(image).flatten(1), 0.99, dim=1)
    assert torch.allclose(percentile, torch.ones(2), atol=1e-4)
    # in the dataset's units the subject's largest magnitude is the data range
    peak = (magnitude(batch.x) * batch.scale.view(-1, 1, 1)).flatten(1).amax(1)
    assert torch.allclose(peak, batch.data_range, atol=1e-5)


def test_noise_level_is_the_stated_one():
    clean, noisy = (task(noise=n, acceleration=1.0, center_fraction=1.0) for n in (0.0, 0.05))
    a, b = clean.batch("test", [3]), noisy.batch("test", [3])
    noise = b.y * b.scale - a.y * a.scale
    coil_images = a.physics.coil_maps * torch.complex(a.x[:, 0], a.x[:, 1])[:, None] * a.scale
    level = noise.square().sum(1).mean().sqrt() / coil_images.abs().max()
    assert level == pytest.approx(0.05, rel=0.05)  # 3 * 32 * 32 samples: 1.8 % standard error


def test_draws_depend_on_sample_epoch_and_data_seed_only():
    one, again, other = task(), task(), bench.create_task("mri-multicoil", data_seed=1, **SMALL)
    torch.manual_seed(5)
    assert torch.equal(one.batch("train", [4]).y, again.batch("train", [4]).y)
    # the same sample in another batch, at another place
    assert torch.equal(one.batch("train", [4, 7]).y[1], one.batch("train", [7]).y[0])
    assert not torch.equal(one.batch("train", [4]).y, other.batch("train", [4]).y)
    masks = [one.batch("train", [4], epoch).physics.mask for epoch in range(8)]
    assert any(not torch.equal(masks[0], mask) for mask in masks)
    fixed = task(redraw_masks=False)
    assert torch.equal(
        fixed.batch("train", [4], 0).physics.mask, fixed.batch("train", [4], 1).physics.mask
    )


def test_no_subject_stands_in_two_splits():
    t = task()
    subjects = {s: {x.subject for x in t.samples(s)} for s in ("train", "validation", "test")}
    assert not subjects["train"] & subjects["test"]
    assert not subjects["validation"] & (subjects["train"] | subjects["test"])
    assert len(subjects["test"]) == 30


def test_acquired_and_simulated_share_reference_and_mask(data_root):
    config = {"dataset": "kspace", "file": "multicoil", "noise": 0.0}
    acquired = bench.create_task(
        "mri-multicoil", data=data_root, measurements="acquired", **config
    ).batch("test", [1])
    simulated = bench.create_task("mri-multicoil", data=data_root, **config).batch("test", [1])
    assert torch.equal(acquired.physics.mask, simulated.physics.mask)
    assert torch.allclose(acquired.x * acquired.scale, simulated.x * simulated.scale, atol=1e-5)
    difference = (acquired.y * acquired.scale - simulated.y * simulated.scale).norm()
    # the maps explain most of the acquired samples, never all of them
    assert 0.01 < difference / simulated.y.norm() / simulated.scale < 0.3


def test_held_out_brains_are_cut_by_subject(data_root):
    t = bench.create_task(
        "mri-multicoil",
        data=data_root,
        dataset="complex-images",
        file="images/brain_t2_complex_siat200.npz",
        size=64,
    )
    counts = [len(t.samples(split)) for split in ("train", "validation", "test")]
    assert counts == [120, 30, 50]
    batch = t.batch("test", [0])
    assert float((magnitude(batch.x) * batch.scale).max()) <= 1 + 1e-5


def test_missing_data_is_named(tmp_path):
    with pytest.raises(InputError, match=r"multicoil.*no such file or folder"):
        bench.create_task("mri-multicoil", data=tmp_path, dataset="kspace", file="multicoil")
    with pytest.raises(InputError, match="--data DIR or EQUIBENCH_DATA"):
        bench.create_task("mri-multicoil", dataset="kspace", file="multicoil")
