"""The sprites of many arenas at once, as tensors: where they are, what they look like, what a click hits.

World coordinates: the arena is the unit square, (0, 0) is its lower left corner and **y points up**. The order of the
sprites is their depth: a later one hides, and is clicked on instead of, an earlier one.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeVar

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from percepts.core.errors import DataError
from percepts.envs.spriteworld.triangles import points_inside
from percepts.envs.streams import Streams
from percepts.rendering.shapes import Polygon, spriteworld_shapes

FACTORS = ("x", "y", "shape", "angle", "scale", "c0", "c1", "c2", "x_vel", "y_vel")
"""The ten factors of a sprite in the order of Spriteworld (Watters et al. 2019). "shape" is the number of the shape in
the arena's list, from 1; "angle" is in degrees, counter-clockwise; c0 to c2 are HSV or RGB, as the renderer says."""
DEFAULTS = dict(zip(FACTORS, (0.5, 0.5, 2.0, 0.0, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0)))
"""Of the factors that a generator does not draw."""
SHAPES: dict[str, Polygon] = spriteworld_shapes()
"""The twelve shapes, each of area 1, by name; their places in this order are the numbers 1 to 12."""


Known = TypeVar("Known")


class Memo:
    """What was computed of tensors that did not change since: positions do in every step, shapes and colours do not.

    One is shared by sprites that came from each other. It answers only where the very same things are asked about, so
    that sprites whose tensors are others never get what is not theirs; nor does it where torch wrote into a tensor
    since. (Nobody should: sprites are values. What NumPy writes into a tensor's memory is not noticed.)
    """

    def __init__(self) -> None:
        self._known: dict[Any, tuple[tuple[Any, ...], list[int], Any]] = {}

    def of(self, name: Any, inputs: tuple[Any, ...], compute: Callable[[], Known]) -> Known:
        """What `compute` makes of the `inputs`, which is not to be written into.

        Args:
            name: of the computation.
            inputs: all that it depends on, and that does not change: tensors, distributions, numbers.
            compute: makes it.
        """
        known, written = self._known.get(name), [writings(one) for one in inputs]
        if known is None or known[1] != written or any(one is not other for one, other in zip(known[0], inputs)):
            known = self._known[name] = inputs, written, compute()
        return known[2]

    def __getstate__(self) -> dict[str, Any]:
        return {"_known": {}}


