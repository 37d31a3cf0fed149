"""Make the checkpoints of the suite `ci`: run `ci-checkpoints`, and copy what was fitted.

    python results/make_ci_checkpoints.py [--out results/runs/ci-checkpoints]

Ten minutes on one core. The golden rows of `ci` have to be made anew afterwards.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import bench
from bench.store import Store, load_suites
from bench.weights import CHECKPOINTS

SUITE = "ci-checkpoints"


def main() -> None:
    """Run the suite and copy the checkpoint of every fit under its method's name."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("results/runs") / SUITE)
    out = parser.parse_args().out
    outcome = bench.run_suite(SUITE, out)
    if not outcome.ok:
        raise SystemExit(f"failed: {outcome.errors}")
    store, folder = Store(out), CHECKPOINTS / "ci"
    folder.mkdir(parents=True, exist_ok=True)
    rows = bench.load_rows(out)
    for line in load_suites(out)[SUITE]["jobs"]:
        if line["kind"] not in ("backbone", "fit"):
            continue
        method = store.read_job(line["job"])["method"]
        file = folder / f"{method}.safetensors"
        shutil.copyfile(store.checkpoint(line["job"]), file)
        mine = rows[(rows.job == line["job"]) & (rows.metric == "best_validation_psnr")]
        print(f"| {file.name} | {file.stat().st_size / 1024:.0f} | {mine.value.item():.2f} |")


if __name__ == "__main__":
    main()
