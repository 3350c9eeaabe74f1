"""How CLEVR's scenes look, with this library's renderer: colours, materials, lamps, floor and camera.

Colours and the camera are those of CLEVR (Johnson et al. 2017). Reflectances are chosen to look alike. The lamps of its
scene file are unknown here; theirs are this library's own.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from percepts.data.hashed_draws import Draws
from percepts.rendering.objects import Lamp, Materials, ObjectScene, turn
from percepts.rendering.primitives import Box, Cone, Cylinder, Plane, Primitive, Sphere

RGB: dict[str, tuple[int, int, int]] = {
    "gray": (87, 87, 87),
    "red": (173, 35, 35),
    "blue": (42, 75, 215),
    "green": (29, 105, 20),
    "brown": (129, 74, 25),
    "purple": (129, 38, 192),
    "cyan": (41, 208, 208),
    "yellow": (255, 238, 51),
    "gold": (212, 160, 35),
}
"""CLEVR's eight colours, and that of CATER's snitch, which is this library's own."""

MATERIALS = ("rubber", "metal")

SHAPES: dict[str, tuple[Primitive, float, float]] = {
    "cube": (Box(), math.sqrt(0.5), math.sqrt(0.5)),
    "sphere": (Sphere(), 1.0, 1.0),
    "cylinder": (Cylinder(), 1.0, 1.0),
    "cone": (Cone(), 1.0, 1.0),
    "short cylinder": (Cylinder(), 1.0, 0.5),
    "snitch": (Sphere(), 1.0, 1.0),
}
"""Primitives, and their half extents across and upright for an object of radius 1. A cube's corners lie on the circle
of its radius. The last three are CATER's."""

LOCATION = (7.48, -6.51, 5.34)
"""Where CLEVR's camera is, in metres."""

FOCAL = 350.0
"""The focal length in pixels of an image of 320 x 240: a lens of 35 mm before a sensor 32 mm wide."""

AZIMUTH = math.radians(46.69)
"""The direction to the right of it, on the floor."""

_TILT = math.radians(63.56)
_LAMPS = (
    ("key", (6.4, -2.95, 4.2), 0.95, 0.4),
    ("back", (-1.1, 2.6, 6.0), 0.55, 0.0),
    ("fill", (-4.7, -4.0, 3.0), 0.4, 0.0),
)
_FLOOR = 0.55
_HAZE = 28.0
"""Metres, about; objects are 7 to 15 metres away, and the farthest floor that CLEVR's camera sees about 40."""


def pose(location: Float[Tensor, "batch 3"]) -> Float[Tensor, "batch 4 4"]:
    """CLEVR's camera at `location`: all of them look the same way, 26 degrees downwards."""
    (sine, cosine), (down, level) = ((math.sin(angle), math.cos(angle)) for angle in (AZIMUTH, _TILT))
    right = (cosine, sine, 0.0)
    along = (-sine * down, cosine * down, -level)
    below = (sine * level, -cosine * level, -down)
    camera = torch.zeros(len(location), 4, 4, dtype=torch.float64, device=location.device)
    camera[:, :3, :3] = torch.tensor([right, below, along], dtype=torch.float64, device=location.device).T
    camera[:, :3, 3] = location
    camera[:, 3, 3] = 1
    return camera


def jittered(draws: Draws, name: str, centre: tuple[float, float, float], by: float) -> Float[Tensor, "batch 3"]:
    """Places near `centre`, up to `by` metres off along every axis."""
    offset = draws.between(name, (-by, by), 3)
    return torch.tensor(centre, dtype=offset.dtype, device=offset.device) + offset


def lamp_places(draws: Draws) -> Float[Tensor, "batch 3 3"]:
    """Where key, back and fill lamp are, up to a metre off along every axis."""
    return torch.stack([jittered(draws, f"lamp.{name}", centre, 1.0) for name, centre, _, _ in _LAMPS], dim=1).float()


def half_extents(
    shape: Int64[Tensor, "batch objects"], radius: Float[Tensor, "batch objects"]
) -> Float[Tensor, "batch objects 3"]:
    """Half extents of objects; the last is also the height of a centre above the floor."""
    table = torch.tensor([[across, across, upright] for _, across, upright in SHAPES.values()], dtype=radius.dtype)
    return table.to(radius.device)[shape] * radius[..., None]


def objects_on_floor(
    *,
    shape: Int64[Tensor, "batch objects"],
    position: Float[Tensor, "batch objects 3"],
    yaw: Float[Tensor, "batch objects"],
    half: Float[Tensor, "batch objects 3"],
    colour: Int64[Tensor, "batch objects"],
    metal: Bool[Tensor, "batch objects"],
    exists: Bool[Tensor, "batch objects"],
    lamps: Float[Tensor, "batch 3 3"],
    camera: Float[Tensor, "batch 4 4"],
    intrinsics: Float[Tensor, "4"],
) -> ObjectScene:
    """Objects on a grey floor that turns into the light of the horizon far away; the floor is labelled 0 and object n
    is labelled n + 1.

    Args:
        shape: numbers into `SHAPES`.
        position: of the centres, in metres.
        yaw: in radians.
        half: half extents, in metres.
        colour: numbers into `RGB`.
        metal: which objects are of metal and not of rubber.
        exists: which objects there are.
        lamps: see `lamp_places`.
        camera: world from camera.
        intrinsics: of the camera.
    """
    device, (batch, objects) = shape.device, shape.shape
    table = torch.tensor(list(RGB.values()), device=device) / 255
    floor = torch.tensor([math.inf, math.inf, 1.0], device=device).expand(batch, 1, 3)
    upright = torch.eye(3, device=device).expand(batch, 1, 3, 3)
    origin = position.new_zeros(batch, 1, 3)
    every = exists.new_ones(batch, 1)
    return ObjectScene(
        shapes=(*(primitive for primitive, _, _ in SHAPES.values()), Plane()),
        shape=torch.cat([shape.new_full((batch, 1), len(SHAPES)), shape], dim=1),
        position=torch.cat([origin, position], dim=1),
        rotation=torch.cat([upright, turn(yaw)], dim=1),
        size=torch.cat([floor, half], dim=1),
        colour=torch.cat([torch.full_like(origin, _FLOOR), table[colour]], dim=1),
        camera=camera,
        intrinsics=intrinsics.to(device),
        light=tuple(
            Lamp(lamps[:, number], strength=strength, radius=radius)
            for number, (_, _, strength, radius) in enumerate(_LAMPS)
        ),
        background=torch.tensor([0.62, 0.62, 0.62], device=device),
        zenith=torch.tensor([0.9, 0.9, 0.9], device=device),
        present=torch.cat([every, exists], dim=1),
        label=torch.arange(objects + 1, device=device).expand(batch, -1),
        materials=_materials(torch.cat([~every, metal], dim=1)),
        ambient=0.5,
        haze=_HAZE,
    )


def _materials(metal: Bool[Tensor, "batch objects"]) -> Materials:
    """Rubber scatters; metal has sharp highlights and shows its surroundings. The floor has no highlights."""
    rubber = ~metal
    rubber[:, 0] = False
    return Materials(
        diffuse=torch.where(metal, 0.5, 1.0),
        specular=torch.where(metal, 0.9, torch.where(rubber, 0.1, 0.0)),
        shininess=torch.where(metal, 80.0, 10.0),
        mirror=torch.where(metal, 0.3, 0.0),
    )
