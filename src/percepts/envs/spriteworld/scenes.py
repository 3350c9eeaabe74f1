"""Pictures of arenas as a dataset of scenes: what the vision of an agent learns from, or factors with their images.

    SpriteworldScenes.Config(task="exploration", renderer="fast").build()

The same scenes as an environment begins its episodes with, without the episodes. A scene's entities are the background
and the sprites in the order of their depth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from percepts.core.capabilities import Batch
from percepts.core.errors import ConfigError
from percepts.data.dataset import check_places
from percepts.data.flat_scenes import GeneratedConfig, seen, with_background
from percepts.data.hashing import hashed_uniform
from percepts.data.scenes import Property, SceneDataset
from percepts.envs.spriteworld.configs import task_config
from percepts.envs.spriteworld.generators import SceneGenerator
from percepts.envs.spriteworld.observations import Observer
from percepts.envs.spriteworld.state import SHAPES, Sprites
from percepts.envs.streams import Streams
from percepts.rendering.shapes import Polygon


class SpriteworldScenes(SceneDataset):
    """Scenes of sprites with which the arena of one of Spriteworld's tasks begins an episode.

    (Watters et al. 2019.) Properties: `shape` (0 none, then the twelve shapes and the task's own), `x` to the right
    and `y` **up** in [0, 1], `angle` in radians (counter-clockwise, from 0 to 2π), `scale`, the RGB `colour` as drawn,
    and the `layer`, 1 for the farthest sprite.

    Raises:
        ConfigError: no images, an unknown task or mode, or settings of pictures that cannot be.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(GeneratedConfig):
        """Settings.

        Attributes:
            task: whose scenes: a name of `envs.spriteworld.configs.TASKS`.
            mode: of the task, such as the held-out "test".
            generator: which scenes, instead of those of a task.
            size: pixels a side.
            renderer: see `observations`; models are used with the renderer that they were trained with.
            supersampling: canvas pixels along every side of a pixel, of the exact renderer.
            background: of 255; "random_grey": another grey in every scene.
        """

        task: str = "exploration"
        mode: str = "train"
        generator: SceneGenerator | None = None
        size: int = 64
        renderer: Literal["exact", "fast", "pil"] = "exact"
        supersampling: int = 5
        background: tuple[int, int, int] | Literal["random_grey"] = (0, 0, 0)

    config: Config
    backgrounds = 1

    def __init__(self, config: Config) -> None:
        if config.images < 1:
            raise ConfigError(f"images = {config.images}", "at least 1")
        self.config = config
        known = task_config(config.task, config.mode)
        self._generator = config.generator or known.arena.generator
        self._observer = replace(
            known.observer,
            keys=("image", "segmentation"),
            image_as="floats",
            renderer=config.renderer,
            height=config.size,
            width=config.size,
            supersampling=config.supersampling,
            background=config.background,
        )
        self._outlines = known.arena.build().outlines if config.generator is None else tuple(SHAPES.values())
        self.image_shape = (3, config.size, config.size)
        self.entities = 1 + self._generator.most
        self.properties = sprite_properties(self._outlines, self.entities)

    def __len__(self) -> int:
        return self.config.images

    def gather(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        """The scenes at `indices` [B].

        Raises:
            IndexError: an index is negative or too large.
        """
        return in_parts(self._batch, indices, device)

    def details(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        """`amodal` and `unoccluded` of the scenes at `indices` [B].

        Raises:
            IndexError: an index is negative or too large.
        """
        return in_parts(self._details, indices, device)

    def sprites(self, indices: Tensor, device: torch.device | str = "cpu") -> Sprites:
        """The sprites of the scenes at `indices` [B]."""
        check_places(indices, len(self))
        streams = Streams.of(indices.tolist(), self.config.seed, "scene", self.config.split, device=device)
        factors, present, _ = self._generator.sample(streams)
        return Sprites.of(factors, present, self._outlines)

    def _batch(self, indices: Tensor, device: torch.device | str) -> Batch:
        sprites = self.sprites(indices, device)
        grey = None
        if self.config.background == "random_grey":
            grey = hashed_uniform(indices.to(device), self.config.seed, "backdrop", self.config.split)
        drawn = self._observer.observe(sprites, None, grey)
        properties = properties_of(sprites, self._observer)
        return {
            "image": drawn["image"],
            "segmentation": drawn["segmentation"],
            "visible": seen(drawn["segmentation"], self.entities),
        } | {f"entity.{name}": value for name, value in properties.items()}

    def _details(self, indices: Tensor, device: torch.device | str) -> Batch:
        return sprites_alone(self.sprites(indices, device), self._observer)


def in_parts(
    make: Callable[[Tensor, torch.device | str], Batch], indices: Tensor, device: torch.device | str, at_once: int = 256
) -> Batch:
    """What `make` gives, from so many items at a time as fit into the caches."""
    pieces = indices.split(at_once) if len(indices) else [indices]
    parts = [make(piece, device) for piece in pieces]
    return {key: torch.cat([part[key] for part in parts]) for key in parts[0]} if len(parts) > 1 else parts[0]


def sprite_properties(outlines: tuple[Polygon, ...], entities: int) -> dict[str, Property]:
    """What is known of the background and of sprites of these shapes, in scenes of so many entities."""
    own = (f"polygon_{number}" for number in range(len(SHAPES) + 1, len(outlines) + 1))
    return {
        "shape": Property("categorical", 1 + len(outlines), ("none", *SHAPES, *own)),
        "x": Property("numeric"),
        "y": Property("numeric"),
        "angle": Property("angle"),
        "scale": Property("numeric"),
        "colour": Property("numeric", 3, ("red", "green", "blue")),
        "layer": Property("categorical", entities),
    }


def properties_of(sprites: Sprites, observer: Observer) -> dict[str, Tensor]:
    """The properties of all entities, [B, 1 + sprites, …]."""
    there = sprites.present
    x, y = sprites.position.unbind(-1)
    values = {
        "shape": sprites.shape + 1,
        "x": x.float(),
        "y": y.float(),
        "angle": sprites.angle.remainder(360).deg2rad().float(),
        "scale": sprites.scale.float(),
        "colour": observer.rgb(sprites).float() / 255,
        "layer": torch.arange(1, there.shape[1] + 1, device=there.device).expand_as(there),
    }
    # Not products: what absent sprites hold may be NaN.
    kept = {name: torch.where(there if one.ndim == 2 else there[..., None], one, 0) for name, one in values.items()}
    return {name: with_background(value) for name, value in kept.items()}


def sprites_alone(sprites: Sprites, observer: Observer) -> Batch:
    """Every entity drawn by itself: `amodal`, at least half of the pixel, and `unoccluded`; all of the background."""
    batch, most = sprites.present.shape
    single = sprites.rows(torch.arange(batch, device=sprites.present.device).repeat_interleave(most))
    own = torch.eye(most, dtype=torch.bool, device=sprites.present.device).repeat(batch, 1)
    observer = replace(observer, background=(0, 0, 0))
    drawn = observer.observe(replace(single, present=single.present & own))
    amodal = (drawn["segmentation"] > 0).unflatten(0, (batch, most))
    alone = drawn["image"].unflatten(0, (batch, most)) * amodal[:, :, None]
    return {"amodal": with_background(amodal, True), "unoccluded": with_background(alone)}
