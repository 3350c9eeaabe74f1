"""The objects of Feature World on a table, drawn by the ray-caster, and a hand that puts them on a tray.

    world = table_top().build()
    view = TableView.Config(height=64).build(world=world)
    picture = view.draw(state)                     # the table after the last test: image and segmentation
    film = view.film(state)                        # how the object that was tested last came onto the tray

The tray in front lights up green where the object on it is rewarded. The hand is a script that never errs: what was
named is carried in an arc and put down. The original is a laboratory in Unity with a human hand (Ke et al. 2024); how
it looks is not known, and everything here is this library's own.

Labels of the segmentation: 0 what is around, 1 table, 2 tray, 3 + n object n of those on offer.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from percepts.core.config import Config, Configurable
from percepts.core.errors import ConfigError
from percepts.data.hashing import hashed_uniform
from percepts.envs.feature_world.features import DIMENSIONS
from percepts.envs.feature_world.state import WorldState
from percepts.envs.feature_world.world import FeatureWorld
from percepts.rendering.objects import Lamp, ObjectScene, look_at, pinhole, turn
from percepts.rendering.polyhedra import icosahedron, octahedron, prism
from percepts.rendering.primitives import Box, Capsule, Cone, Cylinder, Plane, Primitive, Sphere
from percepts.rendering.rays import render_objects

TABLE, TRAY, FIRST_OBJECT = 1, 2, 3
"""Labels of the segmentation."""
MOST_OBJECTS = 12

_COLOURS = {
    "red": (0.82, 0.1, 0.1), "green": (0.1, 0.55, 0.15), "blue": (0.13, 0.25, 0.85), "yellow": (0.95, 0.85, 0.15),
    "purple": (0.5, 0.15, 0.65), "orange": (0.95, 0.5, 0.08), "black": (0.06, 0.06, 0.06), "white": (0.95, 0.95, 0.95),
}  # fmt: skip
_SHAPES: dict[str, tuple[Primitive, tuple[float, float, float]]] = {
    "cube": (Box(), (0.75, 0.75, 0.75)),
    "ball": (Sphere(), (1.0, 1.0, 1.0)),
    "cylinder": (Cylinder(), (0.7, 0.7, 0.95)),
    "cone": (Cone(), (0.9, 0.9, 1.05)),
    "capsule": (Capsule(), (0.55, 0.55, 1.2)),
    "prism": (prism(3), (1.05, 1.05, 0.7)),
    "octahedron": (octahedron(), (1.15, 1.15, 1.15)),
    "icosahedron": (icosahedron(), (0.95, 0.95, 0.95)),
}
"""Primitives, and half extents for an object of radius 1; the last is also the height of its centre."""
_RADII = {"small": 0.2, "medium": 0.27, "large": 0.34}
_DRAWN = ("colour", "shape", "size")

_SPOTS = tuple((x, y) for y in (-0.25, 0.6, 1.45) for x in (-1.65, -0.55, 0.55, 1.65))
_TRAY, _TRAY_HALF, _LIFT, _YAW = (0.0, -1.25), (0.5, 0.36, 0.03), 0.9, 0.4
"""Metres and radians: the places for objects, the tray, how high the hand lifts, how objects are turned."""
_GREEN, _GREY = (0.15, 0.95, 0.25), (0.4, 0.4, 0.42)


@dataclass(frozen=True)
class Drawn:
    """Pictures of B tables, [B, …], or films, [B, T, …].

    Attributes:
        image: red, green, blue.
        segmentation: labels as above.
    """

    image: UInt8[Tensor, "*batch height width 3"]
    segmentation: Int64[Tensor, "*batch height width"]


class TableView(Configurable):
    """Draws the tables of a world.

    Args:
        config: how.
        world: of objects that differ in colour, shape and size (three sizes at most), 12 or fewer on offer.

    Raises:
        ConfigError: another world, or no pixels.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(Config):
        """Settings.

        Attributes:
            height: pixels from top to bottom; the width is four thirds of it.
            frames: of a film.
            samples: rays along each side of a pixel.
        """

        height: int = 48
        frames: int = 4
        samples: int = 2

        def __post_init__(self) -> None:
            if self.height < 3 or self.height % 3:
                raise ConfigError(f"height = {self.height}", "a multiple of 3")
            for name in ("frames", "samples"):
                if getattr(self, name) < 1:
                    raise ConfigError(f"{name} = {getattr(self, name)}", "1 or more")

    config: Config

    def __init__(self, config: Config, world: FeatureWorld) -> None:
        problem = why_not_drawn(world)
        if problem is not None:
            raise ConfigError(problem, "colours, shapes, up to three sizes, up to 12 objects", "table_top()")
        self.config, self.world = config, world

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.config.height, self.config.height * 4 // 3

    def draw(self, state: WorldState) -> Drawn:
        """The tables after the last step: the object tested last is on the tray."""
        return self.draw_tables(state.scene, state.object_set, state.tested, state.lit)

    def draw_tables(
        self,
        scene: Int64[Tensor, " batch"],
        object_set: Int64[Tensor, " batch"],
        tested: Int64[Tensor, " batch"],
        lit: Bool[Tensor, " batch"],
    ) -> Drawn:
        """The same from what of a state matters; a `tested` of -1 leaves the tray empty."""
        objects = self.world.knowledge(scene.device).objects[object_set]
        return self._picture(objects, self._placed(scene, tested, torch.ones(len(scene), device=scene.device)), lit)

    def film(self, state: WorldState) -> Drawn:
        """The last step, [B, T, …]: the object is carried to the tray, which may light up in the last frame; nothing
        moves where none was tested."""
        return self.film_tables(state.scene, state.object_set, state.tested, state.lit)

    def film_tables(
        self,
        scene: Int64[Tensor, " batch"],
        object_set: Int64[Tensor, " batch"],
        tested: Int64[Tensor, " batch"],
        lit: Bool[Tensor, " batch"],
    ) -> Drawn:
        """The same from what of a state matters."""
        frames, batch = self.config.frames, len(scene)
        share = torch.arange(1, frames + 1, device=scene.device).div(frames).repeat(batch)
        scene, object_set, tested, lit = (part.repeat_interleave(frames) for part in (scene, object_set, tested, lit))
        objects = self.world.knowledge(scene.device).objects[object_set]
        drawn = self._picture(objects, self._placed(scene, tested, share), lit & (share == 1))
        return Drawn(
            drawn.image.view(batch, frames, *drawn.image.shape[1:]),
            drawn.segmentation.view(batch, frames, *drawn.segmentation.shape[1:]),
        )

    def on_the_tray(self, objects: Int64[Tensor, " batch"], lit: Bool[Tensor, " batch"]) -> Drawn:
        """Tables with nothing else on them than an object, by its number among all, on the tray."""
        places = torch.tensor([*_TRAY, 2 * _TRAY_HALF[2]], device=objects.device).expand(len(objects), 1, 3)
        return self._picture(objects[:, None], places, lit)

    def spots(self, scene: Int64[Tensor, " batch"]) -> Float[Tensor, "batch choices 3"]:
        """Where the objects on offer stand at first: random ones of twelve places, in metres."""
        numbers = scene[:, None] * 64 + torch.arange(len(_SPOTS), device=scene.device)
        order = hashed_uniform(numbers, 0, "order").argsort(1)[:, : self.world.choices]
        spot = torch.tensor(_SPOTS, device=scene.device)[order]
        shift = [hashed_uniform(numbers, 0, axis)[:, : self.world.choices] - 0.5 for axis in ("x", "y")]
        spot = spot + 0.3 * torch.stack(shift, -1).float()
        return torch.cat([spot, torch.zeros_like(spot[..., :1])], -1)

    def _placed(
        self, scene: Int64[Tensor, " batch"], tested: Int64[Tensor, " batch"], share: Float[Tensor, " batch"]
    ) -> Float[Tensor, "batch choices 3"]:
        """Where the objects are when one of them has gone a share of the way to the tray: the points on which they
        stand or hang."""
        place = self.spots(scene)
        number = torch.arange(self.world.choices, device=scene.device)
        goal = torch.tensor([*_TRAY, 2 * _TRAY_HALF[2]], device=scene.device)
        share = share[:, None, None]
        # Not a sine, whose last bit may depend on how many are computed at a time.
        arc = torch.cat([torch.zeros_like(share).expand(-1, -1, 2), 4 * _LIFT * share * (1 - share)], -1)
        carried = place + (goal - place) * share + arc
        return torch.where((number == tested[:, None])[..., None], carried, place)

    def _picture(
        self,
        objects: Int64[Tensor, "batch objects"],
        places: Float[Tensor, "batch objects 3"],
        lit: Bool[Tensor, " batch"],
    ) -> Drawn:
        height, width = self.shape
        scene = self._scene(objects, places, lit)
        drawn = render_objects(scene, height, width, samples=self.config.samples)
        assert drawn.segmentation is not None
        image = (drawn.image * 255 + 0.5).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
        return Drawn(image, drawn.segmentation)

    def _scene(self, objects: Tensor, places: Tensor, lit: Tensor) -> ObjectScene:
        batch, count = objects.shape
        device = objects.device
        looks = self._looks(device)
        half = looks["half"][objects]
        position = places + torch.nn.functional.pad(half[..., 2:], (2, 0))
        furniture: dict[str, Any] = {
            "shape": torch.tensor([0, 1, 1], device=device),
            "position": torch.tensor([[0.0, 0, -1.2], [0, 0.1, -0.08], [*_TRAY, _TRAY_HALF[2]]], device=device),
            "size": torch.tensor([[math.inf, math.inf, 1.0], [2.4, 1.9, 0.08], _TRAY_HALF], device=device),
        }
        tints = torch.tensor([[0.5, 0.47, 0.45], [0.72, 0.56, 0.4]], device=device).expand(batch, 2, 3)
        green, grey = (torch.tensor(rgb, device=device) for rgb in (_GREEN, _GREY))
        tray = torch.where(lit[:, None], green, grey)
        eye, aim = torch.tensor([0.0, -4.9, 4.3], device=device), torch.tensor([0.0, 0.1, 0.05], device=device)
        upright, turned = torch.eye(3, device=device), turn(torch.tensor(_YAW, device=device))
        rotation = torch.cat([upright.expand(3, 3, 3), turned.expand(count, 3, 3)])
        label = torch.tensor([0, TABLE, TRAY, *range(FIRST_OBJECT, FIRST_OBJECT + count)], device=device)
        return ObjectScene(
            shapes=(Plane(), Box(), *(primitive for primitive, _ in self._solids)),
            shape=torch.cat([furniture["shape"].expand(batch, 3), looks["shape"][objects]], 1),
            position=torch.cat([furniture["position"].expand(batch, 3, 3), position], 1),
            rotation=rotation.expand(batch, 3 + count, 3, 3),
            size=torch.cat([furniture["size"].expand(batch, 3, 3), half], 1),
            colour=torch.cat([tints, tray[:, None], looks["colour"][objects]], 1),
            camera=look_at(eye, aim),
            intrinsics=pinhole(40.0, 4 / 3).to(device),
            light=(Lamp(torch.tensor([1.5, -3.0, 6.0], device=device)),),
            background=torch.tensor([0.8, 0.85, 0.9], device=device),
            label=label.expand(batch, 3 + count),
            ambient=0.45,
        )

    def _looks(self, device: torch.device) -> dict[str, Tensor]:
        """Primitives, half extents and colours of all objects."""
        return {name: value.to(device) for name, value in self._looks_on_cpu.items()}

    @functools.cached_property
    def _looks_on_cpu(self) -> dict[str, Tensor]:
        features, dimensions = self.world.tables.features, self.world.dimensions
        zero = torch.zeros(len(features), dtype=torch.int64)
        value = {name: features[:, dimensions.index(name)] if name in dimensions else zero for name in _DRAWN}
        shapes = torch.tensor([half for _, half in self._solids])
        # Where all are of one size, it is the middle one.
        radius = torch.tensor([_RADII[name] for name in DIMENSIONS["size"][:3]])
        radius = radius[value["size"] if "size" in dimensions else zero + 1]
        colours = torch.tensor([_COLOURS[name] for name in DIMENSIONS["colour"]])
        shape = value["shape"]
        colour = colours[value["colour"]] if "colour" in dimensions else torch.full((len(features), 3), 0.6)
        return {"shape": shape + 2, "half": shapes[shape] * radius[:, None], "colour": colour}

    @functools.cached_property
    def _solids(self) -> list[tuple[Primitive, tuple[float, float, float]]]:
        """Of the shapes that the world has, in the order of their numbers."""
        count = dict(zip(self.world.dimensions, self.world.values)).get("shape", 1)
        return [_SHAPES[name] for name in DIMENSIONS["shape"][:count]]


def why_not_drawn(world: FeatureWorld) -> str | None:
    """What keeps a world from being drawn, if anything does."""
    for name, count in zip(world.dimensions, world.values):
        if name not in _DRAWN or (name == "size" and count > len(_RADII)):
            return f"objects that differ in {count} values of {name}, which cannot be drawn"
    if (world.config.objects or math.prod(world.values)) > MOST_OBJECTS:
        return f"{world.config.objects or math.prod(world.values)} objects on a table"
    return None
