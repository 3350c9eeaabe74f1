"""Ways to act on sprites: click and push, drag and drop, carry with a body, or click on a grid.

    actions = SelectMove(scale=0.25, noise=0.05)
    applied = actions.apply(sprites, action, noise)     # action [B, 4], noise standard normal [B, 4] or None
    applied.sprites, applied.hit, applied.cost

An action space says nothing about rewards but its own cost, and draws nothing itself: who steps the arenas brings
standard normal numbers of shape `noise_shape`. The kinds and their rules are those of Spriteworld (Watters et al. 2019)
but for `ClickGrid`. A user's kind is a subclass of `ActionSpace`.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Bool, Float64, Int64, Num
from torch import Tensor

from percepts.core.errors import ConfigError
from percepts.core.optional import require_package
from percepts.data.distributions import Distribution
from percepts.envs.spriteworld.action_checks import (
    check_cost,
    check_deviations,
    check_numbered,
    check_positive,
    check_shape,
    numbered,
    within,
)
from percepts.envs.spriteworld.parts import ArenaPart, check_filter, length, matching
from percepts.envs.spriteworld.state import Sprites

if TYPE_CHECKING:
    from gymnasium import spaces

_STEPS = ((0.0, 1.0), (-1.0, 0.0), (0.0, -1.0), (1.0, 0.0))
"""Up, left, down, right."""


@dataclass(frozen=True)
class Applied:
    """What actions did.

    Attributes:
        sprites: afterwards.
        cost: what they cost; it is subtracted from the task's reward.
        hit: the number of the sprite that was clicked on or is carried; -1 for none.
        motion: the displacement that was meant for it, noise included, whether or not something was hit.
        moved: which sprites are elsewhere now.
    """

    sprites: Sprites
    cost: Float64[Tensor, " batch"]
    hit: Int64[Tensor, " batch"]
    motion: Float64[Tensor, "batch 2"]
    moved: Bool[Tensor, "batch sprites"]


@dataclass(frozen=True, kw_only=True)
class ActionSpace(ArenaPart):
    """What actions there are and what they do."""

    @property
    @abstractmethod
    def space(self) -> spaces.Space[Any]:
        """The Gymnasium space of one arena's action.

        Raises:
            MissingPackageError: Gymnasium is not installed.
        """

    @property
    def noise_shape(self) -> tuple[int, ...] | None:
        """Of the standard normal numbers that an arena's action takes; None where there is no noise."""
        return None

    @property
    @abstractmethod
    def uniform_shape(self) -> tuple[int, ...]:
        """Of the uniform numbers that `of_uniform` makes an arena's action of."""

    @abstractmethod
    def of_uniform(self, numbers: Float64[Tensor, "batch *numbers"]) -> Num[Tensor, "batch *action"]:
        """Uniformly random actions, from numbers in [0, 1)."""

    @abstractmethod
    def apply(
        self,
        sprites: Sprites,
        action: Num[Tensor, "batch *action"],
        noise: Float64[Tensor, "batch *noise"] | None = None,
        keep_in_frame: bool = True,
    ) -> Applied:
        """Act on every arena.

        Args:
            sprites: of B arenas.
            action: for each of them an element of `space`.
            noise: standard normal numbers; None for exact actions.
            keep_in_frame: whether the centres stay in the unit square.

        Raises:
            DataError: actions of another shape or kind, or, by row, numbers that are NaN, infinite or out of range.
        """


