"""The options of a run that say where its jobs are placed, and the run itself."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from bench.commands.suites import print_left_out
from bench.errors import InputError

if TYPE_CHECKING:
    from bench.engines.contract import Engine
    from bench.engines.process import Placement
    from bench.planning.plan import Plan
    from bench.store import Store

out = Console()
err = Console(stderr=True)

EngineName = Annotated[
    str, typer.Option("--engine", metavar="local|slurm", help="Where jobs are placed.")
]
Workers = Annotated[
    int | None,
    typer.Option(
        help="Jobs at a time on this machine. [default: cores / threads; with CUDA one a GPU]",
        min=1,
    ),
]
MemorySize = Annotated[
    str | None,
    typer.Option(
        "--memory",
        metavar="SIZE",
        help="As 16GB: jobs wait until the memory that is predicted for them is free. With Slurm: "
        "of each task. [default: with CUDA the GPU's]",
    ),
]
Partition = Annotated[str | None, typer.Option("--partition", help="Slurm's.")]
Account = Annotated[str | None, typer.Option("--account", help="Slurm's.")]
Minutes = Annotated[
    int | None, typer.Option("--time", metavar="MINUTES", help="Of a Slurm task.", min=1)
]
Profile = Annotated[
    Path | None,
    typer.Option(
        "--slurm-profile", metavar="FILE", help="YAML: what to ask Slurm for (docs/operations.md)."
    ),
]
Deterministic = Annotated[
    bool, typer.Option("--deterministic", help="On CUDA: the same bits every time, if slower.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No line a job: counts, and what went wrong.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line, for programs.")]


@dataclass(frozen=True)
class Placing:
    """What the options of engines say."""

    engine: str
    workers: int | None
    memory: str | None
    partition: str | None
    account: str | None
    minutes: int | None
    profile: Path | None


def engine_for(asked: Placing, store: Store, placement: Placement) -> Engine:
    """The engine. Raises InputError for options that are wrong, or of another engine."""
    if asked.engine == "slurm":
        return _slurm(asked, store, placement)
    if asked.engine != "local":
        raise InputError(f"{asked.engine!r}", where="--engine", expected="local or slurm")
    for option, value in (
        ("--partition", asked.partition),
        ("--account", asked.account),
        ("--time", asked.minutes),
        ("--slurm-profile", asked.profile),
    ):
        if value is not None:
            raise InputError("is of another engine", where=option, expected="--engine slurm")
    return _local(asked, store, placement)


def _local(asked: Placing, store: Store, placement: Placement) -> Engine:
    from bench.engines.local import LocalEngine, visible_gpus
    from bench.measure.batch_size import parse_size
    from bench.runner import default_workers

    gpus = visible_gpus() if placement.device == "cuda" else []
    workers = asked.workers or len(gpus) or default_workers(placement.threads)
    limit = parse_size(asked.memory) if asked.memory is not None else _gpu_memory(bool(gpus))
    memory = _memory(limit, placement.data) if limit is not None else None
    return LocalEngine(store, placement, workers, gpus, memory)


def _memory(limit: int, data: Path | None) -> Any:
    from bench.engines.local import Memory
    from bench.jobs.memory import predicted_bytes

    return Memory(limit, lambda job: predicted_bytes(job, data))


def _gpu_memory(on_gpu: bool) -> int | None:
    """Of the smallest GPU."""
    import torch

    if not on_gpu:
        return None
    devices = range(torch.cuda.device_count())
    return min(int(torch.cuda.get_device_properties(i).total_memory) for i in devices)


def _slurm(asked: Placing, store: Store, placement: Placement) -> Engine:
    from bench.config import build
    from bench.engines.slurm import SlurmEngine
    from bench.engines.slurm_config import SlurmConfig
    from bench.planning.suite_files import read_yaml

    if asked.workers is not None:
        expected = "parallelism in --slurm-profile"
        raise InputError("is of the local engine", where="--workers", expected=expected)
    given: dict[str, Any] = {} if asked.profile is None else read_yaml(asked.profile)
    flags = {
        "partition": asked.partition,
        "account": asked.account,
        "time": asked.minutes,
        "memory": asked.memory,
    }
    given |= {name: value for name, value in flags.items() if value is not None}
    config = build(SlurmConfig, given, str(asked.profile or "--engine slurm"))
    return SlurmEngine(store, placement, config)


def run_plans(
    plans: Sequence[Plan], store: Store, engine: Engine, *, quiet: bool, as_json: bool
) -> bool:
    """Run them one after the other; whether every job ended well."""
    from bench import runner
    from bench.progress import Progress

    ok = True
    signal.signal(signal.SIGTERM, _terminated)  # as an interruption: children end, files are whole
    for plan in plans:
        if len(plans) > 1 and not as_json:
            out.rule(plan.suite.name)
        mode: Any = "json" if as_json else "quiet" if quiet else "lines"
        progress = Progress(plan, out, err, mode)
        try:
            with progress:
                outcome = runner.run(plan, store, engine, progress.show)
        except KeyboardInterrupt as interrupt:
            err.print(f"interrupted: {engine.interrupted}", highlight=False, soft_wrap=True)
            raise typer.Exit(143 if interrupt.args else 130) from None
        progress.summary(outcome)
        print_left_out(plan)
        ok = ok and outcome.ok
    return ok


def _terminated(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt("terminated")
