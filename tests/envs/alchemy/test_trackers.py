"""Recordings and trackers: against plain Python, and by hand."""

from __future__ import annotations

import math

import pytest
import torch
from plain_trackers import plainly

from percepts.envs.alchemy.chemistry import Chemistry, chemistry_tables
from percepts.envs.alchemy.levels import LEVELS, level
from percepts.envs.alchemy.recording import Recorder, Recording, joined
from percepts.envs.alchemy.table import Episodes, Rewards, Table, stone_values
from percepts.envs.alchemy.trackers import TRACKERS, belief_counts, left_over, not_banked, track

VALUES = stone_values(Rewards())


def record(table: Table, actions: torch.Tensor, episodes: Episodes | None = None, seed: int = 0) -> Recording:
    """What these actions [B, steps] do."""
    seeds = range(seed, seed + len(actions))
    state = table.reset(seeds) if episodes is None else table.play(episodes)
    recorder = Recorder(table.config.trials)
    recorder.trial(state.trial, state.stones, state.potions, state.chemistry, torch.ones_like(state.finished))
    for action in actions.T:
        before = state
        state, outcome = table.step(state, action)
        recorder.step(before.trial, ~before.finished, action, outcome)
        fresh = outcome.new_trial & ~outcome.terminated
        recorder.trial(state.trial, state.stones, state.potions, state.chemistry, fresh)
    return recorder.recording()


