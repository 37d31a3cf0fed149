"""No file makes the program run what is in it: a pickle that would write a file, in every one."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from bench.data import phantom
from bench.data.archives import open_npz
from bench.data.layouts import LAYOUTS
from bench.data.prepared import Prepared
from bench.data.readers import read_coil_maps, read_kspace, read_series
from bench.errors import InputError
from bench.own_data import Sampling, reconstruct_file
from bench.registry import create_method
from bench.weights import load_method, read_tensors

Write = Callable[[Path, "Bomb"], None]


class Bomb:
    """Unpickling it writes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.marker, "unpickled")


def test_the_bomb_goes_off(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Bomb(tmp_path / "marker")))
    assert (tmp_path / "marker").exists()


def _bare(path: Path, bomb: Bomb) -> None:
    path.write_bytes(pickle.dumps(bomb))


def _objects(path: Path, bomb: Bomb) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.array([bomb], dtype=object), allow_pickle=True)
    path.write_bytes(buffer.getvalue())


def _member(path: Path, bomb: Bomb) -> None:
    np.savez(path, **{key: np.array([[[bomb]]], dtype=object) for key in _KEYS})  # type: ignore[arg-type]


def _bare_member(path: Path, bomb: Bomb) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for key in _KEYS:
            archive.writestr(f"{key}.npy", pickle.dumps(bomb))


def _torch_zip(path: Path, bomb: Bomb) -> None:
    torch.save({"a": torch.ones(2), "b": bomb}, path)


def _torch_legacy(path: Path, bomb: Bomb) -> None:
    torch.save({"a": torch.ones(2), "b": bomb}, path, _use_new_zipfile_serialization=False)


def _torch_tar(path: Path, bomb: Bomb) -> None:
    """Torch's format before 0.1.10: a tar of pickles."""
    with tarfile.open(path, "w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            content = pickle.dumps(bomb)
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


_KEYS = ("kspace", "coil_maps", "images", "data")

KSPACE = {"pickle": _bare, "npy": _objects, "objects": _member, "member": _bare_member}


@pytest.mark.parametrize("kind", KSPACE)
def test_npz(tmp_path: Path, kind: str) -> None:
    path, marker = tmp_path / "scan.npz", tmp_path / "marker"
    KSPACE[kind](path, Bomb(marker))
    with pytest.raises(InputError):
        read_kspace(path)
    with pytest.raises(InputError):
        read_coil_maps(path, (1, 1, 1))
    with pytest.raises(InputError), open_npz(path) as archive:
        archive.array("images")
    with pytest.raises(InputError):
        reconstruct_file(create_method("zero-filled"), path, Sampling())
    assert not marker.exists()


@pytest.mark.parametrize("write", [_bare, _objects])
def test_npy(tmp_path: Path, write: Write) -> None:
    path, marker = tmp_path / "series.npy", tmp_path / "marker"
    write(path, Bomb(marker))
    with pytest.raises(InputError, match="pickled Python objects"):
        read_series(path)
    assert not marker.exists()


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt", ".bin", ".safetensors"])
@pytest.mark.parametrize("write", [_bare, _torch_zip, _torch_legacy, _torch_tar])
def test_checkpoints(tmp_path: Path, write: Write, suffix: str) -> None:
    path, marker = tmp_path / f"weights{suffix}", tmp_path / "marker"
    write(path, Bomb(marker))
    for read in (read_tensors, load_method):
        with pytest.raises(InputError) as refused:
            read(path)
        assert str(refused.value).isprintable()
    assert not marker.exists()


@pytest.mark.parametrize("kind", KSPACE)
def test_the_cache_of_phantoms_is_made_again(tmp_path: Path, kind: str) -> None:
    fresh = phantom.brain_subjects([0], 32, cache=tmp_path)
    (cached,) = tmp_path.glob("*.npz")
    marker = tmp_path / "marker"
    KSPACE[kind](cached, Bomb(marker))
    assert np.array_equal(phantom.brain_subjects([0], 32, cache=tmp_path), fresh)
    assert not marker.exists()


def test_hdf5(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    content = np.frombuffer(pickle.dumps(Bomb(marker)), np.uint8)
    path = tmp_path / "multicoil_train" / "scan.h5"
    path.parent.mkdir()
    with h5py.File(path, "w") as file:
        file["kspace"] = file["image"] = np.void(content.tobytes())
        file["ismrmrd_header"] = content
        file.attrs["patient_id"] = np.void(content.tobytes())
    (item,) = LAYOUTS["fastmri-multicoil"].find(tmp_path)
    with pytest.raises(InputError):
        list(LAYOUTS["fastmri-multicoil"].slices(item))
    entry = {"file": "multicoil_train/scan.h5", "subject": "a", "source": "b", "samples": 1}
    entry |= {"peak": 1.0, "bytes": path.stat().st_size, "sha256": "0"}
    manifest = {"format": "equibench-prepared", "version": 1, "layout": "x", "content": "images"}
    manifest |= {"settings": {}, "files": [entry], "left_out": []}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError):
        Prepared(tmp_path).array(entry["file"], "image", 0)
    assert not marker.exists()
