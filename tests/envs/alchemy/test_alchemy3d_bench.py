"""Where things lie, what a hand does with them, and time."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from percepts.core.errors import ConfigError, DataError
from percepts.envs.alchemy.bench import CAULDRON, CAULDRON_RADIUS, HALF, HOVER, POTION_RADIUS, TOP, Bench, BenchState
from percepts.envs.alchemy.table import Outcome, Table

SEEDS = range(16)
NONE = torch.full((16,), -1)
NO = torch.zeros(16, dtype=torch.bool)


def made(seconds: float = 60.0, **table: Any) -> tuple[Bench, BenchState]:
    bench = Bench.Config(table=Table.Config(**table), seconds=seconds).build()
    return bench, bench.reset(SEEDS)


def dropped(bench: Bench, state: BenchState, stone: int, place: torch.Tensor) -> tuple[BenchState, Outcome]:
    state, _ = bench.advance(state, state.hand, torch.full_like(NONE, stone), NO)
    assert (state.held == stone).all()
    hand = torch.cat([place.expand(16, 2), torch.full((16, 1), TOP + HOVER)], 1)
    return bench.advance(state, hand, NONE, ~NO)


@pytest.mark.parametrize("seeding", ["fast", "compat"])
def test_seeds_bring_what_they_bring_in_the_symbolic_environment(seeding: Any) -> None:
    bench, state = made(seeding=seeding)
    table = Table.Config(seeding=seeding).build()
    symbolic = table.reset(SEEDS)
    for trial in range(3):
        for name in ("stones", "potions", "trial"):
            assert torch.equal(getattr(state.table, name), getattr(symbolic, name)), (trial, name)
        for name in ("graph", "potion_map", "stone_map", "rotation"):
            assert torch.equal(getattr(state.table.chemistry, name), getattr(symbolic.chemistry, name))
        state, outcome = bench.end_trial(state, ~NO)
        assert outcome.new_trial.all()
        for _ in range(20):
            symbolic, _ = table.step(symbolic, torch.zeros_like(NONE))


def test_things_lie_apart_on_the_table() -> None:
    bench, state = made()
    radii = torch.cat(
        [bench.radii(state), torch.full((16, 12), POTION_RADIUS), torch.full((16, 1), CAULDRON_RADIUS)], 1
    )
    places = torch.cat([state.places, state.potions, torch.tensor(CAULDRON).expand(16, 1, 2)], 1)
    gap = torch.cdist(places, places) - radii[:, :, None] - radii[:, None]
    gap = gap + 9 * torch.eye(16)
    assert float(gap.min()) > -0.01
    assert (places.abs() + radii[..., None] <= torch.tensor(HALF) + 1e-6).all()
    assert not torch.equal(state.places[0], state.places[1])
    assert torch.allclose(bench.centres(state)[..., 2], TOP + bench.radii(state))


def test_dipping_is_the_action_of_the_table() -> None:
    bench, state = made()
    symbolic, told = bench.table.step(state.table, torch.full_like(NONE, 2 + 13 * 1 + 1 + 4))
    after, outcome = dropped(bench, state, 1, state.potions[:, 4] + 0.1)
    for part in dataclasses.fields(Outcome):
        assert torch.equal(getattr(outcome, part.name), getattr(told, part.name)), part.name
    assert torch.equal(after.table.stones, symbolic.stones)
    assert torch.equal(after.table.potion_here, symbolic.potion_here)
    assert (after.held == -1).all()
    assert torch.equal(after.places[:, 1], state.potions[:, 4]), "the stone lies where the potion stood"
    assert (outcome.before != outcome.after).any()
    _, outcome = dropped(bench, after, 0, state.potions[:, 4])
    assert (outcome.stone == -1).all(), "a potion that is used up is no potion"


def test_the_cauldron_takes_stones_and_pays() -> None:
    bench, state = made()
    after, outcome = dropped(bench, state, 2, torch.tensor(CAULDRON) + 0.1)
    values = torch.tensor([-3.0, -1, -1, 1, -1, 1, 1, 15])
    assert torch.equal(outcome.reward, values[state.table.stones[:, 2]])
    assert torch.equal(after.table.score, outcome.reward)
    assert outcome.banked.all()
    assert not after.table.stone_here[:, 2].any()
    gone, _ = bench.advance(after, after.hand, torch.full_like(NONE, 2), NO)
    assert (gone.held == -1).all(), "nobody can grab what is gone"


@pytest.mark.parametrize("place", [(0.0, -0.4), (5.0, 5.0), (0.0, 0.2 - CAULDRON_RADIUS - 0.01)])
def test_elsewhere_a_stone_comes_to_lie_on_the_table_and_nothing_happens(place: tuple[float, float]) -> None:
    bench, state = made()
    after, outcome = dropped(bench, state, 0, torch.tensor(place))
    assert (outcome.stone == -1).all()
    assert torch.equal(after.table.step, state.table.step)
    radii = bench.radii(after)
    assert (after.places[:, 0].abs() + radii[:, :1] <= torch.tensor(HALF) + 1e-6).all()
    gap = (after.places[:, :1] - after.places[:, 1:]).norm(dim=-1) - radii[:, :1] - radii[:, 1:]
    assert float(gap.min()) > -0.02
    far = (after.places[:, 0] - torch.tensor(CAULDRON)).norm(dim=-1)
    assert (far >= CAULDRON_RADIUS + radii[:, 0] - 0.02).all()


def test_a_full_hand_takes_nothing_else() -> None:
    bench, state = made()
    state, _ = bench.advance(state, state.hand, torch.zeros_like(NONE), NO)
    state, _ = bench.advance(state, state.hand, torch.ones_like(NONE), NO)
    assert (state.held == 0).all()
    assert torch.equal(bench.centres(state)[:, 0], state.hand)


def test_time_runs_out() -> None:
    bench, state = made(seconds=0.1, trials=2)
    assert bench.config.frames == 3
    state, _ = bench.advance(state, state.hand, torch.zeros_like(NONE), NO)
    for frame in (2, 3):
        state, outcome = bench.advance(state, state.hand, NONE, NO)
        assert outcome.new_trial.all() == (frame == 3)
    assert (state.table.trial == 1).all()
    assert (state.held == -1).all()
    assert (state.frame == 0).all()
    for _ in range(3):
        state, outcome = bench.advance(state, state.hand, NONE, NO)
    assert outcome.terminated.all()
    assert state.finished.all()
    still, outcome = bench.advance(state, state.hand + 1, torch.zeros_like(NONE), ~NO)
    assert outcome.terminated.all()
    assert not outcome.new_trial.any()
    assert torch.equal(still.hand, state.hand)
    assert torch.equal(still.frame, state.frame)
    begun = bench.restart(state, torch.arange(16) < 8)
    assert torch.equal(begun.finished, torch.arange(16) >= 8)
    assert torch.equal(begun.table.stones[:8], bench.table.restart(state.table, ~NO).stones[:8])


def test_a_stone_falls_into_the_cauldron_in_the_last_frame() -> None:
    bench, state = made(seconds=0.07, trials=2)
    state, _ = bench.advance(state, state.hand, torch.zeros_like(NONE), NO)
    hand = torch.tensor([*CAULDRON, TOP + HOVER]).expand(16, 3)
    state, outcome = bench.advance(state, hand, NONE, ~NO)
    assert outcome.banked.all()
    assert outcome.new_trial.all()
    assert torch.equal(state.table.score, outcome.reward)


def test_a_table_does_not_depend_on_the_others() -> None:
    bench, state = made()
    alone = bench.reset([5])
    state, _ = dropped(bench, state, 1, torch.tensor([0.1, -0.3]))
    alone, _ = bench.advance(alone, alone.hand, torch.tensor([1]), NO[:1])
    alone, _ = bench.advance(alone, torch.tensor([[0.1, -0.3, TOP + HOVER]]), NONE[:1], ~NO[:1])
    assert torch.equal(alone.places[0], state.places[5])
    assert torch.equal(alone.potions[0], state.potions[5])


def test_given_episodes() -> None:
    table = Table.Config(trials=2).build()
    episodes = table.episodes(range(3))
    bench = Bench.Config(table=table.config).build()
    state = bench.play(episodes)
    assert torch.equal(state.table.stones, episodes.stones[:, 0])
    state, _ = bench.end_trial(state, torch.tensor([True, False, True]))
    assert torch.equal(state.table.potions[[0, 2]], episodes.potions[[0, 2], 1])
    assert state.table.trial.tolist() == [1, 0, 1]


def test_no_potions_at_all() -> None:
    bench, state = made(potions=0)
    after, outcome = dropped(bench, state, 0, torch.tensor(CAULDRON))
    assert outcome.banked.all()
    after, outcome = dropped(bench, after, 1, torch.tensor([0.5, 0.5]))
    assert (outcome.stone == -1).all()


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"seconds": 0.0}, "frame"),
        ({"rate": 0}, "frame"),
        ({"seconds": float("nan")}, "frame"),
        ({"table": Table.Config(stones=10)}, "10 stones"),
        ({"table": Table.Config(potions=19)}, "19 potions"),
    ],
)
def test_configurations_that_cannot_be(settings: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        Bench.Config(**settings)


def test_a_stone_that_there_is_not() -> None:
    bench, state = made()
    with pytest.raises(DataError, match="-1 to 2"):
        bench.advance(state, state.hand, torch.full_like(NONE, 3), NO)
