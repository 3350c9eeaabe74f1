"""The engine: groups, accumulation, averages, guards, endings."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import Bars, Game, PoisonedBars, beta_vae, cci_vae, compares, tiny_experiment
from torch import nn

from percepts.core.capabilities import Losses
from percepts.core.errors import ConfigError, MemoryShortage, NonFiniteError
from percepts.core.runs import Run
from percepts.data.stream import StreamConfig
from percepts.factors.beta_vae import BetaVAE
from percepts.training.checkpoint import checkpoints
from percepts.training.checks import FiniteGuard, parameter_groups
from percepts.training.engine import Engine, TrainingWarning
from percepts.training.experiment import build_model, start, train
from percepts.training.optimizers import Optimizer, Schedule
from percepts.training.settings import Training


def engine(model: Any = None, **settings: Any) -> Engine:
    experiment = tiny_experiment(model, **settings)
    dataset = experiment.data.open()
    return Engine(build_model(experiment, dataset), dataset, experiment.training, experiment.sampling, seed=7)


def weights(some: Engine) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in some.model.parameters()])


def first_losses(some: Engine, count: int = 5) -> list[float]:
    values = []
    for batch, _ in zip(some.stream.batches(0), range(count)):
        values.append(float(some.train_step(batch).minimise["model"].detach()))
    return values


def test_training_lowers_the_loss():
    losses = first_losses(engine(steps=200), 200)
    assert sum(losses[-20:]) < 0.8 * sum(losses[:20])


def test_a_step_equals_the_bare_loop():
    ours, theirs = engine(), engine()
    optimizer = torch.optim.Adam(theirs.model.parameters(), lr=1e-2)
    for index in range(3):
        batch = ours.stream.batch(index)
        ours.train_step(batch)
        optimizer.zero_grad()
        theirs.model.losses(batch, theirs._training_step(0, None)).minimise["model"].backward()
        optimizer.step()
        theirs.step += 1
    assert torch.allclose(weights(ours), weights(theirs), atol=1e-6)


@pytest.mark.parametrize("model", [beta_vae, cci_vae, compares])
def test_accumulation_gives_the_same_weights(model):
    # CCI-VAE's loss is not linear in the batch mean of the KL: the parts must share it.
    whole, parts = engine(model()), engine(model(), accumulate=4)
    first_losses(whole, 12)
    first_losses(parts, 12)
    assert torch.allclose(weights(whole), weights(parts), atol=2e-5)
    assert not torch.equal(weights(whole), weights(engine(model())))


def test_each_group_follows_its_own_loss():
    training = Training(steps=1, device="cpu", optimizer=Optimizer(name="sgd", lr=0.1))
    game = Engine(Game(), Bars(Bars.Config()), training, StreamConfig(batch_size=4), seed=0)
    game.train_step(game.stream.batch(0))
    assert float(game.model.a.detach()) == pytest.approx(0.9)
    assert float(game.model.b.detach()) == pytest.approx(1.1)


def test_groups_can_have_other_optimisers():
    training = Training(
        steps=1,
        device="cpu",
        optimizer=Optimizer(name="sgd", lr=0.1),
        group_optimizers={"second": Optimizer(name="sgd", lr=0.5)},
    )
    game = Engine(Game(), Bars(Bars.Config()), training, StreamConfig(batch_size=4), seed=0)
    game.train_step(game.stream.batch(0))
    assert float(game.model.b.detach()) == pytest.approx(1.5)


def test_a_loss_for_an_unknown_group_is_refused():
    class Wrong(Game):
        def losses(self, batch, step):
            return Losses({"third": self.a * self.b})

    training = Training(steps=1, device="cpu")
    game = Engine(Wrong(), Bars(Bars.Config()), training, StreamConfig(batch_size=4), seed=0)
    with pytest.raises(ConfigError, match=r"\['third'\]; expected the groups \['first', 'second'\]"):
        game.train_step(game.stream.batch(0))


def test_the_average_follows_the_weights():
    some = engine(ema_decay=0.9)
    assert some.average is not None
    expected = weights(some).clone()
    for index in range(4):
        some.train_step(some.stream.batch(index))
        # The first update copies the weights.
        expected = weights(some) if index == 0 else 0.9 * expected + 0.1 * weights(some)
    averaged = torch.cat([parameter.flatten() for parameter in some.average.module.parameters()])
    assert torch.allclose(averaged, expected, atol=1e-6)


def test_clipping_bounds_the_update():
    training = Training(steps=1, device="cpu", optimizer=Optimizer(name="sgd", lr=1.0, clip_norm=0.01))
    experiment = tiny_experiment()
    dataset = experiment.data.open()
    some = Engine(build_model(experiment, dataset), dataset, training, experiment.sampling, seed=7)
    before = weights(some).clone()
    some.train_step(some.stream.batch(0))
    assert float((weights(some) - before).norm()) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize(
    ("shape", "middle"), [("constant", 1.0), ("linear", 0.55), ("cosine", 0.55), ("exponential", 0.1**0.5)]
)
def test_schedules(shape, middle):
    schedule = Schedule(shape=shape, warm_up=2, final=0.1)
    assert [schedule.factor(step, 13) for step in (0, 1)] == [0.5, 1.0]
    assert schedule.factor(7, 13) == pytest.approx(middle)
    assert schedule.factor(12, 13) == pytest.approx(1.0 if shape == "constant" else 0.1)
    values = [schedule.factor(step, 13) for step in range(2, 13)]
    assert values == sorted(values, reverse=True)


def test_bf16_stays_near_fp32():
    exact, rounded = first_losses(engine(), 20), first_losses(engine(precision="bf16"), 20)
    assert rounded[-1] == pytest.approx(exact[-1], rel=0.02)
    assert rounded != exact


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_the_guard_names_the_first_bad_term_and_keeps_the_weights(bad):
    some = engine()
    before = weights(some).clone()
    batch = some.stream.batch(0)
    batch["image"][3, 0, 0, 0] = bad
    with pytest.raises(NonFiniteError, match=r"loss term 'reconstruction' became (nan|infinite) at step 0"):
        some.train_step(batch)
    assert torch.equal(weights(some), before)


def test_a_failed_run_says_so(tmp_path: Path):
    run, experiment = start(tiny_experiment(dataset=PoisonedBars.Config()), tmp_path / "run")
    with pytest.raises(NonFiniteError):
        train(run, experiment)
    assert run.info()["status"] == "failed"
    assert "reconstruction" in run.info()["error"]


def test_time_limit_saves_and_counts_as_finished(tmp_path: Path):
    run, experiment = start(tiny_experiment(steps=10**6, max_minutes=0.005), tmp_path / "run")
    outcome = train(run, experiment)
    assert outcome.status == "out of time"
    assert run.info()["status"] == "finished"
    assert checkpoints(run.checkpoints)[-1].step == outcome.step


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_polite_signal_saves_and_ends(tmp_path: Path, number: int):
    run, experiment = start(tiny_experiment(steps=10**6, evaluate_every=5), tmp_path / "run")

    def hook(model: nn.Module, step: int) -> dict[str, float]:
        if step == 15:
            os.kill(os.getpid(), number)
        return {"x": 1.0}

    outcome = train(run, experiment, hook)
    assert (outcome.status, outcome.step, outcome.signal) == ("interrupted", 15, number)
    assert run.info()["status"] == "interrupted"
    assert checkpoints(run.checkpoints)[-1].step == 15


def test_the_best_checkpoint_is_kept(tmp_path: Path):
    scores = {5: 3.0, 10: 1.0, 15: 2.0, 20: 5.0, 25: 4.0, 30: 6.0}
    experiment = tiny_experiment(evaluate_every=5, checkpoint_every=5, keep_last=1, keep_best="evaluation/score")
    run, experiment = start(experiment, tmp_path / "run")
    train(run, experiment, lambda model, step: {"score": scores[step]})
    assert [checkpoint.step for checkpoint in checkpoints(run.checkpoints)] == [10, 30]


def test_tensorboard_events_hold_the_logged_scalars(tmp_path: Path):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run, experiment = start(tiny_experiment(steps=3, tensorboard=True), tmp_path / "run")
    train(run, experiment)
    events = reader.EventAccumulator(str(run.path / "tensorboard")).Reload()
    logged = [entry["loss"] for entry in run.metrics()]
    assert [event.value for event in events.Scalars("loss")] == pytest.approx(logged)
    assert "kl_per_latent/2" in events.Tags()["scalars"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, r"training.steps = 0; expected at least 1"),
        ({"accumulate": 3}, r"batch_size = 16 over 1 processes and 3 micro-batches; expected a multiple of 3"),
        ({"group_optimizers": {"discriminator": Optimizer()}}, r"names \['discriminator'\]"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        engine(**settings)


def test_a_learning_rate_must_be_positive():
    with pytest.raises(ConfigError, match="lr = 0"):
        Optimizer(lr=0).over([nn.Parameter(torch.zeros(1))])


def test_without_a_run_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    engine(steps=3).fit()
    assert not list(tmp_path.iterdir())


def test_a_compiled_model_learns_the_same(unchecked_shapes):
    plain, compiled = first_losses(engine(), 5), first_losses(engine(compile=True), 5)
    assert compiled == pytest.approx(plain, rel=1e-4)


def test_run_status_and_log(tmp_path: Path):
    run, experiment = start(tiny_experiment(), tmp_path / "run")
    train(run, experiment)
    info, entries = Run.open(run.path).info(), run.metrics()
    assert (info["status"], info["step"]) == ("finished", 30)
    assert [entry["step"] for entry in entries] == list(range(1, 31))
    assert {"loss", "reconstruction", "kl", "kl_per_latent", "elbo", "lr", "images_per_second"} <= entries[0].keys()


def test_a_signal_to_the_whole_process_group_is_polite(tmp_path: Path):
    experiment = tiny_experiment(steps=10**6, evaluate_every=5)
    experiment = dataclasses.replace(experiment, sampling=StreamConfig(batch_size=16, workers=1))
    run, experiment = start(experiment, tmp_path / "run")

    def hook(model: nn.Module, step: int) -> dict[str, float]:
        if step == 5:
            workers = multiprocessing.active_children()
            assert workers
            for process in (*(worker.pid for worker in workers), os.getpid()):
                os.kill(process, signal.SIGTERM)
        return {}

    outcome = train(run, experiment, hook)
    assert outcome.status == "interrupted"
    assert checkpoints(run.checkpoints)[-1].step == outcome.step == 5


def test_a_gradient_that_is_not_finite_changes_no_weight():
    class Root(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Parameter(torch.zeros(2))

        def losses(self, batch, step):
            return Losses({"model": self.a.square().sum().sqrt()})

    root = Engine(Root(), Bars(Bars.Config()), Training(steps=1, device="cpu"), StreamConfig(batch_size=4), seed=0)
    with pytest.raises(NonFiniteError, match="gradient of the group 'model' became nan at step 0"):
        root.train_step(root.stream.batch(0))
    assert torch.equal(root.model.a.detach(), torch.zeros(2))


def test_what_is_not_finite_is_never_saved(tmp_path: Path):
    run, experiment = start(tiny_experiment(optimizer=Optimizer(name="sgd", lr=1e38)), tmp_path / "run")
    with pytest.raises(NonFiniteError):
        train(run, experiment)
    assert not checkpoints(run.checkpoints)


def test_off_the_cpu_the_check_comes_before_the_log(tmp_path: Path):
    guard = FiniteGuard(torch.device("cpu"))
    guard.at_once = False
    bad = Losses({"model": torch.tensor(float("nan"))}, {"kl": torch.tensor(1.0)})
    guard.losses(bad, 3)
    guard.losses(Losses({"model": torch.tensor(1.0)}), 4)
    with pytest.raises(NonFiniteError, match="before step 5"):
        guard.require(5)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (lambda game: {"first": [game.a]}, "b is in 0 of the groups"),
        (lambda game: {"first": [game.a, game.b], "second": [game.b]}, "b is in 2 of the groups"),
    ],
)
def test_groups_that_miss_or_share_a_parameter_are_refused(groups, message):
    game = Game()
    game.parameter_groups = lambda: groups(game)
    with pytest.raises(ConfigError, match=message):
        parameter_groups(game)


def test_a_frozen_group_is_left_out():
    game = Game()
    game.b.requires_grad_(False)
    assert list(parameter_groups(game)) == ["first"]


def test_the_logged_loss_is_that_of_the_whole_batch():
    whole, parts = engine(), engine(accumulate=4)
    assert first_losses(parts, 3) == pytest.approx(first_losses(whole, 3), rel=1e-4)


def test_a_model_must_say_that_it_couples_the_batch():
    some = engine(cci_vae(), accumulate=2)
    some.model.couples_batch = False
    with pytest.raises(ConfigError, match="couples_batch = True"):
        first_losses(some, 1)


class Worrier(BetaVAE):
    """A VAE that does not like every other look at it."""

    def diagnose(self, entries):
        assert [entry["step"] for entry in entries] == sorted(entry["step"] for entry in entries)
        assert "kl" in entries[-1]
        return {"even": "an even step. Try an odd one."} if entries[-1]["step"] % 40 == 25 else {}


def test_what_a_model_finds_wrong_is_said_once_and_kept(tmp_path: Path):
    run, experiment = start(tiny_experiment(steps=80, log_every=5), tmp_path / "a")
    some = Engine(
        Worrier(beta_vae()), experiment.data.open(), experiment.training, experiment.sampling, seed=0, run=run
    )
    with pytest.warns(TrainingWarning, match="step 25: an even step. Try an odd one.") as caught:
        some.fit()
    assert [str(one.message)[:7] for one in caught if one.category is TrainingWarning] == ["step 25", "step 65"]
    assert run.info()["warnings"] == {"even": "an even step. Try an odd one."}
    assert [entry["step"] for entry in some.recent] == [5, 25, 45, 65]


def test_keep_best_needs_a_number(tmp_path: Path):
    run, experiment = start(tiny_experiment(keep_best="kl_per_latent"), tmp_path / "a")
    with pytest.raises(ConfigError, match="a list of numbers"):
        train(run, experiment)
    run, experiment = start(tiny_experiment(keep_best="nosuch"), tmp_path / "b")
    with pytest.warns(UserWarning, match="'nosuch' was never logged"):
        train(run, experiment)


def test_a_gpu_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="torch finds no GPU"):
        engine(device="cuda")


@pytest.mark.parametrize("cause", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("can't allocate memory")])
def test_too_little_memory_names_what_needs_less(cause: RuntimeError, monkeypatch: pytest.MonkeyPatch):
    some = engine()

    def fail(batch: Any, step: Any) -> Losses:
        raise cause

    monkeypatch.setattr(some.model, "losses", fail)
    monkeypatch.setattr(some.model, "memory_options", ("--model.slot-chunk 1",), raising=False)
    with pytest.raises(MemoryShortage, match=r"--model.slot-chunk 1, or --accumulate 2, or a smaller --batch-size"):
        some.fit()


def test_other_errors_are_left_as_they_are(monkeypatch: pytest.MonkeyPatch):
    some = engine()
    monkeypatch.setattr(some.model, "losses", lambda batch, step: torch.ones(2) @ torch.ones(3))
    with pytest.raises(RuntimeError, match="size"):
        some.fit()
