"""Bots at copies of the tables where an agent plays, as many moves as it: what its potions would have brought them.

    played = play(agent, table, seeds)
    bots = play_beside(RandomHeuristic(table), table, played.recording, copies=10)
    played.scores - bots.scores.unflatten(0, (-1, 10)).mean(1)

After dm_alchemy's bot-running tracker: whenever the agent uses a potion a bot may use one, too; when the agent's trial
ends, a bot's positive stones are banked and its trial is ended. So both have made as many experiments.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor

from percepts.agents.alchemy.bots import Bot, bank_positive
from percepts.agents.alchemy.playing import Played, look
from percepts.core.errors import ConfigError
from percepts.core.random import derive_seed
from percepts.envs.alchemy.chemistry import Chemistry
from percepts.envs.alchemy.reading import read
from percepts.envs.alchemy.recording import Recorder, Recording
from percepts.envs.alchemy.table import Table
from percepts.envs.alchemy.table_state import Episodes, stone_values
from percepts.envs.alchemy.trackers import track


def play_beside(bot: Bot, table: Table, recording: Recording, *, copies: int = 1) -> Played:
    """How bots do on copies of recorded episodes; those of an episode stand together.

    Args:
        bot: one that remembers nothing of what it saw.
        table: whose rules both follow.
        recording: of the agent.
        copies: of every episode.

    Raises:
        ConfigError: no copies, or a chemistry that changes within an episode.
    """
    if copies < 1:
        raise ConfigError(f"copies = {copies}", "1 or more")
    rows = torch.arange(len(recording)).repeat_interleave(copies)
    other = _Beside(bot, table, episodes_of(recording).rows(rows))
    used, (_, ends) = recording.played & (recording.potion >= 0), recording.bounds()
    for step in range(recording.trial.shape[1]):
        other.move(used[rows, step])
        other.end(ends[rows, step])
    found = other.recorder.recording()
    return Played(found.scores(), found, track(found, stone_values(table.config.rewards)))


def episodes_of(recording: Recording) -> Episodes:
    """What was laid out in recorded episodes, to be played again.

    Raises:
        ConfigError: a chemistry changed within an episode.
    """
    batch, trials = recording.stones.shape[:2]
    chemistry = recording.chemistry
    parts = (chemistry.graph, chemistry.potion_map, chemistry.stone_map, chemistry.rotation)
    each = [part.view(batch, trials) for part in parts]
    if any(bool((part != part[:, :1]).any()) for part in each):
        raise ConfigError("episodes whose chemistry changes", "one chemistry for all trials of an episode")
    return Episodes(Chemistry(*(part[:, 0] for part in each)), recording.stones, recording.potions)


class _Beside:
    """The copies, and what happens at them."""

    def __init__(self, bot: Bot, table: Table, episodes: Episodes) -> None:
        self.bot, self.table = bot, table
        self.state = table.play(episodes)
        self.mind = bot.start([derive_seed(0, row) for row in range(len(episodes))])
        self.recorder = Recorder(table.config.trials)
        self.ended = torch.zeros(len(episodes), dtype=torch.bool)
        self._lay(torch.ones_like(self.ended))

    def move(self, rows: Bool[Tensor, " batch"]) -> None:
        """The bot may use a potion in these rows."""
        if rows.any():
            action, self.mind = self.bot.act(look(self.state), self.mind)
            potions = self.table.config.potions
            dips = (action >= self.bot.actions.first) & ((action - self.bot.actions.first) % (potions + 1) > 0)
            self._step(action, rows & dips & ~self.ended)

    def end(self, rows: Bool[Tensor, " batch"]) -> None:
        """The trial ends in these rows, once positive stones are banked, if it has not yet."""
        left = rows & ~self.ended
        while left.any():
            config = self.table.config
            seen = read(look(self.state), config.stones, config.potions)
            self._step(bank_positive(seen, self.bot.actions), left)
            left = left & ~self.ended
        self.ended = self.ended & ~rows

    def _step(self, action: Tensor, rows: Bool[Tensor, " batch"]) -> None:
        """Act in some rows."""
        if not rows.any():
            return
        before = self.state
        after, outcome = self.table.step(before, action)
        chosen = rows.nonzero()[:, 0]
        self.state = before.put(chosen, after.rows(chosen))
        self.recorder.step(before.trial, rows, action, outcome)
        over = rows & (outcome.new_trial | outcome.terminated)
        self.ended = self.ended | over
        self._lay(over & ~outcome.terminated)

    def _lay(self, rows: Bool[Tensor, " batch"]) -> None:
        if rows.any():
            state = self.state
            stones = torch.where(state.stone_here, state.stones, -1)
            potions = torch.where(state.potion_here, state.potions, -1)
            self.recorder.trial(state.trial, stones, potions, state.chemistry, rows)
