"""Videos of sprites that move straight on and bounce off the borders.

Moving Multi-dSprites were used to show that IODINE follows objects over time (Greff et al. 2019); how they were made is
not published, these are our own.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from percepts.core.capabilities import Batch
from percepts.core.errors import ConfigError
from percepts.data.flat_scenes import FlatScene, FlatScenes, GeneratedConfig, painted, seen, topmost, with_background
from percepts.data.hashed_draws import Draws
from percepts.data.multi_dsprites import KINDS, MultiDSprites, Variant, placed_at
from percepts.data.scenes import Property
from percepts.data.sprite_masks import REACH, Placed, sprite_masks


class MovingSprites(FlatScenes):
    """Sprites as in `MultiDSprites`, drawn by formulas, each with a constant speed; the borders reflect them as
    mirrors do light. Shape, colour, scale, orientation and who hides whom do not change.

    Properties: those of `MultiDSprites`, with `x` and `y` in the first frame, in pixels from the middle of the upper
    left pixel, and the `velocity` there, in pixels a frame to the right and down. `details` also has `position` float32
    [B,T,E,2], x and y in every frame.

    Raises:
        ConfigError: no frames, or speeds in the wrong order.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(GeneratedConfig):
        """Settings.

        Attributes:
            variant: which colours, as in `MultiDSprites`.
            sprites: the fewest and the most in a scene, all numbers as likely.
            size: pixels a side.
            frames: of a video.
            speed: the lowest and the highest, in pixels a frame at a size of 64 and in proportion at others.
            min_contrast: by how much every sprite differs from the background in some channel, at least.
        """

        variant: Variant = "colored_on_grayscale"
        sprites: tuple[int, int] = (3, 4)
        size: int = 64
        frames: int = 16
        speed: tuple[float, float] = (0.5, 2.0)
        min_contrast: float = 0.0

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        if config.frames < 1:
            raise ConfigError(f"frames = {config.frames}", "at least 1")
        if not 0 <= config.speed[0] <= config.speed[1] < math.inf:
            raise ConfigError(f"speed = {config.speed}", "the lowest, 0 or more, and the highest")
        names = ("images", "seed", "split", "variant", "sprites", "size", "min_contrast")
        self._still = MultiDSprites.Config(**{name: getattr(config, name) for name in names}).build()
        self.frames = config.frames
        self.image_shape, self.entities = self._still.image_shape, self._still.entities
        self.properties = {**self._still.properties, "velocity": Property("numeric", 2, ("right", "down"))}

    def _scene(self, draws: Draws) -> FlatScene:
        """The frames of all videos, one after the other, as scenes [B·T]."""
        return self._frames(draws)[0]

    def _batch(self, draws: Draws) -> Batch:
        scene, _ = self._frames(draws)
        segmentation = topmost(scene.amodal)
        videos = len(draws.number), self.config.frames
        batch = {
            "video": painted(scene, segmentation).unflatten(0, videos),
            "segmentation": segmentation.unflatten(0, videos),
            "visible": seen(segmentation.unflatten(0, videos), self.entities),
        }
        first = {name: value.unflatten(0, videos)[:, 0] for name, value in scene.properties.items()}
        return batch | {f"entity.{name}": value for name, value in first.items()}

    def _details(self, draws: Draws) -> Batch:
        scene, position = self._frames(draws)
        videos = len(draws.number), self.config.frames
        alone = scene.colour[..., None, None] * scene.amodal[:, :, None]
        return {
            "amodal": scene.amodal.unflatten(0, videos),
            "unoccluded": alone.unflatten(0, videos),
            "position": position.unflatten(0, videos),
        }

    def _frames(self, draws: Draws) -> tuple[FlatScene, Tensor]:
        """All frames and the positions [B·T,E,2] in them."""
        found, values = self._still.sprites(draws)
        shape, scale, angle, _, _ = values
        there, placed = found["there"], placed_at(values, self.config.size)
        position, velocity = self._motion(draws, shape.long() - 1, placed)
        position = torch.where(there[:, None, :, None], position, 0)
        frames = position.shape[1]
        still = {
            "shape": shape.long(),
            "scale": scale.float(),
            "orientation": angle.float(),
            "layer": torch.arange(1, there.shape[1] + 1, device=there.device).expand_as(there),
            "velocity": velocity.float(),
        }
        if self.config.variant != "binarized":
            still["colour"] = found["colour"]
        properties = {name: _repeated(_masked(value, there), frames) for name, value in still.items()}
        properties |= {name: position[..., axis].float().flatten(0, 1) for axis, name in enumerate(("x", "y"))}
        colour = torch.cat([found["background"], _masked(found["colour"], there)], dim=1)
        scene = FlatScene(
            with_background(self._masks(shape.long() - 1, placed, position, _repeated(there, frames)), True),
            _repeated(colour, frames),
            {name: with_background(value) for name, value in properties.items()},
        )
        return scene, with_background(position.float().flatten(0, 1))

    def _motion(self, draws: Draws, kind: Tensor, start: Placed) -> tuple[Tensor, Tensor]:
        """Positions [B,T,E,2] of all sprites, and their first velocities [B,E,2]."""
        size, sprites = self.config.size, kind.shape[1]
        direction = 2 * math.pi * draws.uniform("direction", sprites)
        speed = draws.between("speed", self.config.speed, sprites) * size / 64
        velocity = torch.stack([speed * direction.cos(), speed * direction.sin()], dim=-1)
        reach = torch.tensor([REACH[name] for name in KINDS], dtype=torch.float64, device=kind.device)
        margin = reach[kind] * start.scale
        time = torch.arange(self.config.frames, device=kind.device)[:, None, None]
        straight = torch.stack([start.x, start.y], dim=-1)[:, None] + velocity[:, None] * time
        return reflected(straight, margin[:, None, :, None], size), velocity

    def _masks(self, kind: Tensor, still: Placed, position: Tensor, there: Tensor) -> Tensor:
        frames, size = position.shape[1], self.config.size
        x, y = position.flatten(0, 1).unbind(-1)
        placed = Placed(x, y, _repeated(still.angle, frames), _repeated(still.scale, frames))
        masks = torch.zeros(*there.shape, size, size, dtype=torch.bool, device=there.device)
        masks[there] = sprite_masks(_repeated(kind, frames)[there], KINDS, placed.some(there), size / 64, size)
        return masks


