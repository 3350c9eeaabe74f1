"""Whether a scene of objects can be drawn: one line that names what is wrong with it."""

from __future__ import annotations

import torch
from torch import Tensor

from percepts.core.errors import DataError
from percepts.rendering.objects import TEXTURES, Lamp, Materials, ObjectScene
from percepts.rendering.primitives import Capsule


def check_objects(scene: ObjectScene) -> None:
    """Make sure that the tensors fit together and hold numbers that can be drawn.

    Raises:
        DataError: shapes that do not fit, numbers that are not finite or positive where they must be, an unknown
            primitive or texture, a matrix that is no rotation, a round primitive of unequal half extents, a capsule
            that is lower than its round ends.
    """
    if scene.shape.ndim != 2:
        raise DataError(f"shape of shape {tuple(scene.shape.shape)}", "[B, N]")
    batch, objects = scene.shape.shape
    wanted: dict[str, tuple[int, ...]] = {"position": (3,), "rotation": (3, 3), "size": (3,), "colour": (3,)}
    for name, tail in {**wanted, "present": (), "label": ()}.items():
        _check_shape(name, getattr(scene, name), (batch, objects, *tail))
    for name, tail in {"camera": (4, 4), "intrinsics": (4,), "background": (3,), "zenith": (3,)}.items():
        _check_per_scene(name, getattr(scene, name), batch, tail)
    if not bool((scene.intrinsics[..., :2] > 0).all()):
        raise DataError("a focal length that is not positive", "f_x and f_y above 0")
    if not 0 <= scene.ambient <= 1:
        raise DataError(f"ambient = {scene.ambient}", "a share in [0, 1]")
    if not scene.haze > 0:
        raise DataError(f"haze = {scene.haze}", "metres, above 0")
    for lamp in scene.lamps:
        _check_lamp(lamp, batch)
    there = torch.ones_like(scene.shape, dtype=torch.bool) if scene.present is None else scene.present
    for name in ("position", "rotation", "colour"):
        _check_finite(name, getattr(scene, name)[there])
    turns = {"rotation": scene.rotation[there], "camera": scene.camera.reshape(-1, 4, 4)[:, :3, :3]}
    for name, rotation in turns.items():
        if not bool(((rotation @ rotation.mT - torch.eye(3).to(rotation)).abs() < 1e-3).all()):
            raise DataError(f"a matrix in {name} that is no rotation", "orthonormal columns")
    if scene.label is not None and bool((scene.label[there] < 0).any()):
        raise DataError("a label below 0", "0 for the background, or above")
    _check_sizes(scene, there)
    if scene.materials is not None:
        _check_materials(scene.materials, there)


def _check_shape(name: str, value: Tensor | None, wanted: tuple[int, ...]) -> None:
    if value is not None and tuple(value.shape) != wanted:
        raise DataError(f"{name} of shape {tuple(value.shape)}", f"{list(wanted)}, to go with shape")


def _check_finite(name: str, value: Tensor) -> None:
    if not bool(value.isfinite().all()):
        raise DataError(f"{name} has values that are NaN or infinite", "finite numbers")


def _check_per_scene(name: str, value: Tensor | None, batch: int, tail: tuple[int, ...]) -> None:
    if value is None:
        return
    if tuple(value.shape) not in (tail, (batch, *tail)):
        raise DataError(f"{name} of shape {tuple(value.shape)}", f"{list(tail)} or {[batch, *tail]}")
    _check_finite(name, value)


def _check_lamp(lamp: Lamp, batch: int) -> None:
    _check_per_scene("a lamp's place (light)", lamp.place, batch, (3,))
    _check_per_scene("a lamp's colour", lamp.colour, batch, (3,))
    if lamp.directional and not bool((lamp.place != 0).any(-1).all()):
        raise DataError("a directional lamp whose direction is 0", "a vector towards it")
    if not (0 <= lamp.strength < torch.inf and 0 <= lamp.radius < torch.inf and lamp.points >= 1):
        raise DataError(
            f"a lamp of strength {lamp.strength}, radius {lamp.radius}, {lamp.points} points",
            "0 or more, 0 or more and at least 1",
        )


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
        if isinstance(primitive, Capsule) and bool((size[:, 2] < size[:, 0] * (1 - 1e-5)).any()):
            raise DataError("a capsule that is lower than its round ends", "a third half extent of the radius or more")


def _check_materials(materials: Materials, there: Tensor) -> None:
    for name, value in vars(materials).items():
        if value is None:
            continue
        _check_shape(f"materials.{name}", value, (*there.shape, 3) if name == "second_colour" else tuple(there.shape))
        value = value[there]
        if name == "texture":
            if not bool(((value >= 0) & (value < len(TEXTURES))).all()):
                raise DataError(f"texture numbers other than 0 to {len(TEXTURES) - 1}", "numbers into TEXTURES")
            continue
        _check_finite(f"materials.{name}", value)
        if not bool((value > 0 if name in ("shininess", "texture_size") else value >= 0).all()):
            raise DataError(f"materials.{name} that is not positive", "numbers above 0 (shares may be 0)")
