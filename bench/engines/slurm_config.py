"""What Slurm is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.engines.process import Placement
from bench.measure.batch_size import parse_size
from bench.reconstructor import check


@dataclass(frozen=True)
class SlurmConfig:
    """What ``sbatch`` is asked for.

    Attributes:
        partition, account, qos, constraint: as Slurm's.
        time: minutes of a task; a training that needs more is requeued and goes on.
        memory: of a task, as 8GB; else the partition's.
        parallelism: tasks at a time.
        most: jobs in the queue at a time; clusters limit what a user submits.
        group: work of a task, in optimiser steps: short jobs are put together up to it.
        poll: seconds between two looks at the queue.
        setup: shell lines before the jobs, as ``module load cuda``.
        extra: further options of ``sbatch``, by name.
    """

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    time: int = 240
    memory: str | None = None
    parallelism: int = 256
    most: int = 5000
    group: float = 60.0
    poll: float = 5.0
    setup: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check(self.time >= 1, "time", self.time, "at least 1 minute")
        check(self.parallelism >= 1, "parallelism", self.parallelism, "at least 1")
        check(self.most >= 1, "most", self.most, "at least 1")
        check(self.group >= 0, "group", self.group, "at least 0")
        check(self.poll > 0, "poll", self.poll, "above 0")
        if self.memory is not None:
            parse_size(self.memory)

    def parameters(self, placement: Placement) -> dict[str, Any]:
        """As submitit takes them."""
        extra = dict(self.extra)
        if self.memory is not None:
            extra["mem"] = f"{parse_size(self.memory) // 2**20}M"
        given = {
            "partition": self.partition,
            "account": self.account,
            "qos": self.qos,
            "constraint": self.constraint,
            "time": self.time,
            # before the end, so that a task requeues itself; a short one has no 90 seconds to spare
            "signal_delay_s": min(90, 15 * self.time),
            "cpus_per_task": placement.threads,
            "gres": "gpu:1" if placement.device == "cuda" else None,
            "setup": list(self.setup) or None,
            "array_parallelism": self.parallelism,
            "additional_parameters": extra or None,
        }
        return {name: value for name, value in given.items() if value is not None}
