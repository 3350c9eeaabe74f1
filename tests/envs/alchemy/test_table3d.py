"""The Gymnasium environments of Alchemy in 3-D, and their events."""

from __future__ import annotations

import pickle
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from percepts.core.errors import ConfigError, DataError
from percepts.envs.alchemy.bench import CAULDRON
from percepts.envs.alchemy.cursor import SPEED
from percepts.envs.alchemy.levels import LEVELS
from percepts.envs.alchemy.scene import SceneView
from percepts.envs.alchemy.scene_events import (
    CauldronCreated,
    ChemistryCreated,
    PotionCreated,
    PotionUsed,
    StoneCreated,
    StoneUsed,
    TrialEnded,
    TrialStarted,
)
from percepts.envs.alchemy.table3d import Alchemy3DEnv, Alchemy3DVectorEnv, environment_id
from percepts.envs.alchemy.vector import AlchemyVectorEnv

SMALL = SceneView.Config(height=18, width=24, samples=1)


def made(**settings: Any) -> Alchemy3DEnv:
    return Alchemy3DEnv(**{"view": SMALL, "interface": "cursor", "see": ("symbolic",), **settings})


def go(env: Alchemy3DEnv, place: Any, grip: float) -> tuple[Any, float, bool, bool, dict[str, Any]]:
    """Bring the cursor to a place at once or as fast as it goes."""
    for _ in range(60):
        way = torch.tensor(place) - env.player.bench.hand[0, :2]
        if float(way.abs().max()) < 0.01:
            break
        push = (way * env.world.bench.config.rate / SPEED).tolist()
        env.step({"CURSOR_LEFT_RIGHT": push[0], "CURSOR_BACK_FORWARD": push[1], "HAND_GRIP": grip})
    return env.step({"CURSOR_LEFT_RIGHT": 0.0, "CURSOR_BACK_FORWARD": 0.0, "HAND_GRIP": grip})


@pytest.mark.parametrize("interface", ["hands", "cursor"])
def test_gymnasium_finds_nothing_wrong(interface: str) -> None:
    settings = {"interface": interface, "seconds": 0.2, "trials": 1, "see": ("symbolic", "segmentation"), "view": SMALL}
    env = gymnasium.make("Alchemy3D/RotationRandomBottleneck-v0", **settings)
    check_env(env.unwrapped, skip_render_check=True)
    observation, _ = env.reset(seed=0)
    assert set(observation) == {
        "RGB_INTERLEAVED", "ACCELERATION", "HAND_FORCE", "HAND_IS_HOLDING", "HAND_DISTANCE", "Score", "symbolic",
        "segmentation",
    }  # fmt: skip


def test_every_level_has_an_id_and_pictures_have_the_originals_size() -> None:
    assert all(environment_id(level) in gymnasium.registry for level in LEVELS)
    assert Alchemy3DEnv().observation_space["RGB_INTERLEAVED"].shape == (72, 96, 3)  # type: ignore[index]


@pytest.mark.parametrize("seeding", ["fast", "compat"])
def test_the_symbolic_side_is_that_of_the_symbolic_environment(seeding: Any) -> None:
    symbolic = AlchemyVectorEnv(4, "random-bottleneck", seeding=seeding)
    settings: dict[str, Any] = {"view": SMALL, "see": ("symbolic",), "seeding": seeding, "seconds": 0.1}
    envs = Alchemy3DVectorEnv(4, "random-bottleneck", interface="cursor", **settings)
    expected, _ = symbolic.reset(seed=3)
    found, _ = envs.reset(seed=3)
    assert np.array_equal(found["symbolic"], expected["symbolic"])
    for _ in range(3):
        found, *_, infos = envs.step({"HAND_GRIP": 0.0})
    for _ in range(20):
        expected, *_ = symbolic.step(np.zeros(4, np.int64))
    assert infos["new_trial"].all()
    assert np.array_equal(found["symbolic"], expected["symbolic"])


