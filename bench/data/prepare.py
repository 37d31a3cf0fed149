"""Make a prepared dataset of files in a published layout; see :mod:`bench.data.prepared`."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.config import build, nearest
from bench.data.coil_maps import combine, compress_coils, estimate_espirit
from bench.data.layouts import LAYOUTS, Item, Layout
from bench.data.prepared import MANIFEST, SPLIT, Manifest, PreparedFile
from bench.data.readers import hash_file
from bench.errors import InputError
from bench.text_input import read_json_object

Report = Callable[[int, int, str], None]
VALIDATION, TEST = 0.1, 0.2  # shares of subjects where the publisher has no split


@dataclass(frozen=True)
class Preparation:
    """How k-space is prepared; images are taken as they are.

    Attributes:
        calibration: width of the fully sampled centre that ESPIRiT maps are estimated from.
        compress: coils are compressed to so many virtual ones, None: kept.
    """

    calibration: int = 24
    compress: int | None = None

    def __post_init__(self) -> None:
        if self.calibration < 8:
            raise InputError(f"calibration = {self.calibration}", expected="at least 8")
        if self.compress is not None and self.compress < 1:
            raise InputError(f"compress = {self.compress}", expected="at least 1")


def prepare(
    name: str,
    source: Path,
    out: Path,
    how: Preparation = Preparation(),
    skip_bad: bool = False,
    report: Report = lambda done, of, what: None,
) -> Manifest:
    """Write the dataset; what an interrupted call has finished is not done again.

    Args:
        name: of the layout.
        source: folder of the files; out: folder to write.
        skip_bad: leave out files that cannot be used, and say so in the manifest; otherwise the
            first is refused.
        report: called with what is done, of how many, and the file's name.

    Raises:
        InputError: unknown layout, a bad file, another dataset in ``out``, or an empty test split.
    """
    if name not in LAYOUTS:
        raise InputError(f"{name!r}", where="data prepare", expected=nearest(name, LAYOUTS))
    layout = LAYOUTS[name]
    items = layout.find(source)
    _require_unique(items, source)
    settings = asdict(how) if layout.content == "kspace" else {}
    _begin(out, {"layout": name, "content": layout.content, "settings": settings})
    done: list[PreparedFile] = []
    left_out: list[dict[str, str]] = []
    for number, item in enumerate(items):
        report(number, len(items), item.name)
        try:
            done.append(_prepared(layout, item, source, out, how))
        except InputError as error:
            if not skip_bad:
                raise
            left_out.append({"source": _relative(item.path, source), "why": str(error)})
    report(len(items), len(items), "")
    if not done:
        raise InputError("no file could be used", where=str(source), expected=layout.about)
    kept = {file.subject for file in done}
    _write_text(out / SPLIT, _split([item for item in items if item.subject in kept], source))
    manifest = Manifest(name, layout.content, settings, tuple(done), tuple(left_out))
    _write_text(out / MANIFEST, manifest.text())
    return manifest


# ---------------------------------------------------------------------- one file


def _prepared(
    layout: Layout, item: Item, source: Path, out: Path, how: Preparation
) -> PreparedFile:
    """Write one item's file, unless it is there; beside it stands what the manifest needs."""
    path, record = out / "data" / f"{item.name}.h5", out / "data" / f"{item.name}.json"
    stamp = {"subject": item.subject, "source": _relative(item.path, source)}
    stamp |= {"state": _state(item)}
    known = _read_record(record)
    if known is not None and path.is_file() and known.pop("state", None) == stamp["state"]:
        return build(PreparedFile, known, str(record))
    temporary = path.with_name(f".{path.name}.part")
    try:
        samples, peak = _write(layout, item, temporary, how)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    file = PreparedFile(
        file=path.relative_to(out).as_posix(),
        subject=item.subject,
        source=stamp["source"],
        samples=samples,
        peak=peak,
        bytes=path.stat().st_size,
        sha256=hash_file(path),
    )
    _write_text(record, json.dumps(asdict(file) | {"state": stamp["state"]}))
    return file


def _write(layout: Layout, item: Item, path: Path, how: Preparation) -> tuple[int, float]:
    """The arrays of one item, slice by slice: however large it is, one slice is in memory."""
    import h5py

    count, peak = 0, 0.0
    with h5py.File(path, "w") as file:
        for array in layout.slices(item):
            arrays = _calibrated(array, how, item) if layout.content == "kspace" else {}
            arrays = arrays or {"image": array}
            for name, values in arrays.items():
                _append(file, name, values, item)
            peak = max(peak, float(np.abs(arrays["image"]).max()))
            count += 1
    if count == 0:
        raise InputError("has no slice", where=str(item.path), expected="at least one")
    return count, peak


