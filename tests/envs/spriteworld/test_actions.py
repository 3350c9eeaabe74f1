"""Action spaces: which sprite moves and how far, noise, costs, borders, and actions that are none."""

from __future__ import annotations

import json
import math
import pickle

import gymnasium
import pytest
import torch
from torch import Tensor

from percepts.core.config import from_json, to_json
from percepts.core.errors import ConfigError, DataError
from percepts.data.distributions import Continuous, Discrete
from percepts.envs.spriteworld.actions import ActionSpace, ClickGrid, DragAndDrop, Embodied, SelectMove
from percepts.envs.spriteworld.state import DEFAULTS, FACTORS, Sprites


def arena(*points: tuple[float, float], scale: float = 0.2, hues: tuple[float, ...] | None = None) -> Sprites:
    """One arena with squares at these points."""
    factors = torch.tensor([list(DEFAULTS.values())] * len(points), dtype=torch.float64).reshape(1, -1, 10)
    for number, (x, y) in enumerate(points):
        factors[0, number, :2] = torch.tensor([x, y], dtype=torch.float64)
        factors[0, number, FACTORS.index("scale")] = scale
        if hues is not None:
            factors[0, number, FACTORS.index("c0")] = hues[number]
    return Sprites.of(factors, torch.ones(1, len(points), dtype=torch.bool))


def crowd(count: int, most: int = 6, seed: int = 0) -> Sprites:
    generator = torch.Generator().manual_seed(seed)
    factors = torch.rand(count, most, 10, dtype=torch.float64, generator=generator)
    factors[..., FACTORS.index("shape")] = torch.randint(1, 13, (count, most), generator=generator).double()
    factors[..., FACTORS.index("scale")] *= 0.4
    return Sprites.of(factors, torch.rand(count, most, generator=generator) < 0.8)


def act(*numbers: float) -> Tensor:
    return torch.tensor([numbers], dtype=torch.float32)


def near(values: Tensor, *expected: float) -> bool:
    return torch.allclose(values.flatten(), torch.tensor(expected, dtype=torch.float64), atol=1e-6)


def test_select_move_moves_the_topmost_sprite_under_the_click() -> None:
    state = arena((0.4, 0.4), (0.45, 0.4), (0.9, 0.9))
    done = SelectMove(scale=0.5).apply(state, act(0.42, 0.4, 0.75, 0.25))
    assert done.hit.tolist() == [1]
    assert near(done.motion, 0.125, -0.125)
    assert near(done.sprites.position, 0.4, 0.4, 0.575, 0.275, 0.9, 0.9)
    assert done.moved.tolist() == [[False, True, False]]
    assert near(state.position, 0.4, 0.4, 0.45, 0.4, 0.9, 0.9)  # the state before is as it was


def test_a_click_beside_all_sprites_moves_nothing_and_costs() -> None:
    state = arena((0.2, 0.2))
    done = SelectMove(scale=0.5, motion_cost=2.0).apply(state, act(0.8, 0.8, 0.9, 0.2))
    assert done.hit.tolist() == [-1]
    assert torch.equal(done.sprites.position, state.position)
    assert not done.moved.any()
    assert near(done.cost, 2 * 0.5 * math.hypot(0.4, 0.3))
    assert SelectMove().apply(state, act(0.8, 0.8, 0.9, 0.2)).cost.tolist() == [0.0]


def test_drag_and_drop_moves_by_the_drag() -> None:
    done = DragAndDrop(scale=0.5, motion_cost=1.0).apply(arena((0.3, 0.3)), act(0.25, 0.3, 0.65, 0.6))
    assert near(done.motion, 0.2, 0.15)
    assert near(done.sprites.position, 0.5, 0.45)
    assert near(done.cost, 0.25)


def test_centres_stay_in_the_frame_or_do_not() -> None:
    state, action = arena((0.95, 0.05)), act(0.95, 0.05, 1.0, 0.0)
    assert near(SelectMove().apply(state, action).sprites.position, 1.0, 0.0)
    assert near(SelectMove().apply(state, action, keep_in_frame=False).sprites.position, 1.45, -0.45)


