"""What model-free learners see, and Spriteworld as stable-baselines3's vector environment."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("stable_baselines3")

from percepts.agents.cobra.slots import OracleFactors, SlotState
from percepts.agents.model_free_arenas import LearnerArenas, even_space, native_actions
from percepts.agents.model_free_views import FactorsView, PixelsView, SlotsView, view_of
from percepts.core.errors import CapabilityError, CheckpointError, ConfigError, DataError
from percepts.core.random import derive_seed
from percepts.envs.spriteworld.actions import ClickGrid, Embodied, SelectMove
from percepts.envs.spriteworld.configs import cobra_task
from percepts.envs.spriteworld.env import SpriteworldEnv
from percepts.envs.spriteworld.state import FACTORS
from percepts.envs.spriteworld.vector import SpriteworldVectorEnv

ROW = torch.tensor([0.2, 0.7, 6.0, 90.0, 0.13, 0.4, 0.5, 0.9, -0.1, 0.3])


class TwoSlots:
    """Slots of two latents, of which the second is empty and holds nonsense."""

    slots, latents, observes = None, 2, ("factors",)

    def encode(self, observation):
        latents = observation["factors"][:, :2, :2].clone()
        latents[:, 1] = torch.nan
        return SlotState(latents, torch.tensor([[0.5, 0.0]]).expand(len(latents), 2))

    def decode(self, latents):
        raise NotImplementedError


def observed(rows: torch.Tensor, present: list[list[bool]]) -> dict[str, torch.Tensor]:
    return {"factors": rows, "present": torch.tensor(present)}


def learner_arenas(world, count: int = 1, sees="factors", encoder=None, **settings) -> LearnerArenas:
    view = view_of(sees, world, encoder=encoder)
    return LearnerArenas(
        SpriteworldVectorEnv(count, world, autoreset_mode="SameStep", keys=view.observes), view, **settings
    )


def test_factors_are_flattened_and_absent_sprites_are_zero():
    rows = torch.stack([ROW, torch.full((10,), torch.nan)])[None]
    seen = FactorsView(3).of(observed(rows, [[True, False]]))
    assert seen.shape == (1, 3 * 10 + 3)
    scaled = ROW.clone()
    scaled[FACTORS.index("shape")], scaled[FACTORS.index("angle")] = 0.5, 0.25
    torch.testing.assert_close(seen[0, :10], scaled)
    assert (seen[0, 10:30] == 0).all()
    assert seen[0, 30:].tolist() == [1, 0, 0]


def test_colours_of_255_are_brought_to_one():
    rows = ROW.clone()
    rows[5:8] = torch.tensor([255.0, 51.0, 0.0])
    seen = FactorsView(1, "rgb").of(observed(rows[None, None], [[True]]))
    torch.testing.assert_close(seen[0, 5:8], torch.tensor([1.0, 0.2, 0.0]))


def test_slots_are_latents_times_weights_and_weights():
    view = SlotsView(TwoSlots(), places=3)
    seen = view.of({"factors": torch.stack([ROW, ROW])[None]})
    assert view.shape == (9,)
    torch.testing.assert_close(seen, torch.tensor([[0.1, 0.35, 0, 0, 0, 0, 0.5, 0, 0]]))


def test_what_an_encoder_does_not_see_does_not_matter():
    world = cobra_task("goal-finding-more-distractors")
    sprites = world.arena.build().reset(range(5)).sprites
    view = view_of("slots", world, places=4, encoder=OracleFactors.Config(shape="hidden").build())
    seen = view.of({"factors": sprites.factors, "present": sprites.present})
    other = sprites.factors.clone()
    other[..., FACTORS.index("shape")] = 1
    assert seen.shape == (5, 4 * 6 + 4)
    assert torch.equal(seen, view.of({"factors": other, "present": sprites.present}))


def test_pixels_come_channels_first_whether_bytes_or_floats():
    world = cobra_task("sorting")
    observer = replace(world.observer, height=40, width=48)
    sprites = world.arena.build().reset(range(3)).sprites
    image = observer.observe(sprites)["image"]
    view = PixelsView(40, 48)
    seen = view.of({"image": image})
    assert seen.dtype == torch.uint8
    assert torch.equal(seen[:, 2, 7, 11], image[:, 7, 11, 2])
    assert torch.equal(seen, view.of(replace(observer, image_as="floats").observe(sprites)))
    assert view.space.contains(seen[0].numpy())
    with pytest.raises(DataError, match="as in training"):
        view.of({"image": image[:, :20]})


def test_views_refuse_what_does_not_fit():
    world = cobra_task("sorting")
    with pytest.raises(ConfigError, match="slots without an encoder"):
        view_of("slots", world)
    with pytest.raises(ConfigError, match="sees factors"):
        view_of("factors", world, encoder=TwoSlots())
    with pytest.raises(ConfigError, match="36 pixels"):
        view_of("pixels", replace(world, observer=replace(world.observer, height=35)))
    with pytest.raises(CapabilityError, match="'present'"):
        FactorsView(2).of({"factors": ROW[None, None]})
    with pytest.raises(DataError, match="places = 2"):
        FactorsView(1).of(observed(torch.stack([ROW, ROW])[None], [[True, True]]))


def test_actions_of_learners_span_those_of_the_arena():
    space = SelectMove(scale=0.25).space
    assert (even_space(space).low == -1).all()
    assert (even_space(space).high == 1).all()
    corners = np.array([[-1, 1, 0, 0.5], [2, -2, 0, 0]], np.float32)
    np.testing.assert_allclose(native_actions(corners, space), [[0, 1, 0.5, 0.75], [1, 0, 0.5, 0.5]])
    for discrete in (Embodied().space, ClickGrid().space):
        assert even_space(discrete) is discrete
        assert native_actions(np.array([1]), discrete) == np.array([1])


def test_an_arena_gives_the_trajectory_of_the_single_environment():
    """Rewards, ends, what is seen, and what was seen last, over several episodes."""
    world = cobra_task("goal-finding-new-shape", noise=0.05)
    world = replace(world, arena=replace(world.arena, max_episode_length=4))
    arenas = learner_arenas(world, 3, reward_scale=0.1)
    arenas.seed(5)
    seen = arenas.reset()
    alone = SpriteworldEnv(world, keys=("factors", "present"))
    first, _ = alone.reset(seed=derive_seed(5, "learner arena", 1))

    def as_seen(observation):
        return arenas.view.of({"factors": torch.tensor(observation["factors"])[None],
                               "present": torch.tensor(observation["present"])[None]})[0].numpy()  # fmt: skip

    generator, total, ends = np.random.default_rng(0), 0.0, 0
    np.testing.assert_array_equal(seen[1], as_seen(first))
    for _ in range(13):
        actions = generator.uniform(-1, 1, (3, 4)).astype(np.float32)
        seen, reward, ended, infos = arenas.step(actions)
        last, expected, terminated, truncated, facts = alone.step(native_actions(actions, alone.action_space)[1])
        total += expected
        assert reward.dtype == np.float32
        np.testing.assert_allclose(reward[1], 0.1 * expected, rtol=1e-6)
        assert ended[1] == (terminated or truncated)
        if ended[1]:
            np.testing.assert_array_equal(infos[1]["terminal_observation"], as_seen(last))
            assert infos[1]["TimeLimit.truncated"] == truncated
            assert infos[1]["is_success"] == facts["success"]
            assert infos[1]["episode"]["r"] == pytest.approx(total)
            last, _ = alone.reset()
            total, ends = 0.0, ends + 1
        else:
            assert infos[1] == {}
        np.testing.assert_array_equal(seen[1], as_seen(last))
    assert ends >= 3


@pytest.mark.parametrize(("distance", "truncated"), [(10.0, False), (0.0, True)])
def test_only_the_end_of_time_is_a_truncation(distance: float, truncated: bool):
    """An episode of one step: a task that is done in the last step is over, though time is up too."""
    world = cobra_task("goal-finding-new-shape")
    task = replace(world.arena.task, terminate_distance=distance)
    arenas = learner_arenas(replace(world, arena=replace(world.arena, task=task, max_episode_length=1)), 2)
    arenas.reset()
    _, _, ended, infos = arenas.step(np.zeros((2, 4), np.float32))
    assert ended.all()
    assert [info["TimeLimit.truncated"] for info in infos] == [truncated] * 2
    assert [info["is_success"] for info in infos] == [not truncated] * 2
    assert [info["episode"]["l"] for info in infos] == [1, 1]


def test_neighbouring_seeds_have_no_arena_in_common():
    arenas = learner_arenas(cobra_task("sorting"), 8)
    assert not set(arenas.seed(0)) & set(arenas.seed(1))
    first = arenas.reset()
    arenas.seed(1)
    np.testing.assert_array_equal(first, arenas.reset())
    arenas.seed()
    assert not np.array_equal(first, arenas.reset())


def test_arenas_go_on_from_a_saved_state():
    world = cobra_task("goal-finding-new-position", noise=0.05)
    world = replace(world, arena=replace(world.arena, max_episode_length=3))
    arenas, others = learner_arenas(world, 2), learner_arenas(world, 2)
    arenas.seed(0)
    arenas.reset()
    actions = np.random.default_rng(0).uniform(-1, 1, (9, 2, 4)).astype(np.float32)
    for action in actions[:4]:
        arenas.step(action)
    others.load_state_dict(arenas.state_dict())
    for action in actions[4:]:
        for own, other in zip(arenas.step(action), others.step(action)):
            if isinstance(own, list):
                assert [info.get("episode") for info in own] == [info.get("episode") for info in other]
            else:
                np.testing.assert_array_equal(own, other)
    with pytest.raises(CheckpointError, match="2 arenas"):
        learner_arenas(world, 3).load_state_dict(arenas.state_dict())


def test_learners_refuse_arenas_that_do_not_fit():
    world = cobra_task("sorting")
    view = view_of("factors", world)
    with pytest.raises(ConfigError, match="SameStep"):
        LearnerArenas(SpriteworldVectorEnv(1, world, keys=view.observes), view)
    with pytest.raises(ConfigError, match="keys="):
        LearnerArenas(SpriteworldVectorEnv(1, world, autoreset_mode="SameStep"), view)
    with pytest.raises(ConfigError, match="reward_scale"):
        learner_arenas(world, reward_scale=0.0)
    arenas = learner_arenas(world)
    with pytest.raises(CapabilityError):
        arenas.env_method("reset")
    arenas.set_options({"factors": []})
    with pytest.raises(ConfigError, match="options"):
        arenas.reset()


def test_the_library_takes_them_as_they_are():
    """Its own evaluation counts our episodes."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.evaluation import evaluate_policy

    world = cobra_task("goal-finding-new-position")
    world = replace(world, arena=replace(world.arena, max_episode_length=3))
    arenas = learner_arenas(world, 2)
    learner = PPO("MlpPolicy", arenas, n_steps=4, batch_size=8, seed=0, device="cpu")
    returns, lengths = evaluate_policy(learner, arenas, 6, return_episode_rewards=True, warn=False)
    assert len(returns) == 6
    assert max(lengths) <= 3
    assert arenas.get_images() == [None, None]
