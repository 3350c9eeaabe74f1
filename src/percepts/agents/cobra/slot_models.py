"""Slots of pictures: by a trained model of objects, by a VAE as one slot, and by colour.

    encoder = ModelSlots(from_pretrained("pretrained/monet_sprites24"))
    state = encoder.encode({"image": image})
    encoder.decode(state.latents)

A model is frozen when it is wrapped (`fine_tuning` thaws a copy). Latents are posterior means: samples would blur where
a click has to land.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from percepts.agents.agent import Observation
from percepts.agents.cobra.slots import FULL_SHARE, SlotState, as_images
from percepts.core.capabilities import Decodes, Encodes, require
from percepts.core.config import Config as BaseConfig
from percepts.core.config import Configurable
from percepts.core.errors import CapabilityError, ConfigError, DataError
from percepts.core.slots import Slots


class LearnedSlots(ABC):
    """The base of encoders that wrap a trained model: in evaluation mode, and without gradients of its own.

    Args:
        model: it is set to evaluation and frozen.
        chunk: images that are encoded at a time.
        trained: optimisation steps that the model has behind it; where it is fine-tuned, its schedules go on there.

    Raises:
        CapabilityError: the model does not encode.
        ConfigError: chunks of nothing.
    """

    observes = ("image",)

    def __init__(self, model: Any, chunk: int, trained: int = 0) -> None:
        if chunk < 1:
            raise ConfigError(f"chunk = {chunk}", "1 or more")
        require(model, Encodes, "the slots of an agent")
        self.model = model.eval().requires_grad_(False)
        self.chunk, self.trained = chunk, trained

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    @property
    def latents(self) -> int:
        """D of the model."""
        return self.model.config.latent_size

    @torch.no_grad()
    def encode(self, observation: Observation) -> SlotState:
        """The slots, by the posterior means.

        Raises:
            CapabilityError: the model's posteriors are not what this encoder takes.
        """
        return self.see(observation["image"])

    @abstractmethod
    def see(self, image: Tensor) -> SlotState:
        """The same of the pictures themselves; gradients reach the model where it is not frozen."""

    def posteriors(self, image: Tensor) -> list[Any]:
        """The model's posteriors, chunk by chunk."""
        if not len(image):
            raise DataError("an observation of no environment", "one or more")
        return [self.model.encode(as_images(part).to(self.device)) for part in image.split(self.chunk)]

    def decoder(self) -> Any:
        """The model, known to decode."""
        return require(self.model, Decodes, "drawing slots")


class ModelSlots(LearnedSlots):
    """The slots of a model that takes images apart (`objects.MONet`, `objects.IODINE`), in the model's order.

    A slot's occupancy is the mean of its mask over the pixels. The slot of the largest is the background and has
    weight 0; the others have the weight clip(occupancy / full_share, 0, 1).

    Args:
        model: gives `core.slots.Slots` for images; it is set to evaluation and frozen.
        full_share: of the image that a slot needs to count in full.
        chunk: images that are encoded at a time.
        trained: optimisation steps that the model has behind it.

    Raises:
        CapabilityError: the model does not encode.
        ConfigError: a share that is not in (0, 1], or chunks of nothing.
    """

    def __init__(self, model: Any, full_share: float = FULL_SHARE, chunk: int = 64, trained: int = 0) -> None:
        super().__init__(model, chunk, trained)
        if not 0 < full_share <= 1:
            raise ConfigError(f"full_share = {full_share}", "a share of the image in (0, 1]")
        self.full_share = full_share

    @property
    def slots(self) -> int:
        """K of the model's training."""
        return self.model.config.slots

    def see(self, image: Tensor) -> SlotState:
        """The means and weights of the slots.

        Raises:
            CapabilityError: the model gives no slots.
        """
        found = self.posteriors(image)
        if not isinstance(found[0], Slots):
            raise CapabilityError(
                f"{type(self.model).__name__} gives no slots",
                "a model of objects",
                "SingleSlot, for one vector an image",
            )
        mean = torch.cat([slots.mean for slots in found])
        occupancy = torch.cat([slots.mask.mean((2, 3)) for slots in found])
        return SlotState(mean.float(), occupancy_weight(occupancy.float(), self.full_share))

    def decode(self, latents: Float[Tensor, "batch slots latents"]) -> Float[Tensor, "batch 3 height width"]:
        """The image that the slots draw together, by the masks that the latents give."""
        return self.decoder().decode(latents)


def occupancy_weight(
    occupancy: Float[Tensor, "batch slots"], full_share: float = FULL_SHARE
) -> Float[Tensor, "batch slots"]:
    """How far slots with this share of the image count; the largest one is the background and does not."""
    weight = (occupancy / full_share).clamp(0, 1)
    return weight.scatter(1, occupancy.argmax(1, keepdim=True), 0.0)


