"""Generated scenes of flat sprites: entities are laid over each other in the order of their numbers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from percepts.core.capabilities import Batch
from percepts.core.config import Config as BaseConfig
from percepts.core.errors import ConfigError
from percepts.data.hashed_draws import Draws, item_numbers
from percepts.data.scenes import SceneDataset

Split = Literal["train", "validation", "test"]

_CPU_PIXELS, _GPU_PIXELS = 1 << 20, 1 << 27
"""Pixels of entities worked on at a time: about what the caches hold, and what a GPU needs to be busy."""


@dataclass(frozen=True, kw_only=True)
class GeneratedConfig(BaseConfig):
    """What every generated dataset of scenes can be told.

    Attributes:
        images: how many scenes there are.
        seed: which scenes.
        split: "train", "validation" and "test" are different scenes of the same kind.
    """

    images: int = 1_000_000
    seed: int = 0
    split: Split = "train"


@dataclass
class FlatScene:
    """Scenes before they are laid together.

    Attributes:
        amodal: all of every entity, hidden or not; the background's, the first, is everywhere; none where absent.
        colour: of every entity.
        properties: of every entity, by name; 0 for the background and where absent.
        shade: by which the colours are multiplied, pixel by pixel; 1 if None.
    """

    amodal: Bool[Tensor, "batch entities height width"]
    colour: Float[Tensor, "batch entities channels"]
    properties: dict[str, Tensor] = field(default_factory=dict)
    shade: Float[Tensor, "batch entities height width"] | None = None


class FlatScenes(SceneDataset):
    """Scenes of one background and sprites that are laid over it in the order of their numbers.

    Subclasses set what a `SceneDataset` has, and implement `_scene`.

    Raises:
        ConfigError: no images.
    """

    config: Any
    backgrounds = 1

    def __init__(self, config: GeneratedConfig) -> None:
        if config.images < 1:
            raise ConfigError(f"images = {config.images}", "at least 1")
        self.config = config

    @abstractmethod
    def _scene(self, draws: Draws) -> FlatScene:
        """The scenes that `draws` belongs to, on its device."""

    def __len__(self) -> int:
        return int(self.config.images)

    def gather(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        """The scenes at `indices` [B].

        Raises:
            IndexError: an index is negative or too large.
            DataError: a scene that cannot be made.
        """
        return self._in_parts(self._batch, indices, device)

    def details(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        """`amodal` and `unoccluded` of the scenes at `indices` [B].

        Raises:
            IndexError: an index is negative or too large.
            DataError: a scene that cannot be made.
        """
        return self._in_parts(self._details, indices, device)

    def _batch(self, draws: Draws) -> Batch:
        scene = self._scene(draws)
        segmentation = topmost(scene.amodal)
        batch = {
            "image": painted(scene, segmentation),
            "segmentation": segmentation,
            "visible": seen(segmentation, self.entities),
        }
        return batch | {f"entity.{name}": value for name, value in scene.properties.items()}

    def _details(self, draws: Draws) -> Batch:
        scene = self._scene(draws)
        alone = scene.colour[..., None, None] * scene.amodal[:, :, None]
        if scene.shade is not None:
            alone = in_levels(alone * scene.shade[:, :, None])
        return {"amodal": scene.amodal, "unoccluded": alone}

    def _in_parts(self, make: Callable[[Draws], Batch], indices: Tensor, device: torch.device | str) -> Batch:
        """What `make` gives, from as many scenes at a time as the caches hold; scenes do not depend on each other."""
        draws = Draws(item_numbers(indices, len(self), device), self.config.seed, ("scene", self.config.split))
        pixels = self.entities * self.image_shape[1] * self.image_shape[2] * (self.frames or 1)
        budget = _CPU_PIXELS if draws.number.device.type == "cpu" else _GPU_PIXELS
        parts = [make(replace(draws, number=part)) for part in draws.number.split(max(1, budget // pixels))]
        return {key: torch.cat([part[key] for part in parts]) for key in parts[0]} if len(parts) > 1 else parts[0]


def topmost(amodal: Bool[Tensor, "*batch entities height width"]) -> Int64[Tensor, "*batch height width"]:
    """The last entity that covers each pixel; 0 where none does."""
    numbers = torch.arange(amodal.shape[-3], dtype=torch.uint8, device=amodal.device)  # bytes are compared fastest
    return (amodal.to(torch.uint8) * numbers[:, None, None]).amax(-3).long()


def seen(segmentation: Int64[Tensor, "batch *place"], entities: int) -> Bool[Tensor, "batch entities"]:
    """Which entities some pixel shows."""
    none = torch.zeros(len(segmentation), entities, dtype=torch.bool, device=segmentation.device)
    return none.scatter_(1, segmentation.flatten(1), True)


def painted(
    scene: FlatScene, segmentation: Int64[Tensor, "batch height width"]
) -> Float[Tensor, "batch channels height width"]:
    """The image of a scene of which `segmentation` is seen."""
    batch, entities, channels = scene.colour.shape
    # One look-up a pixel in a table of all colours of the batch, whose rows are the channels.
    start = torch.arange(batch, device=segmentation.device)[:, None, None] * entities
    places = (segmentation + start).flatten()
    table = scene.colour.reshape(-1, channels).T.contiguous()
    image = torch.stack([row.index_select(0, places).view_as(segmentation) for row in table], dim=1)
    if scene.shade is not None:
        image = in_levels(image.mul_(scene.shade.gather(1, segmentation[:, None])))
    return image


def in_levels(image: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The image in 256 levels, as files have them; `image` may be changed."""
    return image.mul_(255).round_().div_(255)


def paste(
    bitmaps: Tensor,
    which: Int64[Tensor, "batch sprites"],
    top: Int64[Tensor, "batch sprites"],
    left: Int64[Tensor, "batch sprites"],
    size: tuple[int, int],
) -> Tensor:
    """Bitmaps [N, h, w] on empty canvases [batch, sprites, *size], each with its corner at (top, left); what lies
    outside is cut off."""
    rows, columns = bitmaps.shape[1] + 2, bitmaps.shape[2] + 2
    table = torch.nn.functional.pad(bitmaps, (1, 1, 1, 1))
    down = torch.arange(size[0], device=which.device) - top[..., None]
    across = torch.arange(size[1], device=which.device) - left[..., None]
    row = (which[..., None] * rows + down.clamp(-1, rows - 2) + 1) * columns
    column = across.clamp(-1, columns - 2) + 1
    places = row[..., :, None] + column[..., None, :]
    return table.flatten().index_select(0, places.flatten()).view(places.shape)


def with_background(sprites: Tensor, background: float = 0) -> Tensor:
    """Values [B, 1 + sprites, …]: the background's, then those of the `sprites` [B, sprites, …]."""
    first = sprites.new_full((len(sprites), 1, *sprites.shape[2:]), background)
    return torch.cat([first, sprites], dim=1)
