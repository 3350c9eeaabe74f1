"""CLEVR as it was first published: PNG pictures and a JSON file of scenes.

CLEVR: a diagnostic dataset for compositional language and elementary visual reasoning, Johnson et al., CVPR 2017.
100 000 pictures of 320 x 480 pixels in three parts; the test part has no scenes. Its code also makes such files, and
with small changes masks.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from percepts.core.capabilities import Batch
from percepts.core.config import Config as BaseConfig
from percepts.core.errors import ConfigError, DataError, nearest
from percepts.core.progress import ProgressLine
from percepts.data.clevr_look import MATERIALS, RGB
from percepts.data.dataset import check_places
from percepts.data.images import pixels, read_image
from percepts.data.mapped import fingerprint
from percepts.data.published import reading, wanted_path
from percepts.data.scene_splits import passing
from percepts.data.scenes import Property, SceneDataset
from percepts.data.shard_writing import Block, cached_shards
from percepts.data.shards import Shards

NAMES = {
    "size": ("large", "small"),
    "material": MATERIALS,
    "shape": ("cube", "sphere", "cylinder"),
    "colour": tuple(RGB)[:8],
}
"""The codes from 1 of every property, as generated scenes have them."""
_RELATIONS = ("left", "right", "front", "behind")
_WHAT = "the CLEVR folder, with images and scenes"
_FORMAT = 1
_BLOCK = 32


class ClevrJson(SceneDataset):
    """The original CLEVR, or pictures and scenes in its format.

    The folder has `images/PART/*.png` and `scenes/CLEVR_PART_scenes.json`. Pictures are resized with anti-aliasing, cut
    to the middle if `size` has another aspect, and stored once in a cache as those of an `ImageFolder`.

    The original has no masks: batches then have no `segmentation`, and `visible` means that an object exists. With
    `masks`, a folder of PNG files named as the pictures, whose pixels are entity numbers (0 background, then the
    objects in the order of the JSON file), batches are those of every scene dataset; masks are resized to the nearest
    pixel.

    The entities are the background and up to 10 objects. Properties as of `ClevrLike`: `position`, `rotation`,
    `pixel_coords` (in pixels of the image as it is given), and the codes from 1 of `size`, `material`, `shape` and
    `colour`.

    Attributes:
        files: the file name of every item.

    Raises:
        DataError: a file is missing or damaged, names something unknown, or a mask has numbers that the scene has not.
        ConfigError: settings that do not fit together.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Where the folder is, and which part of it.

        Attributes:
            path: the folder around `images` and `scenes`.
            part: of the files' names; the original has train and val with scenes.
            size: of the images, in pixels: a number or (height, width).
            masks: a folder of masks, if there are any.
            max_images: use no more than the first so many.
            objects: use only scenes with so many objects, the least and the most.
            green_spheres: use scenes with green spheres.
            max_memory_gigabytes: pictures up to this size (in 10^9 bytes) are held in memory; more stay on disk.
            cache: a folder for the resized pictures, instead of the usual places.
        """

        path: str
        part: str = "train"
        size: int | tuple[int, int] = 128
        masks: str | None = None
        max_images: int | None = None
        objects: tuple[int, int] | None = None
        green_spheres: bool = True
        max_memory_gigabytes: float = 0.5
        cache: str | None = None

    def __init__(self, config: Config) -> None:
        self.config = config
        root = wanted_path(config.path, "folder", _WHAT)
        height, width = (config.size, config.size) if isinstance(config.size, int) else config.size
        if min(height, width) < 1:
            raise ConfigError(f"size = {config.size}", "at least one pixel", "size=128")
        if config.max_images is not None and config.max_images < 1:
            raise ConfigError(f"max_images = {config.max_images}", "at least 1, or None for all")
        self.image_shape = (3, height, width)
        self.entities, self.backgrounds = 11, 1
        self.properties = {
            "position": Property("numeric", 3, ("x", "y", "z")),
            "pixel_coords": Property("numeric", 3, ("column", "row", "depth")),
            "rotation": Property("angle"),
            **{name: Property("categorical", 1 + len(known), ("none", *known)) for name, known in NAMES.items()},
        }
        self._pictures = root / "images" / config.part
        self._masks = None if config.masks is None else wanted_path(config.masks, "folder", "a folder of masks")
        path = root / "scenes" / f"CLEVR_{config.part}_scenes.json"
        self._path = wanted_path(str(path), "file", f"{_WHAT} (the test part has none)")
        self._scenes = _read_scenes(self._path, config.max_images)
        self._names: tuple[str, ...] = ("image", "segmentation", "visible") if self._masks else ("image", "visible")
        self._names += tuple(f"entity.{name}" for name in self.properties)
        stats = self._stats()
        folder, _ = cached_shards(
            source=root,
            name=f"ClevrJson-{fingerprint([config.part, height, width, config.masks, config.max_images])}",
            key=fingerprint([_FORMAT, config.part, height, width, stats]),
            cache=Path(config.cache) if config.cache else None,
            wanted=None,
            blocks=self._blocks,
            dtypes={"image": "float32", "segmentation": "int64"},
            remember=dict,
        )
        self._shards = Shards(folder, None, config.max_memory_gigabytes)
        self._chosen = self._choose()
        self.files = tuple(str(self._scenes[row]["image_filename"]) for row in self._chosen.tolist())
        self._fingerprint = fingerprint([[name, size] for name, size, _ in stats])

    def __len__(self) -> int:
        return len(self._chosen)

    @property
    def identity(self) -> str:
        """As `ImageDataset.identity`, with a fingerprint of the files' names and sizes."""
        return f"{super().identity}, files {self._fingerprint}"

    def gather(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        """The scenes at `indices` [B]; see `SceneDataset`. No `segmentation` where there are no masks.

        Raises:
            IndexError: an index is negative or too large.
        """
        return self._shards.take(self._rows(indices), self._names, device)

    def details(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        """`relation.left`, `.right`, `.front` and `.behind` bool [B,E,E], as the file has them.

        Raises:
            IndexError: an index is negative or too large.
        """
        result = {f"relation.{name}": torch.zeros(len(indices), 11, 11, dtype=torch.bool) for name in _RELATIONS}
        for item, row in enumerate(self._rows(indices).tolist()):
            for name in _RELATIONS:
                for entity, others in enumerate((self._scenes[row].get("relationships") or {}).get(name, ()), start=1):
                    result[f"relation.{name}"][item, entity, [1 + other for other in others]] = True
        return {name: value.to(device) for name, value in result.items()}

    def _rows(self, indices: Tensor) -> Tensor:
        indices = indices.cpu()
        check_places(indices, len(self))
        return self._chosen[indices]

    def _choose(self) -> Tensor:
        """The scenes that pass the filter."""
        counts = torch.tensor([len(scene["objects"]) for scene in self._scenes])
        passes = passing(counts, self.config.objects)
        if not self.config.green_spheres:
            passes &= ~torch.tensor([any(map(_green_sphere, scene["objects"])) for scene in self._scenes])
        chosen = passes.nonzero()[:, 0]
        if len(chosen) == 0:
            raise DataError(f"none of the {len(passes)} scenes of '{self._path}' passes the filter", fix="objects=None")
        return chosen

    def _stats(self) -> list[list[Any]]:
        """Name, bytes and time of every file."""
        files = [self._path]
        for scene in self._scenes:
            for folder in (self._pictures, self._masks):
                files += [] if folder is None else [folder / scene["image_filename"]]
        try:
            found = [(path, path.stat()) for path in files]
        except OSError as error:
            raise DataError(f"there is no file '{error.filename}', which '{self._path}' names", _WHAT) from error
        return [[path.name, status.st_size, status.st_mtime_ns] for path, status in found]

    def _blocks(self, start: int) -> Iterator[Block]:
        progress = ProgressLine(len(self._scenes), "images", f"resizing '{self._pictures}'", start=start)
        for first in range(start, len(self._scenes), _BLOCK):
            rows = [self._row(scene) for scene in self._scenes[first : first + _BLOCK]]
            yield {name: np.stack([row[name] for row in rows]) for name in rows[0]}
            progress.update(first + len(rows))
        progress.close()

    def _row(self, scene: dict[str, Any]) -> dict[str, NDArray[Any]]:
        """What is stored of a scene."""
        path = self._pictures / scene["image_filename"]
        size = self.image_shape[1:]
        with reading(path, "a PNG picture"):
            with Image.open(path) as header:
                original = header.size
            row: dict[str, NDArray[Any]] = {"image": pixels(read_image(path, size, True, "black"), 3)}
        row |= _properties(scene, self._path, _to_image(original, size))
        row["visible"] = np.arange(11) <= len(scene["objects"])
        if self._masks is not None:
            row["segmentation"] = _mask(self._masks / path.name, size, len(scene["objects"]))
            row["visible"] = np.isin(np.arange(11), row["segmentation"])
        return row


def _read_scenes(path: Path, most: int | None) -> list[dict[str, Any]]:
    """The scenes of a JSON file, checked as far as that needs no picture."""
    with reading(path, "CLEVR's JSON file of scenes"):
        scenes = json.loads(path.read_text(encoding="utf-8"))["scenes"][:most]
        for number, scene in enumerate(scenes):
            _check_scene(scene, number)
    if not scenes:
        raise DataError(f"'{path}' has no scenes", "at least one")
    for scene in scenes:
        _properties(scene, path, np.ones(4))
    return list(scenes)


def _check_scene(scene: dict[str, Any], number: int) -> None:
    """Refuse what would fail later, or give numbers that mean nothing.

    Raises:
        ValueError: a clause; KeyError and TypeError where something is missing or of another kind.
    """
    name = scene.get("image_filename") if isinstance(scene, dict) else None
    if not isinstance(name, str):
        raise ValueError(f"scene {number} has no image_filename")
    count = len(scene["objects"])
    if count > 10:
        raise ValueError(f"{name} has {count} objects, 10 is the most")
    for one in scene["objects"]:
        for key in ("3d_coords", "pixel_coords"):
            if len(one[key]) != 3 or not all(map(math.isfinite, one[key])):
                raise ValueError(f"an object of {name} has the {key} {one[key]}, not three finite numbers")
        if not math.isfinite(float(one["rotation"])):
            raise ValueError(f"an object of {name} has the rotation {one['rotation']}")
    for relation, rows in (scene.get("relationships") or {}).items():
        known = len(rows) <= count and all(isinstance(j, int) and 0 <= j < count for row in rows for j in row)
        if not known:
            raise ValueError(f"the relationships '{relation}' of {name} name objects that it has not")


def _properties(scene: dict[str, Any], path: Path, to_image: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
    """The properties of a scene's entities, by the key of a batch."""
    result: dict[str, NDArray[Any]] = {
        "entity.position": np.zeros((11, 3), np.float32),
        "entity.pixel_coords": np.zeros((11, 3), np.float32),
        "entity.rotation": np.zeros(11, np.float32),
        **{f"entity.{name}": np.zeros(11, np.int64) for name in NAMES},
    }
    for entity, one in enumerate(scene["objects"], start=1):
        with reading(path, "CLEVR's JSON file of scenes"):
            column, line, depth = one["pixel_coords"]
            scale, left, top = to_image[0], to_image[1], to_image[2]
            result["entity.position"][entity] = one["3d_coords"]
            result["entity.pixel_coords"][entity] = (scale * column - left, scale * line - top, depth)
            result["entity.rotation"][entity] = math.radians(float(one["rotation"]) % 360)
            words = {name: str(one["color" if name == "colour" else name]) for name in NAMES}
        for name, word in words.items():
            where = f"{scene['image_filename']} in '{path}'"
            result[f"entity.{name}"][entity] = 1 + _code(name, word, NAMES[name], where)
    return result


def _code(name: str, word: str, known: Sequence[str], where: str) -> int:
    if word not in known:
        close = nearest(word, known)
        raise DataError(
            f"the {name} of an object of {where} is '{word}'" + (f", did you mean '{close}'?" if close else ""),
            "one of " + ", ".join(known),
        )
    return known.index(word)


def _to_image(original: tuple[int, int], size: tuple[int, ...]) -> NDArray[np.float64]:
    """How a place in the original (width, height) becomes one in the image of `size` (H, W): scale, then what is cut
    off at the left and at the top."""
    scale = max(size[1] / original[0], size[0] / original[1])
    return np.array([scale, (original[0] * scale - size[1]) / 2, (original[1] * scale - size[0]) / 2])


def _mask(path: Path, size: tuple[int, ...], objects: int) -> NDArray[np.uint8]:
    """The entity numbers [H,W] of a mask file."""
    with reading(path, "a PNG mask of entity numbers"), Image.open(path) as image:
        if image.mode not in ("L", "P", "I", "I;16"):
            raise ValueError(f"pixels of the kind {image.mode}, not numbers")
        height, width = size
        scale = min(image.width / width, image.height / height)
        left, top = (image.width - scale * width) / 2, (image.height - scale * height) / 2
        box = (left, top, left + scale * width, top + scale * height)
        numbers = np.array(image.resize((width, height), Image.Resampling.NEAREST, box=box))
    if numbers.min() < 0 or numbers.max() > objects:
        bad = int(numbers[(numbers < 0) | (numbers > objects)][0])
        raise DataError(
            f"the mask '{path}' has the number {bad}", f"0 to {objects}, the number of objects of its scene"
        )
    return numbers.astype(np.uint8)


def _green_sphere(one: dict[str, Any]) -> bool:
    return bool(one["color"] == "green" and one["shape"] == "sphere")
