"""Files that somebody has made to harm: bombs, links, lies in headers. By kind and name."""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Damage = Callable[[Path], None]
HARMFUL: dict[tuple[str, str], Damage] = {}


def harmful(*kinds: str) -> Callable[[Damage], Damage]:
    """Register under the function's name."""

    def keep(damage: Damage) -> Damage:
        for kind in kinds:
            HARMFUL[kind, damage.__name__.replace("_", " ").strip()] = damage
        return damage

    return keep


def each(kind: str, contents: dict[str, str | bytes]) -> None:
    for name, content in contents.items():
        raw = content.encode() if isinstance(content, str) else content
        HARMFUL[kind, name] = lambda path, raw=raw: (path.write_bytes(raw), None)[1]  # type: ignore[misc]


# ---------------------------------------------------------------------- .npz and .npy

_OF = {
    "kspace npz": ("kspace", "<c8"),
    "coil maps": ("coil_maps", "<c8"),
    "magnitudes": ("data", "<f8"),
}
HEADERS = {
    "huge": ("(1000000, 1000000, 9)", ""),
    "beyond 64 bits": ("(99999999999999999999, 9, 9)", ""),
    "negative": ("(-2, -6, 5)", ""),
    "more than there is": ("(3, 6, 5)", ""),
    "less than there is": ("(1, 6, 5)", ""),
    "deep": ("(" * 4000, ""),
    "objects": ("(2, 6, 5)", "|O"),
    "text": ("(2, 6, 5)", "<U8"),
    "bytes of no size": ("(2, 6, 5)", "|V0"),
    "records": ("(2, 6, 5)", "[('a', '<f4'), ('b', '<f4')]"),
    "no dtype": ("(2, 6, 5)", "nonsense"),
}


def npy(dtype: str, shape: str, content: bytes = bytes(480)) -> bytes:
    """An array whose header says so."""
    described = dtype if dtype.startswith("[") else repr(dtype)
    header = f"{{'descr': {described}, 'fortran_order': False, 'shape': {shape}}}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


def _with_header(key: str, dtype: str, shape: str) -> Damage:
    def damage(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(f"{key}.npy", npy(dtype, shape))

    return damage


for _kind, (_key, _dtype) in _OF.items():
    for _name, (_shape, _other) in HEADERS.items():
        HARMFUL[_kind, f"header: {_name}"] = _with_header(_key, _other or _dtype, _shape)
each("series", {f"header: {n}": npy(d or "<c8", s) for n, (s, d) in HEADERS.items()})


def _deflated(path: Path, key: str, header: bytes, count: int) -> None:
    """An entry of ``count`` MiB of zeros, a thousandth of that in the file."""
    archive = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED)
    with archive, archive.open(f"{key}.npy", "w", force_zip64=True) as entry:
        entry.write(header)
        for _ in range(count):
            entry.write(bytes(2**20))


@harmful("kspace npz", "coil maps", "complex images", "magnitudes", "hounsfield")
def bomb(path: Path) -> None:
    with np.load(path) as file:
        names = file.files
    count = 1200 if names[0] == "kspace" else 120
    _deflated(path, names[0], npy("<c8", f"({count}, 1024, 128)", b""), count)


