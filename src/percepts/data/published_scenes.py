"""The published sets of scenes, from their TFRecord files: Multi-dSprites, Objects Room, CLEVR with masks, Tetrominoes
and CATER with masks (Kabra et al., Multi-Object Datasets, 2019, Apache-2.0)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray
from torch import Tensor

from percepts.core.errors import ConfigError
from percepts.data.room_repair import repair_objects_room
from percepts.data.scene_crops import crop_places, crop_scenes
from percepts.data.scene_formats import CATER, CLEVR, MULTI_DSPRITES, OBJECTS_ROOM, TETROMINOES, SceneFormat
from percepts.data.scene_records import RecordsConfig, SceneRecords
from percepts.data.scene_splits import RecordSplit


class MultiDSpritesRecords(SceneRecords):
    """Multi-dSprites: 64 x 64, sprites of dSprites over each other, 1 background entity. Properties: `x`, `y` in [0,1],
    `scale` in [0.5,1], `shape` (0 none, square, ellipse, heart), `orientation`, `colour`.

    Raises:
        DataError, ConfigError, PerceptsError: as `SceneRecords`.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(RecordsConfig):
        """As `RecordsConfig`.

        Attributes:
            variant: which of the three files it is.
        """

        variant: Literal["binarized", "colored_on_grayscale", "colored_on_colored"] = "colored_on_grayscale"

    def _format(self) -> SceneFormat:
        return MULTI_DSPRITES[self.config.variant]


