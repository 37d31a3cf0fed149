"""Calgary-Campinas: 3D brains of 12 coils in hybrid k-space."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench.data.layouts.contract import Array, Item, dataset, files, open_hdf5, part_of, sound
from bench.errors import InputError


class CalgaryCampinas:
    """HDF5 with ``kspace``, real (readout, phase, slice, 2 coils), a subject a file.

    The data is hybrid: the inverse transform along the readout is done, so that every index of the
    first axis is a plane of its own, with k-space along the phase- and the slice-encoding axis. The
    last axis has the real and the imaginary part of each coil in turn (24 numbers for 12 coils).
    Zero frequency is in the corner (``numpy.fft.ifft2`` gives the image, as in the challenge's
    notebooks) and is moved to the middle here; a file that has it in the middle already is
    recognised by its energy. The last 15 % of the slice encodings were not acquired and are zero in
    the published reconstructions too: they count as measured. Nothing is normalised.

    Sources: Souza et al. 2018, doi:10.1016/j.neuroimage.2017.08.021; axis order, interleaving and
    the 85 % as in the reader of NKI-AI's `direct`.
    """

    about = "Calgary-Campinas multi-coil HDF5"
    content = "kspace"

    def find(self, source: Path) -> list[Item]:
        return [
            Item(path.stem, path.stem, path, part_of(path.parent.name))
            for path in files(source, "*.h5", "Calgary-Campinas .h5 files")
        ]

    def slices(self, item: Item) -> Iterator[Array]:
        with open_hdf5(item.path) as file:
            kspace = dataset(file, "kspace", "readout, phase, slice, 2 x coils", kind="f")
            where = f"{item.path}: kspace"
            if kspace.shape[-1] % 2:
                raise InputError(
                    f"shape {kspace.shape}", where=where, expected="an even number of channels"
                )
            corner = _zero_frequency_in_corner(np.asarray(kspace[len(kspace) // 2]))
            for number in range(len(kspace)):
                pairs = np.asarray(kspace[number], np.float32)
                sound(pairs, f"{where}, readout index {number}")
                plane = np.moveaxis(pairs[..., ::2] + 1j * pairs[..., 1::2], -1, 0)
                axes = (-2, -1)
                yield np.fft.fftshift(plane, axes=axes) if corner else np.ascontiguousarray(plane)


def _zero_frequency_in_corner(plane: Array) -> bool:
    energy = (plane.astype(np.float64) ** 2).sum(-1)
    middle = np.zeros(energy.shape, bool)
    height, width = energy.shape
    middle[height // 4 : -(height // 4), width // 4 : -(width // 4)] = True
    return bool(energy[~middle].sum() > energy[middle].sum())
