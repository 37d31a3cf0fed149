"""Jobs as child processes of this one: as many as there are workers, GPUs and memory for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.engines.process import JobProcess, Placement, run_job
from bench.jobs.spec import Job
from bench.store import Result, Store

# beside a job's tensors: an interpreter with torch; on a GPU the CUDA context and workspaces
PROCESS_BYTES, CONTEXT_BYTES = 500 * 10**6, 500 * 10**6


@dataclass(frozen=True)
class Memory:
    """What may be used, and what jobs are predicted to need.

    Attributes:
        limit: bytes: of this machine, for all jobs together; or of each GPU.
        predicted: bytes of a job's tensors; None where that cannot be predicted.
    """

    limit: int
    predicted: Callable[[Job], int | None]


@dataclass
class _Placed:
    job: Job
    process: JobProcess
    gpu: str | None
    needs: int


class LocalEngine:
    """Runs jobs on this machine.

    Args:
        workers: jobs at a time; with GPUs, at most one on each.
        gpus: as ``CUDA_VISIBLE_DEVICES`` names them.
        memory: jobs wait until what they are predicted to need is free; one that never fits ends
            as out of memory, and is not started.
    """

    interrupted = "what is done is kept, and the same command goes on from there"

    def __init__(
        self,
        store: Store,
        placement: Placement,
        workers: int,
        gpus: Sequence[str] = (),
        memory: Memory | None = None,
    ) -> None:
        self.store, self.placement, self.memory = store, placement, memory
        self.workers = min(workers, len(gpus)) if gpus else workers
        self.idle = list(gpus)
        self.placed: dict[str, _Placed] = {}
        self.refused: list[tuple[str, Result]] = []

    @property
    def running(self) -> Mapping[str, float]:
        return {key: placed.process.started for key, placed in self.placed.items()}

    def adopt(self, keys: Iterable[str]) -> list[str]:
        """None: jobs of this machine end with the process that has started them."""
        return []

    def accepts(self, job: Job) -> bool:
        """What is timed runs alone; the others while there is a worker and memory."""
        if len(self.placed) >= self.workers or any(p.job.alone for p in self.placed.values()):
            return False
        if job.alone and self.placed:
            return False
        return not self.placed or self._fits_beside(job)

    def start(self, job: Job) -> None:
        needs = self._needs(job)
        if self.memory is not None and needs > self.memory.limit:
            text = f"not started: {_gb(needs)} predicted, {_gb(self.memory.limit)} there"
            result = Result("out-of-memory", text)
            self.store.write_result(job.key, result)
            self.refused.append((job.key, result))
            return
        gpu = self.idle.pop(0) if self.idle else None
        variables = {} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu}
        process = run_job(job.key, self.store, self.placement, variables)
        self.placed[job.key] = _Placed(job, process, gpu, needs)

    def ended(self) -> list[tuple[str, Result]]:
        found, self.refused = self.refused, []
        for key, placed in list(self.placed.items()):
            result = placed.process.poll()
            if result is not None:
                found.append((key, result))
                del self.placed[key]
                self.idle += [placed.gpu] if placed.gpu is not None else []
        return found

    def stop(self) -> None:
        """End all jobs and their children; a training goes on from its last save next time."""
        for placed in self.placed.values():
            placed.process.kill()
        self.placed.clear()

    def _fits_beside(self, job: Job) -> bool:
        if self.memory is None or self.placement.device != "cpu":  # a GPU has one job
            return True
        taken = sum(placed.needs for placed in self.placed.values())
        needs = self._needs(job)
        return needs > self.memory.limit or taken + needs <= self.memory.limit

    def _needs(self, job: Job) -> int:
        """0 where nothing is limited or predicted."""
        predicted = self.memory.predicted(job) if self.memory is not None else None
        if predicted is None:
            return 0
        return predicted + (PROCESS_BYTES if self.placement.device == "cpu" else CONTEXT_BYTES)


def visible_gpus() -> list[str]:
    """The GPUs of this machine, as ``CUDA_VISIBLE_DEVICES`` names them."""
    import torch

    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip()]
    return [str(index) for index in range(torch.cuda.device_count())]


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
