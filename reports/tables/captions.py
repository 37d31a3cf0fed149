"""What a table must say about its numbers: data, protocol, noise, subjects, seeds."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from bench.statistics import MIN_SUBJECTS
from reports.suite_results import SuiteResults, TaskInfo


def data_caption(results: SuiteResults) -> list[str]:
    """The tasks, what is trained on, the protocol, the training seeds and the suite's note."""
    lines = []
    for task in results.test_tasks:
        subjects, samples = subject_counts(results, task)
        size = "no results"
        if subjects:
            size = f"{counted(subjects, 'subject')}, {counted(samples, 'image')}"
        lines.append(describe(task, size))
    for label in dict.fromkeys((*results.train_tasks, *results.trained_for.values())):
        task = results.tasks[label]
        if task not in results.test_tasks:
            parts = (task.title, task.fallback, _measurements(task), "for training only")
            lines.append(f"{label}: {'; '.join(part for part in parts if part)}.")
    if len(results.train_tasks) == 1:
        lines.append(f"Trained on {results.train_tasks[0]}.")
    if results.trained_for:
        lines.append(_trained_for(results))
    if any("phantom" in str(task.config.get("dataset", "")) for task in results.test_tasks):
        lines.append("Phantom subjects share one anatomy.")
    lines += [*protocols(results), _seeds(results)]
    return [*lines, *([sentence(results.note)] if results.note else [])]


def subject_counts(results: SuiteResults, task: TaskInfo) -> tuple[set[int], set[int]]:
    """Numbers of subjects and of samples that the methods were scored on: one each, if all ran."""
    subjects, samples = set(), set()
    for line in results.lines:
        outcome = results.outcome(line, task.label, "psnr")
        if outcome.summary:
            subjects.add(outcome.summary.n)
            samples.add(outcome.samples)
    return subjects, samples


def spread_caption(results: SuiteResults) -> list[str]:
    """How the numbers are averaged, and where there are too few subjects for a spread."""
    first = "slices and training seeds" if len(results.train_seeds) > 1 else "slices"
    lines = [f"Means over subjects (each subject's {first} first)."]
    counts = [max(subject_counts(results, task)[0], default=0) for task in results.test_tasks]
    if any(n >= MIN_SUBJECTS for n in counts):
        lines.append("±: standard deviation over subjects, not a confidence interval.")
    if any(0 < n < MIN_SUBJECTS for n in counts):
        few = f"Fewer than {MIN_SUBJECTS} subjects: no spread"
        listed = any(1 < n < MIN_SUBJECTS for n in counts)
        lines.append(
            few + ("; each subject's value is in the table “subjects”." if listed else ".")
        )
    return lines


def flags_caption(results: SuiteResults) -> list[str]:
    """What the run itself found odd about trainings and evaluations."""
    rows = results.folder.rows
    labels = {entry.job: entry.method for entry in results.entries if entry.kind != "measure"}
    flagged = rows[(rows["flag"] != "") & rows["job"].isin(set(labels))]
    lines: dict[str, int] = {}
    for job, metric, flag in zip(flagged["job"], flagged["metric"], flagged["flag"], strict=True):
        text = f"{labels[job]}, {metric}: {flag}"
        lines[text] = lines.get(text, 0) + 1
    return [f"Flagged: {text} ({count} rows)." for text, count in lines.items()]


def describe(task: TaskInfo, size: str) -> str:
    """A task in a sentence; ``size``: how much of it was used."""
    parts = [
        "" if task.title == task.label else task.title,
        task.dataset,
        task.fallback,
        _measurements(task),
        size,
    ]
    if left_out := len(task.config.get("exclude") or ()):
        noun = "subject" if left_out == 1 else "subjects"
        parts.append(f"{left_out} {noun} left out for files that could not be used")
    return f"{task.label}: {'; '.join(part for part in parts if part)}."


