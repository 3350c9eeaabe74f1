"""What is seen of an arena: pictures, masks, every sprite's own layer, and the factors themselves.

Three renderers draw the same scene and differ by a few grey levels, so a model is used with the renderer that it was
trained with; a dataset's identity and an environment's configuration name it.

    exact   the pixels of Spriteworld (Watters et al. 2019), to the bit: integer polygons, shrunk with a Lanczos filter
    pil     the same by Pillow itself, scene by scene, where it is to be checked
    fast    exact area coverage, many times as fast
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64, UInt8
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from percepts.core.config import Config
from percepts.core.errors import ConfigError
from percepts.data.hashing import hashed_uniform
from percepts.envs.spriteworld.state import Sprites, writings
from percepts.rendering.colour import hsv_bytes
from percepts.rendering.exact_sprites import render_sprites_exactly
from percepts.rendering.scene import SpriteScene
from percepts.rendering.sprites2d import render_sprites

Key = Literal["image", "segmentation", "layers", "factors", "present", "success"]
Observation = dict[str, Tensor]


PICTURES = ("image", "segmentation", "layers")
"""The keys that take drawing."""
_AT_ONCE = 32
"""Scenes whose pictures become bytes at a time: as many as the caches hold."""


@dataclass(frozen=True)
class Observer(Config):
    """What an observation holds, and how pictures are drawn.

    Raises:
        ConfigError: no or unknown keys, sizes below 1, a background that is no colour, or pictures that are not square
            with the renderer "fast".
    """

    keys: tuple[Key, ...] = ("image",)
    """`image` uint8 [B,H,W,3] (see `image_as`); `segmentation` int64 [B,H,W], 0 = background, n = sprite n - 1;
    `layers` uint8 [B,N,H,W,4], red, green, blue and alpha of every sprite as if it were alone; `factors` float32
    [B,N,10] in the order of `FACTORS`, 0 for absent sprites; `present` bool [B,N]; `success` bool [B]."""
    renderer: Literal["exact", "fast", "pil"] = "exact"
    height: int = 64
    width: int = 64
    supersampling: int = 5
    """Canvas pixels along every side of a pixel; no matter for "fast"."""
    background: tuple[int, int, int] | Literal["random_grey"] = (0, 0, 0)
    """Of 255; "random_grey": another grey in every episode."""
    colours: Literal["hsv", "rgb"] = "hsv"
    """What a sprite's c0 to c2 are: hue, saturation and value in [0, 1], or red, green and blue of 255."""
    image_as: Literal["bytes", "floats"] = "bytes"
    """`image` as uint8 [B,H,W,3], or as models take it: float32 [B,3,H,W] in [0, 1]."""
    most: int | None = None
    """N, the places for sprites in `layers`, `factors` and `present`; None for as many as the scenes have. Give it
    where observations of scenes with fewer and with more sprites must have one shape."""

    def __post_init__(self) -> None:
        if not self.keys or len(set(self.keys)) != len(self.keys):
            raise ConfigError(f"observation keys {self.keys}", "one or more different ones", "keys = ('image',)")
        for name in ("height", "width", "supersampling", "most"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ConfigError(f"{name} = {getattr(self, name)}", "1 or more")
        if self.renderer == "fast" and self.height != self.width:
            raise ConfigError(
                f"pictures of {self.height} x {self.width} by the fast renderer", "square ones", "renderer = 'exact'"
            )
        colour = isinstance(self.background, tuple) and len(self.background) == 3
        if self.background != "random_grey" and not (colour and all(value in range(256) for value in self.background)):
            raise ConfigError(f"background = {self.background!r}", "three numbers from 0 to 255, or 'random_grey'")

    def places(self, most: int) -> int:
        """N of observations of scenes with up to `most` sprites.

        Raises:
            ConfigError: they have more than there are places for.
        """
        if self.most is not None and self.most < most:
            raise ConfigError(f"places for {self.most} sprites where scenes have up to {most}", fix=f"most = {most}")
        return self.most or most

    def observe(
        self,
        sprites: Sprites,
        success: Bool[Tensor, " batch"] | None = None,
        backdrop: Float64[Tensor, " batch"] | None = None,
    ) -> Observation:
        """What is seen of the arenas.

        Args:
            sprites: in the arenas.
            success: of the task, for the key "success".
            backdrop: the grey in [0, 1] behind every scene, where the background is "random_grey".

        Raises:
            ConfigError: more sprites than there are places for.
        """
        seen = self.drawn(sprites, backdrop) | self.told(sprites, success)
        return {key: seen[key] for key in self.keys}

    def drawn(self, sprites: Sprites, backdrop: Float64[Tensor, " batch"] | None = None) -> Observation:
        """The pictures among what is seen."""
        wanted = [key for key in self.keys if key in PICTURES]
        if not wanted:
            return {}
        pictures = self.draw(sprites, backdrop)
        seen: Observation = {key: getattr(pictures, key) for key in wanted}
        if "image" in seen and self.image_as == "floats":
            seen["image"] = pictures.image.permute(0, 3, 1, 2).float().div_(255).contiguous()
        if "layers" in seen:
            seen["layers"] = self._in_places(seen["layers"])
        return seen

    def told(self, sprites: Sprites, success: Bool[Tensor, " batch"] | None = None) -> Observation:
        """The rest of what is seen."""
        seen: Observation = {}
        if "factors" in self.keys:
            seen["factors"] = self._in_places(sprites.factors.float())
        if "present" in self.keys:
            seen["present"] = self._in_places(sprites.present.clone())
        if "success" in self.keys:
            seen["success"] = sprites.present.new_zeros(len(sprites)) if success is None else success.clone()
        return seen

    def draw(self, sprites: Sprites, backdrop: Float64[Tensor, " batch"] | None = None) -> Pictures:
        """The pictures; what the keys do not ask for is None, but for the image."""
        colour = self.rgb(sprites)
        grey = self._grey(len(sprites), backdrop, colour.device)
        return _RENDERERS[self.renderer](self, sprites, colour, grey)

    def rgb(self, sprites: Sprites) -> UInt8[Tensor, "batch sprites 3"]:
        """The sprites' colours as they are drawn; black for absent ones."""
        # Not a product: what absent sprites hold may be NaN.
        colour = torch.where(sprites.present[..., None], sprites.colour.float(), 0.0)
        return hsv_bytes(colour) if self.colours == "hsv" else colour.clamp(0, 255).to(torch.uint8)

    def _in_places(self, values: Tensor) -> Tensor:
        """Values [B, sprites, …] with places left empty."""
        there = values.shape[1]
        empty = self.places(there) - there
        return torch.cat([values, values.new_zeros(len(values), empty, *values.shape[2:])], 1) if empty else values

    def _grey(
        self, batch: int, backdrop: Float64[Tensor, " batch"] | None, device: torch.device
    ) -> UInt8[Tensor, "batch 3"]:
        if self.background != "random_grey":
            return torch.tensor(self.background, dtype=torch.uint8, device=device).expand(batch, 3)
        level = torch.zeros(batch, device=device) if backdrop is None else backdrop * 255
        return level.round().to(torch.uint8)[:, None].expand(batch, 3)


@dataclass(frozen=True)
class Pictures:
    """Drawn arenas; see `Observer.keys`."""

    image: UInt8[Tensor, "batch height width 3"]
    segmentation: Int64[Tensor, "batch height width"] | None = None
    layers: UInt8[Tensor, "batch sprites height width 4"] | None = None


class Screen:
    """Observes arenas step by step, and draws only those in which something has changed since the last time: the same
    observations as the observer's own, sooner.

    Args:
        observer: what is seen.
    """

    def __init__(self, observer: Observer) -> None:
        self.observer = observer
        self._shown: tuple[Sprites, list[int], Tensor | None, Observation] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"observer": self.observer, "_shown": None}

    def observe(
        self,
        sprites: Sprites,
        success: Bool[Tensor, " batch"] | None = None,
        backdrop: Float64[Tensor, " batch"] | None = None,
    ) -> Observation:
        """As `Observer.observe`; the tensors are the caller's."""
        observer = self.observer
        if not set(PICTURES) & set(observer.keys):
            return observer.observe(sprites, success, backdrop)
        shown = self._shown
        if shown is None or shown[0].present.shape != sprites.present.shape or shown[1] != _written(shown[0]):
            pictures = {key: _short(key, value, sprites) for key, value in observer.drawn(sprites, backdrop).items()}
        else:
            before, _, behind, pictures = shown
            rows = _changed(before, sprites)
            if backdrop is not None and behind is not None:
                rows = rows | (backdrop != behind)
            index = rows.nonzero()[:, 0]
            if len(index):
                anew = observer.drawn(sprites.rows(index), None if backdrop is None else backdrop[index])
                for key, value in anew.items():
                    pictures[key].index_copy_(0, index, value.to(pictures[key].dtype))
        self._shown = sprites, _written(sprites), backdrop, pictures
        seen = observer.told(sprites, success)
        for key, value in pictures.items():
            seen[key] = value.long() if key == "segmentation" else value.clone()
        return {key: seen[key] for key in observer.keys}


