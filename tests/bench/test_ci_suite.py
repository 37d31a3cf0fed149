"""The suite `ci` against its committed golden rows: it holds, and planted faults show.

One run of the whole suite, and one of the method at fault for each fault. Faults are planted by a
plugin, which every job imports before its method.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.errors import InputError
from bench.weights import CHECKPOINTS, weights_path

pytestmark = pytest.mark.timeout(900)  # runs of a suite, on a machine that may be busy

# every iteration is the network alone: nothing pulls the image back to the measurements
NO_DATA_CONSISTENCY = """
from baselines.modl import MoDL

MoDL._iterate = lambda self, x, adjoint, physics: x + self.network(x)
"""
HALF_THE_ITERATIONS = """
from baselines import modl

whole = modl.solve_normal_equations


def half(*arguments, max_iter, **options):
    return whole(*arguments, max_iter=max_iter // 2, **options)


modl.solve_normal_equations = half
"""
# parameters get the gradient of one evaluation, as if the fixed point were a constant
DETACHED = """
from methods import equilibrium


def backward(ctx, cotangent):
    return cotangent, None, None, None


equilibrium._ImplicitGradient.backward = staticmethod(backward)
"""


def equibench(*arguments: str | Path) -> tuple[int, str]:
    """Exit code and output of the command."""
    command = [sys.executable, "-m", "bench.cli", *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if name != "EQUIBENCH_DATA"}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True)
    return ran.returncode, ran.stdout + ran.stderr


@pytest.fixture(scope="module")
def golden(repo_root: Path) -> Path:
    return repo_root / "results" / "golden" / "ci"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The suite as it is."""
    folder = tmp_path_factory.mktemp("ci") / "out"
    code, output = equibench("run", "ci", "--out", folder, "--quiet")
    assert code == 0, output
    return folder


def test_the_golden_rows_hold(results: Path, golden: Path) -> None:
    """Within the committed tolerances, on this machine: they are meant for other kinds of CPU.

    PSNR of given weights may move by 0.005 dB: fifty times what adding in another order (SSE
    instead of AVX2) does to it, a hundredth of what half the iterations of a solve do. After a
    training it may move by 0.1 dB; adding in another order moves it by 0.02 dB.
    """
    code, output = equibench("check", results, "--against", golden)
    assert code == 0, output


@pytest.mark.parametrize(
    ("fault", "method", "expected"),
    [
        (NO_DATA_CONSISTENCY, "modl (given)", "evaluate, evaluate: psnr: 4 of 4"),
        (HALF_THE_ITERATIONS, "modl (given)", "evaluate, evaluate: psnr: 4 of 4"),
        (DETACHED, "mol-lr (trained)", "fit, fit: nfe_backward"),
    ],
    ids=["no-data-consistency", "half-the-iterations", "detached-gradient"],
)
def test_a_planted_fault_fails(
    fault: str, method: str, expected: str, golden: Path, tmp_path: Path
) -> None:
    plugin, out = tmp_path / "fault.py", tmp_path / "out"
    plugin.write_text(fault)
    arguments = ("ci", "--out", out, "--quiet", "--plugin", plugin, "--only", method)
    code, output = equibench("run", *arguments)
    assert code == 0, output
    code, output = equibench("check", out, "--against", golden, "--only", method)
    assert code == 1, output
    assert expected in output


def test_checkpoints_are_found_in_the_package_and_nowhere_else() -> None:
    assert weights_path("package:ci/modl.safetensors", None).is_file()
    for name in ("../store.py", "ci/../../store.py", "/etc/passwd", ".."):
        with pytest.raises(InputError, match="leaves the package"):
            weights_path(f"package:{name}", None)
    sizes = {path.name: path.stat().st_size for path in CHECKPOINTS.glob("ci/*.safetensors")}
    assert sizes and max(sizes.values()) < 200_000, sizes
