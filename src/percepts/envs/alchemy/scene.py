"""The table of Alchemy in 3-D, drawn by the ray-caster: stones, flasks, the cauldron, the hand, and what time is left.

    view = SceneView.Config(height=72).build(bench=bench)
    drawn = view.draw(state, camera)                # image and segmentation of B tables

Sizes and colours of stones and potions are those of the 3-D version (Wang, King, Porcel et al. 2021); what else there
is to see is this library's own. A stone of roundness 0 is an octahedron, 1 a ball, and ½ a superquadric in between. It
lies on a disc that shows its reward: from black (-3) to white (3). The bar along the table is the time that is left.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float32, Int64, UInt8
from torch import Tensor

from percepts.core.config import Config, Configurable
from percepts.core.errors import ConfigError
from percepts.envs.alchemy.bench import CAULDRON, CAULDRON_RADIUS, HALF, TOP, Bench, BenchState
from percepts.envs.alchemy.chemistry import chemistry_tables
from percepts.envs.alchemy.picture import POTION_COLOURS, STONE_COLOURS
from percepts.rendering.objects import Lamp, Materials, ObjectScene, pinhole
from percepts.rendering.polyhedra import octahedron
from percepts.rendering.primitives import Box, Capsule, Cone, Cylinder, Plane, Primitive, Sphere
from percepts.rendering.rays import render_objects
from percepts.rendering.superquadrics import Superquadric

ROOM, TABLE, CAULDRON_LABEL, HAND, FIRST_STONE = 0, 1, 2, 3, 4
"""Labels of the segmentation; stone s is FIRST_STONE + s, and after the stones follow the potions."""
_SHAPES: tuple[Primitive, ...] = (
    Plane(), Box(), Sphere(), Cylinder(), Capsule(), Cone(), octahedron(), Superquadric(1.5),
)  # fmt: skip
_PLANE, _BOX, _SPHERE, _CYLINDER, _CAPSULE, _CONE, _POINTY, _BLUNT = range(len(_SHAPES))
_STONES = (_POINTY, _BLUNT, _SPHERE)
"""Of roundness 0, ½ and 1."""
_WOOD, _DARK_WOOD = (0.58, 0.42, 0.28), (0.53, 0.375, 0.245)
_FLOOR, _TILE = (0.36, 0.40, 0.44), (0.30, 0.34, 0.38)
_HORIZON, _ZENITH, _HAZE = (0.74, 0.79, 0.84), (0.40, 0.55, 0.75), 7.0
_IRON, _BREW = (0.13, 0.13, 0.15), (0.42, 0.62, 0.30)
_GLASS, _CORK = (0.78, 0.84, 0.86), (0.50, 0.36, 0.22)
_SKIN, _SLEEVE = (0.93, 0.72, 0.55), (0.30, 0.20, 0.42)
_TIME_BACK, _TIME_LEFT = (0.10, 0.10, 0.11), (0.95, 0.80, 0.35)
_FINE = 120
"""Pixels from top to bottom from where on small things are drawn."""
_BAR, _BAR_Y = (0.6, 0.02), -0.655
"""Half of the length and width of the bar of time, and where it lies on the table."""


@dataclass(frozen=True)
class Arm:
    """The arms of B players.

    Attributes:
        shoulder: where the sleeve begins.
        hand: where it ends.
        shown: whose is seen.
    """

    shoulder: Float32[Tensor, "batch 3"]
    hand: Float32[Tensor, "batch 3"]
    shown: Bool[Tensor, " batch"]


@dataclass(frozen=True)
class Drawn:
    """Pictures of B tables.

    Attributes:
        image: red, green, blue.
        segmentation: labels as above; None if not asked for.
    """

    image: UInt8[Tensor, "batch height width 3"]
    segmentation: Int64[Tensor, "batch height width"] | None


class SceneView(Configurable):
    """Draws benches.

    Args:
        config: how.
        bench: what.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(Config):
        """Settings.

        Attributes:
            height, width: of a picture, in pixels; 72 x 96 as in the original.
            field_of_view: from top to bottom, in degrees.
            samples: rays along each side of a pixel.
            shadows: whether things cast them.
            gloss: whether glass and stones shine.

        Raises:
            ConfigError: no pixels, no rays, or an angle that no lens has.
        """

        height: int = 72
        width: int = 96
        field_of_view: float = 58.0
        samples: int = 2
        shadows: bool = False
        gloss: bool = False

        def __post_init__(self) -> None:
            for name in ("height", "width", "samples"):
                if getattr(self, name) < 1:
                    raise ConfigError(f"{name} = {getattr(self, name)}", "1 or more")
            if not 1 <= self.field_of_view <= 150:
                raise ConfigError(f"field_of_view = {self.field_of_view}", "1 to 150 degrees")

    config: Config

    def __init__(self, config: Config, bench: Bench) -> None:
        self.config, self.bench = config, bench

    def draw(
        self,
        state: BenchState,
        camera: Float32[Tensor, "*batch 4 4"],
        arm: Arm | None = None,
        *,
        segmentation: bool = True,
    ) -> Drawn:
        """The pictures.

        Args:
            state: of the benches.
            camera: world from camera, for all or for each.
            arm: of the players; none if None.
            segmentation: whether to tell what is seen where, which takes a fifth of the time.
        """
        config = self.config
        drawn = render_objects(
            self.scene(state, camera, arm), config.height, config.width,
            samples=config.samples, shadows=config.shadows, labels=segmentation,
        )  # fmt: skip
        image = (drawn.image * 255 + 0.5).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
        return Drawn(image, drawn.segmentation)

    def scene(self, state: BenchState, camera: Float32[Tensor, "*batch 4 4"], arm: Arm | None = None) -> ObjectScene:
        """What is drawn, for the renderer."""
        config, device = self.config, state.held.device
        parts = [self._room(state), self._potions(state), self._stones(state)]
        if arm is not None:
            parts.append(_arm(arm))
        joined = {name: torch.cat([part[name] for part in parts], 1) for name in parts[0]}
        lamp = torch.tensor([-1.4, -2.2, 3.2], device=device)
        gloss = joined.pop("gloss")
        materials = Materials(
            specular=gloss if config.gloss else None, shininess=torch.full_like(gloss, 40.0),
            texture=joined.pop("texture"), second_colour=joined.pop("second"), texture_size=joined.pop("texture_size"),
        )  # fmt: skip
        return ObjectScene(
            shapes=_SHAPES,
            **joined,
            camera=camera,
            intrinsics=pinhole(config.field_of_view, config.width / config.height).to(device),
            light=(Lamp(lamp),),
            background=torch.tensor(_HORIZON, device=device),
            zenith=torch.tensor(_ZENITH, device=device),
            materials=materials,
            ambient=0.45,
            haze=_HAZE,
        )

    def _room(self, state: BenchState) -> dict[str, Tensor]:
        """Floor, walls, table, cauldron, and the bar of time."""
        batch, device = len(state), state.held.device
        fixed = {name: value.to(device).expand(batch, *value.shape) for name, value in _furniture().items()}
        left = 1 - state.frame / self.bench.config.frames
        length = (_BAR[0] * left).clamp(min=1e-3)
        size = fixed["size"].clone()
        size[:, -1, 0] = length
        position = fixed["position"].clone()
        position[:, -1, 0] = length - _BAR[0]
        return {**fixed, "size": size, "position": position}

    def _potions(self, state: BenchState) -> dict[str, Tensor]:
        """Flasks: a coloured ball and neck, and a stopper."""
        table, device = state.table, state.held.device
        batch, potions = table.potions.shape
        colours = torch.tensor(POTION_COLOURS, device=device)[self.bench.table.perceived_potions(table)]
        cork = torch.tensor(_CORK, device=device).expand_as(colours)
        place = torch.cat([state.potions, torch.full_like(state.potions[..., :1], TOP)], -1)
        up = place.new_tensor((0.0, 0.0, 1.0))
        label = FIRST_STONE + table.stones.shape[1] + torch.arange(potions, device=device).expand(batch, -1)
        # A stopper that is smaller than a pixel is not worth its time.
        stopper = [(_CYLINDER, 0.245 * up, (0.034, 0.034, 0.018), cork)] if self.config.height >= _FINE else []
        parts = (
            (_SPHERE, 0.085 * up, (0.09, 0.09, 0.09), colours),
            (_CYLINDER, 0.19 * up, (0.038, 0.038, 0.045), colours * 0.55 + 0.45),
            *stopper,
        )
        made = [
            _things(
                shape, place + offset, place.new_tensor(size).expand_as(place), colour, label, table.potion_here, 0.5
            )
            for shape, offset, size, colour in parts
        ]
        return {name: torch.cat([part[name] for part in made], 1) for name in made[0]}

    def _stones(self, state: BenchState) -> dict[str, Tensor]:
        """Stones, and under each a disc that shows its reward."""
        table, device = state.table, state.held.device
        tables = chemistry_tables(str(device))
        seen = self.bench.table.perceived_stones(table).long() + 1
        radius = self.bench.radii(state)[..., None]
        centre = self.bench.centres(state)
        colour = torch.tensor(STONE_COLOURS, device=device)[seen[..., 0]]
        label = FIRST_STONE + torch.arange(table.stones.shape[1], device=device).expand_as(table.stones)
        shape = torch.tensor(_STONES, device=device)[seen[..., 2]]
        gem = _things(_SPHERE, centre, radius.expand_as(centre), colour, label, table.stone_here, 0.6)
        gem |= {"shape": shape, "rotation": state.turned @ _facet(str(device))}
        down = centre.new_tensor((0.0, 0.0, -1.0)) * (radius - 0.01)
        flat = torch.cat([radius * 1.12, radius * 1.12, torch.full_like(radius, 0.01)], -1)
        grey = ((tables.shown[table.stones] + 3) / 6.0)[..., None] * 0.97 + 0.03
        disc = _things(_CYLINDER, centre + down, flat, grey.expand_as(centre), label, table.stone_here, 0.0)
        return {name: torch.cat([gem[name], disc[name]], 1) for name in gem}


