"""Batched renderers: pure functions of scene tensors, on any device, without randomness."""

from percepts.rendering.colour import hsv_to_rgb
from percepts.rendering.scene import SpriteScene
from percepts.rendering.shapes import Ellipse, Polygon, Shape, heart, named_shape, regular, spokes, square, star
from percepts.rendering.sprites2d import RenderedSprites, render_sprites

__all__ = [
    "Ellipse",
    "Polygon",
    "RenderedSprites",
    "Shape",
    "SpriteScene",
    "heart",
    "hsv_to_rgb",
    "named_shape",
    "regular",
    "render_sprites",
    "spokes",
    "square",
    "star",
]
