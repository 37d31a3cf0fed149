"""What an engine is: it places jobs, and says how they ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from bench.jobs.spec import Job
from bench.store import Result


class Engine(Protocol):
    """Places jobs whose parents have ended well."""

    @property
    def running(self) -> Mapping[str, float]:
        """Keys of the jobs that it has, and when each was started (monotonic seconds)."""

    @property
    def interrupted(self) -> str:
        """What an interruption leaves, in a line for the user."""

    def adopt(self, keys: Iterable[str]) -> list[str]:
        """Those of these jobs that an earlier run has placed and that are still under way."""

    def accepts(self, job: Job) -> bool:
        """Whether it would take this job now."""

    def start(self, job: Job) -> None:
        """Take a job; its description is in the store."""

    def ended(self) -> list[tuple[str, Result]]:
        """The jobs that have ended since the last call, and how; their results are stored."""

    def stop(self) -> None:
        """The run is over, by its end or by an interruption."""
