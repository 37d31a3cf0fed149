"""File layouts that researchers have, each read as published."""

from __future__ import annotations

from bench.data.layouts.calgary_campinas import CalgaryCampinas
from bench.data.layouts.celeba import CelebA
from bench.data.layouts.contract import Item, Layout
from bench.data.layouts.fastmri import FastMRI
from bench.data.layouts.image_folder import ImageFolder
from bench.data.layouts.kspace_files import KspaceFiles
from bench.data.layouts.lodopab import LoDoPaB

LAYOUTS: dict[str, Layout] = {
    "fastmri-multicoil": FastMRI("multicoil"),
    "fastmri-singlecoil": FastMRI("singlecoil"),
    "calgary-campinas": CalgaryCampinas(),
    "bart": KspaceFiles(".cfl"),
    "npz": KspaceFiles(".npz"),
    "lodopab-ct": LoDoPaB(),
    "celeba": CelebA(),
    "image-folder": ImageFolder(),
}

__all__ = ["LAYOUTS", "Item", "Layout"]
