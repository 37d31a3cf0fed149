"""Commit finished runs: their rows, and the checkpoints of one of them.

    python results/publish.py reference-phantom reference-brain --from results/runs/reference-cpu
    python results/publish.py reference-phantom --from results/runs/reference-cpu --checkpoints

Every suite becomes results/reference/SUITE, a compacted results folder that `equibench report`
reads: rows and jobs (with environment and split hashes) in two Parquet files, each table as CSV,
and images of data whose licence lets them be shown. The second also copies the first seed's
checkpoints to bench/checkpoints/reference, each with a card.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.planning.pretrained import FOLDER
from bench.storage.compaction import compact
from bench.store import UNAVAILABLE, Store, existing
from bench.weights import CHECKPOINTS
from reports import write_report
from reports.folder import load_folder
from reports.licences import licences, pictures_allowed
from reports.suite_results import SuiteResults

REFERENCE = Path(__file__).resolve().parent / "reference"
LEFT = shutil.ignore_patterns("*.safetensors", "log.txt", "progress.json", "perturbations*", ".*")


def main() -> None:
    """Publish the suites that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("suites", nargs="+", metavar="SUITE")
    parser.add_argument("--from", dest="source", type=Path, required=True, metavar="DIR")
    parser.add_argument("--finished", action="store_true", help="leave out what has not finished")
    parser.add_argument("--checkpoints", action="store_true", help="copy those of the first seed")
    given = parser.parse_args()
    source = existing(given.source)
    for suite in given.suites:
        publish(source, suite, REFERENCE / suite, given.finished)
        if given.checkpoints:
            publish_checkpoints(source, suite, CHECKPOINTS / FOLDER)


def publish(source: Store, suite: str, target: Path, finished: bool = False) -> None:
    """One suite of a results folder, as a folder of its own; ``finished``: what there is of it."""
    table = source.suites()[suite]
    keys = {line["job"] for line in table["jobs"]} - {UNAVAILABLE}
    running = {key for key in keys if not (source.finished(key) or _blocked(source, key))}
    if running and not finished:
        sys.exit(f"{suite}: {len(running)} jobs have not finished (see --finished)")
    table = {**table, "jobs": [line for line in table["jobs"] if line["job"] not in running]}
    keys -= running
    results = SuiteResults(load_folder(source.root), suite)
    hidden = {label for label in results.tasks if not pictures_allowed(results, label)}
    first = results.train_seeds[:1]
    shown = {
        line["job"]
        for line in table["jobs"]  # of ablations and later seeds, numbers
        if line["test_task"] not in hidden and not line["settings"] and line["train_seed"] in first
    }
    with tempfile.TemporaryDirectory() as scratch:
        copy = Store(Path(scratch) / "copy")
        copy.create()
        for key in keys:
            shutil.copytree(source.folder(key), copy.folder(key), ignore=LEFT)
            if key not in shown:
                shutil.rmtree(copy.folder(key) / "artifacts", ignore_errors=True)
        copy.write_suite(suite, table)
        done = compact(copy.root, prune=True)
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for part in ("suites", "jobs", "compact"):
            shutil.copytree(copy.root / part, target / part)
    (target / "jobs" / ".keep").touch()  # git has no empty folders
    write_report(target, ["csv"])
    shutil.copytree(target / "report" / suite, target / "tables", ignore=_no_table)
    print(f"{target}: {done.jobs} jobs, {done.rows} rows, {done.size} bytes")


def _no_table(folder: str, names: Iterable[str]) -> list[str]:
    """Rows are there as Parquet; as text they are megabytes."""
    return [name for name in names if not name.endswith(".csv") or name == "rows.csv"]


def _blocked(source: Store, key: str) -> bool:
    """Whether the training failed that the job is of: a line that tables have to show."""
    result = source.result(key)
    return result is not None and result.status == "blocked"


def publish_checkpoints(source: Store, suite: str, folder: Path) -> None:
    """The fits of the first seed, under their methods' names, each with its card."""
    loaded = load_folder(source.root)
    results = SuiteResults(loaded, suite)
    terms = {
        title: part for titles, parts in licences(results) for title in titles for part in parts
    }
    fits = _first_fits(source, suite, min(results.train_seeds))
    folder.mkdir(parents=True, exist_ok=True)
    for method, line in fits.items():
        key, job = line["job"], source.read_job(line["job"])
        file = folder / f"{method}.safetensors"
        shutil.copyfile(source.checkpoint(key), file)
        licence = terms[results.tasks[line["train_task"]].title]
        finals = {m: v for (found, m), v in loaded.finals.items() if found == key}
        card = _card(file, key, job, finals, f"{licence.name}. Terms: {licence.terms}")
        file.with_suffix(".md").write_text(card)
        print(file)


def _first_fits(source: Store, suite: str, seed: int) -> dict[str, dict[str, Any]]:
    """By method, the line of the one training of this seed that ended well and has steps."""
    fits: dict[str, dict[str, Any]] = {}
    for line in source.suites()[suite]["jobs"]:
        trains = line["kind"] in ("fit", "backbone") and line["train_seed"] == seed
        if not trains or not source.checkpoint(line["job"]).exists():
            continue
        job = source.read_job(line["job"])
        if not job.get("settings", {}).get("recipe", {}).get("stages"):
            continue
        if fits.setdefault(job["method"], line)["job"] != line["job"]:
            sys.exit(f"{suite}: two trainings of {job['method']}: one checkpoint is kept of each")
    return fits


def _card(file: Path, key: str, job: dict[str, Any], finals: dict[str, float], data: str) -> str:
    training, recipe = job["settings"]["training"], job["settings"]["recipe"]
    return f"""# {job["method"]}

- **Data:** {job["dataset_label"]}; {data}
- **Task:** `{job["task"]}` {json.dumps(job["task_config"])}; data seed {job["data_seed"]}; split
  SHA-256 {job["split"]}
- **Training:** {training["steps"]} steps, batch {training["batch_size"]}, learning rate
  {recipe["learning_rate"]}, seed {job["train_seed"]}; {finals["train_seconds"]:.0f} s; the best of
  its validations is kept
- **Validation PSNR:** {finals["best_validation_psnr"]:.2f} dB
- **Parameters:** {finals["parameters"]:.0f}
- **Job:** {key}
- **SHA-256:** {hashlib.sha256(file.read_bytes()).hexdigest()}
- **Licence:** MIT, as the project; the data's terms are above
"""


if __name__ == "__main__":
    main()