def _calibrated(kspace: NDArray[Any], how: Preparation, item: Item) -> dict[str, NDArray[Any]]:
    """k-space (N, H, W), its coil maps, and the image that they combine it to."""
    try:
        if how.compress is not None:
            kspace, _ = compress_coils(kspace, how.compress)
        if len(kspace) == 1:  # sees everything alike: no maps
            image = combine(kspace, np.ones((1, 1, 1), np.complex64))
            return {"kspace": kspace, "image": image.astype(np.complex64)}
        maps = estimate_espirit(kspace, how.calibration)
    except InputError as error:
        raise InputError(str(error), where=f"{item.path}: kspace") from error
    image = combine(kspace, maps).astype(np.complex64)
    return {"kspace": kspace, "coil_maps": maps, "image": image}


def _append(file: Any, name: str, values: NDArray[Any], item: Item) -> None:
    if name not in file:
        shape = (0, *values.shape)
        chunks, most = (1, *values.shape), (None, *values.shape)
        options = {"chunks": chunks, "maxshape": most, "compression": "lzf"}
        file.create_dataset(name, shape, values.dtype, **options)
    data = file[name]
    if data.shape[1:] != values.shape:
        raise InputError(
            f"{name} of {values.shape} after {data.shape[1:]}",
            where=str(item.path),
            expected="slices of one shape, with the same coils",
        )
    data.resize(len(data) + 1, axis=0)
    data[-1] = values


# ---------------------------------------------------------------------- the folder


def _begin(out: Path, made: dict[str, Any]) -> None:
    """Make the folder; refuse one that holds something else."""
    begun = out / "preparation.json"
    text = json.dumps(made, sort_keys=True)
    if begun.is_file() and begun.read_text() != text:
        raise InputError(
            f"was begun with other settings: {begun.read_text()}",
            where=str(out),
            expected=f"an empty folder, or {text}",
        )
    if not begun.is_file() and out.exists() and any(out.iterdir()):
        raise InputError("is not empty", where=str(out), expected="a new or an empty folder")
    (out / "data").mkdir(parents=True, exist_ok=True)
    for unfinished in (out / "data").glob(".*.part"):
        unfinished.unlink()
    _write_text(begun, text)


def _require_unique(items: list[Item], source: Path) -> None:
    seen: dict[str, Path] = {}
    for item in items:
        if item.name in seen:
            raise InputError(
                f"two files are called {item.name!r}: {seen[item.name]} and {item.path}",
                where=str(source),
                expected="different names",
            )
        seen[item.name] = item.path


def _split(items: list[Item], source: Path) -> str:
    """The publisher's split, or one drawn by subject; as JSON.

    Raises:
        InputError: a subject that the publisher has in two parts.
    """
    parts: dict[str, dict[str, None]] = {"train": {}, "validation": {}, "test": {}}
    published = all(item.part is not None for item in items)
    if published:
        for item in items:
            assert item.part is not None
            parts[item.part][item.subject] = None
        note = "The publisher's."
        if not parts["test"] and parts["validation"]:
            # public test data often has no reference: what validates is then what is reported
            parts["test"], parts["validation"] = parts["validation"], {}
            note = "The publisher's; its validation part is the test part here."
    else:
        for subject in dict.fromkeys(item.subject for item in items):
            parts[_drawn(subject)][subject] = None
        note = "Drawn by a hash of the subject's name: 70, 10 and 20 %."
        if not parts["test"]:  # too few to draw
            parts["test"], parts["train"] = {**parts["train"], **parts["validation"]}, {}
            parts["validation"] = {}
            note = "Too few subjects to split: all test."
    for subject in parts["train"]:
        if subject in parts["validation"] or subject in parts["test"]:
            raise InputError(
                f"subject {subject!r} is in two parts",
                where=str(source),
                expected="each subject in one",
            )
    lists = {part: list(subjects) for part, subjects in parts.items()}
    return json.dumps({"note": note, **lists}, indent=1) + "\n"


def _drawn(subject: str) -> str:
    share = zlib.crc32(subject.encode()) / 2**32
    if share < TEST:
        return "test"
    return "validation" if share < TEST + VALIDATION else "train"


def _state(item: Item) -> str:
    """Changes when the source file does, or what is taken of it."""
    path = item.path if item.path.is_file() else item.path.parent
    stat = path.stat() if path.exists() else None
    content = (stat and (stat.st_size, stat.st_mtime_ns), item.detail)
    return hashlib.sha256(repr(content).encode()).hexdigest()[:16]


def _read_record(path: Path) -> dict[str, Any] | None:
    try:
        return read_json_object(path, "the record of a prepared file")
    except InputError:
        return None


def _write_text(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(text)
    os.replace(temporary, path)


def _relative(path: Path, source: Path) -> str:
    return path.relative_to(source).as_posix()


def layouts() -> Iterator[tuple[str, str]]:
    """Name and a line about every layout."""
    for name, layout in LAYOUTS.items():
        yield name, layout.about
