"""Scenes that are not those of the training: any dataset of scenes with something changed, and the truth with it.

These are the kinds of shift of Dittadi et al. (2022), one object or the whole image out of distribution, in our own
form, which works on the images of any dataset: shapes of objects, for instance, are changed in the picture, not in the
scene. More objects than in training are a configuration of the generators instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from percepts.core.capabilities import Batch
from percepts.core.config import Config as BaseConfig
from percepts.core.errors import ConfigError, DataError
from percepts.data.flat_scenes import seen
from percepts.data.hashing import hashed_uniform
from percepts.data.scenes import SceneDataset
from percepts.data.shifting import covered_by, cropped, grey, hue_turned, occluded, striped

Kind = Literal["colour", "shape", "texture", "occluder", "crop", "grey"]


class Shifted(SceneDataset):
    """A dataset of scenes with a shift of one kind.

    - "colour": objects' hues turn by `hue` of the circle; their property `colour` turns too where it is RGB, and is 0
      where it is a class.
    - "shape": objects become triangles, centred on what is seen of them and just large enough to cover it, in its mean
      colour and in front of everything; their property `shape` is 0.
    - "texture": objects get dark stripes.
    - "occluder": a grey square lies over the image; its pixels count as background.
    - "crop": the middle of the image, enlarged (bilinearly without anti-aliasing; the segmentation takes the nearest
      pixel).
    - "grey": no colours, only luminance.

    Which object is changed, and where stripes and occluders lie, is a hash of (seed, index): a video has the same in
    all frames. `visible` tells what the changed image shows. Properties other than those named above, also places after
    a crop, are those of the scene before the shift. `details` has only what is still true.

    Args:
        config: what to shift and how.
        dataset: the dataset itself, instead of the one that `config.dataset` describes.

    Attributes:
        dataset: the scenes before the shift.

    Raises:
        ConfigError: no dataset of scenes, a share out of range, or a shift of colours of images without.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Settings.

        Attributes:
            dataset: the config of any dataset of scenes.
            kind: of the shift.
            objects: whether colour, shape or texture change for "one" visible object of every scene, or for "all".
            hue: by how much of the circle the hue turns.
            occluder: the side of the occluder, as a share of the image's shorter side.
            crop: the share of every side that is left.
            seed: which object, where, and the occluder's grey.
        """

        dataset: BaseConfig
        kind: Kind
        objects: Literal["one", "all"] = "one"
        hue: float = 0.5
        occluder: float = 0.3
        crop: float = 0.75
        seed: int = 0

        def build(self, **context: Any) -> Shifted:
            """Build the dataset with `context`, and shift it."""
            return Shifted(self, self.dataset.build(**context))

    def __init__(self, config: Config, dataset: SceneDataset) -> None:
        if not isinstance(dataset, SceneDataset):
            raise ConfigError(f"a shift of {type(dataset).__name__}", "a dataset of scenes")
        if config.kind in ("colour", "grey") and dataset.image_shape[0] != 3:
            raise ConfigError(f"kind = {config.kind!r} for images of {dataset.image_shape[0]} channel", "RGB images")
        for name in ("occluder", "crop"):
            if not 0 < getattr(config, name) <= 1:
                raise ConfigError(f"{name} = {getattr(config, name)}", "a share above 0 and up to 1")
        self.config, self.dataset = config, dataset
        self.image_shape, self.frames = dataset.image_shape, dataset.frames
        self.entities, self.backgrounds = dataset.entities, dataset.backgrounds
        self.properties = dataset.properties

    @property
    def identity(self) -> str:
        """That of the dataset; the shift is in the configuration."""
        return self.dataset.identity

    def __len__(self) -> int:
        return len(self.dataset)

    def gather(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        """The scenes at `indices` [B], shifted, with all keys of the dataset.

        Raises:
            IndexError: an index is negative or too large.
            DataError: the scenes have no segmentation.
        """
        batch = self.dataset.gather(indices, device)
        if "segmentation" not in batch:
            raise DataError(
                f"a shift of {type(self.dataset).__name__} without segmentation", "scenes with masks", "set its masks"
            )
        key = "video" if self.frames is not None else "image"
        image, segmentation = batch[key], batch["segmentation"]
        numbers = indices.to(image.device, torch.int64)
        chosen = self._chosen(numbers, batch["visible"])
        lead = image.shape[:-3]
        # Frames of videos are shifted like images: each takes what was drawn for its item.
        each = numbers.repeat_interleave(lead[1:].numel())
        image, segmentation = self._shift(
            image.flatten(0, len(lead) - 1),
            segmentation.flatten(0, len(lead) - 1),
            chosen.repeat_interleave(lead[1:].numel(), 0),
            self._draws(each),
        )
        batch[key], batch["segmentation"] = image.unflatten(0, lead), segmentation.unflatten(0, lead)
        batch["visible"] = seen(batch["segmentation"], self.entities)
        return batch | self._relabelled(batch, chosen)

    def details(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        """What is known and still true: everything but for "shape", "occluder" and "crop", which leave relations and,
        but for crops, cameras.

        Raises:
            IndexError: an index is negative or too large.
        """
        details = self.dataset.details(indices, device)
        if self.config.kind not in ("colour", "texture", "grey"):
            kept = ("relation.",) if self.config.kind == "crop" else ("relation.", "camera")
            return {key: value for key, value in details.items() if key.startswith(kept)}
        if "unoccluded" in details:
            visible = self.dataset.gather(indices, device)["visible"]
            numbers = indices.to(visible.device, torch.int64)
            chosen = self._chosen(numbers, visible)
            details["unoccluded"] = self._recoloured_alone(details["unoccluded"], chosen, numbers)
        return details

    def _draws(self, numbers: Int64[Tensor, " n"]) -> Callable[[str], Tensor]:
        """Uniform numbers for every item, by name."""
        return lambda name: hashed_uniform(numbers, self.config.seed, "shift", name)

    def _chosen(
        self, numbers: Int64[Tensor, " batch"], visible: Bool[Tensor, "batch entities"]
    ) -> Bool[Tensor, "batch entities"]:
        """Which entities change: some visible object, or all."""
        objects = visible & (torch.arange(self.entities, device=visible.device) >= self.backgrounds)
        if self.config.objects == "all":
            return objects
        places = numbers[:, None] * self.entities + torch.arange(self.entities, device=visible.device)
        drawn = torch.where(objects, 1 + hashed_uniform(places, self.config.seed, "shift", "object"), 0)
        first = torch.zeros_like(objects).scatter_(1, drawn.argmax(1, keepdim=True), True)
        return first & objects

    def _shift(
        self,
        image: Float[Tensor, "n channels height width"],
        segmentation: Int64[Tensor, "n height width"],
        chosen: Bool[Tensor, "n entities"],
        draws: Callable[[str], Tensor],
    ) -> tuple[Tensor, Tensor]:
        kind = self.config.kind
        if kind == "crop":
            return cropped(image, segmentation, self.config.crop)
        if kind == "occluder":
            return occluded(image, segmentation, self.config.occluder, draws)
        if kind == "shape":
            for entity in range(self.backgrounds, self.entities):
                wanted = (segmentation == entity) & chosen[:, entity, None, None]
                image, new = covered_by(image, wanted)
                segmentation = torch.where(new, entity, segmentation)
            return image, segmentation
        where = chosen.gather(1, segmentation.flatten(1)).view_as(segmentation)
        return torch.where(where[:, None] | (kind == "grey"), self._recoloured(image, draws), image), segmentation

    def _recoloured(self, image: Float[Tensor, "n channels height width"], draws: Callable[[str], Tensor]) -> Tensor:
        """The whole image with the shift of colours."""
        if self.config.kind == "grey":
            return grey(image)
        return hue_turned(image, self.config.hue) if self.config.kind == "colour" else striped(image, draws)

    def _recoloured_alone(self, alone: Tensor, chosen: Tensor, numbers: Tensor) -> Tensor:
        """Renders [B,(T,)E,C,H,W] of single entities, with the shift of colours."""
        lead = alone.shape[:-3]
        each = numbers.repeat_interleave(lead[1:].numel())
        new = self._recoloured(alone.flatten(0, len(lead) - 1), self._draws(each)).unflatten(0, lead)
        if self.config.kind == "grey":
            return new
        return torch.where((chosen if len(lead) == 2 else chosen[:, None])[..., None, None, None], new, alone)

    def _relabelled(self, batch: Batch, chosen: Bool[Tensor, "batch entities"]) -> Batch:
        """The properties that the shift changes."""
        known = self.properties.get(self.config.kind)
        if self.config.kind not in ("colour", "shape") or known is None:
            return {}
        key = f"entity.{self.config.kind}"
        if known.kind == "categorical":
            return {key: batch[key].masked_fill(chosen, 0)}
        turned = hue_turned(batch[key].flatten(0, 1)[..., None, None], self.config.hue).view_as(batch[key])
        return {key: torch.where(chosen[..., None], turned, batch[key])}
