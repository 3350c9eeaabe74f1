"""What a dataset of scenes is: images of several entities, with the truth about each of them.

Entities are numbered, the background's first: `segmentation` holds these numbers, and column e of every property is
about entity e. An entity that a scene has not, or that cannot be seen, keeps its number.
"""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from percepts.core.capabilities import Batch
from percepts.data.dataset import ImageDataset


@dataclass(frozen=True)
class Property:
    """What is known of an entity.

    Attributes:
        kind: "categorical" int64 [B,E] from 0; "numeric" float32 [B,E] or [B,E,size]; "angle" float32 [B,E] in radians.
        size: how many classes, or how many numbers.
        names: of the classes or the numbers, where they have any.
    """

    kind: Literal["categorical", "numeric", "angle"]
    size: int = 1
    names: tuple[str, ...] = ()


class SceneDataset(ImageDataset):
    """Scenes by index. A batch has

    - `image` float32 [B,C,H,W] in [0,1], or `video` [B,T,C,H,W];
    - `segmentation` int64 [B,H,W] or [B,T,H,W]: which entity each pixel's centre shows;
    - `visible` bool [B,E]: which entities can be seen at all (in a video: in some frame), background entities included;
    - `entity.NAME` [B,E,…] for every property; 0 for entities that a scene has not and for the background.

    Attributes:
        entities: E, the most entities of a scene, background included.
        backgrounds: how many of them, the first, are background.
        properties: by name.
        frames: T of a video, or None where items are images.
    """

    entities: int
    backgrounds: int
    properties: Mapping[str, Property]
    frames: int | None = None

    @abstractmethod
    def details(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        """More truth about the items, as far as the data has it; costly, so not part of a batch. For videos [B,T,…].

        - `amodal` bool [B,E,H,W]: all of every entity, hidden or not;
        - `unoccluded` float32 [B,E,C,H,W]: every entity drawn alone, black where it is not;
        - `depth` float32 [B,H,W] in metres; `camera` float32 [B,4,4], world from camera;
        - `relation.left`, `.right`, `.front`, `.behind` bool [B,E,E]: [b, i, j] says that j is left of i, and so on.

        Raises:
            IndexError: an index is negative or too large.
        """

    def unseen(self) -> SceneDataset:
        """Scenes that training does not show: the split "test" of a generated world; the data itself where it has no
        such split."""
        config: Any = getattr(self, "config", None)
        if getattr(config, "split", None) != "train":
            return self
        return dataclasses.replace(config, split="test").build()  # type: ignore[no-any-return]

    def foreground(self, batch: Batch) -> Tensor:
        """Which pixels show no background, bool like `segmentation`."""
        return batch["segmentation"] >= self.backgrounds
