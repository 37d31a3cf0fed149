"""Small files with exactly the published layouts, prepared and read back by tasks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import bench
from bench.data.coil_maps import simulate_coil_maps
from bench.data.layouts import LAYOUTS
from bench.data.layouts.fastmri import FastMRI
from bench.data.phantom import brain_subject
from bench.data.prepare import Preparation, prepare
from bench.data.prepared import read_manifest
from bench.errors import InputError
from bench.operators.fourier import magnitude

SMALL = Preparation(calibration=12)
Complex = NDArray[np.complex64]


def coil_kspace(subject: int = 0, coils: int = 3, size: int = 32) -> Complex:
    """Fully sampled, centred, (N, H, W)."""
    image = brain_subject(subject, size)
    maps = simulate_coil_maps(coils, image.shape, np.random.default_rng(subject))
    shifted = np.fft.ifftshift(maps * image, axes=(-2, -1))
    kspace = np.fft.fftshift(np.fft.fft2(shifted, norm="ortho"), axes=(-2, -1))
    return 1e-4 * kspace.astype(np.complex64)


def image_of(kspace: Complex) -> NDArray[np.float32]:
    """Root sum of squares, (H, W)."""
    shifted = np.fft.ifftshift(kspace, axes=(-2, -1))
    images = np.fft.fftshift(np.fft.ifft2(shifted, norm="ortho"), axes=(-2, -1))
    return np.sqrt((np.abs(images) ** 2).sum(0)).astype(np.float32)


def fastmri(path: Path, kspace: Complex, patient: str | None, **more: Any) -> None:
    """As in arXiv:1811.08839: (slices, coils, height, width), or without coils."""
    path.parent.mkdir(parents=True, exist_ok=True)
    single = kspace.ndim == 3
    rss = np.stack([image_of(k[None] if single else k) for k in kspace])
    with h5py.File(path, "w") as file:
        file["kspace"] = kspace
        file["ismrmrd_header"] = "<ismrmrdHeader/>"
        file["reconstruction_esc" if single else "reconstruction_rss"] = rss
        for key, value in more.items():
            file[key] = value
        file.attrs.update(acquisition="AXT2", max=float(rss.max()), norm=float(rss.sum()))
        if patient is not None:
            file.attrs["patient_id"] = patient


@pytest.fixture
def fastmri_folder(tmp_path: Path) -> Path:
    """Two patients train (one with two volumes), one validates."""
    source = tmp_path / "fastmri"
    for number, (part, patient) in enumerate(
        [("train", "anna"), ("train", "ben"), ("train", "anna"), ("val", "carl")]
    ):
        volume = np.stack([coil_kspace(number), coil_kspace(number + 10)])
        fastmri(source / f"multicoil_{part}" / f"file{number}.h5", volume, patient)
    return source


def test_fastmri_multicoil(fastmri_folder: Path, tmp_path: Path) -> None:
    manifest = prepare("fastmri-multicoil", fastmri_folder, tmp_path / "out", SMALL)
    assert [file.subject for file in manifest.files] == ["anna", "ben", "anna", "carl"]
    split = json.loads((tmp_path / "out" / "split.json").read_text())
    assert split["train"] == ["anna", "ben"] and split["test"] == ["carl"]
    task = bench.create_task(
        "mri-multicoil",
        data=tmp_path,
        dataset="prepared",
        file="out",
        measurements="acquired",
        noise=0.0,
        acceleration=1.0,
        center_fraction=1.0,
    )
    task.verify()
    assert [len(task.samples(part)) for part in ("train", "validation", "test")] == [6, 0, 2]
    batch = task.batch("test", [1])
    # fully sampled: the coil images combine to the reference, in the units of the volume's maximum
    truth = coil_kspace(13)
    assert torch.allclose(batch.physics.A_adjoint(batch.y), batch.x, atol=1e-4)
    found = magnitude(batch.x)[0] * batch.scale
    peak = max(image_of(coil_kspace(n)).max() for n in (3, 13))
    error = np.abs(found.numpy() - image_of(truth) / peak)
    assert error.mean() < 0.01  # maps are estimated, and zero where the head seems to end
    assert "out (fastmri-multicoil)" in task.dataset_label


def test_fastmri_singlecoil(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for part, seed in (("train", 0), ("val", 1)):
        volume = np.stack([coil_kspace(seed, 1)[0], coil_kspace(seed + 5, 1)[0]])
        fastmri(source / f"singlecoil_{part}" / f"file{seed}.h5", volume, None)
    prepare("fastmri-singlecoil", source, tmp_path / "out", SMALL)
    task = bench.create_task(
        "mri-singlecoil", data=tmp_path, dataset="prepared", file="out", center_crop=16, noise=0.0
    )
    batch = task.batch("test", [1])
    assert batch.samples[0].subject == "file1" and batch.y.shape == (1, 2, 1, 32, 32)
    # the magnitude is the published reconstruction over the volume's maximum, its middle is scored
    with h5py.File(source / "singlecoil_val" / "file1.h5") as file:
        published = file["reconstruction_esc"][1] / file["reconstruction_esc"][:].max()
    scored = task.comparable(batch.x, batch)[0, 0]
    assert scored.shape == (16, 16)
    assert np.allclose(scored, published[8:24, 8:24], atol=1e-5)
    assert "central 16" in str(task.protocol)


def test_calgary_campinas(tmp_path: Path) -> None:
    """Hybrid (readout, phase, slice, 2 coils), zero frequency in the corner."""
    source, planes = tmp_path / "source", [coil_kspace(n, 12) for n in range(3)]
    source.mkdir()
    corner = [np.fft.ifftshift(plane, axes=(-2, -1)) for plane in planes]
    with h5py.File(source / "e14089s3_P53248.7.h5", "w") as file:
        pairs = np.stack([np.stack((p.real, p.imag), -1) for p in corner])  # (x, N, H, W, 2)
        file["kspace"] = np.moveaxis(pairs, 1, 3).reshape(3, 32, 32, 24).astype(np.float32)
    (item,) = LAYOUTS["calgary-campinas"].find(source)
    for found, plane in zip(LAYOUTS["calgary-campinas"].slices(item), planes, strict=True):
        assert np.array_equal(found, plane)
    assert item.subject == "e14089s3_P53248.7"


@pytest.mark.parametrize("layout", ["bart", "npz"])
def test_single_slices(layout: str, tmp_path: Path) -> None:
    source, kspace = tmp_path / "source", coil_kspace(2)
    source.mkdir()
    if layout == "npz":
        np.savez(source / "scan.npz", kspace=kspace)
    else:
        # BART: column-major, dimensions 1 x H x W x N
        (source / "scan.hdr").write_text("# Dimensions\n1 32 32 3 1\n")
        kspace.transpose(1, 2, 0)[None].ravel(order="F").astype("<c8").tofile(source / "scan.cfl")
    manifest = prepare(layout, source, tmp_path / "out", Preparation(12, compress=2))
    with h5py.File(tmp_path / "out" / manifest.files[0].file) as file:
        assert file["kspace"].shape == file["coil_maps"].shape == (1, 2, 32, 32)
        combined = np.abs(file["image"][0])
    error = np.abs(combined / combined.max() - image_of(kspace) / image_of(kspace).max())
    assert error.mean() < 0.02
    assert json.loads((tmp_path / "out" / "split.json").read_text())["test"] == ["scan"]


def lodopab(folder: Path, part: str, number: int, slices: int, size: int = 20) -> None:
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(number)
    data = np.zeros((128, size, size), np.float32)
    data[:slices] = rng.random((slices, size, size))
    with h5py.File(folder / f"ground_truth_{part}_{number:03d}.hdf5", "w") as file:
        file["data"] = data
    with h5py.File(folder / f"observation_{part}_{number:03d}.hdf5", "w") as file:
        file["data"] = np.zeros((128, 10, 9), np.float32)


def test_lodopab(tmp_path: Path) -> None:
    source = tmp_path / "source"
    lodopab(source, "train", 0, 128)
    lodopab(source, "train", 1, 3)  # filled up with zeros
    lodopab(source, "validation", 0, 2)
    lodopab(source, "test", 0, 2)
    ids = [7] * 100 + [9] * 31
    (source / "patient_ids_rand_train.csv").write_text("".join(f"{i}\n" for i in ids))
    manifest = prepare("lodopab-ct", source, tmp_path / "out")
    counts = [(file.subject, file.samples) for file in manifest.files if "train" in file.file]
    assert counts == [("train-7", 100), ("train-9", 28), ("train-9", 3)]
    config = {"dataset": "prepared", "file": "out", "views": 10, "of": 50}
    task = bench.create_task("ct", data=tmp_path, **config)
    assert [len(task.samples(part)) for part in ("train", "validation", "test")] == [131, 2, 2]
    batch = task.batch("train", [130])
    expected = np.random.default_rng(1).random((3, 20, 20))[2]
    assert np.abs(batch.x[0, 0].numpy() - expected).max() < 1e-3  # the peak of all is nearly 1
    assert batch.y.shape[1:3] == (1, 10)


def test_celeba(tmp_path: Path) -> None:
    source, rng = tmp_path / "source", np.random.default_rng(0)
    (source / "img_align_celeba").mkdir(parents=True)
    lines = []
    for number, part in enumerate([0, 0, 1, 2], start=1):
        pixels = rng.integers(0, 255, (218, 178, 3), np.uint8)
        Image.fromarray(pixels).save(source / "img_align_celeba" / f"{number:06d}.jpg")
        lines.append(f"{number:06d}.jpg {part}\n")
    (source / "list_eval_partition.txt").write_text("".join(lines))
    prepare("celeba", source, tmp_path / "out")
    task = bench.create_task("deblur", data=tmp_path, dataset="prepared", file="out")
    assert [len(task.samples(part)) for part in ("train", "validation", "test")] == [2, 1, 1]
    batch = task.batch("test", [0])
    assert batch.x.shape == (1, 3, 128, 128)
    with Image.open(source / "img_align_celeba" / "000004.jpg") as image:
        square = image.crop((0, 20, 178, 198)).resize((128, 128), Image.Resampling.BICUBIC)
    assert torch.equal(
        (batch.x[0] * 255).round().byte().movedim(0, -1), torch.tensor(np.asarray(square))
    )


def test_image_folder(tmp_path: Path) -> None:
    for part, count in (("train", 3), ("test", 2)):
        (tmp_path / "source" / part).mkdir(parents=True)
        for number in range(count):
            pixels = np.full((40, 50), 10 * number, np.uint8) + np.arange(50, dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "source" / part / f"{number}.png")
    prepare("image-folder", tmp_path / "source", tmp_path / "out")
    config = {"dataset": "prepared", "file": "out", "size": 32, "channels": 1}
    task = bench.create_task("deblur", data=tmp_path, **config)
    assert [s.subject for s in task.samples("test")] == ["test/0", "test/1"]
    expected = torch.arange(9, 41) / 255
    assert torch.allclose(task.batch("test", [0]).x[0, 0, 0], expected, atol=1e-6)


# ---------------------------------------------------------------------- what cannot be used

BAD: dict[str, tuple[Callable[[Path], None], str]] = {}


def bad(match: str) -> Callable[[Callable[[Path], None]], None]:
    def keep(write: Callable[[Path], None]) -> None:
        BAD[write.__name__] = (write, match)

    return keep


@bad(r"bad\.h5: kspace: no such dataset, only image \(expected complex \(slices, coils")
def missing_key(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["image"] = np.ones((2, 2))


@bad(r"bad\.h5: kspace: shape \(2, 32, 32\), dtype complex64 \(expected complex \(slices, coils")
def wrong_rank(path: Path) -> None:
    fastmri(path, np.ones((2, 32, 32), np.complex64), None)


@bad(r"kspace: shape .*float32 \(real numbers: are real and imaginary parts stored side by side")
def two_floats(path: Path) -> None:
    fastmri(path, np.ones((1, 3, 32, 32), np.complex64), None)
    with h5py.File(path, "a") as file:
        del file["kspace"]
        file["kspace"] = np.ones((1, 3, 32, 32, 2), np.float32)


@bad(r"bad\.h5: is damaged: .* \(expected a whole HDF5 file\)")
def truncated(path: Path) -> None:
    fastmri(path, np.ones((1, 3, 32, 32), np.complex64), None)
    path.write_bytes(path.read_bytes()[:9000])


@bad(r"bad\.h5: kspace, slice 1: is zero everywhere \(expected some signal\)")
def zero_slice(path: Path) -> None:
    fastmri(path, np.stack([coil_kspace(0), 0 * coil_kspace(0)]), None)


@bad(r"bad\.h5: kspace, slice 0: has NaN or Inf \(expected finite values\)")
def not_finite(path: Path) -> None:
    kspace = coil_kspace(0)[None].copy()
    kspace[0, 0, 3, 3] = np.nan
    fastmri(path, kspace, None)


@bad(r"bad\.h5: kspace: is undersampled")
def challenge(path: Path) -> None:
    fastmri(path, coil_kspace(0)[None], None, mask=np.ones(32))


@bad(r"bad\.h5: kspace: calibration is 12 \(expected 8 to 10 samples")
def too_small(path: Path) -> None:
    fastmri(path, coil_kspace(0)[None, :, :10, :10].copy(), None)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_named_or_left_out(name: str, fastmri_folder: Path, tmp_path: Path) -> None:
    write, match = BAD[name]
    write(fastmri_folder / "multicoil_train" / "bad.h5")
    with pytest.raises(InputError, match=match) as refused:
        prepare("fastmri-multicoil", fastmri_folder, tmp_path / "out", SMALL)
    assert "\n" not in str(refused.value)
    manifest = prepare("fastmri-multicoil", fastmri_folder, tmp_path / "out", SMALL, skip_bad=True)
    assert len(manifest.files) == 4
    assert [bad["source"] for bad in manifest.left_out] == ["multicoil_train/bad.h5"]
    assert read_manifest(tmp_path / "out") == manifest


def test_slices_with_other_coils_are_refused(
    fastmri_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volumes = {True: coil_kspace(0, 3), False: coil_kspace(0, 2)}
    monkeypatch.setattr(FastMRI, "slices", lambda *_: iter(volumes.values()))
    with pytest.raises(InputError, match=r"file0\.h5: kspace of .* with the same coils"):
        prepare("fastmri-multicoil", fastmri_folder, tmp_path / "out", SMALL)
    assert not list((tmp_path / "out").rglob("*.h5"))


def test_images_of_two_sizes_are_not_stacked(tmp_path: Path) -> None:
    for name, size in (("a", 32), ("b", 36)):
        fastmri(tmp_path / f"source/singlecoil_val/{name}.h5", coil_kspace(0, 1, size), None)
    prepare("fastmri-singlecoil", tmp_path / "source", tmp_path / "out", SMALL)
    task = bench.create_task("mri-singlecoil", data=tmp_path, dataset="prepared", file="out")
    assert task.batch("test", [1]).x.shape == (1, 2, 36, 36)
    with pytest.raises(InputError, match="images of 32x32, 36x36 in one batch"):
        task.batch("test", [0, 1])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_folder_without_files_is_refused(layout: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "nowhere"):
        with pytest.raises(InputError, match="expected"):
            prepare(layout, folder, tmp_path / "out", SMALL)


def test_a_subject_in_two_published_parts_is_a_leak(fastmri_folder: Path, tmp_path: Path) -> None:
    volume = coil_kspace(20)[None]
    fastmri(fastmri_folder / "multicoil_val" / "file9.h5", volume, "anna")
    with pytest.raises(InputError, match="subject 'anna' is in two parts"):
        prepare("fastmri-multicoil", fastmri_folder, tmp_path / "out", SMALL)
