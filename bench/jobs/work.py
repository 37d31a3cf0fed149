"""How long a job may take, in units of an optimiser step, before anything was measured."""

from __future__ import annotations

from bench.jobs.spec import Job

EVALUATION, START = 9.0, 5.0  # some thirty images; a process that imports torch


def work(job: Job) -> float:
    """A guess from what the job is."""
    if job.kind != "fit":
        return START + EVALUATION
    trained = bool(job.settings["recipe"]["stages"])
    return START + (float(job.settings["training"]["steps"]) if trained else 0.0)
