"""What is seen of arenas: three renderers of one scene, masks, layers, and the numbers themselves."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch

from percepts.core.config import from_json, to_json
from percepts.core.errors import ConfigError
from percepts.data.distributions import Continuous, Discrete, Product
from percepts.envs.spriteworld.generators import Generate, Shuffled, shapes
from percepts.envs.spriteworld.observations import Observer, Screen
from percepts.envs.spriteworld.state import SHAPES, Sprites
from percepts.envs.streams import Streams
from percepts.rendering.shapes import Polygon

PICTURES: Any = ("image", "segmentation", "layers")
ANYWHERE = Shuffled(
    Generate(
        Product(
            (
                Continuous("x", -0.1, 1.1),
                Continuous("y", -0.1, 1.1),
                shapes(*SHAPES),
                Continuous("angle", 0.0, 360.0),
                Continuous("scale", 0.05, 0.4),
                Continuous("c0", 0.0, 1.0),
                Continuous("c1", 0.3, 1.0),
                Continuous("c2", 0.3, 1.0),
            )
        ),
        0,
        6,
    )
)


def scenes(count: int, seed: int = 0) -> Sprites:
    """Sprites of all shapes, sizes and angles, partly out of the frame, with gaps among them."""
    factors, present, _ = ANYWHERE.sample(Streams.of(range(seed, seed + count), "test"))
    # What absent sprites hold does not matter.
    factors = torch.where(present[..., None], factors, torch.nan)
    order = torch.rand(present.shape, generator=torch.Generator().manual_seed(seed)).argsort(1)
    return Sprites.of(factors.gather(1, order[..., None].expand_as(factors)), present.gather(1, order))


def one_sprite(shape: str = "square", **factors: float) -> Sprites:
    values = {"x": 0.5, "y": 0.5, "shape": list(SHAPES).index(shape) + 1.0, "angle": 0.0, "scale": 0.25,
              "c0": 0.0, "c1": 1.0, "c2": 1.0, "x_vel": 0.0, "y_vel": 0.0} | factors  # fmt: skip
    return Sprites.of(torch.tensor([[list(values.values())]], dtype=torch.float64), torch.ones(1, 1, dtype=torch.bool))


@pytest.mark.parametrize(("height", "width"), [(64, 64), (24, 40), (40, 24), (1, 1)])
@pytest.mark.parametrize("supersampling", [1, 5])
@pytest.mark.parametrize("background", [(0, 0, 0), (10, 200, 90), "random_grey"])
def test_exact_pictures_are_pillows(height: int, width: int, supersampling: int, background: Any) -> None:
    exact = Observer(height=height, width=width, supersampling=supersampling, background=background)
    pillow = dataclasses.replace(exact, renderer="pil")
    sprites, backdrop = scenes(12), torch.linspace(0, 1, 12, dtype=torch.float64)
    assert torch.equal(
        exact.observe(sprites, None, backdrop)["image"], pillow.observe(sprites, None, backdrop)["image"]
    )


def test_masks_and_layers_beside_pillows_pictures_are_the_exact_ones() -> None:
    sprites = scenes(4)
    exact = Observer(keys=PICTURES, height=16, width=16).observe(sprites)
    pillow = Observer(keys=PICTURES, height=16, width=16, renderer="pil").observe(sprites)
    assert all(torch.equal(exact[key], pillow[key]) for key in exact)


def test_fast_pictures_differ_from_exact_ones_as_specified() -> None:
    """Mean absolute errors: below 0.2 of 255 over images, and a few levels where sprites are."""
    look = (shapes("square", "triangle", "circle"), Discrete("scale", (0.13,)))
    colour = (Continuous("c0", 0.0, 1.0), Continuous("c1", 0.3, 1.0), Continuous("c2", 0.9, 1.0))
    one = Generate(Product((Continuous("x", 0.1, 0.9), Continuous("y", 0.1, 0.9), *look, *colour)))
    factors, present, _ = one.sample(Streams.of(range(200), "test"))
    sprites = Sprites.of(factors, present)
    exact, fast = (
        Observer(renderer=name, keys=("image", "segmentation")).observe(sprites) for name in ("exact", "fast")
    )
    error = (exact["image"].float() - fast["image"].float()).abs()
    assert float(error.mean()) < 0.2
    touched = (exact["image"] > 0).any(-1) | (fast["image"] > 0).any(-1)
    assert 2 < float(error[touched].mean()) < 7.5
    assert 20 < error.max() < 80
    agree = (exact["segmentation"] == fast["segmentation"]).float().mean()
    assert 0.99 < float(agree) < 1


@pytest.mark.parametrize("renderer", ["exact", "fast"])
class TestPictures:
    """What holds for both renderers."""

    def test_y_is_up_and_x_to_the_right(self, renderer: Any) -> None:
        observer = Observer(keys=("image", "segmentation"), renderer=renderer, height=20, width=20)
        seen = observer.observe(one_sprite(x=0.8, y=0.9, scale=0.1))
        row, column = (seen["segmentation"][0] == 1).nonzero().float().mean(0).tolist()
        assert (row, column) == (pytest.approx(1.5, abs=0.6), pytest.approx(15.5, abs=0.6))
        red, green, blue = seen["image"][0, int(row), int(column)].tolist()
        assert (red > 200, green, blue) == (True, 0, 0)

    def test_areas(self, renderer: Any) -> None:
        observer = Observer(keys=("segmentation",), renderer=renderer)
        for shape in SHAPES:
            labels = observer.observe(one_sprite(shape, scale=0.5, angle=10.0))["segmentation"]
            assert int((labels == 1).sum()) == pytest.approx(0.25 * 64**2, rel=0.03), shape

    def test_later_sprites_hide_earlier_ones(self, renderer: Any) -> None:
        square = one_sprite(scale=0.5).factors[0, 0]
        front = square.clone()
        front[4:6] = torch.tensor([0.15, 1 / 3])  # Smaller, and green.
        sprites = Sprites.of(torch.stack([square, front])[None], torch.ones(1, 2, dtype=torch.bool))
        seen = Observer(keys=PICTURES, renderer=renderer).observe(sprites)
        middle = seen["segmentation"][0, 32, 32]
        assert (int(middle), seen["image"][0, 32, 32].tolist()) == (2, [0, 255, 0])
        assert int(seen["segmentation"][0, 32, 20]) == 1
        # Layers are whole: the one behind, too.
        assert seen["layers"][0, :, 32, 32, 3].tolist() == [255, 255]
        assert seen["layers"][0, :, 32, 20, 3].tolist() == [255, 0]
        assert seen["layers"][0, 0, 32, 32].tolist() == [255, 0, 0, 255]

    def test_layers_laid_over_each_other_are_the_image(self, renderer: Any) -> None:
        sprites = scenes(30)
        seen = Observer(keys=("image", "layers"), renderer=renderer, height=32, width=32).observe(sprites)
        image = torch.zeros(30, 32, 32, 3)
        for layer in seen["layers"].float().unbind(1):
            image = image.lerp(layer[..., :3], layer[..., 3:] / 255)
        error = (image - seen["image"].float()).abs()
        # Where edges cross, or the filter rings, the order of filtering and laying matters.
        assert float(error.mean()) < 1
        assert float((error > 40).float().mean()) < 0.01

    def test_absent_sprites_leave_no_trace(self, renderer: Any) -> None:
        sprites = scenes(20)
        seen = Observer(keys=(*PICTURES, "factors", "present"), renderer=renderer, height=16, width=16).observe(sprites)
        absent = ~sprites.present
        assert absent.any()
        assert not seen["layers"][absent].any()
        assert not seen["factors"][absent].any()
        shown = torch.stack([(seen["segmentation"] == n + 1).flatten(1).any(1) for n in range(6)], 1)
        assert not (shown & absent).any()
        assert torch.equal(seen["present"], sprites.present)
        empty = sprites.present.sum(1) == 0
        assert empty.any()
        assert not seen["image"][empty].any()

    def test_the_batch_does_not_matter(self, renderer: Any) -> None:
        sprites = scenes(9)
        observer = Observer(keys=(*PICTURES, "factors"), renderer=renderer, height=20, width=20)
        whole = observer.observe(sprites)
        for row in range(9):
            part = observer.observe(sprites.rows([row]))
            assert all(torch.equal(part[key][0], whole[key][row]) for key in whole)

    def test_no_arenas_and_no_sprites(self, renderer: Any) -> None:
        observer = Observer(keys=(*PICTURES, "present"), renderer=renderer, height=8, width=8)
        none = Sprites.of(torch.zeros(2, 0, 10, dtype=torch.float64), torch.zeros(2, 0, dtype=torch.bool))
        seen = observer.observe(none)
        assert seen["image"].shape == (2, 8, 8, 3)
        assert not seen["image"].any()
        assert not seen["segmentation"].any()
        assert seen["layers"].shape == (2, 0, 8, 8, 4)
        assert observer.observe(scenes(3).rows([]))["image"].shape == (0, 8, 8, 3)

    def test_own_shapes(self, renderer: Any) -> None:
        outline = Polygon(((-0.5, -0.5), (0.5, -0.5), (-0.5, 0.5)))
        factors = one_sprite().factors.clone()
        factors[..., 2], factors[..., 4] = 13, 0.5
        sprites = Sprites.of(factors, torch.ones(1, 1, dtype=torch.bool), (*SHAPES.values(), outline))
        labels = Observer(keys=("segmentation",), renderer=renderer).observe(sprites)["segmentation"][0]
        assert int(labels.sum()) == pytest.approx(0.125 * 64**2, rel=0.05)
        assert (int(labels[45, 18]), int(labels[18, 45])) == (1, 0)  # Below the diagonal, which is the lower left.


def test_colours() -> None:
    sprites = one_sprite(c0=0.2, c1=0.5, c2=0.5)
    assert Observer().rgb(sprites).tolist() == [[[114, 127, 63]]]
    assert Observer(colours="rgb").rgb(one_sprite(c0=12.9, c1=300.0, c2=-3.0)).tolist() == [[[12, 255, 0]]]
    image = Observer().observe(sprites)["image"]
    assert image[0, 32, 32].tolist() == [114, 127, 63]


def test_pictures_are_contiguous_bytes_or_floats() -> None:
    sprites = scenes(3)
    image = Observer(height=6, width=9).observe(sprites)["image"]
    assert (image.dtype, image.shape, image.is_contiguous()) == (torch.uint8, (3, 6, 9, 3), True)
    floats = Observer(height=6, width=9, image_as="floats").observe(sprites)["image"]
    assert (floats.dtype, floats.shape, floats.is_contiguous()) == (torch.float32, (3, 3, 6, 9), True)
    assert torch.equal((floats * 255).round().to(torch.uint8), image.permute(0, 3, 1, 2))


def test_backgrounds() -> None:
    sprites = one_sprite(x=-1.0, y=-1.0)  # Out of sight.
    assert Observer(background=(1, 2, 3)).observe(sprites)["image"][0, 5, 5].tolist() == [1, 2, 3]
    level = torch.tensor([0.5], dtype=torch.float64)
    for renderer in ("exact", "fast", "pil"):
        observer = Observer(background="random_grey", renderer=renderer, keys=PICTURES, height=8, width=8)
        seen = observer.observe(sprites, None, level)
        assert seen["image"].unique().tolist() == [128]
        assert not seen["segmentation"].any()
        assert not seen["layers"][..., 3].any()


def test_numbers() -> None:
    sprites = scenes(5)
    success = torch.tensor([True, False, True, False, False])
    seen = Observer(keys=("success", "factors", "present")).observe(sprites, success)
    assert list(seen) == ["success", "factors", "present"]
    assert torch.equal(seen["success"], success)
    assert torch.equal(seen["factors"], sprites.factors.float())
    assert not Observer(keys=("success",)).observe(sprites)["success"].any()
    padded = Observer(keys=("factors", "present", "layers"), most=9, height=4, width=4).observe(sprites)
    assert [padded[key].shape[1] for key in padded] == [9, 9, 9]
    assert torch.equal(padded["factors"][:, :6], seen["factors"])
    assert not any(padded[key][:, 6:].any() for key in padded)
    with pytest.raises(ConfigError, match="places for 5 sprites where scenes have up to 6"):
        Observer(keys=("factors",), most=5).observe(sprites)


def test_observations_can_be_written_to_without_harm() -> None:
    sprites = scenes(3)
    observer = Observer(keys=(*PICTURES, "factors", "present", "success"), height=8, width=8)
    success = torch.zeros(3, dtype=torch.bool)
    for look in (observer.observe, Screen(observer).observe):
        before = {key: value.clone() for key, value in look(sprites, success).items()}
        for value in look(sprites, success).values():
            value.fill_(1)
        assert all(torch.equal(value, before[key]) for key, value in look(sprites, success).items())


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one.moved(torch.full((4, 6, 2), 0.2).double(), keep_in_frame=False),
        lambda one: one.with_shape((one.shape.clamp(0, 11) + 1) % 12),
        lambda one: one.with_angle(one.angle + 45),
        lambda one: one.with_scale(one.scale * 2),
        lambda one: one.with_colour((one.colour + 0.3) % 1),
        lambda one: dataclasses.replace(one, present=one.present & (torch.arange(6) > 2)),
    ],
)
def test_screens_see_every_change(change: Any) -> None:
    before = scenes(4, seed=3)
    after = change(before)
    observer = Observer(keys=(*PICTURES, "factors"), height=24, width=24)
    screen = Screen(observer)
    first = screen.observe(before)
    wanted = observer.observe(after)
    assert not torch.equal(first["image"], wanted["image"])
    for sprites in (after, before.put(torch.tensor([1]), after.rows([1])), before.rows([2, 3])):
        wanted = observer.observe(sprites)
        assert all(torch.equal(value, wanted[key]) for key, value in screen.observe(sprites).items())


def test_a_screen_shows_what_somebody_wrote_into_sprites() -> None:
    """Nobody should, but then pictures must not be those of before."""
    drawn = scenes(4)
    sprites = dataclasses.replace(drawn, colour=torch.where(drawn.present[..., None], drawn.colour, 0.5))
    observer = Observer(renderer="fast", height=32, width=32)
    screen = Screen(observer)
    before = screen.observe(sprites)["image"]
    sprites.colour[:] = sprites.colour.roll(1, 0)
    wanted = observer.observe(sprites)["image"]
    assert not torch.equal(before, wanted)
    assert torch.equal(screen.observe(sprites)["image"], wanted)
    sprites.position[:] = torch.where(sprites.present[..., None], 1 - sprites.position, sprites.position)
    after = sprites.moved(torch.zeros_like(sprites.position), keep_in_frame=False)
    assert torch.equal(screen.observe(after)["image"], observer.observe(after)["image"])


def test_the_config_goes_through_json() -> None:
    observer = Observer(keys=("image", "success"), background="random_grey", image_as="floats", most=3)
    assert from_json(to_json(observer), Observer) == observer
    assert from_json(to_json(Observer(background=(1, 2, 3))), Observer) == Observer(background=(1, 2, 3))


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"keys": ()}, "observation keys"),
        ({"keys": ("image", "image")}, "different"),
        ({"keys": ("pixels",)}, r"keys\[0\] = 'pixels'"),
        ({"keys": ("factors", "images")}, r"keys\[1\] = 'images'"),
        ({"height": 0}, "height = 0"),
        ({"width": -3}, "width = -3"),
        ({"supersampling": 0}, "supersampling = 0"),
        ({"most": 0}, "most = 0"),
        ({"renderer": "fast", "height": 32}, "square"),
        ({"renderer": "opengl"}, "opengl"),
        ({"background": (0, 0, 256)}, "background"),
        ({"background": (0.5, 0, 0)}, "background"),
        ({"background": (0, 0)}, "background"),
        ({"background": "grey"}, "background"),
        ({"background": (math.nan, 0, 0)}, "background"),
        ({"colours": "hsl"}, "hsl"),
        ({"image_as": "float16"}, "float16"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        Observer(**settings)


def test_a_picture_by_hand() -> None:
    """Of a square from (0.33, 0.4) to (0.73, 0.8), without a filter: fractions of cells are cut off, and all cells that
    the outline touches are filled."""
    sprites = one_sprite(scale=0.4, x=0.53, y=0.6)
    seen = Observer(height=8, width=8, supersampling=1, keys=("image", "segmentation")).observe(sprites)
    wanted = np.zeros((8, 8), int)
    wanted[1:5, 2:6] = 1
    assert np.array_equal(seen["segmentation"][0].numpy(), wanted)
    assert np.array_equal(seen["image"][0, ..., 0].numpy(), wanted * 255)
