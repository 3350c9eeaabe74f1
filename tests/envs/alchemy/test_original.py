"""Bit for bit what dm_alchemy does from the same seed: the batched table in compat mode, all rollouts of a kind at
once. That single environments do what the batched table does is tested with them."""

from __future__ import annotations

from itertools import groupby, pairwise

import numpy as np
import pytest
import torch
from benchmarks.alchemy_original import digest
from original_rollouts import Rollout, rollouts

from percepts.envs.alchemy.chemistry_view import true_chemistry
from percepts.envs.alchemy.observations import observe
from percepts.envs.alchemy.table import Table, TableState

MAIN = "perceptual_mapping_randomized_with_rotation_and_random_bottleneck"
KINDS = [list(group) for _, group in groupby(rollouts(), key=lambda rollout: rollout.kind)]


def test_the_fixtures_are_many_enough() -> None:
    main = [rollout for rollout in rollouts() if rollout.config == Table.Config(seeding="compat", level=MAIN)]
    assert len({rollout.seed for rollout in main if rollout.used}) >= 24
    assert all(len(rollout.episodes) == 2 for rollout in main)


@pytest.mark.parametrize("rows", KINDS, ids=lambda rows: rows[0].name)
def test_everything_is_as_in_the_original(rows: list[Rollout]) -> None:
    table = rows[0].config.build()
    state = table.reset([rollout.seed for rollout in rows])
    for number in range(2):
        state = _episode(table, state, rows, number)
        # Also where the original left an episode before its end.
        state = table.restart(state, torch.ones(len(rows), dtype=torch.bool))


def _episode(table: Table, state: TableState, rows: list[Rollout], number: int) -> TableState:
    episodes = [rollout.episodes[number] for rollout in rows]
    assert true_chemistry(state.chemistry).tolist() == [episode["truth"] for episode in episodes]
    seen = [observe(state, rows[0].used)]
    rewards, over, last = [], [], torch.zeros(len(rows), dtype=torch.bool)
    for theirs in zip(*(episode["actions"] for episode in episodes)):
        assert not last.any()
        action = torch.tensor([rollout.action(one) for rollout, one in zip(rows, theirs)])
        state, outcome = table.step(state, action)
        last = outcome.terminated
        seen.append(observe(state, rows[0].used))
        rewards.append(outcome.reward)
        over.append(outcome.new_trial)
    for row, (rollout, episode) in enumerate(zip(rows, episodes)):
        ours = rollout.observation(torch.stack(seen)[:, row].numpy())
        assert np.array_equal(ours[0], np.float32(episode["first"]))
        paid = torch.stack(rewards)[:, row].tolist()
        assert [[step, reward] for step, reward in enumerate(paid) if reward] == episode["rewards"]
        assert bool(last[row]) == episode["last"]
        begun = [0, *(step + 1 for step, ended in enumerate(over) if ended[row])]
        if episode["last"]:
            assert begun.pop() == len(episode["actions"])
        bounds = [*begun, len(ours)]
        hashes = [digest(list(ours[first:after])) for first, after in pairwise(bounds)]
        assert [list(pair) for pair in zip(begun, hashes)] == episode["trials"]
        assert state.score[row].item() == sum(paid)
    return state
