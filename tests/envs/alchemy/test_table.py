"""The rules in tensors: what every action does, trials and episodes, what is drawn, independence of the batch.

That they are dm_alchemy's is in test_original."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from percepts.core.config import from_json, to_json
from percepts.core.errors import ConfigError, DataError
from percepts.envs.alchemy.chemistry import chemistry_tables
from percepts.envs.alchemy.levels import IDENTITY
from percepts.envs.alchemy.table import Episodes, Outcome, Rewards, Table, TableState, stone_values

PLAIN = {"level": "fixed", "chemistry": (108, IDENTITY, IDENTITY, 0)}
"""Nothing in the way: potion 2 a + 1 raises coordinate a."""


def act(table: Table, state: TableState, *actions: int) -> tuple[TableState, list[Outcome]]:
    outcomes = []
    for action in actions:
        state, outcome = table.step(state, torch.full((len(state),), action))
        outcomes.append(outcome)
    return state, outcomes


def same(one: Any, other: Any) -> bool:
    """To the bit."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if one is None:
        return other is None
    return all(same(getattr(one, part.name), getattr(other, part.name)) for part in dataclasses.fields(one))


def test_what_every_action_does() -> None:
    table = Table.Config(**PLAIN, trials=1, stones=2, potions=3, items=(((3, 0), (5, 1, 4)),)).build()
    assert table.actions == 9
    state = table.reset([0])
    # Nothing; the second stone into the cauldron; the first into the first potion, raising its last coordinate.
    after, (nothing, banked, dipped) = act(table, state, 0, 5, 2)
    assert [one.reward.item() for one in (nothing, banked, dipped)] == [0, -3, 0]
    assert [one.stone.item() for one in (nothing, banked, dipped)] == [-1, 1, 0]
    assert [one.potion.item() for one in (nothing, banked, dipped)] == [-1, -1, 0]
    assert [one.before.item() for one in (nothing, banked, dipped)] == [-1, 0, 3]
    assert [one.after.item() for one in (nothing, banked, dipped)] == [-1, -1, 7]
    assert [one.banked.item() for one in (nothing, banked, dipped)] == [False, True, False]
    assert after.stones[0].tolist() == [7, 0]
    assert after.stone_here[0].tolist() == [True, False]
    assert after.potion_here[0].tolist() == [False, True, True]
    # The stone that is gone, twice; the potion that is used; then the best stone is worth 15.
    last, outcomes = act(table, after, 5, 6, 2, 1)
    assert [one.reward.item() for one in outcomes] == [0, 0, 0, 15]
    assert [one.stone.item() for one in outcomes] == [-1, -1, -1, 0]
    assert last.score.item() == last.trial_score.item() == 12
    assert last.step.item() == 7


def test_a_potion_without_effect_is_used_up() -> None:
    table = Table.Config(**PLAIN, trials=1, items=(((7,), (1, 0)),), potions=2).build()
    state, (outcome,) = act(table, table.reset([0]), 2)
    assert (outcome.before.item(), outcome.after.item(), outcome.potion.item()) == (7, 7, 0)
    assert state.potion_here[0].tolist() == [False, True]


def test_bottlenecks_stop_stones() -> None:
    """In bottleneck 1 axis 0 is passable where y = -1 and z = 1 only: at vertex 4."""
    for vertex in range(8):
        config = Table.Config(level="fixed-bottleneck1", trials=1, items=(((vertex,), (1,)),), stones=1, potions=1)
        _, (outcome,) = act(config.build(), config.build().reset([0]), 2)
        assert outcome.after.item() == (5 if vertex == 4 else vertex)


def test_colours_act_through_the_potion_map() -> None:
    table = Table.Config(level="no-bottleneck", potions=1, trials=1).build()
    state = table.reset(range(500))
    colour = table.perceived_potions(state)[:, 0]
    after, (outcome,) = act(table, state, 2)
    latent = chemistry_tables().latent_potion[state.chemistry.potion_map, colour]
    raised = 1 << torch.div(latent, 2, rounding_mode="floor")
    wanted = torch.where(latent % 2 == 1, outcome.before | raised, outcome.before & ~raised)
    assert torch.equal(outcome.after, wanted)
    assert (table.perceived_stones(after)[:, 0].abs() <= 1).all()


