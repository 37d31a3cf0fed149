"""How much worse images get when measurements are perturbed, adversarially and by noise."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from reports.folder import Reading
from reports.measurements import Answer, answers
from reports.suite_results import SuiteResults
from reports.tables.captions import protocols
from reports.tables.measured import (
    Groups,
    assemble,
    flags,
    largest_cell,
    listed,
    mean_cell,
    settings,
)
from reports.tables.table import Cell, Table, number

THREATS = {
    "kspace-l2": "sampled k-space may change, ‖δ‖ = ε ‖y‖ over all coils",
    "measurement-l2": "every measurement may change, ‖δ‖ = ε ‖y‖",
}
SETTINGS = ("steps", "restarts", "step_size", "tol", "max_iter", "verify_tol", "verify_max_iter")
CAPTION = [
    "PSNR: means over subjects (each subject's samples first). clean: measurements as they are; "
    "noise: white Gaussian noise of the attack's norm; attack: the worst perturbation found for "
    "the image's error.",
    "gain: ‖Δx‖ / ‖δ‖ under an attack on the displacement from the clean reconstruction, the "
    "largest over samples. Attacks are searches: what they find is a lower bound.",
]
TRANSFER = "transfer: perturbations found for another method"


def robustness_table(results: SuiteResults) -> Table:
    """PSNR under noise and under attack, and the worst gain, by ε."""
    found = answers(results, "robustness")
    epsilons = sorted(settings(found, "epsilon"))
    sources = settings(found, "transfer_from")
    attacks = list(dict.fromkeys(attack_of(one) for a in found for one in a.readings))
    numbers = {attack: str(place + 1) for place, attack in enumerate(attacks)}
    several = any(len({attack_of(one) for one in answer.readings}) > 1 for answer in found)

    def build(answer: Answer) -> list[list[Cell]]:
        own = list(dict.fromkeys(attack_of(one) for one in answer.readings))
        return [
            [
                *([Cell(numbers[attack])] if several else []),
                *_cells(answer, attack, epsilons, bool(sources)),
            ]
            for attack in own
        ]

    caption = [*protocols(results, [answer.task for answer in found]), *CAPTION]
    if sources:
        caption.append(f"{TRANSFER} ({listed(sources)}).")
    caption += [_described(found, attack, numbers[attack] if several else "") for attack in attacks]
    caption += _gradients(results, found)
    marks = flags(results, found)
    if marks:
        caption.append("!: the attack may have missed a weakness, or a number is not converged:")
    return assemble(
        results,
        found,
        ("robustness", "Robustness"),
        [*caption, *marks],
        _groups(epsilons, bool(sources)),
        build,
        beside=["attack"] if several else [],
    )


def attack_of(reading: Reading) -> str:
    """The threat and what was spent on it, as JSON."""
    return json.dumps({name: reading.condition.get(name) for name in ("threat", *SETTINGS)})


def _groups(epsilons: Sequence[float], transfer: bool) -> Groups:
    columns = ("noise [dB]", "attack [dB]", *(("transfer [dB]",) if transfer else ()), "gain")
    perturbed = [(f"ε = {epsilon:g}", columns) for epsilon in epsilons]
    return [("PSNR", ("clean [dB]",)), *perturbed]


def _cells(answer: Answer, attack: str, epsilons: Sequence[float], transfer: bool) -> list[Cell]:
    same: dict[str, Any] = json.loads(attack)

    def decibel(**condition: Any) -> Cell:
        readings = answer.of("psnr", **same, **condition)
        return mean_cell(answer, readings, lambda value: number(value, 2))

    cells = [decibel(kind="clean")]
    kinds = ("gaussian", "pgd", *(("transfer",) if transfer else ()))
    for epsilon in epsilons:
        cells += [decibel(kind=kind, epsilon=epsilon, objective="error") for kind in kinds]
        where: dict[str, Any] = {"kind": "pgd", "epsilon": epsilon, "objective": "displacement"}
        gains = answer.of("gain", **same, **where)
        cells.append(largest_cell(gains, lambda value: number(value, 2)))
    return cells


def _described(found: Sequence[Answer], attack: str, name: str) -> str:
    """Threat model and settings of an attack, and the tasks that it is made on."""
    given = json.loads(attack)
    tasks = dict.fromkeys(
        answer.task for answer in found if any(attack_of(one) == attack for one in answer.readings)
    )
    threat = str(given["threat"])
    return (
        f"Attack{f' {name}' if name else ''} on {', '.join(tasks)}: "
        f"{THREATS.get(threat, threat)} ({threat}); projected gradient ascent, "
        f"{given['steps']} steps of {given['step_size']:g} radius along the normalised gradient, "
        f"{given['restarts']} random starts (as many draws of noise, the worst counts); "
        f"equilibria to {given['tol']:g} (at most {given['max_iter']} iterations) during the "
        f"attack, scored at {given['verify_tol']:g} (at most {given['verify_max_iter']})."
    )


def _gradients(results: SuiteResults, found: Sequence[Answer]) -> list[str]:
    """How each method's gradient is taken."""
    lines: dict[str, dict[str, None]] = {}
    for answer in found:
        for gradient in settings([answer], "gradient"):
            lines.setdefault(str(gradient), {})[results.label(answer.line)] = None
    told = [f"{gradient}: {', '.join(labels)}" for gradient, labels in lines.items()]
    return [f"The attack's gradient is {'; '.join(told)}."] if told else []
