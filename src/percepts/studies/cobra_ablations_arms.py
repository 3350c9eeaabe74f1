"""The arms of COBRA's ablations: pipelines that differ from the whole in one thing each.

Those that differ only in how they learn tasks share an exploration, and those on pictures share their vision
(`pipelines.train_sharing`).
"""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from typing import Any

from percepts.agents.cobra.agent import CobraAgent
from percepts.agents.cobra.curiosity import Curiosity
from percepts.agents.cobra.exploration import CriticPolicy, RandomObject, Uniform
from percepts.agents.cobra.presets import (
    FEWER,
    PLAIN,
    cobra_cpu,
    cobra_cpu_pixels,
    cobra_tiny,
    cobra_tiny_pixels,
    with_factors,
)
from percepts.agents.cobra.recursive_bins import RecursiveBinPolicy
from percepts.agents.cobra.rewards import FlatHead, Head, RewardModel, SumHead
from percepts.agents.cobra.slots import JoinedFactors, OracleFactors
from percepts.agents.cobra.task import TaskPhase
from percepts.agents.cobra.transition import SlotTransition

POSITION, TARGETS, DISTRACTORS, SORTING = (
    "goal-finding-new-position",
    "goal-finding-more-targets",
    "goal-finding-more-distractors",
    "sorting",
)
TASKS = (POSITION, TARGETS, DISTRACTORS, SORTING)
SPRITES = 6
"""Places for sprites in all arms: those with a flat head or one vector need a fixed number."""
WIDE = (256, 256)
"""Layers of the transition model and the critic of one vector: wider than those of a slot, as they have to know all
places."""
FINE_TUNING = 1e-4
"""Learning rate of a vision that is not frozen (proposed)."""

CURIOUS, RANDOM, OBJECTS, BINS = "curious", "random", "random objects", "recursive bins"
FLAT, VECTOR = "flat head", "one vector"
HUNGARIAN, NEAREST = "matched one to one", "matched to the nearest"
FEWER_SPRITES = "1 to 3 sprites"
VECTOR_OBJECTS, VECTOR_FEWER = "one vector, random objects", "one vector, random objects, 1 to 3 sprites"
"""One vector need not find by itself what moves. So that there is something to learn from, others click for it."""
PIXELS, PIXELS_HUNGARIAN, PIXELS_NEAREST, TUNED = (
    "pictures",
    f"pictures, {HUNGARIAN}",
    f"pictures, {NEAREST}",
    "pictures, vision fine-tuned",
)


def on_factors(transitions: int = 25_600) -> CobraAgent.Config:
    """COBRA on true factors with four tasks of 1000 rewarded steps each.

    Args:
        transitions: of the exploration.
    """
    whole = cobra_cpu()
    return replace(
        whole,
        encoder=OracleFactors.Config(slots=SPRITES),
        exploration=replace(whole.exploration, transitions=transitions),
        tasks={task: with_factors(SumHead.Config(reads=PLAIN)) for task in TASKS},
        curve=(100, 200, 500, 1000),
    )


def tiny_on_factors() -> CobraAgent.Config:
    """The same too short to learn anything."""
    whole = cobra_tiny()
    (phase,) = whole.tasks.values()
    return replace(
        whole,
        encoder=OracleFactors.Config(slots=SPRITES),
        exploration=replace(whole.exploration, transitions=64, probe_arenas=2),
        tasks=dict.fromkeys(TASKS, replace(phase, steps=8, warm_up=4, log_every=8, planner=_few(phase))),
        curve=(8,),
        curve_episodes=2,
        episodes=2,
    )


def on_pictures() -> CobraAgent.Config:
    """COBRA on pictures of 32 × 32 with one or two sprites, on a GPU where there is one."""
    return replace(cobra_cpu_pixels(), device="auto", threads=None)


def tiny_on_pictures() -> CobraAgent.Config:
    """Pictures of 16 × 16, too short to learn anything."""
    whole = cobra_tiny_pixels()
    (phase,) = whole.tasks.values()
    return replace(
        whole,
        exploration=replace(whole.exploration, transitions=32, probe_arenas=1),
        tasks={POSITION: replace(phase, steps=4, warm_up=4, updates=1, planner=_few(phase))},
        curve=(4,),
        curve_episodes=1,
        episodes=1,
    )


def factor_arms(whole: CobraAgent.Config) -> dict[str, CobraAgent.Config]:
    """What is compared on true factors.

    Args:
        whole: COBRA with all four tasks.
    """

    def explored(*tasks: str, **changes: Any) -> CobraAgent.Config:
        return replace(only(whole, *tasks), exploration=replace(whole.exploration, **changes))

    loss, reads = whole.exploration.loss, whole.encoder
    assert isinstance(reads, OracleFactors.Config)
    joined = JoinedFactors.Config(slots=SPRITES, shape=reads.shape)
    wide = {"transition": SlotTransition.Config(hidden=WIDE), "explorer": CriticPolicy.Config(hidden=WIDE)}
    vector = with_head(
        replace(explored(POSITION, TARGETS, **wide), encoder=joined), SumHead.Config(reads=joined.columns(PLAIN))
    )
    clicks = replace(vector, exploration=replace(vector.exploration, explorer=RandomObject.Config()))
    return {
        CURIOUS: whole,
        RANDOM: explored(POSITION, explorer=Uniform.Config()),
        OBJECTS: explored(POSITION, explorer=RandomObject.Config()),
        BINS: explored(POSITION, explorer=RecursiveBinPolicy.Config()),
        FLAT: with_head(only(whole, POSITION, TARGETS), FlatHead.Config(reads=PLAIN)),
        VECTOR: vector,
        VECTOR_OBJECTS: clicks,
        HUNGARIAN: explored(POSITION, loss=replace(loss, kind="hungarian")),
        NEAREST: explored(POSITION, loss=replace(loss, kind="nearest")),
        FEWER_SPRITES: replace(only(whole, DISTRACTORS), exploration_task=FEWER),
        VECTOR_FEWER: replace(clicks, exploration_task=FEWER, tasks={}),
    }


def picture_arms(whole: CobraAgent.Config) -> dict[str, CobraAgent.Config]:
    """What is compared on pictures.

    Args:
        whole: COBRA with a vision to train and the loss in pixels.
    """
    loss = whole.exploration.loss

    def explored(**changes: Any) -> CobraAgent.Config:
        return replace(whole, exploration=replace(whole.exploration, **changes))

    arms = {
        PIXELS: whole,
        PIXELS_HUNGARIAN: explored(loss=replace(loss, kind="hungarian")),
        PIXELS_NEAREST: explored(loss=replace(loss, kind="nearest")),
    }
    if can_fine_tune():
        arms[TUNED] = explored(fine_tune=FINE_TUNING)
    return arms


def can_fine_tune() -> bool:
    """Whether an exploration can go on training its vision."""
    return "fine_tune" in {setting.name for setting in dataclasses.fields(Curiosity.Config)}


def only(whole: CobraAgent.Config, *tasks: str) -> CobraAgent.Config:
    """The same with some of its tasks."""
    return replace(whole, tasks={task: whole.tasks[task] for task in tasks})


def with_head(whole: CobraAgent.Config, head: Head) -> CobraAgent.Config:
    """The same with another reward predictor in all tasks."""
    reward = RewardModel.Config(heads=(head,), input_dropout=0.0)
    return replace(whole, tasks={task: replace(phase, reward=reward) for task, phase in whole.tasks.items()})


def _few(phase: TaskPhase.Config) -> Any:
    return replace(phase.planner, candidates=4)
