"""SAC and PPO on Spriteworld: bootstrapping, budgets, seeds, curves, checkpoints, run folders."""

from __future__ import annotations

import io
import json
import pickle
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

pytest.importorskip("stable_baselines3")

from percepts.agents.agent import Agent
from percepts.agents.cobra.evaluate import evaluate
from percepts.agents.cobra.slots import OracleFactors
from percepts.agents.model_free import ModelFree
from percepts.agents.model_free_learners import PPO, SAC
from percepts.agents.model_free_runs import ModelFreeRun, open_model_free, train_model_free
from percepts.agents.spriteworld_policies import truth
from percepts.core.config import from_json, to_json
from percepts.core.errors import CheckpointError, ConfigError, DataError, MissingPackageError, NonFiniteError, RunError
from percepts.core.files import sha256, write_json
from percepts.core.progress import ProgressLine
from percepts.core.runs import Run
from percepts.data.distributions import Continuous, Discrete, Product
from percepts.envs.spriteworld.actions import ClickGrid, SelectMove
from percepts.envs.spriteworld.arena import Arena
from percepts.envs.spriteworld.configs import SpriteworldConfig, cobra_task
from percepts.envs.spriteworld.generators import Generate
from percepts.envs.spriteworld.tasks import FindGoalPosition, Judgement, Task

SMALL_SAC = SAC(hidden=(32, 32), batch_size=16, warm_up=20)
SMALL_PPO = PPO(hidden=(32, 32), rollout=20, batch_size=20, epochs=2)
WORLD = replace(
    cobra_task("goal-finding-new-position", noise=0.05),
    arena=replace(cobra_task("goal-finding-new-position", noise=0.05).arena, max_episode_length=7),
)


@dataclass(frozen=True, kw_only=True)
class Always(Task):
    """The same reward, and done or not, whatever the sprites."""

    reward: float
    done: bool

    def judge(self, sprites):
        reward = sprites.position.new_full((len(sprites),), self.reward)
        return Judgement(reward, torch.full_like(reward, self.done, dtype=torch.bool))


def one_step_world(done: bool) -> SpriteworldConfig:
    """Episodes of one step of reward 3: the task is done, or time is up."""
    arena = replace(WORLD.arena, task=Always(reward=3.0, done=done), max_episode_length=1)
    return replace(WORLD, arena=arena)


def easy_world() -> SpriteworldConfig:
    """A sprite that nearly every click hits, and steps long enough to bring it to the middle at once."""
    place = (Continuous("x", 0.1, 0.9), Continuous("y", 0.1, 0.9), Discrete("scale", (1.0,)))
    task = FindGoalPosition(terminate_distance=0.15)
    scenes, actions = Generate(Product(place)), SelectMove(scale=0.5)
    arena = Arena.Config(generator=scenes, task=task, actions=actions, max_episode_length=10)
    return SpriteworldConfig(name="easy", arena=arena)


def small(learner=SMALL_SAC, world=WORLD, seed=0, held_out=None, encoder=None, **settings) -> ModelFree:
    settings = {"steps": 60, "episodes": 20, "log_every": 25} | settings
    config = ModelFree.Config(learner=learner, **settings)
    return config.build(world=world, seed=seed, held_out=held_out, encoder=encoder)


def weights(baseline: ModelFree) -> torch.Tensor:
    return torch.cat([value.flatten() for value in baseline.learner.policy.state_dict().values()])


@pytest.mark.parametrize("done", [True, False])
def test_sac_bootstraps_where_time_is_up_and_not_where_the_task_is_done(done: bool):
    """All critics say 7, and no bonus for entropy: the target is 3·0.1, plus γ·7 only where the episode was cut."""
    baseline = small(replace(SMALL_SAC, warm_up=40, discount=0.9), one_step_world(done), steps=40)
    baseline.run()
    learner = baseline.learner
    with torch.no_grad():
        learner.log_ent_coef.fill_(-60.0)
        for critics in (learner.critic, learner.critic_target):
            for network in critics.q_networks:
                network[-1].weight.zero_()
                network[-1].bias.fill_(7.0)
    learner.train(gradient_steps=1, batch_size=30)
    target = 0.3 if done else 0.3 + 0.9 * 7
    # Half the sum of two critics' squared errors.
    assert learner.logger.name_to_value["train/critic_loss"] == pytest.approx((7 - target) ** 2, rel=1e-5)


