"""What a CUDA device says of the steps whose memory is predicted, each in a process of its own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from bench.measure.memory import StepConfig, prepared
from bench.measure.phases import TrainingStep, sample_batch, step_of
from bench.measure.question import Measured, Subject
from bench.objective import on_device
from bench.reconstructor import Recipe, Reconstructor, ReconstructorConfig
from bench.task import Task

VERIFYING_STEPS = 3


@dataclass(frozen=True)
class Request:
    """Everything that a new process needs to run a step."""

    method: type[Reconstructor]
    config: ReconstructorConfig
    recipe: Recipe
    task: Task
    step: StepConfig
    batch: int
    device: str
    limit: int | None = None
    steps: int = 1


def request(subject: Subject, step: StepConfig, batch: int) -> Request:
    """The subject's step at a batch."""
    method = subject.method
    return Request(
        type(method), method.config, subject.recipe, subject.task, step, batch, subject.device
    )


def measured_peaks(
    subject: Subject, step: StepConfig, batch: int, condition: Mapping[str, Any], predicted: int
) -> Iterator[Measured]:
    """Rows of a step after a warm-up: allocated, reserved, used on the device; and the ratio."""
    answer = in_new_process(request(subject, step, batch))
    how = {**condition, "cudnn_benchmark": False, "warm_up": 1}
    if answer.get("out_of_memory"):
        yield Measured(
            "allocated_peak", float("nan"), "bytes", step.phase, how, flag="out of memory"
        )
        return
    for name in ("allocated_peak", "reserved_peak", "device_used"):
        yield Measured(name, answer[name], "bytes", step.phase, how)
    ratio = answer["allocated_peak"] / predicted
    yield Measured("allocated_over_predicted", ratio, "", step.phase, how)


def verified(
    subject: Subject, step: StepConfig, largest: int, limit: int, condition: Mapping[str, Any]
) -> Measured:
    """The largest batch that runs, looked for from the predicted one; the next one fails.

    Under a limit of the allocator's, set before anything is allocated: an emulated GPU.
    """

    def runs(size: int) -> bool:
        asked = replace(request(subject, step, size), limit=limit, steps=VERIFYING_STEPS)
        return not in_new_process(asked).get("out_of_memory", False)

    found = max(1, largest)
    if runs(found):
        while found < condition["most"] and runs(found + 1):
            found += 1
    else:
        while found > 0 and not runs(found):
            found -= 1
    how = {**condition, "how": "emulated", "steps": VERIFYING_STEPS}
    return Measured("largest_batch", found, "samples", "fit", how)


def in_new_process(asked: Request) -> dict[str, Any]:
    """Run a request in a fresh process: no cached blocks, no workspaces of other steps.

    Raises:
        RuntimeError: the process ended without an answer.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(sender, asked))
    process.start()
    sender.close()
    try:
        answer: dict[str, Any] = receiver.recv()
    except EOFError as error:
        process.join()
        raise RuntimeError(f"the measuring process ended with {process.exitcode}") from error
    process.join()
    if "error" in answer:
        raise RuntimeError(answer["error"])
    return answer


def _answer(sender: Any, asked: Request) -> None:
    try:
        sender.send(_run(asked))
    except torch.OutOfMemoryError:
        sender.send({"out_of_memory": True})
    except Exception as error:
        sender.send({"error": f"{type(error).__name__}: {error}"})


def _run(asked: Request) -> dict[str, Any]:
    on_cuda = asked.device != "cpu"
    torch.backends.cudnn.benchmark = False
    if on_cuda and asked.limit is not None:
        total = torch.cuda.get_device_properties(asked.device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, asked.limit / total))
    method = asked.method(asked.config).to(asked.device).train()
    batch = sample_batch(asked.task, asked.batch, asked.step.phase)
    batch = on_device(batch, torch.device(asked.device))
    if asked.steps > 1:
        training = TrainingStep(method, asked.recipe, asked.step.penalty)
        for _ in range(asked.steps):
            training(batch)
        return {"steps": asked.steps}
    method = prepared(method, asked.step)
    step = step_of(asked.step.phase, asked.recipe, asked.step.penalty)
    step(method, batch.physics, batch.y, batch.x)  # libraries take their workspaces
    if not on_cuda:
        return {"steps": 2}
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    step(method, batch.physics, batch.y, batch.x)
    torch.cuda.synchronize()
    free, total = torch.cuda.mem_get_info()
    return {
        "allocated_peak": torch.cuda.max_memory_allocated(),
        "reserved_peak": torch.cuda.max_memory_reserved(),
        "device_used": total - free,
    }
