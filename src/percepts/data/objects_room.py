"""Objects Room: a few solids in a square room under the sky, generated, with all published splits, and as video.

Known of the published set (Burgess et al. 2019; Kabra et al. 2019): 64 x 64 images of a room of the GQN environment,
with random colours of walls, floor and objects, one to three objects of six shapes in training, and three sets to test
on; masks in the order sky, floor, two halves of the wall, objects. What is not known is this library's own: sizes,
distances, light, and, unverified, colours of hue in (0, 1), saturation in (0.75, 1) and value 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from percepts.core.errors import ConfigError
from percepts.data.hashed_draws import TRIES, Draws, Values
from percepts.data.scene_draws import Candidates, after_backgrounds, place
from percepts.data.scenes import Property
from percepts.data.solid_scenes import Frame, SolidConfig, SolidScenes
from percepts.rendering.colour import hsv_to_rgb
from percepts.rendering.objects import ObjectScene, look_at, pinhole, room_planes, turn
from percepts.rendering.polyhedra import icosahedron
from percepts.rendering.primitives import Box, Capsule, Cone, Cylinder, Plane, Primitive, Sphere

Variant = Literal["train", "empty_room", "six_objects", "identical_color"]

_SHAPES: dict[str, tuple[Primitive, tuple[float, float, float], float]] = {
    "sphere": (Sphere(), (1.0, 1.0, 1.0), 1.0),
    "box": (Box(), (0.71, 0.71, 0.71), 0.71),
    "cylinder": (Cylinder(), (0.8, 0.8, 0.8), 0.8),
    "capsule": (Capsule(), (0.6, 0.6, 1.0), 1.0),
    "cone": (Cone(), (0.9, 0.9, 0.9), 0.9),
    "icosahedron": (icosahedron(), (1.0, 1.0, 1.0), 0.7947),
}
"""Primitives, half extents and height of the centre above the floor, for an object of radius 1."""

_COUNTS: dict[str, tuple[int, int]] = {
    "train": (1, 3),
    "empty_room": (0, 0),
    "six_objects": (6, 6),
    "identical_color": (4, 6),
}

_ROOM, _WALLS, _RING, _GAP = 7.0, 2.5, 3.0, 0.1
"""The room's width and height, how far from its middle the camera is, and the free space between objects, in metres."""