@dataclass(frozen=True, kw_only=True)
class Clicks(ActionSpace):
    """Four numbers in [0, 1]: a point, whose topmost sprite moves, and a motion.

    Attributes:
        scale: of the motion.
        motion_cost: an action costs this times the length of its motion, even if it hits nothing.
        noise: standard deviation of what is added to the four numbers, one or four; the sums are not clipped.
        relative_noise: standard deviation of the factor, one an axis, that the motion is multiplied with around 1.
        movable: which sprites can be moved; clicks pass through the others. None for all.
        bounds: what is done with numbers outside of [0, 1]: "raise" an error, "clip" them, or "ignore" the bounds, as
            the original does. NaN and infinity are errors always.

    Raises:
        ConfigError: settings that are negative or not finite, or a filter of unknown factors.
    """

    scale: float = 1.0
    motion_cost: float = 0.0
    noise: float | tuple[float, float, float, float] | None = None
    relative_noise: float = 0.0
    movable: Distribution | None = None
    bounds: Literal["raise", "clip", "ignore"] = "raise"

    def __post_init__(self) -> None:
        check_positive("scale", self.scale)
        check_cost(self.motion_cost)
        check_deviations("noise", *self._deviations)
        check_deviations("relative_noise", self.relative_noise)
        check_filter("movable", self.movable)

    @property
    def space(self) -> spaces.Space[Any]:
        gymnasium = require_package("gymnasium", "envs")
        return gymnasium.spaces.Box(0.0, 1.0, (4,), dtype="float32")

    @property
    def noise_shape(self) -> tuple[int, ...] | None:
        if self.relative_noise:
            return (6,)
        return (4,) if any(self._deviations) else None

    @property
    def uniform_shape(self) -> tuple[int, ...]:
        return (4,)

    def of_uniform(self, numbers: Float64[Tensor, "batch 4"]) -> Num[Tensor, "batch *action"]:
        return numbers.float()

    def apply(
        self,
        sprites: Sprites,
        action: Num[Tensor, "batch *action"],
        noise: Float64[Tensor, "batch *noise"] | None = None,
        keep_in_frame: bool = True,
    ) -> Applied:
        numbers = self._numbers(action, len(sprites))
        if noise is not None:
            numbers = numbers + noise[:, :4] * numbers.new_tensor(self._deviations)
        motion = self.scale * self._direction(numbers)
        if noise is not None and self.relative_noise:
            motion = motion * (1 + self.relative_noise * noise[:, 4:])
        among = None if self.movable is None else matching(self.movable, sprites)
        hit = sprites.topmost(numbers[:, None, :2], among)[:, 0]
        after = sprites.moved(_only(hit, sprites)[..., None] * motion[:, None], keep_in_frame)
        cost = self.motion_cost * length(motion) if self.motion_cost else motion.new_zeros(len(motion))
        return Applied(after, cost, hit, motion, elsewhere(sprites, after))

    @property
    def _deviations(self) -> tuple[float, ...]:
        if isinstance(self.noise, tuple):
            return self.noise
        return (0.0 if self.noise is None else self.noise,) * 4

    def _numbers(self, action: Tensor, batch: int) -> Float64[Tensor, "batch 4"]:
        """The action, checked, in float64."""
        check_shape(
            action, (batch, 4), "floating point numbers", isinstance(action, Tensor) and action.is_floating_point()
        )
        return within(action.double(), self.bounds)

    @abstractmethod
    def _direction(self, numbers: Float64[Tensor, "batch 4"]) -> Float64[Tensor, "batch 2"]:
        """The motion at scale 1."""


@dataclass(frozen=True, kw_only=True)
class SelectMove(Clicks):
    """Click somewhere and give a motion: (x, y, motion_x, motion_y), the motion being scale·(motion_xy − 0.5). Settings
    and errors are those of `Clicks`."""

    def _direction(self, numbers: Float64[Tensor, "batch 4"]) -> Float64[Tensor, "batch 2"]:
        return numbers[:, 2:] - 0.5


@dataclass(frozen=True, kw_only=True)
class DragAndDrop(Clicks):
    """Drag from one point towards another: (x, y, to_x, to_y), the motion being scale·(to − from). Settings and errors
    are those of `Clicks`."""

    def _direction(self, numbers: Float64[Tensor, "batch 4"]) -> Float64[Tensor, "batch 2"]:
        return numbers[:, 2:] - numbers[:, :2]


