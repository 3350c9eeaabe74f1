"""Agents at the table of Alchemy: whole episodes in a batch, and how they went.

    table = Table.Config(level="random-bottleneck").build()
    played = play(RandomHeuristic(table), table, seeds=range(1000))
    played.mean, played.standard_error, played.adaptation
    played.tracked["no_change"].per_trial.float().mean(0)
    play(agent, table, episodes=generated_episodes())

Agents are shown the observation of the environment under "symbolic", and under "chemistry" the truth, [B, 4]: graph,
potion map, stone map and rotation, which is for those only that are meant to know it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from percepts.agents.agent import Agent
from percepts.core.errors import ConfigError, RunError
from percepts.envs.alchemy.chemistry import Chemistry
from percepts.envs.alchemy.observations import observe
from percepts.envs.alchemy.recording import Recorder, Recording, joined
from percepts.envs.alchemy.table import Table
from percepts.envs.alchemy.table_state import NONE, Episodes, TableState, stone_values
from percepts.envs.alchemy.trackers import Beliefs, Tracked, belief_counts, track

AT_ONCE = 1024
"""Episodes that are played side by side."""
EARLY, LATE = 3, 3
"""Trials that adaptation compares: the first three and the last three."""


@dataclass(frozen=True)
class Played:
    """How episodes went.

    Attributes:
        scores: what stones paid in every trial.
        recording: all that happened; None if it was not wanted.
        tracked: the trackers of the recording by name; empty without one.
        beliefs: what could be known after every trial; None if it was not asked for.
    """

    scores: Float32[Tensor, "batch trials"]
    recording: Recording | None = None
    tracked: dict[str, Tracked] = dataclasses.field(default_factory=dict)
    beliefs: Beliefs | None = None

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def totals(self) -> Float32[Tensor, " batch"]:
        """Scores of whole episodes."""
        return self.scores.sum(1)

    @property
    def mean(self) -> float:
        """The mean score of an episode."""
        return float(self.totals.double().mean())

    @property
    def standard_error(self) -> float:
        """Of that mean; not a number for a single episode."""
        return float(self.totals.double().std()) / math.sqrt(len(self)) if len(self) > 1 else math.nan

    @property
    def per_trial(self) -> list[float]:
        """Mean scores of the trials."""
        return self.scores.double().mean(0).tolist()

    @property
    def adaptation(self) -> float:
        """By how much the last three trials are better than the first three, on average."""
        trials = self.scores.double().mean(0)
        return float(trials[-LATE:].mean() - trials[:EARLY].mean())


def play(
    agent: Agent,
    table: Table,
    seeds: Sequence[int] | None = None,
    *,
    episodes: Episodes | None = None,
    record: bool = True,
    beliefs: bool = False,
    at_once: int = AT_ONCE,
) -> Played:
    """Play one episode for each seed, or for each of given ones.

    An agent with a method `start(seeds)` gets its state from it, so that what it does in an episode does not depend on
    the others; any other one begins without a state in every batch.

    Args:
        agent: who plays.
        table: whose rules.
        seeds: of the episodes, and of the agent's choices in them; 0, 1, … for given episodes by default.
        episodes: to be played instead of what the seeds draw.
        record: whether all that happens is kept.
        beliefs: whether the exact posterior is followed, too; a recording is then kept in any case.
        at_once: episodes side by side.

    Raises:
        ConfigError: neither seeds nor episodes, not as many of both, none, or a number of them.
        RunError: the agent gives no whole numbers, or not one for each table.
    """
    if episodes is not None and not isinstance(episodes, Episodes):
        fix = f"play(agent, table, seeds=range({episodes}))" if isinstance(episodes, int) else None
        raise ConfigError(f"episodes = {episodes!r}", "episodes that are laid out, such as those of a file", fix)
    if seeds is None:
        if episodes is None:
            raise ConfigError("neither seeds nor episodes", fix="play(agent, table, seeds=range(1000))")
        seeds = range(len(episodes))
    if isinstance(seeds, int):
        raise ConfigError(f"seeds = {seeds}", "the seeds themselves", f"play(agent, table, seeds=range({seeds}))")
    if not len(seeds) or (episodes is not None and len(seeds) != len(episodes)):
        raise ConfigError(f"{len(seeds)} seeds", f"{'one or more' if episodes is None else len(episodes)}")
    parts = []
    for start in range(0, len(seeds), at_once):
        some = list(seeds[start : start + at_once])
        chosen = None if episodes is None else episodes.rows(slice(start, start + at_once))
        parts.append(_play(agent, table, some, chosen, record or beliefs))
    scores = torch.cat([score for score, _ in parts])
    recordings = [recording for _, recording in parts if recording is not None]
    if not recordings:
        return Played(scores)
    recording = joined(recordings)
    tracked = track(recording, stone_values(table.config.rewards))
    return Played(scores, recording, tracked, belief_counts(recording, table.level) if beliefs else None)


def look(state: TableState) -> dict[str, Tensor]:
    """What agents are shown of tables."""
    chemistry = [getattr(state.chemistry, part.name) for part in dataclasses.fields(state.chemistry)]
    return {"symbolic": observe(state), "chemistry": torch.stack(chemistry, 1)}


def chemistry_of(truth: Int64[Tensor, "batch 4"]) -> Chemistry:
    """The chemistry that an observation tells under "chemistry"."""
    return Chemistry(*truth.unbind(1))


def _play(
    agent: Agent, table: Table, seeds: list[int], episodes: Episodes | None, record: bool
) -> tuple[Tensor, Recording | None]:
    """Scores of every trial, and the recording."""
    state = table.reset(seeds) if episodes is None else table.play(episodes, seeds)
    recorder = Recorder(table.config.trials) if record else None
    scores = torch.zeros(len(state), table.config.trials, device=state.trial.device)
    mind = agent.start(seeds) if hasattr(agent, "start") else None
    fresh = torch.ones_like(state.finished)
    row = torch.arange(len(state), device=state.trial.device)
    while True:
        if recorder is not None and fresh.any():
            stones, potions = _laid(state.stones, state.stone_here), _laid(state.potions, state.potion_here)
            recorder.trial(state.trial, stones, potions, state.chemistry, fresh)
        if state.finished.all():
            break
        action, mind = agent.act(look(state), mind)
        _check(action, len(state))
        before = state
        state, outcome = table.step(state, action)
        scores[row, before.trial] += outcome.reward - table.config.rewards.potion * (outcome.potion >= 0)
        if recorder is not None:
            recorder.step(before.trial, ~before.finished, action, outcome)
        fresh = outcome.new_trial & ~outcome.terminated
    return scores, recorder.recording() if recorder is not None else None


def _laid(items: Tensor, here: Tensor) -> Tensor:
    """Items at the beginning of a trial, NONE where a slot is empty from the start."""
    return torch.where(here, items, NONE)


def _check(action: Any, batch: int) -> None:
    """One whole number for each table."""
    if not isinstance(action, Tensor) or tuple(action.shape) != (batch,) or action.dtype != torch.int64:
        got = f"{list(action.shape)} {action.dtype}" if isinstance(action, Tensor) else type(action).__name__
        raise RunError(f"an agent's actions are {got}", f"int64 [{batch}], one for each table")
