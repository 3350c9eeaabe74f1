"""Batched renderers: pure functions of scene tensors, on any device, without randomness."""

from percepts.rendering.colour import hsv_to_rgb
from percepts.rendering.objects import ObjectScene, look_at, pinhole, turn
from percepts.rendering.primitives import Box, Capsule, Cylinder, Plane, Primitive, Sphere
from percepts.rendering.rays import RenderedObjects, render_objects
from percepts.rendering.scene import SpriteScene
from percepts.rendering.shapes import Ellipse, Polygon, Shape, heart, named_shape, regular, spokes, square, star
from percepts.rendering.sprites2d import RenderedSprites, render_sprites

__all__ = [
    "Box",
    "Capsule",
    "Cylinder",
    "Ellipse",
    "ObjectScene",
    "Plane",
    "Polygon",
    "Primitive",
    "RenderedObjects",
    "RenderedSprites",
    "Shape",
    "Sphere",
    "SpriteScene",
    "heart",
    "hsv_to_rgb",
    "look_at",
    "named_shape",
    "pinhole",
    "regular",
    "render_objects",
    "render_sprites",
    "spokes",
    "square",
    "star",
    "turn",
]
