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
from percepts.data.scenes import Property, SceneDataset
from percepts.envs.spriteworld.configs import task_config
from percepts.envs.spriteworld.generators import SceneGenerator
from percepts.envs.spriteworld.state import SHAPES, Sprites
from percepts.envs.spriteworld.streams import Streams

_AT_ONCE = 256


class SpriteworldScenes(SceneDataset):
    """Scenes of Spriteworld's sprites (Watters et al. 2019), as the arena of one of its tasks begins an episode.

    Properties: `shape` (0 none, then the twelve shapes), `x` to the right and `y` **up** in [0, 1], `angle` in radians
    (counter-clockwise), `scale`, the RGB `colour` as drawn, and the `layer`, 1 for the farthest sprite.

    Raises:
        ConfigError: no images, or an unknown task or mode.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(GeneratedConfig):
        """Settings.

        Attributes:
            task: whose scenes: a name of `envs.spriteworld.configs.TASKS`.
            mode: of the task, "train" or the held-out "test".
            generator: which scenes, instead of those of a task.
            size: pixels a side.
            renderer: see `observations`; models are used with the renderer that they were trained with.
            supersampling: canvas pixels along every side of a pixel, of the exact renderer.
        """

        task: str = "exploration"
        mode: Literal["train", "test"] = "train"
        generator: SceneGenerator | None = None
        size: int = 64
        renderer: Literal["exact", "fast", "pil"] = "exact"
        supersampling: int = 5

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
            renderer=config.renderer,
            height=config.size,
            width=config.size,
            supersampling=config.supersampling,
        )
        self._outlines = known.arena.build().outlines if config.generator is None else tuple(SHAPES.values())
        self.image_shape = (3, config.size, config.size)
        self.entities = 1 + self._generator.most
        self.properties = {
            "shape": Property("categorical", 1 + len(self._outlines), ("none", *SHAPES)[: 1 + len(self._outlines)]),
            "x": Property("numeric"),
            "y": Property("numeric"),
            "angle": Property("angle"),
            "scale": Property("numeric"),
            "colour": Property("numeric", 3, ("red", "green", "blue")),
            "layer": Property("categorical", self.entities),
        }

    def __len__(self) -> int:
        return self.config.images

    def gather(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        """The scenes at `indices` [B].

        Raises:
            IndexError: an index is negative or too large.
        """
        return self._in_parts(self._batch, indices, device)

    def details(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        """`amodal` and `unoccluded` of the scenes at `indices` [B].

        Raises:
            IndexError: an index is negative or too large.
        """
        return self._in_parts(self._details, indices, device)

    def sprites(self, indices: Tensor, device: torch.device | str = "cpu") -> Sprites:
        """The sprites of the scenes at `indices` [B]."""
        check_places(indices, len(self))
        streams = Streams.of(indices.tolist(), self.config.seed, "scene", self.config.split, device=device)
        factors, present, _ = self._generator.sample(streams)
        return Sprites.of(factors, present, self._outlines)

    def _batch(self, sprites: Sprites) -> Batch:
        drawn = self._observer.observe(sprites)
        there = sprites.present
        x, y = sprites.position.unbind(-1)
        properties = {
            "shape": (sprites.shape + 1) * there,
            "x": x.float() * there,
            "y": y.float() * there,
            "angle": sprites.angle.deg2rad().float() * there,
            "scale": sprites.scale.float() * there,
            "colour": self._observer.rgb(sprites).float() / 255,
            "layer": torch.arange(1, there.shape[1] + 1, device=there.device) * there,
        }
        return {
            "image": drawn["image"].permute(0, 3, 1, 2).float().div_(255).contiguous(),
            "segmentation": drawn["segmentation"],
            "visible": seen(drawn["segmentation"], self.entities),
        } | {f"entity.{name}": with_background(value) for name, value in properties.items()}

    def _details(self, sprites: Sprites) -> Batch:
        layers = replace(self._observer, keys=("layers",)).observe(sprites)["layers"].movedim(-1, 2).float() / 255
        colour, alpha = layers[:, :, :3], layers[:, :, 3:]
        amodal = with_background(alpha[:, :, 0] >= 0.5, 1)
        return {"amodal": amodal.bool(), "unoccluded": with_background(colour * alpha)}

    def _in_parts(self, make: Callable[[Sprites], Batch], indices: Tensor, device: torch.device | str) -> Batch:
        """What `make` gives, from so many scenes at a time as fit into the caches."""
        pieces = indices.split(_AT_ONCE) if len(indices) else [indices]
        parts = [make(self.sprites(piece, device)) for piece in pieces]
        return {key: torch.cat([part[key] for part in parts]) for key in parts[0]} if len(parts) > 1 else parts[0]
