"""The engine of this machine: who runs beside whom, and every way in which a job can end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bench.engines.local import PROCESS_BYTES, LocalEngine, Memory
from bench.engines.process import LOG_KEPT, LOG_LIMIT, Placement
from bench.jobs.memory import predicted_bytes
from bench.jobs.spec import Job
from bench.planning.plan import expand
from bench.planning.suite import Suite
from bench.store import Store
from tests.engines.conftest import NOTHING, OK, Script, place

Jobs = Callable[[int], list[Job]]
Scripted = Callable[[Script], None]

# when it began and ended, and on which GPU
DIARY = f"""
gpu = os.environ.get('CUDA_VISIBLE_DEVICES', '')
begin = time.time(); time.sleep(0.4)
(folder / 'diary').write_text(f'{{begin}} {{time.time()}} {{gpu}}')
{OK}
"""


def diary(store: Store, jobs: list[Job]) -> list[tuple[float, float, str]]:
    lines = [(store.folder(job.key) / "diary").read_text().split() for job in jobs]
    return [(float(begin), float(end), "".join(gpu)) for begin, end, *gpu in lines]


def together(entries: list[tuple[float, float, str]]) -> int:
    """The most that ran at a time."""
    return max(sum(begin <= at < end for begin, end, _ in entries) for at, *_ in entries)


def test_one_job_a_gpu(jobs: Jobs, scripted: Scripted, tmp_path: Path) -> None:
    scripted(lambda job: DIARY)
    store, five = Store(tmp_path), jobs(5)
    engine = LocalEngine(store, Placement(device="cuda"), workers=4, gpus=("3", "5"))
    assert {result.status for result in place(engine, five, store).values()} == {"ok"}
    entries = diary(store, five)
    assert {gpu for *_, gpu in entries} == {"3", "5"} and together(entries) == 2
    for gpu in ("3", "5"):
        assert together([entry for entry in entries if entry[2] == gpu]) == 1


def test_jobs_wait_for_the_memory_that_is_predicted_for_them(
    jobs: Jobs, scripted: Scripted, tmp_path: Path
) -> None:
    """Of 10 GB: 6 and 6 one after the other, 20 never, and what cannot be predicted at once."""
    scripted(lambda job: DIARY)
    needs = {0: 6, 1: 6, 2: 20, 3: None}

    def predicted(job: Job) -> int | None:
        size = needs[job.train_seed]
        return None if size is None else size * 10**9

    store, four = Store(tmp_path), jobs(4)
    memory = Memory(10**10 + PROCESS_BYTES, predicted)
    found = place(LocalEngine(store, Placement(), 4, memory=memory), four, store)
    assert {seed: result.status for seed, result in found.items()} == {
        0: "ok",
        1: "ok",
        2: "out-of-memory",
        3: "ok",
    }
    assert found[2].error == "not started: 20.5 GB predicted, 10.5 GB there"
    assert store.result(four[2].key) == found[2]
    assert together(diary(store, four[:2])) == 1


def test_what_is_timed_runs_alone(jobs: Jobs, scripted: Scripted, tmp_path: Path) -> None:
    scripted(lambda job: DIARY)
    given = {**NOTHING.model_dump(), "measure": ["time"]}
    timed = next(job for job in expand(Suite(**given)).jobs.values() if job.alone)
    store, mixed = Store(tmp_path), [*jobs(2), timed, replace(timed, data_seed=1)]
    place(LocalEngine(store, Placement(), 4), mixed, store)
    first, second, *alone = diary(store, mixed)
    assert together([first, second]) == 2
    assert together(alone) == 1
    for entry in alone:
        assert together([entry, first]) == together([entry, second]) == 1


RAISES = "raise RuntimeError('on purpose')"
GARBAGE = "(folder / 'result.json').write_bytes(b'{garbage')"
CHILD = """
import subprocess
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])
(folder / 'child').write_text(str(child.pid))
"""
FLOOD = f"""
for _ in range(60):
    sys.stdout.write('x' * 999_999 + chr(10)); sys.stdout.flush(); time.sleep(0.01)
print('the end', flush=True)
{OK}
"""
ENDS = {
    "raises": (RAISES, "error", "exit code 1 without a result: RuntimeError: on purpose"),
    "garbage": (GARBAGE, "error", "exit code 0 without a result: nothing in its log"),
    "nothing": ("pass", "error", "exit code 0 without a result: nothing in its log"),
    "hangs": ("time.sleep(60)", "timeout", "stopped after 1.5 s"),
    "dies": ("os.kill(os.getpid(), 9)", "killed", "by SIGKILL"),
    "leaves a child": (CHILD + OK, "ok", ""),
    "floods": (FLOOD, "ok", ""),
    "is well": (OK, "ok", ""),
}


@pytest.mark.parametrize("name", ENDS)
def test_every_end_is_a_result(name: str, jobs: Jobs, scripted: Scripted, tmp_path: Path) -> None:
    script, status, error = ENDS[name]
    scripted(lambda job: script)
    store = Store(tmp_path)
    timeout = 1.5 if name == "hangs" else 30.0
    engine = LocalEngine(store, Placement(timeout=timeout), 1)
    (job,) = jobs(1)
    (found,) = place(engine, [job], store).values()
    assert (found.status, found.error) == (status, error)
    stored = store.result(job.key)
    assert stored is not None and (stored.status, stored.error) == (status, error)
    folder = store.folder(job.key)
    if name == "leaves a child":
        assert ended(int((folder / "child").read_text())), "it outlives its job"
    if name == "floods":
        log = (folder / "log.txt").read_text()
        assert LOG_KEPT < len(log) < LOG_LIMIT + 10**7
        assert "what stood here is left out" in log and log.endswith("the end\n")


def ended(pid: int) -> bool:
    """Whether a process is gone, or only waits for whoever asks how it ended."""
    for _ in range(50):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.1)
    return False


def test_stopping_ends_every_process(jobs: Jobs, scripted: Scripted, tmp_path: Path) -> None:
    scripted(lambda job: "(folder / 'pid').write_text(str(os.getpid())); time.sleep(60)")
    store = Store(tmp_path)
    store.create()
    engine = LocalEngine(store, Placement(), 2)
    for job in jobs(2):
        store.write_job(job.key, job.describe())
        engine.start(job)
    files = [store.folder(job.key) / "pid" for job in jobs(2)]
    while not all(file.exists() and file.read_text() for file in files):
        time.sleep(0.05)
    engine.stop()
    assert not engine.running and all(ended(int(file.read_text())) for file in files)


def test_memory_is_predicted_for_jobs_as_they_are_planned() -> None:
    """A training step needs more than a reconstruction; a seed changes nothing."""
    suite = Suite(
        **{
            **NOTHING.model_dump(),
            "methods": ["zero-filled", {"name": "modl", "config": {"width": 8, "iterations": 2}}],
            "seeds": [0, 1],
        }
    )
    plan = expand(suite)
    sizes: dict[tuple[str, str], set[int | None]] = {}
    for job in plan.jobs.values():
        sizes.setdefault((job.method, job.kind), set()).add(predicted_bytes(job, None))
    (fit,), (evaluate,) = sizes["modl", "fit"], sizes["modl", "evaluate"]
    (nothing,) = sizes["zero-filled", "evaluate"]
    assert fit is not None and evaluate is not None and nothing is not None
    assert fit > 2 * evaluate > evaluate > nothing > 32 * 32 * 8
