"""Other people's map-style datasets as ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from percepts.core.capabilities import Batch
from percepts.core.errors import DataError, nearest
from percepts.data.arrays import ArrayDataset, class_indices
from percepts.data.dataset import ImageDataset
from percepts.data.images import pixels, plain_image, resize, unit_range


class MapStyle(Protocol):
    """What `DictDataset` wraps: anything with a length and items by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Any: ...


class DictDataset(ImageDataset):
    """Any map-style dataset of dicts, or of (image, label) pairs.

    Args:
        dataset: has `len()` and items by number. An image in it may be a Pillow image, or an array or tensor H x W,
            H x W x C or C x H x W in uint8 or in [0, 1].
        image_key: of the image in a dict.
        factor_key: of an integer label or a vector of integers in a dict, where there is one.
        segmentation_key: of an integer map H x W in a dict, where there is one.
        size: resize Pillow images to this many pixels, a number or (height, width), after a centred crop.
        channels: convert Pillow images to 1 (grey) or 3 (RGB); by default as the first one is.

    Attributes:
        factor_names: names of the entries of `factors`: the key, or ("label",) for pairs; numbered if several.

    Raises:
        DataError: the first item is not as described, or a later one differs in shape or in what it holds.
    """

    def __init__(
        self,
        dataset: MapStyle,
        image_key: str = "image",
        factor_key: str | None = None,
        segmentation_key: str | None = None,
        size: int | tuple[int, int] | None = None,
        channels: Literal[1, 3] | None = None,
    ) -> None:
        self.dataset = dataset
        self._keys = {"image": image_key, "factors": factor_key, "segmentation": segmentation_key}
        self._size = (size, size) if isinstance(size, int) else size
        self._channels: Literal[1, 3] | None = channels
        self._first: dict[str, tuple[int, ...]] | None = None
        if len(dataset) == 0:
            raise DataError(f"the wrapped {type(dataset).__name__} is empty", "at least one item")
        first = self._item(0)
        self._first = {key: tuple(value.shape) for key, value in first.items()}
        depth, height, width = first["image"].shape
        self._channels = channels or (1 if depth == 1 else 3)
        self.image_shape = (depth, height, width)
        count = len(first["factors"]) if "factors" in first else 0
        name = factor_key or "label"
        self.factor_names = (name,) if count == 1 else tuple(f"{name}_{i}" for i in range(count))

    def __len__(self) -> int:
        return len(self.dataset)

    def gather(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        """The items as a batch: `image` float32 [B,C,H,W] in [0,1], and `factors`, `segmentation` where named.

        Raises:
            IndexError: an index is negative or too large.
            DataError: an item differs from the first.
        """
        items = []
        for index in indices.tolist():
            if not 0 <= index < len(self):
                raise IndexError(f"index {index} of a dataset of {len(self)} items")
            items.append(self._item(index))
        if not items:
            return {"image": torch.empty((0, *self.image_shape), device=device)}
        return {key: torch.stack([item[key] for item in items]).to(device) for key in items[0]}

    def _item(self, index: int) -> Batch:
        item = self._named(self.dataset[index], index)
        found = {"image": self._image(item["image"], f"item {index}")}
        if "factors" in item:
            factors = torch.atleast_1d(class_indices(f"item {index}: factors", item["factors"]))
            if factors.ndim != 1:
                raise DataError(f"item {index}: factors of shape {tuple(factors.shape)}", "a number or a vector")
            found["factors"] = factors
        if "segmentation" in item:
            found["segmentation"] = class_indices(f"item {index}: segmentation", item["segmentation"])
            _, height, width = found["image"].shape
            if found["segmentation"].shape != (height, width):
                raise DataError(
                    f"item {index}: a segmentation of shape {tuple(found['segmentation'].shape)}",
                    f"{(height, width)} as the image has",
                )
        self._compare(found, index)
        return found

    def _compare(self, found: Batch, index: int) -> None:
        """Refuse an item that does not stack with the first."""
        if self._first is None:
            return
        if found.keys() != self._first.keys():
            raise DataError(f"item {index} holds {', '.join(found)}, item 0 {', '.join(self._first)}", "items alike")
        for key, value in found.items():
            if tuple(value.shape) == self._first[key]:
                continue
            if key == "factors":
                raise DataError(
                    f"item {index} has {len(value)} factors, item 0 has {self._first[key][0]}",
                    "the same factors in every item",
                )
            raise DataError(
                f"item {index} has an image of shape {tuple(value.shape)}, item 0 one of {self._first[key]}",
                "images of one shape",
                "size=64 for Pillow images, or a transform that resizes",
            )

    def _named(self, item: Any, index: int) -> dict[str, Any]:
        """`item` under our own keys."""
        if isinstance(item, tuple | list) and len(item) == 2:
            return {"image": item[0], "factors": item[1]}
        if not isinstance(item, Mapping):
            raise DataError(
                f"item {index} of the wrapped dataset is a {type(item).__name__}",
                "a dict, or an (image, label) pair",
                "wrap it in a dataset whose __getitem__ returns {'image': image}",
            )
        wanted = {ours: theirs for ours, theirs in self._keys.items() if theirs is not None}
        for ours, theirs in wanted.items():
            if theirs not in item:
                option = {"image": "image_key", "factors": "factor_key"}.get(ours, "segmentation_key")
                raise DataError(
                    f"item {index} has no '{theirs}', it has {', '.join(map(repr, item))}",
                    fix=f"{option}={nearest(theirs, map(str, item)) or next(iter(item), '')!r}",
                )
        return {ours: item[theirs] for ours, theirs in wanted.items()}

    def _image(self, image: Any, where: str) -> Tensor:
        if isinstance(image, Image.Image):
            plain = plain_image(image)
            plain = plain if self._size is None else resize(plain, self._size)
            channels = self._channels or (1 if plain.mode == "L" else 3)
            return unit_range(torch.from_numpy(pixels(plain, channels)))
        values = image.detach().cpu().numpy() if isinstance(image, Tensor) else image
        if not isinstance(values, np.ndarray):
            raise DataError(f"{where} has a {type(image).__name__} as image", "a Pillow image, an array or a tensor")
        try:
            # One image is an array of one: types, ranges and layouts are judged in one place.
            return ArrayDataset(values[None])[0]["image"]
        except DataError as error:
            raise DataError(f"{where}: {error.got}", error.expected, error.fix) from error