def _things(
    shape: int,
    position: Tensor,
    size: Tensor,
    colour: Tensor,
    label: Tensor,
    present: Tensor,
    gloss: float,
    texture: int = 0,
    second: Tensor | None = None,
) -> dict[str, Tensor]:
    """Objects [B, N] of one primitive, upright."""
    batch, count = position.shape[:2]
    return {
        "shape": torch.full((batch, count), shape, device=position.device),
        "position": position,
        "rotation": torch.eye(3, device=position.device).expand(batch, count, 3, 3),
        "size": size,
        "colour": colour,
        "label": label,
        "present": present,
        "gloss": torch.full((batch, count), gloss, device=position.device),
        "texture": torch.full((batch, count), texture, device=position.device),
        "second": colour if second is None else second,
        "texture_size": torch.full((batch, count), 0.2, device=position.device),
    }


def with_reticle(image: UInt8[Tensor, "batch height width 3"]) -> UInt8[Tensor, "batch height width 3"]:
    """Pictures with four white dots around their middle."""
    marked = image.clone()
    height, width = image.shape[1:3]
    dot = 2 * max(1, round(height / 144))
    for up, right in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        row, column = (round(size / 2 + step * 2 * dot - dot / 2) for size, step in ((height, up), (width, right)))
        marked[:, max(0, row) : row + dot, max(0, column) : column + dot] = 255
    return marked


