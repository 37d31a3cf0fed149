"""Readers: both layouts of one acquired slice agree, and every fault is one clear line."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.data.readers import read_cfl, read_complex_images, read_kspace
from bench.errors import InputError


def signal(*shape: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    samples = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    return samples.astype(np.complex64)


def write_cfl(path: Path, array: np.ndarray, header: str | None = None) -> Path:
    path.write_bytes(array.astype("<c8").tobytes(order="F"))
    dimensions = " ".join(map(str, array.shape))
    path.with_suffix(".hdr").write_text(header or f"# Dimensions\n{dimensions} 1 1\n")
    return path


def write_npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def check_fault(reader: Callable[[Path], Any], path: Path, *words: str) -> None:
    with pytest.raises(InputError) as caught:
        reader(path)
    message = str(caught.value)
    assert "\n" not in message
    for word in (path.stem, "expected", *words):
        assert word in message, message


def test_cfl_and_npz_hold_the_same_kspace(tmp_path: Path) -> None:
    kspace = signal(3, 5, 4)
    cfl = write_cfl(tmp_path / "scan.v2.cfl", kspace.transpose(1, 2, 0)[None])
    npz = write_npz(tmp_path / "scan.npz", kspace=kspace)
    assert np.array_equal(read_kspace(cfl), kspace)
    assert np.array_equal(read_kspace(npz), kspace)
    assert read_cfl(cfl).shape == (1, 5, 4, 3, 1, 1)
    for name in ("scan.v2", "scan.v2.hdr"):
        assert np.array_equal(read_cfl(tmp_path / name), read_cfl(cfl))


def test_both_layouts_of_the_acquired_slice_agree(data_root: Path) -> None:
    folder = data_root / "multicoil"
    kspace = read_kspace(folder / "brain_t1_8ch_230x180.npz")
    assert kspace.shape == (8, 230, 180)
    assert kspace.dtype == np.complex64
    assert np.array_equal(kspace, read_kspace(folder / "brain_t1_8ch_230x180.cfl"))


def test_single_coil_and_double_precision_become_one_complex64_coil(tmp_path: Path) -> None:
    kspace = signal(6, 7).astype(np.complex128)
    read = read_kspace(write_npz(tmp_path / "one.npz", kspace=kspace))
    assert read.dtype == np.complex64
    assert np.array_equal(read, kspace[None].astype(np.complex64))
    assert read_kspace(write_cfl(tmp_path / "one.cfl", signal(1, 6, 7))).shape == (1, 6, 7)


def test_complex_images_are_scaled_slice_by_slice(tmp_path: Path) -> None:
    data = np.arange(2 * 3 * 2 * 2, dtype=np.int16).reshape(2, 3, 2, 2)
    path = write_npz(tmp_path / "images.npz", data=data, scale=np.array([0.5, 2.0]))
    images = read_complex_images(path)
    assert images.dtype == np.complex64
    assert images.shape == (2, 3, 2)
    assert images[0, 0, 1] == 1.0 + 1.5j
    assert images[1, 0, 0] == 24.0 + 26.0j


BAD_KSPACE = {
    "rank": (signal(1, 2, 3, 4), "(1, 2, 3, 4)"),
    "real": (np.ones((2, 4, 4), np.float32), "float32"),
    "coils": (np.zeros((0, 4, 4), np.complex64), "empty"),
    "nan": (np.full((1, 4, 4), np.nan, np.complex64), "NaN or Inf"),
    "large": (np.full((1, 4, 4), 1e300, np.complex128), "NaN or Inf"),
    "zero": (np.zeros((2, 4, 4), np.complex64), "zero everywhere"),
    "objects": (np.array([{"a": 1}], dtype=object), "pickled"),
}


@pytest.mark.parametrize("fault", BAD_KSPACE)
def test_kspace_of_another_kind_is_refused(tmp_path: Path, fault: str) -> None:
    array, word = BAD_KSPACE[fault]
    check_fault(read_kspace, write_npz(tmp_path / f"{fault}.npz", kspace=array), word)


def test_files_that_are_no_npz_are_refused(tmp_path: Path) -> None:
    check_fault(read_kspace, tmp_path / "missing.npz", "no such file")
    (tmp_path / "folder.npz").mkdir()
    check_fault(read_kspace, tmp_path / "folder.npz", "not a file")
    check_fault(read_kspace, write_npz(tmp_path / "key.npz", image=signal(2, 2)), "'kspace'")
    check_fault(read_kspace, tmp_path / "scan.h5", "'.h5'", ".npz or .cfl")
    text = tmp_path / "text.npz"
    text.write_text("not a zip")
    check_fault(read_kspace, text, "not an .npz")
    alien = tmp_path / "alien.npz"
    with zipfile.ZipFile(alien, "w") as archive:
        archive.writestr("kspace.npy", b"no array in here")
    check_fault(read_kspace, alien)


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<c8', (((",
        "{1: 2, 'shape': 3}",
        "{'descr': '<c8,,', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<c8', 'fortran_order': False, 'shape': (99999999999, 9, 9)}",
        "{'descr': '<c8', 'fortran_order': False, 'shape': (99999999999999999999, 9)}",
    ],
)
def test_array_header_that_numpy_chokes_on_is_refused(tmp_path: Path, header: str) -> None:
    path = tmp_path / "header.npz"
    prefix = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("kspace.npy", prefix + header.encode() + bytes(64))
    check_fault(read_kspace, path, "damaged")


def test_damaged_npz_is_refused_wherever_the_damage_is(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, kspace=signal(2, 8, 8))
    content = buffer.getvalue()
    path = tmp_path / "damaged.npz"
    path.write_bytes(content[: len(content) // 2])
    check_fault(read_kspace, path)
    for position in range(30, len(content) - 120, 37):
        damaged = bytearray(content)
        damaged[position] ^= 255
        path.write_bytes(bytes(damaged))
        check_fault(read_kspace, path)


@pytest.mark.parametrize(
    "header",
    [
        " ",
        "# Dimensions",
        "1 4 4 2",
        "# Dimensions\n\n",
        "# Dimensions\n1 4 x 2\n",
        "# Dimensions\n1 4 -4 2\n",
        "# Dimensions\n1 4 4.0 2\n",
        "# Dimensions\n1 0 4 2\n",
    ],
)
def test_cfl_header_without_sound_dimensions_is_refused(tmp_path: Path, header: str) -> None:
    path = write_cfl(tmp_path / "scan.cfl", signal(1, 4, 4, 2), header)
    check_fault(read_kspace, path, "integers after '# Dimensions'", "scan.hdr")


def test_cfl_that_is_not_what_its_header_says_is_refused(tmp_path: Path) -> None:
    path = write_cfl(tmp_path / "scan.cfl", signal(1, 4, 4, 2))
    path.write_bytes(path.read_bytes()[:-3])
    check_fault(read_kspace, path, "holds 253 bytes", "256")
    write_cfl(path, signal(1, 4, 4, 2), "# Dimensions\n1 4 4 99999999999999999\n")
    check_fault(read_kspace, path, "holds 256 bytes")
    check_fault(read_kspace, write_cfl(path, signal(3, 4, 4, 2)), "one slice")
    check_fault(read_kspace, write_cfl(path, np.zeros((1, 4, 4, 2), np.complex64)), "zero")
    path.with_suffix(".hdr").unlink()
    check_fault(read_kspace, path, "scan.hdr", "no such file")
    check_fault(read_cfl, tmp_path / "missing.cfl", "no such file")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"data": np.ones((2, 3, 3, 2), np.int16)}, ("'scale'",)),
        ({"data": np.ones((2, 3, 3, 2)), "scale": np.ones(2)}, ("float64", "int16")),
        ({"data": np.ones((2, 3, 3), np.int16), "scale": np.ones(2)}, ("(2, 3, 3)",)),
        ({"data": np.ones((2, 3, 3, 2), np.int16), "scale": np.ones(3)}, ("(3,)",)),
        ({"data": np.ones((1, 3, 3, 2), np.int16), "scale": np.zeros(1)}, ("positive",)),
        ({"data": np.ones((1, 3, 3, 2), np.int16), "scale": np.full(1, np.nan)}, ("positive",)),
    ],
)
def test_complex_images_of_another_layout_are_refused(
    tmp_path: Path, arrays: dict[str, np.ndarray], words: tuple[str, ...]
) -> None:
    check_fault(read_complex_images, write_npz(tmp_path / "images.npz", **arrays), *words)


def test_acquired_complex_images_are_read(data_root: Path) -> None:
    images = read_complex_images(data_root / "images" / "brain_t2_complex_siat200.npz")
    assert images.shape == (200, 270, 256)
    assert np.isfinite(images[::50]).all()