def test_only_some_sprites_can_be_moved() -> None:
    state = arena((0.4, 0.4), (0.4, 0.4), hues=(0.1, 0.9))
    movable = Continuous("c0", 0.0, 0.5)
    assert SelectMove(movable=movable).apply(state, act(0.4, 0.4, 0.6, 0.5)).hit.tolist() == [0]
    nothing = SelectMove(movable=Continuous("c0", 0.2, 0.5)).apply(state, act(0.4, 0.4, 0.6, 0.5))
    assert nothing.hit.tolist() == [-1]


def test_absent_sprites_are_not_hit() -> None:
    state = arena((0.4, 0.4), (0.4, 0.4))
    state.present[0, 1] = False
    assert SelectMove().apply(state, act(0.4, 0.4, 0.6, 0.5)).hit.tolist() == [0]


def test_noise_is_added_to_all_four_numbers() -> None:
    state = arena((0.4, 0.4), scale=0.1)
    actions = SelectMove(scale=0.5, noise=0.05)
    assert actions.noise_shape == (4,)
    beside = torch.tensor([[2.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    assert actions.apply(state, act(0.4, 0.4, 0.6, 0.5), beside).hit.tolist() == [-1]
    pushed = torch.tensor([[0.0, 0.0, 1.0, -2.0]], dtype=torch.float64)
    assert near(actions.apply(state, act(0.4, 0.4, 0.6, 0.5), pushed).motion, 0.5 * 0.15, 0.5 * -0.1)
    beyond = torch.tensor([[0.0, 0.0, 20.0, 0.0]], dtype=torch.float64)
    assert near(actions.apply(state, act(0.4, 0.4, 0.6, 0.5), beyond).motion, 0.5 * 1.1, 0.0)  # not clipped


def test_noise_of_every_number_by_itself() -> None:
    state = arena((0.4, 0.4))
    actions = DragAndDrop(noise=(0.0, 0.0, 0.1, 0.2))
    ones = torch.ones(1, 4, dtype=torch.float64)
    assert near(actions.apply(state, act(0.4, 0.4, 0.4, 0.4), ones).motion, 0.1, 0.2)
    assert SelectMove(noise=0.0).noise_shape is None
    assert SelectMove(noise=(0.0, 0.0, 0.0, 0.0)).noise_shape is None
    assert SelectMove().noise_shape is None


def test_noise_in_proportion_to_the_motion() -> None:
    actions = SelectMove(relative_noise=0.5)
    assert actions.noise_shape == (6,)
    draws = torch.tensor([[9.0, 9.0, 9.0, 9.0, 1.0, -2.0]], dtype=torch.float64)
    done = actions.apply(arena((0.4, 0.4)), act(0.4, 0.4, 0.6, 0.7), draws)
    assert done.hit.tolist() == [0]
    assert near(done.motion, 0.1 * 1.5, 0.0)


def body_arena() -> Sprites:
    """Two sprites on one another, one far away, and the body in front, over the first two."""
    return arena((0.5, 0.5), (0.52, 0.5), (0.1, 0.1), (0.5, 0.48))


@pytest.mark.parametrize(
    ("direction", "step"), [(0, (0.0, 0.05)), (1, (-0.05, 0.0)), (2, (0.0, -0.05)), (3, (0.05, 0.0))]
)
def test_the_body_walks(direction: int, step: tuple[float, float]) -> None:
    done = Embodied(motion_cost=3.0).apply(body_arena(), torch.tensor([[0, direction]]))
    assert near(done.sprites.position[0, 3] - body_arena().position[0, 3], *step)
    assert near(done.motion, *step)
    assert done.moved.tolist() == [[False, False, False, True]]
    assert (done.hit.tolist(), done.cost.tolist()) == ([-1], [pytest.approx(0.15)])


def test_the_body_carries_the_topmost_sprite_under_its_centre() -> None:
    done = Embodied().apply(body_arena(), torch.tensor([[1, 3]]))
    assert done.hit.tolist() == [1]
    assert done.moved.tolist() == [[False, True, False, True]]
    assert near(done.sprites.position[0, 1], 0.57, 0.5)
    assert near(done.sprites.position[0, 3], 0.55, 0.48)
    choosy = Embodied(movable=Continuous("x", 0.4, 0.51)).apply(body_arena(), torch.tensor([[1, 3]]))
    assert choosy.hit.tolist() == [0]


def test_body_and_load_stop_at_the_border_each_by_itself() -> None:
    state = arena((0.99, 0.5), (0.93, 0.5))
    done = Embodied().apply(state, torch.tensor([[1, 3]]))
    assert near(done.sprites.position, 1.0, 0.5, 0.98, 0.5)


def test_the_body_is_the_last_present_sprite() -> None:
    state = body_arena()
    state.present[0, 3] = False
    state.position[0, 3] = torch.nan
    assert Embodied().apply(state, torch.tensor([[0, 0]])).moved.tolist() == [[False, False, True, False]]


def test_a_click_grid_is_a_select_move_of_some_actions() -> None:
    grid = ClickGrid(columns=4, rows=2, directions=8, scale=0.5)
    state = arena((0.625, 0.75), (0.625, 0.25))
    upper = torch.tensor([(1 * 4 + 2) * 8 + 1])
    done = grid.apply(state, upper)
    assert done.hit.tolist() == [0]
    assert near(done.motion, 0.25 / math.sqrt(2), 0.25 / math.sqrt(2))
    lower = grid.apply(state, torch.tensor([2 * 8 + 4]))
    assert lower.hit.tolist() == [1]
    assert near(lower.motion, -0.25, 0.0)
    assert grid.actions == 64
    clicks = torch.stack([torch.tensor([number]) for number in range(64)]).flatten()
    everywhere = grid.apply(state.rows(torch.zeros(64, dtype=torch.long)), clicks)
    assert torch.allclose((everywhere.motion**2).sum(-1), torch.full((64,), 0.0625, dtype=torch.float64))
    assert (everywhere.hit >= 0).sum() == 16


KINDS: list[ActionSpace] = [
    SelectMove(scale=0.25, noise=0.05, motion_cost=1.0, movable=Discrete("shape", (1.0, 2.0, 6.0))),
    DragAndDrop(noise=(0.1, 0.1, 0.0, 0.0), relative_noise=0.1),
    Embodied(step_size=0.1),
    ClickGrid(columns=5, rows=3, noise=0.1),
]
kinds = pytest.mark.parametrize("actions", KINDS, ids=lambda actions: type(actions).__name__)


def drawn(actions: ActionSpace, count: int) -> tuple[Tensor, Tensor | None]:
    generator = torch.Generator().manual_seed(1)
    numbers = torch.rand(count, *actions.uniform_shape, dtype=torch.float64, generator=generator)
    noise = actions.noise_shape
    normal = None if noise is None else torch.randn(count, *noise, dtype=torch.float64, generator=generator)
    return actions.of_uniform(numbers), normal


@kinds
def test_random_actions_are_of_the_space(actions: ActionSpace) -> None:
    chosen, _ = drawn(actions, 200)
    assert isinstance(actions.space, gymnasium.spaces.Space)
    for row in chosen.numpy():
        assert actions.space.contains(row)
    ends = torch.full((2, *actions.uniform_shape), math.nextafter(1.0, 0.0), dtype=torch.float64)
    assert actions.space.contains(actions.of_uniform(ends)[0].numpy())
    assert torch.equal(actions.of_uniform(torch.zeros_like(ends)), torch.zeros_like(chosen[:2]))
    if not chosen.is_floating_point():
        assert len(chosen.unique(dim=0)) == 8 if isinstance(actions, Embodied) else len(chosen.unique()) > 50


@kinds
def test_an_arena_does_not_depend_on_its_neighbours(actions: ActionSpace) -> None:
    state = crowd(64)
    chosen, noise = drawn(actions, 64)
    whole = actions.apply(state, chosen, noise)
    assert (whole.hit >= 0).sum() > 3
    for size in (1, 7):
        for start in range(0, 64, size):
            rows = slice(start, start + size)
            part = actions.apply(state.rows(rows), chosen[rows], None if noise is None else noise[rows])
            assert torch.equal(part.sprites.position, whole.sprites.position[rows])
            for name in ("cost", "hit", "motion", "moved"):
                assert torch.equal(getattr(part, name), getattr(whole, name)[rows])


@kinds
def test_no_sprites_at_all(actions: ActionSpace) -> None:
    chosen, noise = drawn(actions, 3)
    done = actions.apply(crowd(3, most=0), chosen, noise)
    assert done.hit.tolist() == [-1] * 3
    assert done.moved.shape == (3, 0)
    absent = crowd(3)
    absent.present[:] = False
    done = actions.apply(absent, chosen, noise)
    assert done.hit.tolist() == [-1] * 3
    assert not done.moved.any()


@kinds
def test_action_spaces_are_values(actions: ActionSpace) -> None:
    assert from_json(json.loads(json.dumps(to_json(actions))), ActionSpace) == actions
    assert pickle.loads(pickle.dumps(actions)) == actions


def good(actions: ActionSpace, rows: int = 3) -> Tensor:
    return actions.of_uniform(torch.full((rows, *actions.uniform_shape), 0.3, dtype=torch.float64))


@pytest.mark.usefixtures("unchecked_shapes")
@kinds
def test_actions_of_another_shape_or_kind(actions: ActionSpace) -> None:
    state, action = crowd(3), good(actions)
    with pytest.raises(DataError, match="one row for each arena"):
        actions.apply(state, good(actions, 4))
    with pytest.raises(DataError, match=r"3, 1\]"):
        actions.apply(state, action[:, None] if action.ndim == 1 else action[:, :1])
    other = torch.int64 if action.is_floating_point() else torch.float32
    with pytest.raises(DataError, match=r"int64 \[3" if action.is_floating_point() else r"float32 \[3"):
        actions.apply(state, action.to(other))
    with pytest.raises(DataError, match="actions of bool"):
        actions.apply(state, action.bool())
    with pytest.raises(DataError, match="an action that is a list"):
        actions.apply(state, action.tolist())  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [SelectMove, DragAndDrop])
@pytest.mark.parametrize("value", [1.001, -0.001, 7.0])
def test_numbers_out_of_range(kind: type[SelectMove], value: float) -> None:
    state, action = crowd(3), good(SelectMove())
    action[2, 3] = value
    with pytest.raises(DataError, match="in row 2"):
        kind().apply(state, action)
    clipped = action.clone()
    clipped[2, 3] = min(max(value, 0.0), 1.0)
    assert torch.equal(kind(bounds="clip").apply(state, action).motion, kind().apply(state, clipped).motion)
    meant = action[2, 3].double() - (0.5 if kind is SelectMove else action[2, 1].double())
    assert float(kind(bounds="ignore").apply(state, action).motion[2, 1]) == float(meant)


@pytest.mark.parametrize("bounds", ["raise", "clip", "ignore"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none(bounds: str, value: float) -> None:
    action = good(SelectMove())
    action[1, 0] = value
    with pytest.raises(DataError, match="in row 1"):
        SelectMove(bounds=bounds).apply(crowd(3), action)


def test_numbered_actions_out_of_range() -> None:
    state = crowd(3)
    for wrong in ([0, 4], [2, 0], [-1, 0]):
        action = torch.tensor([[0, 0], wrong, [0, 0]])
        with pytest.raises(DataError, match="in row 1"):
            Embodied().apply(state, action)
        assert Embodied(bounds="clip").apply(state, action).motion.shape == (3, 2)
    grid = ClickGrid(columns=2, rows=2)
    with pytest.raises(DataError, match=r"\(16\) in row 0; expected 0 to 15"):
        grid.apply(state, torch.tensor([16, 0, 0]))
    last = ClickGrid(columns=2, rows=2, bounds="clip").apply(state, torch.tensor([99, -3, 0]))
    assert torch.equal(last.motion, grid.apply(state, torch.tensor([15, 0, 0])).motion)


def test_bad_settings() -> None:
    for settings in ({"scale": 0.0}, {"scale": -0.25}, {"scale": math.nan}, {"noise": -1.0}, {"noise": (1.0, 2.0)},
                     {"relative_noise": math.inf}, {"motion_cost": math.nan}, {"bounds": "wrap"},
                     {"movable": Continuous("hue", 0.0, 1.0)}):  # fmt: skip
        with pytest.raises(ConfigError):
            SelectMove(**settings)
    for noise in ("big", "", ("a", "b", "c", "d"), [0.1]):
        with pytest.raises(ConfigError, match=r"noise = .*expected a standard deviation"):
            SelectMove(noise=noise)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="step_size"):
        Embodied(step_size=-0.1)
    with pytest.raises(ConfigError, match="ignore"):
        Embodied(bounds="ignore")
    with pytest.raises(ConfigError, match="ignore"):
        ClickGrid(bounds="ignore")
    with pytest.raises(ConfigError, match="directions"):
        ClickGrid(directions=0)
    with pytest.raises(ConfigError, match="only the base"):
        from_json({"type": "ActionSpace"}, ActionSpace)
