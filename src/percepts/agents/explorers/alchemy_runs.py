"""Runs of text Alchemy: a program or a language model plays it in words.

config = AlchemyRun(agent="sampling", memory="reset", game=TextAlchemy.Config(table=text_table(20, 10)), episodes=120)
ExplorerRun.start(config, "runs/reset").play()
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from percepts.agents.alchemy.searching import Memory as Recall
from percepts.agents.explorers.alchemy_scores import judge, judgement_json, learns
from percepts.agents.explorers.demonstrations import system_texts
from percepts.agents.explorers.dialogue import SEEDS, Answer, Exchange, PlayedText, TextAgent, play_text
from percepts.agents.explorers.language import LanguagePlayer, summaries_of
from percepts.agents.explorers.replays import Replayed, TurnLog
from percepts.agents.explorers.runs import MODEL, ExplorerConfig, ExplorerRun, Sitting
from percepts.agents.explorers.text_agents import PLAYERS, text_player
from percepts.core.errors import ConfigError, DataError, RunError, nearest
from percepts.envs.alchemy.text import TextAlchemy, TextState, TextTurns
from percepts.envs.alchemy.text_replies import action_text
from percepts.foundation.model import Completion, LanguageModel, Message, Usage
from percepts.foundation.transcripts import Turn, find_transcripts, read_transcript

ALCHEMY_AGENTS = (*PLAYERS, MODEL)


class TextAlchemyRun(ExplorerRun):
    """See `runs.ExplorerRun`."""

    config: AlchemyRun

    def seed_of(self, number: int) -> int:
        """See `runs.ExplorerRun`."""
        return super().seed_of(number) % SEEDS

    def summary(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """See `runs.ExplorerRun`."""
        played, switch = played_of(rows), self.config.switch
        found = judgement_json(judge(played, switch)) | {"mean_score": float(played.scores.sum(1).mean())}
        try:
            found["improves"] = learns(played, switch).p
        except DataError:
            found["improves"] = None
        return found

    def score(self, row: Mapping[str, Any]) -> float | None:
        """Mean of the normalised scores of its trials."""
        pairs = [(score, most) for score, most in zip(row["scores"], row["ceiling"]) if most > 0]
        return sum(score / most for score, most in pairs) / len(pairs) if pairs else None

    def play_some(self, numbers: Sequence[int], sitting: Sitting) -> list[dict[str, Any]]:
        """See `runs.ExplorerRun`."""
        game: TextAlchemy = self.config.game.build()
        seeds = [self.seed_of(number) for number in numbers]
        systems = system_texts(game, self.config.player.demonstrations, seeds)
        logs = [
            sitting.recording(number, system, {"world": "text Alchemy", "agent": self.config.called, "seed": seed})
            for number, seed, system in zip(numbers, seeds, systems)
        ]
        agent = self._agent(game, sitting, seeds, logs)

        def watch(before: TextState, answers: list[Answer], turns: TextTurns, after: TextState) -> None:
            for row, (text, log) in enumerate(zip(game.texts(before), logs)):
                if text is not None:
                    _write(log, answers[row], text, facts_of(game, turns, after, row))
            sitting.tell()

        rows = rows_of(play_text(game, agent, seeds, watch))
        for log, row in zip(logs, rows):
            log.end(row)
        return rows

    def _agent(self, game: TextAlchemy, sitting: Sitting, seeds: Sequence[int], logs: Sequence[TurnLog]) -> TextAgent:
        config = self.config
        if config.agent != MODEL:
            return text_player(config.agent, game, config.memory, config.seed)
        answers: dict[int, list[Turn]] = {}
        for kind in ("reply", "summary"):
            for seed, log in zip(config.asking.seeds(seeds, kind), logs):
                turns = [turn for turn in log.recorded if (turn.facts.get("stage") == "summary") == (kind == "summary")]
                answers[seed or 0] = turns
        model: LanguageModel = Replayed(sitting.model(), answers)
        player: TextAgent = config.player.build(model=model, game=game, given=self._given())
        return player

    def _given(self) -> dict[int, list[str]] | None:
        """The summaries of another run by seed.

        Raises:
            RunError: it has none for some of the games.
        """
        if self.config.summaries is None:
            return None
        found: dict[int, list[str]] = {}
        for file in find_transcripts(self.config.summaries):
            transcript = read_transcript(file)
            if isinstance(seed := transcript.facts.get("seed"), int):
                found[seed] = summaries_of(transcript)
        lacking = sum(not found.get(self.seed_of(number)) for number in range(self.config.episodes))
        if lacking:
            raise RunError(
                f"no summaries in '{self.config.summaries}' for {lacking} of {self.config.episodes} games",
                f"the folder of a run with seed {self.config.seed} and as many games, in which summaries were written",
            )
        return found


@dataclass(frozen=True, kw_only=True)
class AlchemyRun(ExplorerConfig):
    """Settings of a run of text Alchemy.

    Attributes:
        game: the rules, and what players are told.
        player: conditions of a language model; its `asking` is that of the run.
        memory: what programs that infer keep from trial to trial.
        summaries: the folder of another run of the same seed, whose summaries the model is shown instead of its own.

    Raises:
        ConfigError: an agent that there is not, or one that cannot play this game, or summaries for somebody who is
            shown none.
    """

    game: TextAlchemy.Config = field(default_factory=TextAlchemy.Config)
    player: LanguagePlayer.Config = field(default_factory=LanguagePlayer.Config)
    memory: Recall = "reset"
    summaries: str | None = None

    run: ClassVar[type[ExplorerRun]] = TextAlchemyRun
    explored: ClassVar[str] = "text-alchemy"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.agent not in ALCHEMY_AGENTS:
            close = nearest(self.agent, ALCHEMY_AGENTS)
            hint = f", did you mean '{close}'?" if close else ""
            raise ConfigError(f"no agent is called '{self.agent}'{hint}", "one of " + ", ".join(ALCHEMY_AGENTS))
        if self.agent != MODEL:
            text_player(self.agent, self.game.build(), self.memory, self.seed)
        if self.player.demonstrations is not None:
            if self.agent != MODEL:
                raise ConfigError(f"demonstrations for '{self.agent}', a program", "a model, or demonstrations=None")
            # What cannot be demonstrated is said before there is a folder.
            system_texts(self.game.build(), self.player.demonstrations, [self.seed])
        if self.summaries is not None and (self.agent != MODEL or self.player.memory.summary == "none"):
            raise ConfigError(
                "summaries of another run for a player who is shown none", "a model, and summary='replace' or 'augment'"
            )
        if self.player.asking != self.asking:
            raise ConfigError("a player that asks in another way than its run", "equal settings of `asking`")

    @property
    def switch(self) -> int | None:
        """Trials before the rules change; None if they do not."""
        return next(iter(self.game.table.switch_trials), None)


def facts_of(game: TextAlchemy, turns: TextTurns, after: TextState, row: int) -> dict[str, Any]:
    """What the game made of a reply, for its transcript."""
    outcome = turns.outcome
    facts: dict[str, Any] = {
        "action": action_text(game.config.table, int(turns.actions[row])).removeprefix("ACTION: "),
        "reward": float(outcome.reward[row]),
    }
    if turns.failures[row] is not None:
        facts["wasted"] = turns.failures[row]
    if bool(outcome.new_trial[row]):
        facts["trial score"] = after.scenes[row].ended
    return facts


def rows_of(played: PlayedText) -> list[dict[str, Any]]:
    """Games as JSON data, one for each."""
    columns = {name: value.tolist() for name, value in vars(played).items()}
    return [{name: column[row] for name, column in columns.items()} for row in range(len(played))]


def played_of(rows: Sequence[Mapping[str, Any]]) -> PlayedText:
    """Games from what `rows_of` gave."""
    kinds = dict.fromkeys(("scores", "ceiling"), torch.float64) | dict.fromkeys(
        ("steps", "dips", "vain", "failures"), torch.int64
    )
    return PlayedText(**{name: torch.tensor([row[name] for row in rows], dtype=kind) for name, kind in kinds.items()})


def _write(log: TurnLog, answer: Answer, text: str, facts: Mapping[str, Any]) -> None:
    """Write a turn: all exchanges, the last with what came of it; of a program what it read and wrote."""
    if not answer.exchanges:
        log.add(Exchange((Message("user", text),), Completion(answer.text, "program", Usage(0, 0))), facts)
        return
    *before, last = answer.exchanges
    for exchange in before:
        log.add(exchange)
    log.add(last, facts)
