"""Images side by side: magnitude, a zoom, and the error on one scale."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from reports.figures.scene import Scene, Shown, cut_window, grey, load_scene
from reports.figures.style import PAGE, file_name, house_style
from reports.suite_results import SuiteResults, TaskInfo

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METHODS_A_FIGURE = 6  # more than seven columns are too small to see anything in


def reconstruction_figures(
    results: SuiteResults, task: TaskInfo
) -> Iterator[tuple[str, str, Figure]]:
    """Name, caption and figure: one for every six methods. Nothing without artifacts."""
    scene = load_scene(results, task)
    if scene is None:
        return
    parts = math.ceil(len(scene.shown) / METHODS_A_FIGURE)
    size = math.ceil(len(scene.shown) / parts)  # seven are four and three, not six and one
    for part in range(parts):
        suffix = f"-{part + 1}" if parts > 1 else ""
        name = f"reconstruction-{file_name(task.label)}{suffix}"
        figure = _draw(scene, scene.shown[part * size : (part + 1) * size])
        yield name, _caption(task, scene), figure


def _caption(task: TaskInfo, scene: Scene) -> str:
    return (
        f"{task.title}: {scene.subject}, image {scene.sample}. Rows: the image with the zoom's "
        f"place, grey from 0 to {scene.white:.2f} of the data range; zoom, grey from "
        f"{scene.zoom_range[0]:.2f} to {scene.zoom_range[1]:.2f}; absolute error, on a scale "
        f"{scene.gain} times as steep as the image's. Scales are the same for all methods; "
        "PSNR is of this image."
    )


# ---------------------------------------------------------------------- drawing


def _draw(scene: Scene, shown: Sequence[Shown]) -> Figure:
    columns = len(shown) + 1
    left, right, bottom, gap = 0.22, 0.62, 0.22, 0.03  # inches
    top = 0.12 + 0.14 * max(item.label.count("\n") + 1 for item in shown)
    panel = min((PAGE - left - right) / columns - gap, 1.7)
    height, width = scene.reference.shape[:2]
    tall = panel * height / width
    size = (left + right + columns * (panel + gap), top + bottom + 2 * (tall + gap) + panel + gap)
    with house_style():
        figure = Figure(figsize=size)
        at = _placer(size, left, bottom, panel, tall, gap)
        blank = Shown("reference", scene.reference, math.nan)
        for column, item in enumerate([blank, *shown]):
            axes = [figure.add_axes(at(row, column)) for row in range(3)]
            _fill(axes, item, scene, reference=column == 0)
            axes[0].set_title(item.label, pad=3, fontsize=7.5 if panel > 0.95 else 6.5)
        _colour_bar(figure, scene, at(2, columns - 1), size)
    return figure


def _placer(
    size: tuple[float, float], left: float, bottom: float, panel: float, tall: float, gap: float
) -> Any:
    heights = (tall, panel, tall)  # the zoom is square

    def at(row: int, column: int) -> tuple[float, float, float, float]:
        y = bottom + sum(heights[row + 1 :]) + gap * (2 - row)
        x = left + column * (panel + gap)
        return x / size[0], y / size[1], panel / size[0], heights[row] / size[1]

    return at


def _fill(axes: Sequence[Axes], item: Shown, scene: Scene, reference: bool) -> None:
    for axis, name in zip(axes, ("image", "zoom", "|error|"), strict=True):
        axis.set_xticks([])
        axis.set_yticks([])
        axis.spines[:].set_visible(False)
        if reference:
            axis.set_ylabel(name, labelpad=2)
    if item.image is None:
        axes[1].text(
            0.5, 0.5, item.reason.replace(": ", ":\n"), ha="center", va="center", fontsize=6.5
        )
        return
    _show(axes[0], item.image, 0.0, scene.white)
    _mark(axes[0], scene.window)
    _show(axes[1], cut_window(item.image, scene.window), *scene.zoom_range)
    if reference:
        axes[2].set_ylabel("")
        note = f"absolute error\n(scale × {scene.gain})"
        axes[2].text(0.5, 0.5, note, ha="center", va="center", fontsize=7)
        return
    limit = scene.white / scene.gain
    error = grey(np.abs(item.image - scene.reference))
    axes[2].imshow(error, cmap="magma", vmin=0, vmax=limit, interpolation="nearest", aspect="auto")
    axes[2].set_xlabel(f"{item.psnr:.2f} dB", labelpad=3)


def _show(axis: Axes, image: Any, low: float, high: float) -> None:
    """Grey, or in colours, from ``low`` to ``high``."""
    shown = np.clip((image - low) / ((high - low) or 1.0), 0, 1)
    axis.imshow(shown, vmin=0, vmax=1, cmap="gray", interpolation="nearest", aspect="auto")


def _mark(axis: Axes, window: tuple[int, int, int]) -> None:
    top, left, side = window
    box = Rectangle(
        (left - 0.5, top - 0.5), side, side, fill=False, edgecolor="#E69F00", linewidth=0.8
    )
    axis.add_patch(box)


def _colour_bar(
    figure: Figure,
    scene: Scene,
    beside: tuple[float, float, float, float],
    size: tuple[float, float],
) -> None:
    x, y, width, height = beside
    axis = figure.add_axes((x + width + 0.05 / size[0], y, 0.07 / size[0], height))
    limit = scene.white / scene.gain
    axis.imshow(
        np.linspace(1, 0, 128)[:, None], cmap="magma", aspect="auto", extent=(0, 1, 0, limit)
    )
    axis.yaxis.tick_right()
    axis.yaxis.set_label_position("right")
    axis.set_xticks([])
    ticks = [tick for tick in MaxNLocator(3).tick_values(0, limit) if tick <= limit]
    axis.set_yticks(ticks, [f"{tick:g}" for tick in ticks], fontsize=6.5)
    axis.set_ylabel("|error| / data range", fontsize=6.5, labelpad=2)
    axis.spines[:].set_visible(False)
