"""Alchemy in words: what a language model is told, and many tables that are played by what players write.

    game = TextAlchemy.Config(table=text_table(trials=20, switch=10)).build()
    state = game.reset(seeds=range(8))
    game.texts(state)[0]                                    # what the first player reads
    state, turns = game.step(state, ["ACTION: stone 0 into potion 3", …])

Symbolic Alchemy without rotation, as in the text form of Ke et al. (2025), whose prompts could not be read: all words
are this library's own. A reply that cannot be understood does nothing and costs the step, as does acting on an item
that is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Int64
from torch import Tensor

from percepts.core.config import Config, Configurable
from percepts.core.errors import ConfigError, DataError
from percepts.envs.alchemy.chemistry import Chemistry, chemistry_tables
from percepts.envs.alchemy.table import Outcome, Table, TableState, stone_values
from percepts.envs.alchemy.text_replies import Reply, action_text, read_action
from percepts.envs.alchemy.text_scenes import Coordinates, Echo, Failure, Scene, Stone, rounded, scene_text, signed

Told = Literal["rewards", "pairs", "determinism"]
"""What a player may be told beforehand: the range of rewards; that potions come in opposite pairs; that the same potion
always does the same to the same stone."""
TOLD: tuple[Told, ...] = ("rewards", "pairs", "determinism")
LEVEL = "random-bottleneck"


def text_table(
    trials: int = 10, switch: int | None = None, level: str = LEVEL, end_trial: bool = True, steps: int = 20
) -> Table.Config:
    """The table of text Alchemy.

    Args:
        trials: of a game.
        switch: number of trials before the chemistry is replaced; None for never.
        level: without rotation by default. Whether the paper had bottlenecks is not known.
        end_trial: whether players may end a trial.
        steps: of a trial.

    Raises:
        ConfigError: a switch that is not within the game.
    """
    if switch is not None and not 0 < switch < trials:
        raise ConfigError(f"a switch after {switch} of {trials} trials", f"1 to {trials - 1}")
    after = () if switch is None else (switch,)
    return Table.Config(level=level, trials=trials, steps=steps, end_trial=end_trial, switch_trials=after)


@dataclass(frozen=True)
class TextState:
    """Where B games are.

    Attributes:
        table: the tables.
        scenes: what the turns show.
    """

    table: TableState
    scenes: tuple[Scene, ...]

    def __len__(self) -> int:
        return len(self.scenes)


@dataclass(frozen=True)
class TextTurns:
    """What came of the replies of B players.

    Attributes:
        actions: of the table.
        failures: why a reply came to nothing; None where it did not.
        outcome: of the step.
    """

    actions: Int64[Tensor, " batch"]
    failures: tuple[Failure | None, ...]
    outcome: Outcome


class TextAlchemy(Configurable):
    """Many games in words. Everything is a function of state and replies."""

    @dataclass(frozen=True, kw_only=True)
    class Config(Config):
        """Settings.

        Attributes:
            table: the rules; `text_table` makes the usual ones.
            told: what players are told beforehand.
            announced: whether they are told that the rules have changed.
            reasoning: "plain" asks for the action alone, "steps" for observation, reasoning and action, "guided" names
                what to think about.
        """

        table: Table.Config = field(default_factory=text_table)
        told: tuple[Told, ...] = ()
        announced: bool = False
        reasoning: Literal["plain", "steps", "guided"] = "steps"

        def __post_init__(self) -> None:
            if len(set(self.told)) != len(self.told) or not set(self.told) <= set(TOLD):
                raise ConfigError(f"told = {self.told}", "some of " + ", ".join(TOLD))

    config: Config

    def __init__(self, config: Config) -> None:
        self.config = config
        self.table: Table = config.table.build()
        self.worth = [rounded(value) for value in stone_values(config.table.rewards).tolist()]

    def reset(self, seeds: Sequence[int]) -> TextState:
        """The first game of each seed: the episodes that the table draws from it."""
        return self.begin(self.table.reset(seeds))

    def begin(self, table: TableState) -> TextState:
        """The first turns at tables that nobody has acted on."""
        return TextState(table, self._scenes(table, [None] * len(table), [None] * len(table)))

    def texts(self, state: TextState) -> list[str | None]:
        """What every player reads; None where the game is over."""
        return [None if scene.over else scene_text(scene) for scene in state.scenes]

    def step(self, state: TextState, replies: Sequence[str | None]) -> tuple[TextState, TextTurns]:
        """Act by what was written. Games that are over stand still, whatever is written there.

        Raises:
            DataError: not one reply for each game.
        """
        if len(replies) != len(state):
            raise DataError(f"{len(replies)} replies", f"{len(state)}, one for each game")
        read = [self._read(scene, reply) for scene, reply in zip(state.scenes, replies)]
        actions = torch.tensor([reply.action for reply in read])
        table, outcome = self.table.step(state.table, actions)
        stones = self._stones(state.table.chemistry, outcome)
        parts = (outcome.stone, outcome.potion, outcome.banked, outcome.before != outcome.after, outcome.reward)
        rows = zip(*(part.tolist() for part in parts))
        echoes = [self._echo(*each) for each in zip(state.scenes, read, stones, rows)]
        ended = outcome.new_trial.tolist()
        paid = [rounded(scene.score + one) for scene, one in zip(state.scenes, self._paid(outcome))]
        scores = [one if over else None for one, over in zip(paid, ended)]
        scenes = self._scenes(table, echoes, scores)
        kept = tuple(old if old.over else new for old, new in zip(state.scenes, scenes))
        return TextState(table, kept), TextTurns(actions, tuple(one.failure for one in read), outcome)

    def instructions(self) -> str:
        """What a player is told at first."""
        config = self.config
        blocks = [_GAME, *(self._told(block) for block in TOLD if block in config.told), self._format()]
        return "\n\n".join([*blocks, _REASONING[config.reasoning]])

    def read(self, scene: Scene, reply: str | None) -> Reply:
        """What a reply means in a scene."""
        return self._read(scene, reply)

    def _read(self, scene: Scene, reply: str | None) -> Reply:
        config = self.config.table
        found = read_action(config, reply)
        number = found.action - 1 - config.end_trial
        if scene.over or found.failure is not None or number < 0:
            return found
        stone, place = divmod(number, config.potions + 1)
        nothing = int(config.end_trial)
        if scene.stones[stone] is None:
            return Reply(nothing, "stone gone")
        if place and scene.potions[place - 1] is None:
            return Reply(nothing, "potion used")
        return found

    def _echo(self, scene: Scene, reply: Reply, after: Stone | None, row: tuple[int, int, bool, bool, float]) -> Echo:
        stone, potion, banked, changed, reward = row
        if reply.failure is not None:
            return Echo("failed", failure=reply.failure)
        if banked:
            return Echo("bank", stone, paid=rounded(reward))
        if potion >= 0:
            return Echo("dip", stone, potion, scene.potions[potion] or 0, after, changed)
        return Echo("end" if self.config.table.end_trial and reply.action == 0 else "nothing")

    def _scenes(
        self, table: TableState, echoes: Sequence[Echo | None], ended: Sequence[float | None]
    ) -> tuple[Scene, ...]:
        config = self.config.table
        places = self.table.perceived_stones(table).long().tolist()
        potions = torch.where(table.potion_here, self.table.perceived_potions(table), -1).tolist()
        stones = torch.where(table.stone_here, table.stones, -1).tolist()
        rows = zip(stones, places, potions, table.trial.tolist(), table.step.tolist(), table.trial_score.tolist(),
                   table.finished.tolist(), echoes, ended)  # fmt: skip
        return tuple(
            Scene(
                trial, config.trials, step, config.steps, rounded(score),
                tuple(None if v < 0 else Stone(_place(at), self.worth[v]) for v, at in zip(vertices, seen)),
                tuple(None if colour < 0 else colour for colour in colours),
                echo, over, self.config.announced and step == 0 and trial in config.switch_trials, finished,
            )
            for vertices, seen, colours, trial, step, score, finished, echo, over in rows
        )  # fmt: skip

    def _stones(self, chemistry: Chemistry, outcome: Outcome) -> list[Stone | None]:
        """The stones that were put into potions, afterwards. `chemistry` is that of the step, which may be replaced at
        its end."""
        tables = chemistry_tables()
        vertex = outcome.after.clamp(min=0)
        places = tables.coordinates[chemistry.rotation, chemistry.stone_map, vertex].long().tolist()
        return [
            None if after < 0 else Stone(_place(place), self.worth[after])
            for after, place in zip(outcome.after.tolist(), places)
        ]

    def _paid(self, outcome: Outcome) -> list[float]:
        """What stones paid, without the pay for potions."""
        shaped = self.config.table.rewards.potion * (outcome.potion >= 0)
        found: list[float] = (outcome.reward - shaped).tolist()
        return found

    def _told(self, block: Told) -> str:
        if block == "rewards":
            best, worst = signed(max(self.worth)), signed(min(self.worth))
            return f"The best stone has a reward of {best}, the worst one of {worst}."
        if block == "pairs":
            return (
                "The potions form three pairs: red and green, orange and yellow, pink and turquoise. The two of a pair "
                "have opposite effects on one and the same property of a stone: its colour, its size or its shape."
            )
        return (
            "The same potion always does the same to stones that look the same, and how a stone looks determines its "
            "reward."
        )

    def _format(self) -> str:
        config = self.config.table
        lines = [action_text(config, 1 + config.end_trial)]
        if config.potions:
            lines.insert(0, action_text(config, 2 + config.end_trial))
        lines += [action_text(config, 0)] if config.end_trial else []
        lines.append(action_text(config, int(config.end_trial)))
        return (
            f"The game has {config.trials} trials of up to {config.steps} steps. At every turn you see the stones and "
            'the potions by their numbers; "none" stands for one that is gone. You act by a line that begins with the '
            "word ACTION, in one of these forms:\n" + "\n".join(lines) + "\nIf several lines begin so, the last one "
            "counts. A reply that cannot be understood does nothing and costs the step."
        )


_GAME = (
    "You play a game in words. There are stones, which differ in colour, size and shape, and potions of six colours. "
    "You can put a stone into a potion, which may change what the stone looks like and what reward it has; the potion "
    "is used up. You can put a stone into the cauldron: its reward, which may be negative, is added to your score, and "
    "the stone is gone. Stones that are left at the end of a trial count nothing. Raise the rewards of stones and put "
    "them into the cauldron, so that your score becomes as high as possible. There may be more rules than are stated "
    "here."
)
_REASONING = {
    "plain": "Reply with that one line and nothing else.",
    "steps": (
        "Reply in three parts, each beginning with its name on a new line: OBSERVATION: what you see and what your "
        "last action did; REASONING: what to do and why; ACTION: the one line with your action, at the end."
    ),
    "guided": (
        "First list for every colour of potion what it is known to do to which stones, and what is not known. Then say "
        "which stone is the best that you know of, and for every stone on the table how it could become so with what "
        "is left, or which potion would tell you most. End your reply with the line with your action."
    ),
}


def _place(coordinates: Sequence[int]) -> Coordinates:
    a, b, c = coordinates
    return a, b, c