class SingleSlot(LearnedSlots):
    """The whole image as one slot of weight 1: what is lost without objects. For any model with one vector an image.

    Args:
        model: gives a posterior of mean [B, D]; it is set to evaluation and frozen.
        chunk: images that are encoded at a time.
        trained: optimisation steps that the model has behind it.

    Raises:
        CapabilityError: the model does not encode.
    """

    slots = 1

    def __init__(self, model: Any, chunk: int = 256, trained: int = 0) -> None:
        super().__init__(model, chunk, trained)

    def see(self, image: Tensor) -> SlotState:
        """The posterior's mean as the only slot.

        Raises:
            CapabilityError: the model gives more than one vector.
        """
        mean = torch.cat([posterior.mean for posterior in self.posteriors(image)]).float()
        if mean.ndim != 2:
            raise CapabilityError(
                f"{type(self.model).__name__} gives more than one vector", fix="ModelSlots, for slots"
            )
        return SlotState(mean[:, None], mean.new_ones(len(mean), 1))

    def decode(self, latents: Float[Tensor, "batch slots latents"]) -> Float[Tensor, "batch 3 height width"]:
        """The image of the only slot."""
        return self.decoder().decode(latents[:, 0])


class ColourSegments(Configurable):
    """Areas of one colour on a black background, found without any training: for tests, and where vision is no matter.

    From what is left of the image the brightest pixel is taken, with all pixels of its direction in colour space: the
    blended edges of a sprite on black have it, too. Objects of one hue share a slot, as they do in trained models.
    The latents are the centre of the area (x and y in the arena, y up), its colour, and the side of a square of the
    same area. The picture of such latents is made of soft squares.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """How colours are told apart.

        Attributes:
            slots: areas that are looked for.
            similarity: least cosine of two colours of one area.
            dark: what is not brighter than this is background.
            full_share: of the image that a slot needs to count in full.
            size: height and width of the pictures that are drawn.
            softness: of the squares' edges in a drawn picture, as a share of its width.
        """

        slots: int = 6
        similarity: float = 0.995
        dark: float = 0.06
        full_share: float = FULL_SHARE
        size: int = 32
        softness: float = 0.02

        def __post_init__(self) -> None:
            if self.slots < 1 or self.size < 1:
                raise ConfigError(f"slots = {self.slots} and size = {self.size}", "1 or more")
            if not (0 < self.similarity < 1 and 0 < self.full_share <= 1 and self.dark >= 0 and self.softness > 0):
                raise ConfigError("a share or similarity out of range", "similarity in (0, 1), full_share in (0, 1]")

    config: Config
    latents = 6
    observes = ("image",)

    def __init__(self, config: Config) -> None:
        self.config = config
        self.slots = config.slots

    @torch.no_grad()
    def encode(self, observation: Observation) -> SlotState:
        """The coloured areas, the one with the brightest pixel first."""
        image = as_images(observation["image"])
        pixels = image.flatten(2)
        brightness = pixels.square().sum(1).sqrt()
        direction = pixels / brightness.clamp(min=1e-6)[:, None]
        where = _grid(image)
        left = brightness > self.config.dark
        latents, weights = [], []
        for _ in range(self.config.slots):
            top = (brightness * left).argmax(1)[:, None, None].expand(-1, 3, 1)
            alike = (direction * direction.gather(2, top)).sum(1) >= self.config.similarity
            area = (alike & left).to(image.dtype)
            share = area.mean(1)
            centre = (area[..., None] * where).sum(1) / area.sum(1).clamp(min=1)[:, None]
            found = torch.cat([centre, pixels.gather(2, top)[:, :, 0], share.sqrt()[:, None]], 1)
            latents.append(found * (share > 0)[:, None])
            weights.append((share / self.config.full_share).clamp(0, 1))
            left = left & ~alike
        return SlotState(torch.stack(latents, 1), torch.stack(weights, 1))

    def decode(self, latents: Float[Tensor, "batch slots latents"]) -> Float[Tensor, "batch 3 height width"]:
        """Soft squares, added up and cut off at 1."""
        size = self.config.size
        centre, colour, side = latents.split([2, 3, 1], -1)
        where = _grid(latents.new_zeros(1, 3, size, size))
        out = (where - centre[:, :, None]).abs() - side[:, :, None] / 2
        inside = torch.sigmoid(-out / self.config.softness).prod(-1) * (side > 0)
        picture = torch.einsum("bkp,bkc->bcp", inside, colour).clamp(0, 1)
        return picture.unflatten(2, (size, size))


def _grid(image: Tensor) -> Tensor:
    """The arena's coordinates of all pixels, [H·W, 2]: x to the right, y up."""
    height, width = image.shape[2:]
    x = (torch.arange(width, device=image.device, dtype=image.dtype) + 0.5) / width
    y = 1 - (torch.arange(height, device=image.device, dtype=image.dtype) + 0.5) / height
    return torch.stack([x.repeat(height), y.repeat_interleave(width)], 1)
