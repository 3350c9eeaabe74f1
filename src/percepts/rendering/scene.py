"""What there is to draw: scenes of sprites as tensors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from percepts.core.errors import DataError
from percepts.rendering.shapes import Shape

LARGEST = 1e6
"""The largest scale. Of larger sprites single precision knows no outline any more."""


@dataclass(frozen=True)
class SpriteScene:
    """B scenes of N sprites.

    World coordinates: (0, 0) is the lower left corner of the frame and (1, 1) the upper right one, **y points up** and
    image row 0 is the top. Lengths are fractions of the frame's shorter side, so shapes keep their proportions.

    Attributes:
        shapes: the shapes that `shape` chooses from.
        shape: which shape, an index into `shapes`.
        position: where the origin of the shape lies.
        scale: factor on the unit shape, from 0 to `LARGEST`.
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


def check_scene(scene: SpriteScene) -> None:
    """Make sure that the tensors fit together and hold numbers that can be drawn.

    Raises:
        DataError: shapes that do not fit, numbers that are not finite, an unknown shape, a scale out of range.
    """
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
    if bool((scene.scale > LARGEST).any()):
        raise DataError(f"a scale of {float(scene.scale.max()):g}", f"scales up to {LARGEST:g}")
    low, high = int(scene.shape.min()), int(scene.shape.max())
    if low < 0 or high >= len(scene.shapes):
        raise DataError(f"shape numbers from {low} to {high}", f"0 to {len(scene.shapes) - 1}, one of `shapes`")
