"""deepinv imports beside any build of torchvision, and only the one known failure is cured."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

KNOWN = "operator torchvision::nms does not exist"


def run_python(code: str, *path: Path) -> subprocess.CompletedProcess[str]:
    """Run `code` in a fresh interpreter that looks for modules in `path` first."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path))},
        capture_output=True,
        text=True,
    )


def fake_torchvision(folder: Path, source: str) -> Path:
    package = folder / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text(source)
    return folder


def test_deepinv_imports_and_the_cure_is_used_only_where_needed(repo_root: Path) -> None:
    plain = run_python("import torchvision")
    ours = run_python(
        "from bench.deepinv_import import cured, deepinv\n"
        "import torchvision.transforms\n"
        "print(cured, deepinv.__name__)",
        repo_root,
    )

    assert ours.returncode == 0, ours.stderr
    if plain.returncode == 0:
        assert ours.stdout.split() == ["False", "deepinv"]
    else:
        assert KNOWN in plain.stderr
        assert ours.stdout.split() == ["True", "deepinv"]


def test_the_compiler_is_imported_when_it_is_needed(repo_root: Path) -> None:
    """And is torch's own then, also for the function of torchvision's that asked for it."""
    result = run_python(
        "import sys\n"
        "from bench.deepinv_import import deepinv\n"
        "import bench.jobs.evaluate, bench.jobs.measure\n"
        "assert not [name for name in sys.modules if name.startswith('torch._dynamo')]\n"
        "import torch, torchvision\n"
        "ours = torchvision.ops.roi_align.__globals__['is_compile_supported']('cpu')\n"
        "from torch._dynamo.utils import is_compile_supported\n"
        "assert ours == is_compile_supported('cpu')\n"
        "doubled = torch.compile(lambda x: 2 * x, backend='eager')\n"
        "print(float(doubled(torch.ones(()))), torch._dynamo.__file__ is not None)",
        repo_root,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["2.0", "True"]


def test_a_second_call_changes_nothing(repo_root: Path) -> None:
    result = run_python(
        "from bench import deepinv_import as module\n"
        "assert module.cure_torchvision() is module.cured",
        repo_root,
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("error", ["RuntimeError", "ImportError", "OSError"])
def test_any_other_failure_passes_through(repo_root: Path, tmp_path: Path, error: str) -> None:
    fake = fake_torchvision(tmp_path, f"raise {error}('something else is broken')\n")
    result = run_python("import bench.deepinv_import", fake, repo_root)
    assert result.returncode != 0
    assert result.stderr.rstrip().endswith(f"{error}: something else is broken")


def test_a_failure_that_the_cure_does_not_mend_passes_through(
    repo_root: Path, tmp_path: Path
) -> None:
    fake = fake_torchvision(tmp_path, f"raise RuntimeError('{KNOWN}')\n")
    result = run_python("import bench.deepinv_import", fake, repo_root)
    assert result.returncode != 0
    assert result.stderr.rstrip().endswith(f"RuntimeError: {KNOWN}")
