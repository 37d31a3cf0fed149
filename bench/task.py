"""The contract of a task: a dataset, a forward operator and a metric protocol."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from bench.errors import InputError
from bench.operators.fourier import magnitude
from bench.operators.norms import per_sample

Split = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Sample:
    """Which image a row is about."""

    subject: str
    sample: str


@dataclass(frozen=True)
class Protocol:
    """How a reconstruction is scored. Every row names it.

    Attributes:
        image: what is compared (magnitude of a complex image, luma).
        data_range: the peak of PSNR and SSIM: the maximum of the reference over the subject's
            volume (fastMRI's convention), or a constant.
        crop: pixels cut from each border before scoring.
        center: only so many pixels in the middle of each axis are scored; None: all.
        ssim: window, K1 and K2.
    """

    image: str = "magnitude"
    data_range: str = "volume maximum"
    crop: int = 0
    center: int | None = None
    ssim: str = "uniform 7x7, K1 0.01, K2 0.03"

    def __str__(self) -> str:
        parts = [self.image, f"data range: {self.data_range}", f"SSIM: {self.ssim}"]
        parts += [f"crop {self.crop}"] if self.crop else []
        return "; ".join(parts + ([f"central {self.center}"] if self.center else []))


@dataclass
class Batch:
    """Images, measurements and the operator that goes with them: masks and maps differ by sample.

    Attributes:
        x: reference images ``(B, C, H, W)``, in the scale of ``y``.
        y: measurements, scaled from the measured data alone.
        physics: the forward operator of these samples.
        samples: which images.
        scale: ``(B,)``; multiply an image with it to be back in the dataset's units.
        data_range: ``(B,)`` peak of the metrics, in the dataset's units.
    """

    x: Tensor
    y: Tensor
    physics: Any
    samples: tuple[Sample, ...]
    scale: Tensor
    data_range: Tensor


class Task:
    """A task of the registry. Constructing one is cheap; data is read when a batch is asked for.

    ``operator`` says in a few words what measures; ``threat`` is the threat model of attacks, a
    name in :data:`bench.measure.attack.THREATS`.
    """

    name: ClassVar[str]
    operator: ClassVar[str] = ""
    threat: ClassVar[str] = "measurement-l2"
    Config: ClassVar[type[Any]]
    protocol: Protocol
    config: Any
    data_seed: int
    dataset_label: str
    split_name: str
    split_sha256: str

    @property
    def channels(self) -> int:
        """Channels of an image: 2 for a complex one."""
        return int(self.config.channels)

    @property
    def axes(self) -> int:
        """Axes of an image: 2, or 3 for a series or a volume ``(B, C, T, H, W)``."""
        return 2

    def comparable(self, image: Tensor, batch: Batch) -> Tensor:
        """What the protocol compares of ``image (B, C, ..., H, W)``: planes ``(B, P, h, w)``.

        In the dataset's units, without the border that is cut off. The planes are the magnitude of
        a complex image, or of each frame of a series, or the channels of a real one.
        """
        complex_parts = "real and imaginary" in self.protocol.image
        values = magnitude(image) if self.channels == 2 and not complex_parts else image
        values = values.flatten(1, -3) if values.ndim > 3 else values.unsqueeze(1)
        crop, (height, width) = self.protocol.crop, values.shape[-2:]
        values = values[..., crop : height - crop, crop : width - crop]
        return _center(values, self.protocol.center) * per_sample(batch.scale, values)

    def picture(self, planes: NDArray[np.float32]) -> NDArray[np.float32]:
        """What a figure shows of the planes ``(P, h, w)``: colours ``(h, w, 3)``, or the middle one
        ``(h, w)``.
        """
        if self.channels == 3 and self.axes == 2:
            return planes.transpose(1, 2, 0)
        middle: NDArray[np.float32] = planes[len(planes) // 2]
        return middle

    def rng(self, sample: Sample, stream: int, epoch: int | None) -> np.random.Generator:
        """The random numbers of one sample for one purpose (``stream``), in one epoch."""
        name = zlib.crc32(f"{sample.subject}/{sample.sample}".encode())
        return np.random.default_rng(
            [self.data_seed, name, stream, 0 if epoch is None else epoch + 1]
        )

    def samples(self, split: Split) -> Sequence[Sample]:
        """What the split holds, in order."""
        raise TypeError(f"{type(self).__name__} lists no samples")

    def batch(self, split: Split, indices: Sequence[int], epoch: int | None = None) -> Batch:
        """These samples of the split, measured.

        Masks and noise depend on the task, the sample, the data seed and the epoch: never on the
        method or its training seed. ``epoch=None`` is the fixed draw used to evaluate.
        """
        raise TypeError(f"{type(self).__name__} has no data")

    def subjects(self) -> list[str]:
        """Everything that the splits name."""
        return []

    def check_subjects(self, subjects: Sequence[str]) -> None:
        """Read what these subjects need.

        Raises:
            InputError: naming the first file that cannot be used, and what was expected of it.
        """

    def verify(self) -> None:
        """Read what the splits name, so that a damaged file is refused before any work."""
        self.check_subjects(self.subjects())

    def unusable(self) -> dict[str, str]:
        """Subjects that :meth:`check_subjects` refuses, and why."""
        found = {}
        for subject in self.subjects():
            try:
                self.check_subjects([subject])
            except InputError as error:
                found[subject] = str(error)
        return found

    def content_hash(self) -> str:
        """Hash of the data (file contents, or the generator and its version), not of its place."""
        raise TypeError(f"{type(self).__name__} has no data")


def _center(values: Tensor, side: int | None) -> Tensor:
    """The middle ``side x side`` pixels, all along an axis that has no more."""
    for axis in (-2, -1):
        length = values.shape[axis]
        if side is not None and length > side:
            values = values.narrow(axis, (length - side) // 2, side)
    return values
