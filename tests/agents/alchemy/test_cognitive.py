"""Model-free and level-k models: against a plain one-episode model, and what sets them apart."""

from __future__ import annotations

import pytest
import torch

from percepts.agents.alchemy.cognitive import BETA, GAMMA, LevelK, ModelFree, latent_table
from percepts.agents.alchemy.playing import look, play
from percepts.core.errors import CapabilityError, ConfigError
from percepts.envs.alchemy.chemistry import chemistry_tables
from percepts.envs.alchemy.evaluation_set import generated_episodes
from percepts.envs.alchemy.recording import Recording
from percepts.envs.alchemy.table import Table

PAYS = (-3, -1, -1, 1, -1, 1, 1, 15)
LEVEL = "random-bottleneck"


class PlainModel:
    """Sets of possible outcomes by vertex and potion, kept one by one; `k` None for the model-free one."""

    def __init__(self, k: int | None) -> None:
        self.k = k
        near = {v: {v, v ^ 1, v ^ 2, v ^ 4} for v in range(8)}
        self.possible = {(v, q): set(range(8)) if k == 0 else near[v] for v in range(8) for q in range(6)}
        self.value = {(v, q): 3.0 for v in range(8) for q in range(6)}

    def learn(self, before: int, potion: int, after: int) -> None:
        self.value[before, potion] = PAYS[after]
        self.possible[before, potion] = {after}
        if before == after or not self.k or self.k < 2:
            return
        for other in (potion, potion ^ 1)[: self.k - 1]:
            for vertex in range(8):
                bit = 1 << other // 2
                moved = vertex | bit if other % 2 else vertex & ~bit
                if len(self.possible[vertex, other]) > 1:
                    self.possible[vertex, other] = {vertex, moved}

    def best(self, stones: dict[int, int], potions: dict[int, int]) -> int:
        board = sum(max(PAYS[vertex], 0) for vertex in stones.values())
        best, chosen = 0.0 if self.k is None else GAMMA * board, 0
        for stone, vertex in sorted(stones.items()):
            rest = GAMMA * (board - max(PAYS[vertex], 0))
            choices = [(1 + 13 * stone, PAYS[vertex] + (0 if self.k is None else rest))]
            for potion, kind in sorted(potions.items()):
                outcomes = self.possible[vertex, kind]
                mean = sum(max(PAYS[after], 0) for after in outcomes) / len(outcomes)
                worth = self.value[vertex, kind] if self.k is None else rest + GAMMA * mean
                choices.append((2 + 13 * stone + potion, worth))
            for action, worth in choices:
                if worth > best + 1e-9:
                    best, chosen = worth, action
        return chosen


def plain_actions(recording: Recording, episode: int, k: int | None) -> list[int]:
    model, actions = PlainModel(k), []
    moves = chemistry_tables().transition[recording.chemistry.graph[episode * recording.stones.shape[1]]].tolist()
    for trial in range(recording.stones.shape[1]):
        stones = dict(enumerate(recording.stones[episode, trial].tolist()))
        potions = dict(enumerate(recording.potions[episode, trial].tolist()))
        for step in range(20):
            action = model.best(stones, potions) if stones else 0
            actions.append(action)
            slot, column = divmod(action - 1, 13)
            if action and column == 0:
                del stones[slot]
            elif action:
                kind, before = potions.pop(column - 1), stones[slot]
                stones[slot] = moves[before][kind]
                if step < 19:
                    model.learn(before, kind, stones[slot])
    return actions


@pytest.mark.parametrize("k", [None, 0, 1, 2, 3])
def test_greedy_choices_are_those_of_the_plain_model(k: int | None) -> None:
    table = Table.Config(level="rotation-random-bottleneck", trials=4).build()
    agent = ModelFree(table, beta=torch.inf) if k is None else LevelK(table, k, beta=torch.inf)  # type: ignore[arg-type]
    played = play(agent, table, range(12))
    assert played.recording is not None
    for episode in range(12):
        assert played.recording.action[episode].tolist() == plain_actions(played.recording, episode, k)


