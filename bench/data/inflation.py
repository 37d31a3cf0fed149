"""How much larger than its file data may be: what a small file declares is not taken on trust."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench.errors import InputError

FREE = 64 * 2**20  # bytes that any file may declare
MOST = 100  # times what it holds: measured data is compressed to a half, and zeros a thousandfold


def require_plausible(declared: int, held: int, where: str) -> None:
    """Refuse data that would take far more memory than its file has bytes."""
    if declared > FREE and declared > MOST * max(held, 0):
        raise InputError(
            f"{held} bytes stand for {declared}",
            where=where,
            expected=f"at most {MOST} times as many",
        )


def size_of(shape: Sequence[int], itemsize: int) -> int:
    """Bytes of an array; Python's integers do not overflow."""
    return math.prod(int(length) for length in shape) * itemsize