@functools.cache
def _furniture() -> dict[str, Tensor]:
    """What is the same in all scenes, [N, …]; the last is the bar of time, whose length is another at every moment."""
    x, y = CAULDRON
    belly = CAULDRON_RADIUS * 0.98
    legs = [(side * (HALF[0] - 0.08), end * (HALF[1] - 0.08), 0.33) for side in (-1, 1) for end in (-1, 1)]
    rows: list[tuple[int, tuple[float, ...], tuple[float, ...], tuple[float, ...], int, float]] = [
        (_BOX, (0, 0, TOP - 0.04), (*HALF, 0.04), _WOOD, TABLE, 0.05),
        *((_BOX, leg, (0.05, 0.05, 0.33), _DARK_WOOD, TABLE, 0.0) for leg in legs),
        (_SPHERE, (x, y, TOP + 0.11), (belly, belly, belly), _IRON, CAULDRON_LABEL, 0.5),
        (_CYLINDER, (x, y, TOP + 0.315), (CAULDRON_RADIUS, CAULDRON_RADIUS, 0.03), _IRON, CAULDRON_LABEL, 0.4),
        (_CYLINDER, (x, y, TOP + 0.33), (belly * 0.84, belly * 0.84, 0.025), _BREW, CAULDRON_LABEL, 0.3),
        (_BOX, (0, _BAR_Y, TOP), (_BAR[0] + 0.02, _BAR[1] + 0.015, 0.004), _TIME_BACK, ROOM, 0.0),
        (_BOX, (0, _BAR_Y, TOP), (*_BAR, 0.008), _TIME_LEFT, ROOM, 0.0),
    ]
    made = [
        _things(
            shape, torch.tensor([[place]]), torch.tensor([[size]]), torch.tensor([[colour]]), torch.tensor([[label]]),
            torch.ones(1, 1, dtype=torch.bool), gloss,
        )
        for shape, place, size, colour, label, gloss in rows
    ]  # fmt: skip
    floor = _things(
        _PLANE, torch.zeros(1, 1, 3), torch.tensor([[[math.inf, math.inf, 1.0]]]), torch.tensor([[_FLOOR]]),
        torch.zeros(1, 1, dtype=torch.int64), torch.ones(1, 1, dtype=torch.bool), 0.0, 1, torch.tensor([[_TILE]]),
    )  # fmt: skip
    floor |= {"texture_size": torch.full((1, 1), 0.75)}
    planks = made[0]
    planks |= {"texture": torch.full((1, 1), 1), "second": torch.tensor([[_DARK_WOOD]])}
    planks["texture_size"] = torch.full((1, 1), 0.35)
    return {name: torch.cat([part[name] for part in (floor, *made)], 1)[0] for name in floor}


