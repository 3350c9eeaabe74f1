"""Tiny scenes of a few sprites, on which slot models learn within minutes on a CPU."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from percepts.core.config import one_of
from percepts.core.errors import ConfigError
from percepts.data.flat_scenes import FlatScene, FlatScenes, GeneratedConfig, paste, with_background
from percepts.data.hashed_draws import Attempt, Draws, Values, first_accepted
from percepts.data.scenes import Property
from percepts.rendering.colour import hsv_to_rgb

SmallShape = Literal["square", "disc", "triangle", "plus", "bar"]
SmallColour = Literal["red", "green", "blue", "yellow", "magenta", "cyan", "white"]

RGB: dict[str, tuple[int, int, int]] = {
    "red": (1, 0, 0),
    "green": (0, 1, 0),
    "blue": (0, 0, 1),
    "yellow": (1, 1, 0),
    "magenta": (1, 0, 1),
    "cyan": (0, 1, 1),
    "white": (1, 1, 1),
}
"""The saturated colours that have names."""


class SmallScenes(FlatScenes):
    """Sprites of whole pixels on a plain background; the defaults are the scenes of `two_sprites`.

    Sprites are bitmaps without anti-aliasing, drawn at whole pixels, wholly inside of the image. Properties: `shape`
    (0 none, then the `shapes` in order), `x` and `y` of the middle of the bounding box and `height` and `width` of it,
    in pixels from the upper left corner, and the RGB `colour`.

    Raises:
        ConfigError: sprites that cannot be drawn as asked, or more distinct colours than there are.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(GeneratedConfig):
        """Settings.

        Attributes:
            size: pixels a side.
            sprites: the fewest and the most in a scene, all numbers as likely.
            shapes: what they can be: a square, disc, triangle or plus as high as wide, or a bar half as high as wide.
            extent: the smallest and the largest width, in whole pixels.
            widths: the one width of every shape instead of `extent`, in the order of `shapes`.
            colours: the names of the colours to draw from; none for any fully saturated hue.
            distinct_colours: whether the sprites of a scene differ in colour.
            overlap: whether bounding boxes may overlap; later sprites then hide earlier ones.
            held_out: a shape and a colour, one of `colours`, that no sprite has together; None for no such rule.
            rule: "without" gives the scenes in which no sprite is `held_out`, "with" those in which some sprite is: to
                train on the first and to test on the second.
            background: the grey behind the sprites, in [0, 1].
        """

        size: int = 24
        sprites: tuple[int, int] = (2, 2)
        shapes: tuple[SmallShape, ...] = ("square", "disc", "triangle")
        extent: tuple[int, int] = (6, 9)
        widths: tuple[int, ...] = ()
        colours: tuple[SmallColour, ...] = ()
        distinct_colours: bool = False
        overlap: bool = True
        held_out: tuple[SmallShape, SmallColour] | None = None
        rule: Literal["without", "with"] = "without"
        background: float = 0.1

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        _check(config)
        self._extents = tuple((width, width) for width in config.widths) or (config.extent,) * len(config.shapes)
        self._most = max(high for _, high in self._extents)
        widths = range(1, self._most + 1)
        self._bitmaps = torch.stack([_bitmap(shape, width, self._most) for shape in config.shapes for width in widths])
        self._is_bar = torch.tensor([shape == "bar" for shape in config.shapes])
        self.image_shape = (3, config.size, config.size)
        self.entities = 1 + config.sprites[1]
        self.properties = {
            "shape": Property("categorical", 1 + len(config.shapes), ("none", *config.shapes)),
            "x": Property("numeric"),
            "y": Property("numeric"),
            "height": Property("numeric"),
            "width": Property("numeric"),
            "colour": Property("numeric", 3, ("red", "green", "blue")),
        }

    def _scene(self, draws: Draws) -> FlatScene:
        content = None
        if self.config.held_out is not None:
            content = first_accepted(draws, self._content, "sprites by the rule", "another rule, or more colours")
        found = first_accepted(
            draws,
            lambda attempt: self._propose(attempt, content),
            f"{self.config.sprites[1]} sprites without overlap",
            "fewer or smaller sprites, a larger size, or overlap=True",
        )
        present, shape, width = found["present"], found["shape"], found["width"]
        which = shape * self._most + width - 1
        masks = (
            paste(self._bitmaps.to(which.device), which, found["top"], found["left"], (self.config.size,) * 2)
            & present[..., None, None]
        )
        height = found["height"]
        colour = (self._colours(draws) if content is None else content["colour"]) * present[..., None]
        properties = {
            "shape": (shape + 1) * present,
            "x": (found["left"] + width / 2) * present,
            "y": (found["top"] + height / 2) * present,
            "height": (height * present).float(),
            "width": (width * present).float(),
            "colour": colour,
        }
        table = with_background(colour)
        table[:, 0] = self.config.background
        return FlatScene(
            with_background(masks, True), table, {name: with_background(value) for name, value in properties.items()}
        )

    def _content(self, attempt: Attempt) -> tuple[Values, Bool[Tensor, " rows"]]:
        """How many sprites of which shapes and colours, and whether they keep the rule of the held-out combination."""
        assert self.config.held_out is not None
        shape_name, colour_name = self.config.held_out
        present, shape = self._shapes(attempt.place)
        colour = self._colours(attempt.place)
        this = torch.tensor(RGB[colour_name], device=colour.device, dtype=colour.dtype)
        held_out = present & (shape == self.config.shapes.index(shape_name)) & (colour == this).all(-1)
        good = held_out.any(1) == (self.config.rule == "with")
        return {"present": present, "shape": shape, "colour": colour}, good

    def _shapes(self, draws: Draws) -> tuple[Bool[Tensor, "rows sprites"], Int64[Tensor, "rows sprites"]]:
        """Which sprites are there, and the number of each one's shape."""
        config, most = self.config, self.config.sprites[1]
        count = draws.whole("sprites", *config.sprites)
        present = torch.arange(most, device=count.device) < count[:, None]
        return present, draws.whole("shape", 0, len(config.shapes) - 1, most)

    def _propose(self, attempt: Attempt, content: Values | None) -> tuple[Values, Bool[Tensor, " rows"]]:
        """What there is, unless `content` says so, and where."""
        config, most = self.config, self.config.sprites[1]
        scene, place = attempt.scene, attempt.place
        device = scene.number.device
        if content is None:
            present, shape = self._shapes(scene)
        else:
            present, shape = content["present"][attempt.rows], content["shape"][attempt.rows]
        low, high = torch.tensor(self._extents, device=device)[shape].unbind(-1)
        width = scene.whole("width", low, high, most)
        height = torch.where(self._is_bar.to(device)[shape], (width + 1) // 2, width)
        left = place.whole("left", 0, config.size - width, most)
        top = place.whole("top", 0, config.size - height, most)
        values = {"present": present, "shape": shape, "width": width, "height": height, "top": top, "left": left}
        if config.overlap:
            return values, torch.ones_like(attempt.rows, dtype=torch.bool)
        return values, ~_overlap(left, width, top, height, present)

    def _colours(self, draws: Draws) -> Tensor:
        """RGB [B, sprites, 3] of the sprites, of 256 levels as images have them."""
        config, most = self.config, self.config.sprites[1]
        if config.colours:
            known = torch.tensor([RGB[name] for name in config.colours], device=draws.number.device)
            if config.distinct_colours:
                return known[draws.choice("colour", len(known), most)].float()
            return known[draws.whole("colour", 0, len(known) - 1, most)].float()
        hue = draws.uniform("hue", most)
        if config.distinct_colours:  # each within a slice of its own, half of it free
            hue = (hue[:, :1] + (torch.arange(most, device=hue.device) + hue / 2) / max(1, most)) % 1
        full = torch.ones_like(hue)
        return (hsv_to_rgb(torch.stack([hue, full, full], dim=-1)) * 255).round().div(255).float()


def two_sprites() -> SmallScenes.Config:
    """24 x 24, a dark background, two squares, discs or triangles of 6 to 9 pixels in any saturated hue, which may
    hide each other: do true masks make reconstruction easier? (Burgess et al. 2019, section 2.2; the sizes are ours.)
    """
    return SmallScenes.Config()


def apart_sprites(sprites: tuple[int, int] = (2, 2)) -> SmallScenes.Config:
    """24 x 24, black, two sprites of different colours of red, green and cyan that do not overlap: a model without
    labels learns to segment them in minutes. `sprites=(1, 1)` is the test with a single object."""
    return SmallScenes.Config(
        sprites=sprites,
        colours=("red", "green", "cyan"),
        distinct_colours=True,
        overlap=False,
        background=0.0,
    )


def tiny_shapes(sprites: tuple[int, int] = (2, 2)) -> SmallScenes.Config:
    """16 x 16, black, two of a 4 x 4 square, a 5 x 5 plus and a 3 x 6 bar in different colours of red, green and blue
    that do not overlap. `sprites=(3, 3)` is the test with more objects."""
    return SmallScenes.Config(
        size=16,
        sprites=sprites,
        shapes=("square", "plus", "bar"),
        widths=(4, 5, 6),
        colours=("red", "green", "blue"),
        distinct_colours=True,
        overlap=False,
        background=0.0,
    )


def held_out_combination(
    config: SmallScenes.Config, shape: SmallShape, colour: SmallColour, test: bool = False
) -> SmallScenes.Config:
    """The scenes of `config` without sprites of this shape and colour, or for the `test` of generalisation scenes with
    at least one: the shape and the colour were seen before, but not together."""
    return dataclasses.replace(config, held_out=(shape, colour), rule="with" if test else "without")


def _overlap(
    left: Int64[Tensor, "rows sprites"],
    width: Int64[Tensor, "rows sprites"],
    top: Int64[Tensor, "rows sprites"],
    height: Int64[Tensor, "rows sprites"],
    present: Bool[Tensor, "rows sprites"],
) -> Bool[Tensor, " rows"]:
    """Whether any two bounding boxes of those present share a pixel."""
    both = present[:, :, None] & present[:, None]
    for start, size in ((left, width), (top, height)):
        both &= (start[:, :, None] < (start + size)[:, None]) & (start[:, None] < (start + size)[:, :, None])
    return both.triu(1).flatten(1).any(1)


def _bitmap(shape: SmallShape, width: int, most: int) -> Bool[Tensor, "most most"]:
    """The pixels of a shape in the upper left corner."""
    height = _height(shape, width)
    down, across = (torch.arange(most) + 0.5)[:, None], torch.arange(most) + 0.5
    inside = (down < height) & (across < width)
    y, x = (down - height / 2).abs(), (across - width / 2).abs()
    if shape == "disc":
        inside &= x * x + y * y <= width * width / 4
    elif shape == "triangle":  # the first row is a pixel or two wide, the last one `width`
        inside &= x <= (down + 0.5) / height * width / 2
    elif shape == "plus":
        inside &= torch.minimum(x, y) < width / 6
    return inside


def _height(shape: SmallShape, width: int) -> int:
    return -(-width // 2) if shape == "bar" else width


def _check(config: SmallScenes.Config) -> None:
    for name in ("shapes", "colours"):
        for value in getattr(config, name):
            one_of(value, SmallShape if name == "shapes" else SmallColour, f"SmallScenes.{name}")
    low, high = config.sprites
    if not 0 <= low <= high:
        raise ConfigError(f"sprites = {config.sprites}", "the fewest, 0 or more, and the most")
    if not config.shapes or len(config.widths) not in (0, len(config.shapes)):
        raise ConfigError(f"{len(config.widths)} widths of {len(config.shapes)} shapes", "one for each, or none")
    sizes = config.widths or config.extent
    if not 1 <= min(sizes) <= max(sizes) <= config.size or config.extent[0] > config.extent[1]:
        raise ConfigError(
            f"sprites {' to '.join(map(str, sizes))} pixels wide in an image of {config.size}",
            "at least 1 pixel, the smaller first, and no wider than the image",
        )
    if not 0 <= config.background <= 1:
        raise ConfigError(f"background = {config.background}", "a grey from 0 to 1")
    _check_held_out(config)
    if config.colours and config.distinct_colours and high > len(config.colours):
        raise ConfigError(
            f"{high} sprites in different colours out of {len(config.colours)}", fix="more colours or fewer sprites"
        )


def _check_held_out(config: SmallScenes.Config) -> None:
    if config.held_out is None:
        if config.rule == "with":
            raise ConfigError("rule = 'with' and nothing held out", "held_out = (a shape, a colour)")
        return
    for value, kind, known in zip(config.held_out, (SmallShape, SmallColour), (config.shapes, config.colours)):
        one_of(value, kind, "SmallScenes.held_out")
        if value not in known:
            raise ConfigError(f"held_out = {config.held_out} of scenes that have no {value}", f"one of {known}")
    if config.rule == "with" and config.sprites[1] == 0:
        raise ConfigError("rule = 'with' and no sprites", "at least one sprite")
    if config.rule == "without" and len(config.shapes) == len(set(config.colours)) == 1 and config.sprites[0] > 0:
        raise ConfigError(f"nothing but {config.held_out} to draw, which is held out", "another shape or colour")
