"""A batched 2-D rasteriser: B scenes of N sprites at once, exact anti-aliasing, any size and device, no randomness.

    scene = SpriteScene(shapes=(square(),), shape=..., position=..., scale=..., angle=..., colour=...)
    rendered = render_sprites(scene, height=64, width=64)
    rendered.image, rendered.segmentation

Every sprite is drawn in a small window around it. Sprites of one shape are covered together, then the windows are
laid over the canvas from the farthest to the nearest sprite.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from percepts.core.errors import DataError
from percepts.rendering.coverage import ellipse_coverage, polygon_coverage
from percepts.rendering.shapes import Ellipse, Shape

_DUST = 1e-6
"""Coverage below this is rounding: the background stays exactly the background."""

_CPU_CHUNK, _GPU_CHUNK = 1 << 20, 1 << 26
"""Window pixels worked on at a time: about what the caches hold, and what a GPU needs to be busy."""


@dataclass(frozen=True)
class SpriteScene:
    """B scenes of N sprites.

    World coordinates: (0, 0) is the lower left corner of the frame and (1, 1) the upper right one, **y points up** and
    image row 0 is the top. Lengths are fractions of the frame's shorter side, so shapes keep their proportions.

    Attributes:
        shapes: the shapes that `shape` chooses from.
        shape: which shape, an index into `shapes`.
        position: where the origin of the shape lies.
        scale: factor on the unit shape, >= 0.
        angle: rotation in radians, counter-clockwise.
        colour: colour of every sprite, in [0, 1]; one channel or three.
        background: colour behind all sprites, for all scenes or for each; black if None.
        visible: which sprites exist; all if None.
        depth: distance from the viewer, nearer sprites hide farther ones, among equals the later one is in front. If
            None, sprites are in drawing order: the last is in front.
    """

    shapes: tuple[Shape, ...]
    shape: Int64[Tensor, "batch sprites"]
    position: Float[Tensor, "batch sprites 2"]
    scale: Float[Tensor, "batch sprites"]
    angle: Float[Tensor, "batch sprites"]
    colour: Float[Tensor, "batch sprites channels"]
    background: Float[Tensor, "*batch channels"] | None = None
    visible: Bool[Tensor, "batch sprites"] | None = None
    depth: Float[Tensor, "batch sprites"] | None = None


@dataclass(frozen=True)
class RenderedSprites:
    """What `render_sprites` gives.

    Attributes:
        image: in [0, 1].
        segmentation: 0 = background, n = sprite n - 1 of the scene covers at least half of the pixel and no nearer one
            does; None if not asked for.
        coverage: the share of the pixel that every sprite covers, as if it were alone; None if not asked for.
    """

    image: Float[Tensor, "batch channels height width"]
    segmentation: Int64[Tensor, "batch height width"] | None
    coverage: Float[Tensor, "batch sprites height width"] | None


@torch.no_grad()
def render_sprites(
    scene: SpriteScene,
    height: int,
    width: int,
    *,
    hard: bool = False,
    segmentation: bool = True,
    coverage: bool = False,
    chunk: int | None = None,
) -> RenderedSprites:
    """Draw the scenes, on the device of their tensors.

    Args:
        scene: what to draw.
        height: rows of the image.
        width: columns of the image.
        hard: no anti-aliasing: a sprite takes the pixels that it covers by half or more.
        segmentation: also give who is seen where.
        coverage: also give every sprite's own mask.
        chunk: scenes drawn at a time; a choice of speed and memory that does not change the result.

    Raises:
        DataError: tensors that do not fit together, numbers that are not finite, an unknown shape, a negative scale.
    """
    _check(scene, height, width)
    batch, sprites, channels = scene.colour.shape
    device = scene.colour.device
    background = torch.zeros(channels, device=device) if scene.background is None else scene.background.float()
    result = RenderedSprites(
        torch.empty(batch, channels, height, width, device=device),
        torch.zeros(batch, height, width, dtype=torch.int64, device=device) if segmentation else None,
        torch.zeros(batch, sprites, height, width, device=device) if coverage else None,
    )
    if not batch * sprites:
        result.image.copy_(background.expand(batch, channels)[:, :, None, None])
        return result
    placed, extent = _place(scene, height, width)
    window = min(extent + 2, height) * min(extent + 2, width)
    budget = _CPU_CHUNK if device.type == "cpu" else _GPU_CHUNK
    chunk = chunk or max(1, int(budget / (sprites * window)))
    canvas = max(1, budget // (channels * height * width))
    for start in range(0, batch, chunk):
        windows = _windows(scene.shapes, placed.scenes(slice(start, start + chunk)), (height, width), hard)
        for first in range(start, min(start + chunk, batch), canvas):
            piece = slice(first, min(first + canvas, start + chunk, batch))
            result.image[piece] = background.expand(batch, channels)[piece, :, None, None]
            if windows is not None:
                _lay(windows, slice(piece.start - start, piece.stop - start), result, piece)
    return result


@dataclass
class _Placed:
    """Sprites in pixels, [B, N] each, sorted from far to near; y down from here on."""

    number: Tensor
    shape: Tensor
    x: Tensor
    y: Tensor
    scale: Tensor
    sine: Tensor
    cosine: Tensor
    colour: Tensor
    drawn: Tensor

    def scenes(self, piece: slice) -> _Placed:
        return _Placed(*(value[piece] for value in vars(self).values()))

    def sprites(self, index: Tensor) -> _Placed:
        """Chosen sprites by index into the flattened [N, B] (far to near, then scene), as [n] tensors."""
        return _Placed(*(value.transpose(0, 1).flatten(0, 1)[index] for value in vars(self).values()))


@dataclass
class _Group:
    """The sprites of one shape that reach into the frame: where they are in [N * B], the pixels [low, high) of the
    frame, [2, n] each, that hold them, and their corners [2, V, n] (or centres, V = 1) in pixels from `low`."""

    shape: Shape
    index: Tensor
    sprites: _Placed
    outline: Tensor
    low: Tensor
    high: Tensor


@dataclass
class _Windows:
    """A covered window for every sprite, from far to near: `cover` [N, B, rows, columns], and `start` [N, B], the
    number of its first pixel in the flattened frame."""

    cover: Tensor
    start: Tensor
    colour: Tensor
    number: Tensor


def _place(scene: SpriteScene, height: int, width: int) -> tuple[_Placed, float]:
    """Sprites in pixels, sorted by depth, and the largest extent of any of them."""
    batch, sprites = scene.shape.shape
    radii = torch.tensor([shape.radius for shape in scene.shapes], dtype=torch.float32, device=scene.shape.device)
    number = torch.arange(1, sprites + 1, device=scene.shape.device).expand(batch, sprites)
    x, y = scene.position[..., 0].float() * width, (1 - scene.position[..., 1].float()) * height
    scale, angle = scene.scale.float() * min(height, width), scene.angle.double()
    # Double precision: the last bit of a float32 sine depends on how many are computed at a time.
    drawn = scale > 0 if scene.visible is None else (scale > 0) & scene.visible
    extent = 2 * float((scale * radii[scene.shape]).max())
    placed = _Placed(
        number, scene.shape, x, y, scale, angle.sin().float(), angle.cos().float(), scene.colour.float(), drawn
    )
    if scene.depth is not None:
        order = scene.depth.argsort(dim=1, descending=True, stable=True)
        rows = torch.arange(batch, device=order.device)[:, None]
        placed = _Placed(*(value[rows, order] for value in vars(placed).values()))
    return placed, extent


def _windows(shapes: tuple[Shape, ...], placed: _Placed, size: tuple[int, int], hard: bool) -> _Windows | None:
    """Cover a window of one size, the smallest that does for all, around every sprite; None if none is to be seen."""
    height, width = size
    batch, sprites = placed.shape.shape
    frame = torch.tensor([[width], [height]], device=placed.x.device)
    found = (_group(shape, number, placed, frame) for number, shape in enumerate(shapes))
    groups = [group for group in found if group is not None]
    if not groups:
        return None
    columns, rows = torch.stack([(group.high - group.low).amax(1) for group in groups]).amax(0).tolist()
    cover = placed.x.new_zeros(sprites * batch, rows * columns)
    start = torch.zeros(sprites * batch, dtype=torch.int64, device=cover.device)
    extent = torch.tensor([[columns], [rows]], device=cover.device)
    for group in groups:
        corner = torch.minimum(group.low, frame - extent)
        start[group.index] = corner[1] * width + corner[0]
        cover.index_copy_(0, group.index, _cover(group, (corner - group.low).float(), rows, columns))
    cover = (cover >= 0.5).float() if hard else torch.threshold_(cover.clamp_(max=1), _DUST, 0.0)
    return _Windows(
        cover.view(sprites, batch, rows, columns),
        start.view(sprites, batch),
        placed.colour.transpose(0, 1),
        placed.number.T,
    )


def _group(shape: Shape, number: int, placed: _Placed, frame: Tensor) -> _Group | None:
    index = ((placed.shape == number) & placed.drawn).T.flatten().nonzero()[:, 0]
    sprites = placed.sprites(index)
    centre = torch.stack([sprites.x, sprites.y])
    origin = centre.floor()
    # Relative to a whole pixel near the sprite, so that a sprite looks the same to the last bit wherever it is.
    outline = (centre - origin)[:, None]
    if isinstance(shape, Ellipse):
        reach = torch.stack([
            ((sprites.cosine * shape.semi_x).square() + (sprites.sine * shape.semi_y).square()).sqrt(),
            ((sprites.sine * shape.semi_x).square() + (sprites.cosine * shape.semi_y).square()).sqrt(),
        ]) * sprites.scale  # fmt: skip
        low, high = outline[:, 0] - reach, outline[:, 0] + reach
    else:
        corners = torch.tensor(shape.array, dtype=torch.float32, device=frame.device).T[:, :, None]
        across, up = corners * sprites.scale
        outline = outline + torch.stack(
            [sprites.cosine * across - sprites.sine * up, -sprites.sine * across - sprites.cosine * up]
        )
        low, high = outline.amin(1), outline.amax(1)
    low, high = (low.floor() + origin).clamp(min=0), torch.minimum(high.ceil() + origin, frame)
    kept = (low < high).all(0).nonzero()[:, 0]
    if not len(kept):
        return None
    if len(kept) < len(index):
        index, sprites, outline = index[kept], placed.sprites(index[kept]), outline[..., kept]
        low, high, origin = low[:, kept], high[:, kept], origin[:, kept]
    return _Group(shape, index, sprites, outline - (low - origin)[:, None], low.long(), high.long())


def _cover(group: _Group, shift: Tensor, rows: int, columns: int) -> Tensor:
    """The coverage [n, rows * columns] of windows that start `shift` pixels [2, n] from `group.low`."""
    outline = group.outline
    shape, sprites = group.shape, group.sprites
    if isinstance(shape, Ellipse):
        to_circle = torch.stack(
            [
                torch.stack([sprites.cosine, -sprites.sine]) / (shape.semi_x * sprites.scale),
                torch.stack([-sprites.sine, -sprites.cosine]) / (shape.semi_y * sprites.scale),
            ]
        )
        cover = ellipse_coverage(outline[:, 0], to_circle, shift[0], shift[1], rows, columns)
    else:
        cover = polygon_coverage(outline[0], outline[1], shift[0], shift[1], rows, columns)
        if shape.signed_area < 0:
            cover.neg_()
    # Nothing but rounding lies outside of the sprite's own box, whose place in the window depends on the batch.
    for axis, count in enumerate((columns, rows)):
        pixels = torch.arange(count, device=cover.device)[:, None] + shift[axis]
        mask = ((pixels >= 0) & (pixels < (group.high - group.low)[axis])).float()
        cover.mul_(mask if axis == 0 else mask[:, None])
    return cover.flatten(0, 1).t().contiguous()


def _lay(windows: _Windows, members: slice, result: RenderedSprites, scenes: slice) -> None:
    """Lay the windows of some scenes over their part of the canvas, from far to near."""
    image = result.image[scenes]
    batch, channels, height, width = image.shape
    size = height * width
    rows, columns = windows.cover.shape[2:]
    scene = torch.arange(batch, device=image.device) * size
    pictures = _every_window(image, rows, columns)
    labels = None if result.segmentation is None else _every_window(result.segmentation[scenes][:, None], rows, columns)
    masks = (
        None
        if result.coverage is None
        else _every_window(result.coverage[scenes].flatten(0, 1)[:, None], rows, columns)
    )
    for cover, start, colour, number in zip(
        windows.cover[:, members], windows.start[:, members], windows.colour[:, members], windows.number[:, members]
    ):
        cover = cover[:, None]
        place = start + scene * channels
        below = pictures.index_select(0, place)
        pictures.index_copy_(0, place, below.lerp_(colour[:, :, None, None], cover))
        if labels is not None:
            place = start + scene
            below = labels.index_select(0, place)
            labels.index_copy_(0, place, torch.where(cover >= 0.5, number[:, None, None, None], below))
        if masks is not None:
            masks.index_copy_(0, start + scene * len(windows.cover) + (number - 1) * size, cover)


def _every_window(canvas: Tensor, rows: int, columns: int) -> Tensor:
    """A view [S, C, rows, columns] of all windows of a contiguous canvas [B, C, H, W] by their first pixel in memory.

    Windows overlap in memory; index_copy_ may write them as long as those of one call do not. Moving whole windows is
    several times cheaper than moving single pixels by index.
    """
    channels, height, width = canvas.shape[1:]
    last = (channels - 1) * height * width + (rows - 1) * width + columns - 1
    return canvas.as_strided((canvas.numel() - last, channels, rows, columns), (1, height * width, width, 1),
                             canvas.storage_offset())  # fmt: skip


def _check(scene: SpriteScene, height: int, width: int) -> None:
    if height < 1 or width < 1:
        raise DataError(f"an image of {height} x {width} pixels", "at least one row and one column")
    if scene.colour.ndim != 3:
        raise DataError(f"colour of shape {tuple(scene.colour.shape)}", "[B, N, C]")
    batch, sprites, channels = scene.colour.shape
    wanted = {"shape": (batch, sprites), "position": (batch, sprites, 2), "scale": (batch, sprites),
              "angle": (batch, sprites), "visible": (batch, sprites), "depth": (batch, sprites)}  # fmt: skip
    for name, shape in wanted.items():
        value = getattr(scene, name)
        if value is not None and tuple(value.shape) != shape:
            raise DataError(f"{name} of shape {tuple(value.shape)}", f"{list(shape)}, to go with colour")
    if scene.background is not None and tuple(scene.background.shape) not in ((channels,), (batch, channels)):
        raise DataError(
            f"background of shape {tuple(scene.background.shape)}", f"[{channels}] or [{batch}, {channels}]"
        )
    if not batch * sprites:
        return
    for name in ("position", "scale", "angle", "colour", "background", "depth"):
        value = getattr(scene, name)
        if value is not None and not bool(torch.isfinite(value).all()):
            bad = int((~torch.isfinite(value)).sum())
            raise DataError(f"{bad} values of '{name}' are NaN or infinite", "finite numbers")
    if bool((scene.scale < 0).any()):
        raise DataError(f"a scale of {float(scene.scale.min()):g}", "scales >= 0")
    low, high = int(scene.shape.min()), int(scene.shape.max())
    if low < 0 or high >= len(scene.shapes):
        raise DataError(f"shape numbers from {low} to {high}", f"0 to {len(scene.shapes) - 1}, one of `shapes`")
