"""The super-resolution task: its protocol, its images, and what its draws depend on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage.metrics import structural_similarity

import bench
from bench.data.splits import load_split
from bench.errors import InputError
from bench.measure import quality
from bench.task import Task
from bench.tasks import images

SCALES = [2, 3, 4]
SPLIT = {"train": ["set91/a"], "validation": ["set91/b"], "test": ["set14/grey", "set14/colour"]}


def smooth(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    rough = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A user's own folder and split: images of several sizes, one grey, one with a palette."""
    folder = tmp_path / "data" / "photos"
    for name in ("set91", "set14"):
        (folder / name).mkdir(parents=True)
    Image.fromarray(smooth(50, 64)).save(folder / "set91" / "a.png")
    Image.fromarray(smooth(48, 60, 1)).convert("P").save(folder / "set91" / "b.bmp")
    Image.fromarray(smooth(41, 58, 2)[:, :, 0]).save(folder / "set14" / "grey.png")
    Image.fromarray(smooth(37, 40, 3)).save(folder / "set14" / "colour.tif")
    (tmp_path / "own.json").write_text(json.dumps(SPLIT))
    return tmp_path / "data"


def own(data: Path, **config: Any) -> Task:
    split = str(data.parent / "own.json")
    given = {"dataset": "image-folder", "folder": "photos", "split": split, "patch": 24}
    return bench.create_task("superres", data=data, **{**given, **config})


def image(folder: Path, pixels: NDArray[np.generic]) -> None:
    Image.fromarray(pixels).save(folder / "photos" / "set14" / "grey.png")
    images._pixels.cache_clear()


# ---------------------------------------------------------------------- protocol


@pytest.mark.parametrize("scale", SCALES)
def test_measurements_follow_the_operator_up_to_truncation(scale: int) -> None:
    task = bench.create_task("superres", scale=scale)
    batch = task.batch("test", [3])  # clock: nothing in it is clamped
    lost = 255 * (batch.physics.A(batch.x) - batch.y)
    assert float(lost.min()) > -1e-3
    assert float(lost.max()) < (65.738 + 129.057 + 25.064) / 256 + 1e-3
    assert float(lost.mean()) == pytest.approx(0.43, abs=0.05)  # truncated, not rounded


def test_luma(data: Path) -> None:
    """White is 235 and black 16; what is whole stays so when it is truncated."""
    colours = {(255, 255, 255): 235.0002, (0, 0, 0): 16.0, (200, 100, 50): 122.6660}
    for colour, luma in colours.items():
        image(data, np.full((40, 40, 3), colour, np.uint8))
        batch = own(data).batch("test", [1])
        assert batch.samples[0].subject == "set14/grey"
        for values in (batch.x, batch.y):
            assert torch.allclose(values * 255, torch.tensor(luma), atol=1e-3)


def test_sides_become_multiples_by_resizing(data: Path) -> None:
    """A ramp 40 wide is 39 wide at x3 and ends where it did; cropped, it would end at 190."""
    ramp = np.broadcast_to(np.arange(0, 200, 5, dtype=np.uint8), (37, 40))
    image(data, ramp.copy())
    batch = own(data, scale=3).batch("test", [1])
    assert batch.x.shape == (1, 1, 36, 39)
    assert batch.y.shape == (1, 1, 12, 13)
    grey = (255 * batch.x[0, 0] - 16) * 256 / (65.738 + 129.057 + 25.064)
    assert grey[:, -1].tolist() == pytest.approx([195] * 36, abs=1.01)


@pytest.mark.parametrize("scale", SCALES)
def test_scores_leave_out_the_border(scale: int) -> None:
    task = bench.create_task("superres", scale=scale)
    batch = task.batch("test", [2])
    assert task.protocol.crop == scale
    assert task.channels == 1
    height, width = batch.x.shape[-2:]
    values = task.comparable(batch.x, batch)
    assert values.shape == (1, 1, height - 2 * scale, width - 2 * scale)
    assert torch.equal(values[0, 0], batch.x[0, 0, scale:-scale, scale:-scale])
    assert batch.data_range.tolist() == batch.scale.tolist() == [1.0]


def test_ssim_is_scikit_images_default() -> None:
    task = bench.create_task("superres")
    batch = task.batch("test", [0])
    pair = [
        task.comparable(x, batch)[0, 0].numpy() for x in (batch.x, batch.physics.upsample(batch.y))
    ]
    assert quality.ssim(*pair, 1.0) == structural_similarity(*pair, data_range=1)


def test_noise_level_is_the_stated_one() -> None:
    clean, noisy = (bench.create_task("superres", noise=n).batch("test", [0]) for n in (0.0, 0.1))
    assert torch.equal(clean.x, noisy.x)
    level = float((noisy.y - clean.y).std())
    assert level == pytest.approx(0.1, rel=0.03)  # 128 * 128 values: 0.6 % standard error


# ---------------------------------------------------------------------- draws


