"""How much of the error lies where nothing is measured.

Coil maps that calibration leaves empty outside the head, or a scanner's round field of view: pixels
there have no part in ``A x``, so that no data consistency holds them. What stands there is the
method's alone: zero for SENSE, and for MOL a fixed point of its network, biases included.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.measure.question import Measured, Subject
from bench.objective import batch_psnr
from bench.reconstructor import check
from bench.task import Batch


@dataclass(frozen=True)
class CoverageConfig:
    """``samples``: the first of the test split."""

    samples: int = 8

    def __post_init__(self) -> None:
        check(self.samples >= 1, "samples", self.samples, "at least 1")


def measure(subject: Subject, config: CoverageConfig) -> Iterator[Measured]:
    """Rows by sample: ``psnr`` of all pixels and ``psnr_seen`` of those that are measured;
    ``unseen_error`` and ``unseen_pixels``, the other pixels' share of the squared error and of all
    pixels.
    """
    for index in range(min(config.samples, len(subject.task.samples("test")))):
        batch = subject.batch("test", [index])
        with torch.no_grad():
            image = subject.method.reconstruct(batch.y, batch.physics).image
            reference, found, seen = (
                subject.task.comparable(one, batch)
                for one in (batch.x, image, measured_pixels(batch).to(image))
            )
        error, inside = (found - reference).double().square(), seen > 0
        peak, total = batch.data_range.double().square(), error.sum()
        values = {
            "psnr": (batch_psnr(image, batch, subject.task), "dB"),
            "psnr_seen": (10 * torch.log10(peak / error[inside].mean()), "dB"),
            "unseen_error": (error[~inside].sum() / total if total > 0 else total, ""),
            "unseen_pixels": ((~inside).double().mean(), ""),
        }
        for metric, (value, unit) in values.items():
            yield Measured(metric, float(value), unit, sample=batch.samples[0])


def measured_pixels(batch: Batch) -> Tensor:
    """Where the operator's columns are not zero, boolean, as images ``(B, C, H, W)``.

    A row of ``A^H A`` is zero exactly where a column of ``A`` is, and a random image meets it.
    """
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(batch.x.shape, generator=generator).to(batch.x)
    with torch.no_grad():
        normal: Tensor = batch.physics.A_adjoint_A(image)
    return normal != 0
