"""Prepared datasets: resumable, verifiable, and read without filling memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

import bench
from bench.data.layouts import LAYOUTS
from bench.data.prepare import Preparation, prepare
from bench.data.prepared import differing
from bench.errors import InputError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Six scans of one slice, a subject each."""
    folder = tmp_path / "source"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(6):
        kspace = rng.standard_normal((1, 16, 16)) + 1j * rng.standard_normal((1, 16, 16))
        np.savez(folder / f"scan-{number}.npz", kspace=kspace.astype(np.complex64))
    return folder


def test_what_was_interrupted_goes_on(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = prepare("npz", source, tmp_path / "whole")
    read, layout = [], LAYOUTS["npz"]
    slices = type(layout).slices

    def interrupted(self, item):
        if len(read) == 3:
            raise KeyboardInterrupt
        read.append(item.name)
        return slices(self, item)

    monkeypatch.setattr(type(layout), "slices", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare("npz", source, tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.part"))
    monkeypatch.setattr(type(layout), "slices", lambda s, i: (read.append(i.name), slices(s, i))[1])
    again = prepare("npz", source, tmp_path / "out")
    assert read == [f"scan-{n}" for n in range(6)]  # none twice
    assert [f.sha256 for f in again.files] == [f.sha256 for f in whole.files]
    # a source that has changed since is read again
    np.savez(source / "scan-2.npz", kspace=np.ones((1, 16, 16), np.complex64))
    prepare("npz", source, tmp_path / "out")
    assert read[6:] == ["scan-2"]


def test_another_dataset_is_not_written_over(source: Path, tmp_path: Path) -> None:
    prepare("npz", source, tmp_path / "out")
    with pytest.raises(InputError, match="begun with other settings"):
        prepare("npz", source, tmp_path / "out", Preparation(calibration=8))
    with pytest.raises(InputError, match="is not empty"):
        prepare("npz", source, source)
    with pytest.raises(InputError, match="one of npz"):
        prepare("nzp", source, tmp_path / "other")


def test_verify_names_every_file_that_differs(source: Path, tmp_path: Path) -> None:
    manifest = prepare("npz", source, tmp_path / "out")
    assert list(differing(tmp_path / "out")) == []
    files = [tmp_path / "out" / file.file for file in manifest.files]
    files[0].unlink()
    files[1].write_bytes(files[1].read_bytes() + b"x")
    content = bytearray(files[2].read_bytes())
    content[-1] ^= 1
    files[2].write_bytes(content)
    found = dict(differing(tmp_path / "out"))
    assert [Path(name).name for name in found] == ["scan-0.h5", "scan-1.h5", "scan-2.h5"]
    assert list(found.values()) == [
        "missing",
        f"{files[1].stat().st_size} bytes, expected {files[1].stat().st_size - 1}",
        "other contents of the same size",
    ]
    task = {"data": tmp_path, "dataset": "prepared", "file": "out", "noise": 0.0}
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"test": ["scan-0"]}))
    with pytest.raises(InputError, match=r"scan-0\.h5: no such file"):
        bench.create_task("mri-singlecoil", **task, split=str(split)).verify()
    (tmp_path / "out" / "manifest.json").write_text("{}")
    with pytest.raises(InputError, match="is not a manifest"):
        bench.create_task("mri-singlecoil", **task)


def test_the_content_hash_is_of_the_contents(source: Path, tmp_path: Path) -> None:
    hashes = set()
    for name in ("one", "two"):
        prepare("npz", source, tmp_path / name)
        task = {"dataset": "prepared", "file": name}
        hashes.add(bench.create_task("mri-singlecoil", data=tmp_path, **task).content_hash())
    assert len(hashes) == 1


EPOCH = """
import resource, sys, bench
task = bench.create_task("mri-singlecoil", data=sys.argv[1], dataset="prepared", file="out",
                         split=sys.argv[2], noise=0.0)
peaks = []
count = len(task.samples("test"))
for index in range(count):
    task.batch("test", [index])
    if index in (count // 8, count - 1):
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print(count, *peaks)
"""


def test_memory_stays_flat_over_an_epoch(tmp_path: Path) -> None:
    """128 MiB of slices through a process; after an eighth of them it has grown as far as it will.

    Peaks of the resident set in KiB, which also count pages of the file that the system keeps.
    """
    source, rng = tmp_path / "source", np.random.default_rng(0)
    source.mkdir()
    for number in range(8):
        noise = rng.standard_normal((16, 256, 256, 2), dtype=np.float32)
        with h5py.File(source / f"volume-{number}.h5", "w") as file:
            file["kspace"] = noise[..., 0] + 1j * noise[..., 1]
            file["ismrmrd_header"] = ""
    manifest = prepare("fastmri-singlecoil", source, tmp_path / "out")
    assert sum(file.bytes for file in manifest.files) > 120 * 2**20
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"test": [file.subject for file in manifest.files]}))
    command = [sys.executable, "-c", EPOCH, str(tmp_path), str(split)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    count, early, late = map(int, output.split())
    assert count == 128
    assert late - early < 24 * 1024, f"{early} KiB after {count // 8} slices, {late} at the end"
