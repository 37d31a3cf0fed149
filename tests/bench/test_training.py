"""The training loop: interruption, divergence, and what may influence it."""

import pytest
import torch

import bench
from bench.errors import Diverged
from bench.objective import rate
from bench.reconstructor import Recipe, Stage, TrainingState
from bench.training import Trainer, TrainingConfig

CONFIG = TrainingConfig(steps=6, validate_every=3, validation_samples=2, log_every=2)


def trainer(tmp_path, seed=0, **recipe):
    torch.manual_seed(seed)
    task = bench.create_task("mri-multicoil", size=32, coils=3)
    method = bench.create_method(
        "mol-lr", task, variant="stable", width=4, depth=2, estimate_steps=2
    )
    recipe = Recipe(**{"penalty_weight": 1e-3, "schedule": "cosine", **recipe})
    return Trainer(method, task, recipe, CONFIG, seed, tmp_path / "resume.safetensors")


def outcome(run):
    timeless = [r for r in run.progress.records if r.unit != "s"]
    return timeless, run.method.state_dict()


def test_killed_and_resumed_equals_undisturbed(tmp_path):
    straight = trainer(tmp_path)
    straight.run()

    class Killed(BaseException):
        pass

    def kill_at_four(share, text):
        if share > 0.6:
            raise Killed

    first = trainer(tmp_path)
    first.report = kill_at_four
    with pytest.raises(Killed):
        first.run(save_every=0)
    second = trainer(tmp_path)
    second.method.lam.data += 1  # whatever was there is replaced by what was saved
    second.run()
    records, tensors = outcome(straight)
    resumed_records, resumed_tensors = outcome(second)
    assert resumed_records == records
    for name, value in tensors.items():
        assert torch.equal(value, resumed_tensors[name]), name


def test_global_random_state_has_no_influence(tmp_path):
    one = trainer(tmp_path)
    one.run()
    other = trainer(tmp_path)
    torch.rand(7)
    other.run()
    assert outcome(one)[0] == outcome(other)[0]


def test_divergence_is_named(tmp_path):
    run = trainer(tmp_path, learning_rate=1e30)
    with pytest.raises(Diverged, match=r"step|validation"):
        run.run()


def test_search_keeps_the_best(tmp_path):
    task = bench.create_task("mri-multicoil", size=32, coils=3)
    method = bench.create_method("sense", task)
    run = Trainer(method, task, method.recipe(), CONFIG, 0, tmp_path / "none")
    run.run()
    best = float(method.weight)
    scores = {}
    for value in method.recipe().search.values:
        method.weight.fill_(value)
        scores[value] = run.validate(method)
    assert best == pytest.approx(max(scores, key=scores.get))
    assert min(scores) < best < max(scores), "the best lies at an end of the search range"


def test_stages_and_schedule(tmp_path):
    run = trainer(tmp_path, stages=(Stage("single", 0.5), Stage("unrolled", 0.5)))
    assert [run._stage(TrainingState(k, 6, 0).progress) for k in range(6)] == (
        ["single"] * 3 + ["unrolled"] * 3
    )
    recipe = Recipe(warmup_steps=2, schedule="cosine")
    assert rate(recipe, 0, 100) == 0.5 and rate(recipe, 99, 100) < 1e-3
