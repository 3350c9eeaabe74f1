"""The exact renderer against Pillow, bit by bit, and what holds of any picture of a scene."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
import pytest
import torch
from pillow_drawing import needs_same_pillow, painted, rendered
from torch import Tensor

from percepts.core.errors import DataError
from percepts.rendering.exact_sprites import render_sprites_exactly
from percepts.rendering.shapes import Polygon, spriteworld_shapes

SHAPES = tuple(spriteworld_shapes().values())
KNOWN_SUM = [280751, 288124, 228191]
KNOWN_HASH = "24eff5a3210ebc319216c6d0a77ce96c34e52987c271371dc352ce3486ff31eb"
Scene = tuple[Tensor, Tensor, Tensor, Tensor]


def random_scenes(batch: int, sprites: int, seed: int = 0, shapes: tuple[Polygon, ...] = SHAPES,
                  scale: tuple[float, float] = (0.02, 0.6)) -> Scene:  # fmt: skip
    """Corners, counts, colour, present: any shape, angle and place, also outside."""
    rng = np.random.default_rng(seed)
    most = max(len(shape.vertices) for shape in shapes)
    table = np.array([[*shape.vertices, *[shape.vertices[-1]] * (most - len(shape.vertices))] for shape in shapes])
    number = rng.integers(len(shapes), size=(batch, sprites))
    angle, size = rng.uniform(0, 2 * math.pi, (batch, sprites, 1)), rng.uniform(*scale, (batch, sprites, 1))
    x, y = np.moveaxis(table[number], -1, 0)
    body = np.stack([np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y], -1)
    corners = rng.uniform(-0.25, 1.25, (batch, sprites, 1, 2)) + body * size[..., None]
    counts = np.array([len(shape.vertices) for shape in shapes])[number]
    colour = rng.integers(0, 256, (batch, sprites, 3), dtype=np.uint8)
    values = (corners, counts, colour, rng.random((batch, sprites)) < 0.8)
    return tuple(map(torch.from_numpy, values))  # type: ignore[return-value]


@needs_same_pillow
@pytest.mark.parametrize(
    ("height", "width", "supersampling", "background"),
    [
        (64, 64, 5, (0, 0, 0)),
        (64, 64, 1, (0, 0, 0)),
        (33, 20, 2, (255, 3, 90)),
        (17, 48, 5, (120, 120, 120)),
        (9, 6, 16, (0, 255, 0)),
        (1, 1, 5, (9, 8, 7)),
        (61, 30, 5, (0, 0, 0)),
        (40, 1, 3, (0, 70, 0)),
    ],
)
def test_images_are_those_of_pillow(
    height: int, width: int, supersampling: int, background: tuple[int, int, int]
) -> None:
    for scale in ((0.02, 0.6), (0.0, 0.1)):
        scene = random_scenes(12, 6, seed=height, scale=scale)
        image = render_sprites_exactly(*scene, height, width, supersampling, background).image
        assert (image.numpy() == rendered(scene, (height, width), supersampling, background)).all()
        assert image.is_contiguous()


@needs_same_pillow
@pytest.mark.parametrize("number", range(12))
def test_every_shape_is_that_of_pillow(number: int) -> None:
    scene = random_scenes(16, 1, seed=number, shapes=(SHAPES[number],))
    for supersampling in (1, 5):
        image = render_sprites_exactly(*scene, 40, 40, supersampling).image
        assert (image.numpy() == rendered(scene, (40, 40), supersampling)).all()


@needs_same_pillow
def test_shapes_of_ones_own() -> None:
    """Thin, crossing themselves, without area, with corners in any order."""
    rng = np.random.default_rng(3)
    shapes = tuple(Polygon(tuple(map(tuple, rng.normal(0, 0.6, (count, 2)).tolist()))) for count in (3, 4, 5, 8, 70))
    shapes += (
        Polygon(((0.0, 0.0), (1.0, 0.02), (1.0, 0.0))),
        Polygon(((0.0, 0.0), (1.0, 1.0), (0.5, 0.5))),
        Polygon(((0.0, 0.0),) * 3),
    )
    scene = random_scenes(20, 4, shapes=shapes)
    for size, supersampling in (((24, 30), 5), ((50, 40), 1)):
        image = render_sprites_exactly(*scene, *size, supersampling).image
        assert (image.numpy() == rendered(scene, size, supersampling)).all()


def test_a_known_image() -> None:
    """What Pillow 13 drew, whatever Pillow is installed: a triangle before a disc and a star, on grey."""
    table = [
        [*shape.vertices, *[(9.0, 9.0)] * (30 - len(shape.vertices))] for shape in (SHAPES[5], SHAPES[7], SHAPES[0])
    ]
    scale = torch.tensor([0.3, 0.25, 0.2], dtype=torch.float64)[:, None, None]
    place = torch.tensor([[0.4, 0.6], [0.75, 0.3], [0.5, 0.5]], dtype=torch.float64)[:, None]
    corners = torch.tensor(table, dtype=torch.float64) * scale + place
    colour = torch.tensor([[[230, 40, 90], [20, 250, 130], [255, 255, 0]]], dtype=torch.uint8)
    drawn = render_sprites_exactly(
        corners[None], torch.tensor([[30, 10, 3]]), colour, torch.ones(1, 3, dtype=torch.bool), 64, 64, 5, (50, 50, 50)
    )
    assert drawn.image.sum((0, 1, 2)).tolist() == KNOWN_SUM
    assert hashlib.sha256(drawn.image.numpy().tobytes()).hexdigest() == KNOWN_HASH


@pytest.mark.parametrize("supersampling", [1, 2, 3, 5, 16])
def test_segmentation_counts_the_cells_that_are_seen(supersampling: int) -> None:
    size = (14, 18)
    corners, counts, _, present = random_scenes(10, 7)
    numbers = torch.arange(1, 8, dtype=torch.uint8)[None, :, None].repeat(10, 1, 3)
    drawn = render_sprites_exactly(corners, counts, numbers, present, *size, supersampling, segmentation=True)
    assert drawn.segmentation is not None
    for index, scene in enumerate(zip(corners, counts, numbers, present)):
        cells = np.flipud(np.array(painted(*scene, size, supersampling))[..., 0])
        cells = cells.reshape(size[0], supersampling, size[1], supersampling)
        expected = np.zeros(size, np.int64)
        for number in range(1, 8):
            share = (cells == number).mean((1, 3))
            expected[share >= 0.5] = number
        assert (drawn.segmentation[index].numpy() == expected).all()


def test_of_two_that_show_in_half_a_pixel_the_nearer_is_named() -> None:
    half = torch.tensor([[[0.0, 0.0], [0.4, 0.0], [0.4, 1.0], [0.0, 1.0]], [[0.5, 0.0], [1, 0.0], [1, 1], [0.5, 1.0]]])
    colour = torch.full((1, 2, 3), 200, dtype=torch.uint8)
    arguments = (torch.full((1, 2), 4), colour, torch.ones(1, 2, dtype=torch.bool), 1, 1, 2)
    for order in ([0, 1], [1, 0]):
        drawn = render_sprites_exactly(half[order].double()[None], *arguments, segmentation=True)
        assert drawn.segmentation is not None
        assert drawn.segmentation.item() == 2


@needs_same_pillow
def test_layers_are_sprites_by_themselves() -> None:
    size, supersampling = (20, 25), 5
    scene = random_scenes(6, 4)
    corners, counts, colour, present = scene
    layers = render_sprites_exactly(*scene, *size, supersampling, (40, 50, 60), layers=True).layers
    assert layers is not None
    white = torch.full_like(colour, 255)
    for index in range(4):
        one = tuple(value[:, index : index + 1] for value in (corners, counts, white, present))
        assert (layers[:, index, ..., 3].numpy() == rendered(one, size, supersampling)[..., 0]).all()  # type: ignore[arg-type]
    assert (layers[..., :3] == (colour * present[..., None])[:, :, None, None]).all()
    assert (layers[~present] == 0).all()


def test_neither_batch_nor_chunk_changes_the_result() -> None:
    scene = random_scenes(23, 5)
    settings: dict[str, Any] = {"segmentation": True, "layers": True, "background": (0, 90, 20)}
    whole = render_sprites_exactly(*scene, 30, 22, 5, **settings)
    for chunk in (1, 7, 23, 100):
        parts = render_sprites_exactly(*scene, 30, 22, 5, chunk=chunk, **settings)
        assert all(torch.equal(one, other) for one, other in zip(vars(whole).values(), vars(parts).values()))
    alone = render_sprites_exactly(*(value[9:10] for value in scene), 30, 22, 5, **settings)
    assert all(torch.equal(one[9:10], other) for one, other in zip(vars(whole).values(), vars(alone).values()))


def test_more_sprites_than_bytes_can_name() -> None:
    scene = random_scenes(1, 300, scale=(0.02, 0.1))
    drawn = render_sprites_exactly(*scene, 30, 30, 3, segmentation=True)
    assert drawn.segmentation is not None
    assert int(drawn.segmentation.max()) > 255
    # One at a time over what is there already, as 300 scenes of which each has one sprite more.
    pieces = [scene[3].clone().logical_and_(torch.arange(300) < count) for count in (255, 300)]
    fewer, every = (render_sprites_exactly(*scene[:3], piece, 30, 30, 3, segmentation=True) for piece in pieces)
    assert fewer.segmentation is not None
    assert torch.equal(every.image, drawn.image)
    hidden = drawn.segmentation <= 255
    assert (
        fewer.segmentation[hidden & (drawn.segmentation > 0)] == drawn.segmentation[hidden & (drawn.segmentation > 0)]
    ).all()


def test_nothing_to_see() -> None:
    """No scenes, no sprites, none present, none in view: the background, of every scene its own."""
    grey = torch.tensor([[10, 10, 10], [200, 100, 0]], dtype=torch.uint8)
    corners, counts, colour, present = random_scenes(2, 3)
    nowhere = torch.full_like(corners, torch.nan)
    for values in (
        (corners[:, :0], counts[:, :0], colour[:, :0], present[:, :0]),
        (nowhere, counts, colour, torch.zeros_like(present)),
        (corners + 5, counts, colour, torch.ones_like(present)),
    ):
        drawn = render_sprites_exactly(*values, 6, 7, 5, grey, segmentation=True, layers=True)
        assert drawn.segmentation is not None
        assert drawn.layers is not None
        assert (drawn.image == grey[:, None, None]).all()
        assert not drawn.segmentation.any()
        assert not drawn.layers[..., 3].any()
    empty = render_sprites_exactly(corners[:0], counts[:0], colour[:0], present[:0], 6, 7, segmentation=True)
    assert empty.image.shape == (0, 6, 7, 3)


def test_scenes_with_and_without_sprites_in_one_batch() -> None:
    corners, counts, colour, present = random_scenes(6, 4)
    present[2], corners[4] = False, corners[4] - 9
    grey = torch.randint(0, 256, (6, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for chunk in (1, 6):
        image = render_sprites_exactly(corners, counts, colour, present, 20, 20, 5, grey, chunk=chunk).image
        for index in range(6):
            background = tuple(grey[index].tolist())
            one = tuple(value[index : index + 1] for value in (corners, counts, colour, present))
            alone = render_sprites_exactly(*one, 20, 20, 5, background).image  # type: ignore[arg-type]
            assert torch.equal(image[index], alone[0])
    assert (image[2] == grey[2]).all()
    assert (image[4] == grey[4]).all()


def test_the_top_row_is_the_top() -> None:
    square = torch.tensor([[[[0.0, 0.75], [0.5, 0.75], [0.5, 1.0], [0.0, 1.0]]]], dtype=torch.float64)
    arguments = (torch.tensor([[4]]), torch.full((1, 1, 3), 255, dtype=torch.uint8), torch.tensor([[True]]))
    drawn = render_sprites_exactly(square, *arguments, 16, 8, 5, segmentation=True, layers=True)
    assert drawn.segmentation is not None
    assert drawn.layers is not None
    expected = torch.zeros(16, 8, dtype=torch.int64)
    expected[:4, :4] = 1
    assert torch.equal(drawn.segmentation[0], expected)
    assert (drawn.image[0, :3, :3] > 240).all()
    assert (drawn.image[0, 4:] < 40).all()
    assert (drawn.image[0, 8:] == 0).all(), "three pixels and the rounding of corners"
    assert torch.equal(drawn.layers[0, 0, ..., 3], drawn.image[0, ..., 0])


def test_what_does_not_count_does_not_matter() -> None:
    corners, counts, colour, present = random_scenes(4, 5)
    expected = render_sprites_exactly(corners, counts, colour, present, 20, 20).image
    spoiled = torch.where(torch.arange(corners.shape[2])[:, None] < counts[..., None, None], corners, torch.nan)
    spoiled[~present] = torch.inf
    counts = torch.where(present, counts, -3)
    assert torch.equal(render_sprites_exactly(spoiled, counts, colour, present, 20, 20).image, expected)


@pytest.mark.usefixtures("unchecked_shapes")
def test_bad_input() -> None:
    scene = dict(zip(("corners", "counts", "colour", "present"), random_scenes(2, 3)))
    scene["present"] = torch.ones(2, 3, dtype=torch.bool)
    nan = scene["corners"].clone()
    nan[1, 2, 1, 0] = torch.nan
    for match, change in (
        ("corners of shape", {"corners": scene["corners"][0]}),
        ("corners of torch.float32", {"corners": scene["corners"].float()}),
        ("counts of", {"counts": scene["counts"][:, :2]}),
        ("colour of torch.float32", {"colour": scene["colour"] / 255}),
        ("present of", {"present": scene["present"].int()}),
        ("1 corners that are NaN", {"corners": nan}),
        ("sprites of 2 to", {"counts": scene["counts"].clamp(max=3) - 1}),
        ("sprites of 3 to 31", {"counts": torch.tensor([[3, 31, 3], [3, 3, 3]])}),
        ("cells from the origin", {"corners": scene["corners"] + 1e9}),
        ("supersampling 0", {"supersampling": 0}),
        ("0 x 8 pixels", {"height": 0}),
        ("8 x -1 pixels", {"width": -1}),
        ("chunk 0", {"chunk": 0}),
        ("three numbers", {"background": (0, 0, 256)}),
        ("a background of torch.float32", {"background": torch.zeros(3)}),
        ("a background of torch.uint8", {"background": torch.zeros(3, 3, dtype=torch.uint8)}),
    ):
        with pytest.raises(DataError, match=match):
            render_sprites_exactly(**{**scene, "height": 8, "width": 8, **change})  # type: ignore[arg-type]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_device_does_not_change_the_result() -> None:
    scene = random_scenes(50, 6)
    settings: dict[str, Any] = {"segmentation": True, "layers": True}
    here = render_sprites_exactly(*scene, 64, 64, 5, **settings)
    there = render_sprites_exactly(*(value.cuda() for value in scene), 64, 64, 5, **settings)
    assert all(torch.equal(one, other.cpu()) for one, other in zip(vars(here).values(), vars(there).values()))
