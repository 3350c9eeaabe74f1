"""Tetrominoes, generated: three pieces of four bevelled tiles on black, 35 x 35.

The recipe is recovered from records of the published Tetrominoes (multi_object_datasets, Kabra et al. 2019): tile,
colours and the numbers of the shapes are theirs byte for byte. How theirs are placed is not known; here every placement
without overlap is as likely as the others.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from percepts.core.errors import ConfigError
from percepts.data.flat_scenes import FlatScene, FlatScenes, GeneratedConfig, paste, with_background
from percepts.data.hashed_draws import Attempt, Draws, Values, first_accepted
from percepts.data.scenes import Property

SIZE = 35
TILE = 5
PIECES: tuple[str, ...] = (
    "####",
    "#/#/#/#",
    "###/#..",
    "#../###",
    "..#/###",
    "###/..#",
    "##/.#/.#",
    ".#/.#/##",
    "##/#./#.",
    "#./#./##",
    "##./.##",
    ".##/##.",
    ".#/##/#.",
    "#./##/.#",
    ".#./###",
    "###/.#.",
    ".#/##/.#",
    "#./##/#.",
    "##/##",
)
"""The shapes 1 to 19, rows from the top. 1, 4 and 8 do not occur in the records at hand and are inferred."""

ALL = tuple(range(1, 20))
SEVENTEEN = tuple(number for number in ALL if number not in (4, 8))
"""Without the two shapes that may not be in the published set, which is said to have 17."""
Z_S = (11, 12, 13, 14)
"""The pieces Z and S, which are held out to test generalisation."""

COLOURS = ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1))
_GREEN = COLOURS.index((0, 1, 0))

_BEVEL = torch.tensor(
    [
        [191, 255, 255, 255, 223],
        [127, 159, 159, 159, 191],
        [127, 159, 159, 159, 191],
        [127, 159, 159, 159, 191],
        [95, 63, 63, 63, 127],
    ]
)


class Tetrominoes(FlatScenes):
    """Scenes of tetrominoes that do not overlap, each in one of six colours that may repeat.

    Properties as in the published set: `x` is the **row** and `y` the **column** of the upper left corner of the
    bounding box, in pixels; `shape` is 0 for none and 1 to 19 in the order of `PIECES`; `colour` is RGB, 0 or 1.

    Raises:
        ConfigError: pieces that there are not, or a rule that the shapes cannot meet.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(GeneratedConfig):
        """Settings.

        Attributes:
            pieces: the fewest and the most in a scene, all numbers as likely.
            shapes: which of the shapes 1 to 19, all as likely.
            rule: which scenes there are: all, only those without a piece Z or S or with at least one, or without a
                green one or with at least one.
            same_colour: whether all pieces of a scene have one colour.
            binary: white pieces without bevel, one channel, no colours.
            image_size: 35, or the middle 32 x 32 of it, or 48 or 64 with black around it.
        """

        pieces: tuple[int, int] = (3, 3)
        shapes: tuple[int, ...] = ALL
        rule: Literal["all", "without_zs", "with_zs", "without_green_zs", "with_green_zs"] = "all"
        same_colour: bool = False
        binary: bool = False
        image_size: Literal[32, 35, 48, 64] = 35

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        _check(config)
        self.image_shape = (1 if config.binary else 3, config.image_size, config.image_size)
        self.entities = 1 + config.pieces[1]
        self.properties = piece_properties(config.binary)

    def _scene(self, draws: Draws) -> FlatScene:
        content = first_accepted(draws, self._content, "pieces by the rule", "another rule, or more shapes")
        corner = first_accepted(
            draws, lambda attempt: self._placed(content, attempt), "pieces without overlap", "fewer pieces"
        )
        colours = torch.tensor(COLOURS, device=draws.number.device, dtype=torch.float32)[content["colour"]]
        return piece_scene(
            content["shape"], corner["top"], corner["left"], colours, self.config.image_size, self.config.binary
        )

    def _content(self, attempt: Attempt) -> tuple[Values, Bool[Tensor, " rows"]]:
        """Which pieces there are, and their colours; a piece that is not there has the shape 0."""
        config, most, draws = self.config, self.config.pieces[1], attempt.place
        known = torch.tensor(config.shapes, device=draws.number.device)
        shape = known[draws.whole("shape", 0, len(known) - 1, most)]
        shape *= torch.arange(most, device=shape.device) < draws.whole("pieces", *config.pieces)[:, None]
        colour = draws.whole("colour", 0, len(COLOURS) - 1, 1 if config.same_colour else most).expand(-1, most)
        special = (shape[..., None] == torch.tensor(Z_S, device=shape.device)).any(-1)
        if config.rule.endswith("green_zs"):
            special &= colour == _GREEN
        some = special.any(1)
        wanted = torch.ones_like(some) if config.rule == "all" else some == config.rule.startswith("with_")
        return {"shape": shape, "colour": colour}, wanted

    def _placed(self, content: Values, attempt: Attempt) -> tuple[Values, Bool[Tensor, " rows"]]:
        """Corners of the bounding boxes, and which scenes are without overlap."""
        shape = content["shape"][attempt.rows]
        sizes, cells = _geometry(shape.device)
        corner = attempt.place.whole("corner", 0, SIZE - sizes[shape], *shape.shape[1:], 2)
        tiles = corner[:, :, None] + cells[shape]
        apart = torch.ones(len(shape), dtype=torch.bool, device=shape.device)
        for later in range(1, shape.shape[1]):
            for earlier in range(later):
                near = (tiles[:, later, :, None] - tiles[:, earlier, None]).abs() < TILE
                both = (shape[:, later] > 0) & (shape[:, earlier] > 0)
                apart &= ~(near.all(-1).flatten(1).any(1) & both)
        return {"top": corner[..., 0], "left": corner[..., 1]}, apart


