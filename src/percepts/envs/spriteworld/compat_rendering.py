"""Frames as the original Spriteworld 1.0.2 draws them (Watters et al. 2019), to the bit; the factors as it tells them;
and the way to the tensors of the batched arena."""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import UInt8

from percepts.core.errors import ConfigError
from percepts.envs.spriteworld.compat_sampling import CURRENT, CompatOptions
from percepts.envs.spriteworld.compat_sprite import CompatSprite, Number
from percepts.envs.spriteworld.observations import Observer, pillow_frame
from percepts.envs.spriteworld.state import FACTORS, Sprites
from percepts.rendering.exact_sprites import render_sprites_exactly


def render(
    scenes: Sequence[Sequence[CompatSprite]], observer: Observer, options: CompatOptions = CURRENT
) -> UInt8[np.ndarray, "batch height width 3"]:
    """The pictures of some scenes, top row first and in order in memory: the original gives views that run backwards.

    Raises:
        ConfigError: something about pictures that the original does not have; see `check_observer`.
    """
    check_observer(observer)
    background = observer.background
    assert background != "random_grey"
    if observer.renderer == "pil":
        return _with_pillow(scenes, observer, background, options)
    outlines = [[sprite.corners for sprite in scene] for scene in scenes]
    most = max((len(corners) for scene in outlines for corners in scene), default=3)
    places = len(scenes), max(map(len, scenes), default=0)
    corners, colours = np.zeros((*places, most, 2)), np.zeros((*places, 3), np.uint8)
    counts = np.zeros(places, np.int64)
    to_rgb = _TO_RGB[observer.colours]
    for row, scene in enumerate(scenes):
        for place, (sprite, outline) in enumerate(zip(scene, outlines[row])):
            counts[row, place] = len(outline)
            corners[row, place] = outline[np.minimum(np.arange(most), len(outline) - 1)]
            colours[row, place] = to_rgb(sprite.colour, options)
    drawn = render_sprites_exactly(
        torch.from_numpy(corners), torch.from_numpy(counts), torch.from_numpy(colours), torch.from_numpy(counts > 0),
        observer.height, observer.width, observer.supersampling, background,
    )  # fmt: skip
    return drawn.image.numpy()


def check_observer(observer: Observer) -> None:
    """Make sure that the original observes all this.

    Raises:
        ConfigError: it does not.
    """
    unknown = set(observer.keys) - {"image", "factors", "success"}
    if unknown:
        raise ConfigError(f"the original does not observe {', '.join(sorted(unknown))}", "image, factors or success")
    if observer.renderer == "fast":
        raise ConfigError("pictures of the fast renderer", "renderer = 'exact'")
    if observer.background == "random_grey":
        raise ConfigError("the original has no random background", "a colour", "background = (0, 0, 0)")
    if observer.image_as != "bytes":
        raise ConfigError(f"the original gives no pictures as {observer.image_as}", "image_as = 'bytes'")
    if observer.most is not None:
        got = f"most = {observer.most}: the original lists the factors of the sprites that there are"
        raise ConfigError(got, "most = None")


def _with_pillow(
    scenes: Sequence[Sequence[CompatSprite]],
    observer: Observer,
    background: tuple[int, int, int],
    options: CompatOptions,
) -> UInt8[np.ndarray, "batch height width 3"]:
    to_rgb = _TO_RGB[observer.colours]
    frames = np.zeros((len(scenes), observer.height, observer.width, 3), np.uint8)
    for frame, scene in zip(frames, scenes):
        colours = [to_rgb(sprite.colour, options) for sprite in scene]
        frame[:] = pillow_frame(observer, [sprite.corners for sprite in scene], colours, background)
    return frames


def hsv_to_rgb(hsv: tuple[Number, Number, Number], options: CompatOptions = CURRENT) -> tuple[int, int, int]:
    """Red, green and blue of 255, cut off behind the point, with the precision of `options.numpy`."""
    if options.numpy == 1 and hsv[1] != 0:  # Grey is returned as it came, in its own precision.
        hsv = tuple(value.item() if isinstance(value, np.generic) else value for value in hsv)  # type: ignore[assignment]
    red, green, blue = (255 * np.array(colorsys.hsv_to_rgb(*hsv))).astype(np.uint8)  # type: ignore[arg-type]
    return int(red), int(green), int(blue)


def factor_list(sprites: Sequence[CompatSprite]) -> list[dict[str, float]]:
    """All factors of every sprite by name, the shape by its number."""
    return [{name: float(value) for name, value in sprite.factors.items()} for sprite in sprites]


def as_tensors(scenes: Sequence[Sequence[CompatSprite]]) -> Sprites:
    """The same scenes for the batched arena, empty places behind; outlines are those of the factors."""
    most = max(map(len, scenes), default=0)
    factors = torch.zeros(len(scenes), most, len(FACTORS), dtype=torch.float64)
    present = torch.zeros(len(scenes), most, dtype=torch.bool)
    for row, scene in enumerate(scenes):
        for place, sprite in enumerate(factor_list(scene)):
            factors[row, place] = torch.tensor([sprite[name] for name in FACTORS], dtype=torch.float64)
            present[row, place] = True
    return Sprites.of(factors, present)


def _whole(colour: tuple[Number, Number, Number], options: CompatOptions) -> tuple[int, ...]:
    return tuple(int(value) for value in colour)


_TO_RGB: dict[str, Callable[[tuple[Number, Number, Number], CompatOptions], tuple[int, ...]]] = {
    "hsv": hsv_to_rgb,
    "rgb": _whole,
}
"""By what a sprite's c0 to c2 are."""
