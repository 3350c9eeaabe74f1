"""The rules of Alchemy for many tables at once, in tensors.

    table = Table.Config(level="random-bottleneck").build()
    state = table.reset(seeds=range(256))
    state, outcome = table.step(state, action)              # action int64 [256]
    state = table.restart(state, outcome.terminated)        # their next episodes

States are values: a table draws from the stream of random numbers in its row of the state, nothing else is remembered,
so that its trajectory is a function of its seed and its actions, whatever the other tables are.

An action is a whole number: 0 does nothing, 1 + (P + 1) s puts stone s into the cauldron, 1 + (P + 1) s + 1 + p puts
stone s into potion p, where P is the number of potions. With `end_trial` all are one more, and 0 ends the trial. Acting
on a stone or potion that is gone does nothing and costs a step. A potion is used up even if it has no effect.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable
from dataclasses import dataclass, field
from numbers import Integral
from typing import Literal

import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from percepts.core.config import Config, Configurable
from percepts.core.errors import ConfigError, DataError
from percepts.envs.alchemy.chemistry import (
    POTIONS,
    VERTICES,
    Chemistry,
    chemistry_tables,
)
from percepts.envs.alchemy.drawing import Draws, LegacyStreams
from percepts.envs.alchemy.levels import MAIN_LEVEL, Level
from percepts.envs.alchemy.levels import level as level_of
from percepts.envs.alchemy.table_state import NONE, Episodes, Outcome, Rewards, TableState, stone_values
from percepts.envs.streams import Streams

__all__ = ["NONE", "Episodes", "Outcome", "Rewards", "Table", "TableState", "Trial", "stone_values"]

Trial = tuple[tuple[int, ...], tuple[int, ...]]
"""Latent stones and latent potions of a trial."""


class Table(Configurable):
    """The rules of symbolic Alchemy (Wang, King, Porcel et al. 2021), as dm_alchemy has them."""

    @dataclass(frozen=True, kw_only=True)
    class Config(Config):
        """Settings.

        Attributes:
            level: what is drawn, by name or as it is.
            trials: of an episode.
            steps: of a trial.
            stones, potions: how many of each a trial begins with.
            end_trial: whether there is an action that ends the trial.
            rewards: what stones are worth.
            chemistry: graph, potion map, stone map and rotation of all episodes; drawn from the level if None.
            items: latent stones and potions of every trial of all episodes, at most as many as there are slots; drawn
                if None.
            switch_trials: numbers of the trials, from 0, before which the chemistry is drawn anew. Nothing tells.
            seeding: "compat" draws as dm_alchemy does, so that its seeds give the same episodes here; "fast" draws for
                all tables at once.

        Raises:
            ConfigError: an unknown level, a number out of range, items that do not fit, or switches of a chemistry that
                is fixed.
        """

        level: str | Level = MAIN_LEVEL
        trials: int = 10
        steps: int = 20
        stones: int = 3
        potions: int = 12
        end_trial: bool = False
        rewards: Rewards = field(default_factory=Rewards)
        chemistry: tuple[int, int, int, int] | None = None
        items: tuple[Trial, ...] | None = None
        switch_trials: tuple[int, ...] = ()
        seeding: Literal["fast", "compat"] = "fast"

        def __post_init__(self) -> None:
            level_of(self.level)
            for name, least in (("trials", 1), ("steps", 1), ("stones", 1), ("potions", 0)):
                if not isinstance(getattr(self, name), Integral) or getattr(self, name) < least:
                    raise ConfigError(f"{name} = {getattr(self, name)!r}", f"a whole number, {least} or more")
            if self.chemistry is not None:
                if len(self.chemistry) != len(dataclasses.fields(Chemistry)):
                    raise ConfigError(f"chemistry = {self.chemistry}", "graph, potion map, stone map, rotation")
                Chemistry.of(*self.chemistry)
            _check_items(self)
            if not all(0 < trial < self.trials for trial in self.switch_trials):
                raise ConfigError(f"switch_trials = {self.switch_trials}", f"numbers from 1 to {self.trials - 1}")
            if self.switch_trials and self.chemistry is not None:
                raise ConfigError("switch_trials beside a fixed chemistry", "one or the other")

        @property
        def actions(self) -> int:
            """How many actions there are."""
            return 1 + self.end_trial + self.stones * (self.potions + 1)

    config: Config

    def __init__(self, config: Config) -> None:
        self.config = config
        self.level = level_of(config.level)
        self.draws = Draws(
            self.level, config.stones, config.potions, config.chemistry is not None, config.items is not None
        )

    @property
    def actions(self) -> int:
        """How many actions there are."""
        return self.config.actions

    def reset(self, seeds: Iterable[int], device: torch.device | str = "cpu") -> TableState:
        """The first episode of a table for each seed.

        Raises:
            DataError: no seeds, or one that NumPy's RandomState does not take, in compat mode.
        """
        given = [int(seed) for seed in seeds]
        if not given:
            raise DataError("no seeds", "one for each table")
        return self._begin(self._streams(given, device), None)

    def play(self, episodes: Episodes, seeds: Iterable[int] | None = None) -> TableState:
        """Tables that play given episodes, now and after every restart, such as those of an evaluation set.

        Args:
            episodes: one for each table, of this configuration's numbers of trials, stones and potions.
            seeds: of the streams, from which nothing but switches of the chemistry are drawn; 0, 1, … by default.

        Raises:
            DataError: episodes of other sizes, or another number of seeds.
        """
        config, batch = self.config, len(episodes)
        found = (tuple(episodes.stones.shape[1:]), tuple(episodes.potions.shape[1:]))
        if found != ((config.trials, config.stones), (config.trials, config.potions)) or not batch:
            got = f"{batch} episodes with stones {list(found[0])} and potions {list(found[1])}"
            raise DataError(got, f"[{config.trials}, {config.stones}] and [{config.trials}, {config.potions}]")
        given = list(range(batch) if seeds is None else seeds)
        if len(given) != batch:
            raise DataError(f"{len(given)} seeds for {batch} episodes", "one each")
        return self._begin(self._streams(given, episodes.stones.device), episodes)

    def restart(self, state: TableState, rows: Bool[Tensor, " batch"]) -> TableState:
        """The next episode at some of the tables, from their own streams.

        Raises:
            DataError: `rows` that are not one bool for each table.
        """
        if rows.dtype != torch.bool or rows.shape != state.finished.shape:
            raise DataError(f"rows of {rows.dtype} {list(rows.shape)}", f"bool [{len(state)}]")
        index = rows.nonzero()[:, 0]
        if not len(index):
            return state
        begun = self._begin(state.streams.rows(index), None if state.episodes is None else state.episodes.rows(index))
        return begun if len(index) == len(state) else state.put(index, begun)

    def step(self, state: TableState, action: Int64[Tensor, " batch"]) -> tuple[TableState, Outcome]:
        """Act once at every table.

        A table whose episode is over stands still, whatever its action: the reward is 0, and the outcome says again
        that it is over.

        Raises:
            DataError: actions that are none.
        """
        self._check(state, action)
        config = self.config
        number = (action - (1 + config.end_trial)).clamp(min=0)
        slot = torch.div(number, config.potions + 1, rounding_mode="floor")
        place = number - slot * (config.potions + 1)
        going = ~state.finished
        acts = (action > int(config.end_trial)) & going
        slot, potion = slot[:, None], (place - 1).clamp(min=0)[:, None]
        vertex, has_stone = state.stones.gather(1, slot)[:, 0], state.stone_here.gather(1, slot)[:, 0] & acts
        banked = has_stone & (place == 0)
        dipped, after, potion_here = torch.zeros_like(banked), vertex, state.potion_here
        if config.potions:
            dipped = has_stone & (place > 0) & potion_here.gather(1, potion)[:, 0]
            after = torch.where(dipped, self._effect(state, vertex, potion), vertex)
            potion_here = potion_here.scatter(1, potion, potion_here.gather(1, potion) & ~dipped[:, None])
        paid = torch.where(banked, self._values(vertex.device)[vertex], 0.0)
        stones = state.stones.scatter(1, slot, after[:, None])
        stone_here = state.stone_here.scatter(1, slot, state.stone_here.gather(1, slot) & ~banked[:, None])
        step = state.step + going
        over = going & (step >= config.steps)
        if config.end_trial:
            over = over | (going & (action == 0))
        finished = state.finished | (over & (state.trial == config.trials - 1))
        acted = banked | dipped
        outcome = Outcome(
            reward=paid + config.rewards.potion * dipped if config.rewards.potion else paid,
            terminated=finished,
            new_trial=over,
            stone=torch.where(acted, slot[:, 0], NONE),
            potion=torch.where(dipped, potion[:, 0], NONE),
            banked=banked,
            before=torch.where(acted, vertex, NONE),
            after=torch.where(dipped, after, NONE),
        )
        moved = TableState(
            state.chemistry, stones, state.potions, stone_here, potion_here, state.trial, step,
            state.score + paid, state.trial_score + paid, finished, state.streams, state.episodes,
        )  # fmt: skip
        return self._next_trials(moved, over & ~finished), outcome

    def episodes(self, seeds: Iterable[int]) -> Episodes:
        """What the first episode of each seed holds, with all of its trials, to be kept or played.

        Raises:
            DataError: as of `reset`, or a chemistry that changes within an episode.
        """
        if self.config.switch_trials:
            raise DataError("episodes in which the chemistry changes", fix="switch_trials=()")
        state = self.reset(seeds)
        everywhere = torch.ones(len(state), dtype=torch.bool)
        trials = [_items(state)]
        for _ in range(self.config.trials - 1):
            state = self._next_trials(state, everywhere)
            trials.append(_items(state))
        stones, potions = (torch.stack(parts, 1) for parts in zip(*trials))
        return Episodes(state.chemistry, stones, potions)

    def perceived_potions(self, state: TableState) -> Int64[Tensor, "batch potions"]:
        """The colours of the potions, those of used ones included: numbers in `POTION_COLOURS`."""
        tables = chemistry_tables(str(state.potions.device))
        return tables.perceived_potion[state.chemistry.potion_map[:, None], state.potions]

    def perceived_stones(self, state: TableState) -> Float32[Tensor, "batch stones 3"]:
        """Colour, size and roundness of the stones, gone ones included: -1, 0 or 1."""
        tables, chemistry = chemistry_tables(str(state.stones.device)), state.chemistry
        return tables.coordinates[chemistry.rotation[:, None], chemistry.stone_map[:, None], state.stones]

    def _effect(self, state: TableState, vertex: Tensor, potion: Tensor) -> Tensor:
        """Vertices after these potions."""
        tables = chemistry_tables(str(vertex.device))
        row = state.chemistry.graph * (VERTICES * POTIONS) + vertex * POTIONS + state.potions.gather(1, potion)[:, 0]
        return tables.transition.view(-1)[row]

    def _begin(self, streams: Streams | LegacyStreams, episodes: Episodes | None) -> TableState:
        """A new episode for every stream."""
        device = streams.key.device if isinstance(streams, Streams) else streams.words.device
        batch = len(streams)
        anew = torch.ones(batch, dtype=torch.bool, device=device)
        count = torch.zeros(batch, dtype=torch.int64, device=device)
        chemistry, stones, potions, streams = self._trial(streams, anew, count, episodes)
        if episodes is not None:
            chemistry = episodes.chemistry
        elif self.config.chemistry is not None:
            chemistry = Chemistry(*(torch.full_like(count, number) for number in self.config.chemistry))
        score = torch.zeros(batch, device=device)
        return TableState(
            chemistry, stones.clamp(min=0), potions.clamp(min=0), stones >= 0, potions >= 0, count, count.clone(),
            score, score.clone(), ~anew, streams, episodes,
        )  # fmt: skip

    def _next_trials(self, state: TableState, rows: Bool[Tensor, " batch"]) -> TableState:
        """The state with the next trial begun in some rows."""
        index = rows.nonzero()[:, 0]
        if not len(index):
            return state
        # Where it is all of them, as it mostly is or is not, there is nothing to keep.
        part = state if len(index) == len(state) else state.rows(index)
        trial = part.trial + 1
        switched = torch.zeros_like(rows[index])
        for number in self.config.switch_trials:
            switched |= trial == number
        drawn, stones, potions, streams = self._trial(part.streams, switched, trial, part.episodes)
        chemistry = part.chemistry
        if self.config.switch_trials:
            chemistry = chemistry if not bool(switched.any()) else chemistry.put(switched, drawn.rows(switched))
        begun = TableState(
            chemistry, stones.clamp(min=0), potions.clamp(min=0), stones >= 0, potions >= 0, trial,
            torch.zeros_like(trial), part.score, torch.zeros_like(part.score), part.finished, streams, part.episodes,
        )  # fmt: skip
        return begun if part is state else state.put(index, begun)

    def _trial(
        self, streams: Streams | LegacyStreams, anew: Tensor, trial: Tensor, episodes: Episodes | None
    ) -> tuple[Chemistry, Tensor, Tensor, Streams | LegacyStreams]:
        """Latent items of a trial, -1 for none, and chemistries where `anew`."""
        chemistry, stones, potions, streams = self.draws.draw(streams, anew)
        if episodes is not None:
            row = torch.arange(len(trial), device=trial.device)
            stones, potions = episodes.stones[row, trial], episodes.potions[row, trial]
        elif self.config.items is not None:
            stones, potions = (part.to(trial.device)[trial] for part in item_tensors(self.config))
        return chemistry, stones, potions, streams

    def _streams(self, seeds: list[int], device: torch.device | str) -> Streams | LegacyStreams:
        if self.config.seeding == "compat":
            return LegacyStreams.of(seeds, device)
        return Streams.of(seeds, STREAM, device=device)

    def _values(self, device: torch.device) -> Tensor:
        return _values(self.config.rewards, str(device))

    def _check(self, state: TableState, action: Tensor) -> None:
        if action.dtype != torch.int64 or action.shape != state.finished.shape:
            raise DataError(f"actions of {action.dtype} {list(action.shape)}", f"int64 [{len(state)}]")
        if len(action):
            least, most = (int(one) for one in action.aminmax())
            if least < 0 or most >= self.actions:
                raise DataError(f"the action {least if least < 0 else most}", f"0 to {self.actions - 1}")


STREAM = "alchemy"
"""What the streams of tables are for."""


@functools.cache
def _values(rewards: Rewards, device: str) -> Tensor:
    return stone_values(rewards).to(device)


@functools.cache
def item_tensors(config: Table.Config) -> tuple[Int64[Tensor, "trials stones"], Int64[Tensor, "trials potions"]]:
    """The fixed items of a configuration that has some; -1 for none."""
    assert config.items is not None
    padded = [
        [[*trial[kind], *[NONE] * (count - len(trial[kind]))] for trial in config.items]
        for kind, count in enumerate((config.stones, config.potions))
    ]
    stones, potions = (torch.tensor(part, dtype=torch.int64) for part in padded)
    return stones, potions.view(config.trials, config.potions)


def _items(state: TableState) -> tuple[Tensor, Tensor]:
    """Latent items, -1 for none."""
    return (
        torch.where(state.stone_here, state.stones, NONE),
        torch.where(state.potion_here, state.potions, NONE),
    )


def _check_items(config: Table.Config) -> None:
    if config.items is None:
        return
    if len(config.items) != config.trials:
        raise ConfigError(f"items of {len(config.items)} trials", f"of {config.trials}")
    for number, trial in enumerate(config.items):
        if not isinstance(trial, tuple) or len(trial) != 2 or not all(isinstance(part, tuple) for part in trial):
            raise ConfigError(f"items {trial!r} of trial {number}", "a tuple of stones and one of potions")
        kinds = zip(("stones", "potions"), trial, (config.stones, config.potions), (VERTICES, POTIONS))
        for name, items, most, count in kinds:
            if len(items) > most or not all(item in range(count) for item in items):
                raise ConfigError(f"{name} {items} in trial {number}", f"up to {most} numbers from 0 to {count - 1}")
