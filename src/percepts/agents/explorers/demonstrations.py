"""What a language model may watch before it plays text Alchemy: trials of a program.

    settings = Demonstrations(trials=2, by="oracle", rules="other", form="log")
    system_texts(game, settings, seeds=range(8))[0]         # the instructions of the first game, and two trials

Ke et al. (2025) are said to vary demonstrations; how theirs were made and shown is not known to us, so all of this is
our own. Whoever is shown turns sees replies that are one line with an action, whatever form of reasoning is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

from percepts.agents.explorers.contexts import log_line
from percepts.agents.explorers.dialogue import SEEDS, Answer, play_text
from percepts.agents.explorers.text_agents import Player, text_player
from percepts.core.config import Config
from percepts.core.errors import ConfigError
from percepts.core.random import derive_seed
from percepts.envs.alchemy.table import TableState
from percepts.envs.alchemy.text import TextAlchemy, TextState, TextTurns
from percepts.envs.alchemy.text_scenes import Scene, scene_text, signed

TRIES = 100
"""Chemistries that are drawn until one is another than the game's."""


@dataclass(frozen=True, kw_only=True)
class Demonstrations(Config):
    """What is demonstrated.

    Attributes:
        trials: how many.
        by: the program that plays them, which remembers as `memory="reset"` does where it infers.
        rules: "same" are those of the game that follows, with other stones and potions; "other" are another game's, by
            which only the way to play can be learned.
        form: "turns" shows every turn and the reply to it, "log" a line for what every action did.
    """

    trials: int = 1
    by: Player = "oracle"
    rules: Literal["same", "other"] = "other"
    form: Literal["turns", "log"] = "turns"

    def __post_init__(self) -> None:
        if self.trials < 1:
            raise ConfigError(f"trials = {self.trials} of a demonstration", "1 or more")


class Lesson(TextAlchemy):
    """Demonstrations before the games of some seeds, as a game.

    Args:
        settings: of the demonstrations.
        game: that follows.
    """

    def __init__(self, settings: Demonstrations, game: TextAlchemy) -> None:
        table = replace(game.config.table, trials=settings.trials, switch_trials=(), chemistry=None, items=None)
        super().__init__(replace(game.config, table=table, announced=False))
        self.settings, self.game = settings, game

    def reset(self, seeds: Sequence[int]) -> TextState:
        """See `TextAlchemy`.

        Raises:
            ConfigError: other rules are wanted, and the level has none.
        """
        theirs = self.game.table.reset(seeds).chemistry
        table = self._drawn(seeds, 0)
        if self.settings.rules == "same":
            return self.begin(replace(table, chemistry=theirs))
        for attempt in range(1, TRIES):
            pairs = zip(vars(table.chemistry).values(), vars(theirs).values())
            rows = torch.stack([one == other for one, other in pairs]).all(0).nonzero()[:, 0]
            if not len(rows):
                return self.begin(table)
            table = table.put(rows, self._drawn([seeds[row] for row in rows.tolist()], attempt))
        raise ConfigError(
            f"demonstrations under other rules, and there are no others on the level {self.config.table.level!r}",
            fix="rules='same' (percepts explore: --demonstrated-rules same)",
        )

    def _drawn(self, seeds: Sequence[int], attempt: int) -> TableState:
        return self.table.reset([derive_seed(seed, "demonstration", attempt) % SEEDS for seed in seeds])


def system_texts(game: TextAlchemy, settings: Demonstrations | None, seeds: Sequence[int]) -> list[str]:
    """What players are told before the games of these seeds: the instructions, and what is demonstrated.

    Raises:
        ConfigError: a program that cannot play this game, or other rules where there are none.
    """
    if settings is None:
        return [game.instructions()] * len(seeds)
    lesson = Lesson(settings, game)
    shown: list[list[str]] = [[] for _ in seeds]

    def watch(before: TextState, answers: list[Answer], turns: TextTurns, after: TextState) -> None:
        for lines, old, answer, new in zip(shown, before.scenes, answers, after.scenes):
            if not old.over:
                lines += _turn(old, answer.text, new) if settings.form == "turns" else _log(old, new)

    play_text(lesson, text_player(settings.by, lesson), seeds, watch)
    count = "one trial" if settings.trials == 1 else f"{settings.trials} trials"
    head = f"{game.instructions()}\n\nRead first how another player played {count} {_RULES[settings.rules]}"
    apart = "\n\n" if settings.form == "turns" else "\n"
    return ["\n\n".join((head, apart.join(lines), _NOW)) for lines in shown]


def _turn(scene: Scene, reply: str, after: Scene) -> list[str]:
    """What was read and answered, and at the end what came of it, of which no further turn tells."""
    end = [scene_text(after).partition("\nTrial ")[0]] if after.over else []
    return [scene_text(scene), reply, *end]


def _log(scene: Scene, after: Scene) -> list[str]:
    line = log_line(after, scene)
    end = "" if after.ended is None else f"Trial {scene.trial + 1} is over. Its score: {signed(after.ended)}"
    return [text for text in (line, end) if text]


_RULES = {
    "same": "under the rules of your game, with other stones and potions.",
    "other": "of another game, whose rules were other ones: what a potion did there says nothing about yours.",
}
_NOW = "That was the other player. Your own game begins now."
