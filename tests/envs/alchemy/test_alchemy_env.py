"""The Gymnasium environment of one table and its batched twin: the contract, and what is Alchemy's own."""

from __future__ import annotations

import functools
import pickle
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from env_contract import EnvironmentContract, Many, Single, assert_same, check_clean
from original_rollouts import Rollout, rollouts

from percepts.core.errors import ConfigError, DataError
from percepts.envs.alchemy import registration
from percepts.envs.alchemy.chemistry import Chemistry
from percepts.envs.alchemy.chemistry_view import true_chemistry
from percepts.envs.alchemy.codecs import Encoding
from percepts.envs.alchemy.dm import symbolic_alchemy_level
from percepts.envs.alchemy.env import AlchemyEnv
from percepts.envs.alchemy.levels import LEVELS, Level
from percepts.envs.alchemy.observations import observe
from percepts.envs.alchemy.table import Rewards, Table
from percepts.envs.alchemy.vector import AlchemyVectorEnv
from percepts.envs.streams import Streams


class OfSettings(EnvironmentContract):
    """The contract for the environments of some settings."""

    settings: dict[str, Any]

    @pytest.fixture
    def single(self) -> Single:
        return functools.partial(AlchemyEnv, **self.settings)

    @pytest.fixture
    def many(self) -> Many:
        return functools.partial(AlchemyVectorEnv, **self.settings)


SHORT: dict[str, Any] = {"trials": 2, "steps": 4, "potions": 5, "end_trial": True}


class TestFast(OfSettings):
    settings = {**SHORT, "rewards": Rewards(weights=(0.3, 1.0, -0.7), offset=0.1, bonus=1.0, potion=0.1)}  # noqa: RUF012


class TestCompat(OfSettings):
    settings = {**SHORT, "level": "random-bottleneck", "seeding": "compat", "encoding": Encoding(used=False)}  # noqa: RUF012


class TestEasy(OfSettings):
    """Everything that makes it easier."""

    settings = {  # noqa: RUF012
        **SHORT,
        "potions": 9,
        "encoding": Encoding(frame="latent", potions="axes"),
        "colour_actions": True,
    }


class TestGiven(OfSettings):
    """Fixed items of which some are missing; only the chemistry differs between episodes."""

    settings = {  # noqa: RUF012
        "trials": 2, "steps": 4, "stones": 3, "potions": 4,
        "items": (((7, 0), (1, 3, 5, 1)), ((3, 5, 6), (0, 2))),
        "encoding": Encoding(potions="counts"), "colour_actions": True,
    }  # fmt: skip


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("seeding", ["fast", "compat"])
def test_one_table_does_what_it_does_in_a_batch(level: str, seeding: Any) -> None:
    """A whole episode and the start of the next, at the usual sizes."""
    table = Table.Config(level=level, seeding=seeding).build()
    env = AlchemyEnv(table.config)
    state = table.reset([5, 6])
    assert_same(env.reset(seed=6)[0]["symbolic"], observe(state)[1].numpy())
    generator = torch.Generator().manual_seed(0)
    for number in range(200):
        action = torch.randint(0, 40, (2,), generator=generator)
        state, outcome = table.step(state, action)
        seen, reward, terminated, truncated, info = env.step(int(action[1]))
        assert_same(seen["symbolic"], observe(state)[1].numpy())
        assert (reward, terminated, truncated) == (outcome.reward[1].item(), number == 199, False)
        assert info["score"] == state.score[1].item()
        assert [info[name] for name in ("stone", "potion", "before", "after")] == [
            getattr(outcome, name)[1].item() for name in ("stone", "potion", "before", "after")
        ]
    assert_equal_states(env.state, state.rows([1]))
    state = table.restart(state, outcome.terminated)
    env.reset()
    assert_equal_states(env.state, state.rows([1]))


def assert_equal_states(one: Any, other: Any) -> None:
    """To the bit, streams included."""
    for name, value in vars(one).items():
        if isinstance(value, torch.Tensor):
            assert value.dtype == getattr(other, name).dtype, name
            assert torch.equal(value, getattr(other, name)), name
        elif value is not None:
            assert_equal_states(value, getattr(other, name))