class ObjectsRoomRecords(SceneRecords):
    """Objects Room: 64 x 64, a room with up to three or six objects, 4 background entities: sky, floor and two wall
    halves. The files know no properties.

    Where a wall half is out of view, the files have one background mask less, and the objects have moved down by one;
    `repair` undoes that by a guess (`repair_objects_room`). Without it ARI-FG counts such objects as background.

    Raises:
        DataError, ConfigError, PerceptsError: as `SceneRecords`.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(RecordsConfig):
        """As `RecordsConfig`.

        Attributes:
            variant: which of the four files it is.
            repair: number objects from 4 everywhere.
        """

        variant: Literal["train", "empty_room", "six_objects", "identical_color"] = "train"
        repair: bool = True

    def _format(self) -> SceneFormat:
        return OBJECTS_ROOM[self.config.variant]

    def _settings(self) -> list[Any]:
        return [*super()._settings(), self.config.repair]

    def _prepare(self, block: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        if self.config.repair and self.config.variant != "empty_room":
            block["segmentation"] = repair_objects_room(block["segmentation"], self.format.entities)
        return block


class ClevrRecords(SceneRecords):
    """CLEVR with masks: 3 to 10 objects, 1 background entity, 100 000 images of 240 x 320 pixels.

    By default images are cropped and resized as for IODINE and Slot Attention (`crop_scenes`); what can be seen is
    counted after that. Properties: `position` and `rotation` in the world, `pixel_coords` (column and row in the image
    as it is given, and depth), and the codes `size`, `material`, `shape`, `colour` from 1, whose meaning was not
    published: `colours` and the like name them, once somebody has looked.

    Raises:
        DataError, ConfigError, PerceptsError: as `SceneRecords`.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(RecordsConfig):
        """As `RecordsConfig`.

        Attributes:
            size: of the cropped images, in pixels; None for whole images of 240 x 320.
            colours: the names of the 8 colour codes, in order, where they are known.
            shapes: of the 3 shape codes, likewise.
            materials: of the 2 material codes, likewise.
            sizes: of the 2 size codes, likewise.
            green_spheres: use scenes with green spheres; False needs `colours` and `shapes`.
        """

        size: int | None = 128
        colours: tuple[str, ...] = ()
        shapes: tuple[str, ...] = ()
        materials: tuple[str, ...] = ()
        sizes: tuple[str, ...] = ()
        green_spheres: bool = True

    def _format(self) -> SceneFormat:
        return CLEVR

    def _settings(self) -> list[Any]:
        return [*super()._settings(), self.config.size]

    def _prepare(self, block: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        if self.config.size is not None:
            size = self.config.size
            block["image"], block["segmentation"] = crop_scenes(block["image"], block["segmentation"], size)
            block["entity.pixel_coords"] = crop_places(block["entity.pixel_coords"], size)
        return block

    def _iodine_train(self) -> int:
        return 70_000

    def _announce(self) -> None:
        super()._announce()
        config = self.config
        if config.size is not None:
            if config.size < 1:
                raise ConfigError(f"size = {config.size}", "at least one pixel, or None for whole images", "size=128")
            self.image_shape = (3, config.size, config.size)
        named = {"colour": config.colours, "shape": config.shapes, "material": config.materials, "size": config.sizes}
        for name, names in named.items():
            known = self.format.properties[name]
            if names and len(names) != known.size:
                raise ConfigError(f"{len(names)} names for {name}", f"{known.size}, one for every code from 1 on")
            if names:
                self.properties = {**self.properties, name: dataclasses.replace(known, names=names).property}
        if not config.green_spheres and not ("green" in config.colours and "sphere" in config.shapes):
            raise ConfigError(
                "green_spheres = False, but which codes mean green and sphere was not published",
                "'green' among colours and 'sphere' among shapes, the names of the codes in order",
                "look at a few images and their entity.colour and entity.shape, then set colours and shapes",
            )

    def _passes(self) -> Tensor:
        passes = super()._passes()
        if not self.config.green_spheres:
            green = self._shards.column("entity.colour") == 1 + self.config.colours.index("green")
            sphere = self._shards.column("entity.shape") == 1 + self.config.shapes.index("sphere")
            passes = passes & ~(green & sphere).any(1)
        return passes


class TetrominoesRecords(SceneRecords):
    """Tetrominoes: 35 x 35, three pieces on black, 1 background entity. Properties: `x` (the row) and `y` (the column)
    of the upper left corner of a piece's bounding box, `shape` (0 none, 1 to 19 by form and turn), `colour` (RGB of 0
    and 1).

    Raises:
        DataError, ConfigError, PerceptsError: as `SceneRecords`.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(RecordsConfig):
        """As `RecordsConfig`."""

    def _format(self) -> SceneFormat:
        return TETROMINOES


class CaterRecords(SceneRecords):
    """CATER with masks: videos of 33 frames of 64 x 64 pixels, up to 10 objects that move, a moving camera. `path` is
    the folder of one part (train or test), or one file of it. No properties; batches also have `camera` [B,T,4,4] and
    `position` float32 [B,T,E,3], the place of every entity in the world in every frame, as the file has them.

    Raises:
        DataError, ConfigError, PerceptsError: as `SceneRecords`.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(RecordsConfig):
        """As `RecordsConfig`."""

    def _format(self) -> SceneFormat:
        return CATER


def clevr6_records(path: str, size: int | None = 128, split: RecordSplit = "all") -> ClevrRecords.Config:
    """CLEVR6: the scenes of CLEVR with masks with up to 6 objects (about 53 of 100)."""
    return ClevrRecords.Config(path=path, size=size, split=split, objects=(0, 6))


def clevr7_10_records(path: str, size: int | None = 128, split: RecordSplit = "all") -> ClevrRecords.Config:
    """The scenes of CLEVR with masks with 7 to 10 objects, for testing what was trained on CLEVR6."""
    return ClevrRecords.Config(path=path, size=size, split=split, objects=(7, 10))


def no_green_spheres_records(
    path: str, colours: tuple[str, ...], shapes: tuple[str, ...], size: int | None = 128
) -> ClevrRecords.Config:
    """The scenes of CLEVR with masks without a green sphere; `colours` and `shapes` name the codes, in order."""
    return ClevrRecords.Config(path=path, size=size, colours=colours, shapes=shapes, green_spheres=False)
