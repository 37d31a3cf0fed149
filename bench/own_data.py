"""A user's own k-space through a fitted method: images, and scores where there is a reference."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bench.data.coil_maps import combine, estimate_espirit
from bench.data.layouts.contract import Item, open_hdf5
from bench.data.layouts.fastmri import FastMRI
from bench.data.masks import draw_mask
from bench.data.readers import read_coil_maps, read_kspace
from bench.errors import InputError
from bench.measure import quality
from bench.operators import MultiCoilMRI
from bench.operators.fourier import ifft2c, magnitude, to_channels, to_complex
from bench.reconstructor import Reconstructor, check
from bench.store import write_atomic
from bench.tasks.cartesian import percentile_of_sense


@dataclass(frozen=True)
class Sampling:
    """What is measured of the k-space in a file.

    Attributes:
        mask: ``given`` takes what is not zero as measured, and there is no reference; other kinds
            undersample a fully sampled file, see :func:`bench.data.masks.draw_mask`.
        acceleration, center_fraction, seed: of the mask that is drawn.
        maps: ESPIRiT's, from the centre of so many samples (``calibration``), or the file's own.
        scaling: see the multi-coil task.
    """

    mask: str = "given"
    acceleration: float = 4.0
    center_fraction: float = 0.08
    seed: int = 0
    maps: str = "espirit"
    calibration: int = 24
    scaling: str = "sense-percentile"

    def __post_init__(self) -> None:
        check(self.maps in ("espirit", "given"), "maps", self.maps, "espirit or given")
        known = ("sense-percentile", "coil-maximum")
        check(self.scaling in known, "scaling", self.scaling, " or ".join(known))


@dataclass(frozen=True)
class Reconstructed:
    """One slice: the complex image, in the file's units, and what is known about it.

    ``scores`` has PSNR, SSIM and NMSE where the file is fully sampled, and what share was measured.
    """

    image: Tensor
    scores: dict[str, float]


def reconstruct_file(
    method: Reconstructor, path: Path, sampling: Sampling, device: str = "cpu"
) -> list[Reconstructed]:
    """Every slice of a file: .npz, BART's .cfl, or fastMRI's .h5.

    The reference of a fully sampled file is its own image, combined with the coil maps; scores are
    relative to its largest magnitude, slice by slice.

    Raises:
        InputError: the file cannot be used, or is fully sampled although its mask is wanted.
    """
    method.to(device).eval()
    found = []
    for number, kspace in enumerate(_slices(path)):
        where = f"{path}, slice {number}"
        try:
            found.append(_reconstruct(method, kspace, path, sampling, number, device))
        except (InputError, ValueError) as error:
            raise InputError(str(error), where=where) from error
    return found


def _slices(path: Path) -> list[np.ndarray[Any, Any]]:
    if path.suffix != ".h5":
        return [read_kspace(path)]
    with open_hdf5(path) as file:
        one_coil = "kspace" in file and getattr(file["kspace"], "ndim", None) == 3
    layout = FastMRI("singlecoil" if one_coil else "multicoil")
    return list(layout.slices(Item(path.stem, path.stem, path)))


def _reconstruct(
    method: Reconstructor,
    kspace: np.ndarray[Any, Any],
    path: Path,
    sampling: Sampling,
    number: int,
    device: str,
) -> Reconstructed:
    measured = np.abs(kspace).max(0) > 0
    full = bool(measured.mean() > 0.98)  # partial Fourier leaves a few lines out
    if sampling.mask == "given":
        if full:
            raise InputError(
                "k-space is fully sampled",
                expected="--mask random (or another kind), to undersample",
            )
        mask = measured.astype(np.float32)
    else:
        if not full:
            raise InputError(
                f"only {measured.mean():.0%} of k-space is sampled", expected="--mask given"
            )
        shape = (kspace.shape[1], kspace.shape[2])
        rng = np.random.default_rng([sampling.seed, number])
        mask = draw_mask(sampling.mask, shape, sampling.acceleration, sampling.center_fraction, rng)
    maps = _maps(kspace, path, sampling)
    physics = MultiCoilMRI(torch.from_numpy(mask), torch.from_numpy(maps))
    y = to_channels(torch.from_numpy(kspace * mask)[None])
    scale = _scale(y, physics, kspace, sampling)
    with torch.no_grad():
        result = method.reconstruct((y / scale).to(device), physics.to(device)).image.cpu() * scale
    scores = {"sampled": float(np.broadcast_to(mask, kspace.shape[1:]).mean())}
    if full:
        reference = np.abs(combine(kspace, maps))
        image, peak = magnitude(result)[0].numpy(), float(reference.max())
        scores["psnr"] = quality.psnr(reference, image, peak)
        scores["ssim"] = quality.ssim(reference, image, peak)
        scores["nmse"] = quality.nmse(reference, image)
    return Reconstructed(to_complex(result)[0], scores)


def _maps(kspace: np.ndarray[Any, Any], path: Path, sampling: Sampling) -> np.ndarray[Any, Any]:
    if sampling.maps == "given":
        return read_coil_maps(path, kspace.shape)
    if len(kspace) == 1:
        return np.ones(kspace.shape, np.complex64)
    return estimate_espirit(kspace, sampling.calibration)


def _scale(
    y: Tensor, physics: MultiCoilMRI, kspace: np.ndarray[Any, Any], sampling: Sampling
) -> float:
    if sampling.scaling == "coil-maximum":
        return float(ifft2c(torch.from_numpy(kspace)).abs().max())
    return float(percentile_of_sense(y, physics))


def write(found: list[Reconstructed], path: Path, out: Path) -> list[Path]:
    """The images as ``NAME.npz`` (``image``, complex64 (S, H, W)) and a picture of the middle one.

    Returns:
        The files that were written.
    """
    out.mkdir(parents=True, exist_ok=True)
    images = torch.stack([one.image for one in found]).numpy()
    buffer = io.BytesIO()
    np.savez_compressed(buffer, image=images)
    arrays, picture = out / f"{path.stem}.npz", out / f"{path.stem}.png"
    write_atomic(arrays, buffer.getvalue())
    middle = np.abs(images[len(images) // 2])
    grey = (middle / max(float(np.percentile(middle, 99.8)), 1e-30)).clip(0, 1) * 255
    buffer = io.BytesIO()
    Image.fromarray(grey.astype(np.uint8)).save(buffer, "PNG")
    write_atomic(picture, buffer.getvalue())
    return [arrays, picture]
