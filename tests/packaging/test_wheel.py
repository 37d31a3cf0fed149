"""The wheel holds what git holds, and works where the repository is out of reach.

The four import packages have generic names, so the point is that the installed ones are found: the
wheel goes into an environment of its own, and its command runs from another folder. That
environment sees the dependencies of the running one, so nothing is downloaded.
"""

from __future__ import annotations

import configparser
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGES = ("bench", "methods", "baselines", "reports")
NOT_SHIPPED = (".md",)  # notes for readers of the source


def source_files(repo_root: Path) -> list[str]:
    """Files of the four packages as git knows them, or all of them outside a checkout."""
    listing = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "--", *PACKAGES],
        cwd=repo_root,
        capture_output=True,
        text=True,
    )
    names = listing.stdout.splitlines() or [
        path.relative_to(repo_root).as_posix()
        for package in PACKAGES
        for path in (repo_root / package).rglob("*")
        if "__pycache__" not in path.parts
    ]
    return sorted(name for name in names if (repo_root / name).is_file())


@pytest.fixture(scope="module")
def wheel(repo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy, so that no leftover in build/ gets in."""
    copy = tmp_path_factory.mktemp("source")
    for name in ["pyproject.toml", "README.md", "LICENSE", *source_files(repo_root)]:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(repo_root / name, copy / name)
    # What must stay out, should the package search ever widen.
    for name in ["tests/__init__.py", "tests/bench/__init__.py", "results/__init__.py"]:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).touch()

    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out)]
    built = subprocess.run([*command, str(copy)], capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = out.glob("equibench-*.whl")
    return path


@dataclass(frozen=True)
class Installation:
    """An environment that holds the wheel, and a folder to run from."""

    environment: Path
    folder: Path

    def run(self, program: str, *arguments: str) -> str:
        hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
        result = subprocess.run(
            [self.environment / "bin" / program, *arguments],
            cwd=self.folder,
            env={name: value for name, value in os.environ.items() if name not in hidden},
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout


@pytest.fixture(scope="module")
def installation(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    environment = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = str(environment / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--python", python]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)], check=True)

    # Only now the dependencies, or pip would take an editable install among them for the wheel.
    # Python does not read the .pth files of a folder added so, and an editable install is one.
    (site_packages,) = environment.glob("lib/python3.*/site-packages")
    paths = sysconfig.get_paths()
    folders = dict.fromkeys([paths["purelib"], paths["platlib"]])
    (site_packages / "dependencies.pth").write_text("".join(f"{path}\n" for path in folders))
    return Installation(environment, tmp_path_factory.mktemp("elsewhere"))


def test_wheel_holds_the_packages_with_their_data_and_nothing_else(
    repo_root: Path, wheel: Path
) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = {name for name in source_files(repo_root) if not name.endswith(NOT_SHIPPED)}

    assert {name.split("/")[0] for name in names} == set(PACKAGES)
    assert sorted(expected - names) == [], "add an __init__.py, or a pattern to package-data"
    assert sorted(names - expected) == []


def test_wheel_declares_the_command_and_the_plugins(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/entry_points.txt"))
        declared = configparser.ConfigParser()
        declared.read_string(archive.read(name).decode())
    assert dict(declared["console_scripts"]) == {"equibench": "bench.cli:main"}
    assert dict(declared["equibench.plugins"]) == {
        "tasks": "bench.tasks",
        "methods": "methods",
        "baselines": "baselines",
    }


def test_the_installed_packages_are_the_ones_imported(installation: Installation) -> None:
    code = (
        "import importlib, json\n"
        f"modules = map(importlib.import_module, {(*PACKAGES, 'bench.cli')!r})\n"
        "print(json.dumps([module.__file__ for module in modules]))"
    )
    for origin in json.loads(installation.run("python", "-c", code)):
        assert Path(origin).is_relative_to(installation.environment)


def test_the_installed_command_works_from_another_folder(installation: Installation) -> None:
    assert "run" in installation.run("equibench", "--help")
    assert "sense" in json.dumps(
        json.loads(installation.run("equibench", "list", "methods", "--json"))
    )
    assert not list(installation.folder.iterdir())


def test_the_installed_command_finds_its_suites(installation: Installation) -> None:
    assert "quick" in json.dumps(
        json.loads(installation.run("equibench", "list", "suites", "--json"))
    )
