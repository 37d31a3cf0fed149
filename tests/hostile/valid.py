"""Tiny valid files of every kind that the program reads, and their readers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from bench.data.layouts import LAYOUTS
from bench.data.prepared import Prepared, differing
from bench.data.readers import (
    read_coil_maps,
    read_complex_images,
    read_hounsfield,
    read_kspace,
    read_magnitude_images,
    read_series,
)
from bench.data.splits import load_split
from bench.golden import COLUMNS, ROWS, TOLERANCES, read_rows, read_tolerances
from bench.planning.suite_files import load_all
from bench.weights import load_method, read_tensors


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        name: of the file, below a folder that is its own.
        write: a valid one, with what has to stand beside it.
        read: as the program does, from the file's path.
    """

    name: str
    write: Callable[[Path], None]
    read: Callable[[Path], object]


def _signal(*shape: int) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(0)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


SUITE = """
name: tiny
tasks:
  a: {task: mri-multicoil, config: {dataset: brain-phantom, size: 32}}
train_on: [a]
methods: [sense, {name: modl, config: {width: 4}}]
"""
TOLERANCE = "given:\n  default: {absolute: 0.1}\n  psnr: exact\ntrained:\n  default: never\n"


def _text(content: str) -> Callable[[Path], None]:
    return lambda path: (path.write_text(content), None)[1]


def _npz(compressed: bool = False, **arrays: Any) -> Callable[[Path], None]:
    save = np.savez_compressed if compressed else np.savez
    return lambda path: save(path, **arrays)


def _cfl(path: Path) -> None:
    path.with_suffix(".cfl").write_bytes(_signal(1, 6, 5, 2).astype("<c8").tobytes(order="F"))
    path.with_suffix(".hdr").write_text("# Dimensions\n1 6 5 2 1 1\n")


def _image(path: Path) -> None:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (24, 20, 3), np.uint8)).save(path)


def hdf5(path: Path, key: str, values: Any, **more: Any) -> None:
    """A file with one dataset, chunked by slice and compressed."""
    values = np.asarray(values)
    with h5py.File(path, "w") as file:
        file.create_dataset(key, data=values, chunks=(1, *values.shape[1:]), compression="gzip")
        for name, value in more.items():
            file[name] = value
        file.attrs["patient_id"] = "anna"


def _hdf5(key: str, values: Any, **more: Any) -> Callable[[Path], None]:
    return lambda path: hdf5(path, key, values, **more)


def _celeba(path: Path) -> None:
    (path.parent / "img_align_celeba").mkdir(exist_ok=True)
    _image(path.parent / "img_align_celeba" / "1.jpg")
    path.write_text("1.jpg 2\n")


def _manifest(path: Path) -> None:
    hdf5(path.parent / "a.h5", "image", np.full((2, 1, 4, 4), 7, np.uint8))
    size = (path.parent / "a.h5").stat().st_size
    entry = {"file": "a.h5", "subject": "a", "source": "a", "samples": 2, "peak": 7.0}
    entry |= {"bytes": size, "sha256": "0" * 64}
    content = {"format": "equibench-prepared", "version": 1, "layout": "x", "content": "images"}
    content |= {"settings": {}, "files": [entry], "left_out": [{"source": "b", "why": "bad"}]}
    path.write_text(json.dumps(content))


def _prepared(path: Path) -> None:
    _manifest(path.with_name("manifest.json"))


def _checkpoint(path: Path) -> None:
    torch.save({"state_dict": {"a.weight": torch.arange(6.0), "a.bias": torch.ones(2)}}, path)


def _legacy(path: Path) -> None:
    torch.save({"a.weight": torch.arange(6.0)}, path, _use_new_zipfile_serialization=False)


def _safetensors(path: Path) -> None:
    metadata = {"method": "zero-filled", "config": "{}"}
    save_file({"unused": torch.arange(6.0)}, path, metadata)


def _weights(path: Path) -> object:
    tensors = read_tensors(path)
    return [tensor.sum() for tensor in tensors.values()]


def _described(path: Path) -> object:
    """Valid ones are refused as well, for no method has such a tensor: read the tensors too."""
    read_tensors(path)
    return load_method(path)


def _layout(name: str, up: int = 0) -> Callable[[Path], object]:
    def read(path: Path) -> object:
        layout, source = LAYOUTS[name], (path.parents[up])
        return [array.shape for item in layout.find(source) for array in layout.slices(item)]

    return read