@functools.cache
def _facet(device: str) -> Tensor:
    """How stones stand before they are turned: a little askew, so that facets of pointy ones differ in light."""
    sine, cosine = math.sin(0.45), math.cos(0.45)
    return torch.tensor([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]], device=device)


def _arm(arm: Arm) -> dict[str, Tensor]:
    """A sleeve from the shoulder to the hand, which is a ball."""
    way = arm.hand - arm.shoulder
    length = way.norm(dim=-1, keepdim=True).clamp(min=0.1)
    along = way / length
    side = torch.nn.functional.normalize(
        torch.linalg.cross(along.new_tensor((0.3, 0.9, 0.1)).expand_as(along), along), dim=-1
    )
    turned = torch.stack([side, torch.linalg.cross(along, side), along], -1)
    thick = torch.full_like(length, 0.045)
    sleeve_size = torch.cat([thick, thick, length / 2 + 0.02], -1)
    hand_size = torch.full_like(arm.hand, 0.055)
    shown = arm.shown[:, None]
    label = torch.full_like(shown, HAND, dtype=torch.int64)
    colours = [arm.hand.new_tensor(tint).expand_as(arm.hand)[:, None] for tint in (_SLEEVE, _SKIN)]
    sleeve = _things(
        _CAPSULE, (arm.shoulder + way / 2 - 0.06 * along)[:, None], sleeve_size[:, None], colours[0], label, shown, 0.0
    )
    sleeve["rotation"] = turned[:, None]
    palm = _things(_SPHERE, arm.hand[:, None], hand_size[:, None], colours[1], label, shown, 0.1)
    return {name: torch.cat([sleeve[name], palm[name]], 1) for name in palm}