def backdrop(seeds: Sequence[int], episodes: Sequence[int]) -> Tensor:
    """The grey level in [0, 1] behind an episode, a function of the stream's seed and the episode's number."""
    levels = [hashed_uniform(torch.tensor([episode]), seed, "backdrop") for seed, episode in zip(seeds, episodes)]
    return torch.cat(levels)


def _short(key: str, value: Tensor, sprites: Sprites) -> Tensor:
    """A picture as it is kept: numbers of sprites in single bytes, which are read faster than the eight of int64."""
    return value.to(torch.uint8 if sprites.present.shape[1] < 256 else torch.int32) if key == "segmentation" else value


_DRAWN = ("position", "shape", "angle", "scale", "colour")


def _written(sprites: Sprites) -> list[int]:
    """How often what is drawn was written into: sprites are values, but one that was changed shows nothing old."""
    return [writings(getattr(sprites, name)) for name in (*_DRAWN, "present")]


def _changed(before: Sprites, after: Sprites) -> Bool[Tensor, " batch"]:
    """In which arenas something else is to be drawn."""
    changed = (before.present != after.present).any(-1)
    for name in _DRAWN:
        one, other = getattr(before, name), getattr(after, name)
        if one is not other:
            differ = (one != other).flatten(2).any(-1) if one.ndim == 3 else one != other
            changed = changed | (differ & after.present).any(-1)
    return changed


