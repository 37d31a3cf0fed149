"""Names beside points, so that they cover neither each other nor the points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Bbox

Floats = NDArray[np.float64]

SIZE = 6.5  # of the text, points
NEAR = 5.0  # from the point to the text, points
# where a name may go: on the right first, then all around, then further away
_TURNS = np.array([(n + 1) // 2 * (-1) ** n for n in range(16)]) * 2 * np.pi / 16
_STEPS = np.arange(NEAR, 61.0, 4.0)
DIRECTIONS = np.tile(np.stack([np.cos(_TURNS), np.sin(_TURNS)], 1), (len(_STEPS), 1))
DISTANCES = np.repeat(_STEPS, len(_TURNS))[:, None]


def name_points(
    axis: Axes,
    points: Sequence[tuple[float, float]],
    names: Sequence[str],
    bars: Sequence[tuple[float, float, float]] = (),
) -> None:
    """A name for every point (in data coordinates), each at the nearest place that is free.

    A name that had to go further has a thin line to its point; an empty one is left out. The axes
    are to keep their limits.
    ``bars``: x, and both ends, of what is drawn besides.
    """
    axis.get_xlim(), axis.get_ylim()  # limits that are still to be found
    pixels = axis.figure.dpi / 72
    places = axis.transData.transform(np.array(points, np.float64))
    taken = [(x - 3, y - 3, x + 3, y + 3) for x, y in places]
    lines = []
    for x, low, high in bars:
        left, bottom, right, top = axis.transData.transform([(x, low), (x, high)]).ravel()
        lines.append((left - 1, bottom, right + 1, top))
    frame = axis.get_window_extent().padded(-3)
    # the lonely ones first: names in a crowd have to move anyway
    for number in np.argsort(-_nearest(places), kind="stable").tolist():
        if not names[number]:
            continue
        text = axis.annotate(
            names[number],
            points[number],
            xytext=(0, 0),
            textcoords="offset points",
            fontsize=SIZE,
            ha="center",
            va="center",
            path_effects=[withStroke(linewidth=1.5, foreground="white")],
            arrowprops={"arrowstyle": "-", "lw": 0.4, "color": "0.6", "shrinkA": 0, "shrinkB": 2},
        )
        extent = text.get_window_extent()
        half = np.array([extent.width, extent.height]) / 2
        middles = places[number] + DIRECTIONS * (DISTANCES * pixels + half)
        boxes = np.concatenate([middles - half, middles + half], axis=1)
        wrong = 100 * (_shared(boxes, np.array(taken)).sum(1) + _outside(boxes, frame))
        wrong += _shared(boxes, np.array(lines).reshape(-1, 4)).sum(1)  # a bar can be read through
        wrong += (_closest(boxes, places) != number) * half.prod()  # it would seem another's
        best = int(np.argmin(np.round(wrong, 3)))  # the nearest of equally good ones
        text.set_position(tuple((middles[best] - places[number]) / pixels))
        arrow: Any = text.arrow_patch
        arrow.set_visible(bool(DISTANCES[best] > NEAR))
        taken.append(tuple(boxes[best]))


def _nearest(places: Floats) -> Floats:
    """From each point to the nearest other one."""
    apart = np.linalg.norm(places[:, None] - places, axis=2)
    np.fill_diagonal(apart, np.inf)
    return np.asarray(apart.min(1))


def _closest(boxes: Floats, places: Floats) -> NDArray[np.intp]:
    """Which point is nearest to the edge of each box."""
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    gaps = np.maximum(np.maximum(low - places, places - high), 0)
    return np.asarray(np.linalg.norm(gaps, axis=2).argmin(1))


def _shared(boxes: Floats, others: Floats) -> Floats:
    """Areas that boxes (K, 4) have in common with others (M, 4): (K, M)."""
    low = np.maximum(boxes[:, None, :2], others[:, :2])
    high = np.minimum(boxes[:, None, 2:], others[:, 2:])
    return np.asarray(np.maximum(high - low, 0).prod(2))


def _outside(boxes: Floats, frame: Bbox) -> Floats:
    """What of each box is outside of the frame."""
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return np.asarray(area - _shared(boxes, np.array([frame.extents]))[:, 0])
