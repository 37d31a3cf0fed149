"""The commands that measure a single method on a single task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bench.commands.options import Data, Plugins, add_plugins, check_data, check_device
from bench.errors import InputError
from bench.printable import printable

if TYPE_CHECKING:
    from bench.measure.profile import Operation
    from bench.reconstructor import Recipe, Reconstructor
    from bench.task import Task

out = Console()

Fields = Annotated[
    list[str],
    typer.Option("--config", metavar="FIELD=VALUE", help="Of the method, in YAML; repeatable."),
]
TaskFields = Annotated[
    list[str],
    typer.Option("--task-config", metavar="FIELD=VALUE", help="Of the task, in YAML; repeatable."),
]


def memory(
    method: Annotated[str, typer.Argument(metavar="METHOD", help="As `list methods` shows it.")],
    task: Annotated[str, typer.Argument(metavar="TASK", help="As `list tasks` shows it.")],
    gpu: Annotated[str, typer.Option(metavar="SIZES", help="As 8GB,24GB.")] = "8GB,10GB,24GB,80GB",
    reserve: Annotated[
        str, typer.Option(help="Of each GPU, for the CUDA context and workspaces.")
    ] = "0.5GB",
    variant: Annotated[str | None, typer.Option(help="A named setting of the method.")] = None,
    config: Fields = [],  # noqa: B006 (typer copies it)
    task_config: TaskFields = [],  # noqa: B006
    data: Data = None,
    plugin: Plugins = [],  # noqa: B006
) -> None:
    """Predict peak memory and the largest training batch; no GPU is needed."""
    from bench.config import build
    from bench.measure import batch_size
    from bench.measure.peaks import MemoryConfig, measure
    from bench.measure.question import Subject

    sizes = {"gpus": [part.strip() for part in gpu.split(",")], "reserve": reserve}
    wanted = build(batch_size.BatchSizeConfig, sizes, "--gpu")
    add_plugins(plugin)
    made, on = _method_and_task(method, task, variant, config, task_config, data)
    subject = Subject(made, on, _recipe(made, variant))
    table = Table(title=f"{made.name} on {on.name}, batch 1, predicted", title_justify="left")
    table.add_column("step")
    table.add_column("peak", justify="right")
    for row in measure(subject, MemoryConfig(batches=(1,))):
        table.add_row(_step(row.phase, row.condition), f"{row.value / 1e9:.3f} GB")
    out.print(table)
    table = Table(title="largest batch of a training step", title_justify="left")
    for heading in ("GPU", "step", "batch", "even, or 1"):
        table.add_column(heading, justify="left" if heading in ("GPU", "step") else "right")
    rows = list(batch_size.measure(subject, wanted))
    for largest, even in zip(rows[::2], rows[1::2], strict=True):
        most = largest.value == wanted.most
        shown = f"{largest.value:.0f}{' or more' if most else ''}" if largest.value else "none"
        step = _step("fit", largest.condition)
        table.add_row(largest.condition["gpu"], step, shown, f"{even.value:.0f}")
    if rows:
        out.print(table)
    _line(f"GB: 10^9 bytes. {reserve} of each GPU are kept for what is not predicted: the CUDA")
    _line("context, workspaces of convolutions, fragmentation.")


def _step(phase: str, condition: Mapping[str, Any]) -> str:
    name = {"fit": "training", "evaluate": "reconstruction", "attack": "attack's gradient"}[phase]
    return f"{name}, with its penalty" if condition["penalty"] and phase == "fit" else name


def profile(
    method: Annotated[str, typer.Argument(metavar="METHOD", help="As `list methods` shows it.")],
    task: Annotated[str, typer.Argument(metavar="TASK", help="As `list tasks` shows it.")],
    variant: Annotated[str | None, typer.Option(help="A named setting of the method.")] = None,
    phase: Annotated[
        str, typer.Option(help="fit (a training step) or evaluate (a reconstruction).")
    ] = "fit",
    batch: Annotated[int, typer.Option(help="Samples a step.")] = 1,
    steps: Annotated[int, typer.Option(help="Steps to record, after one that is not.")] = 3,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    threads: Annotated[int, typer.Option(help="Threads of the CPU.")] = 1,
    folder: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="[default: results/profiles/METHOD-TASK]"),
    ] = None,
    config: Fields = [],  # noqa: B006 (typer copies it)
    task_config: TaskFields = [],  # noqa: B006
    data: Data = None,
    plugin: Plugins = [],  # noqa: B006
) -> None:
    """Profile a method, untrained, on a task: two traces, and the ten costliest operations."""
    import torch

    from bench.config import build
    from bench.measure.profile import ProfileConfig, profile_method

    check_device(device)
    if threads < 1:
        raise InputError(f"{threads}", where="--threads", expected="at least 1")
    how = build(ProfileConfig, {"phase": phase, "steps": steps, "batch_size": batch}, "profile")
    add_plugins(plugin)
    torch.manual_seed(0)
    made, on = _method_and_task(method, task, variant, config, task_config, data)
    folder = folder or Path("results/profiles") / f"{made.name}-{on.name}".replace(":", "-")
    torch.set_num_threads(threads)
    found = profile_method(made, on, folder, how, device, _recipe(made, variant))
    out.print(_table(f"{made.name} on {on.name}: {phase}, {device}", found.operations))
    for path in (found.tensorboard, found.chrome):
        _line(str(path))
    _line(f"look at them: tensorboard --logdir {found.tensorboard.parent}")
    _line(f"          or: {found.chrome} in chrome://tracing or https://ui.perfetto.dev")


def parse_fields(texts: Iterable[str], known: Iterable[str], option: str) -> dict[str, Any]:
    """``FIELD=VALUE`` by field, the values as YAML reads them.

    Args:
        texts: as given; the last one of a field counts.
        known: names of fields.
        option: that they were given by.

    Raises:
        InputError: another form, or an unknown field.
    """
    from bench import safe_yaml
    from bench.config import nearest

    fields, names = {}, list(known)
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"{text!r}", where=option, expected="FIELD=VALUE")
        if name not in names:
            raise InputError(f"unknown field {name!r}", where=option, expected=nearest(name, names))
        fields[name] = safe_yaml.load(value, f"{option} {name}")
    return fields


# ---------------------------------------------------------------------- pieces


def _method_and_task(
    method: str,
    task: str,
    variant: str | None,
    config: Sequence[str],
    task_config: Sequence[str],
    data: Path | None,
) -> tuple[Reconstructor, Task]:
    from bench.registry import create_method, create_task, method_class, task_class

    check_data(data)
    known = task_class(task).Config.__dataclass_fields__
    on = create_task(task, data=data, **parse_fields(task_config, known, "--task-config"))
    known = method_class(method).Config.__dataclass_fields__
    return create_method(method, on, variant, **parse_fields(config, known, "--config")), on


def _recipe(method: Reconstructor, variant: str | None) -> Recipe:
    from bench.config import as_dict, build
    from bench.reconstructor import Recipe
    from bench.registry import variant_of

    changed = variant_of(type(method), variant, method.name).recipe
    return build(Recipe, {**as_dict(method.recipe()), **changed}, "recipe")


def _table(title: str, operations: Sequence[Operation]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("operation", overflow="fold")
    for heading in ("calls", "self ms", "share", "total ms", "self MiB"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in operations:
        table.add_row(
            one.name,
            str(one.calls),
            f"{one.self_time * 1e3:.2f}",
            f"{one.share:.1%}",
            f"{one.total_time * 1e3:.2f}",
            "" if one.self_memory is None else f"{one.self_memory / 2**20:.2f}",
        )
    return table


def _line(text: str) -> None:
    out.print(printable(text), highlight=False, markup=False, soft_wrap=True)