@dataclass(frozen=True)
class Sprites:
    """B arenas of up to N sprites.

    Attributes:
        position: of the sprites' centres.
        shape: 0-based number of the shape among the arena's.
        angle: in degrees, counter-clockwise.
        scale: factor on the unit shape; a sprite's area is scale².
        colour: three numbers a sprite.
        velocity: added to the position in every step.
        present: which sprites exist. Absent ones may lie between present ones and hold arbitrary numbers.
        body: the corners relative to the position; shapes with fewer corners repeat their last one.
        outlines: the arena's unit shapes.
        memo: of what is known of them already.
    """

    position: Float64[Tensor, "batch sprites 2"]
    shape: Int64[Tensor, "batch sprites"]
    angle: Float64[Tensor, "batch sprites"]
    scale: Float64[Tensor, "batch sprites"]
    colour: Float64[Tensor, "batch sprites 3"]
    velocity: Float64[Tensor, "batch sprites 2"]
    present: Bool[Tensor, "batch sprites"]
    body: Float64[Tensor, "batch sprites corners 2"]
    outlines: tuple[Polygon, ...]
    memo: Memo = field(default_factory=Memo, repr=False, compare=False)

    @classmethod
    def of(cls, factors: Float64[Tensor, "batch sprites 10"], present: Bool[Tensor, "batch sprites"],
           outlines: tuple[Polygon, ...] = tuple(SHAPES.values())) -> Self:  # fmt: skip
        """Sprites with these factors, in the order of `FACTORS`.

        Raises:
            DataError: tensors that do not fit together, a present sprite with a factor that is not finite, or with a
                shape that is no number of one of the `outlines`.
        """
        _check_factors(factors, present)
        values = factors.double()
        number = values[..., 2].round().long() - 1
        _check_shapes(number, present, len(outlines))
        position, angle, scale, colour, velocity = (
            values[..., place].clone() for place in (slice(0, 2), 3, 4, slice(5, 8), slice(8, 10))
        )
        body = body_of(number, angle, scale, outlines)
        return cls(position, number, angle, scale, colour, velocity, present, body, outlines)

    @property
    def factors(self) -> Float64[Tensor, "batch sprites 10"]:
        """All factors in the order of `FACTORS`; 0 for absent sprites."""
        columns = [self.position, (self.shape + 1).double()[..., None], self.angle[..., None], self.scale[..., None],
                   self.colour, self.velocity]  # fmt: skip
        # Not a product: what absent sprites hold may be NaN.
        return torch.where(self.present[..., None], torch.cat(columns, -1), 0.0)

    @property
    def corners(self) -> Float64[Tensor, "batch sprites corners 2"]:
        """The outlines in the arena."""
        return self.position[:, :, None] + self.body

    def __len__(self) -> int:
        return len(self.position)

    def rows(self, index: Any) -> Self:
        """Some of the arenas, by anything that indexes a tensor."""
        return replace(self, memo=Memo(), **{name: getattr(self, name)[index] for name in _TENSORS})

    def put(self, index: Any, others: Sprites) -> Self:
        """A copy with the arenas at `index` replaced."""
        changed = {}
        for name in _TENSORS:
            changed[name] = getattr(self, name).clone()
            changed[name][index] = getattr(others, name)
        return replace(self, memo=Memo(), **changed)

    def to(self, device: torch.device | str) -> Self:
        """On another device."""
        return replace(self, memo=Memo(), **{name: getattr(self, name).to(device) for name in _TENSORS})

    def contain(self, points: Float64[Tensor, "batch points 2"]) -> Bool[Tensor, "batch points sprites"]:
        """Which sprites contain which points, by the crossing-number rule: of an upright square the left and bottom
        edges belong to it, the right and top ones do not."""
        offset = points[:, :, None] - self.position[:, None]
        x, y = offset.unbind(-1)
        # Most sprites are nowhere near a point: the outlines of the others are all that is looked at.
        reach = self.memo.of("reach", (self.shape, self.scale, self.outlines), lambda: self._reach[:, None] ** 2)
        inside = (x * x + y * y <= reach) & self.present[:, None]
        arena, point, sprite = inside.nonzero(as_tuple=True)
        if len(arena):
            inside[arena, point, sprite] = _enclosed(offset[arena, point, sprite], self.body[arena, sprite])
        return inside

    def topmost(
        self, points: Float64[Tensor, "batch points 2"], among: Bool[Tensor, "batch sprites"] | None = None
    ) -> Int64[Tensor, "batch points"]:
        """The last sprite that contains each point, of those `among` where given; -1 where there is none."""
        inside = self.contain(points)
        if among is not None:
            inside = inside & among[:, None]
        if not inside.shape[-1]:
            return inside.new_full(inside.shape[:-1], -1, dtype=torch.int64)
        order = torch.arange(1, inside.shape[-1] + 1, device=inside.device)
        return (inside * order).amax(-1) - 1

    def sample_inside(
        self, streams: Streams, among: Bool[Tensor, "batch sprites"] | None = None
    ) -> tuple[Float64[Tensor, "batch 2"], Streams]:
        """A point on a sprite in every arena: uniform over the present sprites, of those `among` where given, and then
        inside of that one, whether or not another one hides it. Where there is no such sprite, anywhere in the arena.

        Returns:
            The points, and the streams after them.
        """
        eligible = self.present if among is None else self.present & among
        numbers, streams = streams.uniform(4)
        anywhere = numbers[:, 1:3]
        if not eligible.shape[-1]:
            return anywhere, streams
        count = eligible.sum(-1, keepdim=True)
        place = (numbers[:, :1] * count).long()
        # The first sprite up to which more than `place` eligible ones were passed.
        chosen = (eligible.cumsum(-1) > place).int().argmax(-1, keepdim=True)
        shape, angle, scale = (values.gather(1, chosen) for values in (self.shape, self.angle, self.scale))
        unit = points_inside(self.outlines, shape[:, 0].clamp(0, len(self.outlines) - 1), numbers[:, 1:])
        centre = self.position.gather(1, chosen[..., None].expand(-1, -1, 2))
        points = (centre + _turned(unit[:, None, None], angle, scale)[:, :, 0])[:, 0]
        return torch.where(count > 0, points, anywhere), streams

    @property
    def _reach(self) -> Float64[Tensor, "batch sprites"]:
        """A little more than the distance from each sprite's centre to its farthest corner."""
        unit = _measures(self.outlines, "radius", self.scale.device)
        return unit[self.shape.clamp(0, len(self.outlines) - 1)] * self.scale.abs() * (1 + 1e-9)

    @property
    def areas(self) -> Float64[Tensor, "batch sprites"]:
        """How much of the unit square every sprite covers, without the others and the border; 0 for absent ones."""
        unit = _measures(self.outlines, "area", self.scale.device)
        return unit[self.shape.clamp(0, len(self.outlines) - 1)] * self.scale**2 * self.present

    @property
    def out_of_frame(self) -> Bool[Tensor, "batch sprites"]:
        """Which present sprites have their centre outside of the closed unit square."""
        return ((self.position < 0) | (self.position > 1)).any(-1) & self.present

    def moved(self, by: Float64[Tensor, "batch sprites 2"], keep_in_frame: bool = True) -> Self:
        """The sprites displaced; with `keep_in_frame` their centres stay in the unit square."""
        position = self.position + by
        return replace(self, position=position.clamp(0, 1) if keep_in_frame else position)

    def with_shape(self, shape: Int64[Tensor, "batch sprites"]) -> Self:
        """The sprites with other shapes, by 0-based number.

        Raises:
            DataError: a present sprite's shape is no number of one of the outlines.
        """
        _check_shapes(shape, self.present, len(self.outlines))
        return replace(self, shape=shape, body=body_of(shape, self.angle, self.scale, self.outlines))

    def with_angle(self, angle: Float64[Tensor, "batch sprites"]) -> Self:
        """The sprites turned to other angles, in degrees."""
        return replace(self, angle=angle, body=body_of(self.shape, angle, self.scale, self.outlines))

    def with_scale(self, scale: Float64[Tensor, "batch sprites"]) -> Self:
        """The sprites in other sizes. (Spriteworld's own setter scales by the difference of the two scales, see
        `compat`.)"""
        return replace(self, scale=scale, body=body_of(self.shape, self.angle, scale, self.outlines))

    def with_colour(self, colour: Float64[Tensor, "batch sprites 3"]) -> Self:
        """The sprites in other colours."""
        return replace(self, colour=colour)