def test_sac_bootstraps_from_what_was_seen_last():
    """Not from the first observation of the next episode."""
    world = replace(WORLD, arena=replace(WORLD.arena, task=Always(reward=0.0, done=False)))
    baseline = small(replace(SMALL_SAC, warm_up=21), world, steps=21)
    baseline.run()
    replay = baseline.learner.replay_buffer
    assert np.flatnonzero(replay.timeouts[:, 0]).tolist() == [6, 13, 20]
    hues = np.arange(baseline.view.places) * 10 + 5
    before, last = replay.observations[:, 0, hues], replay.next_observations[:, 0, hues]
    np.testing.assert_array_equal(last[:21], before[:21])
    assert [place for place in range(20) if not np.array_equal(before[place + 1], last[place])] == [6, 13]


@pytest.mark.parametrize("done", [True, False])
def test_ppo_bootstraps_where_time_is_up_and_not_where_the_task_is_done(done: bool):
    baseline = small(replace(SMALL_PPO, discount=0.9), one_step_world(done), steps=20, arenas=1)
    with torch.no_grad():
        baseline.learner.policy.value_net.weight.zero_()
        baseline.learner.policy.value_net.bias.fill_(7.0)
    baseline.run()
    np.testing.assert_allclose(baseline.learner.rollout_buffer.returns, 0.3 if done else 0.3 + 0.9 * 7, rtol=1e-5)


@pytest.mark.parametrize(
    ("learner", "steps", "arenas"),
    [
        (SAC(hidden=(64, 64), batch_size=64, warm_up=100, learning_rate=3e-3, temperature=0.1, discount=0.5), 350, 1),
        (PPO(rollout=25, batch_size=50, learning_rate=5e-3, discount=0.5), 1600, 16),
    ],
)
def test_both_learn_an_easy_task(learner, steps: int, arenas: int):
    baseline = small(
        learner, easy_world(), steps=steps, arenas=arenas, evaluate_at=(0, steps), episodes=100, log_every=steps
    )
    baseline.run()
    before, after = (point.train for point in baseline.points)
    assert before.success < 0.45
    assert after.success > 0.8
    assert after.length < before.length / 2
    assert baseline.curve().points == ((0, before.success), (steps, after.success))


@pytest.mark.parametrize("learner", [SMALL_SAC, SMALL_PPO])
def test_a_training_is_a_function_of_its_seed_alone(learner):
    """Whatever the global streams hold; and they are as before."""
    found = []
    for seed, others in ((0, 1), (0, 2), (1, 1)):
        torch.manual_seed(others)
        np.random.seed(others)
        streams = torch.get_rng_state(), np.random.get_state()[1].copy()
        baseline = small(learner, seed=seed, evaluate_at=(60,))
        baseline.run()
        baseline.agent("sampled").act(truth(WORLD.arena.build().reset([0]).sprites))
        assert torch.equal(streams[0], torch.get_rng_state())
        assert (streams[1] == np.random.get_state()[1]).all()
        found.append(weights(baseline))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_evaluations_and_logs_do_not_change_a_training():
    plain, watched = small(log_every=60), small(log_every=7, evaluate_at=(0, 10, 33))
    plain.run()
    watched.run(log=lambda entry: None)
    assert torch.equal(weights(plain), weights(watched))


def test_a_budget_is_never_exceeded():
    """Rounds of 40 steps: 100 pays for two of them, 39 for none."""
    entries: list[dict[str, float]] = []
    baseline = small(SMALL_PPO, steps=100, arenas=2, evaluate_at=(39, 40, 79, 100))
    baseline.run(log=entries.append)
    assert baseline.rewarded_steps == 80
    assert baseline.finished
    assert [(point.steps, point.used) for point in baseline.points] == [(39, 0), (40, 40), (79, 40), (100, 80)]
    assert baseline.points[1].train == baseline.points[2].train
    assert [entry["step"] for entry in entries] == [40, 80]


def test_the_log_tells_of_episodes_and_losses():
    entries: list[dict[str, float]] = []
    baseline = small(log_every=25)
    baseline.run(log=entries.append, until=30)
    baseline.run(log=entries.append)
    assert [entry["step"] for entry in entries] == [25, 50, 60]
    assert sum(entry["episodes"] for entry in entries) >= 60 // 7
    assert all(0 <= entry["success"] <= 1 and 1 <= entry["length"] <= 7 for entry in entries)
    assert all(entry["critic_loss"] > 0 for entry in entries)


