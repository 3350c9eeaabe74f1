"""Multi-dSprites, generated: several dSprites in an image, painted over each other.

Of the published Multi-dSprites (multi_object_datasets, Kabra et al. 2019) the sprites' grid, their numbers in each
variant and the order of painting are known; the ranges of its HSV colours are not. Those here are ours.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from percepts.core.errors import ConfigError, DataError
from percepts.data.dsprites import DSprites
from percepts.data.flat_scenes import FlatScene, FlatScenes, GeneratedConfig, with_background
from percepts.data.hashed_draws import Attempt, Draws, Values, first_accepted
from percepts.data.scenes import Property
from percepts.data.sprite_masks import Placed, SpriteKind, put, sprite_masks, windows
from percepts.rendering.colour import hsv_to_rgb

KINDS: tuple[SpriteKind, ...] = ("square", "ellipse", "heart")
FACTORS = ("shape", "scale", "orientation", "position_x", "position_y")
_SPRITES = {"binarized": (2, 3), "colored_on_grayscale": (2, 5), "colored_on_colored": (1, 4), "genesis": (1, 4)}
_GENESIS_LEVELS = (0, 63, 127, 191, 255)

Variant = Literal["binarized", "colored_on_grayscale", "colored_on_colored", "genesis"]


class MultiDSprites(FlatScenes):
    """dSprites over each other, in the order of their numbers: later ones hide earlier ones.

    The shapes are drawn by formulas, or are those of the user's dSprites file. Properties: `shape` (0 none, 1 square, 2
    ellipse, 3 heart), `x` to the right and `y` down in [0, 1] over the 32 places of dSprites, `scale` in [0.5, 1],
    `orientation` in radians (clockwise on the screen where we draw), the RGB `colour` but in the binarized variant, and
    the `layer`, 1 for the farthest sprite.

    A sprite may be hidden or have the colour of the background, unless `min_pixels` and `min_contrast` exclude it.

    Raises:
        ConfigError: settings that do not go together.
        DataError: a file that is not dSprites.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(GeneratedConfig):
        """Settings.

        Attributes:
            variant: which colours. "binarized": white on black, one channel. "colored_on_grayscale": sprites of any
                hue, saturation and value from 0.5, on any grey. "colored_on_colored": any RGB on any. "genesis": every
                channel one of 0, 63, 127, 191 and 255 (Engelcke et al. 2020).
            sprites: the fewest and the most in a scene, all numbers as likely; None for those of the variant.
            size: pixels a side; with a file it is the file's.
            min_contrast: by how much every sprite differs from the background in some channel, at least.
            min_pixels: sprites of which fewer pixels can be seen are left out, so that there may be fewer sprites.
            textured: every sprite has dark stripes or a chequered pattern that turns with it.
            same_colour: all sprites of a scene have one colour.
            unique_colours: all sprites of a scene and its background differ in colour.
            rule: which scenes there are: all, or only those without a green square, or only those with at least one;
                green is a hue from 0.25 to 0.42 at a saturation and value of 0.5 or more.
            path: of the dSprites `.npz` file; none to draw the shapes by formulas.
            cache: a folder for the unpacked file, as `DSprites` takes it.
        """

        variant: Variant = "colored_on_colored"
        sprites: tuple[int, int] | None = None
        size: int = 64
        min_contrast: float = 0.0
        min_pixels: int = 0
        textured: bool = False
        same_colour: bool = False
        unique_colours: bool = False
        rule: Literal["all", "without_green_squares", "with_green_squares"] = "all"
        path: str | None = None
        cache: str | None = None

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        _check(config)
        self._binary = config.variant == "binarized"
        self._file = DSprites(DSprites.Config(path=config.path, cache=config.cache)) if config.path else None
        size = config.size if self._file is None else _size_of(self._file)
        self._values = [_values(name) if self._file is None else self._file.factor_values(name) for name in FACTORS]
        self._sprites = config.sprites or _SPRITES[config.variant]
        self.image_shape = (1 if self._binary else 3, size, size)
        self.entities = 1 + self._sprites[1]
        self.properties = _properties(self._binary, self.entities)

    def _scene(self, draws: Draws) -> FlatScene:
        found, values = self.sprites(draws)
        placed = placed_at(values, self.image_shape[1])
        there = found["there"]
        masks = self._masks(found["index"], placed, there)
        if self.config.min_pixels:
            there = there & _large_enough(masks, self.config.min_pixels)
            masks = masks & there[..., None, None]
        colour = found["colour"] * there[..., None]
        shape, scale, angle, x, y = (value.float() * there for value in values)
        layer = torch.arange(1, there.shape[1] + 1, device=there.device) * there
        properties = {"shape": shape.long(), "x": x, "y": y, "scale": scale, "orientation": angle, "layer": layer}
        if not self._binary:
            properties["colour"] = colour
        return FlatScene(
            with_background(masks, True),
            torch.cat([found["background"], colour], dim=1),
            {name: with_background(value) for name, value in properties.items()},
            with_background(self._texture(draws, placed, there), 1) if self.config.textured else None,
        )

    def sprites(self, draws: Draws) -> tuple[Values, list[Float64[Tensor, "batch sprites"]]]:
        """What there is: `index` int64 [B,N,5] on dSprites' grid, `there` bool [B,N], `colour` [B,N,C] and `background`
        [B,1,C]; and the values of every factor in the order of `FACTORS`.

        Raises:
            DataError: no scene fits the rules.
        """
        found = first_accepted(draws, self._content, "sprites by the rules", "a lower min_contrast, or another rule")
        device = draws.number.device
        return found, [value.to(device)[index] for value, index in zip(self._values, found["index"].unbind(-1))]

    def _content(self, attempt: Attempt) -> tuple[Values, Bool[Tensor, " rows"]]:
        """What `sprites` gives, and what the rules accept."""
        config, draws, most = self.config, attempt.place, self._sprites[1]
        sizes = torch.tensor([len(values) for values in self._values], device=draws.number.device)
        index = draws.whole("factors", 0, sizes - 1, most, len(FACTORS))
        count = draws.whole("sprites", *self._sprites)
        there = torch.arange(most, device=count.device) < count[:, None]
        colour, background = self._colours(draws, most)
        good = torch.ones_like(count, dtype=torch.bool)
        if config.min_contrast:
            contrast = (colour - background).abs().amax(2)
            good &= (contrast >= config.min_contrast).logical_or(~there).all(1)
        if config.unique_colours:
            good &= _all_differ(torch.cat([background, colour], dim=1), with_background(there, True))
        if config.rule != "all":
            squares = self._values[0].to(index.device)[index[..., 0]] == 1
            some = (squares & there & is_green(colour)).any(1)
            good &= some == (config.rule == "with_green_squares")
        return {"index": index, "there": there, "colour": colour, "background": background}, good

    def _colours(self, draws: Draws, most: int) -> tuple[Float[Tensor, "rows sprites c"], Float[Tensor, "rows 1 c"]]:
        """Of the sprites and of the background, of 256 levels as images have them."""
        variant, kinds = self.config.variant, 1 if self.config.same_colour else most
        if self._binary:
            ones = draws.number.new_ones(len(draws.number), most, 1).float()
            return ones, torch.zeros_like(ones[:, :1]) if most else ones.new_zeros(len(ones), 1, 1)
        if variant == "colored_on_grayscale":
            hsv = draws.uniform("colour", kinds, 3)
            hsv[..., 1:] = 0.5 + 0.5 * hsv[..., 1:]
            colour = (hsv_to_rgb(hsv) * 255).round()
            background = draws.whole("background", 0, 255, 1, 1).expand(-1, 1, 3)
        elif variant == "genesis":
            levels = torch.tensor(_GENESIS_LEVELS, device=draws.number.device)
            colour = levels[draws.whole("colour", 0, 4, kinds, 3)]
            background = levels[draws.whole("background", 0, 4, 1, 3)]
        else:
            colour = draws.whole("colour", 0, 255, kinds, 3)
            background = draws.whole("background", 0, 255, 1, 3)
        return colour.float().div(255).expand(-1, most, 3), background.float() / 255

    def _masks(
        self, index: Int64[Tensor, "batch sprites factors"], placed: Placed, there: Bool[Tensor, "batch sprites"]
    ) -> Bool[Tensor, "batch sprites size size"]:
        size = self.image_shape[1]
        masks = torch.zeros(*there.shape, size, size, dtype=torch.bool, device=there.device)
        if self._file is None:
            masks[there] = sprite_masks(index[there][:, 0], KINDS, placed.some(there), size / 64, size)
        else:
            masks[there] = self._file.render(index[there])[:, 0] > 0.5
        return masks

    def _texture(self, draws: Draws, placed: Placed, there: Bool[Tensor, "batch sprites"]) -> Tensor:
        """What the colour of every pixel is multiplied with: 1, and 0.4 in stripes 2 to 4 pixels wide in an image
        of 64; half of the sprites have them along both axes, a chequered pattern."""
        size = self.image_shape[1]
        shade = torch.ones(*there.shape, size, size, device=there.device)
        width = draws.between("stripes", (2.0, 4.0), there.shape[1])[there] * size / 64
        width = (width / placed.scale[there]).float()[:, None, None]
        both = (draws.uniform("chequered", there.shape[1]) < 0.5)[there][:, None, None]
        window = windows(placed.some(there), size if self._file else 16 * size / 64, size)
        dark = (window.u / width).floor() + torch.where(both, (window.v / width).floor(), 0)
        rows = there.flatten().nonzero()[:, 0]
        put(shade.view(-1, size, size), rows, window, 1 - 0.6 * dark.remainder(2))
        return shade