def _exactly(
    observer: Observer, sprites: Sprites, colour: UInt8[Tensor, "batch sprites 3"], grey: UInt8[Tensor, "batch 3"]
) -> Pictures:
    counts = torch.tensor([len(one.vertices) for one in sprites.outlines], device=colour.device)
    counts = counts[sprites.shape.clamp(0, len(sprites.outlines) - 1)]
    drawn = render_sprites_exactly(
        sprites.corners,
        counts,
        colour,
        sprites.present,
        observer.height,
        observer.width,
        supersampling=observer.supersampling,
        background=grey,
        segmentation="segmentation" in observer.keys,
        layers="layers" in observer.keys,
    )
    return Pictures(drawn.image, drawn.segmentation, drawn.layers)


def _fast(
    observer: Observer, sprites: Sprites, colour: UInt8[Tensor, "batch sprites 3"], grey: UInt8[Tensor, "batch 3"]
) -> Pictures:
    with_layers = "layers" in observer.keys
    shapes, shape = sprites.outlines, sprites.shape * sprites.present
    if shape.device.type == "cpu" and shape.numel():
        # Every shape is work; scenes have few of them.
        used, shape = shape.unique(return_inverse=True)
        shapes = tuple(shapes[number] for number in used.tolist())
    scene = SpriteScene(
        shapes=shapes,
        shape=shape,
        position=torch.where(sprites.present[..., None], sprites.position, 0.0).float(),
        scale=torch.where(sprites.present, sprites.scale, 0.0).float(),
        angle=torch.where(sprites.present, sprites.angle, 0.0).deg2rad().float(),
        colour=colour.float() / 255,
        background=grey.float() / 255,
        visible=sprites.present,
    )
    drawn = render_sprites(
        scene, observer.height, observer.width, segmentation="segmentation" in observer.keys, coverage=with_layers
    )
    image = torch.empty(len(sprites), observer.height, observer.width, 3, dtype=torch.uint8, device=colour.device)
    at_once = _AT_ONCE if image.device.type == "cpu" else max(len(image), 1)
    for part, to in zip(drawn.image.split(at_once), image.split(at_once)):
        for channel, plane in enumerate(_bytes(part).unbind(1)):
            to[..., channel] = plane
    layers = None
    if drawn.coverage is not None:
        plain = colour[:, :, None, None].expand(-1, -1, observer.height, observer.width, -1)
        layers = torch.cat([plain, _bytes(drawn.coverage)[..., None]], -1)
    return Pictures(image, drawn.segmentation, layers)


