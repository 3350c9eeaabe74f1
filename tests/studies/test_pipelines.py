"""Pipelines side by side: what they share, and what happens where there are none or where a worker dies."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from percepts.agents import stages
from percepts.agents.cobra.agent import CobraAgent
from percepts.agents.cobra.curiosity import Curiosity
from percepts.agents.cobra.planning import OneStepSearch
from percepts.agents.cobra.presets import PIPELINES
from percepts.agents.cobra.task import TaskPhase
from percepts.agents.cobra.transition import SlotTransition
from percepts.agents.cobra.transition_losses import TransitionLoss
from percepts.core.errors import ConfigError, RunError
from percepts.core.runs import Run
from percepts.studies.pipelines import shared_stages, train_pipelines, train_sharing


@dataclass(frozen=True, kw_only=True)
class Deadly(CobraAgent.Config):
    """Ends the process that unpickles it, as the system does where memory runs out."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (9,)


def test_no_pipelines_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no pipelines"):
        train_pipelines({}, tmp_path)


def test_a_killed_worker_is_told_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"a worker was killed .* repeat the command"):
        train_pipelines({"deadly": Deadly()}, tmp_path, workers=1)


def small(**changes: Any) -> CobraAgent.Config:
    """Seconds at most, on true factors and without a task."""
    exploration = Curiosity.Config(
        transitions=64, arenas=8, updates=1, batch_size=8, probe_arenas=2, transition=SlotTransition.Config(hidden=(4,))
    )
    return dataclasses.replace(
        CobraAgent.Config(exploration=exploration, curve=(4,), curve_episodes=1, episodes=1), **changes
    )


def one_task(steps: int) -> dict[str, TaskPhase.Config]:
    planner = OneStepSearch(candidates=4)
    return {"goal-finding-new-shape": TaskPhase.Config(steps=steps, warm_up=steps, updates=1, planner=planner)}


def test_equal_explorations_are_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    carried: list[Path] = []
    whole = stages._carry_out

    def noted(stage: stages.Stage, run: Run, learning: stages.Learning) -> Any:
        carried.append(stage.path)
        return whole(stage, run, learning)

    monkeypatch.setattr(stages, "_carry_out", noted)
    wanted = {
        "one": small(tasks=one_task(4)),
        "the same for another task": small(tasks=one_task(5)),
        "another seed": small(seed=1),
        "another noise": small(noise=0.05),
    }
    agents = train_sharing(wanted, tmp_path, workers=0)
    assert list(agents) == list(wanted)
    explored = [path for path in carried if path.name == "explore"]
    assert len(explored) == 3
    assert len(carried) == 5
    one, other = agents["one"], agents["the same for another task"]
    results = [next(agent.explore_path.rglob("*.safetensors")) for agent in (one, other)]
    assert results[0].read_bytes() == results[1].read_bytes()
    assert set(one.status().values()) == set(other.status().values()) == {"finished"}
    carried.clear()
    train_sharing(wanted, tmp_path, workers=0)
    assert not carried


def test_equal_visions_are_trained_once() -> None:
    pixels = PIPELINES["tiny-pixels"]()
    matched = dataclasses.replace(pixels.exploration, loss=TransitionLoss(kind="hungarian"))
    one, other = shared_stages(pixels), shared_stages(dataclasses.replace(pixels, exploration=matched))
    assert one["vision"] == other["vision"]
    assert one["explore"] != other["explore"]
    assert not set(one.values()) & set(shared_stages(dataclasses.replace(pixels, seed=1)).values())
    longer = dataclasses.replace(pixels, curve=(3,), tasks={})
    assert shared_stages(longer) == one
    retrained = dataclasses.replace(pixels.vision, training=dataclasses.replace(pixels.vision.training, steps=3))
    assert not set(one.values()) & set(shared_stages(dataclasses.replace(pixels, vision=retrained)).values())


def test_nothing_to_share_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no pipelines"):
        train_sharing({}, tmp_path)