@pytest.mark.parametrize("rollout", rollouts()[:3] + rollouts()[24::5], ids=lambda rollout: rollout.name)
def test_with_the_names_of_the_original(rollout: Rollout) -> None:
    """The interface of dm_env, played to the end of the first episode and on."""
    config = rollout.config
    environment = symbolic_alchemy_level(
        config.level, rollout.used, config.end_trial, config.trials, config.stones, config.potions, rollout.seed,
        config.rewards, config.steps, {"truth": "truth"},
    )  # fmt: skip
    step = environment.reset()
    for episode in rollout.episodes[: 1 + rollout.episodes[0]["last"]]:
        assert step.first()
        assert step.reward is None
        assert step.discount is None
        assert rollout.observation(step.observation["symbolic_obs"][None])[0] == pytest.approx(episode["first"], abs=0)
        assert step.observation["truth"].tolist() == episode["truth"]
        rewards, begun = [], [0]
        for number, action in enumerate(episode["actions"]):
            step = environment.step(rollout.action(action))
            if step.reward:
                rewards.append([number, step.reward])
            if environment.is_new_trial():
                begun.append(number + 1)
        assert rewards == episode["rewards"]
        assert begun == [first for first, _ in episode["trials"]]
        assert step.last() == episode["last"]
        assert step.discount == (0.0 if episode["last"] else 1.0)
        step = environment.step(0)


def test_specifications() -> None:
    environment = symbolic_alchemy_level("alchemy/all_fixed", end_trial_action=True, see_chemistries={"truth": "truth"})
    specs = environment.observation_spec()
    assert {name: (spec.shape, spec.name) for name, spec in specs.items()} == {
        "symbolic_obs": ((39,), "symbolic_obs"),
        "truth": ((28,), "truth"),
    }
    assert environment.action_spec().maximum == 40
    for name, value in environment.reset().observation.items():
        specs[name].validate(value)


@pytest.mark.parametrize("level", LEVELS)
def test_every_level_has_an_id(level: str) -> None:
    name = registration.environment_id(level)
    env = gymnasium.make(name, disable_env_checker=True)
    check_clean(env.unwrapped)
    envs = gymnasium.make_vec(name, num_envs=3)
    assert isinstance(envs, AlchemyVectorEnv)
    assert_same(envs.reset(seed=4)[0]["symbolic"][1], env.reset(seed=5)[0]["symbolic"])


def test_ids_are_those_of_the_documentation() -> None:
    assert registration.environment_id("rotation-random-bottleneck") == "Alchemy/RotationRandomBottleneck-v0"
    assert registration.environment_id("fixed-bottleneck1") == "Alchemy/FixedBottleneck1-v0"


def test_the_truth_is_seen_and_stays() -> None:
    env = AlchemyEnv(see={"ground_truth": "truth"})
    observation, _ = env.reset(seed=3)
    truth = true_chemistry(env.state.chemistry)[0].numpy()
    assert_same(observation["ground_truth"], truth)
    assert_same(env.step(1)[0]["ground_truth"], truth)
    assert not np.array_equal(env.reset()[0]["ground_truth"], truth)


def test_a_switch_of_the_chemistry_shows_in_the_truth_only() -> None:
    env = AlchemyEnv(see={"ground_truth": "truth"}, steps=2, switch_trials=(2,))
    truths = [env.reset(seed=1)[0]["ground_truth"]]
    truths += [env.step(0)[0]["ground_truth"] for _ in range(8)]
    same = [np.array_equal(one, truths[0]) for one in truths]
    assert same == [True] * 4 + [False] * 5


def test_a_fixed_chemistry_is_that_of_every_episode() -> None:
    envs = AlchemyVectorEnv(3, chemistry=(20, 5, 3, 2), trials=1, steps=1)
    envs.reset(seed=0)
    for _ in range(3):
        assert_equal_states(envs.state.chemistry, Chemistry.of([20] * 3, [5] * 3, [3] * 3, [2] * 3))
        envs.step(np.zeros(3, np.int64))


@pytest.mark.parametrize("seeding", ["fast", "compat"])
def test_seeds_that_are_drawn_are_allowed(seeding: Any) -> None:
    env = AlchemyEnv(seeding=seeding)
    first = env.reset()[0]["symbolic"]
    assert not np.array_equal(first, AlchemyEnv(seeding=seeding).reset()[0]["symbolic"])
    assert len(np.unique(AlchemyVectorEnv(20, seeding=seeding).reset()[0]["symbolic"], axis=0)) == 20


