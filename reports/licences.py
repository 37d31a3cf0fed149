"""Whose the data is, and on what terms: what a page says of every task's dataset.

Terms are summarised, and bind nobody: where it matters, read the source's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from reports.suite_results import SuiteResults, TaskInfo

UNSTATED = "no licence stated by the source"


@dataclass(frozen=True)
class Licence:
    """A dataset's name, its terms, and what to cite; ``pictures`` may be published of it or not."""

    name: str
    terms: str
    cite: str = ""
    pictures: bool = True


OWN = Licence("user data", "the user's own")

# what the package makes, or what comes inside other packages: by the task's field `dataset`
EMBEDDED = {
    "brain-phantom": Licence(
        "brain phantom, from the MNI-152 template (ICBM 2009a) in the nilearn package",
        "© 1993–2009 Louis Collins, McConnell Brain Imaging Centre, McGill University: use, "
        "copying, changes and distribution for any purpose without fee, with that notice, and "
        "without warranty. nilearn itself states no terms for it.",
        "Fonov et al. 2011, doi:10.1016/j.neuroimage.2010.07.033",
    ),
    "beating-heart": Licence("beating heart", "synthetic: simulated by this package (MIT)"),
    "ellipses": Licence("ellipse phantoms", "synthetic: drawn by this package (MIT)"),
    "photographs": Licence(
        "photographs inside the scikit-image package",
        "CC0, public domain or no known copyright restrictions, each by its own note in "
        "skimage.data; no terms are stated there for “moon”, nor for “motorcycle” (Middlebury "
        "stereo, downsampled).",
        "van der Walt et al. 2014, doi:10.7717/peerj.453; for “motorcycle” Scharstein et al., "
        "GCPR 2014",
    ),
}

# files of others, by name without suffix; folders of images by the folder's name
FILES = {
    "brain_t1_8ch_230x180": Licence(
        "T1 brain, 8 coils (ESPIRiT's example)",
        f"{UNSTATED}; the same slice ships as an example of BART, which is BSD-3-Clause",
        "github.com/mikgroup/espirit-matlab-examples",
        pictures=False,
    ),
    "brain_gre_16ch_96x96": Licence(
        "GRE brain, 16 coils", UNSTATED, "github.com/mchiew/SENSE-tutorial", pictures=False
    ),
    "brain_undersampled_8ch_230x180": Licence(
        "undersampled brain, 8 coils",
        "BSD-3-Clause, © 2019 mikgroup",
        "github.com/mikgroup/sigpy-mri-tutorial",
    ),
    "brain_t2_512x512_ong": Licence(
        "T2 brain, one coil (Ong)",
        "BSD-3-Clause, © 2019 Frank Ong",
        "github.com/frankong/ima2019_python_tutorial",
    ),
    "brain_t2_512x512_wastling": Licence(
        "T2 brain, one coil (Wastling)",
        "MIT, © 2024 Stephen Wastling",
        "github.com/SWastling/mri_ft_recon",
    ),
    "brain_t1_sagittal_256x256_larson": Licence(
        "T1 brain, sagittal, one coil",
        "MIT, © 2021 Peder Larson",
        "github.com/LarsonLab/MRI-education-resources",
    ),
    "knee_332x640_larson": Licence(
        "knee, one coil", "MIT, © 2021 Peder Larson", "github.com/LarsonLab/MRI-education-resources"
    ),
    "brain_t2_complex_siat200": Licence(
        "SIAT brains (200 complex T2 images)",
        f"{UNSTATED}; provided by SIAT, Chinese Academy of Sciences, for the papers that it names. "
        "Faces can be recognised in sagittal slices.",
        "github.com/yqx7150/SIAT_MRIdata200",
        pictures=False,
    ),
    "knee_stanford20": Licence(
        "Stanford knees (fully sampled 3D FSE, mridata.org)",
        "BSD-3-Clause, © 2021 A. Leynes, UC Regents",
        "github.com/LarsonLab/dnlinv",
    ),
    "chest_admmnet100": Licence(
        "chest MR images of ADMM-Net", "MIT, © 2017 Yan Yang", "github.com/yangyan92/Deep-ADMM-Net"
    ),
    "cardiac_cine_30x144x144": Licence(
        "cardiac cine series",
        "BSD-3-Clause, © 2019 Frank Ong",
        "github.com/frankong/ima2019_python_tutorial",
    ),
    "chest_ct_tcia100": Licence(
        "chest CT of TCGA-LUAD (The Cancer Imaging Archive, 100 slices by way of Kaggle)",
        f"CC BY 3.0 for TCGA-LUAD; {UNSTATED} that the slices were copied from",
        "TCGA-LUAD, The Cancer Imaging Archive; Clark et al. 2013, doi:10.1007/s10278-013-9622-7",
        pictures=False,
    ),
    "set5": Licence(
        "Set5",
        "customary benchmark images: original terms not stated; copied from a repository under MIT",
        "github.com/mouryarahul/SR-MCNet",
        pictures=False,
    ),
    "set14": Licence(
        "Set14", "customary benchmark images: original terms not stated", pictures=False
    ),
    "t91": Licence(
        "T91",
        "customary training images: original terms not stated; copied from a repository under MIT",
        "github.com/mouryarahul/SR-MCNet",
        pictures=False,
    ),
    "bsd68_gray": Licence(
        "BSD68, grey",
        f"images of the Berkeley segmentation dataset: research, not commercial; {UNSTATED} that "
        "they were copied from",
        "Martin et al., ICCV 2001; github.com/cszn/DnCNN",
        pictures=False,
    ),
    "train400_gray180": Licence(
        "Train400, grey",
        f"images of the Berkeley segmentation dataset: research, not commercial; {UNSTATED} that "
        "they were copied from",
        "Martin et al., ICCV 2001; github.com/cszn/DnCNN",
        pictures=False,
    ),
}

