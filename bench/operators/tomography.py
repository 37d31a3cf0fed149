"""Parallel-beam computed tomography, y = R x."""

from __future__ import annotations

import functools
import math
import warnings
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from bench.operators.linear import LinearOperator


class ParallelBeam(LinearOperator):
    """Line integrals of an image, scaled so that ``||A|| = 1``.

    Images ``(B, C, n, n)`` to sinograms ``(B, C, angles, detectors)``, detector elements as wide as
    a pixel, enough of them for the diagonal. Along a ray the image is interpolated linearly on
    every row, or every column where the ray is nearer to horizontal (Joseph's method, the model of
    ASTRA's `linear` projector). Angle 0 integrates along columns; angles go counter-clockwise with
    rows counted downwards, as ASTRA's do.

    The matrix is built once and kept sparse, and its transpose beside it: the adjoint is exact, and
    autograd stores nothing.

    Why not a library's: of a projection and a back-projection of 128² pixels at 200 angles on one
    core, deepinv's Tomography took 39 + 138 ms, ASTRA's `linear` 29 + 23 ms, and this 8 + 8 ms;
    all are adjoint to 1e-7 (`python -m tests.peers.projectors`; docs/decisions/0011).

    Args:
        size: n.
        angles: radians, ``(K,)``.

    Source: Joseph 1982, doi:10.1109/TMI.1982.4307572.
    """

    def __init__(self, size: int, angles: Tensor) -> None:
        super().__init__()
        if size < 2 or angles.ndim != 1 or not len(angles):
            raise ValueError(
                f"size {size}, angles {tuple(angles.shape)} (expected 2 or more, (K,))"
            )
        self.size, self.angles = size, tuple(float(angle) for angle in angles)
        self.detectors = detectors_for(size)
        self._prepare(torch.zeros(()))

    def _prepare(self, like: Tensor) -> None:
        matrix = system_matrix(self.size, self.angles)
        self._rows = _Rows(*(rows.to(like.device, like.dtype) for rows in matrix))

    def _apply(self, fn: Any, recurse: bool = True) -> ParallelBeam:
        super()._apply(fn, recurse)
        if "_rows" in self.__dict__:
            forward = self._rows.forward
            now = torch.zeros((), dtype=forward.dtype, device=forward.device)
            self._prepare(fn(now))
        return self

    @property
    def constants(self) -> tuple[Tensor, ...]:
        """The sparse rows, which memory counts add to parameters and buffers."""
        return (self._rows.forward, self._rows.transposed)

    # ------------------------------------------------------------------ the operator

    def _forward(self, x: Tensor) -> Tensor:
        return _multiply(self._rows.forward, x, (len(self.angles), self.detectors))

    def _adjoint(self, y: Tensor) -> Tensor:
        return _multiply(self._rows.transposed, y, (self.size, self.size))


def detectors_for(size: int) -> int:
    """Elements that the diagonal of a square image needs, odd: one is in the middle."""
    return 2 * math.ceil(size / math.sqrt(2)) + 1


class _Rows:
    """The matrices of one dtype and device. Nothing writes into them: a copy is the same."""

    def __init__(self, forward: Tensor, transposed: Tensor) -> None:
        self.forward, self.transposed = forward, transposed

    def __deepcopy__(self, memo: Any) -> _Rows:
        return self


class SystemMatrix(NamedTuple):
    """Sparse rows, of the matrix ``(angles * detectors, n * n)`` and of its transpose; float64."""

    forward: Tensor
    transposed: Tensor


@functools.lru_cache(maxsize=4)
def system_matrix(size: int, angles: tuple[float, ...]) -> SystemMatrix:
    """The matrix, scaled to norm 1 (by power iteration, to about 1e-6)."""
    from scipy.sparse import csr_array

    detectors = detectors_for(size)
    blocks = [_angle(size, detectors, angle) for angle in angles]
    counts, columns, weights = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    starts = np.concatenate(([0], counts.cumsum())).astype(np.int32)
    matrix = csr_array((weights, columns, starts), (len(counts), size * size))
    matrix.data /= _norm(matrix)
    return SystemMatrix(_tensor(matrix), _tensor(matrix.T.tocsr()))


def _angle(size: int, detectors: int, angle: float) -> tuple[NDArray[Any], ...]:
    """Entries a ray, and the pixel and weight of each, ray by ray: one angle's rows.

    A ray is the points with ``x cos + y sin = s``, y upwards, the origin in the image's middle.
    """
    cosine, sine = math.cos(angle), math.sin(angle)
    by_columns = abs(cosine) < abs(sine)
    s = np.arange(detectors)[:, None] - detectors // 2
    position = np.arange(size) - (size - 1) / 2
    # the other coordinate where the ray crosses the middle of each row (or column), as an index
    if by_columns:
        other = (size - 1) / 2 - (s - position * cosine) / sine
    else:
        other = (size - 1) / 2 + (s + position * sine) / cosine  # y = -position, downwards
    first = np.floor(other)
    neighbours = np.stack((first, first + 1), axis=-1).astype(np.int32)
    weights = np.stack((first + 1 - other, other - first), axis=-1)
    index = np.arange(size, dtype=np.int32)[None, :, None]
    pixels = neighbours * size + index if by_columns else index * size + neighbours
    inside = (neighbours >= 0) & (neighbours < size) & (weights > 0)
    length = 1 / max(abs(cosine), abs(sine))
    return inside.sum((1, 2)), pixels[inside], weights[inside] * length


def _norm(matrix: Any) -> float:
    """All entries are positive, and so is the singular vector: an even start is near it."""
    v, norm = np.ones(matrix.shape[1]), 0.0
    for _ in range(100):
        before, v = norm, matrix.T @ (matrix @ v)
        norm = float(np.linalg.norm(v))
        v /= norm
        if abs(norm - before) < 1e-7 * norm:
            break
    return math.sqrt(norm)


def _tensor(matrix: Any) -> Tensor:
    # indices of 32 bits: half the memory, and what the CPU's routines take
    rows, columns = matrix.indptr.astype(np.int32), matrix.indices.astype(np.int32)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(
            torch.from_numpy(rows),
            torch.from_numpy(columns),
            torch.from_numpy(matrix.data),
            matrix.shape,
            check_invariants=False,
        )


def _multiply(matrix: Tensor, x: Tensor, shape: tuple[int, int]) -> Tensor:
    """Every channel of ``x (B, C, h, w)`` through the matrix, to ``(B, C, *shape)``.

    In multiples of four columns: other numbers are added up in another order on some CPUs, and a
    sample would depend on what else is in its batch.
    """
    batch = x.shape[:2]
    count = batch[0] * batch[1]
    columns = torch.nn.functional.pad(x.reshape(count, -1), (0, 0, 0, -count % 4)).mT
    if isinstance(columns, FakeTensor):  # no values, and no kernel for sparse rows either
        product = columns.new_empty(matrix.shape[0], columns.shape[1])
    else:
        product = matrix @ columns
    return product.mT[:count].reshape(*batch, *shape)
