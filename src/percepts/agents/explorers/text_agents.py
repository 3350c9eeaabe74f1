"""Players of text Alchemy that are programs: they read what a language model would read, and write what it would write.

    player = text_player("sampling", game, memory="reset")
    played = play_text(game, player, seeds=range(120))

How much of a game they remember is the question (Ke et al. 2025): "forget" begins every trial anew, as a model without
notes; "carry" keeps what was learned and never doubts it; "reset" begins anew where what it sees contradicts it, as
good notes that are revised.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float32
from torch import Tensor

from percepts.agents.alchemy.bots import Bot, CashOnly, RandomHeuristic, UniformRandom, bank_positive
from percepts.agents.alchemy.oracle import OracleAgent, Progress
from percepts.agents.alchemy.searching import Memory, Mind, Qmdp, Thompson, knowledge_of
from percepts.agents.explorers.dialogue import Answer, TextAgent
from percepts.core.errors import ConfigError, nearest
from percepts.envs.alchemy.chemistry import chemistry_tables
from percepts.envs.alchemy.observations import GONE_POTION, GONE_STONE, MOST_SHOWN
from percepts.envs.alchemy.reading import TableView
from percepts.envs.alchemy.text import TextAlchemy, TextState
from percepts.envs.alchemy.text_replies import action_text
from percepts.envs.alchemy.text_scenes import Scene, read_scene


@dataclass(frozen=True)
class Reading:
    """What a player that reads remembers.

    Attributes:
        seen: the last turn of every game in numbers, as `envs.alchemy.observations` has them.
        mind: of the player behind it.
    """

    seen: Float32[Tensor, "batch numbers"]
    mind: Any


class ThroughText:
    """A player of the symbolic game that plays the one in words.

    Args:
        player: who decides.
        game: whose words.

    Raises:
        ConfigError: rewards from which what a stone shows cannot be told.
    """

    def __init__(self, player: Bot, game: TextAlchemy) -> None:
        self.player, self.game = player, game
        self.shown = shown_rewards(game)

    def start(self, seeds: Sequence[int]) -> Reading:
        """See `dialogue.TextAgent`."""
        config = self.game.config.table
        width = 5 * config.stones + 2 * config.potions
        return Reading(torch.zeros(len(seeds), width), self.player.start(seeds))

    def act(
        self, texts: Sequence[str | None], state: Reading, told: Mapping[str, Tensor] | None = None
    ) -> tuple[list[Answer], Reading]:
        """See `dialogue.TextAgent`.

        Args:
            texts: what every player reads.
            state: what was given before.
            told: what the player behind sees beside the words.

        Raises:
            DataError: a text that shows no turn.
        """
        seen = state.seen.clone()
        rows = [row for row, text in enumerate(texts) if text is not None]
        if rows:
            numbers = [symbolic(read_scene(texts[row] or ""), self.shown) for row in rows]
            seen[rows] = torch.tensor(numbers)
        actions, mind = self.player.act({"symbolic": seen, **(told or {})}, state.mind)
        words = [Answer(action_text(self.game.config.table, action)) for action in actions.tolist()]
        return words, Reading(seen, mind)


@dataclass(frozen=True)
class Insight:
    """What the oracle knows.

    Attributes:
        reading: what it read.
        game: the games themselves, followed beside what it reads.
    """

    reading: Reading
    game: TextState


class OraclePlayer:
    """Knows the rules of every game, from its seed, and makes the most of every trial: the ceiling, in words.

    Args:
        game: that is played.
    """

    def __init__(self, game: TextAlchemy) -> None:
        self.game, self.player = game, ThroughText(OracleAgent(game.table), game)

    def start(self, seeds: Sequence[int]) -> Insight:
        """See `dialogue.TextAgent`."""
        return Insight(self.player.start(seeds), self.game.reset(seeds))

    def act(self, texts: Sequence[str | None], state: Insight) -> tuple[list[Answer], Insight]:
        """See `dialogue.TextAgent`."""
        table = state.game.table
        chemistry = torch.stack(list(vars(table.chemistry).values()), 1)
        reading = Reading(state.reading.seen, Progress(table.step))
        answers, reading = self.player.act(texts, reading, {"chemistry": chemistry})
        game, _ = self.game.step(state.game, [answer.text for answer in answers])
        return answers, Insight(reading, game)


class RigidThompson(Thompson):
    """Posterior sampling that believes nothing any more, and only puts stones that pay into the cauldron, as soon as
    what it remembers contradicts itself. With a memory that forgets or begins anew this hardly ever happens."""

    def plan(self, seen: TableView, mind: Mind) -> Tensor:
        """See `searching.Believer`."""
        return _unless_contradicted(self, super().plan(seen, mind), seen, mind)


class RigidQmdp(Qmdp):
    """QMDP-K that only puts stones that pay into the cauldron as soon as what it remembers contradicts itself."""

    def plan(self, seen: TableView, mind: Mind) -> Tensor:
        """See `searching.Believer`."""
        return _unless_contradicted(self, super().plan(seen, mind), seen, mind)


def _unless_contradicted(player: Bot, action: Tensor, seen: TableView, mind: Mind) -> Tensor:
    empty = knowledge_of(player.table.level, str(seen.colour.device)).empty(mind.posterior)
    return torch.where(empty, bank_positive(seen, player.actions), action)


Player = Literal["oracle", "sampling", "qmdp", "notebook", "random-heuristic", "cash-only", "random"]
"""Programs that play, by name."""
PLAYERS: tuple[Player, ...] = get_args(Player)
RECALLING: tuple[Player, ...] = ("sampling", "qmdp")
"""Those that keep something from trial to trial, as they are told."""


def text_player(name: str, game: TextAlchemy, memory: Memory = "reset", seed: int = 0) -> TextAgent:
    """A player by its name in `PLAYERS`.

    Args:
        name: "oracle" knows the rules; "sampling" and "qmdp" infer exactly; "notebook" keeps a few facts in words; the
            others learn nothing.
        game: that is played.
        memory: of those that infer.
        seed: of its choices.

    Raises:
        ConfigError: an unknown name, or a memory that there is not.
    """
    if name not in PLAYERS:
        close = nearest(name, PLAYERS)
        hint = f", did you mean '{close}'?" if close else ""
        raise ConfigError(f"no player is called '{name}'{hint}", "one of " + ", ".join(PLAYERS))
    if name == "notebook":
        from percepts.agents.explorers.notebook import NotebookPlayer

        return NotebookPlayer(game, seed)
    if name == "oracle":
        return OraclePlayer(game)
    table = game.table
    bots: dict[str, Any] = {
        "sampling": lambda: RigidThompson(table, memory, seed),
        "qmdp": lambda: RigidQmdp(table, memory=memory, seed=seed),
        "random-heuristic": lambda: RandomHeuristic(table, seed),
        "cash-only": lambda: CashOnly(table, seed),
        "random": lambda: UniformRandom(table, seed),
    }
    return ThroughText(bots[name](), game)


def symbolic(scene: Scene, shown: dict[float, int]) -> list[float]:
    """A scene as the numbers of the symbolic observation."""
    numbers: list[float] = []
    for stone in scene.stones:
        if stone is None:
            numbers += [GONE_STONE] * 4 + [1.0]
        else:
            numbers += [*map(float, stone.coordinates), shown[stone.reward] / MOST_SHOWN, 0.0]
    for colour in scene.potions:
        numbers += [GONE_POTION, 1.0] if colour is None else [colour / 3 - 1, 0.0]
    return numbers


def shown_rewards(game: TextAlchemy) -> dict[float, int]:
    """What a stone shows in the symbolic game, -3, -1, 1 or 3, by what it pays.

    Raises:
        ConfigError: stones that pay alike show different rewards.
    """
    found: dict[float, int] = {}
    for worth, shown in zip(game.worth, chemistry_tables().shown.tolist()):
        if found.setdefault(worth, shown) != shown:
            raise ConfigError(f"stones that pay {worth:g} and look differently rewarding", "the usual rewards")
    return found