def test_trials_and_episodes_end() -> None:
    table = Table.Config(trials=3, steps=2).build()
    state = table.reset(range(5))
    first = state
    state, outcomes = act(table, state, *[0] * 6)
    assert [bool(one.new_trial.all()) for one in outcomes] == [False, True] * 3
    assert [bool(one.terminated.any()) for one in outcomes] == [False] * 5 + [True]
    assert state.finished.all()
    assert state.trial.tolist() == [2] * 5
    # What is over stands still and says so.
    again, (outcome,) = act(table, state, 1)
    assert same(again, state)
    assert outcome.terminated.all()
    assert not outcome.new_trial.any()
    assert outcome.stone.tolist() == [-1] * 5
    state = table.restart(state, torch.tensor([True, False, True, True, False]))
    assert state.trial.tolist() == [0, 2, 0, 0, 2]
    assert state.finished.tolist() == [False, True, False, False, True]
    assert not torch.equal(state.stones[[0, 2, 3]], first.stones[[0, 2, 3]])


def test_the_trial_can_be_ended() -> None:
    table = Table.Config(trials=2, end_trial=True).build()
    assert table.actions == 41
    state, (nothing, ended, last) = act(table, table.reset(range(3)), 1, 0, 0)
    assert not nothing.new_trial.any()
    assert ended.new_trial.all()
    assert not ended.terminated.any()
    assert last.terminated.all()
    fresh, (banked,) = act(table, table.reset(range(3)), 2)
    assert banked.banked.all()
    assert not fresh.stone_here[:, 0].any()
    assert state.step.tolist() == [1] * 3


def test_the_score_of_a_trial_begins_anew() -> None:
    table = Table.Config(**PLAIN, trials=2, steps=2, stones=1, items=(((7,), ()), ((7,), ()))).build()
    state, outcomes = act(table, table.reset([0]), 0, 1)
    assert (state.score.item(), state.trial_score.item()) == (15, 0)
    state, _ = act(table, state, 1)
    assert (state.score.item(), state.trial_score.item()) == (30, 15)
    assert outcomes[-1].new_trial.item()


def test_rewards() -> None:
    assert stone_values(Rewards()).tolist() == [-3, -1, -1, 1, -1, 1, 1, 15]
    other = Rewards(weights=(2.0, 1.0, -3.0), offset=1.0, bonus=5.0)
    assert stone_values(other).tolist() == [1 - 2 - 1 + 3, 5, 3, 7, -5, -1, -3, 6]
    table = Table.Config(**PLAIN, trials=1, items=(((6,), (1,)),), rewards=Rewards(potion=0.5)).build()
    state, outcomes = act(table, table.reset([0]), 2, 2, 1)
    assert [one.reward.item() for one in outcomes] == [0.5, 0, 15]
    assert state.score.item() == 15


def test_missing_items_are_not_there() -> None:
    table = Table.Config(trials=1, items=(((3,), (1, 2)),)).build()
    state = table.reset([0])
    assert state.stone_here.tolist() == [[True, False, False]]
    assert state.potion_here.sum() == 2
    _, outcomes = act(table, state, 14, 4)
    assert [one.stone.item() for one in outcomes] == [-1, -1]


def test_tables_without_potions() -> None:
    table = Table.Config(potions=0, stones=2).build()
    assert table.actions == 3
    state, (outcome,) = act(table, table.reset(range(4)), 2)
    assert outcome.banked.all()
    assert state.potions.shape == (4, 0)


@pytest.mark.parametrize("seeding", ["fast", "compat"])
@pytest.mark.parametrize("switch", [(), (1, 3)])
def test_a_table_does_not_know_its_neighbours(seeding: Any, switch: tuple[int, ...]) -> None:
    table = Table.Config(trials=4, steps=6, end_trial=True, switch_trials=switch, seeding=seeding).build()
    together, alone = table.reset(range(40)), {row: table.reset([row]) for row in (0, 17, 39)}
    generator = torch.Generator().manual_seed(0)
    for _ in range(60):
        action = torch.randint(0, 41, (40,), generator=generator) * (torch.rand(40, generator=generator) < 0.9)
        together, outcome = table.step(together, action)
        for row, state in alone.items():
            state, single = table.step(state, action[[row]])
            assert same(single, Outcome(*(getattr(outcome, part.name)[[row]] for part in dataclasses.fields(Outcome))))
            alone[row] = table.restart(state, single.terminated)
        together = table.restart(together, outcome.terminated)
        assert all(same(state, together.rows([row])) for row, state in alone.items())


