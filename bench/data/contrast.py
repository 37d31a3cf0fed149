"""Signal of each tissue in T1-weighted, T2-weighted, proton-density and FLAIR images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CONTRASTS = ("T1w", "T2w", "PD", "FLAIR")

# Proton density relative to water, T1 and T2 in ms near 1.5 to 3 T, rounded from the tables in
# Stanisz et al. 2005 (doi:10.1002/mrm.20605) and Bojorquez et al. 2017
# (doi:10.1016/j.mri.2016.08.021). Marrow and fat: as seen by fast spin echo. Lesion: oedema.
_TISSUES = {
    "grey": (0.84, 1250.0, 95.0),
    "white": (0.70, 720.0, 72.0),
    "fluid": (1.00, 4000.0, 1200.0),
    "lesion": (0.88, 1500.0, 150.0),
    "bone": (0.06, 800.0, 20.0),
    "marrow": (0.45, 450.0, 80.0),
    "fat": (0.90, 370.0, 110.0),
    "skin": (0.72, 1100.0, 45.0),
}
_LAYERS = ("bone", "marrow", "bone", "fat", "skin")


@dataclass(frozen=True)
class Signals:
    """What one subject's sequence makes of the tissues.

    Args:
        grey, white, fluid, lesion: magnitude of each tissue
        layers: magnitudes around the brain (bone, marrow, bone, fat, skin), float32 (5,)
        detail: how strongly T1 detail shows, negative where long T1 is bright
        texture: relative standard deviation of fine texture
    """

    grey: np.float32
    white: np.float32
    fluid: np.float32
    lesion: np.float32
    layers: NDArray[np.float32]
    detail: np.float32
    texture: float


def contrast_of(subject: int) -> str:
    """The contrast of a subject: they take turns."""
    return CONTRASTS[subject % len(CONTRASTS)]


def draw_signals(subject: int, rng: np.random.Generator) -> Signals:
    """Draw sequence timings, tissue jitter and fat suppression for a subject."""
    contrast = contrast_of(subject)
    timing = _draw_timing(contrast, rng)
    values = {}
    for tissue, (density, t1, t2) in _TISSUES.items():
        jitter = np.exp(rng.normal(0, [0.02, 0.05, 0.05]))
        values[tissue] = spin_echo(density * jitter[0], t1 * jitter[1], t2 * jitter[2], *timing)
    suppression = rng.uniform(0.15, 0.75) if contrast != "PD" else rng.uniform(0.5, 0.9)
    values["fat"] *= suppression
    values["marrow"] *= suppression
    detail = {"T1w": 0.9, "T2w": -0.9, "PD": -0.35, "FLAIR": -0.5}[contrast]
    return Signals(
        grey=np.float32(values["grey"]),
        white=np.float32(values["white"]),
        fluid=np.float32(values["fluid"]),
        lesion=np.float32(values["lesion"]),
        layers=np.array([values[tissue] for tissue in _LAYERS], np.float32),
        detail=np.float32(detail * rng.uniform(0.7, 1.2)),
        texture=float(rng.uniform(0.02, 0.045)),
    )


def spin_echo(
    density: float, t1: float, t2: float, tr: float, te: float, ti: float | None = None
) -> float:
    """Magnitude of a spin echo, after an inversion if ``ti`` is given; all times in ms."""
    if ti is None:
        longitudinal = 1 - np.exp(-tr / t1)
    else:
        longitudinal = abs(1 - 2 * np.exp(-ti / t1) + np.exp(-tr / t1))
    return float(density * longitudinal * np.exp(-te / t2))


def _draw_timing(contrast: str, rng: np.random.Generator) -> tuple[float, float, float | None]:
    """TR, TE and TI in ms."""
    if contrast == "T1w":
        return rng.uniform(380, 650), rng.uniform(8, 14), None
    if contrast == "T2w":
        return rng.uniform(3500, 6000), rng.uniform(80, 110), None
    if contrast == "PD":
        return rng.uniform(2200, 3500), rng.uniform(12, 30), None
    # TI near the null of cerebrospinal fluid, which the inverse of its T1 recovery sets.
    tr = rng.uniform(8000, 10000)
    null = -4000.0 * np.log((1 + np.exp(-tr / 4000.0)) / 2)
    return tr, rng.uniform(90, 125), float(null * rng.uniform(0.93, 1.04))
