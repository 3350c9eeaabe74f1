"""The batched twin by itself; that it is like single environments is in `test_env` (EnvironmentContract)."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from env_contract import actions_of, assert_same
from gymnasium.vector import AutoresetMode

from percepts.core.errors import ConfigError, DataError
from percepts.envs.spriteworld.configs import task_config
from percepts.envs.spriteworld.vector import SpriteworldVectorEnv

FACTORS: dict[str, Any] = {"keys": ("factors", "present")}


def test_seeds_count_up_or_are_given() -> None:
    counted, _ = SpriteworldVectorEnv(3, "sorting", **FACTORS).reset(seed=5)
    given, _ = SpriteworldVectorEnv(3, "sorting", **FACTORS).reset(seed=[5, 6, 7])
    assert_same(counted, given)
    numpy, _ = SpriteworldVectorEnv(3, "sorting", **FACTORS).reset(seed=np.array([5, 6, 7]))
    assert_same(counted, numpy)
    swapped, _ = SpriteworldVectorEnv(3, "sorting", **FACTORS).reset(seed=[7, 6, 5])
    assert_same(swapped["factors"][::-1], counted["factors"])


def test_some_seeds_may_be_left_open() -> None:
    one, other = (SpriteworldVectorEnv(3, "sorting", **FACTORS) for _ in range(2))
    first, second = one.reset(seed=[None, 4, None])[0]["factors"], other.reset(seed=[None, 4, None])[0]["factors"]
    assert np.array_equal(first[1], second[1])
    assert not np.array_equal(first[0], second[0])
    assert not np.array_equal(first[0], first[2])
    # Later those go on in their streams, and that one begins again.
    again = one.reset(seed=[None, 4, None])[0]["factors"]
    assert np.array_equal(again[1], first[1])
    assert not np.array_equal(again[0], first[0])


def test_many_seeds_give_many_scenes() -> None:
    factors = SpriteworldVectorEnv(200, "exploration", **FACTORS).reset(seed=0)[0]["factors"]
    assert len(np.unique(factors[:, 0, 0])) == 200
    assert 0.45 < factors[:, 0, :2].mean() < 0.55


def test_every_action_space_of_the_tasks() -> None:
    envs = SpriteworldVectorEnv(4, "goal-finding-embodied", **FACTORS)
    envs.reset(seed=0)
    rewards = np.array([envs.step(action)[1] for action in actions_of(envs.action_space, 5)])
    assert rewards.shape == (5, 4)
    assert np.isfinite(rewards).all()
    assert rewards.dtype == np.float64


def test_pictures_are_drawn_anew_where_something_changed_only() -> None:
    keys = ("image", "segmentation", "layers")
    envs = SpriteworldVectorEnv(6, "goal-finding-new-position", noise=0.05, keys=keys, height=24, width=24)
    envs.reset(seed=0)
    drawn: list[int] = []
    draw = envs.observer.draw

    def counted(sprites: Any, backdrop: Any = None) -> Any:
        drawn.append(len(sprites))
        return draw(sprites, backdrop)

    object.__setattr__(envs.observer, "draw", counted)
    moved = 0
    for number in range(45):
        if number % 3 == 0:
            clicks = envs.state.sprites.position[:, 0].float().clamp(0, 1)
            action = torch.cat([clicks, torch.full((6, 2), 0.6)], 1)
        else:
            action = torch.zeros(6, 4)
        anew = envs.state.finished
        seen, _, _, _, infos = envs.step(action)
        moved += int((infos["moved"].any(1) | anew.numpy()).sum())
        whole = {key: value.numpy() for key, value in envs.observer.drawn(envs.state.sprites).items()}
        drawn.pop()
        assert_same(seen, whole)
    assert sum(drawn) == moved
    assert moved < 45 * 6 / 2


def test_a_new_grey_is_a_change() -> None:
    config = task_config("exploration", background="random_grey", height=8, width=8)
    generator = dataclasses.replace(config.arena.generator, least=0, most=1)
    envs = SpriteworldVectorEnv(
        8, dataclasses.replace(config, arena=dataclasses.replace(config.arena, generator=generator))
    )
    first = envs.reset(seed=0)[0]["image"]
    after = [envs.reset()[0]["image"] for _ in range(4)][-1]
    empty = (envs.state.sprites.present.sum(1) == 0).numpy()
    assert empty.any()
    assert (first[empty] != after[empty]).any(axis=(1, 2, 3)).all()


def test_the_generator_of_unseeded_arenas_is_gymnasiums() -> None:
    one, other = (SpriteworldVectorEnv(2, "sorting", **FACTORS) for _ in range(2))
    one.np_random, other.np_random = np.random.default_rng(3), np.random.default_rng(3)
    assert_same(one.reset()[0], other.reset()[0])


@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled", AutoresetMode.SAME_STEP])
def test_modes_by_name(mode: Any) -> None:
    envs = SpriteworldVectorEnv(2, autoreset_mode=mode, **FACTORS)
    assert envs.metadata["autoreset_mode"] == AutoresetMode(mode)


def test_arenas_go_on_where_others_were() -> None:
    """The same pictures behind the same greys, and the same next episodes of the same streams."""
    config = task_config("goal-finding-new-position", noise=0.05, background="random_grey", height=12, width=12)
    config = dataclasses.replace(config, arena=dataclasses.replace(config.arena, max_episode_length=3))
    one, other = SpriteworldVectorEnv(3, config), SpriteworldVectorEnv(3, config)
    assert one.seeds == ()
    one.reset(seed=[4, 9, 5])
    other.reset(seed=100)
    actions = list(actions_of(one.action_space, 12))
    for action in actions[:5]:
        one.step(action)
    assert one.seeds == (4, 9, 5)
    assert one.episodes.tolist() == [1, 1, 1]
    one.episodes[:] = 7
    other.go_on(one.current)
    for action in actions[5:]:
        for found, expected in zip(other.step(action), one.step(action)):
            assert_same(found, expected)
    assert one.episodes.tolist() == other.episodes.tolist() == [3, 3, 3]
    assert_same(other.reset()[0], one.reset()[0])


def test_arenas_of_another_kind_do_not_go_on() -> None:
    envs = SpriteworldVectorEnv(3, "sorting", **FACTORS)
    first, _ = envs.reset(seed=0)
    few, others = (SpriteworldVectorEnv(count, task, **FACTORS) for count, task in ((2, "sorting"), (3, "exploration")))
    few.reset(seed=0)
    others.reset(seed=0)
    here, those = envs.current, few.current
    streams = dataclasses.replace(here.arena, streams=those.arena.streams)
    for mixed, words in (
        (those, "with 2 seeds; expected that of 3 arenas"),
        (dataclasses.replace(here, arena=those.arena), "the state of 2 and 3 arenas; expected that of 3"),
        (dataclasses.replace(here, seeds=those.seeds), "with 2 seeds"),
        (dataclasses.replace(here, episodes=those.episodes), "2 and 3 arenas"),
        (dataclasses.replace(here, arena=streams), "2 and 3 arenas"),
        (
            dataclasses.replace(here, arena=others.state),
            "[0-9] sprites with 3 seeds; expected that of 3 arenas",
        ),
    ):
        with pytest.raises(DataError, match=words):
            envs.go_on(mixed)
    assert envs.seeds == (0, 1, 2)
    assert_same(envs.reset(seed=0)[0], first)


def test_settings_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="num_envs = 0"):
        SpriteworldVectorEnv(0)
    with pytest.raises(ConfigError, match="one of NextStep, SameStep, Disabled"):
        SpriteworldVectorEnv(1, autoreset_mode="never")
    with pytest.raises(ConfigError, match="render_mode = 'human'"):
        SpriteworldVectorEnv(1, render_mode="human")


def test_rows_of_bad_actions_are_named() -> None:
    envs = SpriteworldVectorEnv(3, **FACTORS)
    envs.reset(seed=0)
    action = np.full((3, 4), 0.5, np.float32)
    for value, said in ((np.nan, "nan"), (1.5, "1.5"), (-0.5, "-0.5")):
        action[2, 1] = value
        with pytest.raises(DataError, match=rf"{said}.*in row 2"):
            envs.step(action)


def test_final_observations_do_not_change_afterwards() -> None:
    config = task_config("exploration")
    quick = dataclasses.replace(config, arena=dataclasses.replace(config.arena, max_episode_length=1))
    envs = SpriteworldVectorEnv(2, quick, autoreset_mode="SameStep", **FACTORS)
    envs.reset(seed=0)
    before = envs.state.sprites.factors.float().numpy()
    actions = list(actions_of(envs.action_space, 3))
    infos = [envs.step(action)[4] for action in actions]
    last = infos[0]["final_obs"][0]["factors"]
    assert np.abs(last - before[0]).max() <= 0.125 + 1e-6
    assert np.array_equal(last, infos[0]["final_info"]["factors"][0].astype(np.float32))
    assert not np.array_equal(last, infos[1]["final_obs"][0]["factors"])
