"""Circles: two factors, their supports, and their pictures."""

from __future__ import annotations

import colorsys
import math

import pytest
import torch
from dataset_contract import DatasetContract

from percepts.core.config import Config
from percepts.core.errors import ConfigError, DataError
from percepts.data import FactorDataset
from percepts.data.circles import Circles
from percepts.data.distributions import Continuous
from percepts.data.held_out import HeldOut

KINDS = {"xy": ("x", "y"), "x_hue": ("x", "hue"), "r_hue": ("radius", "hue"), "hue_sat": ("hue", "saturation")}
SUPPORTS = {"square": 1.0, "centre_hole": 0.86, "diagonal_band": 0.44, "l_shape": 0.75}

WORLDS: dict[str, Config] = {
    "circles": Circles.Config(),
    "small": Circles.Config(kind="hue_sat", support="l_shape", size=17, bins=5),
    "band": Circles.Config(kind="r_hue", support="diagonal_band", bins=6),
}


class TestCircles(DatasetContract):
    @pytest.fixture(params=list(WORLDS))
    def dataset(self, request: pytest.FixtureRequest) -> FactorDataset:
        return WORLDS[request.param].build()


@pytest.mark.parametrize("kind", KINDS)
def test_two_factors_at_the_centres_of_their_bins(kind: str) -> None:
    world = Circles.Config(kind=kind, bins=10).build()
    assert world.factor_names == KINDS[kind]
    assert world.factor_sizes == (10, 10)
    assert world.image_shape == ((1 if kind == "xy" else 3), 64, 64)
    for name in world.factor_names:
        values, width = world.factor_values(name), world.bin_widths[name]
        assert torch.allclose(values.diff(), torch.full((9,), width, dtype=torch.float64))
    x = Circles.Config(bins=11).build().factor_values("x")
    assert float(x[0]) == pytest.approx((10 + 2) / 64)
    assert float(x[-1]) == pytest.approx((54 - 2) / 64)


def test_a_disc_lies_where_its_factors_say() -> None:
    world = Circles.Config(bins=8).build()
    images = world.gather(torch.arange(64))["image"].double()
    pixels = (torch.arange(64, dtype=torch.float64) + 0.5) / 64
    mass = images.sum((1, 2, 3))
    factors = world.factors_of(torch.arange(64))
    for name, column, weights in (("x", 0, pixels), ("y", 1, pixels[:, None])):
        centre = (images * weights).sum((1, 2, 3)) / mass
        torch.testing.assert_close(centre, world.factor_values(name)[factors[:, column]], atol=1e-4, rtol=0)
    assert mass.tolist() == pytest.approx([math.pi * 25] * 64, rel=1e-4)  # exact coverage, wherever it lies


def test_radius_hue_and_saturation_are_those_of_the_factors() -> None:
    world = Circles.Config(kind="r_hue", bins=6).build()
    image = world.render(torch.tensor([[r, 2] for r in range(6)])).double()
    peak = image.amax((2, 3))
    areas = image.amax(1).sum((1, 2))
    radii = (64 * world.factor_values("radius")).tolist()
    assert areas.tolist() == pytest.approx([math.pi * radius**2 for radius in radii], rel=1e-4)
    assert peak[5].tolist() == pytest.approx(colorsys.hsv_to_rgb(float(world.factor_values("hue")[2]), 1, 1), abs=1e-5)
    world = Circles.Config(kind="hue_sat", bins=4).build()
    peak = world.render(torch.tensor([[1, 3]])).amax((2, 3))[0]
    hue, saturation = float(world.factor_values("hue")[1]), float(world.factor_values("saturation")[3])
    assert peak.tolist() == pytest.approx(colorsys.hsv_to_rgb(hue, saturation, 1), abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("support", SUPPORTS)
def test_supports_take_their_share(kind: str, support: str) -> None:
    world = Circles.Config(kind=kind, support=support, bins=64, size=8).build()
    assert len(world) / 64**2 == pytest.approx(SUPPORTS[support], abs=0.01)
    kept = FactorDataset.indices_of(world, world.factors_of(torch.arange(len(world))))
    assert torch.equal(world.support.nonzero()[:, 0], kept)
    lattice = world.lattice(101)
    assert lattice.in_support.double().mean() == pytest.approx(SUPPORTS[support], abs=0.02)


def test_the_shapes_of_the_supports() -> None:
    def at(support: str, u: int, v: int) -> bool:
        return bool(Circles.Config(support=support).build().lattice(11).in_support[u * 11 + v])

    assert not at("centre_hole", 5, 5)
    assert at("centre_hole", 5, 0)
    assert at("centre_hole", 0, 5)
    assert at("diagonal_band", 3, 3)
    assert not at("diagonal_band", 0, 10)
    assert not at("diagonal_band", 10, 0)
    assert not at("l_shape", 9, 9)
    assert at("l_shape", 1, 9)
    assert at("l_shape", 9, 1)


def test_the_lattice_spans_the_ranges_and_can_be_drawn() -> None:
    world = Circles.Config(kind="x_hue", support="centre_hole").build()
    lattice = world.lattice(5)
    assert list(lattice.values) == ["x", "hue"]
    assert lattice.values["x"].reshape(5, 5)[:, 0].tolist() == pytest.approx([10 / 64, 21 / 64, 0.5, 43 / 64, 54 / 64])
    assert lattice.values["hue"][:5].tolist() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])
    assert lattice.in_support.sum() == 24
    images = world.draw(lattice.values)
    assert images.shape == (25, 3, 64, 64)
    alone = world.draw({name: values[7:8] for name, values in lattice.values.items()})
    assert torch.equal(alone[0], images[7])


def test_held_out_points_of_the_support_still_render() -> None:
    world = Circles.Config(support="centre_hole").build()
    middle = torch.tensor([[16, 16]])
    assert world.render(middle).sum() > 70
    with pytest.raises(DataError, match="hole"):
        world.indices_of(middle)


def test_a_hole_in_the_middle_is_one_of_the_algebra() -> None:
    half = 0.375 / 2 * 44 / 64
    hole = Continuous("x", 0.5 - half, 0.5 + half) * Continuous("y", 0.5 - half, 0.5 + half)
    other = HeldOut.Config(dataset=Circles.Config(), hole=hole).build()
    assert torch.equal(other.support, Circles.Config(support="centre_hole").build().support)


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "yx"}, {"support": "ring"}, {"size": 0}, {"bins": 1}, {"hole": 1.0}, {"hole": math.nan}, {"band": 0.0},
        {"radius": 0.0}, {"radius_range": (0.0, 0.1)}, {"centre_range": (0.8, 0.2)}, {"centre_range": (0.5, 0.5)},
        {"centre_range": (0.0, math.inf)}, {"kind": "x_hue", "hue_range": (0.0, 1.5)},
        {"kind": "hue_sat", "saturation_range": (-0.1, 1.0)}, {"radius": math.nan},
    ],
)  # fmt: skip
def test_settings_that_make_no_world(settings: dict) -> None:
    with pytest.raises(ConfigError) as error:
        Circles.Config(**settings).build()
    assert "\n" not in str(error.value)


def test_bad_questions() -> None:
    world = Circles.Config().build()
    with pytest.raises(ConfigError, match="lattice"):
        world.lattice(1)
    with pytest.raises(DataError, match="hu"):
        world.draw({"hu": torch.zeros(3)})
    with pytest.raises(DataError, match="no factor"):
        world.draw({})
