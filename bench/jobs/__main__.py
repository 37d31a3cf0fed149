"""Run one job of a results folder, in this process: ``python -m bench.jobs ROOT KEY``."""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path

from bench.errors import Diverged, InputError
from bench.storage.files import remove_leftovers
from bench.store import Result, Store, write_atomic


def main() -> int:
    """Run the job and write how it ended; 0 if it ended well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("key")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--plugin", type=Path, action="append", default=[])
    parser.add_argument("--deterministic", action="store_true")
    arguments = parser.parse_args()
    _die_with_parent()
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # Slurm's warning is for whoever has started us
    if arguments.deterministic:
        _choose_deterministic_algorithms()

    import torch

    torch.set_num_threads(arguments.threads)
    store = Store(arguments.root)
    with store.lock_job(arguments.key):
        return _run_once(store, arguments)


def _run_once(store: Store, arguments: argparse.Namespace) -> int:

    from bench import environment, registry

    if store.finished(arguments.key):  # by a process that held the lock before this one
        return 0
    remove_leftovers(store.folder(arguments.key))
    for stale in ("result.json", "progress.json"):
        (store.folder(arguments.key) / stale).unlink(missing_ok=True)
    started, status, message, parameters = time.monotonic(), "ok", "", None
    try:
        for plugin in arguments.plugin:
            registry.add_plugin(plugin)
        parameters = _run(store, arguments)
    except Diverged as error:
        status, message = "diverged", str(error)
    except InputError as error:
        status, message = "error", str(error)
    except Exception as error:
        traceback.print_exc()
        status = "out-of-memory" if _is_out_of_memory(error) else "error"
        message = _one_line(error)
    if message:
        print(f"{status}: {message}", file=sys.stderr)
    seconds = time.monotonic() - started
    described = environment.describe(arguments.device)
    store.write_result(arguments.key, Result(status, message, seconds, parameters, described))
    return 0 if status == "ok" else 1


def _run(store: Store, arguments: argparse.Namespace) -> int:
    from bench.jobs.common import Context
    from bench.jobs.evaluate import evaluate
    from bench.jobs.fit import fit
    from bench.jobs.measure import measure
    from bench.jobs.spec import Job

    job = Job.read(store.read_job(arguments.key))
    context = Context(store, arguments.data, arguments.device)
    report = _Reporter(store.folder(job.key) / "progress.json")
    return {"fit": fit, "evaluate": evaluate, "measure": measure}[job.kind](job, context, report)


def _die_with_parent() -> None:
    """Where the system can do it (Linux), end this process when whoever placed it is killed."""
    pr_set_pdeathsig = 1
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    parent = os.environ.get("EQUIBENCH_PARENT")
    if parent is not None and int(parent) != os.getppid():  # it was killed before this could ask
        sys.exit("whoever has started this job is gone")


def _choose_deterministic_algorithms() -> None:
    """The same bits every time on CUDA too; operations that have no such algorithm raise."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # before CUDA starts

    import torch

    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False


class _Reporter:
    """Writes the share done where the coordinator looks for it, twice a second at most."""

    def __init__(self, path: Path) -> None:
        self.path, self.last = path, 0.0

    def __call__(self, share: float, text: str) -> None:
        if time.monotonic() - self.last > 0.5:
            self.last = time.monotonic()
            content = {"share": round(share, 4), "text": text}
            write_atomic(self.path, json.dumps(content).encode())


def _is_out_of_memory(error: Exception) -> bool:
    import torch

    # torch has a type for it on devices, and only a message on the CPU
    on_cpu = isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
    return on_cpu or isinstance(error, MemoryError | torch.OutOfMemoryError)


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


if __name__ == "__main__":
    sys.exit(main())
