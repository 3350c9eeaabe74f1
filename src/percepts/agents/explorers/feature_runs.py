"""Runs in Feature World: a program or a language model plays it in words, or a policy by numbers.

    config = FeatureRun(agent="optimal", world=single(), episodes=200)
    ExplorerRun.start(config, "runs/optimal").play()

Equal seeds give equal worlds to whoever plays, so that runs can be compared in pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from percepts.agents.agent import Agent
from percepts.agents.explorers.dialogue import Exchange
from percepts.agents.explorers.feature_learners import Curious, learned
from percepts.agents.explorers.feature_scores import Episodes, Estimate, estimate, run_episodes, success_curve
from percepts.agents.explorers.feature_texts import (
    WORD_PLAYERS,
    WordPlayer,
    episode_of,
    episodes_of,
    play_words,
)
from percepts.agents.explorers.replays import Replayed
from percepts.agents.explorers.runs import MODEL, ExplorerConfig, ExplorerRun, Sitting
from percepts.core.errors import ConfigError, nearest
from percepts.envs.feature_world.text import FeaturePrompt, TextWorld, Turn, instructions
from percepts.envs.feature_world.world import FeatureWorld
from percepts.foundation.model import LanguageModel

BY_NUMBERS = ("curious", "learner")
"""Policies that see numbers: one that tests what it has seen least, and one that has learned by rewards."""
FEATURE_AGENTS = (*WORD_PLAYERS, *BY_NUMBERS, MODEL)


class FeatureWorldRun(ExplorerRun):
    """See `runs.ExplorerRun`."""

    config: FeatureRun

    def summary(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """See `runs.ExplorerRun`."""
        return summary_of(rows, self.config.world.build().budget)

    def score(self, row: Mapping[str, Any]) -> float | None:
        """Tests that it took."""
        return float(row["tests"])

    @property
    def together(self) -> int:
        """See `runs.ExplorerRun`."""
        return self.config.episodes if self.config.agent in BY_NUMBERS else self.config.at_once

    def play_some(self, numbers: Sequence[int], sitting: Sitting) -> list[dict[str, Any]]:
        """See `runs.ExplorerRun`."""
        if self.config.agent in BY_NUMBERS:
            return self._by_numbers(numbers, sitting)
        world = self.config.world.build()
        texts = [TextWorld(world, self.config.prompt) for _ in numbers]
        system, seeds = instructions(texts[0].words, self.config.prompt), [self.seed_of(number) for number in numbers]
        logs = [
            sitting.recording(number, system, {"world": "feature world", "agent": self.config.called, "seed": seed})
            for number, seed in zip(numbers, seeds)
        ]
        asking = self.config.asking
        recorded = {seed: log.recorded for seed, log in zip(asking.seeds(seeds, "reply"), logs) if seed is not None}
        player: LanguageModel = (
            WordPlayer(texts[0], self.config.agent) if self.config.agent != MODEL else sitting.model()
        )

        def watch(row: int, exchange: Exchange, turn: Turn) -> None:
            logs[row].add(exchange)
            if turn.finished:
                sitting.rows[numbers[row]] = episode_of(texts[row])
                logs[row].end(sitting.rows[numbers[row]])
            sitting.tell()

        play_words(texts, Replayed(player, recorded), seeds, asking, watch)
        return [sitting.rows[number] for number in numbers]

    def _by_numbers(self, numbers: Sequence[int], sitting: Sitting) -> list[dict[str, Any]]:
        """Policies that see numbers play all episodes at once, and leave no transcripts."""
        world, seed = self.config.world.build(), self.config.seed
        agent: Agent = Curious(world, seed) if self.config.agent == "curious" else learned(world, seed=seed)
        rows = rows_of(run_episodes(world, agent, self.config.episodes, seed, regret=True))
        return [rows[number] for number in numbers]


@dataclass(frozen=True, kw_only=True)
class FeatureRun(ExplorerConfig):
    """Settings of a run in Feature World.

    Attributes:
        world: the rules.
        prompt: how those are asked who play in words.
    """

    world: FeatureWorld.Config = field(default_factory=FeatureWorld.Config)
    prompt: FeaturePrompt = field(default_factory=FeaturePrompt)

    run: ClassVar[type[ExplorerRun]] = FeatureWorldRun
    explored: ClassVar[str] = "feature-world"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.agent not in FEATURE_AGENTS:
            close = nearest(self.agent, FEATURE_AGENTS)
            hint = f", did you mean '{close}'?" if close else ""
            raise ConfigError(f"no agent is called '{self.agent}'{hint}", "one of " + ", ".join(FEATURE_AGENTS))
        if self.agent == "learner" and self.world.mode == "answer":
            raise ConfigError(
                "the agent 'learner', which only tests, in a world that asks for answers", "mode 'identify'"
            )


def rows_of(played: Episodes) -> list[dict[str, Any]]:
    """Episodes as JSON data, one for each."""
    names = ("tests", "decided", "success", "erred", "regret")
    columns = [getattr(played, name).tolist() for name in names]
    return [{**dict(zip(names, row)), "failures": 0} for row in zip(*columns)]


def summary_of(rows: Sequence[Mapping[str, Any]], horizon: int) -> dict[str, Any]:
    """What episodes say together: steps to identify, conclusions, regret, success within 1, 2, …
    tests, bad replies a step."""
    played = episodes_of(rows)
    steps = played.tests.sum().clamp(min=1)
    return {
        "tests": _json(played.tests_taken),
        "decided": float(played.decided.double().mean()),
        "success": _json(estimate(played.success)),
        "accuracy": _json(played.concluding_accuracy),
        "regret": _json(played.mean_regret),
        "success_curve": success_curve(played, horizon).tolist(),
        "failures": float(torch.tensor([int(row["failures"]) for row in rows]).sum() / steps),
    }


def _json(value: Estimate) -> list[float | int | None]:
    numbers = [None if number != number else number for number in (value.mean, value.error)]
    return [*numbers, value.count]
