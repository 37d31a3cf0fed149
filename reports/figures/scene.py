"""What a reconstruction figure shows: the sample, the zoom's place, and the scales."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bench.data.archives import read_npz
from reports.ablations import main_lines
from reports.suite_results import OWN_STOP, Line, SuiteResults, TaskInfo

Image = NDArray[np.float32]

GAINS = (1, 2, 5, 10, 20, 50, 100)


@dataclass(frozen=True)
class Shown:
    """One method's image of the sample. ``image`` is None where there is none, for ``reason``.

    Images are relative to the metrics' data range: 1 is PSNR's peak.
    """

    label: str
    image: Image | None
    psnr: float
    reason: str = ""


@dataclass(frozen=True)
class Scene:
    """What the figures of one task share, so that their panels compare across figures.

    Attributes:
        reference: (H, W), or (H, W, 3) in colours, relative to the data range.
        window: top, left and side of the zoom, pixels.
        white: the grey scale's end: the reference's 99.8th percentile.
        zoom_range: the zoom's own grey scale: 2nd and 99.5th percentile of the reference there.
        gain: how many times steeper the error's scale is.
    """

    subject: str
    sample: str
    reference: Image
    shown: Sequence[Shown]
    window: tuple[int, int, int]
    white: float
    zoom_range: tuple[float, float]
    gain: int


def load_scene(results: SuiteResults, task: TaskInfo) -> Scene | None:
    """The first sample that most methods have kept, with each method's image of it."""
    files = {line: kept_samples(results, line, task) for line in main_lines(results)}
    counts: dict[str, int] = {}
    for found in files.values():
        for name in found:
            counts[name] = counts.get(name, 0) + 1
    if not counts:
        return None
    name = max(sorted(counts), key=counts.__getitem__)
    shown, reference = [], None
    for line, found in files.items():
        if not results.evaluations(line, task.label):
            continue
        label = _wrapped(results.label(line), line, results)
        if name in found:
            image, psnr, truth = _read(found[name])
            reference = truth if reference is None else reference
            shown.append(Shown(label, image, psnr))
        else:
            status = results.outcome(line, task.label, "psnr").status
            shown.append(Shown(label, None, math.nan, status or "no image kept"))
    assert reference is not None
    subject, _, sample = name.partition("--")
    white = float(np.percentile(reference, 99.8)) or 1.0
    window, gain = zoom_window(grey(reference)), _gain(reference, shown, white)
    low, high = np.percentile(cut_window(reference, window), (2, 99.5))
    zoom = (float(low), float(high))
    return Scene(subject, sample, reference, shown, window, white, zoom, gain)


def kept_samples(results: SuiteResults, line: Line, task: TaskInfo) -> dict[str, Path]:
    """Kept images by the name of their sample: of the first seed, at the method's own stop."""
    for key in results.evaluations(line, task.label):
        own_stop = (key, OWN_STOP, "psnr") in results.folder.evaluations
        paths = sorted((results.folder.directory / "jobs" / key / "artifacts").glob("[!.]*.npz"))
        if paths and own_stop and results.status(key) == "ok":
            return {path.stem: path for path in paths}
    return {}


def _read(path: Path) -> tuple[Image, float, Image]:
    names = ("data_range", "psnr", "reconstruction", "reference")
    data_range, psnr, reconstruction, reference = read_npz(path, *names)
    peak = np.float32(float(data_range) or 1.0)
    image = reconstruction.astype(np.float32) / peak
    return image, float(psnr), reference.astype(np.float32) / peak


def grey(image: Image) -> Image:
    """Colours as their mean, anything else as it is: (H, W)."""
    mean: Image = image.mean(-1) if image.ndim == 3 else image
    return mean


def cut_window(image: Image, window: tuple[int, int, int]) -> Image:
    """The window's pixels."""
    top, left, side = window
    return image[top : top + side, left : left + side]


def zoom_window(reference: Image) -> tuple[int, int, int]:
    """Top, left and side of the square with the most gradient energy, well inside the object."""
    height, width = reference.shape
    # Clipped and without outlines: a bright rim, or the edge to air, would win against all tissue.
    clipped = np.minimum(reference, np.percentile(reference, 90)).astype(np.float64)
    inner = ndimage.binary_erosion(reference > 0.1 * reference.max(), iterations=2)
    energy = inner * np.sum(np.square(np.gradient(clipped)), axis=0)
    side = max(8, round(min(height, width) * 0.26))
    sums = np.zeros((height + 1, width + 1))
    sums[1:, 1:] = energy.cumsum(0).cumsum(1)
    boxes = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    rows, columns = np.nonzero(reference > 0.1 * reference.max())
    if len(rows):
        top, bottom = _inner(rows, side, height)
        left, right = _inner(columns, side, width)
        inside = boxes[top : bottom + 1, left : right + 1]
        row, column = np.unravel_index(int(np.argmax(inside)), inside.shape)
        return top + int(row), left + int(column), side
    return (height - side) // 2, (width - side) // 2, side


def _inner(indices: NDArray[Any], side: int, size: int) -> tuple[int, int]:
    """First and last start of a window that stays in the middle three fifths of the object."""
    low, high = int(indices.min()), int(indices.max()) + 1
    margin = (high - low) // 5
    first, last = low + margin, high - margin - side
    middle = min(max((low + high - side) // 2, 0), size - side)
    return (first, last) if 0 <= first <= last <= size - side else (middle, middle)


def _gain(reference: Image, shown: Sequence[Shown], white: float) -> int:
    """The steepest error scale that holds 99 % of the middling method's pixels."""
    errors = [np.abs(item.image - reference) for item in shown if item.image is not None]
    typical = float(np.median([np.percentile(error, 99) for error in errors]))
    fitting = [gain for gain in GAINS if white / gain >= typical]
    return fitting[-1] if fitting else 1


def _wrapped(label: str, line: Line, results: SuiteResults) -> str:
    several = len(results.train_tasks) > 1 and line.train_task is not None
    text = f"{label} (on {line.train_task})" if several else label
    words, lines = text.split(" "), [""]
    for word in words:
        longer = f"{lines[-1]} {word}".strip()
        lines = [*lines[:-1], longer] if len(longer) <= 14 else [*lines, word]
    return "\n".join(part if len(part) <= 16 else part[:15] + "…" for part in lines if part)
