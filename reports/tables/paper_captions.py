"""What a paper's table must say where it stands beside ours: whose data, scored how, how much."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bench.statistics import MIN_SUBJECTS
from reports.published import PROTOCOLS
from reports.suite_results import SuiteResults, TaskInfo
from reports.tables.captions import counted, describe, protocols, spread_caption, subject_counts
from reports.tables.paper_layout import Layout, Place, row_of
from reports.tables.reproduced import METRICS

LABEL = (
    "Rows and columns as in the paper. paper: as published; ours: reproduced; difference: ours "
    "less the paper's, for orientation and never a pass or fail."
)
SCORES = ("psnr", "ssim", "data fidelity")


def paper_caption(results: SuiteResults, layout: Layout, below: bool) -> list[str]:
    """Everything that differs from the paper; ``below``: whether there are further lines."""
    lines = [LABEL, *_data(results, layout)]
    if results.scale and results.scale != "paper":
        lines.append(f"Scale {results.scale}: smaller and shorter than the paper's.")
    lines += _scoring(results, layout)
    for metric in layout.metrics:
        if METRICS[metric].about:
            lines.append(f"Ours, {metric}: {METRICS[metric].about}.")
    lines += _notes(layout)
    if layout.ambiguous:
        labels = ", ".join(layout.ambiguous)
        lines.append(f"Left out, for several columns of the paper fit: {labels}.")
    if layout.outside:
        lines.append(f"No columns of the paper: {', '.join(layout.outside)}.")
    if below:
        lines.append("Below the paper's methods: lines that it does not have.")
    return lines


def _data(results: SuiteResults, layout: Layout) -> list[str]:
    """Each place of the paper, and what stands for it here."""
    lines, missing = [], []
    for place in layout.places:
        for task in layout.tasks[place]:
            ours = describe(task, _size(results, task)).rstrip(".")
            if layout.overall:
                lines.append(f"Here: {ours}.")
                continue
            theirs = ", ".join(part for part in (place.dataset, place.condition) if part)
            other = task.name != place.task
            theirs += f" ({place.task})" if other else ""
            alike = _same_data(place, task) and not other
            text = f"published on {theirs}; here {ours}."
            lines.append(f"P{text[1:]}" if alike else f"Other data: {text}")
        if not layout.tasks[place]:
            missing.append(layout.heading(place) or place.name)
    return lines + ([f"Not run here: {'; '.join(missing)}."] if missing else [])


def _same_data(place: Place, task: TaskInfo) -> bool:
    """Whether ours is called by every word of the paper's dataset; what stands in for it is not."""
    ours = " ".join([task.dataset, *(str(task.config.get(k) or "") for k in ("file", "folder"))])
    known = set(re.findall("[a-z]+[0-9]*|[0-9]+", ours.lower()))
    return not task.fallback and set(re.findall("[a-z]+[0-9]*|[0-9]+", place.name.lower())) <= known


def _size(results: SuiteResults, task: TaskInfo) -> str:
    subjects, samples = subject_counts(results, task)
    if not subjects:
        return ""
    return f"{counted(subjects, 'subject')}, {counted(samples, 'image')}"


def _scoring(results: SuiteResults, layout: Layout) -> list[str]:
    """Protocols, trainings and averages, where images are scored."""
    if not set(SCORES) & set(layout.metrics):
        return []
    paper = layout.items[0].paper
    lines = [f"Protocol of the paper: {PROTOCOLS.get(paper, 'not recorded')}."]
    tasks = [task for place in layout.places for task in layout.tasks[place]]
    if not tasks:
        return lines
    ours = protocols(results, [task.label for task in tasks])
    # a task's label stays as it is
    lines += [f"Ours: {re.sub('^Scored', 'scored', text)}" for text in ours]
    if len(results.train_tasks) == 1:
        lines.append(f"Ours: trained on {results.train_tasks[0]}.")
    return lines + _spread(results, tasks)


def _spread(results: SuiteResults, tasks: Sequence[TaskInfo]) -> list[str]:
    seeds = results.train_seeds
    named = f"; training seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
    lines = [f"Ours: {spread_caption(results)[0].rstrip('.').lower()}{named if seeds else ''}."]
    counts = [n for task in tasks for n in subject_counts(results, task)[0]]
    if any(n >= MIN_SUBJECTS for n in counts):
        drawn = "subjects and training seeds" if len(seeds) > 1 else "subjects"
        lines.append(f"In brackets: 95 % interval of our mean over {drawn} (bootstrap).")
    if any(n < MIN_SUBJECTS for n in counts):
        lines.append(f"Fewer than {MIN_SUBJECTS} subjects: no interval.")
    return lines


def _notes(layout: Layout) -> list[str]:
    """What the published numbers come with."""
    lines = ["±: as published."] if any(item.std is not None for item in layout.items) else []
    with_number = [item for item in layout.items if item.note and item.value is not None]
    for note in dict.fromkeys(item.note for item in with_number):
        items = [item for item in with_number if item.note == note]
        rows = ", ".join(dict.fromkeys(row_of(item).label for item in items))
        if items[0].damaged:
            lines.append(f"! {rows}: {note}; no difference is taken.")
        elif len(items) == len(layout.items):
            lines.append(f"Published numbers: {note}.")
        else:
            where = ", ".join(dict.fromkeys(item.dataset for item in items))
            lines.append(f"Published numbers, {where}: {note}.")
    return lines
