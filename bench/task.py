"""The contract of a task: a dataset, a forward operator and a metric protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor

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
        ssim: window, K1 and K2.
    """

    image: str = "magnitude"
    data_range: str = "volume maximum"
    crop: int = 0
    ssim: str = "uniform 7x7, K1 0.01, K2 0.03"

    def __str__(self) -> str:
        parts = [self.image, f"data range: {self.data_range}", f"SSIM: {self.ssim}"]
        return "; ".join(parts + ([f"crop {self.crop}"] if self.crop else []))


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
    """A task of the registry. Constructing one is cheap; data is read when a batch is asked for."""

    name: ClassVar[str]
    Config: ClassVar[type[Any]]
    protocol: Protocol
    config: Any
    dataset_label: str
    split_name: str
    split_sha256: str

    @property
    def channels(self) -> int:
        """Channels of an image: 2 for a complex one."""
        return int(self.config.channels)

    def comparable(self, image: Tensor, batch: Batch) -> Tensor:
        """What the protocol compares of ``image (B, C, H, W)``: ``(B, h, w)`` in dataset units.

        Magnitudes of complex images, values of real ones, without the border that is cut off.
        """
        values = magnitude(image) if self.channels == 2 else image[:, 0]
        crop, (height, width) = self.protocol.crop, values.shape[-2:]
        values = values[:, crop : height - crop, crop : width - crop]
        return values * per_sample(batch.scale, values)

    def samples(self, split: Split) -> Sequence[Sample]:
        """What the split holds, in order."""
        raise TypeError(f"{type(self).__name__} lists no samples")

    def batch(self, split: Split, indices: Sequence[int], epoch: int | None = None) -> Batch:
        """These samples of the split, measured.

        Masks and noise depend on the task, the sample, the data seed and the epoch: never on the
        method or its training seed. ``epoch=None`` is the fixed draw used to evaluate.
        """
        raise TypeError(f"{type(self).__name__} has no data")

    def verify(self) -> None:
        """Read what the splits name, so that a damaged file is refused before any work.

        Raises:
            InputError: naming the file and what was expected of it.
        """

    def content_hash(self) -> str:
        """Hash of the data (file contents, or the generator and its version), not of its place."""
        raise TypeError(f"{type(self).__name__} has no data")
