"""Continuous sprites, jitter, nuisances and novel shapes."""

from __future__ import annotations

import colorsys
import math

import pytest
import torch
from dataset_contract import DatasetContract, assert_equal

from percepts.core.config import Config
from percepts.core.errors import ConfigError
from percepts.data import Blobs24, FactorDataset, ImageDataset, Pebbles, Preloaded, Sprites, Squares24
from percepts.data.circles import Circles
from percepts.data.continuity import Subsampled
from percepts.data.continuous import Jittered
from percepts.data.distributions import Continuous
from percepts.data.hashing import hashed_uniform
from percepts.data.held_out import HeldOut
from percepts.data.minis import Shapes24
from percepts.data.nuisance import Nuisance
from percepts.data.sprite_factors import SMALL_SIZES, SpriteFactors, small_objects

HOLE = Continuous("x", 0.4, 0.6) * Continuous("y", 0.4, 0.6)
FEW = SpriteFactors.Config(pixels=32, hues=3, saturations=1, brightnesses=2, orientations=4, sizes=2, positions=6)
NUISANCES = [Nuisance.Config(dataset=Squares24.Config(), kind=kind, seed=2) for kind in ("colour", "noise")]

WORLDS: dict[str, Config] = {
    "sprites": FEW,
    "one shape": SpriteFactors.Config(pixels=20, shapes=("heart",), hues=2, orientations=2, sizes=1, positions=3),
    "sprites with a hole": HeldOut.Config(dataset=FEW, hole=HOLE),
    "colour": NUISANCES[0],
    "noise on a hole": Nuisance.Config(dataset=Blobs24.Config(hole=0.45), kind="noise"),
    "disc": Shapes24.Config(),
    "triangle": Shapes24.Config(shape="triangle", size=20, positions=3),
    "jittered": Jittered.Config(dataset=Circles.Config(kind="x_hue", support="l_shape", bins=6), copies=5, seed=1),
    "jittered hole": Jittered.Config(dataset=HeldOut.Config(dataset=FEW, hole=HOLE), copies=1),
    "preloaded jitter": Preloaded.Config(dataset=Jittered.Config(dataset=Circles.Config(bins=4, size=12), copies=3)),
}


class TestWorlds(DatasetContract):
    @pytest.fixture(params=list(WORLDS))
    def dataset(self, request: pytest.FixtureRequest) -> ImageDataset:
        return WORLDS[request.param].build()


# Sprites of eight factors


def test_eight_factors_in_their_order() -> None:
    world = SpriteFactors.Config().build()
    assert world.factor_names == ("hue", "saturation", "brightness", "shape", "size", "orientation", "x", "y")
    assert world.factor_sizes == (8, 2, 2, 3, 6, 16, 32, 32)
    assert FEW.build().factor_names == ("hue", "brightness", "shape", "size", "orientation", "x", "y")
    assert "size" not in small_objects(0.1).build().factor_names


def test_sprites_have_their_colour_area_and_place() -> None:
    generator = torch.Generator().manual_seed(3)
    inside = HeldOut.Config(dataset=FEW, hole=Continuous("x", 0.25, 0.75) * Continuous("y", 0.25, 0.75), keep="hole")
    for world in (small_objects(0.2).build(), inside.build()):
        batch = world.gather(torch.randint(len(world), (60,), generator=generator))
        value = {
            name: world.factor_values(name)[column] for name, column in zip(world.factor_names, batch["factors"].T)
        }
        pixels = world.image_shape[1]
        cover = (batch["image"].amax(1) / value["brightness"].float()[:, None, None]).double()
        sizes = value["size"] if "size" in value else torch.full((60,), 0.2)
        mass = cover.sum((1, 2))
        assert mass.tolist() == pytest.approx(((pixels * sizes) ** 2).tolist(), rel=2e-3)
        grid = (torch.arange(pixels, dtype=torch.float64) + 0.5) / pixels
        torch.testing.assert_close((cover * grid).sum((1, 2)) / mass, value["x"], atol=2e-3, rtol=0)
        torch.testing.assert_close((cover * grid[:, None]).sum((1, 2)) / mass, value["y"], atol=2e-3, rtol=0)
        if "saturation" in value:
            hsv = zip(value["hue"].tolist(), value["saturation"].tolist(), value["brightness"].tolist())
            expected = torch.tensor([colorsys.hsv_to_rgb(*one) for one in hsv])
            torch.testing.assert_close(batch["image"].amax((2, 3)), expected, atol=1e-4, rtol=0)


def test_orientation_is_clockwise_on_the_screen_and_its_ends_are_different_pictures() -> None:
    world = SpriteFactors.Config(shapes=("ellipse",), size_range=(0.3, 0.3), sizes=1).build()
    value = {"x": torch.tensor([0.5]), "y": torch.tensor([0.5]), "orientation": torch.tensor([math.pi / 4])}
    image = world.draw(value)[0].amax(0)
    # An ellipse along x turned by 45° clockwise points to the lower right.
    assert image[32:, 32:].sum() > 2 * image[:32, 32:].sum()
    ends = world.factor_values("orientation")[[0, -1]]
    assert float(ends[1] - ends[0]) == pytest.approx(2 * math.pi * 15 / 16)


