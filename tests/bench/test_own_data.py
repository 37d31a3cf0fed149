"""A user's own file: reconstructed as the task would, scored where there is a reference."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import bench
from bench import cli
from bench.data.coil_maps import simulate_coil_maps
from bench.data.phantom import brain_subject
from bench.errors import InputError
from bench.own_data import Sampling, reconstruct_file
from bench.weights import description


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """Fully sampled, 4 coils, 48x48, with its maps."""
    image = brain_subject(3, 48)
    maps = simulate_coil_maps(4, image.shape, np.random.default_rng(0))
    shifted = np.fft.ifftshift(maps * image, axes=(-2, -1))
    kspace = np.fft.fftshift(np.fft.fft2(shifted, norm="ortho"), axes=(-2, -1))
    np.savez(tmp_path / "scan.npz", kspace=kspace.astype(np.complex64) * 7, coil_maps=maps)
    return tmp_path / "scan.npz"


def test_scores_are_those_of_the_image(scan: Path) -> None:
    sampling = Sampling(mask="random", acceleration=3, maps="given", seed=1)
    (found,) = reconstruct_file(bench.create_method("sense"), scan, sampling)
    reference = 7 * np.abs(brain_subject(3, 48))
    image = found.image.abs().numpy()
    psnr = 10 * np.log10(reference.max() ** 2 / np.mean((image - reference) ** 2))
    assert found.scores["psnr"] == pytest.approx(psnr, abs=1e-3)
    assert found.scores["psnr"] > 20 and 0 < found.scores["ssim"] < 1
    assert found.scores["sampled"] == pytest.approx(1 / 3, abs=0.1)
    (zero_filled,) = reconstruct_file(bench.create_method("zero-filled"), scan, sampling)
    assert zero_filled.scores["psnr"] < found.scores["psnr"]


def test_what_was_measured_is_seen_by_its_zeros(scan: Path, tmp_path: Path) -> None:
    with np.load(scan) as file:
        kspace = file["kspace"]
    mask = np.zeros(48, np.float32)
    mask[::3], mask[16:32] = 1, 1
    np.savez(tmp_path / "under.npz", kspace=kspace * mask)
    method = bench.create_method("sense")
    (found,) = reconstruct_file(method, tmp_path / "under.npz", Sampling(calibration=16))
    assert "psnr" not in found.scores
    assert found.scores["sampled"] == pytest.approx(mask.mean(), abs=1e-3)
    error = found.image.abs().numpy() - 7 * np.abs(brain_subject(3, 48))
    assert np.abs(error).mean() < 0.02 * 7  # of the largest magnitude
    with pytest.raises(InputError, match="k-space is fully sampled"):
        reconstruct_file(method, scan, Sampling())
    with pytest.raises(InputError, match=r"only .* of k-space is sampled"):
        reconstruct_file(method, tmp_path / "under.npz", Sampling(mask="random"))


def test_the_units_of_the_file_do_not_matter(scan: Path, tmp_path: Path) -> None:
    with np.load(scan) as file:
        np.savez(tmp_path / "tiny.npz", kspace=file["kspace"] * 1e-6, coil_maps=file["coil_maps"])
    method = bench.create_method("unet", width=4)
    torch.manual_seed(0)
    sampling = Sampling(mask="equispaced", maps="given")
    (one,), (other,) = (
        reconstruct_file(method, path, sampling) for path in (scan, tmp_path / "tiny.npz")
    )
    assert torch.allclose(one.image * 1e-6, other.image, rtol=1e-3, atol=1e-9)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["equibench", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_the_command(
    scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    method = bench.create_method("modl", width=4, depth=2, iterations=2)
    save_file(method.state_dict(), tmp_path / "modl.safetensors", description(method))
    volume = tmp_path / "volume.h5"
    with np.load(scan) as file, h5py.File(volume, "w") as made:
        made["kspace"], made["ismrmrd_header"] = np.stack([file["kspace"]] * 2), ""
    weights = ("--method", "modl", "--weights", tmp_path / "modl.safetensors")
    options = ("--mask", "random", "--calibration", 16, "--out", tmp_path / "out")
    assert run(monkeypatch, "evaluate", *weights, "--input", volume, *options) == 0
    shown = capsys.readouterr().out
    assert "slice 1: sampled" in shown and "psnr" in shown
    with np.load(tmp_path / "out" / "volume.npz") as file:
        assert file["image"].shape == (2, 48, 48)
    with Image.open(tmp_path / "out" / "volume.png") as picture:
        assert picture.size == (48, 48)
    refused = {
        ("--method", "sense", *weights[2:]): "are of modl (expected of sense)",
        ("--method", "modl"): "modl has to be trained (expected --weights FILE)",
        (*weights, "--maps", "guessed"): "maps = 'guessed'",
        (*weights, "--mask", "radial"): "unknown mask 'radial'",
        (*weights, "--mask", "given"): "k-space is fully sampled",
    }
    for arguments, words in refused.items():
        given = [a for a in arguments if a is not None]
        mask = () if "--mask" in given else ("--mask", "random")
        assert run(monkeypatch, "evaluate", *given, *mask, "--input", volume) == 2
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1, error


def test_data_commands(
    scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "source", tmp_path / "prepared"
    source.mkdir()
    scan.rename(source / "scan.npz")
    (source / "broken.npz").write_bytes(b"no archive")
    given = ("data", "prepare", "npz", "--source", source, "--out", out, "--quiet")
    assert run(monkeypatch, *given) == 2
    assert "broken.npz: is not an .npz" in capsys.readouterr().err
    assert run(monkeypatch, *given, "--skip-bad") == 0
    shown = capsys.readouterr().out
    assert "1 files, 1 subjects, 1 slices" in shown and "left out: " in shown
    assert run(monkeypatch, "data", "verify", out) == 0
    capsys.readouterr()
    suite, results = tmp_path / "mine.yaml", tmp_path / "results"
    config = {"dataset": "prepared", "file": "prepared", "noise": 0.0}
    content = {
        "name": "mine",
        "tasks": {"scans": {"task": "mri-multicoil", "config": config}},
        "train_on": ["scans"],
        "methods": ["zero-filled"],
    }
    suite.write_text(json.dumps(content))
    assert run(monkeypatch, "run", suite, "--data", tmp_path, "--out", results, "--quiet") == 0
    assert list(results.glob("jobs/*/artifacts/*.npz"))  # the sample's id is no file name
    assert list(results.glob("report/mine/figures/reconstruction*.png"))
    (out / "data" / "scan.h5").write_bytes(b"")
    assert run(monkeypatch, "data", "verify", out) == 1
    assert "scan.h5: 0 bytes, expected" in capsys.readouterr().out
    assert run(monkeypatch, "data", "prepare", "npz", "--source", source, "--out", source) == 2