def writings(value: object) -> int:
    """How often a tensor was written into, as far as torch counts that; 0 for other values."""
    return value._version if isinstance(value, Tensor) and not value.is_inference() else 0


_TENSORS = ("position", "shape", "angle", "scale", "colour", "velocity", "present", "body")


def body_of(
    shape: Int64[Tensor, "batch sprites"],
    angle: Float64[Tensor, "batch sprites"],
    scale: Float64[Tensor, "batch sprites"],
    outlines: tuple[Polygon, ...],
) -> Float64[Tensor, "batch sprites corners 2"]:
    """The corners of sprites around their centres: unit shapes, scaled and turned."""
    unit = _unit_bodies(outlines, shape.device)[shape.clamp(0, len(outlines) - 1)]
    return _turned(unit, angle, scale)


def _enclosed(point: Float64[Tensor, "pairs 2"], outline: Float64[Tensor, "pairs corners 2"]) -> Bool[Tensor, " pairs"]:
    """Whether a line from the point to the right crosses the outline an odd number of times."""
    x, y = point[:, None].unbind(-1)
    start_x, start_y = outline.unbind(-1)
    end_x, end_y = outline.roll(-1, 1).unbind(-1)
    crosses = (end_y > y) != (start_y > y)
    rise = torch.where(crosses, start_y - end_y, 1.0)
    left = x < (start_x - end_x) * (y - end_y) / rise + end_x
    return ((crosses & left).sum(-1) % 2).bool()


def _turned(
    unit: Float64[Tensor, "batch sprites points 2"],
    angle: Float64[Tensor, "batch sprites"],
    scale: Float64[Tensor, "batch sprites"],
) -> Float64[Tensor, "batch sprites points 2"]:
    """Points of the unit shapes, scaled and turned."""
    radians = angle * (math.pi / 180)
    cos, sin = (scale * radians.cos())[..., None], (scale * radians.sin())[..., None]
    x, y = unit.unbind(-1)
    return torch.stack([cos * x - sin * y, sin * x + cos * y], -1)


@functools.lru_cache(maxsize=32)
def _unit_bodies(outlines: tuple[Polygon, ...], device: torch.device) -> Float64[Tensor, "shapes corners 2"]:
    most = max(len(outline.vertices) for outline in outlines)
    table = [[*outline.vertices, *[outline.vertices[-1]] * (most - len(outline.vertices))] for outline in outlines]
    return torch.tensor(table, dtype=torch.float64, device=device)


@functools.lru_cache(maxsize=32)
def _measures(outlines: tuple[Polygon, ...], name: str, device: torch.device) -> Float64[Tensor, " shapes"]:
    return torch.tensor([getattr(outline, name) for outline in outlines], dtype=torch.float64, device=device)


def _check_factors(factors: Tensor, present: Tensor) -> None:
    if factors.ndim != 3 or factors.shape[-1] != len(FACTORS) or present.shape != factors.shape[:2]:
        raise DataError(
            f"factors of shape {tuple(factors.shape)} and presence of shape {tuple(present.shape)}",
            f"[batch, sprites, {len(FACTORS)}] and [batch, sprites]",
        )
    if math.isfinite(torch.where(present[..., None], factors, 0.0).sum().item()):
        return
    wrong = (~factors.isfinite()) & present[..., None]
    if wrong.any():
        arena, sprite, place = wrong.nonzero()[0].tolist()
        value = factors[arena, sprite, place].item()
        raise DataError(f"{FACTORS[place]} = {value} of sprite {sprite} in arena {arena}", "finite factors")


def _check_shapes(number: Tensor, present: Tensor, shapes: int) -> None:
    wrong = ((number < 0) | (number >= shapes)) & present
    if wrong.any():
        arena, sprite = wrong.nonzero()[0].tolist()
        got = f"shape {number[arena, sprite].item() + 1} of sprite {sprite} in arena {arena}"
        raise DataError(got, f"a shape's number, 1 to {shapes}")