@harmful("kspace npz")
def bomb_in_another_packing(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("kspace.npy", npy("<c8", "(2, 1024, 512)", bytes(2**23)))


@harmful("kspace npz")
def size_that_lies(path: Path) -> None:
    """The directory says 2 GiB, stored; the header agrees."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("kspace.npy", npy("<c8", "(256, 1024, 1024)"))
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02")
    content[at + 20 : at + 28] = struct.pack("<II", 2**31, 2**31)
    path.write_bytes(content)


@harmful("kspace npz")
def encrypted(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)


@harmful("kspace npz")
def checksum_of_another(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)


def _npz(**arrays: Any) -> Damage:
    return lambda path: np.savez(path, **arrays)


_Z = np.ones((2, 6, 5), np.complex64)
HARMFUL |= {
    ("kspace npz", "another key"): _npz(image=_Z),
    ("kspace npz", "rank"): _npz(kspace=_Z[0, 0]),
    ("kspace npz", "real"): _npz(kspace=_Z.real),
    ("kspace npz", "no coil"): _npz(kspace=_Z[:0]),
    ("kspace npz", "NaN"): _npz(kspace=_Z * np.nan),
    ("kspace npz", "zero"): _npz(kspace=0 * _Z),
    ("kspace npz", "beyond single precision"): _npz(kspace=_Z.astype(complex) * 1e300),
    ("coil maps", "NaN"): _npz(coil_maps=_Z * np.nan),
    ("coil maps", "overflow"): _npz(coil_maps=_Z * np.float32(1e38)),
    ("coil maps", "shape"): _npz(coil_maps=_Z[:1]),
    ("magnitudes", "complex"): _npz(data=_Z),
    ("magnitudes", "beyond single precision"): _npz(data=_Z.real.astype(float) * 1e300),
    ("magnitudes", "rank"): _npz(data=_Z.real[0]),
    ("magnitudes", "text"): _npz(data=np.full((2, 6, 5), "x")),
    ("complex images", "no scale"): _npz(data=np.ones((2, 6, 5, 2), np.int16)),
    ("complex images", "float"): _npz(data=np.ones((2, 6, 5, 2)), scale=np.ones(2)),
    ("hounsfield", "float"): _npz(hu=_Z.real, subject=np.arange(2)),
    ("hounsfield", "subjects"): _npz(hu=np.ones((2, 6, 5), np.int16), subject=np.arange(3)),
    ("hounsfield", "named"): _npz(hu=np.ones((2, 6, 5), np.int16), subject=np.array(["a", "b"])),
}
for _name, _scale in {
    "negative": -1.0,
    "zero": 0.0,
    "NaN": np.nan,
    "infinite": np.inf,
    "overflowing": 1e36,
    "vanishing": 1e-60,
}.items():
    HARMFUL["complex images", f"scale {_name}"] = _npz(
        data=np.ones((2, 6, 5, 2), np.int16), scale=np.full(2, _scale)
    )


# ---------------------------------------------------------------------- .cfl

for _name, _line in {
    "huge": "1 1000000 1000000 1000000",
    "beyond 64 bits": "1 99999999999999999999 9 9",
    "zero": "1 0 6 5",
    "negative": "1 -6 -5 2",
    "words": "1 six 5 2",
    "hexadecimal": "1 0x6 5 2",
    "other digits": "1 ６ 5 2",
    "many": " ".join(["1"] * 40),
    "none": "",
    "two slices": "2 3 5 2",
}.items():
    HARMFUL["hdr", f"dimensions {_name}"] = lambda path, line=_line: (  # type: ignore[misc]
        path.write_text(f"# Dimensions\n{line}\n"),
        None,
    )[1]


@harmful("hdr")
def sparse(path: Path) -> None:
    """Two GiB of zeros, of which the disk holds none."""
    path.write_text("# Dimensions\n1 16384 16384 1\n")
    os.truncate(path.with_suffix(".cfl"), 2**31)


@harmful("series")
def sparse_series(path: Path) -> None:
    path.write_bytes(npy("<c8", "(256, 1024, 1024)", b""))
    os.truncate(path, path.stat().st_size + 2**31)


# ---------------------------------------------------------------------- pictures


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def _png(width: int, height: int, depth: int, data: bytes, *more: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    parts = [_chunk(b"IHDR", header), *more, _chunk(b"IDAT", data), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


_ROWS = zlib.compress(bytes(2**26))
each(
    "png",
    {
        "bomb": _png(12000, 12000, 8, _ROWS),
        "bomb below Pillow's limit": _png(9400, 9400, 8, _ROWS),
        "size beyond any": _png(2**31 - 1, 2**31 - 1, 8, _ROWS),
        "no size": _png(0, 0, 8, _ROWS),
        "16 bits of nothing": _png(4, 4, 16, b""),
        "no depth": _png(4, 4, 3, _ROWS),
        "profile": _png(4, 4, 8, _ROWS[:9], _chunk(b"iCCP", b"x\0\0" + _ROWS[:2000])),
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) print\n%%EOF\n",
        "GIF": b"GIF89a" + bytes(40),
        "XPM": b"/* XPM */\nstatic char *x[] = {\n" + b'"9 9 1 1",\n' * 9,
        "page": "<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>",
    },
)


@harmful("png")
def sixteen_bits(path: Path) -> None:
    Image.fromarray(np.ones((9, 9), np.uint16)).save(path)


@harmful("bmp")
def bomb_of_a_bitmap(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[18:26] = struct.pack("<ii", 30000, 30000)
    path.write_bytes(content)


@harmful("tiff")
def bomb_of_a_tiff(path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("L", (20000, 9000)).save(buffer, "TIFF", compression="tiff_adobe_deflate")
    path.write_bytes(buffer.getvalue())
