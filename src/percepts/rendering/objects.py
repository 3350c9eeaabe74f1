"""What there is to see in 3-D: scenes of objects, of what they are made, a camera and lamps as tensors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from percepts.core.errors import DataError
from percepts.rendering.primitives import Primitive

TEXTURES = ("none", "checker", "stripes")
"""What `Materials.texture` numbers: one colour; cubes of two colours in turn; layers of two colours across the object's
z axis, or across the x axis of what is flat."""


@dataclass(frozen=True)
class Lamp:
    """A source of light.

    Attributes:
        place: where it is; for a `directional` lamp the way from anywhere towards it, of any length.
        strength: 1 lights what faces it fully.
        colour: of its light, in [0, 1]; white if None.
        directional: infinitely far away, like the sun.
        radius: of the ball that shines, in metres (as seen from 1 m away where directional): above 0 the edges of
            shadows are soft.
        points: how many points in the ball, always the same, shadows are cast from. Only shadows see the ball.
    """

    place: Float[Tensor, "*lamps 3"]
    strength: float = 1.0
    colour: Float[Tensor, "*tints 3"] | None = None
    directional: bool = False
    radius: float = 0.0
    points: int = 4


@dataclass(frozen=True)
class Materials:
    """What objects are made of; None stands for the default everywhere.

    Attributes:
        diffuse: share of the light that is scattered in the object's colour; 1.
        specular: strength of the highlights of Blinn's model, in the lamp's colour; 0.
        shininess: exponent of the highlights, above 0; 32.
        mirror: share of the surroundings that is seen in the object, tinted by its colour as in metal; 0.
        texture: a number into `TEXTURES`; 0.
        second_colour: the texture's other colour; black.
        texture_size: metres from one change of colour to the next, in the object's own frame; 1.
    """

    diffuse: Float[Tensor, "batch objects"] | None = None
    specular: Float[Tensor, "batch objects"] | None = None
    shininess: Float[Tensor, "batch objects"] | None = None
    mirror: Float[Tensor, "batch objects"] | None = None
    texture: Int64[Tensor, "batch objects"] | None = None
    second_colour: Float[Tensor, "batch objects 3"] | None = None
    texture_size: Float[Tensor, "batch objects"] | None = None


@dataclass(frozen=True)
class ObjectScene:
    """B scenes of N objects, seen by a pinhole camera and lit by lamps.

    Scenes with fewer objects are padded: what is not `present` is not looked at, whatever its numbers are. World
    coordinates are right-handed, in metres. The camera looks along its z axis, x to the right and y **down**. Walls and
    floors are objects like any other; see `room_planes`. A video of T frames is T scenes.

    Attributes:
        shapes: the primitives that `shape` chooses from.
        shape: which primitive, an index into `shapes`.
        position: where the centre lies.
        rotation: world from object.
        size: half extents along the object's own axes; see the primitives. Infinite along x and y for an endless plane.
        colour: in [0, 1].
        camera: world from camera, for all scenes or for each.
        intrinsics: focal lengths and centre (f_x, f_y, c_x, c_y) as fractions of the image's width, height, width,
            height: they serve images of any size. See `pinhole`.
        light: where the one lamp of strength 1 is, or lamps.
        background: colour where nothing is hit; black if None.
        zenith: the sky's colour straight up; the background's colour turns into it with the sine of the elevation,
            starting at the horizon. None for a background of one colour.
        present: which objects exist; all if None.
        label: the number of each object in the segmentation, from 0, which is the background's: objects of one number
            are one thing. n + 1 for object n if None.
        materials: what the objects are made of; Lambert's law alone if None.
        ambient: the share of light that comes from everywhere, in [0, 1]; the lamps' light is scaled by the rest.
        haze: how far away, in metres, things have half of their own colour and half of the background's behind them;
            the background's share is d⁴ / (d⁴ + haze⁴) at a distance of d. Nothing is hazy if infinite.
    """

    shapes: tuple[Primitive, ...]
    shape: Int64[Tensor, "batch objects"]
    position: Float[Tensor, "batch objects 3"]
    rotation: Float[Tensor, "batch objects 3 3"]
    size: Float[Tensor, "batch objects 3"]
    colour: Float[Tensor, "batch objects 3"]
    camera: Float[Tensor, "*batch 4 4"]
    intrinsics: Float[Tensor, "*lenses 4"]
    light: Float[Tensor, "*lamps 3"] | tuple[Lamp, ...]
    background: Float[Tensor, "*skies 3"] | None = None
    zenith: Float[Tensor, "*zeniths 3"] | None = None
    present: Bool[Tensor, "batch objects"] | None = None
    label: Int64[Tensor, "batch objects"] | None = None
    materials: Materials | None = None
    ambient: float = 0.3
    haze: float = math.inf

    @property
    def lamps(self) -> tuple[Lamp, ...]:
        """`light` as lamps."""
        return self.light if isinstance(self.light, tuple) else (Lamp(self.light),)

    @property
    def labels(self) -> Int64[Tensor, "batch objects"]:
        """`label`, or the default."""
        count = torch.arange(1, self.shape.shape[1] + 1, device=self.shape.device)
        return count.expand_as(self.shape) if self.label is None else self.label


def look_at(eye: Float[Tensor, "*batch 3"], target: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 4 4"]:
    """The camera at `eye` that looks at `target` with the world's z axis upright, as world from camera.

    Raises:
        DataError: `target` straight above or below `eye`, or at it.
    """
    gaze = (target - eye).double()
    level = gaze[..., 0].square() + gaze[..., 1].square()
    if not bool((level > 1e-12 * (1e-300 + gaze[..., 2].square())).all()):
        raise DataError("a camera that looks straight up or down, or at itself", "a target beside it")
    level, length = level.sqrt(), (level + gaze[..., 2].square()).sqrt()
    x, y, z = (gaze[..., axis] / length for axis in range(3))
    along = torch.stack([x, y, z], dim=-1)
    right = torch.stack([gaze[..., 1] / level, -gaze[..., 0] / level, torch.zeros_like(x)], dim=-1)
    side, back = right[..., 0], right[..., 1]
    down = torch.stack([-z * back, z * side, x * back - y * side], dim=-1)
    pose = torch.zeros(*gaze.shape[:-1], 4, 4, dtype=torch.float64, device=eye.device)
    for column, vector in enumerate((right, down, along, eye)):
        pose[..., :3, column] = vector
    pose[..., 3, 3] = 1
    return pose.to(eye.dtype)


def turn(angle: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape 3 3"]:
    """Rotations about z by `angle` radians, counter-clockwise seen from above."""
    # Double precision: the last bit of a float32 sine may depend on how many are computed at a time.
    sine, cosine = angle.double().sin().to(angle.dtype), angle.double().cos().to(angle.dtype)
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    rows = [torch.stack(row, dim=-1) for row in ((cosine, -sine, zero), (sine, cosine, zero), (zero, zero, one))]
    return torch.stack(rows, dim=-2)


def pinhole(field_of_view: float, aspect: float = 1.0) -> Float[Tensor, "4"]:
    """Intrinsics of a camera that sees `field_of_view` degrees from top to bottom, in images `aspect` times as wide as
    high.

    Raises:
        DataError: an angle outside of (0, 180) or an aspect that is not positive.
    """
    if not 0 < field_of_view < 180 or not aspect > 0:
        raise DataError(f"a field of view of {field_of_view} degrees, aspect {aspect}", "0 to 180, and above 0")
    focal = 0.5 / math.tan(math.radians(field_of_view) / 2)
    return torch.tensor([focal / aspect, focal, 0.5, 0.5])


def room_planes(
    width: float, depth: float, height: float
) -> tuple[Float[Tensor, "5 3"], Float[Tensor, "5 3 3"], Float[Tensor, "5 3"]]:
    """Position, rotation and size of five planes: a floor in z = 0 around the origin and the walls around it, in the
    order floor, +x, +y, -x, -y. The sky shows above the walls.

    Args:
        width: of the floor along x, in metres.
        depth: of the floor along y.
        height: of the walls.

    Raises:
        DataError: a length that is not positive and finite.
    """
    if not all(0 < length < math.inf for length in (width, depth, height)):
        raise DataError(f"a room of {width} x {depth} x {height} metres", "lengths above 0")
    x, y, z = width / 2, depth / 2, height / 2
    position = torch.tensor([[0, 0, 0], [x, 0, z], [0, y, z], [-x, 0, z], [0, -y, z]])
    size = torch.tensor([[x, y, 0], [y, z, 0], [z, x, 0], [y, z, 0], [z, x, 0]])
    flat = torch.eye(3)
    along_x = torch.tensor([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
    along_y = torch.tensor([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]])
    return position, torch.stack([flat, along_x, along_y, along_x, along_y]), size
