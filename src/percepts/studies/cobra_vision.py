"""What COBRA's vision must be good for: slots say where sprites are, and sprites of nearly one hue do not share one.

    slot_tools(model, scenes)        # {"position_r2": …, "position_r2.x": …, "position_r2.y": …, "purity.alike": …}

Predictions of where a click moves what stand on positions: below an R² of 0.9 the model of transitions is expected to
fail first. Two sprites of one hue tend to end up in one slot of a MONet, and clustering and sorting need them apart.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from percepts.envs.spriteworld.scenes import SpriteworldScenes
    from percepts.training.slot_evaluation import Scenes

COUNT = 1000
"""Scenes of a measurement, where the vision was trained on so many."""


def slot_tools(model: Any, data: SpriteworldScenes.Config, seed: int = 0) -> dict[str, float]:
    """Scores of the vision of a pipeline, on scenes that its training did not show.

    Args:
        model: gives slots.
        data: the scenes that it was trained on, and how they are drawn.
        seed: of the choice of scenes.

    Returns:
        `position_r2.x` and `position_r2.y` of a linear probe and the lower of them, `position_r2`; `purity`, and
        `purity.alike` of scenes with sprites of nearly one hue.
    """
    from percepts.training.slot_evaluation import take_apart

    count = min(COUNT, data.images)
    scenes, alike = (take_apart(model, one.build().unseen(), count, seed) for one in (data, sprites_alike(data, model)))
    x, y = position_r2(scenes)
    return {
        "position_r2": min(x, y),
        "position_r2.x": x,
        "position_r2.y": y,
        "purity": purity(scenes),
        "purity.alike": purity(alike),
    }


def sprites_alike(data: SpriteworldScenes.Config, model: Any) -> SpriteworldScenes.Config:
    """Scenes of the task clustering, two sprites of each of two hues; only the two blue ones for fewer than 5 slots."""
    from percepts.data.distributions import Product
    from percepts.envs.spriteworld.configs import AREA, HUES, LOOK
    from percepts.envs.spriteworld.generators import Generate

    few = model.config.slots < 5
    generator = Generate(Product((AREA, LOOK, HUES["blue"])), 2, 2) if few else None
    return dataclasses.replace(data, task="clustering", mode="train", generator=generator)


def position_r2(scenes: Scenes) -> tuple[float, float]:
    """R² of x and of y of a linear probe of single slots: ridge regression on half of the scenes, tested on the others.

    A sprite's slot is that of the one-to-one assignment with the largest sum of IoUs of their masks.

    Raises:
        DataError: fewer than two visible sprites in one of the halves.
    """
    from percepts.core.errors import DataError
    from percepts.metrics.segmentation_matching import Target, match_slots
    from percepts.metrics.segmentation_probe import score_probe, solve_probe

    codes = scenes.mean.double().numpy()
    slot = match_slots(scenes.predicted, scenes.truth["segmentation"], codes.shape[1], measure="iou")
    # The label maps may lack the last sprites.
    place = np.stack([scenes.truth[f"entity.{axis}"].double().numpy() for axis in ("x", "y")], -1)[:, : slot.shape[1]]
    half = len(codes) // 2
    if min((part >= 0).sum() for part in (slot[:half], slot[half:])) < 2:
        raise DataError("fewer than two visible sprites in half of the scenes", "more scenes")
    image, sprite = np.nonzero(slot[:half] >= 0)
    target, rows = Target("position", "numeric", place, 2), codes[image, slot[image, sprite]]
    said = solve_probe(rows, place[image, sprite], codes[half:], target)
    score = score_probe("position", target, said, place[half:], slot[half:])
    x, y = score.per_number(np.arange(len(score.number))).tolist()
    return x, y


def purity(scenes: Scenes) -> float:
    """The share of the sprites' pixels that belong to the sprite that has most of their slot's; 1: no slot is shared.

    Chance for two sprites of one size is a half. The background's pixels do not count, its slot does.
    """
    from percepts.metrics.segmentation_matching import shared_mass

    shared, _, _ = shared_mass(scenes.predicted, scenes.truth["segmentation"], scenes.mean.shape[1])
    sprites = shared[:, 1:]
    return float(sprites.max(1).sum() / max(sprites.sum(), 1.0)) if sprites.shape[1] else float("nan")
