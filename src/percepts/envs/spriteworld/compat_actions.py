"""Actions as the original Spriteworld 1.0.2 carries them out (Watters et al. 2019), sprite by sprite in NumPy.

The second implementation of `actions`, whose settings it reads and against which that is tested. As in the original,
numbers outside of [0, 1] are taken as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from percepts.core.errors import ConfigError
from percepts.envs.spriteworld.actions import ActionSpace, Clicks, DragAndDrop, Embodied, SelectMove
from percepts.envs.spriteworld.compat_sprite import CompatDataError, CompatSprite

_DIRECTIONS = ((0, 1), (-1, 0), (0, -1), (1, 0))


def act(
    space: ActionSpace,
    action: Any,
    sprites: Sequence[CompatSprite],
    rng: np.random.RandomState,
    keep_in_frame: bool = True,
) -> tuple[float, int]:
    """Carry out an action; the sprites are moved in place.

    Returns:
        The (negative) reward of acting, and the number of the sprite that was clicked on or is carried, -1 for none.

    Raises:
        ConfigError: an action space or a setting that the original does not have.
        CompatDataError: noise of a scale for each number, which the original has a setting for and fails at.
    """
    if isinstance(space, SelectMove | DragAndDrop):
        return _click(space, np.asarray(action), sprites, rng, keep_in_frame)
    if isinstance(space, Embodied):
        return _walk(space, action, sprites, keep_in_frame)
    raise ConfigError(f"the original has no {type(space).__name__}", "SelectMove, DragAndDrop or Embodied")


def sample_action(space: ActionSpace, rng: np.random.RandomState) -> Any:
    """A uniformly random action: float64 [4], or two whole numbers.

    Raises:
        ConfigError: an action space that the original does not have.
    """
    if isinstance(space, SelectMove | DragAndDrop):
        return rng.uniform(0.0, 1.0, size=(4,))
    if isinstance(space, Embodied):
        return [rng.randint(0, 2), rng.randint(0, 4)]
    raise ConfigError(f"the original has no {type(space).__name__}", "SelectMove, DragAndDrop or Embodied")


def _click(
    space: SelectMove | DragAndDrop,
    action: NDArray,
    sprites: Sequence[CompatSprite],
    rng: np.random.RandomState,
    keep_in_frame: bool,
) -> tuple[float, int]:
    _check(space)
    if space.noise:
        action = action + rng.normal(0.0, space.noise, size=action.shape)
    point = action[:2]
    motion = (action[2:] - (0.5 if isinstance(space, SelectMove) else point)) * space.scale
    hit = _topmost(point, sprites)
    if hit >= 0:
        sprites[hit].move(motion, keep_in_frame)
    return -space.motion_cost * float(np.linalg.norm(motion)), hit


def _walk(
    space: Embodied, action: Sequence[int], sprites: Sequence[CompatSprite], keep_in_frame: bool
) -> tuple[float, int]:
    _check(space)
    carry, direction = action
    step = np.array(_DIRECTIONS[direction]) * space.step_size
    *others, body = sprites
    hit = _topmost(body.position, others) if carry else -1
    if hit >= 0:
        others[hit].move(step, keep_in_frame)
    body.move(step, keep_in_frame)
    return -space.motion_cost * space.step_size, hit


def _topmost(point: NDArray, sprites: Sequence[CompatSprite]) -> int:
    return next((place for place in reversed(range(len(sprites))) if sprites[place].contains(point)), -1)


def _check(space: Clicks | Embodied) -> None:
    if space.movable is not None:
        raise ConfigError("the original has no filter of what is movable", "movable = None")
    if isinstance(space, Clicks) and space.relative_noise:
        raise ConfigError("the original has no relative noise", "relative_noise = 0")
    if isinstance(space, Clicks) and isinstance(space.noise, tuple):
        raise CompatDataError(f"noise = {space.noise}", "one number: the original fails at a tuple")
