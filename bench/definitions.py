"""Versions of the code that determines numbers, for job keys.

``definitions.json`` holds a version and a hash of the source (without comments, docstrings and
layout) of every module that numbers depend on. A job's key takes the versions of the modules that
its method, task and measurements import, directly or not. CI fails when a source changed and the
lock did not: then either the numbers changed and the version must rise, or they did not and the new
source is accepted under the old version.

    python -m bench.definitions --check
    python -m bench.definitions --bump MODULE ...     numbers changed
    python -m bench.definitions --accept MODULE ...   they did not: say why in the commit
"""

from __future__ import annotations

import argparse
import ast
import functools
import hashlib
import importlib.util
import json
import sys
from collections.abc import Iterable
from pathlib import Path

LOCK = Path(__file__).with_name("definitions.json")
PACKAGES = ("bench", "methods", "baselines")
ROOTS = ("bench.training", "bench.jobs.fit", "bench.jobs.evaluate", "bench.jobs.measure")
# these carry configurations, results, files and imports about, or refuse them; they compute nothing
INFRASTRUCTURE = {
    "bench",
    "bench.config",
    "bench.data.archives",
    "bench.data.contained",
    "bench.data.hdf5",
    "bench.data.inflation",
    "bench.deepinv_import",
    "bench.definitions",
    "bench.environment",
    "bench.errors",
    "bench.jobs",
    "bench.jobs.spec",
    "bench.measure.questions",
    "bench.printable",
    "bench.registry",
    "bench.resume",
    "bench.safe_yaml",
    "bench.store",
    "bench.text_input",
    "methods",
    "baselines",
}


def versions(roots: Iterable[str]) -> dict[str, str]:
    """Version of every module that ``roots`` import, themselves included.

    Modules that the lock does not know (plugins) stand with the hash of their source.
    """
    lock = _lock()
    return {
        module: f"v{lock[module]['version']}" if module in lock else source_hash(module)
        for module in _modules_of(frozenset(roots))
    }


@functools.cache
def _modules_of(roots: frozenset[str]) -> tuple[str, ...]:
    return tuple(sorted(set().union(*(_closure(root) for root in roots))))


def changed() -> list[str]:
    """Modules whose source differs from the lock, new and vanished ones included."""
    lock, modules = _lock(), _all_modules()
    current = {module: source_hash(module) for module in modules}
    recorded = {module: entry["source"] for module, entry in lock.items()}
    return sorted(m for m in {*current, *recorded} if current.get(m) != recorded.get(m))


def source_hash(module: str) -> str:
    """Hash of a module's syntax tree without docstrings."""
    tree = ast.parse(_path(module).read_text())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list) or not body or not isinstance(body[0], ast.Expr):
            continue
        if isinstance(body[0].value, ast.Constant) and isinstance(body[0].value.value, str):
            del body[0]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]


def _all_modules() -> set[str]:
    from bench import registry
    from bench.measure.questions import QUESTIONS

    questions = [question.module for question in QUESTIONS.values()]
    classes = [*registry.methods().values(), *registry.tasks().values()]
    ours = [c.__module__ for c in classes if c.__module__.partition(".")[0] in PACKAGES]
    return set().union(*(_closure(root) for root in (*ROOTS, *questions, *ours)))


@functools.cache
def _closure(root: str) -> frozenset[str]:
    found: set[str] = set()
    waiting = [root]
    while waiting:
        module = waiting.pop()
        if module in found or module in INFRASTRUCTURE:
            continue
        found.add(module)
        waiting += _imports(module)
    return frozenset(found)


@functools.cache
def _imports(module: str) -> tuple[str, ...]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(_path(module).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    ours = {name for name in names if name.partition(".")[0] in PACKAGES}
    return tuple(sorted(name for name in ours if _is_module(name)))


@functools.cache
def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ModuleNotFoundError, AttributeError):
        return False


@functools.cache
def _path(module: str) -> Path:
    loaded = sys.modules.get(module)
    file = getattr(loaded, "__file__", None)
    if file is None:
        spec = importlib.util.find_spec(module)
        file = spec.origin if spec else None
    if file is None:
        raise ModuleNotFoundError(module)
    return Path(file)


def _lock() -> dict[str, dict[str, str | int]]:
    return _read(LOCK, LOCK.stat().st_mtime_ns) if LOCK.exists() else {}


@functools.lru_cache(maxsize=1)  # a plan asks for every one of its lines
def _read(path: Path, written: int) -> dict[str, dict[str, str | int]]:
    entries: dict[str, dict[str, str | int]] = json.loads(path.read_bytes())
    return entries


def _update(modules: list[str], bump: bool) -> None:
    lock, existing = dict(_lock()), _all_modules()
    for module in modules:
        if module not in existing:
            lock.pop(module, None)
            continue
        version = int(lock.get(module, {"version": 0 if bump else 1})["version"])
        lock[module] = {"version": version + bump, "source": source_hash(module)}
    LOCK.write_text(json.dumps(lock, indent=1, sort_keys=True) + "\n")


def main() -> int:
    """Check or change the lock; 1 if a source differs from it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="fail where a source differs")
    parser.add_argument("--bump", nargs="+", default=[], metavar="MODULE", help="numbers changed")
    parser.add_argument("--accept", nargs="+", default=[], metavar="MODULE", help="they did not")
    arguments = parser.parse_args()
    _update(arguments.bump, bump=True)
    _update(arguments.accept, bump=False)
    different = changed()
    for module in different:
        print(f"{module}: its source differs from the lock (use --bump or --accept)")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