def test_held_out_scenes_may_have_more_sprites():
    """Three sprites to learn from, four in the test: there are places for all of them."""
    train, test = (cobra_task("goal-finding-more-distractors", mode) for mode in ("train", "test"))
    baseline = small(world=train, held_out=test, evaluate_at=(60,), episodes=10)
    baseline.run()
    assert len(baseline.curve(held_out=True).points) == 1
    assert baseline.points[0].held_out != baseline.points[0].train
    alone = small(world=train, steps=20)
    with pytest.raises(DataError, match="places = 4"):
        evaluate(alone.agent(), test, 2, 0)
    with pytest.raises(ConfigError, match="held-out"):
        alone.curve(held_out=True)


@pytest.mark.parametrize("acts", ["mean", "sampled"])
@pytest.mark.parametrize("learner", [SMALL_SAC, SMALL_PPO])
def test_the_agent_acts_in_a_batch_and_remembers_nothing(learner, acts):
    baseline = small(learner)
    agent = baseline.agent(acts)
    seen = truth(WORLD.arena.build().reset(range(9)).sprites)
    action, step = agent.act(seen)
    assert isinstance(agent, Agent)
    assert action.shape == (9, 4)
    assert ((action >= 0) & (action <= 1)).all()
    assert step == 1
    assert torch.equal(action, agent.act(seen)[0])
    assert torch.equal(agent.act(seen, step)[0], action) == (acts == "mean")
    if acts == "mean":
        few = {key: value[:2] for key, value in seen.items()}
        torch.testing.assert_close(agent.act(few)[0], action[:2])
    baseline.run()
    assert torch.equal(action, agent.act(seen)[0])
    assert not torch.equal(action, baseline.agent(acts).act(seen)[0])


def test_slots_and_pixels_are_learned_from():
    slots = small(sees="slots", encoder=OracleFactors.Config(shape="hidden").build(), steps=30, evaluate_at=(30,))
    slots.run()
    assert slots.view.shape == (2 * 7,)
    world = replace(WORLD, observer=replace(WORLD.observer, renderer="fast", height=36, width=36))
    for learner in (
        replace(SMALL_SAC, hidden=None, warm_up=8, batch_size=4),
        replace(SMALL_PPO, rollout=5, batch_size=5),
    ):
        pixels = small(learner, world, sees="pixels", steps=10, evaluate_at=(0, 10), episodes=3)
        before = weights(pixels)
        pixels.run()
        assert pixels.agent().observes == ("image",)
        assert pixels.learner.observation_space.shape == (3, 36, 36)
        assert not torch.equal(before, weights(pixels))


def test_discrete_actions_are_for_ppo_only():
    world = replace(WORLD, arena=replace(WORLD.arena, actions=ClickGrid()))
    with pytest.raises(ConfigError, match="PPO"):
        small(world=world)
    baseline = small(SMALL_PPO, world, evaluate_at=(60,), episodes=3)
    baseline.run()
    assert baseline.points[0].train.episodes == 3


@pytest.mark.parametrize("learner", [SMALL_SAC, replace(SMALL_SAC, capacity=24), SMALL_PPO])
def test_a_resumed_training_ends_with_the_same_bits(learner, tmp_path):
    """Saved in the middle of episodes and of a stretch of the log."""
    settings = {"steps": 80, "arenas": 2, "evaluate_at": (30, 80), "episodes": 5, "held_out": WORLD}
    whole, first, second = (small(learner, **settings) for _ in range(3))
    logs: list[list[dict[str, float]]] = [[], [], []]
    whole.run(log=logs[0].append)
    first.run(log=logs[1].append, until=40)
    checkpoint = first.save(tmp_path)
    second.load(checkpoint.path)
    assert second.rewarded_steps == 40
    second.run(log=logs[2].append)
    assert torch.equal(weights(whole), weights(second))
    assert whole.points == second.points
    assert logs[0] == logs[1] + logs[2]


def test_checkpoints_of_others_are_refused(tmp_path):
    baseline = small(steps=30)
    baseline.run()
    saved = baseline.save(tmp_path).path
    others = [
        small(steps=30, seed=1),
        small(replace(SMALL_SAC, discount=0.9), steps=30),
        small(steps=30, world=cobra_task("sorting")),
        small(SMALL_PPO, steps=30),
    ]
    for other in others:
        before = weights(other)
        with pytest.raises(CheckpointError, match="another"):
            other.load(saved)
        assert torch.equal(before, weights(other))
    with pytest.raises(CheckpointError, match="manifest"):
        baseline.load(tmp_path / "step-00000007")


