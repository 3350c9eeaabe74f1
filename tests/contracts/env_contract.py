"""What every environment and its batched twin promise. A test class inherits `EnvironmentContract` and provides the
fixtures `single` and `many`; episodes should end within some ten random steps, now and then by themselves and now and
then for lack of time."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import iterate

from percepts.core.errors import DataError

Single = Callable[..., gymnasium.Env]
"""Makes an environment; takes `render_mode`."""
Many = Callable[..., VectorEnv]
"""Makes the twin of some number of them; takes `autoreset_mode` and `render_mode`."""
MODES = list(AutoresetMode)
SEED, STEPS = 11, 24


def assert_same(one: Any, other: Any, where: str = "") -> None:
    """Both are the same to the bit: dictionaries, arrays, tuples, numbers."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_same(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, tuple):
        assert len(one) == len(other), where
        for number, (a, b) in enumerate(zip(one, other)):
            assert_same(a, b, f"{where}[{number}]")
    elif isinstance(one, np.ndarray) and one.dtype == object:
        for a, b in zip(one, other):
            assert_same(a, b, where)
    else:
        assert np.asarray(one).dtype == np.asarray(other).dtype, where
        assert np.array_equal(one, other), f"{where}: {one} and {other}"


def assert_same_infos(ours: dict[str, Any], theirs: dict[str, Any], where: str = "infos") -> None:
    """Both say the same of the same environments; of the others there may be anything."""
    assert ours.keys() == theirs.keys(), where
    for name in theirs:
        if name.startswith("_"):
            assert_same(ours[name], theirs[name], f"{where}.{name}")
        elif isinstance(theirs[name], dict):
            assert_same_infos(ours[name], theirs[name], f"{where}.{name}")
        else:
            rows = theirs[f"_{name}"]
            assert_same(ours[name][rows], theirs[name][rows], f"{where}.{name}")


