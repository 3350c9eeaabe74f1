"""Generated scenes of solid objects: a grammar decides what there is, the ray-caster draws it.

A grammar gives `Values`, a dict of tensors [B, …] that says everything about B scenes. At least

- `attempt` [B]: which attempt it was;
- `exists` bool [B, N]: which of the N objects, the entities after the backgrounds, a scene has;
- `position` float32 [B, N, 3] or [B, T, N, 3]: their centres in metres;
- `camera` float32 [B, 4, 4] or [B, T, 4, 4]: world from camera.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from percepts.core.capabilities import Batch
from percepts.core.errors import ConfigError
from percepts.data.flat_scenes import GeneratedConfig
from percepts.data.hashed_draws import Draws, Values, item_numbers
from percepts.data.scene_draws import after_backgrounds, pixel_counts, relations, settle
from percepts.data.scenes import SceneDataset
from percepts.rendering.objects import ObjectScene
from percepts.rendering.rays import render_apart, render_objects


@dataclass(frozen=True, kw_only=True)
class SolidConfig(GeneratedConfig):
    """What every generated dataset of solid objects can be told.

    Attributes:
        size: pixels from top to bottom. Scenes do not depend on it.
        samples: rays along each side of a pixel; 1 draws hard edges.
        shadows: objects throw shadows.
    """

    size: int = 64
    samples: int = 2
    shadows: bool = False


@dataclass(frozen=True)
class Frame:
    """The image in which objects have to be visible, whatever the size of the images that are drawn.

    Attributes:
        height, width: in pixels.
        intrinsics: of its camera.
        pixels: how many have to show an object.
    """

    height: int
    width: int
    intrinsics: Float[Tensor, "4"]
    pixels: int


class SolidScenes(SceneDataset):
    """Scenes that a grammar makes and the ray-caster draws.

    Subclasses set what a `SceneDataset` has, and `_frame`, and implement the other three members below.

    Raises:
        ConfigError: no images, no pixels, no samples.
    """

    config: Any
    _frame: Frame

    def __init__(self, config: SolidConfig) -> None:
        for name in ("images", "size", "samples"):
            if getattr(config, name) < 1:
                raise ConfigError(f"{name} = {getattr(config, name)}", "at least 1")
        self.config = config

    @abstractmethod
    def _make(self, scene: Draws, attempt: Tensor) -> Values:
        """Scenes, by their first attempt from `attempt` [B] on that can be laid out."""

    @abstractmethod
    def _objects(self, values: Values) -> ObjectScene:
        """What to draw: B scenes, or B·T for videos; objects are labelled by their entity."""

    @abstractmethod
    def _properties(self, values: Values) -> Values:
        """The properties [B, E, …] of all entities."""

    def _keys(self) -> tuple[str, ...]:
        """What else the scenes depend on."""
        return (type(self).__name__, self.config.split)

    def _extras(self, values: Values) -> Batch:
        """More keys of a batch."""
        return {}

    def _more_details(self, values: Values) -> Batch:
        """More keys of `details`."""
        return {}

    def __len__(self) -> int:
        return int(self.config.images)

    def gather(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        """The scenes at `indices` [B].

        Raises:
            IndexError: an index is negative or too large.
            ConfigError: a scene that cannot be made.
        """
        values = self._settled(indices, device)
        drawn = self._objects(values)
        height, width = self.image_shape[1:]
        rendered = render_objects(drawn, height, width, samples=self.config.samples, shadows=self.config.shadows)
        assert rendered.segmentation is not None
        image, segmentation = self._in_time(rendered.image), self._in_time(rendered.segmentation)
        visible = pixel_counts(segmentation.flatten(1, -2), self.entities) > 0
        batch = {"image" if self.frames is None else "video": image, "segmentation": segmentation, "visible": visible}
        properties = self._properties(values)
        return batch | {f"entity.{name}": value for name, value in properties.items()} | self._extras(values)

    def details(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        values = self._settled(indices, device)
        drawn = self._objects(values)
        height, width = self.image_shape[1:]
        rendered = render_objects(drawn, height, width)
        # One ray a pixel, as the edges of several would be mixed with the black around.
        apart = render_apart(drawn, height, width, things=self.entities, shadows=self.config.shadows)
        assert rendered.depth is not None
        result = {"amodal": apart.mask, "unoccluded": apart.image, "depth": rendered.depth}
        result = {name: self._in_time(value) for name, value in result.items()} | {"camera": values["camera"]}
        exists, position = values["exists"], values["position"]
        if self.frames is not None:
            exists = exists[:, None].expand(-1, self.frames, -1)
            position = position if position.ndim == 4 else position[:, None].expand(-1, self.frames, -1, -1)
        pairs = relations(position, exists, values["camera"])
        for name, value in pairs.items():
            wide = after_backgrounds(value, self.backgrounds, axis=-1)
            result[name] = after_backgrounds(wide, self.backgrounds, axis=-2)
        return result | self._more_details(values)

    def _settled(self, indices: Tensor, device: torch.device | str) -> Values:
        """The scenes at `indices`, by the first attempts that show every object well enough."""
        draws = Draws(item_numbers(indices, len(self), device), self.config.seed, self._keys())
        return settle(draws, self._make, self._visible_enough)

    def _visible_enough(self, values: Values) -> Bool[Tensor, " batch"]:
        """Which scenes show enough of every object, in some frame."""
        frame, exists = self._frame, values["exists"]
        lens, dark = frame.intrinsics.to(exists.device), torch.zeros(3, device=exists.device)
        drawn = replace(self._objects(values), intrinsics=lens, light=dark, materials=None)
        segmentation = render_objects(drawn, frame.height, frame.width).segmentation
        assert segmentation is not None
        counts = pixel_counts(segmentation, self.entities)[:, self.backgrounds :]
        most = counts.view(len(exists), self.frames or 1, exists.shape[1]).amax(1)
        return ((most >= frame.pixels) | ~exists).all(1)

    def _in_time(self, value: Tensor) -> Tensor:
        """[B·T, …] as [B, T, …] for videos."""
        return value if self.frames is None else value.view(-1, self.frames, *value.shape[1:])