class _Rooms(SolidScenes):
    """What images and videos of the room share: entities 0 sky, 1 floor, 2 and 3 the wall's halves, then objects."""

    backgrounds = 4
    _counts: tuple[int, int]
    _radii: tuple[float, float]
    _disc: float
    _near_camera: float = 0.0
    _one_colour: bool = False

    def __init__(self, config: SolidConfig, counts: tuple[int, int], most: int, pixels: int) -> None:
        super().__init__(config)
        self._counts = counts
        self.entities = self.backgrounds + most
        self.image_shape = (3, config.size, config.size)
        self.properties = {
            "position": Property("numeric", 3, ("x", "y", "z")),
            "colour": Property("numeric", 3, ("red", "green", "blue")),
            "shape": Property("categorical", 1 + len(_SHAPES), ("none", *_SHAPES)),
            "size": Property("numeric"),
            "yaw": Property("angle"),
        }
        self._frame = Frame(64, 64, pinhole(60.0), pixels)

    def _make(self, scene: Draws, attempt: Tensor) -> Values:
        most, device = self.entities - self.backgrounds, attempt.device
        count = scene.whole("count", *self._counts)
        camera = self._camera(scene)
        eye = (camera if self.frames is None else camera[:, 0])[:, :2, 3].double()
        attempt, spot = place(
            scene, attempt, count, lambda rows, trial: self._candidates(trial, eye[rows], most), _apart
        )
        trial = scene.attempt(torch.arange(len(attempt), device=device), attempt)
        exists = torch.arange(most, device=device) < count[:, None]
        shape, radius = trial.whole("shape", 0, len(_SHAPES) - 1, most), trial.between("radius", self._radii, most)
        rest = torch.tensor([rest for _, _, rest in _SHAPES.values()], dtype=radius.dtype, device=device)
        tint = _colours(scene, "colour", most)
        return {
            "attempt": attempt,
            "exists": exists,
            "position": torch.cat([spot, (radius * rest[shape])[..., None]], dim=-1).float(),
            "camera": camera,
            "shape": shape,
            "radius": radius.float(),
            "yaw": trial.between("yaw", (0, 2 * math.pi), most).float(),
            "colour": tint[:, :1].expand_as(tint) if self._one_colour else tint,
            "floor": _colours(scene, "floor", 1),
            "wall": _colours(scene, "wall", 1),
        }

    def _candidates(self, trial: Draws, eye: Tensor, most: int) -> Candidates:
        """Places in a disc, evenly, that are not too near to the camera."""
        distance = self._disc * trial.uniform("distance", most, TRIES).sqrt()
        angle = trial.between("angle", (0, 2 * math.pi), most, TRIES)
        x, y = distance * angle.cos(), distance * angle.sin()
        away = (x - eye[:, :1, None]).square() + (y - eye[:, 1:, None]).square()
        allowed = away > self._near_camera**2
        return Candidates(x, y, trial.between("radius", self._radii, most), allowed)

    def _camera(self, scene: Draws) -> Float[Tensor, "batch *frames 4 4"]:
        """On a ring, looking across the room."""
        azimuth, height = scene.between("azimuth", (0, 2 * math.pi)), scene.between("height", (1.2, 1.8))
        target = scene.between("target", (-0.3, 0.3), 3) + torch.tensor([0, 0, 0.6], device=azimuth.device)
        return look_at(_on_ring(azimuth, height), target).float()

    def _objects(self, values: Values) -> ObjectScene:
        camera, exists = values["camera"], values["exists"]
        device, (batch, most) = exists.device, exists.shape
        half = torch.tensor([half for _, half, _ in _SHAPES.values()], device=device)
        position, rotation, size = (
            part.to(device).expand(batch, *part.shape) for part in room_planes(_ROOM, _ROOM, _WALLS)
        )
        planes = torch.full((batch, 5), len(_SHAPES), device=device)
        number = torch.tensor([1, 2, 2, 3, 3, *range(4, 4 + most)], device=device)
        tilt = torch.where(
            (values["shape"] == list(_SHAPES).index("icosahedron"))[..., None, None],
            _on_face(device),
            torch.eye(3, device=device),
        )
        parts: dict[str, Any] = {
            "shape": torch.cat([planes, values["shape"]], dim=1),
            "position": torch.cat([position, values["position"]], dim=1),
            "rotation": torch.cat([rotation, _product(turn(values["yaw"]), tilt)], dim=1),
            "size": torch.cat([size, half[values["shape"]] * values["radius"][..., None]], dim=1),
            "colour": torch.cat([values["floor"], values["wall"].expand(-1, 4, -1), values["colour"]], dim=1),
            "present": torch.cat([torch.ones_like(planes, dtype=torch.bool), exists], dim=1),
            "label": number.expand(batch, -1),
        }
        if self.frames is not None:
            parts = {name: value.repeat_interleave(self.frames, 0) for name, value in parts.items()}
            camera = camera.flatten(0, 1)
        return ObjectScene(
            shapes=(*(primitive for primitive, _, _ in _SHAPES.values()), Plane()),
            camera=camera,
            intrinsics=self._frame.intrinsics.to(device),
            light=camera[:, :3, 3] + torch.tensor([0, 0, 2.0], device=device),
            background=torch.tensor([0.62, 0.78, 0.97], device=device),
            zenith=torch.tensor([0.3, 0.52, 0.93], device=device),
            **parts,
        )

    def _properties(self, values: Values) -> Values:
        exists = values["exists"]
        found = {
            "position": values["position"] * exists[..., None],
            "colour": values["colour"] * exists[..., None],
            "shape": (values["shape"] + 1) * exists,
            "size": values["radius"] * exists,
            "yaw": values["yaw"] * exists,
        }
        return {name: after_backgrounds(value, self.backgrounds) for name, value in found.items()}


