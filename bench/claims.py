"""What a method's paper guarantees, as far as it can be measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

# the papers' estimators, and the norm of the Jacobian: see bench.measure.lipschitz
Estimator = Literal["sphere", "ball", "jacobian"]


@dataclass(frozen=True)
class Claims:
    """Guarantees that hold while the Lipschitz constant of ``probes()`` is at most ``threshold``.

    Attributes:
        threshold: T.
        estimator: the authors' own way to see that it holds.
        contraction: factor by which an iteration then brings any two points nearer; None: no claim.
        bounds: by formula, of ``||Δx|| / ||Δy||``; infinite where a formula says nothing.
        radius: of the ball around the fixed point in which T is asked for, relative to its norm.
    """

    threshold: float
    estimator: Estimator = "jacobian"
    contraction: float | None = None
    bounds: Mapping[str, float] = field(default_factory=dict)
    radius: float = math.inf