def test_draws_depend_on_sample_epoch_and_data_seed_only() -> None:
    config: dict[str, Any] = {"scale": 3, "noise": 0.01, "patches": 2}
    one, again = (bench.create_task("superres", **config) for _ in range(2))
    other = bench.create_task("superres", data_seed=1, **config)
    torch.manual_seed(5)
    batch = one.batch("train", [4, 7], 2)
    assert batch.x.shape == (2, 1, 60, 60)
    assert batch.y.shape == (2, 1, 20, 20)
    for names in ("x", "y"):
        values = getattr(batch, names)
        assert torch.equal(values, getattr(again.batch("train", [4, 7], 2), names))
        assert torch.equal(values[1], getattr(one.batch("train", [7], 2), names)[0])
        for changed in (other.batch("train", [4, 7], 2), one.batch("train", [4, 7], 3)):
            assert not torch.equal(values, getattr(changed, names))
    # two patches of one image
    assert one.samples("train")[4].subject == one.samples("train")[5].subject
    assert not torch.equal(batch.x[0], one.batch("train", [5], 2).x[0])
    assert len(one.samples("train")) == 12
    assert len(one.samples("test")) == 4


@pytest.mark.parametrize(("patch", "size"), [(None, 80), (50, 48), (16, 16)])
def test_patches_are_multiples_of_the_scale(patch: int | None, size: int) -> None:
    batch = bench.create_task("superres", scale=4, patch=patch).batch("train", [0])
    assert batch.x.shape[-2:] == (size, size)


def test_whole_images_of_two_sizes_are_not_stacked() -> None:
    task = bench.create_task("superres")
    assert task.batch("test", [0, 1]).x.shape == (2, 1, 256, 256)
    with pytest.raises(InputError, match=r"170x256, 256x256 in one batch .*one size"):
        task.batch("test", [0, 2])


# ---------------------------------------------------------------------- images and splits


def test_photographs_need_no_data() -> None:
    task = bench.create_task("superres")
    task.verify()
    subjects = [{s.subject for s in task.samples(p)} for p in ("train", "validation", "test")]
    assert [len(names) for names in subjects] == [6, 2, 4]
    assert len(set().union(*subjects)) == 12
    for i in range(4):
        assert max(task.batch("test", [i]).x.shape) == 256
    assert "256 px, x2" in task.dataset_label


def test_any_folder_that_a_split_names(data: Path) -> None:
    task = own(data)
    task.verify()
    assert [s.subject for s in task.samples("test")] == ["set14/colour", "set14/grey"]
    assert task.batch("train", [0], 0).x.shape == (1, 1, 24, 24)
    assert task.batch("validation", [0]).x.shape == (1, 1, 48, 60)
    assert task.batch("test", [1]).x.shape == (1, 1, 40, 58)
    assert task.dataset_label == "photos (own), x2"
    assert str(data) not in task.dataset_label


def test_content_hash_is_of_the_files_and_not_of_their_place(data: Path) -> None:
    before = own(data).content_hash()
    data.rename(data.parent / "moved")
    (data.parent / "moved" / "photos" / "unnamed.png").write_bytes(b"")
    assert own(data.parent / "moved").content_hash() == before
    image(data.parent / "moved", smooth(41, 58, 9)[:, :, 0])
    assert own(data.parent / "moved").content_hash() != before
    assert own(data.parent / "moved", scale=3).content_hash() != before


def test_what_cannot_be_used_is_named(data: Path) -> None:
    grey = data / "photos" / "set14" / "grey.png"

    def refused(match: str, **config: Any) -> None:
        with pytest.raises(InputError, match=match):
            own(data, **config).verify()

    refused(r"set91/a has 50x64 pixels .*at least 60 along both, a patch", patch=60)
    refused("no such file or folder", folder="elsewhere")
    image(data, np.zeros((9, 9), np.uint16))
    refused(r"grey\.png: has Pillow mode I;16")
    grey.write_bytes(grey.read_bytes()[:45])
    grey.rename(grey.with_suffix(".jpg"))
    refused(r"grey\.jpg: is not a readable image")
    grey.with_suffix(".jpg").unlink()
    refused(r"set14/grey: no such file \(expected \.png")
    Image.fromarray(smooth(9, 30)).save(grey)
    refused("set14/grey has 8x30 pixels .*at least 11")
    with pytest.raises(InputError, match="--data DIR or EQUIBENCH_DATA"):
        bench.create_task("superres", dataset="image-folder", folder="photos")
    with pytest.raises(InputError, match="no photograph 'set91/a'"):
        bench.create_task("superres", split=str(data.parent / "own.json")).verify()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("scale", 5),
        ("patch", 7),
        ("patches", 0),
        ("noise", -1.0),
        ("channels", 3),
        ("folder", None),
    ],
)
def test_a_wrong_setting_is_refused(field: str, value: Any) -> None:
    dataset = "image-folder" if field == "folder" else "photographs"
    with pytest.raises(InputError, match=field):
        bench.create_task("superres", dataset=dataset, **{field: value})


def test_t91_and_set5_are_as_the_split_says(data_root: Path) -> None:
    split = load_split("t91-set5")
    assert [len(split.train), len(split.validation), len(split.test)] == [86, 5, 5]
    for scale in SCALES:
        task = bench.create_task(
            "superres", data=data_root, dataset="image-folder", folder="natural", scale=scale
        )
        task.verify()
    assert task.batch("train", list(range(20)), 0).y.shape == (20, 1, 20, 20)
    assert task.batch("test", [0]).x.shape == (1, 1, 512, 512)