def test_the_chemistry_switches_silently() -> None:
    table = Table.Config(trials=4, steps=1, switch_trials=(2,)).build()
    plain = Table.Config(trials=4, steps=1).build()
    state, other = table.reset(range(300)), plain.reset(range(300))
    first = state.chemistry
    for trial in range(1, 4):
        state, _ = act(table, state, 0)
        other, _ = act(plain, other, 0)
        # The items are those of a table without a switch.
        assert torch.equal(state.stones, other.stones)
        assert torch.equal(state.potions, other.potions)
        assert same(other.chemistry, first)
        equal = (state.chemistry.potion_map == first.potion_map).float().mean()
        assert (equal == 1) if trial < 2 else (equal < 0.1)


@pytest.mark.parametrize("seeding", ["fast", "compat"])
def test_what_is_drawn_has_the_right_distribution(seeding: Any) -> None:
    count = 20_000 if seeding == "fast" else 3_000
    table = Table.Config(seeding=seeding).build()
    state = table.reset(range(count))
    drawn = {
        "graph": (state.chemistry.graph, chemistry_tables().prior.tolist()),
        "potion_map": (state.chemistry.potion_map, [1 / 48] * 48),
        "stone_map": (state.chemistry.stone_map, [1 / 8] * 8),
        "rotation": (state.chemistry.rotation, [1 / 4] * 4),
        "stones": (state.stones.flatten(), [1 / 8] * 8),
        "potions": (state.potions.flatten(), [1 / 6] * 6),
    }
    for name, (numbers, probabilities) in drawn.items():
        found = torch.bincount(numbers, minlength=len(probabilities)).numpy()
        expected = torch.tensor(probabilities, dtype=torch.float64).numpy() * len(numbers)
        assert stats.chisquare(found, expected).pvalue > 1e-3, name
    # And they do not depend on each other.
    table_of = torch.zeros(8, 8).index_put_(
        (state.stones[:, 0], state.stones[:, 1]), torch.tensor(1.0), accumulate=True
    )
    assert stats.chi2_contingency(table_of.numpy()).pvalue > 1e-3


def test_seeds_of_the_fast_mode_keep_their_meaning() -> None:
    state = Table.Config().build().reset(range(4))
    assert state.chemistry.graph.tolist() == [108, 105, 14, 64]
    assert state.chemistry.potion_map.tolist() == [1, 7, 43, 3]
    assert state.chemistry.stone_map.tolist() == [6, 1, 3, 1]
    assert state.chemistry.rotation.tolist() == [3, 2, 0, 3]
    assert state.stones.tolist() == [[3, 5, 0], [7, 6, 6], [2, 1, 0], [0, 0, 2]]
    assert state.potions[0].tolist() == [3, 5, 0, 2, 1, 2, 5, 1, 5, 5, 0, 4]


def test_tensors_need_no_gymnasium() -> None:
    names = ["codecs", "chemistry_view", "light", "observations", "picture", "reading", "table"]
    imports = "".join(f"import percepts.envs.alchemy.{name}\n" for name in names)
    subprocess.run([sys.executable, "-c", "import sys\nsys.modules['gymnasium'] = None\n" + imports], check=True)


def test_given_episodes_are_played() -> None:
    table = Table.Config(trials=3, steps=1).build()
    episodes = table.episodes(range(6))
    state, drawn = table.play(episodes), table.reset(range(6))
    for _ in range(2):
        for trial in range(3):
            assert torch.equal(state.stones, episodes.stones[:, trial])
            if not bool(drawn.finished.any()):
                assert torch.equal(state.potions, drawn.potions)
            state, outcome = act(table, state, 0)
            drawn, _ = act(table, drawn, 0)
        assert same(state.chemistry, episodes.chemistry)
        assert outcome[0].terminated.all()
        # The same again, where a table that draws goes on.
        state = table.restart(state, torch.ones(6, dtype=torch.bool))
    assert same(table.play(episodes.rows([3, 1])).potions, table.reset([3, 1]).potions)


