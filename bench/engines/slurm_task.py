"""What runs on a node: the jobs of one task, one after the other."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.engines.process import Placement, run_job
from bench.store import Result, Store


class JobGroup:
    """Jobs of one task. submitit carries it to the node, and calls it there.

    A task that is requeued, by Slurm or near the end of its time, begins again: what has ended is
    left alone, and a training goes on from its last save.
    """

    def __init__(self, root: Path, keys: Sequence[str], placement: Placement) -> None:
        self.root, self.keys, self.placement = root, tuple(keys), placement

    def __call__(self) -> None:
        store = Store(self.root)
        for key in self.keys:
            if final(store.result(key)) is not None:
                continue
            job = run_job(key, store, self.placement)
            try:
                while job.poll() is None:
                    time.sleep(0.2)
            finally:  # a warning of Slurm's ends this process from within the loop
                if job.process.poll() is None:
                    job.kill()

    def checkpoint(self) -> Any:
        """What submitit puts back into the queue near the end of the task's time."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def final(result: Result | None) -> Result | None:
    """The result if nothing that Slurm does can still change it: a killed job may be requeued."""
    return result if result is not None and result.status != "killed" else None