def without_green_squares(test: bool = False) -> MultiDSprites.Config:
    """Coloured sprites on grey without green squares, or for the `test` of generalisation scenes with at least one:
    squares and green were seen before, but not together."""
    rule: Literal["without_green_squares", "with_green_squares"]
    rule = "with_green_squares" if test else "without_green_squares"
    return MultiDSprites.Config(variant="colored_on_grayscale", rule=rule)


def more_sprites(sprites: int, config: MultiDSprites.Config | None = None) -> MultiDSprites.Config:
    """Scenes of exactly `sprites` sprites, more than in training."""
    return dataclasses.replace(config or MultiDSprites.Config(), sprites=(sprites, sprites))


def is_green(colour: Float[Tensor, "*shape 3"]) -> Bool[Tensor, "*shape"]:
    """Whether the hue is from 0.25 to 0.42 at a saturation and value of 0.5 or more."""
    high, low = colour.amax(-1), colour.amin(-1)
    red, green, blue = colour.unbind(-1)
    span = (high - low).clamp(min=1e-6)
    hue = (2 + (blue - red) / span) / 6
    return (green == high) & (hue >= 0.25) & (hue <= 0.42) & (high >= 0.5) & (span >= 0.5 * high)


def _all_differ(colours: Float[Tensor, "rows n c"], there: Bool[Tensor, "rows n"]) -> Bool[Tensor, " rows"]:
    same = (colours[:, :, None] == colours[:, None]).all(-1) & there[:, :, None] & there[:, None]
    return ~same.triu(1).flatten(1).any(1)


