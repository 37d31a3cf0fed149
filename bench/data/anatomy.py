"""The anatomy under the brain phantom: MNI-152 tissue maps with a distance to the brain surface.

Source: the 1 mm symmetric ICBM-152 (2009a) T1, grey- and white-matter maps that the nilearn
package carries. They are read from its folder, without importing nilearn (slow) or downloading.
"""

from __future__ import annotations

import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError

FloatArray = NDArray[np.float32]

_FILE = "mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"
_PAD = 24  # mm of air around the brain: room for skull and scalp
_LOWEST_MM = -26  # the phantom's slices, tilted, stay above this height
_COARSE = 2  # mm: the surface distance is smooth, so half the resolution is enough
_CLOSING_MM = 14.0  # bridges sulci and most of the interhemispheric fissure
_CENTRE_Y_MM = -18.0  # middle of the brain, front to back


@dataclass(frozen=True)
class Anatomy:
    """Volumes on one grid, axes x (right), y (front), z (up).

    Args:
        grey, white: tissue fractions times 255, uint8 (X, Y, Z), 1 mm
        detail: T1 that the tissue fractions do not explain, relative to white matter, times
            127 and clipped to ±1, int8 (X, Y, Z), 1 mm: deep nuclei and tracts
        distance: signed distance in mm to the closed brain surface, negative inside,
            float32 (X/2, Y/2, Z/2), 2 mm
        origin: voxel index of (0, 0, 0) mm, the middle of the brain at the height of the
            anterior commissure
    """

    grey: NDArray[np.uint8]
    white: NDArray[np.uint8]
    detail: NDArray[np.int8]
    distance: FloatArray
    origin: tuple[float, float, float]

    def surface_distance(self, points: FloatArray) -> FloatArray:
        """Signed distance to the brain surface in mm, float32 (P,), at points (3, P) in mm."""
        # Voxel k of the coarse grid covers the 1 mm voxels 2k and 2k+1.
        voxels = (self._voxels(points) - np.float32((_COARSE - 1) / 2)) / np.float32(_COARSE)
        return _interpolate(self.distance, voxels)

    def tissue(self, points: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Grey and white fraction (0 to 1) and T1 detail (±1) at points (3, P) in mm."""
        voxels = self._voxels(points)
        return (
            _interpolate(self.grey, voxels) / np.float32(255),
            _interpolate(self.white, voxels) / np.float32(255),
            _interpolate(self.detail, voxels) / np.float32(127),
        )

    def _voxels(self, points: FloatArray) -> FloatArray:
        return points + np.asarray(self.origin, np.float32)[:, None]


def _interpolate(volume: NDArray[Any], voxels: FloatArray) -> FloatArray:
    from scipy.ndimage import map_coordinates

    result: FloatArray = map_coordinates(
        volume, voxels, output=np.float32, order=1, mode="nearest", prefilter=False
    )
    return result


@functools.cache
def load_anatomy() -> Anatomy:
    """Read, crop and prepare the volumes; once per process, about a second.

    Raises:
        InputError: nilearn is not installed, or its copy lacks the maps
    """
    volumes, affine = zip(*(_read_map(kind) for kind in ("t1", "gm", "wm")), strict=True)
    lowest = round(_LOWEST_MM - affine[0][2, 3])
    brain = np.argwhere((volumes[1] > 0) | (volumes[2] > 0))
    start = np.maximum(brain.min(axis=0) - _PAD, 0)
    start[2] = lowest
    stop = brain.max(axis=0) + _PAD
    stop -= (stop - start) % _COARSE
    window = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    t1, grey, white = (np.ascontiguousarray(volume[window]) for volume in volumes)
    origin = -affine[0][:3, 3] - start + np.array([0.0, _CENTRE_Y_MM, 0.0])
    return Anatomy(
        grey=grey,
        white=white,
        detail=_unexplained(t1, grey, white),
        distance=_surface_distance(grey, white),
        origin=(float(origin[0]), float(origin[1]), float(origin[2])),
    )


def _read_map(kind: str) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    spec = importlib.util.find_spec("nilearn")
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            "the brain phantom needs the nilearn package", expected="pip install nilearn"
        )
    path = Path(spec.submodule_search_locations[0]) / "datasets" / "data" / _FILE.format(kind)
    if not path.is_file():
        raise InputError(
            "the brain phantom's anatomy is missing",
            where=str(path),
            expected="a nilearn that carries the MNI-152 1 mm maps (0.8 or newer)",
        )
    import nibabel

    image: Any = nibabel.load(path)
    return np.asarray(image.dataobj, np.uint8), np.asarray(image.affine, np.float64)


def _unexplained(
    t1: NDArray[np.uint8], grey: NDArray[np.uint8], white: NDArray[np.uint8]
) -> NDArray[np.int8]:
    """Residual of T1 after its least-squares fit by the tissue fractions, smooth parts kept."""
    from scipy.ndimage import gaussian_filter

    inside = t1 > 0
    fractions = np.stack([grey[inside], white[inside]]).astype(np.float64) / 255
    design = np.concatenate([fractions, 1 - fractions.sum(axis=0, keepdims=True)])
    target = t1[inside].astype(np.float64)
    # Sums instead of matrix products: BLAS's last bits depend on the number of threads.
    gram = np.array([[(a * b).sum() for b in design] for a in design])
    weights = np.linalg.solve(gram, (design * target).sum(axis=1))
    explained = (weights[:, None] * design).sum(axis=0)
    # Only where the map is surely brain: at the cortex the residual is misfit, not anatomy.
    sure = np.clip((fractions.sum(axis=0) - 0.85) / 0.1, 0, 1)
    residual = np.zeros(t1.shape, np.float32)
    residual[inside] = sure * (target - explained) / weights[1]
    residual = gaussian_filter(residual, 0.7)
    detail: NDArray[np.int8] = np.rint(127 * np.clip(residual, -1, 1)).astype(np.int8)
    return detail


def _surface_distance(grey: NDArray[np.uint8], white: NDArray[np.uint8]) -> FloatArray:
    """Signed distance in mm to the morphologically closed brain, on the 2 mm grid."""
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    total = grey.astype(np.float32) + white.astype(np.float32)
    x, y, z = (n // _COARSE for n in total.shape)
    coarse = total.reshape(x, _COARSE, y, _COARSE, z, _COARSE).mean(axis=(1, 3, 5))
    outside = _COARSE * distance_transform_edt(coarse < 128)
    dilated = outside <= _CLOSING_MM
    closed = _COARSE * distance_transform_edt(dilated) > _CLOSING_MM
    signed = distance_transform_edt(~closed) - distance_transform_edt(closed)
    result: FloatArray = gaussian_filter(_COARSE * signed, 1.5).astype(np.float32)
    return result
