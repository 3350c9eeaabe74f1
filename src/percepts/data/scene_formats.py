"""How the published sets of multi-object scenes are stored, and one record of them as arrays.

Multi-Object Datasets, Kabra et al., 2019 (CATER with masks added in 2021): TFRecord files of images, of one mask an
entity, and of what is known of every entity. All bytes but those of CATER are stored one by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from percepts.data.scenes import Property
from percepts.data.tetrominoes import PIECES
from percepts.data.tfrecord import Feature, parse_example

Meaning = Literal["number", "code", "degrees", "radians"]


@dataclass(frozen=True)
class StoredProperty:
    """A property of entities and the feature that holds it.

    Attributes:
        features: in the file; several are the columns of one property.
        meaning: a "number" or several, a "code" from 1 (0 for none), or an angle.
        size: how many numbers, or how many codes.
        names: of the numbers, or of the codes.
        as_bytes: whether the file stores it as bytes instead of floats.
    """

    features: tuple[str, ...]
    meaning: Meaning = "number"
    size: int = 1
    names: tuple[str, ...] = ()
    as_bytes: bool = False

    @property
    def property(self) -> Property:
        """What a dataset announces: codes have a class more, 0, for entities that are not there."""
        if self.meaning == "code":
            return Property("categorical", self.size + 1, ("none", *self.names) if self.names else ())
        return Property("numeric" if self.meaning == "number" else "angle", self.size, self.names)


@dataclass(frozen=True)
class SceneFormat:
    """What a record of a published set holds.

    Attributes:
        title: of the set.
        image: (H, W, C).
        entities: masks in a record, those of the background first.
        backgrounds: how many of them are background.
        properties: of entities, by the name that a batch has them under.
        frames: of a video, or None.
        mask_axes: the order of the axes of the masks.
        has_visibility: whether the file says which entities a scene has.
    """

    title: str
    image: tuple[int, int, int]
    entities: int
    backgrounds: int = 1
    properties: Mapping[str, StoredProperty] = field(default_factory=dict)
    frames: int | None = None
    mask_axes: Literal["entity first", "entity last", "frame first"] = "entity first"
    has_visibility: bool = True

    @property
    def sizes(self) -> dict[str, tuple[str, int]]:
        """The type and the number of elements of every feature."""
        height, width, channels = self.image
        time = self.frames or 1
        wanted = {
            "image": ("uint8", time * height * width * channels),
            "mask": ("uint8", time * height * width * self.entities),
        }
        for one in self.properties.values():
            columns = one.size // len(one.features) if one.meaning == "number" else 1
            for feature in one.features:
                wanted[feature] = ("uint8" if one.as_bytes else "float32", self.entities * columns)
        if self.has_visibility:
            wanted["visibility"] = ("float32", self.entities)
        if self.frames is not None:
            wanted |= {
                "camera_matrix": ("float32", time * 16),
                "object_positions": ("float32", time * self.entities * 3),
            }
        return wanted


_RGB = ("red", "green", "blue")

MULTI_DSPRITES = {
    name: SceneFormat(
        title=f"Multi-dSprites {name}",
        image=(64, 64, channels),
        entities=entities,
        mask_axes="entity last",
        properties={
            "x": StoredProperty(("x",)),
            "y": StoredProperty(("y",)),
            "shape": StoredProperty(("shape",), "code", 3, ("square", "ellipse", "heart")),
            "colour": StoredProperty(("color",), size=channels, names=_RGB if channels == 3 else ("grey",)),
            "scale": StoredProperty(("scale",)),
            "orientation": StoredProperty(("orientation",), "radians"),
        },
    )
    for name, channels, entities in (("binarized", 1, 4), ("colored_on_grayscale", 3, 6), ("colored_on_colored", 3, 5))
}

OBJECTS_ROOM = {
    name: SceneFormat(
        title=f"Objects Room {name}", image=(64, 64, 3), entities=entities, backgrounds=4, has_visibility=False
    )
    for name, entities in (("train", 7), ("empty_room", 4), ("six_objects", 10), ("identical_color", 10))
}

CLEVR = SceneFormat(
    title="CLEVR with masks",
    image=(240, 320, 3),
    entities=11,
    properties={
        "position": StoredProperty(("x", "y", "z"), size=3, names=("x", "y", "z")),
        "pixel_coords": StoredProperty(("pixel_coords",), size=3, names=("column", "row", "depth")),
        "rotation": StoredProperty(("rotation",), "degrees"),
        "size": StoredProperty(("size",), "code", 2, as_bytes=True),
        "material": StoredProperty(("material",), "code", 2, as_bytes=True),
        "shape": StoredProperty(("shape",), "code", 3, as_bytes=True),
        "colour": StoredProperty(("color",), "code", 8, as_bytes=True),
    },
)

TETROMINOES = SceneFormat(
    title="Tetrominoes",
    image=(35, 35, 3),
    entities=4,
    properties={
        "x": StoredProperty(("x",)),
        "y": StoredProperty(("y",)),
        "shape": StoredProperty(("shape",), "code", 19, PIECES),
        "colour": StoredProperty(("color",), size=3, names=_RGB),
    },
)

CATER = SceneFormat(
    title="CATER with masks",
    image=(64, 64, 3),
    entities=11,
    frames=33,
    mask_axes="frame first",
    has_visibility=False,
)

FORMATS = (*MULTI_DSPRITES.values(), *OBJECTS_ROOM.values(), CLEVR, TETROMINOES, CATER)
"""All of them, for telling which set a record is of."""


def read_scene(payload: bytes, wanted: SceneFormat, lenient_masks: bool = False) -> dict[str, NDArray[Any]]:
    """One record.

    Args:
        payload: of the record.
        wanted: the set that it must be of.
        lenient_masks: accept masks that are not of 0 and 255 or do not part the image: each pixel then goes to the
            entity of the largest value there, the first of equals.

    Returns:
        `image` uint8 [C,H,W] or `video` [T,C,H,W]; `segmentation` uint8 [H,W] or [T,H,W]; `entity.NAME` [E,…] for every
        property; `exists` bool [E], where the file has it; for videos `camera` float32 [T,4,4] and `position` [T,E,3].

    Raises:
        ValueError: not an Example, another set's, or masks that do not part the image; the message is a clause.
    """
    sizes = wanted.sizes
    features = parse_example(payload, frozenset(sizes))
    _check(features, payload, wanted)
    height, width, channels = wanted.image
    time = () if wanted.frames is None else (wanted.frames,)
    image = np.moveaxis(features["image"].reshape(*time, height, width, channels), -1, -3)
    result: dict[str, NDArray[Any]] = {
        "image" if wanted.frames is None else "video": np.ascontiguousarray(image),
        "segmentation": label_map(_masks(features["mask"], wanted), lenient_masks),
    }
    for name, one in wanted.properties.items():
        columns = [features[feature].reshape(wanted.entities, -1) for feature in one.features]
        result[f"entity.{name}"] = _property(np.concatenate(columns, axis=1), one)
    if wanted.has_visibility:
        _check_finite(features["visibility"], "visibility")
        result["exists"] = features["visibility"] > 0.5
    if wanted.frames is not None:
        result["camera"] = features["camera_matrix"].reshape(wanted.frames, 4, 4)
        places = features["object_positions"].reshape(wanted.entities, wanted.frames, 3)
        result["position"] = np.ascontiguousarray(places.transpose(1, 0, 2))
    return result


def label_map(masks: NDArray[np.uint8], lenient: bool = False) -> NDArray[np.uint8]:
    """Which entity each pixel belongs to [..., H, W], of masks [..., E, H, W] of 0 and 255.

    Raises:
        ValueError: other values, or a pixel of no or of several entities, and not `lenient`.
    """
    if not lenient:
        on = masks != 0
        if not np.array_equal(on, masks == 255):
            odd = int(masks[on & (masks != 255)][0])
            raise ValueError(f"a mask has the value {odd} instead of 0 or 255 (lenient_masks=True accepts that)")
        owners = on.sum(axis=-3, dtype=np.uint8)
        if (owners != 1).any():
            place = tuple(np.argwhere(owners != 1)[0].tolist())
            found = np.flatnonzero(on[(*place[:-2], slice(None), *place[-2:])]).tolist()
            whose = "entities " + " and ".join(map(str, found)) if found else "no entity"
            where = f"row {place[-2]}, column {place[-1]}"
            raise ValueError(f"the pixel in {where} belongs to {whose}, not to one (lenient_masks=True accepts that)")
    return masks.argmax(axis=-3).astype(np.uint8)


def recognised(payload: bytes) -> SceneFormat | None:
    """The published set that a record is of; None if it is of no known one."""
    try:
        features = parse_example(payload)
    except ValueError:
        return None
    found = [one for one in FORMATS if all(_fits(features.get(name), *size) for name, size in one.sizes.items())]
    # Objects Room asks for nothing but an image and masks, so the one that asks for most comes first.
    return max(found, key=lambda one: len(one.sizes), default=None)


def _check(features: dict[str, Feature], payload: bytes, wanted: SceneFormat) -> None:
    for name, (kind, count) in wanted.sizes.items():
        value = features.get(name)
        if _fits(value, kind, count):
            continue
        there = "missing" if value is None else f"{value.size} values of type {value.dtype} instead of {count} {kind}"
        other = recognised(payload)
        hint = f"; it is a record of {other.title}" if other else ""
        raise ValueError(f"not a record of {wanted.title}: the feature '{name}' is {there}{hint}")


def _fits(value: Feature | None, kind: str, count: int) -> bool:
    return value is not None and value.size == count and value.dtype == np.dtype(kind)


def _masks(values: Feature, wanted: SceneFormat) -> NDArray[np.uint8]:
    """Masks [E,H,W] or [T,E,H,W]."""
    height, width, _ = wanted.image
    masks = values.astype(np.uint8, copy=False)
    if wanted.mask_axes == "entity last":
        return masks.reshape(height, width, wanted.entities).transpose(2, 0, 1)
    time = () if wanted.frames is None else (wanted.frames,)
    return masks.reshape(*time, wanted.entities, height, width)


def _property(values: NDArray[Any], one: StoredProperty) -> NDArray[Any]:
    """Stored values [E,n] as a property [E] or [E,n]."""
    which = " and ".join(one.features)
    _check_finite(values, which)
    if one.meaning == "code":
        known = np.arange(one.size + 1)
        if not np.isin(values, known).all():
            bad = values[~np.isin(values, known)][0]
            raise ValueError(f"the feature '{which}' has the code {bad:g}, known are 0 to {one.size}")
        return values[:, 0].astype(np.int64)
    numbers = values.astype(np.float32)
    if one.meaning == "degrees":
        numbers = np.deg2rad(numbers % 360).astype(np.float32)
    return numbers if one.size > 1 else numbers[:, 0]


def _check_finite(values: NDArray[Any], which: str) -> None:
    if not np.isfinite(values).all():
        raise ValueError(f"the feature '{which}' has values that are not finite")