def test_episodes_with_missing_items() -> None:
    table = Table.Config(trials=1, stones=2, potions=2).build()
    made = table.episodes([0])
    state = table.play(Episodes(made.chemistry, torch.tensor([[[3, -1]]]), torch.tensor([[[-1, 4]]])))
    assert state.stone_here.tolist() == [[True, False]]
    assert state.potion_here.tolist() == [[False, True]]
    assert same(table.episodes([5]).chemistry, table.reset([5]).chemistry)


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (torch.tensor([0, 40]), "the action 40; expected 0 to 39"),
        (torch.tensor([-1, 0]), "the action -1"),
        (torch.tensor([0.0, 1.0]), "float32"),
        (torch.tensor([True, False]), "bool"),
        (torch.tensor([0]), r"\[1\]; expected int64 \[2\]"),
        (torch.tensor([[0], [1]]), "expected int64"),
    ],
)
def test_bad_actions(action: torch.Tensor, words: str) -> None:
    table = Table.Config().build()
    state = table.reset([0, 1])
    with pytest.raises(DataError, match=words):
        table.step(state, action)


def test_other_bad_input() -> None:
    table, compat = Table.Config().build(), Table.Config(seeding="compat").build()
    state = table.reset([0, 1])
    with pytest.raises(DataError, match="no seeds"):
        table.reset([])
    with pytest.raises(DataError, match="RandomState"):
        compat.reset([0, -1])
    with pytest.raises(DataError, match="rows of"):
        table.restart(state, torch.ones(3, dtype=torch.bool))
    with pytest.raises(DataError, match=r"expected \[10, 3\]"):
        table.play(Table.Config(trials=3).build().episodes([0]))
    with pytest.raises(DataError, match="3 seeds for 2"):
        table.play(table.episodes([0, 1]), [1, 2, 3])
    with pytest.raises(DataError, match="the chemistry changes"):
        Table.Config(switch_trials=(1,)).build().episodes([0])
    with pytest.raises(DataError, match="all of one kind"):
        state.put(torch.tensor([0]), table.play(table.episodes([0])))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"trials": 2.5}, "trials = 2.5; expected a whole number, 1 or more"),
        ({"steps": "3"}, "steps = '3'"),
        ({"stones": 0}, "stones = 0"),
        ({"chemistry": (0, 1, 2)}, "expected graph, potion map, stone map, rotation"),
        ({"chemistry": (1.5, 1, 2, 0)}, "graph = 1.5"),
        ({"trials": 1, "items": ((0,),)}, "a tuple of stones and one of potions"),
        ({"trials": 1, "items": (([0], [1]),)}, "a tuple of stones and one of potions"),
        ({"trials": 1, "items": (((0.5,), (1,)),)}, "up to 3 numbers from 0 to 7"),
    ],
)
def test_settings_that_are_no_numbers(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Table.Config(**wrong)


def test_numbers_of_numpy_are_numbers() -> None:
    three = np.int64(3)
    table = Table.Config(stones=three, chemistry=(three, three, three, three)).build()
    assert table.reset([0]).chemistry.rotation.tolist() == [3]


@pytest.mark.parametrize(
    "wrong", [{"bonus": math.nan}, {"offset": math.inf}, {"potion": -math.inf}, {"weights": (1.0, 1.0)}]
)
def test_rewards_that_are_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="all finite"):
        Rewards(**wrong)


def test_configurations_as_json() -> None:
    config = Table.Config(
        level="fixed", items=(((1, 2), (3,)),) * 10, chemistry=(1, 2, 3, 0), rewards=Rewards(bonus=0.0)
    )
    assert from_json(to_json(config), Table.Config) == config


def test_states_are_values() -> None:
    table = Table.Config(steps=2, seeding="compat").build()
    state = table.reset([0, 1])
    kept = state.rows(torch.arange(2))
    one = act(table, state, 3, 20, 2)[0]
    assert same(state, kept)
    assert same(one, act(table, state, 3, 20, 2)[0])
    assert same(state.put(torch.tensor([1]), one.rows([1])).rows([0]), state.rows([0]))
