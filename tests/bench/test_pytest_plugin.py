"""The fixture for other repositories, in a pytest of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bench import golden

OWN = '''
from bench.reconstructor import Reconstruction, Reconstructor


class Own(Reconstructor):
    """The adjoint image, made fainter."""

    name, family, paper = "own", "test", "-"

    def reconstruct(self, y, physics, x0=None):
        return Reconstruction(FACTOR * physics.A_adjoint(y))
'''


def test_the_fixture_for_other_repositories(tmp_path: Path, repo_root: Path) -> None:
    """pytest in a folder of its own: golden rows are made, and tell a change from what stayed."""
    (tmp_path / "tiny.yaml").write_text(
        "name: tiny\n"
        "tasks: {small: {task: mri-multicoil, config: {size: 32, coils: 3}}}\n"
        "train_on: [small]\n"
        "methods: [zero-filled]\n"
        "evaluate: {samples: 2, artifacts: 0}\n"
    )
    (tmp_path / "test_own.py").write_text(
        "def test_own(equibench_check):\n"
        '    equibench_check("tiny.yaml", "golden", plugins=["own.py"], methods=["own"])\n'
    )

    def run(factor: float, *options: str) -> tuple[int, str]:
        (tmp_path / "own.py").write_text(OWN.replace("FACTOR", str(factor)))
        # by name, so that it is the fixture of this checkout whatever is installed
        command = [sys.executable, "-m", "pytest", "-q", "-p", "bench.pytest_plugin", *options]
        environment = os.environ | {
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONPATH": str(repo_root),
        }
        ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        return ran.returncode, ran.stdout

    code, output = run(1.0, "--equibench-update")
    assert code == 0, output
    known = golden.read_rows(tmp_path / "golden")
    assert {place.job.method for place in known} == {"own"}
    code, output = run(0.5)
    assert code == 1 and "regression: own on small, evaluate, evaluate: psnr: 2 of 2" in output
    assert f"{len(known)} rows compared" in output and "parameters" not in output


def test_the_plugin_loads_nothing_heavy(repo_root: Path) -> None:
    code = "import sys, bench.pytest_plugin\n"
    code += "print([m for m in ('torch', 'pandas', 'typer', 'bench.store') if m in sys.modules])"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=repo_root, capture_output=True, text=True
    )
    assert ran.stdout.strip() == "[]", ran.stdout + ran.stderr
