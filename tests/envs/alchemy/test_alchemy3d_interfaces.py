"""The cursor and the body with a hand: what controls do, and what is sensed."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from percepts.core.errors import DataError
from percepts.envs.alchemy.bench import CAULDRON, HALF, HOVER, TOP, Bench
from percepts.envs.alchemy.cursor import SPEED, Cursor, CursorState
from percepts.envs.alchemy.hands import (
    CLOSEST,
    EYE,
    HIGHEST,
    LOWEST,
    REACH,
    START,
    TURN,
    WALK,
    Hands,
    HandsState,
    axes,
)
from percepts.envs.alchemy.interfaces import GRAVITY, STONE_MASS
from percepts.envs.alchemy.table import Outcome


def hands(batch: int = 2) -> tuple[Hands, HandsState]:
    bench = Bench.Config().build()
    it = Hands(bench)
    return it, it.begin(bench.reset(range(batch)))


def cursors(batch: int = 2) -> tuple[Cursor, CursorState]:
    bench = Bench.Config().build()
    it = Cursor(bench)
    return it, it.begin(bench.reset(range(batch)))


def motors(it: Any, batch: int, **values: float) -> torch.Tensor:
    action = torch.zeros(batch, len(it.controls))
    for name, value in values.items():
        action[:, it.names.index(name)] = value
    return action


def act(it: Any, state: Any, frames: int = 1, **values: float) -> tuple[Any, Outcome]:
    for _ in range(frames):
        state, outcome = it.act(state, motors(it, len(state), **values))
    return state, outcome


def test_names_and_ranges_are_the_originals() -> None:
    ranges = {control.name: (control.low, control.high) for control in Hands.controls}
    one = (-1.0, 1.0)
    assert ranges == {
        "MOVE_BACK_FORWARD": one, "STRAFE_LEFT_RIGHT": one, "LOOK_DOWN_UP": one, "LOOK_LEFT_RIGHT": one,
        "HAND_ROTATE_AROUND_FORWARD": one, "HAND_ROTATE_AROUND_RIGHT": one, "HAND_ROTATE_AROUND_UP": one,
        "HAND_PUSH_PULL": (-10.0, 10.0), "HAND_GRIP": (0.0, 1.0), "USE_HELD_OBJECT": (0.0, 1.0),
    }  # fmt: skip


def test_looking_turns_the_view() -> None:
    it, state = hands()
    turned, _ = act(it, state, 15, LOOK_LEFT_RIGHT=1.0, LOOK_DOWN_UP=-1.0)
    assert turned.yaw[0] == pytest.approx(TURN / 2, rel=1e-5)
    assert (turned.pitch < state.pitch).all()
    low, _ = act(it, state, 60, LOOK_DOWN_UP=-1.0)
    high, _ = act(it, state, 90, LOOK_DOWN_UP=1.0)
    assert low.pitch[0] == pytest.approx(LOWEST)
    assert high.pitch[0] == pytest.approx(HIGHEST)
    camera, _ = it.look(turned)
    rotation = camera[:, :3, :3]
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).expand(2, 3, 3), rtol=0, atol=1e-5)
    assert torch.linalg.det(rotation).allclose(torch.ones(2))
    assert camera[0, 0, 2] > 0, "turned to the right"


def test_walking() -> None:
    it, state = hands()
    aside, _ = act(it, state, 30, STRAFE_LEFT_RIGHT=1.0)
    assert 0.7 * WALK < float(aside.place[0, 0]) < WALK
    assert aside.place[0, 1] == pytest.approx(START[1])
    one, _ = act(it, state, 1, STRAFE_LEFT_RIGHT=1.0)
    felt = it.acceleration(one)[0]
    assert felt[0] > 5
    assert felt[1:].abs().max() < 1e-5
    back, _ = act(it, state, 60, MOVE_BACK_FORWARD=-1.0)
    assert -3 <= float(back.place[0, 1]) < -2.9, "the room has an end"
    turned, _ = act(it, state, 22, LOOK_LEFT_RIGHT=1.0)
    ahead, _ = act(it, turned, 30, MOVE_BACK_FORWARD=1.0)
    assert float(ahead.place[0, 0]) > 0.7 * WALK, "ahead is where the view goes"


def test_nobody_walks_through_the_table() -> None:
    it, state = hands()
    near, _ = act(it, state, 60, MOVE_BACK_FORWARD=1.0)
    assert -HALF[1] - 0.26 < float(near.place[0, 1]) <= -HALF[1] - 0.2
    assert near.velocity.abs().max() < 1e-6
    around, _ = act(it, near, 60, MOVE_BACK_FORWARD=1.0, STRAFE_LEFT_RIGHT=1.0)
    assert float(around.place[0, 0]) > HALF[0], "one can go along it"


def aim(it: Hands, state: HandsState, goal: torch.Tensor) -> HandsState:
    """Look at points at once."""
    way = goal - it.eye(state)
    yaw, pitch = torch.atan2(way[:, 0], way[:, 1]), torch.atan2(way[:, 2], way[:, :2].norm(dim=1))
    return HandsState(**{**vars(state), "yaw": yaw, "pitch": pitch})


def test_the_hand_takes_what_the_view_points_at_and_lets_it_fall() -> None:
    it, state = hands(8)
    bench = it.bench
    for stone in range(3):
        aimed = aim(it, state, bench.centres(state.bench)[:, stone])
        assert (it.pointed_at(aimed) == stone).all()
    holding, _ = act(it, aimed, 1, HAND_GRIP=1.0)
    assert (holding.bench.held == 2).all()
    over = torch.tensor([*CAULDRON, TOP + HOVER]).expand(8, 3)
    carried, _ = act(it, aim(it, holding, over), 30, HAND_GRIP=1.0)
    torch.testing.assert_close(carried.bench.hand, over, rtol=0, atol=1e-4)
    assert (carried.bench.held == 2).all()
    torch.testing.assert_close(it.hand_distance(carried), (over - it.eye(carried)).norm(dim=1))
    _, outcome = act(it, carried)
    assert outcome.banked.all()
    assert (outcome.stone == 2).all()


def test_a_hand_is_as_far_as_its_arm_is_stretched() -> None:
    it, state = hands()
    aimed = aim(it, state, it.bench.centres(state.bench)[:, 0])
    short, _ = act(it, aimed, 60, HAND_PUSH_PULL=-10.0)
    assert short.stretch[0] == pytest.approx(CLOSEST)
    assert it.hand_distance(short)[0] == pytest.approx(CLOSEST, abs=1e-4)
    none, _ = act(it, short, 1, HAND_GRIP=1.0)
    assert (none.bench.held == -1).all(), "out of reach"
    long, _ = act(it, short, 60, HAND_PUSH_PULL=10.0)
    assert long.stretch[0] == pytest.approx(REACH)
    assert it.hand_distance(long)[0] < EYE


def test_force_holds_what_is_held() -> None:
    it, state = hands()
    aimed = aim(it, state, it.bench.centres(state.bench)[:, 0])
    assert (aimed.force == 0).all()
    still, _ = act(it, aimed, 60, HAND_GRIP=1.0)
    size = it.bench.radii(still.bench)[:, 0] / 0.07
    torch.testing.assert_close(still.force, STONE_MASS * size**3 * GRAVITY, rtol=1e-3, atol=1e-3)
    moving, _ = act(it, still, 1, HAND_GRIP=1.0, LOOK_LEFT_RIGHT=1.0)
    assert (moving.force > still.force + 0.1).all()
    empty, _ = act(it, still)
    assert (empty.force == 0).all()


def test_a_held_stone_is_turned() -> None:
    it, state = hands()
    aimed = aim(it, state, it.bench.centres(state.bench)[:, 1])
    held, _ = act(it, aimed, 1, HAND_GRIP=1.0)
    turned, _ = act(it, held, 10, HAND_GRIP=1.0, HAND_ROTATE_AROUND_RIGHT=1.0)
    rotation = turned.bench.turned
    right, _, _ = axes(turned.yaw, turned.pitch)
    torch.testing.assert_close((rotation[:, 1] @ right[..., None])[..., 0], right, rtol=0, atol=1e-5)
    cosine = (rotation[:, 1].diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2
    torch.testing.assert_close(cosine.acos(), torch.full((2,), math.pi / 3), rtol=0, atol=1e-4)
    assert torch.equal(rotation[:, 0], torch.eye(3).expand(2, 3, 3)), "only what is held"
    empty, _ = act(it, aimed, 5, HAND_ROTATE_AROUND_UP=1.0)
    assert torch.equal(empty.bench.turned, aimed.bench.turned)


def test_the_cursor_goes_takes_and_drops() -> None:
    it, state = cursors()
    there, _ = act(it, state, 3, CURSOR_LEFT_RIGHT=1.0, CURSOR_BACK_FORWARD=0.5)
    moved = there.bench.hand - state.bench.hand
    torch.testing.assert_close(moved[0], torch.tensor([0.1 * SPEED, 0.05 * SPEED, 0.0]), rtol=0, atol=1e-5)
    far, _ = act(it, state, 90, CURSOR_LEFT_RIGHT=-1.0, CURSOR_BACK_FORWARD=1.0)
    assert far.bench.hand[0, :2].tolist() == pytest.approx([-HALF[0], HALF[1]])
    for stone in range(3):
        assert (it.under(state.bench, state.bench.places[:, stone] + 0.02) == stone).all()
    assert (it.under(state.bench, torch.tensor([[1.1, -0.6], [1.1, -0.6]])) == -1).all()
    one, state = cursors(1)
    way = (state.bench.places[0, 0] - state.bench.hand[0, :2]) * (30 / SPEED / 30)
    near, _ = act(one, state, 30, CURSOR_LEFT_RIGHT=float(way[0]), CURSOR_BACK_FORWARD=float(way[1]))
    held, _ = act(one, near, 1, HAND_GRIP=1.0)
    assert held.bench.held.tolist() == [0]
    pot = (torch.tensor(CAULDRON) - held.bench.hand[0, :2]) * (30 / SPEED / 30)
    over, _ = act(one, held, 30, CURSOR_LEFT_RIGHT=float(pot[0]), CURSOR_BACK_FORWARD=float(pot[1]), HAND_GRIP=1.0)
    _, outcome = act(one, over)
    assert outcome.banked.tolist() == [True]


@pytest.mark.parametrize("make", [hands, cursors])
def test_a_player_does_not_depend_on_the_others(make: Any) -> None:
    it, state = make(5)
    _, first = make(4)
    alone = first.rows([3])
    generator = torch.Generator().manual_seed(0)
    low, high = (torch.tensor([getattr(c, end) for c in it.controls]) for end in ("low", "high"))
    for _ in range(40):
        action = low + (high - low) * torch.rand(5, len(low), generator=generator)
        state, _ = it.act(state, action)
        alone, _ = it.act(alone, action[3:4])
    for name, value in vars(alone).items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value[0], getattr(state, name)[3]), name
    assert torch.equal(alone.bench.hand[0], state.bench.hand[3])
    assert torch.equal(alone.bench.places[0], state.bench.places[3])


@pytest.mark.parametrize("make", [hands, cursors])
def test_what_is_out_of_range_counts_as_its_end(make: Any) -> None:
    it, state = make()
    low, high = (torch.tensor([getattr(c, end) for c in it.controls]).expand(2, -1) for end in ("low", "high"))
    one, _ = it.act(state, high)
    other, _ = it.act(state, high * 50)
    assert torch.equal(one.bench.hand, other.bench.hand)
    one, _ = it.act(state, low)
    other, _ = it.act(state, low * 50)
    assert torch.equal(one.bench.hand, other.bench.hand)


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize("make", [hands, cursors])
def test_bad_actions(make: Any) -> None:
    it, state = make()
    good = torch.zeros(2, len(it.controls))
    for bad in (good[:1], good[:, :2], good.double(), good.long()):
        with pytest.raises(DataError, match="actions of"):
            it.act(state, bad)
    with pytest.raises(DataError, match="NaN"):
        it.act(state, good + math.nan)
