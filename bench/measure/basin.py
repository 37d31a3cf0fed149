"""Whether other starts lead to the same fixed point, and from how far away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from bench.inference import displaced
from bench.measure.question import Measured, Subject
from bench.objective import batch_psnr
from bench.operators.norms import sample_norms
from bench.reconstructor import Reconstructor, check
from bench.task import Batch


@dataclass(frozen=True)
class BasinConfig:
    """Which starts are tried.

    Attributes:
        distances: of a start from the fixed point, relative to its norm (MnM-MOL's δ).
        draws: random directions at each distance.
        samples: the first of the test split.
        tol, max_iter: of every fixed point.
        same: end points nearer than this, relative, are the same point.
    """

    distances: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0)
    draws: int = 2
    samples: int = 2
    tol: float = 1e-5
    max_iter: int = 300
    same: float = 1e-3

    def __post_init__(self) -> None:
        holds = bool(self.distances) and min(self.distances) > 0
        check(holds, "distances", self.distances, "one or more, above 0")
        for name in ("draws", "samples", "max_iter"):
            check(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        check(0 < self.tol < self.same, "tol", self.tol, f"above 0, below same = {self.same}")


def measure(subject: Subject, config: BasinConfig) -> Iterator[Measured]:
    """By sample and distance, one row a draw: ``end_distance`` of the end point from the fixed
    point that the method's own start leads to (relative), whether it is the ``same_point``, and the
    ``end_psnr``. An end point that is no fixed point is flagged. Methods that have none yield
    nothing.
    """
    view = subject.method.to_convergence(config.tol, config.max_iter)
    if view is None:
        return
    for index in range(min(config.samples, len(subject.task.samples("test")))):
        batch = subject.batch("test", [index])
        with torch.no_grad():
            own = view.reconstruct(batch.y, batch.physics)
        flag = "" if bool(own.traces[-1].converged.all()) else "the own start does not converge"
        for distance in config.distances:
            for draw in range(config.draws):
                yield from _from(view, subject, batch, own.image, distance, draw, config, flag)


def _from(
    view: Reconstructor,
    subject: Subject,
    batch: Batch,
    image: torch.Tensor,
    distance: float,
    draw: int,
    config: BasinConfig,
    flag: str,
) -> Iterator[Measured]:
    start = displaced(image, distance, batch, draw)
    with torch.no_grad():
        found = view.reconstruct(batch.y, batch.physics, start)
    away = float(sample_norms(found.image - image) / sample_norms(image))
    how = {"distance": distance, "draw": draw, "tol": config.tol, "max_iter": config.max_iter}
    if not bool(found.traces[-1].converged.all()):
        flag = flag or "does not converge from there"
    psnr = float(batch_psnr(found.image, batch, subject.task))
    values = {
        "end_distance": (away, ""),
        "same_point": (float(away <= config.same), ""),
        "end_psnr": (psnr, "dB"),
    }
    for metric, (value, unit) in values.items():
        yield Measured(metric, value, unit, "evaluate", how, batch.samples[0], flag)