def check_clean(env: gymnasium.Env) -> None:
    """Gymnasium's checker finds no error and nothing to warn of."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*not having a spec.*")  # Some are not made by an id.
        check_env(env)


def actions_of(space: spaces.Space[Any], count: int) -> Iterator[Any]:
    """The same random actions every time."""
    space = copy.deepcopy(space)
    space.seed(5)
    for _ in range(count):
        yield space.sample()


def bad_actions(space: spaces.Space[Any]) -> list[Any]:
    """What is no element of a space, by its kind."""
    good = space.sample()
    bad: list[Any] = ["nonsense", None, [[good]], np.zeros(()) if np.ndim(good) else np.zeros(3, np.int64)]
    if isinstance(space, spaces.Box):
        for value in (np.nan, np.inf, space.high.flat[0] + 1, space.low.flat[0] - 1):
            wrong = good.copy()
            wrong.flat[0] = value
            bad.append(wrong)
        bad += [good[:-1], good.astype(np.complex128), good > 0.5]
    elif isinstance(space, spaces.Discrete):
        bad += [int(space.n), -1, 0.5, True, np.nan]
    elif isinstance(space, spaces.MultiDiscrete):
        bad += [space.nvec, good - space.nvec, good + 0.5, good[:-1], good > 0]
    return bad


def rollout(env: gymnasium.Env, steps: int, seed: int = SEED) -> list[Any]:
    """What random actions bring, over several episodes."""
    found: list[Any] = [env.reset(seed=seed)]
    for action in actions_of(env.action_space, steps):
        found.append(env.step(action))
        if found[-1][2] or found[-1][3]:
            found.append(env.reset())
    return found


class EnvironmentContract:
    """Checks for any environment with a batched twin."""

    @pytest.fixture
    def single(self) -> Single:
        """Makes the environment; a subclass provides it."""
        raise NotImplementedError

    @pytest.fixture
    def many(self) -> Many:
        """Makes the twin of a number of them; a subclass provides it."""
        raise NotImplementedError

    def test_gymnasium_has_nothing_to_say(self, single: Single) -> None:
        check_clean(single(render_mode="rgb_array"))

    def test_observations_and_actions_are_of_their_spaces(self, single: Single) -> None:
        env = single()
        observation, _ = env.reset(seed=SEED)
        assert observation in env.observation_space
        for action in actions_of(env.action_space, 10):
            observation, reward, terminated, truncated, info = env.step(action)
            assert observation in env.observation_space
            assert [type(value) for value in (reward, terminated, truncated)] == [float, bool, bool]
            assert not (terminated and truncated)
            assert isinstance(info, dict)
            if terminated or truncated:
                env.reset()

    def test_a_seed_says_everything(self, single: Single) -> None:
        assert_same(tuple(rollout(single(), STEPS)), tuple(rollout(single(), STEPS)))
        other = rollout(single(), 0, SEED + 1)
        assert not np.array_equal(*(np.concatenate([np.ravel(v) for v in first[0].values()])
                                    for first in (rollout(single(), 0)[0], other[0])))  # fmt: skip

    def test_a_seed_begins_anew_in_mid_stream(self, single: Single) -> None:
        env = single()
        first = rollout(env, STEPS)
        assert_same(tuple(rollout(env, STEPS)), tuple(first))

    def test_unseeded_environments_differ_and_episodes_follow_each_other(self, single: Single) -> None:
        # A few, as two first observations may be equal by chance.
        env = single()
        for envs in ([single() for _ in range(8)], [env] * 8):
            flat = [np.concatenate([np.ravel(v) for v in one.reset()[0].values()]) for one in envs]
            assert not all(np.array_equal(flat[0], other) for other in flat[1:])

    def test_what_is_given_away_may_be_written_to(self, single: Single) -> None:
        wanted = rollout(single(), STEPS)
        env = single()
        found: list[Any] = []

        def keep(result: tuple[Any, ...]) -> None:
            found.append(copy.deepcopy(result))
            for part in (result[0], result[-1]):
                for value in part.values():
                    if isinstance(value, np.ndarray):
                        value[...] = 1

        keep(env.reset(seed=SEED))
        for action in actions_of(env.action_space, STEPS):
            keep(env.step(action))
            if found[-1][2] or found[-1][3]:
                keep(env.reset())
        assert_same(tuple(found), tuple(wanted))

    def test_bad_actions_are_refused_and_change_nothing(self, single: Single) -> None:
        env, twin = single(), single()
        env.reset(seed=SEED)
        twin.reset(seed=SEED)
        for action in bad_actions(env.action_space):
            with pytest.raises(DataError) as error:
                env.step(action)
            assert "\n" not in str(error.value)
        action = next(actions_of(env.action_space, 1))
        assert_same(env.step(action), twin.step(action))

    def test_no_step_before_the_first_reset_or_after_the_end(self, single: Single) -> None:
        env = single()
        action = next(actions_of(env.action_space, 1))
        with pytest.raises(DataError, match="never reset"):
            env.step(action)
        env.reset(seed=SEED)
        for action in actions_of(env.action_space, 1000):
            if any(env.step(action)[2:4]):
                break
        with pytest.raises(DataError, match="after the end"):
            env.step(action)
        env.reset()
        env.step(action)

    @pytest.mark.parametrize("seed", [-1, 0.5, "0"])
    def test_bad_seeds_and_options_are_refused(self, single: Single, many: Many, seed: Any) -> None:
        env, envs = single(), many(2)
        for reset in (env.reset, envs.reset):
            with pytest.raises(DataError, match="seed"):
                reset(seed=seed)
            with pytest.raises(DataError, match="unknown option 'nonsense'"):
                reset(seed=0, options={"nonsense": 1})
        with pytest.raises(DataError, match="seed"):
            envs.reset(seed=[0, seed])
        with pytest.raises(DataError, match="3 seeds for 2"):
            envs.reset(seed=[0, 1, 2])

    def test_pickles_go_on_where_they_were(self, single: Single, many: Many) -> None:
        env, envs = single(), many(3)
        rollout(env, 3)
        envs.reset(seed=SEED)
        for action in actions_of(envs.action_space, 3):
            envs.step(action)
        again, others = pickle.loads(pickle.dumps((env, envs)))
        env.reset()
        again.reset()
        for action in actions_of(env.action_space, 3):
            result = env.step(action)
            assert_same(again.step(action), result)
            if result[2] or result[3]:
                break
        for action in actions_of(envs.action_space, STEPS):
            assert_same(others.step(action), envs.step(action))

    def test_pictures(self, single: Single, many: Many) -> None:
        assert single().render() is None
        env, envs = single(render_mode="rgb_array"), many(2, render_mode="rgb_array")
        env.reset(seed=SEED)
        envs.reset(seed=SEED)
        picture, pictures = env.render(), envs.render()
        assert picture.dtype == np.uint8
        assert picture.shape[2] == 3
        assert_same(pictures[0], picture)
        assert not np.array_equal(*pictures)

    @pytest.mark.parametrize("count", [1, 7, 64])
    def test_an_arena_does_not_know_its_neighbours(self, single: Single, many: Many, count: int) -> None:
        """Environment i of the twin is a single one with its seed, over several episodes."""
        envs = many(count, autoreset_mode=AutoresetMode.NEXT_STEP)
        found = [envs.reset(seed=SEED)]
        taken = list(actions_of(envs.action_space, STEPS))
        for action in taken:
            observations, reward, terminated, truncated, infos = envs.step(action)
            found.append((observations, reward, terminated, truncated, infos))
        for i in {0, count // 2, count - 1}:
            env = single()
            result: Any = env.reset(seed=SEED + i)
            assert_same(row_of(found[0][0], i), result[0])
            assert_same(facts_of(found[0][1], i), result[1])
            over = False
            for action, (observations, reward, terminated, truncated, infos) in zip(taken, found[1:]):
                if over:
                    observation, info = env.reset()
                    wanted = (observation, 0.0, False, False, info)
                else:
                    wanted = env.step(list(iterate(envs.action_space, action))[i])
                over = wanted[2] or wanted[3]
                assert_same(row_of(observations, i), wanted[0])
                assert (reward[i], terminated[i], truncated[i]) == wanted[1:4]
                assert_same(facts_of(infos, i), wanted[4])

    @pytest.mark.parametrize("mode", MODES)
    def test_the_twin_is_like_gymnasiums_own(self, single: Single, many: Many, mode: AutoresetMode) -> None:
        """Observations, rewards, ends and infos, final ones included, in all modes of beginning anew."""
        count = 4
        envs, others = many(count, autoreset_mode=mode), SyncVectorEnv([single] * count, autoreset_mode=mode)
        assert envs.metadata["autoreset_mode"] == mode
        assert envs.observation_space == others.observation_space
        assert envs.action_space == others.action_space
        ours, theirs = envs.reset(seed=SEED), others.reset(seed=SEED)
        assert_same(ours[0], theirs[0])
        assert_same_infos(ours[1], theirs[1])
        ends = 0
        for number, action in enumerate(actions_of(envs.action_space, STEPS)):
            ours, theirs = envs.step(action), others.step(action)
            assert_same(ours[:4], theirs[:4], f"step {number}")
            assert_same_infos(ours[4], theirs[4], f"infos of step {number}")
            assert ours[0] in envs.observation_space
            ended = ours[2] | ours[3]
            ends += int(ended.sum())
            if mode == AutoresetMode.DISABLED and ended.any():
                # One of them with a new seed.
                seed = [int(number) if i == 1 else None for i in range(count)]
                pair = [each.reset(seed=seed, options={"reset_mask": ended.copy()}) for each in (envs, others)]
                assert_same(pair[0][0], pair[1][0])
                assert_same_infos(pair[0][1], pair[1][1])
        assert ends > count, "the episodes are too long for this test"

    def test_a_reset_of_some_leaves_the_others(self, many: Many) -> None:
        envs, others = (many(4, autoreset_mode=AutoresetMode.DISABLED) for _ in range(2))
        mask = np.array([False, True, False, True])
        before = envs.reset(seed=SEED)[0]
        after, infos = envs.reset(options={"reset_mask": mask})
        others.reset(seed=SEED)
        anew = others.reset()[0]
        for key in before:
            assert_same(after[key][~mask], before[key][~mask])
            assert_same(after[key][mask], anew[key][mask])
        assert all(np.array_equal(rows, mask) for name, rows in infos.items() if name.startswith("_"))

    def test_bad_masks_are_refused(self, many: Many) -> None:
        envs = many(3, autoreset_mode=AutoresetMode.DISABLED)
        with pytest.raises(DataError, match="never reset"):
            envs.reset(options={"reset_mask": np.array([True, False, True])})
        first = envs.reset(seed=SEED)[0]
        for mask in (np.ones(3), np.ones(2, bool), np.zeros(3, bool), [[True] * 3]):
            with pytest.raises(DataError, match="reset mask"):
                envs.reset(options={"reset_mask": mask})
        assert_same(envs.reset(seed=SEED)[0], first)

    @pytest.mark.usefixtures("unchecked_shapes")
    def test_the_twin_refuses_what_the_single_one_does(self, many: Many) -> None:
        envs = many(2, autoreset_mode=AutoresetMode.DISABLED)
        action = next(actions_of(envs.action_space, 1))
        with pytest.raises(DataError, match="never reset"):
            envs.step(action)
        envs.reset(seed=SEED)
        for wrong in ("nonsense", action[:1], np.concatenate([action, action])):
            with pytest.raises(DataError):
                envs.step(wrong)
        for action in actions_of(envs.action_space, 1000):
            ended = np.logical_or(*envs.step(action)[2:4])
            if ended.any():
                break
        with pytest.raises(DataError, match=f"arena {int(np.flatnonzero(ended)[0])}"):
            envs.step(action)

    def test_actions_that_are_ignored_may_be_anything(self, many: Many) -> None:
        envs, others = (many(2, autoreset_mode=AutoresetMode.NEXT_STEP) for _ in range(2))
        space = envs.single_action_space
        wrong = np.full(envs.action_space.shape[1:], np.nan if isinstance(space, spaces.Box) else -1)
        envs.reset(seed=SEED)
        others.reset(seed=SEED)
        over = np.zeros(2, bool)
        for action in actions_of(envs.action_space, STEPS):
            changed = np.where(over.reshape(-1, *[1] * (action.ndim - 1)), wrong.astype(action.dtype), action)
            found, wanted = envs.step(changed), others.step(action)
            assert_same(found, wanted)
            over = wanted[2] | wanted[3]

    def test_processes_of_their_own_give_the_same(self, single: Single) -> None:
        """Which also needs that observations travel through shared memory."""
        here, there = SyncVectorEnv([single] * 2), AsyncVectorEnv([single] * 2)
        try:
            assert_same(here.reset(seed=SEED), there.reset(seed=SEED))
            for action in actions_of(here.action_space, 12):
                assert_same(here.step(action), there.step(action))
        finally:
            there.close()


def row_of(observations: dict[str, Any], i: int) -> dict[str, Any]:
    """What one of many sees."""
    return {key: value[i] for key, value in observations.items()}


def facts_of(infos: dict[str, Any], i: int) -> dict[str, Any]:
    """What is said of one of many; single numbers as Python's own."""
    known = {name: value[i] for name, value in infos.items() if not name.startswith("_") and infos[f"_{name}"][i]}
    return {name: value.item() if np.ndim(value) == 0 else value for name, value in known.items()}