def test_too_large_a_seed_for_the_original_changes_nothing() -> None:
    env, twin = AlchemyEnv(seeding="compat"), AlchemyEnv(seeding="compat")
    env.reset(seed=0)
    twin.reset(seed=0)
    with pytest.raises(DataError, match="4294967295"):
        env.reset(seed=1 << 32)
    assert_same(env.step(5), twin.step(5))


def test_pickles_of_the_single_environment_are_small() -> None:
    env = AlchemyEnv(seeding="compat")
    env.reset(seed=0)
    assert len(pickle.dumps(env)) < 20_000


def test_actions_as_tensors() -> None:
    one, other = AlchemyVectorEnv(4), AlchemyVectorEnv(4)
    one.reset(seed=0)
    other.reset(seed=0)
    action = np.array([1, 2, 17, 30])
    assert_same(one.step(torch.tensor(action)), other.step(action))
    assert_same(one.step(action.astype(np.int8)), other.step(torch.tensor(action, dtype=torch.int32)))


@pytest.mark.parametrize("action", [np.full(4, 0.5), np.full(4, True), [0, 0, 0, 40], [0, 0, 0, -1], ["a"] * 4])
def test_what_is_no_batch_of_actions(action: Any) -> None:
    envs, twin = AlchemyVectorEnv(4), AlchemyVectorEnv(4)
    envs.reset(seed=0)
    twin.reset(seed=0)
    with pytest.raises(DataError):
        envs.step(action)
    assert_same(envs.step([1, 2, 3, 4]), twin.step([1, 2, 3, 4]))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"level": "random-botleneck"}, "did you mean 'random-bottleneck'"),
        ({"trails": 3}, "did you mean 'trials'"),
        ({"color_actions": True}, "did you mean 'colour_actions'"),
        ({"see": {"symbolic": "truth"}}, "another name"),
        ({"see": {"x": "truths"}}, "one of truth"),
        ({"see": "exact"}, r"Try: see=\{\"chemistry\": \"exact\"\}"),
        ({"see": ("chemistry",)}, r"Try: see=\{\"chemistry\": \"truth\"\}"),
        ({"render_mode": "human"}, "rgb_array"),
        ({"trials": 0}, "1 or more"),
        ({"items": (((8,), ()),) * 10}, "0 to 7"),
        ({"items": (((1,), ()),)}, "of 1 trials"),
        ({"chemistry": (109, 0, 0, 0)}, "0 to 108"),
        ({"chemistry": (1, 0, 0, 0), "switch_trials": (3,)}, "one or the other"),
        ({"switch_trials": (0,)}, "1 to 9"),
        ({"seeding": "quick"}, "seeding"),
    ],
)
@pytest.mark.usefixtures("unchecked_shapes")
def test_settings_that_do_not_fit(settings: dict[str, Any], words: str) -> None:
    for make in (AlchemyEnv, AlchemyVectorEnv):
        with pytest.raises(ConfigError, match=words) as error:
            make(**settings)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"num_envs": 0}, "1 or more"), ({"autoreset_mode": "later"}, "one of NextStep, SameStep, Disabled")],
)
def test_twins_that_cannot_be(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        AlchemyVectorEnv(**settings)


def test_tables_go_on_where_others_were() -> None:
    one, other = AlchemyVectorEnv(3, see={"belief": "exact"}), AlchemyVectorEnv(3, see={"belief": "exact"})
    one.reset(seed=0)
    one.step([1, 2, 3])
    other.go_on(one.current)
    for _ in range(25):
        assert_same(one.step([5, 17, 30]), other.step([5, 17, 30]))
    with pytest.raises(DataError, match="the state of 3 arenas"):
        AlchemyVectorEnv(2).go_on(one.current)


def test_a_level_of_ones_own() -> None:
    envs = AlchemyVectorEnv(50, level=Level(graphs=(3, 50), random_maps=False, rotation=False))
    envs.reset(seed=0)
    assert set(envs.state.chemistry.graph.tolist()) == {3, 50}
    assert set(envs.state.chemistry.potion_map.tolist()) == {7}
    assert isinstance(envs.state.streams, Streams)
