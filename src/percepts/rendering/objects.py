"""What there is to see in 3-D: scenes of objects, a camera and a light as tensors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from percepts.core.errors import DataError
from percepts.rendering.primitives import Primitive


@dataclass(frozen=True)
class ObjectScene:
    """B scenes of N objects, seen by a pinhole camera and lit by one lamp.

    Scenes with fewer objects are padded: what is not `present` is not looked at, whatever its numbers are. World
    coordinates are right-handed, in metres. The camera looks along its z axis, x to the right and y **down**. Walls and
    floors are objects like any other.

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
        light: where the lamp is.
        background: colour where nothing is hit; black if None.
        present: which objects exist; all if None.
        ambient: the share of light that comes from everywhere, in [0, 1].
    """

    shapes: tuple[Primitive, ...]
    shape: Int64[Tensor, "batch objects"]
    position: Float[Tensor, "batch objects 3"]
    rotation: Float[Tensor, "batch objects 3 3"]
    size: Float[Tensor, "batch objects 3"]
    colour: Float[Tensor, "batch objects 3"]
    camera: Float[Tensor, "*batch 4 4"]
    intrinsics: Float[Tensor, "*lenses 4"]
    light: Float[Tensor, "*lamps 3"]
    background: Float[Tensor, "*skies 3"] | None = None
    present: Bool[Tensor, "batch objects"] | None = None
    ambient: float = 0.3


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


def check_objects(scene: ObjectScene) -> None:
    """Make sure that the tensors fit together and hold numbers that can be drawn.

    Raises:
        DataError: shapes that do not fit, numbers that are not finite or positive where they must be, an unknown
            primitive, a matrix that is no rotation, a round primitive of unequal half extents.
    """
    if scene.shape.ndim != 2:
        raise DataError(f"shape of shape {tuple(scene.shape.shape)}", "[B, N]")
    batch, objects = scene.shape.shape
    wanted: dict[str, tuple[int, ...]] = {"position": (3,), "rotation": (3, 3), "size": (3,), "colour": (3,)}
    for name, tail in {**wanted, "present": ()}.items():
        value = getattr(scene, name)
        if value is not None and tuple(value.shape) != (batch, objects, *tail):
            raise DataError(f"{name} of shape {tuple(value.shape)}", f"{[batch, objects, *tail]}, to go with shape")
    for name, tail in {"camera": (4, 4), "intrinsics": (4,), "light": (3,), "background": (3,)}.items():
        value = getattr(scene, name)
        if value is None:
            continue
        if tuple(value.shape) not in (tail, (batch, *tail)):
            raise DataError(f"{name} of shape {tuple(value.shape)}", f"{list(tail)} or {[batch, *tail]}")
        if not bool(value.isfinite().all()):
            raise DataError(f"{name} has values that are NaN or infinite", "finite numbers")
    if not bool((scene.intrinsics[..., :2] > 0).all()):
        raise DataError("a focal length that is not positive", "f_x and f_y above 0")
    if not 0 <= scene.ambient <= 1:
        raise DataError(f"ambient = {scene.ambient}", "a share in [0, 1]")
    there = torch.ones_like(scene.shape, dtype=torch.bool) if scene.present is None else scene.present
    for name in ("position", "rotation", "colour"):
        if not bool(getattr(scene, name)[there].isfinite().all()):
            raise DataError(f"{name} has values that are NaN or infinite", "finite numbers")
    turns = {"rotation": scene.rotation[there], "camera": scene.camera.reshape(-1, 4, 4)[:, :3, :3]}
    for name, rotation in turns.items():
        if not bool(((rotation @ rotation.mT - torch.eye(3).to(rotation)).abs() < 1e-3).all()):
            raise DataError(f"a matrix in {name} that is no rotation", "orthonormal columns")
    _check_sizes(scene, there)


def _check_sizes(scene: ObjectScene, there: Tensor) -> None:
    kinds = scene.shape[there]
    if kinds.numel() and not 0 <= int(kinds.min()) <= int(kinds.max()) < len(scene.shapes):
        raise DataError(f"shape numbers from {int(kinds.min())} to {int(kinds.max())}", "indices into `shapes`")
    for number, primitive in enumerate(scene.shapes):
        size = scene.size[there & (scene.shape == number)]
        name = type(primitive).__name__.lower()
        size = size[:, :2] if primitive.flat else size
        if not bool((size > 0).all()) or not (primitive.flat or bool(size.isfinite().all())):
            raise DataError(f"a {name} whose half extents are not all positive and finite", "numbers above 0")
        round_ = size[:, list(primitive.equal_axes)]
        if round_.numel() and not torch.allclose(round_, round_[:, :1].expand_as(round_)):
            axes = ", ".join("xyz"[axis] for axis in primitive.equal_axes)
            raise DataError(f"a {name} of unequal half extents", f"the same along {axes}")