def test_an_episode_by_hand_and_its_events() -> None:
    env = made(seconds=7.0, rate=10, trials=2)
    observation, info = env.reset(seed=2)
    events = info["events"]
    assert isinstance(events[0], ChemistryCreated)
    assert events[1:3] == (TrialStarted(0), CauldronCreated((*CAULDRON, 0.75)))
    stones = [event for event in events if isinstance(event, StoneCreated)]
    potions = [event for event in events if isinstance(event, PotionCreated)]
    assert [event.stone for event in stones] == [0, 1, 2]
    assert [event.potion for event in potions] == list(range(12))
    shown = observation["symbolic"][:15].reshape(3, 5)
    for event, numbers in zip(stones, shown):
        it = event.properties
        assert [it.colour, it.size, it.roundness] == numbers[:3].tolist()
        assert it.reward == pytest.approx(3 * numbers[3])
    observation, *_ = go(env, stones[1].place[:2], 0.0)
    observation, *_ = go(env, stones[1].place[:2], 1.0)
    assert observation["HAND_IS_HOLDING"] == 1
    assert observation["HAND_FORCE"] > 0
    go(env, potions[5].place[:2], 1.0)
    *_, info = go(env, potions[5].place[:2], 0.0)
    (used,) = info["events"]
    assert isinstance(used, PotionUsed)
    assert (used.stone, used.potion, used.properties) == (1, 5, potions[5].properties)
    assert used.before == stones[1].properties
    assert used.after.latent == int(env.player.bench.table.stones[0, 1])
    go(env, potions[5].place[:2], 1.0)
    go(env, CAULDRON, 1.0)
    observation, reward, _, _, info = go(env, CAULDRON, 0.0)
    (banked,) = info["events"]
    assert isinstance(banked, StoneUsed)
    assert (banked.stone, banked.properties, banked.reward) == (1, used.after, reward)
    assert reward == (15 if used.after.reward == 3 else used.after.reward)
    assert observation["Score"] == info["score"] == info["trial_score"] == reward
    while not info["new_trial"]:
        *_, info = env.step({})
    assert info["events"][:2] == (TrialEnded(0), TrialStarted(1))
    assert not any(isinstance(event, ChemistryCreated) for event in info["events"])
    assert info["trial"] == 1


def test_a_chemistry_that_changes_is_told() -> None:
    env = made(seconds=0.04, trials=3, switch_trials=(1,))
    env.reset(seed=0)
    *_, info = env.step({})
    assert isinstance(info["events"][1], ChemistryCreated)
    *_, info = env.step({})
    assert not any(isinstance(event, ChemistryCreated) for event in info["events"])


def test_controls_stay_as_they_were_set() -> None:
    env = made()
    env.reset(seed=0)
    start = env.player.bench.hand[0, 0].item()
    env.step({"CURSOR_LEFT_RIGHT": 1.0})
    one = env.player.bench.hand[0, 0].item()
    env.step({})
    env.step({"CURSOR_BACK_FORWARD": 0.0})
    assert env.player.bench.hand[0, 0].item() == pytest.approx(start + 3 * (one - start), abs=1e-5)
    env.step({"CURSOR_LEFT_RIGHT": 0.0})
    assert env.player.bench.hand[0, 0].item() == pytest.approx(start + 3 * (one - start), abs=1e-5)
    env.step({"CURSOR_LEFT_RIGHT": 1.0})
    env.reset()
    start = env.player.bench.hand[0, 0].item()
    env.step({})
    assert env.player.bench.hand[0, 0].item() == start, "an episode begins with controls at rest"


def test_repeated_actions_are_frames_one_after_another() -> None:
    one, four = made(num_action_repeats=1, seconds=0.5, trials=2), made(num_action_repeats=4, seconds=0.5, trials=2)
    one.reset(seed=1)
    four.reset(seed=1)
    rng = np.random.default_rng(0)
    total = 0.0
    for _ in range(7):
        action = {"CURSOR_LEFT_RIGHT": rng.uniform(-1, 1), "HAND_GRIP": rng.uniform()}
        told: list[Any] = []
        reward = 0.0
        for _ in range(4):
            seen, paid, over, _, info = one.step(action)
            reward += paid
            told.extend(info["events"])
            if over:
                break
        repeated, paid, done, _, info = four.step(action)
        assert (paid, done, info["events"]) == (reward, over, tuple(told))
        assert np.array_equal(seen["RGB_INTERLEAVED"], repeated["RGB_INTERLEAVED"])
        total += paid
    assert info["frame"] == 28 - 15