def _bytes(image: Tensor) -> UInt8[Tensor, "..."]:
    """Numbers in [0, 1], which are overwritten, as bytes. By way of int32: half of the time on CPUs."""
    return image.mul_(255).add_(0.5).int().to(torch.uint8)


def _pillow(
    observer: Observer, sprites: Sprites, colour: UInt8[Tensor, "batch sprites 3"], grey: UInt8[Tensor, "batch 3"]
) -> Pictures:
    """By Pillow, one scene at a time; masks and layers, which Pillow has not, as "exact" gives them."""
    corners, images = sprites.corners.cpu().numpy(), []
    for scene in range(len(sprites)):
        there = sprites.present[scene].nonzero()[:, 0].tolist()
        counts = [len(sprites.outlines[int(sprites.shape[scene, sprite])].vertices) for sprite in there]
        outlines = [corners[scene, sprite, :count] for sprite, count in zip(there, counts)]
        images.append(pillow_frame(observer, outlines, colour[scene, there].tolist(), grey[scene].tolist()))
    drawn = np.stack(images) if images else np.zeros((0, observer.height, observer.width, 3), np.uint8)
    image = torch.from_numpy(drawn.copy()).to(colour.device)
    if {"segmentation", "layers"} & set(observer.keys):
        return replace(_exactly(observer, sprites, colour, grey), image=image)
    return Pictures(image)


def pillow_frame(
    observer: Observer,
    outlines: Sequence[NDArray[np.float64]],
    colours: Sequence[Sequence[int]],
    background: Sequence[int],
) -> UInt8[np.ndarray, "height width 3"]:
    """A scene as Pillow draws it, top row first.

    Args:
        observer: with what size and supersampling.
        outlines: of the sprites, the last one in front: corners in the arena [corners, 2].
        colours: of the sprites, of 255.
        background: of 255.
    """
    size = (observer.width * observer.supersampling, observer.height * observer.supersampling)
    canvas = Image.new("RGB", size, tuple(background))
    draw = ImageDraw.Draw(canvas)
    for outline, colour in zip(outlines, colours):
        draw.polygon([tuple(point) for point in (outline * size).tolist()], fill=tuple(colour))
    return np.flipud(np.asarray(canvas.resize((observer.width, observer.height), Image.Resampling.LANCZOS)))


_RENDERERS: dict[str, Callable[[Observer, Sprites, Tensor, Tensor], Pictures]] = {
    "exact": _exactly,
    "fast": _fast,
    "pil": _pillow,
}
