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

from percepts.agents.explorers.contexts import log_line
from percepts.agents.explorers.dialogue import Answer, play_text
from percepts.agents.explorers.text_agents import PLAYERS, text_player
from percepts.core.config import Config
from percepts.core.errors import ConfigError, nearest
from percepts.core.random import derive_seed
from percepts.envs.alchemy.text import TextAlchemy, TextState, TextTurns
from percepts.envs.alchemy.text_scenes import Scene, scene_text, signed

SEEDS = 1 << 31
"""dm_alchemy's random numbers take seeds of 32 bits."""


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
    by: str = "oracle"
    rules: Literal["same", "other"] = "other"
    form: Literal["turns", "log"] = "turns"

    def __post_init__(self) -> None:
        if self.trials < 1:
            raise ConfigError(f"trials = {self.trials} of a demonstration", "1 or more")
        if self.by not in PLAYERS:
            close = nearest(self.by, PLAYERS)
            hint = f", did you mean '{close}'?" if close else ""
            raise ConfigError(f"a demonstration by '{self.by}'{hint}", "one of " + ", ".join(PLAYERS))


class _Lesson(TextAlchemy):
    """Demonstrations before the games of some seeds, as a game."""

    def __init__(self, settings: Demonstrations, game: TextAlchemy) -> None:
        table = replace(game.config.table, trials=settings.trials, switch_trials=())
        super().__init__(replace(game.config, table=table, announced=False))
        self.followed = game if settings.rules == "same" else None

    def reset(self, seeds: Sequence[int]) -> TextState:
        """See `TextAlchemy`."""
        table = self.table.reset([derive_seed(seed, "demonstration") % SEEDS for seed in seeds])
        if self.followed is not None:
            table = replace(table, chemistry=self.followed.table.reset(seeds).chemistry)
        return self.begin(table)


def system_texts(game: TextAlchemy, settings: Demonstrations | None, seeds: Sequence[int]) -> list[str]:
    """What players are told before the games of these seeds: the instructions, and what is demonstrated.

    Raises:
        ConfigError: a program that cannot play this game.
    """
    if settings is None:
        return [game.instructions()] * len(seeds)
    lesson = _Lesson(settings, game)
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