def reflected(
    position: Float64[Tensor, "*shape 2"], margin: Float64[Tensor, "*shape 1"], size: int
) -> Float64[Tensor, "*shape 2"]:
    """Where something is that would be at `position` if the borders of an image of `size` pixels, for its centre
    `margin` pixels farther in, did not reflect it."""
    # The edge of the image lies half a pixel beyond the middle of its first pixel.
    low = margin - 0.5
    room = size - 2 * margin
    return low + room - ((position - low).remainder(2 * room) - room).abs()


def tiny_videos() -> MovingSprites.Config:
    """One or two sprites in four frames of 16 x 16: for tests and first tries."""
    return MovingSprites.Config(size=16, frames=4, sprites=(1, 2), min_contrast=0.3)


def more_moving_sprites(sprites: int, config: MovingSprites.Config | None = None) -> MovingSprites.Config:
    """Videos of exactly `sprites` sprites, more than in training."""
    return dataclasses.replace(config or MovingSprites.Config(), sprites=(sprites, sprites))


def _masked(value: Tensor, there: Tensor) -> Tensor:
    """0 for sprites that are not there."""
    return value * (there if value.ndim == 2 else there[..., None])


def _repeated(value: Tensor, frames: int) -> Tensor:
    """Values [B, …] for every frame, [B·T, …]."""
    return value.repeat_interleave(frames, dim=0)