def _open_manifest(path: Path) -> object:
    prepared = Prepared(path.parent)
    prepared.verify([file.subject for file in prepared.manifest.files])
    return prepared.label, prepared.content_hash(), list(differing(path.parent))


def _open_prepared(path: Path) -> object:
    return Prepared(path.parent).array(path.name, "image", 1)


def _golden_row(value: str) -> str:
    cells = dict.fromkeys(COLUMNS, "") | {"method": "sense", "train_seed": "0", "value": value}
    return ",".join(cells.values())


_GOLDEN = f"{','.join(COLUMNS)}\n{_golden_row('31.5')}\n"
_IMAGES = {"data": np.ones((2, 6, 5, 2), np.int16), "scale": np.ones(2, np.float32)}
_HU = {"hu": np.ones((2, 6, 5), np.int16), "subject": np.array([0, 1])}
_FASTMRI = {"ismrmrd_header": "<ismrmrdHeader/>"}
_PARTS = {"train": ["a", "b"], "validation": [], "test": ["c"], "note": "x"}


def _series(path: Path) -> None:
    np.save(path, _signal(3, 6, 5))


KINDS: dict[str, Kind] = {
    "suite": Kind("s.yaml", _text(SUITE), lambda path: load_all(str(path))),
    "split": Kind("split.json", _text(json.dumps(_PARTS)), load_split),
    "manifest": Kind("manifest.json", _manifest, _open_manifest),
    "prepared": Kind("a.h5", _prepared, _open_prepared),
    "kspace npz": Kind("k.npz", _npz(kspace=_signal(2, 6, 5)), read_kspace),
    "kspace deflated": Kind("k.npz", _npz(True, kspace=_signal(2, 6, 5)), read_kspace),
    "coil maps": Kind(
        "k.npz", _npz(coil_maps=_signal(2, 6, 5)), lambda path: read_coil_maps(path, (2, 6, 5))
    ),
    "cfl": Kind("k.cfl", _cfl, read_kspace),
    "hdr": Kind("k.hdr", _cfl, lambda path: read_kspace(path.with_suffix(".cfl"))),
    "complex images": Kind("i.npz", _npz(**_IMAGES), read_complex_images),
    "magnitudes": Kind("m.npz", _npz(data=np.ones((2, 6, 5))), read_magnitude_images),
    "hounsfield": Kind("h.npz", _npz(**_HU), read_hounsfield),
    "series": Kind("s.npy", _series, read_series),
    "png": Kind("train/i.png", _image, _layout("image-folder", 1)),
    "jpeg": Kind("train/i.jpg", _image, _layout("image-folder", 1)),
    "bmp": Kind("train/i.bmp", _image, _layout("image-folder", 1)),
    "tiff": Kind("train/i.tif", _image, _layout("image-folder", 1)),
    "fastmri multicoil": Kind(
        "multicoil_train/f.h5",
        _hdf5("kspace", _signal(2, 2, 6, 5), **_FASTMRI),
        _layout("fastmri-multicoil", 1),
    ),
    "fastmri singlecoil": Kind(
        "singlecoil_val/f.h5",
        _hdf5("kspace", _signal(2, 6, 5), **_FASTMRI),
        _layout("fastmri-singlecoil", 1),
    ),
    "calgary-campinas": Kind(
        "Train/c.h5",
        _hdf5("kspace", np.ones((4, 8, 8, 4), np.float32)),
        _layout("calgary-campinas", 1),
    ),
    "lodopab": Kind(
        "ground_truth_train_000.hdf5",
        _hdf5("data", np.ones((3, 6, 5), np.float32)),
        _layout("lodopab-ct"),
    ),
    "celeba": Kind("list_eval_partition.txt", _celeba, _layout("celeba")),
    "safetensors": Kind("w.safetensors", _safetensors, _weights),
    "described weights": Kind("w.safetensors", _safetensors, _described),
    "torch": Kind("w.pt", _checkpoint, _weights),
    "torch legacy": Kind("w.pth", _legacy, _weights),
    "golden rows": Kind(ROWS, _text(_GOLDEN), lambda path: read_rows(path.parent)),
    "tolerances": Kind(TOLERANCES, _text(TOLERANCE), lambda path: read_tolerances(path.parent)),
}


def place(kind: Kind, folder: Path) -> Path:
    """A valid file of this kind in a folder of its own."""
    path = folder / kind.name
    path.parent.mkdir(parents=True, exist_ok=True)
    kind.write(path)
    return path