@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
@pytest.mark.parametrize("interface", ["hands", "cursor"])
def test_many_tables_are_as_single_ones(mode: str, interface: Any) -> None:
    settings: dict[str, Any] = {
        "view": SMALL,
        "interface": interface,
        "seconds": 0.1,
        "trials": 2,
        "see": ("symbolic",),
    }
    envs = Alchemy3DVectorEnv(3, autoreset_mode=mode, **settings)
    single = Alchemy3DEnv(**settings)
    seen, infos = envs.reset(seed=4)
    expected, info = single.reset(seed=6)
    assert infos["events"][2] == info["events"]
    envs.action_space.seed(0)
    for step in range(1, 9):
        action = envs.action_space.sample()
        if step == 7 and mode == "Disabled":
            seen, infos = envs.reset(options={"reset_mask": np.array([True, True, True])})
            expected, info = single.reset()
        elif step == 7 and mode == "NextStep":
            seen, *_, infos = envs.step(action)
            expected, info = single.reset()
        else:
            seen, reward, over, _, infos = envs.step(action)
            expected, paid, done, _, info = single.step({name: value[2] for name, value in action.items()})
            assert (reward[2], over[2]) == (paid, done)
            if step == 6 and mode == "SameStep":
                assert infos["final_info"]["events"][2] == info["events"] == (TrialEnded(1),)
                expected, info = single.reset()
        for name, value in expected.items():
            assert np.array_equal(seen[name][2], value), (step, name)
        assert infos["events"][2] == info["events"]
        assert infos["frame"][2] == info["frame"]
        assert (step == 6) == bool(over[2]) or step > 6


def test_pictures_and_pickles() -> None:
    env = made(render_mode="rgb_array")
    observation, _ = env.reset(seed=0)
    picture = env.render()
    assert picture is not None
    assert np.array_equal(picture, observation["RGB_INTERLEAVED"])
    assert made().render() is None
    copy = pickle.loads(pickle.dumps(env))
    assert np.array_equal(copy.step({"CURSOR_LEFT_RIGHT": 1.0})[0]["symbolic"], env.step({})[0]["symbolic"])
    envs = Alchemy3DVectorEnv(2, view=SMALL, render_mode="rgb_array")
    envs.reset(seed=0)
    pictures = envs.render()
    assert pictures is not None
    assert len(pictures) == 2


@pytest.mark.parametrize(
    ("action", "match"),
    [
        ({"HAND_GRAB": 1.0}, "did you mean 'HAND_GRIP'"),
        ({"HAND_GRIP": "tight"}, "a number"),
        ({"HAND_GRIP": float("nan")}, "finite"),
        ({"HAND_GRIP": [1.0, 2.0]}, "one for each table"),
        (0, "a mapping of controls"),
        (None, "a mapping of controls"),
    ],
)
def test_bad_actions(action: Any, match: str) -> None:
    env = made()
    env.reset(seed=0)
    before = env.player.bench.frame.clone()
    with pytest.raises(DataError, match=match):
        env.step(action)
    assert torch.equal(env.player.bench.frame, before), "nothing has happened"


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"interface": "feet"}, "hands, cursor"),
        ({"see": ("smell",)}, "symbolic"),
        ({"num_action_repeats": 0}, "num_action_repeats"),
        ({"level": "nowhere"}, "unknown level"),
        ({"stone": 2}, "did you mean 'stones'"),
        ({"height": 36}, "interface, seconds, rate, num_action_repeats, view, see"),
        ({"render_mode": "human"}, "percepts play"),
    ],
)
def test_bad_settings(settings: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        made(**settings)


def test_steps_before_the_first_reset_and_after_the_end() -> None:
    env = made(seconds=0.03, trials=1)
    with pytest.raises(DataError, match="never reset"):
        env.step({})
    env.reset(seed=0)
    assert env.step({})[2]
    with pytest.raises(DataError, match="after the end"):
        env.step({})
