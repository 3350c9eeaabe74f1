"""Generated scenes of flat sprites: entities are laid over each other in the order of their numbers."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from percepts.core.capabilities import Batch
from percepts.core.config import Config as BaseConfig
from percepts.core.errors import ConfigError
from percepts.data.dataset import check_places
from percepts.data.hashed_draws import Draws
from percepts.data.scenes import SceneDataset

Split = Literal["train", "validation", "test"]


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
        scene = self._scene(self._draws(indices, device))
        segmentation = topmost(scene.amodal)
        entities = torch.arange(scene.amodal.shape[1], device=segmentation.device)
        visible = (segmentation.flatten(1)[:, None] == entities[:, None]).any(2)
        batch = {"image": painted(scene, segmentation), "segmentation": segmentation, "visible": visible}
        return batch | {f"entity.{name}": value for name, value in scene.properties.items()}

    def details(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        """`amodal` and `unoccluded` of the scenes at `indices` [B].

        Raises:
            IndexError: an index is negative or too large.
            DataError: a scene that cannot be made.
        """
        scene = self._scene(self._draws(indices, device))
        alone = scene.amodal if scene.shade is None else scene.amodal * scene.shade
        unoccluded = scene.colour[..., None, None] * alone[:, :, None]
        return {"amodal": scene.amodal, "unoccluded": unoccluded}

    def _draws(self, indices: Tensor, device: torch.device | str) -> Draws:
        check_places(indices, len(self))
        return Draws(indices.to(device), self.config.seed, ("scene", self.config.split))


def topmost(amodal: Bool[Tensor, "*batch entities height width"]) -> Int64[Tensor, "*batch height width"]:
    """The last entity that covers each pixel; 0 where none does."""
    seen = torch.zeros_like(amodal.select(-3, 0), dtype=torch.int64)
    for entity, mask in enumerate(amodal.unbind(-3)):
        seen.masked_fill_(mask, entity)
    return seen


def painted(
    scene: FlatScene, segmentation: Int64[Tensor, "batch height width"]
) -> Float[Tensor, "batch channels height width"]:
    """The image of a scene of which `segmentation` is seen."""
    batch, entities, channels = scene.colour.shape
    # One look-up a pixel in a table of all colours of the batch, whose rows are the channels.
    start = torch.arange(batch, device=segmentation.device)[:, None, None] * entities
    table = scene.colour.reshape(-1, channels).T
    image = torch.stack([row[segmentation + start] for row in table], dim=1)
    if scene.shade is not None:
        image *= scene.shade.gather(1, segmentation[:, None])
    return image


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
    return table.flatten()[row[..., :, None] + column[..., None, :]]


def with_background(sprites: Tensor, background: float = 0) -> Tensor:
    """Values [B, 1 + sprites, …]: the background's, then those of the `sprites` [B, sprites, …]."""
    first = sprites.new_full((len(sprites), 1, *sprites.shape[2:]), background)
    return torch.cat([first, sprites], dim=1)