def test_nothing_is_unpickled(tmp_path):
    """Neither a zip of stable-baselines3, nor a pickle in the place of our own files."""
    baseline = small(steps=30)
    baseline.learner.save(tmp_path / "theirs.zip")
    with pytest.raises(CheckpointError, match="pickles"):
        baseline.load(tmp_path / "theirs.zip")
    baseline.run()
    saved, mark = baseline.save(tmp_path).path, tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return (mark.write_text, ("code ran",))

    manifest = json.loads((saved / "manifest.json").read_text())
    for name in ("resume.pt", "model.safetensors"):
        good = (saved / name).read_bytes()
        (saved / name).write_bytes(pickle.dumps(Evil(), protocol=2))
        with pytest.raises(CheckpointError):
            baseline.load(saved)
        write_json(saved / "manifest.json", {**manifest, "files": {**manifest["files"], name: sha256(saved / name)}})
        with pytest.raises(CheckpointError):
            baseline.load(saved)
        assert not mark.exists()
        (saved / name).write_bytes(good)
        write_json(saved / "manifest.json", manifest)
    baseline.load(saved)


def run_settings(**settings) -> ModelFreeRun:
    model = ModelFree.Config(learner=SMALL_SAC, steps=60, evaluate_at=(20, 60), episodes=5, log_every=10)
    return ModelFreeRun(**{"model": model, "world": WORLD, "held_out": WORLD, "save_every": 25} | settings)


def test_a_run_that_was_interrupted_goes_on(tmp_path):
    settings = run_settings()
    assert from_json(json.loads(json.dumps(to_json(settings)))) == settings
    whole = train_model_free(settings, tmp_path / "whole")

    def interrupt(entry):
        if entry["step"] == 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_model_free(settings, tmp_path / "cut", log=interrupt)
    run = Run.open(tmp_path / "cut")
    assert run.info()["status"] == "interrupted"
    assert open_model_free(tmp_path / "cut").rewarded_steps == 25
    cut = train_model_free(settings, tmp_path / "cut")
    assert torch.equal(weights(whole), weights(cut))
    assert run.info()["status"] == "finished"
    assert run.metrics() == Run.open(tmp_path / "whole").metrics()
    assert [entry["step"] for entry in run.metrics()] == [10, 20, 30, 40, 50, 60]
    assert (tmp_path / "cut" / "evaluation.json").read_text() == (tmp_path / "whole" / "evaluation.json").read_text()
    opened = open_model_free(tmp_path / "cut")
    assert opened.points == whole.points
    # A finished training has nothing left to do.
    assert train_model_free(settings, tmp_path / "cut").rewarded_steps == 60


def test_a_run_folder_is_not_taken_from_another_training(tmp_path):
    train_model_free(run_settings(), tmp_path / "run")
    with pytest.raises(RunError, match="seed = 0"):
        train_model_free(run_settings(seed=1), tmp_path / "run")
    other = Run.create(tmp_path / "other", SMALL_SAC)
    with pytest.raises(RunError, match="SAC"):
        open_model_free(other.path)


def seen_by(network: torch.nn.Module) -> OracleFactors:
    """An encoder with something learned in it, of the same sizes whatever that is."""
    encoder = OracleFactors.Config(shape="hidden").build()
    encoder.network = network
    return encoder


def test_a_training_does_not_go_on_with_another_vision(tmp_path):
    """Of the same sizes, so that nothing but the fingerprint tells them apart."""
    model = ModelFree.Config(learner=SMALL_SAC, sees="slots", steps=50, log_every=10)
    settings = run_settings(model=model, held_out=None)
    eyes, others = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)

    def interrupt(entry):
        if entry["step"] == 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_model_free(settings, tmp_path / "run", seen_by(eyes), log=interrupt)
    info, kept = Run.open(tmp_path / "run").info(), sorted(path.name for path in (tmp_path / "run").rglob("*"))
    for attempt in (train_model_free, lambda _, *rest: open_model_free(*rest)):
        with pytest.raises(RunError, match=f"saw through the encoder {info['vision']}"):
            attempt(settings, tmp_path / "run", seen_by(others))
    assert Run.open(tmp_path / "run").info() == info
    assert sorted(path.name for path in (tmp_path / "run").rglob("*")) == kept
    checkpoint = next((tmp_path / "run" / "checkpoints").glob("step-*"))
    other = model.build(world=WORLD, seed=0, encoder=seen_by(others))
    with pytest.raises(CheckpointError, match="another encoder"):
        other.load(checkpoint)
    same = torch.nn.Linear(3, 2)
    same.load_state_dict(eyes.state_dict())
    assert train_model_free(settings, tmp_path / "run", seen_by(same)).rewarded_steps == 50


