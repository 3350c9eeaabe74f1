"""Players that read and write: what they are, and whole games of text Alchemy with them.

    game = TextAlchemy.Config(table=text_table(trials=20, switch=10)).build()
    played = play_text(game, ThroughText(Thompson(game.table, memory="reset"), game), seeds=range(120))
    played.scores, played.ceiling

A player is handed its memory of every game, and keeps nothing itself. Whatever it is, the game sees only its words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from percepts.agents.alchemy.oracle import values_of
from percepts.agents.alchemy.plans import best_plans
from percepts.core.errors import ConfigError, RunError
from percepts.envs.alchemy.chemistry import POTIONS
from percepts.envs.alchemy.table import Table, TableState
from percepts.envs.alchemy.text import TextAlchemy, TextState, TextTurns
from percepts.foundation.model import Completion, Message

SEEDS = 1 << 31
"""Seeds of games and of questions are below this: servers and dm_alchemy's random numbers take no others."""


@dataclass(frozen=True)
class Exchange:
    """One question to a model and its answer.

    Attributes:
        messages: what was said since the exchange before.
        completion: the answer.
        facts: what it was for.
    """

    messages: tuple[Message, ...]
    completion: Completion
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """What a player writes at a turn.

    Attributes:
        text: the reply.
        exchanges: with a model, if there was one, in order; the last one gave the reply.
    """

    text: str
    exchanges: tuple[Exchange, ...] = ()


class TextAgent(Protocol):
    """Plays B games at once in words."""

    def start(self, seeds: Sequence[int]) -> Any:
        """The state at the beginning of the games with these seeds."""

    def act(self, texts: Sequence[str | None], state: Any) -> tuple[list[Answer], Any]:
        """The replies to what each player reads, and the state to hand over with the next ones.

        Args:
            texts: None for games that are over, whose reply does not matter.
            state: what `start` or the call before gave.
        """


@dataclass(frozen=True)
class PlayedText:
    """How B games went.

    Attributes:
        scores: what stones paid in every trial.
        ceiling: what the oracle would have reached in it.
        steps: of every trial.
        dips: potions used in every trial.
        vain: those of them that changed nothing.
        failures: replies that came to nothing, in every trial.
    """

    scores: Float64[Tensor, "batch trials"]
    ceiling: Float64[Tensor, "batch trials"]
    steps: Int64[Tensor, "batch trials"]
    dips: Int64[Tensor, "batch trials"]
    vain: Int64[Tensor, "batch trials"]
    failures: Int64[Tensor, "batch trials"]

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def normalised(self) -> Float64[Tensor, "batch trials"]:
        """Scores over those of the oracle; NaN where it reaches nothing."""
        return torch.where(self.ceiling > 0, self.scores / self.ceiling, torch.nan)

    @property
    def invalid_rate(self) -> float:
        """The share of replies that came to nothing."""
        return float(self.failures.sum() / self.steps.sum().clamp(min=1))

    def rows(self, index: Any) -> PlayedText:
        """Some of the games."""
        return PlayedText(**{name: value[index] for name, value in vars(self).items()})


Watch = Callable[[TextState, list[Answer], TextTurns, TextState], None]
"""Told of every turn: the state before, what was written, what came of it, and the state after."""


def play_text(game: TextAlchemy, agent: TextAgent, seeds: Sequence[int], watch: Watch | None = None) -> PlayedText:
    """Play the first game of each seed, side by side.

    Args:
        game: the rules.
        agent: who plays.
        seeds: of the games, and of the player's choices.
        watch: is told of every turn.

    Raises:
        ConfigError: no seeds.
        RunError: not one reply for each game.
    """
    if not len(seeds):
        raise ConfigError("no seeds", "one for each game")
    state, mind = game.reset(seeds), agent.start(seeds)
    shape = (len(seeds), game.config.table.trials)
    tally = {name: torch.zeros(shape, dtype=torch.float64) for name in ("scores", "ceiling")}
    tally |= {name: torch.zeros(shape, dtype=torch.int64) for name in ("steps", "dips", "vain", "failures")}
    row = torch.arange(len(seeds))
    tally["ceiling"][:, 0] = ceilings(game.table, state.table)
    while not bool(state.table.finished.all()):
        answers, mind = agent.act(game.texts(state), mind)
        if len(answers) != len(seeds):
            raise RunError(f"{len(answers)} replies of a player in {len(seeds)} games", "one for each game")
        before, going, trial = state, ~state.table.finished, state.table.trial
        state, turns = game.step(state, [answer.text for answer in answers])
        outcome, failed = turns.outcome, torch.tensor([failure is not None for failure in turns.failures])
        tally["scores"][row, trial] += outcome.reward.double()
        tally["steps"][row, trial] += going.long()
        tally["dips"][row, trial] += (outcome.potion >= 0).long()
        tally["vain"][row, trial] += ((outcome.potion >= 0) & (outcome.before == outcome.after)).long()
        tally["failures"][row, trial] += (failed & going).long()
        new = outcome.new_trial & ~outcome.terminated
        if bool(new.any()):
            part = state.table.rows(new)
            tally["ceiling"][row[new], part.trial] = ceilings(game.table, part)
        if watch is not None:
            watch(before, answers, turns, state)
    return PlayedText(**tally)


def ceilings(table: Table, state: TableState) -> Float64[Tensor, " batch"]:
    """What the oracle reaches from here to the end of the trial."""
    colours = torch.arange(POTIONS)
    counts = ((state.potions[..., None] == colours) & state.potion_here[..., None]).sum(1)
    steps = table.config.steps - state.step
    values = values_of(table)
    return best_plans(values, state.chemistry.graph, state.stones, state.stone_here, counts, steps).value
