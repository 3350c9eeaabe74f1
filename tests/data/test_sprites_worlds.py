"""Generated worlds: their grids, their pictures, and that every picture depends on its factors alone."""

from __future__ import annotations

import colorsys
import math

import pytest
import torch

from percepts.core.config import from_json, to_json
from percepts.core.errors import ConfigError, DataError
from percepts.data.dataset import FactorDataset
from percepts.data.minis import Blobs24, Squares24
from percepts.data.sprites import ColouredSprites, Pebbles, Sprites
from percepts.rendering.colour import hsv_to_rgb

WORLDS = [
    Sprites.Config(), Sprites.Config(size=32, positions=16, orientations=10, antialias=True), ColouredSprites.Config(),
    Pebbles.Config(), Squares24.Config(), Blobs24.Config(), Blobs24.Config(hole=0.45),
]  # fmt: skip


@pytest.mark.parametrize("config", WORLDS, ids=lambda config: type(config).__qualname__)
def test_every_world_draws_what_it_announces(config) -> None:
    world: FactorDataset = config.build()
    indices = torch.randint(len(world), (40,), generator=torch.Generator().manual_seed(1))
    batch = world.gather(indices)
    assert batch["image"].shape == (40, *world.image_shape)
    assert batch["image"].dtype == torch.float32
    assert batch["image"].min() >= 0
    assert batch["image"].max() <= 1
    assert (batch["image"].flatten(1).amax(1) > 0.3).all()
    assert torch.equal(world.indices_of(batch["factors"]), indices)
    for column, (name, size) in enumerate(zip(world.factor_names, world.factor_sizes)):
        assert len(world.factor_values(name)) == size
        assert batch["factors"][:, column].max() < size
    assert torch.equal(world[int(indices[7])]["image"], batch["image"][7])
    assert from_json(to_json(config)) == config