def uniform(batch: int, steps: int, actions: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(actions, (batch, steps), generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def played() -> Recording:
    table = Table.Config(trials=3, steps=15).build()
    return record(table, uniform(12, 45, table.actions))


def test_trackers_agree_with_plain_python(played: Recording) -> None:
    found = track(played, VALUES)
    assert set(found) == set(TRACKERS)
    for episode in range(len(played)):
        for trial in range(3):
            plain = plainly(played, episode, trial)
            assert set(plain) == set(found)
            for name, value in plain.items():
                assert float(found[name].per_trial[episode, trial]) == pytest.approx(value), (name, episode, trial)
    # Random play does all of it now and then, so that nothing was compared with zeros alone.
    for name, one in found.items():
        assert one.per_trial.any(), name


def test_steps_add_up_to_trials(played: Recording) -> None:
    for name, found in track(played, VALUES).items():
        if found.per_step is not None:
            torch.testing.assert_close(played.per_trial(found.per_step), found.per_trial, msg=name)


def test_scores_are_what_the_table_says() -> None:
    table = Table.Config(trials=2, rewards=Rewards(potion=0.5)).build()
    recording = record(table, uniform(5, 40, table.actions))
    found = track(recording, VALUES)
    shaped = recording.scores() - 0.5 * found["potions_used"].per_trial
    torch.testing.assert_close(found["score"].per_trial, shaped)


def test_one_trial_by_hand() -> None:
    """Gold is spoiled and mended; a bad stone is banked; one worth 1 is left."""
    chemistry = Chemistry.of(int(chemistry_tables().edges.sum(1).argmax()), 7, 7)
    episodes = Episodes(chemistry, torch.tensor([[[7, 0, 6]]]), torch.tensor([[[0, 1, 1, 3]]]))
    table = Table.Config(trials=1, steps=6, potions=4).build()
    # Stone 0: down axis 0, up it again, no effect; into the cauldron. Stone 1 is banked as it is. Then nothing.
    recording = record(table, torch.tensor([[2, 3, 4, 1, 6, 0]]), episodes)
    found = {name: float(one.per_trial) for name, one in track(recording, VALUES).items()}
    assert found == {
        "score": 12.0,
        "potions_used": 3.0,
        "stones_banked": 2.0,
        "no_change": 1.0,
        "negative_banked": 1.0,
        "gold_spoiled": 1.0,
        "banked_value": 6.0,
        "improvement": 0.0,
        "positive_not_banked": 1.0,
        "plus_one_not_banked": 1.0,
    }
    vertices, here = left_over(recording)
    assert vertices.tolist() == [[[7, 0, 6]]]
    assert here.tolist() == [[[False, False, True]]]
    assert recording.order().tolist() == [[0, 1, 2, 3, 4, -1]]
    assert int(not_banked(recording, VALUES, 1.0).per_trial) == 0


def test_slots_that_were_empty_are_not_left_over() -> None:
    episodes = Episodes(Chemistry.of(0, 0, 0), torch.tensor([[[7, -1]]]), torch.tensor([[[0]]]))
    table = Table.Config(trials=1, steps=1, stones=2, potions=1).build()
    recorder = Recorder(1)
    state = table.play(episodes)
    stones = torch.where(state.stone_here, state.stones, -1)
    recorder.trial(state.trial, stones, state.potions, state.chemistry, torch.ones(1, dtype=torch.bool))
    action = torch.zeros(1, dtype=torch.int64)
    recorder.step(state.trial, ~state.finished, action, table.step(state, action)[1])
    assert left_over(recorder.recording())[1].tolist() == [[[True, False]]]


def test_episodes_that_end_at_different_times() -> None:
    table = Table.Config(trials=2, steps=3, end_trial=True).build()
    actions = torch.tensor([[0, 0, 2, 2, 2, 2], [1, 2, 1, 2, 1, 1]])
    recording = record(table, actions)
    assert recording.played.tolist() == [[True, True, False, False, False, False], [True] * 6]
    first, last = recording.bounds()
    assert first.tolist() == [[True, True] + [False] * 4, [True, False, False, True, False, False]]
    assert last.tolist() == [[True, True] + [False] * 4, [False, False, True, False, False, True]]
    found = track(recording, VALUES)["stones_banked"].per_trial
    assert found[0].tolist() == [0, 0]
    assert found[1].tolist() == [1, 1]


def test_rows_and_joining(played: Recording) -> None:
    parts = [played.rows(slice(0, 5)), played.rows(torch.arange(5, 12))]
    again = joined(parts)
    for name in ("stones", "action", "after", "trial"):
        torch.testing.assert_close(getattr(again, name), getattr(played, name))
    torch.testing.assert_close(again.chemistry.graph, played.chemistry.graph)
    alone = track(played.rows([3]), VALUES)["improvement"].per_trial[0]
    torch.testing.assert_close(alone, track(played, VALUES)["improvement"].per_trial[3])


def test_shorter_recordings_are_filled_with_nothing() -> None:
    table = Table.Config(trials=1, steps=4, end_trial=True).build()
    short, long = record(table, torch.tensor([[0]])), record(table, torch.tensor([[1, 2, 1, 1]]))
    both = joined([short, long])
    assert both.played.sum(1).tolist() == [1, 4]
    assert track(both, VALUES)["stones_banked"].per_trial.flatten().tolist() == [0, 1]


@pytest.mark.parametrize("name", ["random-bottleneck", "rotation-random-bottleneck"])
def test_nothing_but_stones_leaves_all_graphs_and_potion_maps(name: str) -> None:
    table = Table.Config(level=name, trials=2, steps=2).build()
    recording = record(table, torch.zeros(6, 4, dtype=torch.int64))
    beliefs = belief_counts(recording, name)
    assert (beliefs.counts["graphs"] == 109).all()
    assert (beliefs.counts["potion_maps"] == 48).all()
    assert (beliefs.counts["stone_maps"] >= 1).all()
    # Graph and potion map hold 7.4 bits of graphs and log2(48) of maps, whatever the stones told.
    prior = LEVELS[name].prior()
    graphs = float(-(prior * prior.log2()).sum())
    expected = graphs + math.log2(48) + (beliefs.counts["world_states"] / (109 * 48)).double().log2()
    torch.testing.assert_close(beliefs.entropy, expected)


def test_beliefs_narrow_and_keep_the_truth(played: Recording) -> None:
    beliefs = belief_counts(played, level("rotation-random-bottleneck"), every_step=True)
    assert (beliefs.entropy[:, 1:] <= beliefs.entropy[:, :-1] + 1e-9).all()
    assert (beliefs.counts["world_states"] >= 1).all()
    steps = beliefs.per_step
    assert steps is not None
    assert (steps["world_states"][:, 1:] <= steps["world_states"][:, :-1]).all()
    torch.testing.assert_close(steps["world_states"][:, 44], beliefs.counts["world_states"][:, 2])


def test_what_the_last_action_did_can_be_left_out() -> None:
    """The only potion is used in a trial's only step: an agent never sees what came of it."""
    table = Table.Config(level="no-bottleneck", trials=1, steps=1).build()
    recording = record(table, torch.full((4, 1), 2))
    told, hidden = (belief_counts(recording, "no-bottleneck", hidden=flag) for flag in (True, False))
    assert (hidden.counts["potion_maps"] == 48).all()
    assert (told.counts["potion_maps"] < 48).all()