@pytest.mark.parametrize("pixels", [24, 64])
@pytest.mark.parametrize("size", [*SMALL_SIZES, 0.001])
def test_small_objects_have_at_least_two_pixels_a_side(size: float, pixels: int) -> None:
    world = small_objects(size, pixels).build()
    middle = torch.tensor([0.5])
    area = world.draw({"x": middle, "y": middle, "brightness": middle + 0.5}).amax(1).sum()
    assert float(area) == pytest.approx(max(size * pixels, 2) ** 2, rel=1e-3)


@pytest.mark.parametrize(
    "settings",
    [
        {"pixels": 0}, {"shapes": ()}, {"shapes": ("square", "square")}, {"hue_range": (0.0, 1.2)}, {"sizes": 0},
        {"size_range": (0.01, 0.2)}, {"size_range": (math.nan, 0.2)}, {"x_range": (0.8, 0.2)},
        {"size_range": (0.2, 0.2)}, {"orientation_range": (0.0, math.inf)}, {"positions": -3},
        {"shapes": ("square",), "positions": 1, "orientations": 1, "sizes": 1}
        | {"hues": 1, "saturations": 1, "brightnesses": 1},
    ],
)  # fmt: skip
def test_settings_that_make_no_sprites(settings: dict) -> None:
    with pytest.raises(ConfigError) as error:
        SpriteFactors.Config(**settings).build()
    assert "\n" not in str(error.value)


# Jitter


def test_jitter_stays_in_the_bin_and_fills_it() -> None:
    grid = Circles.Config(kind="x_hue", bins=4, size=8)
    data = Jittered.Config(dataset=grid, copies=500).build()
    batch = data.gather(torch.arange(len(data)))
    for column, name in enumerate(data.factor_names):
        width = grid.build().bin_widths[name]
        offset = batch["values"][:, column].double() - data.factor_values(name)[batch["factors"][:, column]]
        offset = offset / width
        assert offset.abs().max() <= 0.5 + 1e-5
        assert float(offset.mean()) == pytest.approx(0, abs=0.02)
        assert float(offset.var()) == pytest.approx(1 / 12, rel=0.05)
        for index in range(4):
            assert offset[batch["factors"][:, column] == index].max() > 0.45
    assert abs(torch.corrcoef((batch["values"] - batch["values"].mean(0)).T[:2])[0, 1]) < 0.05


def test_every_grid_point_has_its_copies() -> None:
    data = Jittered.Config(dataset=Circles.Config(support="l_shape", bins=4, size=8), copies=3).build()
    factors = data.gather(torch.arange(len(data)))["factors"]
    assert len(data) == 12 * 3
    assert (factors.unique(dim=0, return_counts=True)[1] == 3).all()
    assert not ((factors >= 2).all(1)).any()


def test_an_item_is_the_picture_of_its_values() -> None:
    world = FEW.build()
    data = Jittered.Config(dataset=FEW, copies=2, seed=4).build()
    batch = data.gather(torch.tensor([3, 1000, 77]))
    fixed = Jittered.Config(dataset=FEW, copies=2, seed=4).build().gather(torch.tensor([3, 1000, 77]))
    assert_equal(batch, fixed)
    other = Jittered.Config(dataset=FEW, copies=2, seed=5).build().gather(torch.tensor([3, 1000, 77]))
    assert not torch.equal(batch["values"], other["values"])
    assert torch.equal(batch["factors"], other["factors"])
    shape = batch["values"][:, data.factor_names.index("shape")]
    assert torch.equal(
        shape, batch["factors"][:, data.factor_names.index("shape")].float()
    )  # shapes have no in-between
    world_without = SpriteFactors.Config(**{**vars(FEW), "saturation_range": (0.5, 0.5)})
    data = Jittered.Config(dataset=world_without, copies=2).build()
    batch = data.gather(torch.arange(20))
    drawn = world_without.build().draw(dict(zip(data.factor_names, batch["values"].T)))
    torch.testing.assert_close(drawn, batch["image"], atol=1e-3, rtol=0)
    assert world.image_shape == data.image_shape


def test_jitter_keeps_out_of_what_is_held_out() -> None:
    data = Jittered.Config(dataset=HeldOut.Config(dataset=Circles.Config(bins=8, size=8), hole=HOLE), copies=4).build()
    values = data.gather(torch.arange(len(data)))["values"]
    inside = ((values - 0.5).abs() < 0.04).all(1)  # the hole less half a bin
    assert not inside.any()
    coarse = Jittered.Config(
        dataset=Subsampled.Config(dataset=Circles.Config(bins=8, size=8), steps={"x": 4}), copies=9
    )
    offset = coarse.build().gather(torch.arange(2 * 8 * 9))["values"][:, 0].reshape(2, -1)
    centres = Circles.Config(bins=8).build().factor_values("x")[[0, 4]]
    assert ((offset - centres[:, None]).abs() <= 44 / 64 / 16 + 1e-6).all()