@dataclass(frozen=True, kw_only=True)
class ClickGrid(Clicks):
    """One number that says in which cell to click and whereto: (row·columns + column)·directions + direction.

    The click goes to the middle of the cell; row 0 is the lowest. The motion has the length scale/2, the farthest that
    a `SelectMove` of this scale goes along an axis, and the angle 2π·direction/directions, counter-clockwise from the
    right. Noise is added as to the four numbers of such a `SelectMove`. Other settings and errors: see `Clicks`.

    Attributes:
        columns, rows: of the grid.
        directions: how many.
        bounds: what is done with numbers that are no action: "raise" an error, or "clip" them.

    Raises:
        ConfigError: also for a grid without cells or directions, or bounds = "ignore".
    """

    columns: int = 8
    rows: int = 8
    directions: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("columns", "rows", "directions"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} = {getattr(self, name)}", "1 or more")
        check_numbered("ClickGrid", self.bounds)

    @property
    def actions(self) -> int:
        """How many there are."""
        return self.columns * self.rows * self.directions

    @property
    def space(self) -> spaces.Space[Any]:
        return require_package("gymnasium", "envs").spaces.Discrete(self.actions)

    @property
    def uniform_shape(self) -> tuple[int, ...]:
        return ()

    def of_uniform(self, numbers: Float64[Tensor, " batch"]) -> Num[Tensor, "batch *action"]:
        return (numbers * self.actions).long().clamp(max=self.actions - 1)

    def _numbers(self, action: Tensor, batch: int) -> Float64[Tensor, "batch 4"]:
        chosen = numbered(action, (batch,), (self.actions,), self.bounds)
        cell, direction = chosen // self.directions, chosen % self.directions
        x = (cell % self.columns + 0.5) / self.columns
        y = (cell // self.columns + 0.5) / self.rows
        ways = [2 * math.pi * number / self.directions for number in range(self.directions)]
        unit = x.new_tensor([[math.cos(way), math.sin(way)] for way in ways], dtype=torch.float64)
        return torch.cat([torch.stack([x.double(), y.double()], -1), 0.5 + 0.5 * unit[direction]], -1)

    def _direction(self, numbers: Float64[Tensor, "batch 4"]) -> Float64[Tensor, "batch 2"]:
        return numbers[:, 2:] - 0.5


@dataclass(frozen=True, kw_only=True)
class Embodied(ActionSpace):
    """The last present sprite is the agent's body: (carry, direction), the direction 0 up, 1 left, 2 down or 3 right.

    The body goes one step. With carry = 1 the topmost other sprite that contains the body's centre goes the same step
    beside it. At the border each stops by itself.

    Attributes:
        step_size: how far a step goes.
        motion_cost: an action costs this times the step size, always.
        movable: which sprites can be carried; None for all.
        bounds: what is done with numbers that are no action: "raise" an error, or "clip" them.

    Raises:
        ConfigError: settings that are negative or not finite, a filter of unknown factors, or bounds = "ignore".
    """

    step_size: float = 0.05
    motion_cost: float = 0.0
    movable: Distribution | None = None
    bounds: Literal["raise", "clip", "ignore"] = "raise"

    def __post_init__(self) -> None:
        check_positive("step_size", self.step_size)
        check_cost(self.motion_cost)
        check_filter("movable", self.movable)
        check_numbered("Embodied", self.bounds)

    @property
    def space(self) -> spaces.Space[Any]:
        return require_package("gymnasium", "envs").spaces.MultiDiscrete([2, 4])

    @property
    def uniform_shape(self) -> tuple[int, ...]:
        return (2,)

    def of_uniform(self, numbers: Float64[Tensor, "batch 2"]) -> Num[Tensor, "batch *action"]:
        sizes = torch.tensor([2, 4], device=numbers.device)
        return torch.minimum((numbers * sizes).long(), sizes - 1)

    def apply(
        self,
        sprites: Sprites,
        action: Num[Tensor, "batch *action"],
        noise: Float64[Tensor, "batch *noise"] | None = None,
        keep_in_frame: bool = True,
    ) -> Applied:
        carry, direction = numbered(action, (len(sprites), 2), (2, 4), self.bounds).unbind(-1)
        step = self.step_size * sprites.position.new_tensor(_STEPS)[direction]
        body = _only(last_present(sprites), sprites)
        centre = torch.where(body[..., None], sprites.position, 0.0).sum(1, keepdim=True)  # of one sprite: exact
        under = sprites.topmost(centre, matching(self.movable, sprites) & ~body)[:, 0]
        hit = torch.where((carry == 1) & body.any(-1), under, -1)
        going = body | _only(hit, sprites)
        after = sprites.moved(going[..., None] * step[:, None], keep_in_frame)
        cost = torch.full_like(step[:, 0], self.motion_cost * self.step_size)
        return Applied(after, cost, hit, step, elsewhere(sprites, after))


def last_present(sprites: Sprites) -> Int64[Tensor, " batch"]:
    """The number of the front sprite, which is the body of embodied agents; -1 where there is no sprite."""
    if not sprites.present.shape[1]:
        return torch.full_like(sprites.shape.sum(1), -1)
    order = torch.arange(1, sprites.present.shape[1] + 1, device=sprites.present.device)
    return (sprites.present * order).amax(-1) - 1


def elsewhere(before: Sprites, after: Sprites) -> Bool[Tensor, "batch sprites"]:
    """Which present sprites have changed their position."""
    return (after.position != before.position).any(-1) & after.present


def _only(number: Int64[Tensor, " batch"], sprites: Sprites) -> Bool[Tensor, "batch sprites"]:
    """The sprite with this number in each arena, none for -1."""
    return number[:, None] == torch.arange(sprites.present.shape[1], device=number.device)