class ObjectsRoom(_Rooms):
    """Images of one to three objects in a room, or of the published set's three other splits.

    Entities: sky, floor, two halves of the wall (those at +x and +y, those at -x and -y), then the objects; each keeps
    its number where it cannot be seen, which the published files do not do. Properties: `position` in metres, RGB
    `colour`, `shape` (0 none, then sphere, box, cylinder, capsule, cone, icosahedron), `size`, which is the radius in
    metres, and `yaw`.

    Raises:
        ConfigError: a count or size below 1, a negative number of pixels.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(SolidConfig):
        """Settings.

        Attributes:
            variant: "train" has one to three objects of random colours, "empty_room" none, "six_objects" six,
                "identical_color" four to six of one random colour.
            pixels: how many of 64 x 64 pixels have to show every object.
        """

        variant: Variant = "train"
        pixels: int = 20

    config: Config

    def __init__(self, config: Config) -> None:
        _check_pixels(config.pixels)
        # Six is the room that the published files have, also where there are fewer objects.
        most = {"train": 3, "empty_room": 0}.get(config.variant, 6)
        super().__init__(config, _COUNTS[config.variant], most, config.pixels)
        self._radii, self._disc, self._near_camera = (0.35, 0.7), 2.0, 1.2
        self._one_colour = config.variant == "identical_color"

    def _keys(self) -> tuple[str, ...]:
        return (*super()._keys(), self.config.variant)


class ObjectsRoomVideo(_Rooms):
    """Videos of the room: the objects stand still, the camera moves along its ring at an even pace and looks across.

    Entities and properties are those of `ObjectsRoom`. The set of this kind that SIMONe was trained on (Kabra et al.
    2021), with nine objects, is unpublished; `objects_room_nine` has as many.

    Raises:
        ConfigError: a count or size below 1, ranges that are none.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(SolidConfig):
        """Settings.

        Attributes:
            frames: how many images a video has.
            objects: the fewest and the most, all numbers as likely.
            radius: the smallest and the largest radius of an object, in metres.
            arc: the most that the camera moves around the room during a video, in degrees; it moves half as far or
                more, either way.
            pixels: how many of 64 x 64 pixels have to show every object in some frame.
        """

        images: int = 100_000
        frames: int = 16
        objects: tuple[int, int] = (1, 3)
        radius: tuple[float, float] = (0.35, 0.7)
        arc: float = 180.0
        pixels: int = 20

    config: Config

    def __init__(self, config: Config) -> None:
        _check_pixels(config.pixels)
        _check_video(config)
        super().__init__(config, config.objects, config.objects[1], config.pixels)
        self.frames = config.frames
        # Nothing may come near to the ring, as the camera may pass anywhere on it.
        self._radii, self._disc = config.radius, 1.8

    def _camera(self, scene: Draws) -> Float[Tensor, "batch frames 4 4"]:
        start, height = scene.between("azimuth", (0, 2 * math.pi)), scene.between("height", (1.2, 1.8))
        way = scene.between("arc", (-1, 1))
        way = math.radians(self.config.arc) * (way + way.sign()) / 2
        time = torch.linspace(0, 1, self.config.frames, dtype=way.dtype, device=way.device)
        eye = _on_ring(start[:, None] + way[:, None] * time, height[:, None])
        target = scene.between("target", (-0.3, 0.3), 3) + torch.tensor([0, 0, 0.6], device=way.device)
        return look_at(eye, target[:, None].expand_as(eye)).float()

    def _extras(self, values: Values) -> dict[str, Tensor]:
        return {"camera": values["camera"]}


def objects_room_nine(**settings: Any) -> ObjectsRoomVideo.Config:
    """Videos of nine small objects, as in the unpublished set of SIMONe (unverified)."""
    return ObjectsRoomVideo.Config(**{"objects": (9, 9), "radius": (0.25, 0.4)} | settings)


def _apart(x: Tensor, y: Tensor, reach: Tensor) -> Tensor:
    return x.square() + y.square() > (reach + _GAP).square()


def _on_ring(azimuth: Float[Tensor, "*shape"], height: Float[Tensor, "*heights"]) -> Float[Tensor, "*shape 3"]:
    return torch.stack([_RING * azimuth.cos(), _RING * azimuth.sin(), height.expand_as(azimuth)], dim=-1)


def _colours(scene: Draws, name: str, count: int) -> Float[Tensor, "batch {count} 3"]:
    """Random hues, bright and rather saturated."""
    hue, saturation = scene.uniform(name, count), scene.between(f"{name}.saturation", (0.75, 1), count)
    return hsv_to_rgb(torch.stack([hue, saturation, torch.ones_like(hue)], dim=-1)).float()


def _on_face(device: torch.device) -> Float[Tensor, "3 3"]:
    """Turns an icosahedron, which has an edge on top, so that it lies on a face."""
    angle = math.atan(((math.sqrt(5) - 1) / 2) ** 2)
    sine, cosine = math.sin(angle), math.cos(angle)
    return torch.tensor([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]], device=device)


def _product(one: Tensor, other: Tensor) -> Tensor:
    """Products of matrices [..., 3, 3]; not by a library's, whose last bit may depend on the batch."""
    return (one[..., :, :, None] * other[..., None, :, :]).sum(-2)


def _check_pixels(pixels: int) -> None:
    if pixels < 0:
        raise ConfigError(f"pixels = {pixels}", "0 or more")


def _check_video(config: ObjectsRoomVideo.Config) -> None:
    if config.frames < 1:
        raise ConfigError(f"frames = {config.frames}", "at least 1")
    low, high = config.objects
    if not 0 <= low <= high:
        raise ConfigError(f"objects = {config.objects}", "the fewest and the most, from 0")
    smallest, largest = config.radius
    if not 0 < smallest <= largest <= 1:
        raise ConfigError(f"radius = {config.radius}", "the smallest and the largest, above 0 and up to 1")
    if not 0 <= config.arc <= 360:
        raise ConfigError(f"arc = {config.arc}", "0 to 360 degrees")