def _large_enough(masks: Bool[Tensor, "batch sprites h w"], pixels: int) -> Bool[Tensor, "batch sprites"]:
    """Which sprites show enough pixels. The nearest are judged first: those left out hide nothing."""
    left: list[Tensor] = []
    free = ~torch.zeros_like(masks[:, :0].any(1))
    for mask in reversed(masks.unbind(1)):
        shown = (mask & free).flatten(1).sum(1) >= pixels
        left.append(shown)
        free = free & ~(mask & shown[:, None, None])
    return torch.stack(left[::-1], dim=1) if left else masks.flatten(2).any(2)


def placed_at(values: list[Tensor], size: int) -> Placed:
    """Sprites of these factors: centres from pixel 16 to pixel 47 of 64, so that none is cut."""
    _, scale, angle, x, y = values
    unit = size / 64
    # The middle of the image is at 31.5 of 64 pixels, and in the middle at any size.
    column, row = ((15.5 * (2 * place - 1) + 32) * unit - 0.5 for place in (x, y))
    return Placed(column, row, angle, scale * unit)


def _values(name: str) -> Tensor:
    """dSprites' own values of a factor."""
    ends = {"shape": (1, 3, 3), "scale": (0.5, 1, 6), "orientation": (0, 2 * math.pi, 40)}.get(name, (0, 1, 32))
    return torch.linspace(*ends, dtype=torch.float64)


def _size_of(file: DSprites) -> int:
    _, height, width = file.image_shape
    if height != width or file.factor_names != FACTORS:
        raise DataError(f"sprites of {height} x {width} pixels with {', '.join(file.factor_names)}", "square dSprites")
    return height


def _properties(binary: bool, entities: int) -> dict[str, Property]:
    known = {
        "shape": Property("categorical", 4, ("none", *KINDS)),
        "x": Property("numeric"),
        "y": Property("numeric"),
        "scale": Property("numeric"),
        "orientation": Property("angle"),
        "layer": Property("categorical", entities),
    }
    return known if binary else known | {"colour": Property("numeric", 3, ("red", "green", "blue"))}


def _check(config: MultiDSprites.Config) -> None:
    low, high = config.sprites or (1, 1)
    if not 0 <= low <= high:
        raise ConfigError(f"sprites = {config.sprites}", "the fewest, 0 or more, and the most")
    if config.size < 16 or (config.path and config.size != 64):
        raise ConfigError(f"size = {config.size}", "16 or more, and the default with a file, whose size counts")
    if not 0 <= config.min_contrast <= 1 or config.min_pixels < 0:
        raise ConfigError(
            f"min_contrast = {config.min_contrast}, min_pixels = {config.min_pixels}", "0 to 1, and 0 or more"
        )
    if config.variant == "binarized" and (config.rule != "all" or config.unique_colours or config.min_contrast):
        raise ConfigError("rules about colours of binarized sprites", "another variant")
    if config.same_colour and config.unique_colours:
        raise ConfigError("same_colour together with unique_colours", "one of them")