# what a shipped split trains on, which rows of tests do not name
SPLITS = {
    "t91-set5": ("t91", "set5"),
    "t91-set14": ("t91", "set14"),
    "train400-bsd68": ("train400_gray180", "bsd68_gray"),
}

# datasets that the user has got from their owners, by layout: their terms came with them
LAYOUTS = {
    "fastmri": Licence(
        "fastMRI", "the data use agreement of NYU Langone Health", "Zbontar et al. 2018", False
    ),
    "calgary-campinas": Licence(
        "Calgary-Campinas",
        "the terms of the Calgary-Campinas Public Dataset",
        "Souza et al. 2018, doi:10.1016/j.neuroimage.2017.08.021",
        False,
    ),
    "lodopab-ct": Licence("LoDoPaB-CT", "CC BY 4.0", "Leuschner et al. 2021"),
    "celeba": Licence("CelebA", "research, not commercial", "Liu et al., ICCV 2015", False),
}


def licences(results: SuiteResults) -> list[tuple[list[str], list[Licence]]]:
    """For every dataset of the suite, the titles of its tasks and what it is made of."""
    found: dict[tuple[Licence, ...], list[str]] = {}
    used = {label for e in results.entries for label in (e.train_task, e.test_task)}
    for label, task in results.tasks.items():
        if label in used:
            found.setdefault(tuple(_of(results, task)), []).append(task.title)
    return [(tasks, list(parts)) for parts, tasks in found.items()]


def pictures_allowed(results: SuiteResults, task: str) -> bool:
    """Whether pictures of the task's data may be published: not where no licence is stated."""
    return all(part.pictures for part in _of(results, results.tasks[task]))


def _of(results: SuiteResults, task: TaskInfo) -> list[Licence]:
    kind = str(task.config.get("dataset") or "")
    if kind in EMBEDDED:
        return [EMBEDDED[kind]]
    if kind == "prepared":
        layouts = (found for name, found in LAYOUTS.items() if f"({name}" in task.dataset)
        return [next(layouts, OWN)]
    names = dict.fromkeys([*_file(task), *_subjects(results, task)])
    return [FILES[name] for name in names if name in FILES] or [OWN]


def _file(task: TaskInfo) -> Iterable[str]:
    """The file's name without suffix, and what its split is known to hold."""
    path = str(task.config.get("file") or task.config.get("folder") or "")
    yield path.rpartition("/")[2].partition(".")[0]
    named = (name for name in SPLITS if name == task.config.get("split") or name in task.dataset)
    for name in named:
        yield from SPLITS[name]


def _subjects(results: SuiteResults, task: TaskInfo) -> Iterable[str]:
    """Of folders: the files, or the folders in it, that were tested on."""
    scores = (results.scores(line, task.label, "psnr") for line in results.lines)
    for subject, *_ in next(filter(None, scores), {}):
        yield subject.partition("/")[0]