def _measurements(task: TaskInfo) -> str:
    """Coils, noise and acceleration, as far as the task has them."""
    config, parts = task.config, []
    kind = str(config.get("measurements", ""))
    said = "simulated" in task.dataset or "acquired" in task.dataset
    if not said and (kind or "coils" in config):
        parts.append(
            f"{'' if kind == 'acquired' else config.get('coils', '')} {kind} coils".strip()
        )
    if kind == "acquired":
        parts.append("the scan's own noise")
    elif config.get("noise") is not None:
        parts.append(f"noise {_plain(config['noise'])}")
    if config.get("acceleration") is not None:
        parts.append(
            f"{_plain(config['acceleration'])}x {config.get('mask', '')} mask".replace("  ", " ")
        )
    return ", ".join(parts)


def _plain(value: Any) -> str:
    """A number as one writes it; a pair as a range."""
    if isinstance(value, list | tuple):
        return " to ".join(_plain(part) for part in value)
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _trained_for(results: SuiteResults) -> str:
    if all(test == train for test, train in results.trained_for.items()):
        return "Trained for each column on the task that is tested there."
    tested: dict[str, list[str]] = {}
    for task in results.test_tasks:
        tested.setdefault(results.trained_for[task.label], []).append(task.label)
    parts = [f"{train} for {' and '.join(columns)}" for train, columns in tested.items()]
    return f"Trained on {'; '.join(parts)}."


def protocols(results: SuiteResults, labels: Collection[str] | None = None) -> list[str]:
    """One sentence if all tasks are scored alike, else one a task; rows that differ are named.

    ``labels``: of the tasks that it is about, if not all.
    """
    tasks = [task for task in results.test_tasks if labels is None or task.label in labels]
    found = {task.label: _protocol(results, task) for task in tasks}
    if len(set(found.values())) == 1:
        return [f"Scored on: {next(iter(found.values()))}."]
    return [f"{label} scored on: {protocol}." for label, protocol in found.items()]


def _protocol(results: SuiteResults, task: TaskInfo) -> str:
    keys = {e.job for e in results.entries if e.test_task == task.label}
    rows = results.folder.rows
    rows = rows[rows["job"].isin(keys) & (rows["metric"] == "psnr")]
    # the suite's word for it only where there are no rows
    protocols = sorted({str(protocol) for protocol in rows["protocol"]} - {""}) or [task.protocol]
    several = len(protocols) > 1
    return "DIFFERENT PROTOCOLS: " + " / ".join(protocols) if several else protocols[0]


def _seeds(results: SuiteResults) -> str:
    """The training seeds, and the lines that have fewer."""
    seeds = results.train_seeds
    if not seeds:
        return "No training seeds."
    if len(seeds) == 1:
        return f"One training seed ({seeds[0]})."
    own = [(results.label(line), results.seeds_of(line)) for line in results.lines]
    told = f"Means over {len(seeds)} training seeds ({_listed(seeds)})"
    return "; ".join([told, *fewer_seeds(seeds, own)]) + "."


def fewer_seeds(seeds: Sequence[int], own: Iterable[tuple[str, Sequence[int]]]) -> list[str]:
    """Labels whose training seeds are not all of ``seeds``, with those that they have."""
    fewer: dict[tuple[int, ...], dict[str, None]] = {}
    for label, has in own:
        if has and tuple(has) != tuple(seeds):
            fewer.setdefault(tuple(has), {})[label] = None
    return [f"of {', '.join(labels)} only {_listed(has)}" for has, labels in fewer.items()]


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))


def counted(values: set[int], noun: str) -> str:
    """A count with its noun, or the range of several."""
    low, high = min(values), max(values)
    text = str(low) if low == high else f"{low} to {high}"
    return f"{text} {noun}" + ("" if high == 1 else "s")


def sentence(text: str) -> str:
    """The text in one line, with a full stop."""
    text = " ".join(text.split())
    return text if text.endswith((".", "!", "?")) else text + "."