def test_a_folder_that_does_not_name_its_encoder_is_refused(tmp_path):
    settings = run_settings(model=ModelFree.Config(learner=SMALL_SAC, sees="slots", steps=20), held_out=None)
    train_model_free(settings, tmp_path / "run", seen_by(torch.nn.Identity()))
    Run.open(tmp_path / "run").update(vision=None)
    with pytest.raises(RunError, match="does not name"):
        train_model_free(settings, tmp_path / "run", seen_by(torch.nn.Identity()))


def test_progress_is_shown_on_a_terminal_only(capsys):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    shown = Terminal()
    small().run(line=ProgressLine(60, "steps", "SAC", stream=shown))
    assert "steps/s" in shown.getvalue()
    assert "left" in shown.getvalue()
    small().run()
    assert capsys.readouterr() == ("", "")


def test_numbers_that_are_no_numbers_end_a_training():
    baseline = small(replace(SMALL_SAC, learning_rate=1e30))
    with pytest.raises(NonFiniteError, match="learning rate"):
        baseline.run()


@pytest.mark.parametrize(("rate", "seed"), [(1e3, 1), (1e3, 2), (1e9, 1)])
def test_a_policy_that_is_none_ends_a_training(rate: float, seed: int):
    """Weights and losses are finite still when torch's distributions refuse what the network says."""
    with pytest.raises(NonFiniteError, match=r"PPO.*Try: a lower learning rate"):
        small(replace(SMALL_PPO, learning_rate=rate), seed=seed).run()


@pytest.mark.parametrize("learner", [SMALL_SAC, SMALL_PPO])
def test_a_policy_that_is_none_ends_an_evaluation(learner):
    baseline = small(learner, evaluate_at=(0, 60))
    with torch.no_grad():
        for parameter in baseline.learner.policy.parameters():
            parameter.fill_(3e38)
    with pytest.raises(NonFiniteError, match="learning rate"):
        baseline.run()


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_finite_weights_whose_actions_are_no_numbers_end_a_training(monkeypatch, number: float):
    """Weights of 1e30 may be finite still; which of the two comes first differs between machines."""
    baseline = small()
    acts = baseline.learner.policy.predict
    monkeypatch.setattr(baseline.learner, "predict", lambda *words, **named: (acts(*words, **named)[0] * number, None))
    with pytest.raises(NonFiniteError, match=r"actions became NaN or infinite.*learning rate"):
        baseline.run()
    assert weights(baseline).isfinite().all()


def test_a_missing_package_is_asked_for(monkeypatch):
    monkeypatch.setattr("percepts.core.optional.available", lambda package: package != "stable_baselines3")
    with pytest.raises(MissingPackageError, match=r"percepts\[rl\]"):
        small()


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (lambda: SAC(batch_size=0), "batch_size"),
        (lambda: SAC(discount=1.0), "discount"),
        (lambda: SAC(averaging=0.0), "averaging"),
        (lambda: SAC(hidden=(0,)), "hidden"),
        (lambda: PPO(batch_size=1), "batch_size"),
        (lambda: PPO(clip=0.0), "clip"),
        (lambda: ModelFree.Config(steps=0), "steps"),
        (lambda: ModelFree.Config(evaluate_at=(1001,)), "evaluate_at"),
        (lambda: ModelFree.Config(learner=PPO(), steps=199), "one round"),
        (lambda: ModelFree.Config(sees="factor"), "did you mean 'factors'"),
        (lambda: small(replace(SMALL_PPO, batch_size=15)), "divisor"),
        (lambda: small(reward_scale=0.0), "reward_scale"),
        (lambda: run_settings(save_every=0), "save_every"),
    ],
)
def test_wrong_settings_are_named(make, wrong: str):
    with pytest.raises(ConfigError, match=wrong):
        make()
