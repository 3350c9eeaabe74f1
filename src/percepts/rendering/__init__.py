"""Batched renderers: pure functions of scene tensors, on any device, without randomness."""

from percepts.rendering.colour import hsv_bytes, hsv_to_rgb
from percepts.rendering.exact_sprites import ExactSprites, render_sprites_exactly
from percepts.rendering.objects import TEXTURES, Lamp, Materials, ObjectScene, look_at, pinhole, room_planes, turn
from percepts.rendering.polyhedra import Polyhedron, cube, icosahedron, octahedron, prism
from percepts.rendering.primitives import Box, Capsule, Cone, Cylinder, Plane, Primitive, Sphere
from percepts.rendering.rays import RenderedApart, RenderedObjects, render_apart, render_objects
from percepts.rendering.scene import SpriteScene
from percepts.rendering.shapes import Ellipse, Polygon, Shape, heart, named_shape, regular, spokes, square, star
from percepts.rendering.sprites2d import RenderedSprites, render_sprites
from percepts.rendering.superquadrics import Superquadric

__all__ = [
    "TEXTURES",
    "Box",
    "Capsule",
    "Cone",
    "Cylinder",
    "Ellipse",
    "ExactSprites",
    "Lamp",
    "Materials",
    "ObjectScene",
    "Plane",
    "Polygon",
    "Polyhedron",
    "Primitive",
    "RenderedApart",
    "RenderedObjects",
    "RenderedSprites",
    "Shape",
    "Sphere",
    "SpriteScene",
    "Superquadric",
    "cube",
    "heart",
    "hsv_bytes",
    "hsv_to_rgb",
    "icosahedron",
    "look_at",
    "named_shape",
    "octahedron",
    "pinhole",
    "prism",
    "regular",
    "render_apart",
    "render_objects",
    "render_sprites",
    "render_sprites_exactly",
    "room_planes",
    "spokes",
    "square",
    "star",
    "turn",
]
