"""A MONet small enough for tests, and scenes for it."""

from __future__ import annotations

import torch
from torch import Tensor

from percepts.nn.unet import UNet
from percepts.objects.monet import MONet, component_decoder, component_encoder


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