def test_sprites_have_the_grid_of_dsprites() -> None:
    world = Sprites.Config().build()
    assert world.factor_names == ("shape", "scale", "orientation", "position_x", "position_y")
    assert world.factor_sizes == (3, 6, 40, 32, 32)
    assert len(world) == 737_280
    assert world.factor_values("scale").tolist() == pytest.approx([0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    assert world.factor_values("orientation")[39].item() == pytest.approx(2 * math.pi)
    assert world.factor_values("position_x")[1].item() == pytest.approx(1 / 31)
    assert world.factors_of(torch.tensor([1, 32, 1024, 40960])).tolist() == [
        [0, 0, 0, 0, 1],
        [0, 0, 0, 1, 0],
        [0, 0, 1, 0, 0],
        [0, 1, 0, 0, 0],
    ]


def test_sprites_are_binary_and_never_cut_by_the_border() -> None:
    world = Sprites.Config(positions=2).build()
    images = world.gather(torch.arange(len(world)))["image"]
    assert set(images.unique().tolist()) == {0.0, 1.0}
    border = torch.cat([images[..., 0, :], images[..., -1, :], images[..., :, 0], images[..., :, -1]], dim=-1)
    assert border.sum() == 0


def test_both_ends_of_the_orientation_are_one_picture() -> None:
    world = Sprites.Config(antialias=True).build()
    ends = world.render(torch.tensor([[2, 5, 0, 16, 16], [2, 5, 39, 16, 16]]))
    torch.testing.assert_close(ends[0], ends[1], atol=1e-4, rtol=0)


def test_positions_go_right_and_down() -> None:
    for config, row in ((Sprites.Config(), [0, 5, 0]), (ColouredSprites.Config(), [0, 0, 5, 0])):
        world = config.build()
        image = world.render(torch.tensor([[*row, 31, 0], [*row, 0, 31]])).amax(1)
        assert image[0, :32, 32:].sum() == image[0].sum() > 0
        assert image[1, 32:, :32].sum() == image[1].sum() > 0


def test_sprites_have_their_proportions() -> None:
    world = Sprites.Config(antialias=True).build()
    areas = world.render(torch.tensor([[shape, 5, 0, 10, 20] for shape in range(3)])).sum((1, 2, 3))
    assert float(areas[0]) == pytest.approx(20 * 20, rel=1e-3)
    assert float(areas[1]) == pytest.approx(math.pi * 13 * 6.5, rel=1e-3)
    heart = world.render(torch.tensor([[2, 5, 0, 16, 16]]))[0, 0]
    assert 19 <= (heart.amax(0) > 0.1).sum() <= 21


def test_the_heart_stands_upright_at_orientation_0() -> None:
    image = Sprites.Config(antialias=True).build().render(torch.tensor([[2, 5, 0, 16, 16]]))[0, 0]
    rows = image.sum(1)
    widths = rows[rows > 0.5]
    assert widths[-1] < widths[1]


def test_factors_with_one_value_are_left_out() -> None:
    world = Pebbles.Config().build()
    assert world.factor_names == ("hue", "scale", "position_x", "position_y")
    assert world.factor_sizes == (8, 6, 16, 16)
    assert world.image_shape == (3, 32, 32)
    bright = Pebbles.Config(hues=1, brightnesses=5).build()
    assert bright.factor_names == ("brightness", "scale", "position_x", "position_y")


def test_pebbles_have_the_colour_of_their_hue() -> None:
    world = Pebbles.Config(saturation=0.8).build()
    factors = torch.tensor([[hue, 5, 8, 8] for hue in range(8)])
    seen = world.render(factors).amax((2, 3))
    for colour, hue in zip(seen.tolist(), world.factor_values("hue").tolist()):
        assert colour == pytest.approx(colorsys.hsv_to_rgb(hue, 0.8, 1.0), abs=1e-5)


def test_hsv_to_rgb_agrees_with_colorsys() -> None:
    hsv = torch.rand(200, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = torch.tensor([colorsys.hsv_to_rgb(*row) for row in hsv.tolist()], dtype=torch.float64)
    torch.testing.assert_close(hsv_to_rgb(hsv), expected)


@pytest.mark.parametrize(
    "config",
    [
        Sprites.Config(shapes=("square", "hart")), Sprites.Config(shapes=()), Sprites.Config(size=0),
        Sprites.Config(scales=0), ColouredSprites.Config(hue_range=(0.0, 1.5)), ColouredSprites.Config(saturation=2.0),
        ColouredSprites.Config(scale_range=(0.0, 1.0)), Pebbles.Config(x_range=(0.0, math.inf)),
        Squares24.Config(half_size_range=(0.2, 3.0)), Squares24.Config(scales=0), Blobs24.Config(sigma=0.0),
        Blobs24.Config(hole=2.0),
    ],
)  # fmt: skip
def test_settings_that_make_no_world(config) -> None:
    with pytest.raises(ConfigError):
        config.build()


def test_squares_are_the_closed_form() -> None:
    world = Squares24.Config().build()
    assert len(world) == 864
    assert world.factor_names == ("scale", "x", "y")
    assert world.factor_values("scale").tolist() == [1.5, 2, 2.5, 3, 3.5, 4]
    image = world.render(torch.tensor([[5, 0, 11]]))[0, 0]
    assert float(image.sum()) == pytest.approx(64)  # half-size 4: 8 x 8
    rows, columns = torch.meshgrid(torch.arange(24.0), torch.arange(24.0), indexing="ij")
    assert float((image * columns).sum() / image.sum()) == pytest.approx(6)
    assert float((image * rows).sum() / image.sum()) == pytest.approx(18)


def test_blobs_peak_at_their_centre() -> None:
    world = Blobs24.Config().build()
    assert len(world) == 256
    image = world.render(torch.tensor([[0, 15]]))[0, 0]
    assert image[19, 5] == 1
    assert float(image[19, 6]) == pytest.approx(math.exp(-1 / (2 * 1.2**2)))


def test_the_hole_takes_out_36_of_256_points_but_still_renders() -> None:
    world = Blobs24.Config(hole=0.45).build()
    assert len(world) == 220
    assert int((~world.support).sum()) == 36
    factors = world.factors_of(torch.arange(220))
    centre = ((factors >= 5) & (factors <= 10)).all(1)
    assert not centre.any()
    assert torch.equal(world.indices_of(factors), torch.arange(220))
    assert world.render(torch.tensor([[7, 7]])).max() > 0.5
    with pytest.raises(DataError, match="hole"):
        world.indices_of(torch.tensor([[7, 7]]))
