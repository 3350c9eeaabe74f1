"""A MONet small enough for tests, and scenes for it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from percepts.core.capabilities import Batch
from percepts.core.config import Config as BaseConfig
from percepts.data.dataset import ImageDataset
from percepts.nn.unet import UNet
from percepts.objects.monet import MONet
from percepts.objects.networks import component_decoder, component_encoder


def small_monet(**settings) -> MONet.Config:
    """A MONet of a few thousand weights for 3×16×12 images."""
    return MONet.Config(
        **{
            "image_shape": (3, 16, 12),
            "slots": 3,
            "latent_size": 4,
            "attention": UNet.Config(channels=(4, 6), hidden=(8,)),
            "encoder": component_encoder(channels=(4, 6), hidden=(12,), activation="elu"),
            "decoder": component_decoder((6, 6, 6, 6)),
            **settings,
        }
    )


def built(seed: int = 0, **settings) -> MONet:
    """It, with the weights of a seed."""
    torch.manual_seed(seed)
    return small_monet(**settings).build()


def images(count: int = 4, seed: int = 1) -> Tensor:
    """Random images [N, 3, 16, 12]."""
    return torch.rand(count, 3, 16, 12, generator=torch.Generator().manual_seed(seed))


def segmentations(count: int = 4, entities: int = 3, seed: int = 2) -> Tensor:
    """Random segmentations [N, 16, 12]."""
    return torch.randint(entities, (count, 16, 12), generator=torch.Generator().manual_seed(seed))


class Boxes(ImageDataset):
    """A red and a blue box on grey, at random places; the blue one is in front."""

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """How many, and whether a pixel of each is NaN."""

        length: int = 32
        poison: bool = False

    image_shape = (3, 16, 12)

    def __init__(self, config: Config) -> None:
        self.config = config
        corners = torch.randint(0, 8, (config.length, 2, 2), generator=torch.Generator().manual_seed(0))
        rows, columns = torch.arange(16)[:, None], torch.arange(12)[None]
        self.segmentations = torch.zeros(config.length, 16, 12, dtype=torch.int64)
        for box in (0, 1):
            top, left = corners[:, box, :1, None], corners[:, box, 1:, None]
            inside = (rows >= top) & (rows < top + 5) & (columns >= left) & (columns < left + 4)
            self.segmentations[inside] = box + 1
        colours = torch.tensor([[0.2, 0.2, 0.2], [1.0, 0.0, 0.0], [0.0, 0.2, 1.0]])
        self.images = colours[self.segmentations].movedim(3, 1).contiguous()
        if config.poison:
            self.images[:, 0, 3, 3] = float("nan")

    def __len__(self) -> int:
        return self.config.length

    def gather(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        batch = {"image": self.images[indices], "segmentation": self.segmentations[indices]}
        return {name: value.to(device) for name, value in batch.items()}