def test_scores_rise_with_what_is_known() -> None:
    """Means of the notebook's own classes on the published episodes: 216.9, 221.4, 233.5, 243.2, 246.5."""
    table = Table.Config(level=LEVEL).build()
    episodes = generated_episodes(400)
    agents = [ModelFree(table), *(LevelK(table, k) for k in (0, 1, 2, 3))]
    means = [play(agent, table, episodes=episodes, record=False).mean for agent in agents]
    for mean, expected in zip(means, (216.9, 221.4, 233.5, 243.2, 246.5)):
        assert abs(mean - expected) < 11, means  # 3.3 standard errors of 400 episodes
    assert means[0] < means[2] < means[4]
    assert means[1] < means[2] < means[3]


def test_models_adapt() -> None:
    table = Table.Config(level=LEVEL).build()
    assert play(LevelK(table, 1), table, episodes=generated_episodes(200), record=False).adaptation > 2


def test_actions_are_drawn_by_the_softmax_of_kinds() -> None:
    """Two equal stones and three equal potions are one kind each: nothing, cauldron and potion are three actions."""
    items = (((6, 6), (2, 2, 2)),)
    table = Table.Config(level="fixed", trials=1, stones=2, potions=3, items=items).build()
    agent = ModelFree(table, beta=0.5)
    state = table.reset(range(4000))
    action, _ = agent.act(look(state), agent.start(range(4000)))
    counts = torch.bincount(action, minlength=9).double() / 4000
    worth = torch.tensor([0.0, 1.0, 3.0], dtype=torch.float64)
    expected = torch.softmax(0.5 * worth, 0)
    assert counts[3:].sum() == 0
    assert (counts[:3] - expected).abs().max() < 0.03


def test_noise_replaces_actions() -> None:
    table = Table.Config(level=LEVEL).build()
    state = table.reset(range(3000))
    clear, noisy = (
        agent.act(look(state), agent.start(range(3000)))[0]
        for agent in (LevelK(table, 3, beta=torch.inf), LevelK(table, 3, beta=torch.inf, noise=0.4))
    )
    changed = float((clear != noisy).double().mean())
    assert abs(changed - 0.4 * 39 / 40) < 0.03


def test_nothing_is_learned_from_what_went_astray_or_was_not_seen() -> None:
    table = Table.Config(level=LEVEL, steps=1).build()
    agent = ModelFree(table)
    state, mind = table.reset(range(5)), None
    for _ in range(9):
        action, mind = agent.act(look(state), mind)
        state, _ = table.step(state, action)
    assert mind is not None
    assert (mind.outcome == -1).all()  # every action is the last one of its trial
    astray = Table.Config(level=LEVEL).build()
    agent = ModelFree(astray, noise=1.0)
    state, mind = astray.reset(range(5)), None
    for _ in range(50):
        action, mind = agent.act(look(state), mind)
        state, _ = astray.step(state, action)
    assert mind is not None
    assert (mind.outcome == -1).all()


def test_what_is_latent_is_found() -> None:
    table = Table.Config(level="rotation-random-bottleneck").build()
    state = table.reset(range(200))
    state, _ = table.step(state, torch.arange(200) % 40)
    latent = latent_table(look(state))
    assert torch.equal(latent.stones[state.stone_here], state.stones[state.stone_here])
    assert torch.equal(latent.potions[state.potion_here], state.potions[state.potion_here])
    assert torch.equal(latent.here, state.stone_here)
    with pytest.raises(CapabilityError, match="chemistry"):
        LevelK(table).act({"symbolic": look(state)["symbolic"]})


def test_an_episode_does_not_depend_on_the_others() -> None:
    table = Table.Config(level=LEVEL, trials=3).build()
    many, alone = play(LevelK(table, 2), table, range(8)), play(LevelK(table, 2), table, [6])
    assert many.recording is not None
    assert alone.recording is not None
    assert torch.equal(many.recording.action[6], alone.recording.action[0])


@pytest.mark.parametrize("wrong", [{"beta": -1.0}, {"noise": 1.5}, {"noise": -0.1}, {"k": 4}])
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        LevelK(Table.Config().build(), **wrong)  # type: ignore[arg-type]
    assert BETA == 9
