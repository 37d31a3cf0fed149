"""The commands on data: prepare and verify a dataset, and evaluate a file of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bench.errors import InputError
from bench.printable import printable

data = typer.Typer(help="Prepare and verify datasets.", no_args_is_help=True)
out = Console()
err = Console(stderr=True)


@data.command()
def prepare(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Layout of the source files.")],
    source: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the files.")],
    folder: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write.")],
    calibration: Annotated[
        int, typer.Option(help="Width of the k-space centre that coil maps are estimated from.")
    ] = 24,
    compress: Annotated[int | None, typer.Option(help="Virtual coils to compress to.")] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out files that cannot be used.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Make a dataset of files in a published layout: HDF5, a manifest, and a split by subject.

    NAME: fastmri-multicoil, fastmri-singlecoil, calgary-campinas, bart, npz, lodopab-ct, celeba or
    image-folder. An interrupted call goes on where it was.
    """
    from bench.data.prepare import Preparation
    from bench.data.prepare import prepare as write

    how = Preparation(calibration, compress)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    try:
        with Progress(*columns, console=err, disable=quiet, transient=True) as progress:
            bar = progress.add_task("files")

            def show(done: int, of: int, what: str) -> None:
                progress.update(
                    bar, completed=done, total=of, description=printable(what) or "done"
                )

            manifest = write(name, source, folder, how, skip_bad, show)
    except KeyboardInterrupt:
        err.print("interrupted: what is done is kept, and the same command goes on from there")
        raise typer.Exit(130) from None
    subjects = len({file.subject for file in manifest.files})
    samples = sum(file.samples for file in manifest.files)
    size = sum(file.bytes for file in manifest.files) / 2**20
    text = f"{folder}: {len(manifest.files)} files, {subjects} subjects, {samples} slices"
    _line(f"{text}, {size:.1f} MiB")
    for bad in manifest.left_out:
        _line(f"left out: {bad['why']}")


@data.command()
def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A prepared dataset.")],
) -> None:
    """Read every file of a prepared dataset, and name those that are not what was written."""
    from bench.data.prepared import differing, read_manifest

    count = len(read_manifest(folder).files)
    found = list(differing(folder))
    for file, how in found:
        _line(f"{folder / file}: {how}")
    _line(f"{folder}: {count - len(found)} of {count} files are as they were written")
    raise typer.Exit(1 if found else 0)


def evaluate(
    method: Annotated[str, typer.Option(metavar="NAME", help="The method.")],
    source: Annotated[
        Path, typer.Option("--input", metavar="KSPACE", help="An .npz, a .cfl or a fastMRI .h5.")
    ],
    weights: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Of a fit here, or import-weights' output.")
    ] = None,
    folder: Annotated[Path, typer.Option("--out", metavar="DIR")] = Path("reconstructions"),
    mask: Annotated[
        str,
        typer.Option(
            help="given (what is not zero), or a kind to undersample with: random, equispaced, "
            "gaussian, variable-density-2d."
        ),
    ] = "given",
    acceleration: Annotated[float, typer.Option(help="Of a mask that is drawn.")] = 4.0,
    center_fraction: Annotated[float, typer.Option(help="Of a mask that is drawn.")] = 0.08,
    seed: Annotated[int, typer.Option(help="Of a mask that is drawn.", min=0)] = 0,
    maps: Annotated[str, typer.Option(help="espirit, or given ('coil_maps' in an .npz).")] = (
        "espirit"
    ),
    calibration: Annotated[int, typer.Option(help="Width of ESPIRiT's k-space centre.")] = 24,
    scaling: Annotated[
        str, typer.Option(help="sense-percentile, or coil-maximum for the MOL authors' weights.")
    ] = "sense-percentile",
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Reconstruct a file of one's own, and score it where it is fully sampled."""
    from bench.own_data import Sampling, reconstruct_file, write
    from bench.weights import method_with_weights

    try:
        sampling = Sampling(mask, acceleration, center_fraction, seed, maps, calibration, scaling)
    except ValueError as error:
        raise InputError(str(error), where="evaluate") from error
    found = reconstruct_file(method_with_weights(method, weights), source, sampling, device)
    for number, one in enumerate(found):
        values = "  ".join(f"{name} {value:.4g}" for name, value in one.scores.items())
        _line(f"slice {number}: {values}")
    for path in write(found, source, folder):
        _line(str(path))


def _line(text: str) -> None:
    out.print(printable(text), highlight=False, markup=False, soft_wrap=True)
