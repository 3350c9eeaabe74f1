"""The original's actions: who moves where, what it costs, and which random numbers it takes."""

from __future__ import annotations

import numpy as np
import pytest

from percepts.core.errors import ConfigError
from percepts.data.distributions import Continuous
from percepts.envs.spriteworld.actions import ClickGrid, DragAndDrop, Embodied, SelectMove
from percepts.envs.spriteworld.compat_actions import act, sample_action
from percepts.envs.spriteworld.compat_sprite import CompatDataError, CompatSprite

CLICK = np.array([0.3, 0.5, 0.9, 0.3])


def scene(*places: tuple[float, float]) -> list[CompatSprite]:
    return [CompatSprite({"x": x, "y": y, "scale": 0.2}) for x, y in places]


def positions(sprites: list[CompatSprite]) -> np.ndarray:
    return np.array([sprite.position for sprite in sprites])


def rng(seed: int = 0) -> np.random.RandomState:
    return np.random.RandomState(seed)


def test_a_click_moves_the_topmost_sprite_by_the_scaled_motion():
    sprites = scene((0.3, 0.5), (0.35, 0.5), (0.8, 0.5))
    assert act(SelectMove(scale=0.25), CLICK, sprites, rng()) == (0.0, 1)
    np.testing.assert_allclose(positions(sprites), [[0.3, 0.5], [0.45, 0.45], [0.8, 0.5]])


def test_a_drag_moves_towards_its_second_point():
    sprites = scene((0.3, 0.5))
    assert act(DragAndDrop(scale=0.5), CLICK, sprites, rng()) == (0.0, 0)
    np.testing.assert_allclose(positions(sprites), [[0.6, 0.4]])


@pytest.mark.parametrize(("click", "hit"), [(CLICK, 0), (np.array([0.9, 0.9, 0.9, 0.3]), -1)])
def test_a_motion_costs_its_length_whether_or_not_it_hits(click, hit):
    reward, found = act(SelectMove(scale=0.5, motion_cost=2.0), click, scene((0.3, 0.5)), rng())
    assert (reward, found) == (pytest.approx(-2 * np.hypot(0.2, 0.1)), hit)


def test_noise_is_added_to_all_four_numbers_and_not_clipped():
    sprites = scene((0.3, 0.5))
    act(SelectMove(scale=0.25, noise=0.05), CLICK, sprites, rng(3))
    noise = rng(3).normal(0.0, 0.05, 4)
    np.testing.assert_allclose(positions(sprites)[0], [0.3, 0.5] + 0.25 * (CLICK[2:] + noise[2:] - 0.5))
    exact, twin = rng(), rng()
    act(SelectMove(), CLICK, sprites, exact)
    assert exact.uniform() == twin.uniform()


def test_centres_leave_the_frame_only_where_they_may():
    kept, free = scene((0.1, 0.5)), scene((0.1, 0.5))
    left = np.array([0.1, 0.5, 0.0, 0.5])
    act(SelectMove(), left, kept, rng(), keep_in_frame=True)
    act(SelectMove(), left, free, rng(), keep_in_frame=False)
    np.testing.assert_allclose([positions(kept)[0, 0], positions(free)[0, 0]], [0.0, -0.4])


@pytest.mark.parametrize(("direction", "step"), [(0, (0, 0.05)), (1, (-0.05, 0)), (2, (0, -0.05)), (3, (0.05, 0))])
def test_a_body_walks_and_carries_what_is_under_its_centre(direction, step):
    places = (0.5, 0.5), (0.52, 0.5), (0.9, 0.5), (0.5, 0.5)
    for carry in (0, 1):
        sprites = scene(*places)
        reward, hit = act(Embodied(motion_cost=3.0), [carry, direction], sprites, rng())
        assert (reward, hit) == (pytest.approx(-0.15), 1 if carry else -1)
        moved = np.array([0, carry, 0, 1])[:, None] * np.array(step)
        np.testing.assert_allclose(positions(sprites), np.array(places) + moved)


def test_a_body_that_carries_nothing_walks_alone():
    sprites = scene((0.1, 0.1), (0.5, 0.5))
    assert act(Embodied(), [1, 0], sprites, rng())[1] == -1
    np.testing.assert_allclose(positions(sprites), [[0.1, 0.1], [0.5, 0.55]])


def test_sampled_actions_take_the_originals_numbers():
    one, twin = rng(5), rng(5)
    np.testing.assert_array_equal(sample_action(SelectMove(), one), twin.uniform(0, 1, 4))
    assert sample_action(Embodied(), one) == [twin.randint(0, 2), twin.randint(0, 4)]


def test_noise_for_each_number_fails_as_in_the_original():
    with pytest.raises(CompatDataError, match="noise"):
        act(SelectMove(noise=(0.1, 0.1, 0.1, 0.1)), CLICK, scene((0.3, 0.5)), rng())


@pytest.mark.parametrize(
    "space",
    [
        ClickGrid(),
        SelectMove(movable=Continuous("c0", 0.0, 1.0)),
        Embodied(movable=Continuous("c0", 0.0, 1.0)),
        DragAndDrop(relative_noise=0.1),
    ],
)
def test_what_the_original_does_not_have_is_an_error(space):
    with pytest.raises(ConfigError, match="original has no"):
        act(space, [0, 0] if isinstance(space, Embodied) else CLICK, scene((0.3, 0.5)), rng())


def test_actions_of_an_unknown_kind_cannot_be_sampled():
    with pytest.raises(ConfigError, match="ClickGrid"):
        sample_action(ClickGrid(), rng())
