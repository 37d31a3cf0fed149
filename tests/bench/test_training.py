"""The training loop: interruption, divergence, and what may influence it."""

from dataclasses import replace

import pytest
import torch

import bench
from bench.errors import Diverged
from bench.objective import noisy, rate
from bench.reconstructor import Recipe, Stage
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
    assert [run._stage(k).name for k in range(6)] == (["single"] * 3 + ["unrolled"] * 3)
    recipe = Recipe(warmup_steps=2, schedule="cosine")
    assert rate(recipe, 0, 100) == 0.5 and rate(recipe, 99, 100) < 1e-3


def staged(tmp_path, **settings):
    """DE-Prox: a denoiser for half of the steps, then its equilibrium."""
    torch.manual_seed(0)
    task = bench.create_task("mri-multicoil", size=32, coils=3)
    config = {"width": 4, "depth": 3, "spectral_size": 12, **settings}
    method = bench.create_method("de-prox", task, variant="short", **config)
    recipe = method.recipe()
    return Trainer(method, task, recipe, CONFIG, 0, tmp_path / "resume.safetensors")


def test_a_denoising_stage_trains_the_denoiser_and_is_validated_as_one(tmp_path):
    run = staged(tmp_path)
    stages = []
    during = run.method.during
    run.method.during = lambda stage, progress: stages.append(stage) or during(stage, progress)
    records = run.run()
    trained = [stage for stage in stages if stage == "denoiser"]
    assert len(trained) == 4  # three steps, and the view that was validated
    validated = [(r.step, r.metric) for r in records if r.metric.endswith("_psnr") and r.step]
    assert validated == [(3, "denoising_psnr"), (6, "validation_psnr")]


def test_a_stage_goes_on_from_the_best_of_the_one_before(tmp_path):
    run = staged(tmp_path)
    values = iter([30.0, 20.0])
    run.validate = lambda method, noise=None: next(values)
    kept = []
    step = run._step
    run._step = lambda optimizer, stage: (
        kept.append((stage.name, run.progress.best_psnr)),
        step(optimizer, stage),
    )
    run.run()
    # the denoiser's 30 dB do not stand in the way of the equilibrium's 20
    assert run.progress.best_psnr == 20.0
    assert {best for stage, best in kept if stage == "equilibrium"} == {float("-inf")}


def test_noise_levels_are_drawn_by_sample():
    torch.manual_seed(0)
    x = torch.zeros(400, 1, 16, 16)
    levels = noisy(x, (0.1, 0.3)).flatten(1).std(1)
    assert 0.08 < float(levels.min()) < 0.12
    assert 0.28 < float(levels.max()) < 0.33


def test_tuning_comes_after_training(tmp_path):
    task = bench.create_task("mri-multicoil", size=32, coils=3)
    method = bench.create_method("red", task, width=4, depth=3)
    order = []

    class Watched(Trainer):
        def _train(self, save_every):
            order.append("train")

        def _search(self):
            order.append("tune")

    Watched(method, task, method.recipe(), CONFIG, 0, tmp_path / "resume.safetensors").run()
    assert order == ["train", "tune"]


def test_lipschitz_estimates_are_logged_at_every_validation(tmp_path):
    task = bench.create_task("mri-multicoil", size=32, coils=3)
    method = bench.create_method(
        "mol-lr", task, variant="stable", width=4, depth=2, estimate_steps=1
    )
    config = replace(CONFIG, lipschitz=("sphere", "ball", "jacobian"))
    recipe = Recipe(penalty_weight=1e-3)
    run = Trainer(method, task, recipe, config, 0, tmp_path / "resume.safetensors")
    logged = {(r.step, r.metric): r.value for r in run.run() if r.metric.startswith("lipschitz_")}
    assert set(logged) == {
        (step, f"lipschitz_{kind}") for step in (3, 6) for kind in config.lipschitz
    }
    # H = 0.9 x + a small network: all of them near 0.9, and the sphere's below the Jacobian's
    assert all(0.5 < value < 1.5 for value in logged.values())
    assert logged[6, "lipschitz_sphere"] <= logged[6, "lipschitz_jacobian"] * 1.001
