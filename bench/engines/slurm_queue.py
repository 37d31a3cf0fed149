"""What Slurm says of our tasks: ``squeue`` while they are in the queue, then ``sacct`` if it works.

Clusters without accounting have no ``sacct``; a task that has left the queue is then known to have
ended, and its jobs' results say how.
"""

from __future__ import annotations

import subprocess
from collections.abc import Collection
from dataclasses import dataclass

ENDED = (
    *("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "PREEMPTED"),
    *("BOOT_FAIL", "DEADLINE", "REVOKED"),
)
STATUSES = {"TIMEOUT": "timeout", "DEADLINE": "timeout", "OUT_OF_MEMORY": "out-of-memory"}


@dataclass(frozen=True)
class Task:
    """A task of an array.

    Attributes:
        id: as ``123_4``, or ``123`` where there is no array.
        state: in Slurm's words.
        comment: what it was submitted with.
    """

    id: str
    state: str
    comment: str

    @property
    def alive(self) -> bool:
        """Whether it waits or runs; one that is requeued does."""
        return self.state not in ENDED

    @property
    def index(self) -> int:
        """Its place in the array."""
        return int(self.id.partition("_")[2] or 0)


class Unreachable(RuntimeError):
    """Slurm does not answer: nothing is known, and nothing follows from it."""


def tasks(name: str) -> list[Task]:
    """This user's tasks of that name which the controller knows. Raises Unreachable."""
    command = ["squeue", "--me", "--noheader", "--array", "--states=all", f"--name={name}"]
    found = []
    for line in _output([*command, "--format=%i|%T|%k"]).splitlines():
        id_, state, comment = line.strip().split("|", 2)
        found.append(Task(id_, state, comment))
    return found


def last_states(ids: Collection[str]) -> dict[str, str]:
    """How tasks ended, by id, as far as accounting knows; nothing where there is none."""
    if not ids:
        return {}
    command = ["sacct", "--noheader", "--parsable2", "--allocations", "--format=JobID,State"]
    try:
        lines = _output([*command, "--jobs=" + ",".join(ids)]).splitlines()
    except Unreachable:
        return {}
    pairs = (line.split("|") for line in lines if "|" in line)
    # "CANCELLED by 1000"
    return {id_: state.split()[0] for id_, state, *_ in pairs if id_ in ids and state}


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unreachable(f"{command[0]}: {error}") from error
    if done.returncode:
        raise Unreachable(" ".join(done.stderr.split())[:300] or f"{command[0]} failed")
    return done.stdout