def test_what_cannot_be_jittered() -> None:
    with pytest.raises(ConfigError, match="Pebbles"):
        Jittered.Config(dataset=Pebbles.Config()).build()
    with pytest.raises(ConfigError, match="copies"):
        Jittered.Config(dataset=Circles.Config(), copies=0).build()


def test_hashed_numbers_are_uniform_and_depend_on_number_seed_and_key_alone() -> None:
    numbers = torch.arange(-5000, 45_000)
    drawn = hashed_uniform(numbers, 3, "a")
    assert drawn.dtype == torch.float64
    assert drawn.min() >= 0
    assert drawn.max() < 1
    counts = torch.histc(drawn, 20, 0, 1)
    assert float(((counts - 2500) ** 2 / 2500).sum()) < 45  # chi-square of 19 degrees: 43.8 at one in a thousand
    assert len(drawn.unique()) == len(drawn)
    assert torch.equal(hashed_uniform(numbers.flip(0), 3, "a").flip(0), drawn)
    for other in (hashed_uniform(numbers, 4, "a"), hashed_uniform(numbers, 3, "b"), drawn.roll(1)):
        assert abs(float(torch.corrcoef(torch.stack([drawn, other]))[0, 1])) < 0.02


def test_the_hash_is_splitmix64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("percepts.data.hashing.derive_seed", lambda seed, *keys: 0)
    first = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]  # what the reference program draws from 0
    assert hashed_uniform(torch.arange(3), 0).tolist() == [(value >> 11) * 2.0**-53 for value in first]


# Nuisances


def test_a_colour_is_one_for_an_image_and_at_least_half() -> None:
    grey = Squares24.Config().build()
    world = NUISANCES[0].build()
    indices = torch.arange(0, 864, 5)
    image, plain = world.gather(indices)["image"], grey.gather(indices)["image"]
    colour = image.amax((2, 3))
    torch.testing.assert_close(image, plain * colour[:, :, None, None] / plain.amax((2, 3))[:, :, None, None])
    assert colour.min() >= 0.5
    assert float(colour.mean()) == pytest.approx(0.75, abs=0.02)
    assert len(colour.unique(dim=0)) == len(indices)


def test_noise_brightens_every_pixel() -> None:
    grey = Squares24.Config().build()
    world = NUISANCES[1].build()
    image, plain = world.gather(torch.arange(100))["image"], grey.gather(torch.arange(100))["image"]
    assert (image >= plain).all()
    background = image[(plain == 0).expand_as(image)]
    assert float(background.mean()) == pytest.approx(0.5, abs=0.005)
    assert float(background.var()) == pytest.approx(1 / 12, rel=0.02)
    assert not torch.equal(image[0, 0], image[0, 1])
    assert (image[(plain == 1).expand_as(image)] == 1).all()


def test_other_seeds_are_other_nuisances() -> None:
    images = [Nuisance.Config(dataset=Squares24.Config(), seed=seed).build()[3]["image"] for seed in (0, 1)]
    assert not torch.equal(*images)


def test_a_nuisance_needs_a_grey_world() -> None:
    with pytest.raises(ConfigError, match="grey"):
        Nuisance.Config(dataset=Pebbles.Config()).build()
    with pytest.raises(ConfigError, match="kind"):
        Nuisance.Config(dataset=Sprites.Config(), kind="scream").build()  # type: ignore[arg-type]


# Novel shapes

LOST = {"disc": 1e-3, "diamond": 0.06, "triangle": 0.5}
"""Square pixels that the largest may lose at the border."""


@pytest.mark.parametrize("shape", ["disc", "diamond", "triangle"])
def test_novel_shapes_have_the_grid_place_and_area_of_the_squares(shape: str) -> None:
    world, squares = Shapes24.Config(shape=shape).build(), Squares24.Config().build()
    assert (world.factor_names, world.factor_sizes, len(world)) == (squares.factor_names, squares.factor_sizes, 864)
    indices = torch.arange(864)
    image, other = world.gather(indices)["image"].double(), squares.gather(indices)["image"].double()
    pixels = torch.arange(24, dtype=torch.float64)
    mass = image.sum((1, 2, 3))
    torch.testing.assert_close(mass, other.sum((1, 2, 3)), atol=LOST[shape], rtol=0)
    for weights in (pixels, pixels[:, None]):
        mine, theirs = ((one * weights).sum((1, 2, 3)) / one.sum((1, 2, 3)) for one in (image, other))
        torch.testing.assert_close(mine, theirs, atol=0.06, rtol=0)
    assert (image - other).abs().flatten(1).amax(1).min() > 0.1


def test_a_diamond_has_its_corners_on_the_axes() -> None:
    image = Shapes24.Config(shape="diamond").build().render(torch.tensor([[5, 6, 6]]))[0, 0]
    assert isinstance(Shapes24.Config().build(), FactorDataset)
    rows = (image > 0.5).sum(1)
    assert rows.max() >= 10
    assert rows[rows > 0].min() <= 2


def test_unknown_shapes() -> None:
    with pytest.raises(ConfigError, match="'disc', 'diamond', 'triangle'"):
        Shapes24.Config(shape="square").build()  # type: ignore[arg-type]
