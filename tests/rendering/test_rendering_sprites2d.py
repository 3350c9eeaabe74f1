"""The rasteriser against independent computations of area, and the symmetries that any picture of a scene must have."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from percepts.core.errors import DataError
from percepts.rendering.shapes import Ellipse, Polygon, Shape, heart, spokes, spriteworld_shapes, square, star
from percepts.rendering.sprites2d import SpriteScene, render_sprites

SHAPES: tuple[Shape, ...] = (square(), Ellipse(0.6, 0.3), heart(), *spriteworld_shapes().values())


def scene_of(
    *sprites: tuple[int, float, float, float, float], shapes: tuple[Shape, ...] = SHAPES, **more
) -> SpriteScene:
    """One scene of white sprites (shape, x, y, scale, angle)."""
    table = torch.tensor(sprites, dtype=torch.float64)[None]
    settings_ = {"colour": torch.ones(1, len(sprites), 1), **more}
    return SpriteScene(
        shapes=shapes, shape=table[..., 0].long(), position=table[..., 1:3].float(), scale=table[..., 3].float(),
        angle=table[..., 4].float(), **settings_,
    )  # fmt: skip


def random_scene(batch: int, sprites: int, seed: int = 0, channels: int = 3) -> SpriteScene:
    generator = torch.Generator().manual_seed(seed)
    return SpriteScene(
        shapes=SHAPES,
        shape=torch.randint(len(SHAPES), (batch, sprites), generator=generator),
        position=torch.rand(batch, sprites, 2, generator=generator) * 1.4 - 0.2,
        scale=torch.rand(batch, sprites, generator=generator) * 0.4,
        angle=torch.rand(batch, sprites, generator=generator) * 7,
        colour=torch.rand(batch, sprites, channels, generator=generator),
        background=torch.rand(batch, channels, generator=generator),
        visible=torch.rand(batch, sprites, generator=generator) < 0.8,
        depth=torch.rand(batch, sprites, generator=generator),
    )


def outline(shape: Shape, x: float, y: float, scale: float, angle: float, height: int, width: int) -> np.ndarray:
    """Corners in pixels, y down; ellipses as polygons of 4000 corners."""
    if isinstance(shape, Ellipse):
        t = np.arange(4000) * (2 * math.pi / 4000)
        points = np.stack([shape.semi_x * np.cos(t), shape.semi_y * np.sin(t)], axis=1)
    else:
        points = shape.array
    cosine, sine = math.cos(angle), math.sin(angle)
    turned = points @ np.array([[cosine, sine], [-sine, cosine]]) * scale * min(height, width)
    return np.stack([x * width + turned[:, 0], (1 - y) * height - turned[:, 1]], axis=1)


def clipped_area(points: np.ndarray, column: int, row: int) -> float:
    """Area of a polygon in one pixel, by Sutherland-Hodgman clipping in float64 (right for non-convex ones too, as
    the bridges that it leaves have no area)."""
    for axis, sign, bound in ((0, 1, column), (0, -1, -column - 1), (1, 1, row), (1, -1, -row - 1)):
        if not len(points):
            return 0.0
        inside = sign * points[:, axis] - bound
        after, following = np.roll(points, -1, axis=0), np.roll(inside, -1)
        kept = []
        for a, b, da, db in zip(points, after, inside, following):
            if da >= 0:
                kept.append(a)
            if (da >= 0) != (db >= 0):
                kept.append(a + (b - a) * (da / (da - db)))
        points = np.array(kept).reshape(-1, 2)
    x, y = points.T
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2


@pytest.mark.parametrize("number", range(len(SHAPES)))
def test_coverage_is_the_clipped_area(number: int) -> None:
    height, width = 13, 17
    for x, y, scale, angle in ((0.5, 0.47, 0.5, 0.3), (0.05, 0.9, 0.35, 2.0), (0.98, 0.02, 0.6, -1.1)):
        image = render_sprites(scene_of((number, x, y, scale, angle)), height, width).image[0, 0].double()
        points = outline(SHAPES[number], x, y, scale, angle, height, width)
        if isinstance(SHAPES[number], Ellipse):
            points = points[::10]  # 400 corners are enough for 1e-4 and clip faster
        expected = [[clipped_area(points, column, row) for column in range(width)] for row in range(height)]
        assert (image - torch.tensor(expected)).abs().max() < (4e-4 if isinstance(SHAPES[number], Ellipse) else 1e-4)


def test_coverage_agrees_with_64_by_64_samples_a_pixel() -> None:
    size, factor = 12, 64
    centres = (np.arange(size * factor) + 0.5) / factor
    for number, x, y, scale, angle in (
        (0, 0.5, 0.5, 0.4, 0.2),
        (1, 0.4, 0.6, 0.7, 1.0),
        (2, 0.55, 0.5, 0.7, 0.5),
        (10, 0.5, 0.5, 0.5, 0),
    ):
        points = outline(SHAPES[number], x, y, scale, angle, size, size)[:: 20 if number == 1 else 1]
        inside = np.zeros((size * factor, size * factor), bool)
        for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0)):
            crosses = (y0 > centres) != (y1 > centres)
            at = np.where(crosses, (x1 - x0) * (centres - y0) / np.where(y1 == y0, 1, y1 - y0) + x0, -np.inf)
            inside ^= crosses[:, None] & (centres[None] < at[:, None])
        expected = inside.reshape(size, factor, size, factor).mean((1, 3))
        image = render_sprites(scene_of((number, x, y, scale, angle)), size, size).image[0, 0].numpy()
        assert np.abs(image - expected).max() < 5e-3


@settings(max_examples=25)
@given(
    st.integers(0, len(SHAPES) - 1),
    st.floats(0.35, 0.65),
    st.floats(0.35, 0.65),
    st.floats(0.02, 0.35),
    st.floats(-7, 7),
)
def test_total_coverage_is_the_area_inside_the_frame(
    number: int, x: float, y: float, scale: float, angle: float
) -> None:
    image = render_sprites(scene_of((number, x, y, scale, angle)), 40, 32).image
    assert float(image.sum()) == pytest.approx(SHAPES[number].area * (scale * 32) ** 2, rel=1e-3, abs=1e-3)
    assert float(image.min()) >= 0
    assert float(image.max()) <= 1


@settings(max_examples=15)
@given(st.integers(0, len(SHAPES) - 1), st.integers(-9, 9), st.integers(-9, 9), st.floats(0.05, 0.25), st.floats(0, 6))
def test_whole_pixel_translation_shifts_the_image(number: int, dx: int, dy: int, scale: float, angle: float) -> None:
    still = render_sprites(scene_of((number, 0.5, 0.5, scale, angle)), 32, 32)
    moved = render_sprites(scene_of((number, 0.5 + dx / 32, 0.5 + dy / 32, scale, angle)), 32, 32)
    assert torch.equal(moved.image, torch.roll(still.image, (-dy, dx), (2, 3)))


@settings(max_examples=15)
@given(st.integers(0, len(SHAPES) - 1), st.floats(0, 1), st.floats(0, 1), st.floats(0.05, 0.5), st.floats(0, 6))
def test_quarter_turn_of_the_scene_is_rot90(number: int, x: float, y: float, scale: float, angle: float) -> None:
    before = render_sprites(scene_of((number, x, y, scale, angle)), 24, 24).image
    after = render_sprites(scene_of((number, 1 - y, x, scale, angle + math.pi / 2)), 24, 24).image
    torch.testing.assert_close(after, torch.rot90(before, 1, (2, 3)), atol=2e-4, rtol=0)


def test_y_points_up_and_row_0_is_the_top() -> None:
    image = render_sprites(scene_of((0, 0.25, 0.75, 0.5, 0)), 8, 8).image[0, 0]
    expected = torch.zeros(8, 8)
    expected[:4, :4] = 1
    assert torch.equal(image, expected)


def test_positive_angles_turn_counter_clockwise() -> None:
    arrow = (Polygon(((0.0, -0.1), (1.0, 0.0), (0.0, 0.1))),)
    image = render_sprites(scene_of((0, 0.5, 0.5, 0.4, math.pi / 2), shapes=arrow), 20, 20).image[0, 0]
    assert float(image[:10].sum()) == pytest.approx(float(image.sum()), abs=1e-3)


def test_clockwise_corners_draw_the_same() -> None:
    shape = star(5)
    backwards = Polygon(tuple(reversed(shape.vertices)))
    first = render_sprites(scene_of((0, 0.5, 0.5, 0.4, 0.3), shapes=(shape,)), 20, 20).image
    second = render_sprites(scene_of((0, 0.5, 0.5, 0.4, 0.3), shapes=(backwards,)), 20, 20).image
    torch.testing.assert_close(first, second, atol=1e-5, rtol=0)


def test_the_last_sprite_is_in_front() -> None:
    colour = torch.tensor([[[1.0, 0, 0], [0, 1, 0]]])
    scene = scene_of((0, 0.5, 0.5, 0.5, 0), (0, 0.5, 0.5, 0.25, 0), colour=colour)
    rendered = render_sprites(scene, 8, 8, coverage=True)
    assert rendered.segmentation is not None
    assert rendered.coverage is not None
    assert rendered.segmentation[0, 3, 3] == 2
    assert rendered.segmentation[0, 2, 2] == 1
    assert rendered.segmentation[0, 0, 0] == 0
    assert torch.equal(rendered.image[0, :, 3, 3], colour[0, 1])
    assert rendered.coverage[0, 0].sum() == 16  # not cut by the sprite in front
    assert rendered.coverage[0, 1].sum() == 4


def test_depth_overrides_the_order() -> None:
    scene = scene_of((0, 0.5, 0.5, 0.5, 0), (0, 0.5, 0.5, 0.25, 0), depth=torch.tensor([[1.0, 2.0]]))
    rendered = render_sprites(scene, 8, 8, coverage=True)
    assert set(rendered.segmentation.unique().tolist()) == {0, 1}
    assert rendered.coverage[0, 1].sum() == 4


def test_equal_depths_keep_the_order() -> None:
    scene = random_scene(6, 5)
    same = dataclasses.replace(scene, depth=torch.zeros(6, 5))
    none = dataclasses.replace(scene, depth=None)
    assert torch.equal(render_sprites(same, 16, 16).image, render_sprites(none, 16, 16).image)


@pytest.mark.parametrize("hard", [False, True])
def test_any_batch_and_chunk_gives_the_same_bits(hard: bool) -> None:
    scene = random_scene(9, 6)
    whole = render_sprites(scene, 20, 30, hard=hard, coverage=True)
    for chunk in (1, 2, 4, 100):
        other = render_sprites(scene, 20, 30, hard=hard, coverage=True, chunk=chunk)
        assert torch.equal(whole.image, other.image)
        assert torch.equal(whole.segmentation, other.segmentation)
        assert torch.equal(whole.coverage, other.coverage)
    for item in range(9):
        one = dataclasses.replace(
            scene,
            **{
                field.name: getattr(scene, field.name)[item : item + 1]
                for field in dataclasses.fields(scene)
                if field.name != "shapes"
            },
        )
        assert torch.equal(render_sprites(one, 20, 30, hard=hard).image[0], whole.image[item])


def test_image_is_the_masks_laid_over_each_other() -> None:
    scene = dataclasses.replace(random_scene(5, 4), depth=None)
    rendered = render_sprites(scene, 24, 24, coverage=True)
    image = scene.background[:, :, None, None].expand(5, 3, 24, 24)
    labels = torch.zeros(5, 24, 24, dtype=torch.int64)
    for sprite in range(4):
        cover = rendered.coverage[:, sprite, None]
        image = image + cover * (scene.colour[:, sprite, :, None, None] - image)
        labels = torch.where(cover[:, 0] >= 0.5, sprite + 1, labels)
    torch.testing.assert_close(rendered.image, image, atol=1e-6, rtol=0)
    assert torch.equal(rendered.segmentation, labels)


def test_hard_images_are_binary_and_match_the_segmentation() -> None:
    scene = dataclasses.replace(random_scene(5, 4, channels=1), background=None, colour=torch.ones(5, 4, 1))
    rendered = render_sprites(scene, 24, 24, hard=True)
    assert torch.equal(rendered.image[:, 0], (rendered.segmentation > 0).float())


def test_invisible_off_frame_and_empty_sprites_leave_the_background() -> None:
    colour = torch.ones(1, 4, 3)
    scene = scene_of(
        (0, 0.5, 0.5, 0.5, 0), (2, 5.0, 0.5, 0.3, 0), (1, 0.5, -1e6, 0.3, 0), (1, 0.5, 0.5, 0.0, 0),
        colour=colour, visible=torch.tensor([[False, True, True, True]]), background=torch.tensor([0.1, 0.2, 0.3]),
    )  # fmt: skip
    rendered = render_sprites(scene, 8, 6, coverage=True)
    assert torch.equal(rendered.image, torch.tensor([0.1, 0.2, 0.3])[None, :, None, None].expand(1, 3, 8, 6))
    assert rendered.segmentation.sum() == 0
    assert rendered.coverage.sum() == 0


def test_a_sprite_larger_than_the_frame_covers_it() -> None:
    for number in (0, 1):
        image = render_sprites(scene_of((number, 0.4, 0.6, 50.0, 0.7)), 9, 16).image
        torch.testing.assert_close(image, torch.ones_like(image), atol=1e-3, rtol=0)


@pytest.mark.parametrize("number", range(len(SHAPES)))
def test_sprites_below_a_pixel_keep_their_area(number: int) -> None:
    image = render_sprites(scene_of((number, 0.51, 0.52, 0.01, 0.3)), 16, 16).image
    assert float(image.sum()) == pytest.approx(SHAPES[number].area * 0.16**2, rel=1e-2)


def test_no_sprites_and_no_scenes() -> None:
    empty = SpriteScene(
        shapes=(), shape=torch.zeros(2, 0, dtype=torch.int64), position=torch.zeros(2, 0, 2), scale=torch.zeros(2, 0),
        angle=torch.zeros(2, 0), colour=torch.zeros(2, 0, 3), background=torch.tensor([0.5, 0.25, 0.0]),
    )  # fmt: skip
    rendered = render_sprites(empty, 4, 5, coverage=True)
    assert rendered.image.shape == (2, 3, 4, 5)
    assert torch.equal(rendered.image[1, :, 2, 3], torch.tensor([0.5, 0.25, 0.0]))
    assert rendered.coverage.shape == (2, 0, 4, 5)
    assert render_sprites(random_scene(0, 3), 4, 5).image.shape == (0, 3, 4, 5)


@pytest.mark.parametrize("name", ["position", "scale", "angle", "colour", "background", "depth"])
def test_numbers_that_are_not_finite_are_named(name: str) -> None:
    scene = random_scene(2, 3)
    broken = getattr(scene, name).clone()
    broken[0, 0] = math.nan
    with pytest.raises(DataError, match=f"'{name}' are NaN"):
        render_sprites(dataclasses.replace(scene, **{name: broken}), 8, 8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": torch.full((2, 3), 99)}, "shape numbers"),
        ({"shape": torch.full((2, 3), -1)}, "shape numbers"),
        ({"scale": -torch.ones(2, 3)}, "scale"),
        ({"position": torch.zeros(2, 3, 3)}, "position of shape"),
        ({"visible": torch.ones(2, 2, dtype=torch.bool)}, "visible of shape"),
        ({"background": torch.zeros(4)}, "background of shape"),
        ({"colour": torch.zeros(2, 3)}, "colour of shape"),
    ],
)
@pytest.mark.usefixtures("unchecked_shapes")
def test_scenes_that_do_not_fit_together(change: dict, message: str) -> None:
    scene = random_scene(2, 3)
    for name, value in change.items():
        object.__setattr__(scene, name, value)  # as if shapes were not checked on the way in, which only tests do
    with pytest.raises(DataError, match=message):
        render_sprites(scene, 8, 8)


def test_an_image_needs_pixels_and_chunks_scenes() -> None:
    with pytest.raises(DataError, match="0 x 8"):
        render_sprites(random_scene(2, 3), 0, 8)
    for chunk in (0, -1):
        with pytest.raises(DataError, match=f"chunk = {chunk}"):
            render_sprites(random_scene(2, 3), 8, 8, chunk=chunk)


@pytest.mark.parametrize("number", range(len(SHAPES)))
def test_sprites_of_any_scale_have_a_picture_or_are_refused(number: int) -> None:
    for scale in (1e-38, 1e-30, 1e-9, 1e-3, 1e3, 1e6):
        rendered = render_sprites(scene_of((number, 0.4, 0.6, scale, 0.7)), 9, 16, coverage=True)
        assert rendered.image.isfinite().all()
        assert 0 <= rendered.coverage.min() <= rendered.coverage.max() <= 1
        assert (rendered.coverage.sum() == 0) == (scale < 1e-6)
    with pytest.raises(DataError, match=r"a scale of 1e\+30; expected scales up to 1e\+06"):
        render_sprites(scene_of((number, 0.4, 0.6, 1e30, 0.7)), 9, 16)


def test_spokes_are_the_union_of_arms() -> None:
    assert spokes(4).area == pytest.approx(1)