def without_zs(test: bool = False) -> Tetrominoes.Config:
    """Scenes without a piece Z or S, or for the `test` of generalisation scenes with at least one."""
    return Tetrominoes.Config(rule="with_zs" if test else "without_zs")


def without_green_zs(test: bool = False) -> Tetrominoes.Config:
    """Scenes without a green piece Z or S, or for the `test` of generalisation scenes with at least one: every shape
    and every colour was seen before, but not together."""
    return Tetrominoes.Config(rule="with_green_zs" if test else "without_green_zs")


def piece_scene(
    shape: Int64[Tensor, "batch pieces"],
    top: Int64[Tensor, "batch pieces"],
    left: Int64[Tensor, "batch pieces"],
    colour: Float[Tensor, "batch pieces 3"],
    image_size: int = SIZE,
    binary: bool = False,
) -> FlatScene:
    """Pieces on black, their corners at row `top` and column `left` of the 35 x 35 frame; the shape 0 is no piece."""
    shift = (image_size - SIZE) // 2
    there = shape > 0
    top, left = (top + shift) * there, (left + shift) * there
    shade = paste(piece_bitmaps().to(shape.device), shape, top, left, (image_size, image_size))
    masks = with_background(shade > 0, True)
    properties = {"x": top.float(), "y": left.float(), "shape": shape}
    if binary:
        colour = torch.ones_like(colour[..., :1])
    else:
        properties["colour"] = colour = colour * there[..., None]
    return FlatScene(
        masks,
        with_background(colour),
        {name: with_background(value) for name, value in properties.items()},
        None if binary else with_background(shade, 1),
    )


def piece_properties(binary: bool = False) -> dict[str, Property]:
    """What is known of every piece."""
    known = {
        "x": Property("numeric"),
        "y": Property("numeric"),
        "shape": Property("categorical", 1 + len(PIECES), ("none", *PIECES)),
    }
    return known if binary else known | {"colour": Property("numeric", 3, ("red", "green", "blue"))}


def piece_tiles() -> Int64[Tensor, "20 4 2"]:
    """The row and column of the four tiles of every shape, counted in tiles; those of the shape 0 are all (0, 0)."""
    found = [[(0, 0)] * 4]
    for piece in PIECES:
        rows = piece.split("/")
        found.append([(row, column) for row, text in enumerate(rows) for column, c in enumerate(text) if c == "#"])
    return torch.tensor(found)


@functools.cache
def piece_bitmaps() -> Float[Tensor, "20 20 20"]:
    """What every shape looks like, in [0, 1], in the upper left corner; the shape 0 is empty."""
    bitmaps = torch.zeros(1 + len(PIECES), 4 * TILE, 4 * TILE)
    for number, tiles in enumerate(piece_tiles().tolist()):
        for row, column in tiles if number else []:
            bitmaps[number, row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE] = _BEVEL / 255
    return bitmaps


def _geometry(device: torch.device) -> tuple[Int64[Tensor, "20 2"], Int64[Tensor, "20 4 2"]]:
    """Height and width of every shape in pixels, and the corners of its tiles."""
    tiles = piece_tiles().to(device) * TILE
    return tiles.amax(1) + TILE, tiles


def _check(config: Tetrominoes.Config) -> None:
    low, high = config.pieces
    if not 0 <= low <= high:
        raise ConfigError(f"pieces = {config.pieces}", "the fewest, 0 or more, and the most")
    if not config.shapes or not set(config.shapes) <= set(ALL) or len(set(config.shapes)) < len(config.shapes):
        raise ConfigError(f"shapes = {config.shapes}", "different numbers of 1 to 19")
    some, others = set(config.shapes) & set(Z_S), set(config.shapes) - set(Z_S)
    if config.rule.startswith("with_") and (high == 0 or not some):
        raise ConfigError(f"rule = {config.rule!r} without pieces Z and S", fix="some of the shapes 11 to 14")
    if config.rule == "without_zs" and not others:
        raise ConfigError(f"rule = 'without_zs' with the shapes {config.shapes}", "another shape than 11 to 14")
