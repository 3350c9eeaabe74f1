"""Rooms, chairs and faces: the contract of all datasets, 3D Shapes' grid, and what every factor does to the picture."""

from __future__ import annotations

import colorsys
import math

import pytest
import torch
from dataset_contract import DatasetContract, assert_one_line

from percepts.core.config import Config
from percepts.core.errors import ConfigError
from percepts.data.chairs import Chairs
from percepts.data.dataset import FactorDataset
from percepts.data.faces import Faces
from percepts.data.rooms import ObjectInRoom
from percepts.rendering.rays import render_objects

WORLDS: dict[str, Config] = {
    "room": ObjectInRoom.Config(size=32),
    "small smooth room": ObjectInRoom.Config(
        size=17, floor_hues=2, wall_hues=1, object_hues=3, scales=2, shapes=("sphere",), orientations=1, samples=2,
        shadows=True,
    ),
    "chairs": Chairs.Config(size=24),
    "few chairs": Chairs.Config(
        size=24, azimuths=3, seat_widths=1, back_heights=2, legs=("cantilever", "star"), samples=1,
    ),
    "faces": Faces.Config(size=24),
}  # fmt: skip


class TestWorlds(DatasetContract):
    @pytest.fixture(params=list(WORLDS))
    def dataset(self, request: pytest.FixtureRequest) -> FactorDataset:
        return WORLDS[request.param].build()


def every(world: FactorDataset, at: list[int], name: str) -> torch.Tensor:
    """The factors `at` with every value of `name`."""
    column = world.factor_names.index(name)
    factors = torch.tensor(at).repeat(world.factor_sizes[column], 1)
    factors[:, column] = torch.arange(len(factors))
    return factors


def test_the_room_has_the_grid_of_3d_shapes() -> None:
    world = ObjectInRoom.Config().build()
    assert world.factor_names == ("floor_hue", "wall_hue", "object_hue", "scale", "shape", "orientation")
    assert world.factor_sizes == (10, 10, 10, 8, 4, 15)
    assert len(world) == 480_000
    assert world.image_shape == (3, 64, 64)
    assert world.factor_values("wall_hue").tolist() == pytest.approx([n / 10 for n in range(10)])
    assert world.factor_values("scale").tolist() == pytest.approx([0.75 + n / 14 for n in range(8)])
    assert world.factor_values("orientation").tolist() == pytest.approx([-30 + n * 60 / 14 for n in range(15)])


def test_hues_are_seen_where_they_belong() -> None:
    world = ObjectInRoom.Config().build()
    factors = torch.tensor([[1, 3, 8, 4, shape, 2] for shape in range(4)])
    rendered = render_objects(world.scene(factors), 64, 64)
    assert torch.equal(rendered.image, world.render(factors))
    for parts, hue in (((1,), 0.1), ((2, 3), 0.3), ((4,), 0.8)):
        inside = torch.isin(rendered.segmentation, torch.tensor(parts))
        assert inside.flatten(1).sum(1).min() > 100
        for pixel in rendered.image.movedim(1, -1)[inside][::50].tolist():
            assert colorsys.rgb_to_hsv(*pixel)[0] == pytest.approx(hue, abs=1e-4)


def test_the_object_grows_with_scale_and_stands_on_the_floor() -> None:
    world = ObjectInRoom.Config().build()
    for shape in range(4):
        factors = every(world, [0, 0, 0, 0, shape, 7], "scale")
        scene = world.scene(factors)
        assert (scene.position[:, 3, 2] == scene.size[:, 3, 2]).all()
        seen = (render_objects(scene, 64, 64).segmentation == 4).flatten(1).sum(1)
        assert (seen.diff() > 0).all()
        ratio = float(seen[-1] / seen[0])
        assert 0.75 * (5 / 3) ** 2 < ratio < 1.35 * (5 / 3) ** 2


def test_nothing_is_cut_off_and_both_walls_are_always_seen() -> None:
    world = ObjectInRoom.Config().build()
    for shape in range(4):
        seen = render_objects(world.scene(every(world, [0, 0, 0, 7, shape, 0], "orientation")), 64, 64).segmentation
        border = torch.cat([seen[:, 0], seen[:, -1], seen[:, :, 0], seen[:, :, -1]], dim=1)
        assert not (border == 4).any()
        assert all((seen == wall).flatten(1).any(1).all() for wall in (1, 2, 3, 4))
        assert not (seen == 0).any()


@pytest.mark.parametrize("name", ["room", "chairs", "faces"])
def test_every_value_of_every_factor_is_another_picture(name: str) -> None:
    world = {"room": ObjectInRoom.Config(), "chairs": Chairs.Config(), "faces": Faces.Config()}[name].build()
    at = [size // 2 for size in world.factor_sizes]
    for factor in world.factor_names:
        images = world.render(every(world, at, factor)).flatten(1)
        distance = torch.cdist(images, images, p=1) + 1e9 * torch.eye(len(images))
        assert distance.min() > 3, f"two values of {factor} look alike"


def test_the_room_is_never_its_own_mirror_image() -> None:
    world = ObjectInRoom.Config().build()
    images = world.render(every(world, [0, 5, 3, 4, 2, 0], "orientation"))
    assert (images - images.flip(0).flip(3)).abs().flatten(1).mean(1).min() > 1e-3


def test_a_shadow_only_darkens_and_smoothing_only_touches_edges() -> None:
    factors = torch.tensor([[1, 3, 8, 4, shape, 12] for shape in range(4)])
    plain, dark, smooth = (
        ObjectInRoom.Config(**more).build().render(factors) for more in ({}, {"shadows": True}, {"samples": 3})
    )
    assert (dark <= plain).all()
    assert ((dark < plain).any(1).flatten(1).sum(1) > 20).all()
    assert ((smooth - plain).abs().amax(1) > 0.02).double().mean() < 0.15
    assert not torch.equal(smooth, plain)


def test_chairs_are_grey_on_white_and_never_cut_off() -> None:
    world = Chairs.Config(samples=1).build()
    assert len(world) == 32 * 6 * 6 * 4
    assert world.factor_names == ("azimuth", "seat_width", "back_height", "leg_style")
    images = world.gather(torch.arange(0, len(world), 7))["image"]
    assert (images[:, :, [0, -1]] == 1).all()
    assert (images[..., [0, -1]] == 1).all()
    assert ((images < 0.9).flatten(1).double().mean(1) > 0.05).all()


def test_chairs_grow_with_their_back_and_turn_with_their_azimuth() -> None:
    world = Chairs.Config(samples=1).build()
    backs = render_objects(world.scene(every(world, [5, 2, 0, 0], "back_height")), 64, 64).segmentation == 2
    assert (backs.flatten(1).sum(1).diff() > 0).all()
    assert (world.factor_values("back_height").diff() > 0).all()
    turned = world.scene(every(world, [0, 2, 2, 1], "azimuth"))
    towards = turned.position[:, 1, :2] / turned.position[:, 1, :2].norm(dim=1, keepdim=True)
    azimuth = world.factor_values("azimuth").float() + math.pi
    assert torch.allclose(towards, torch.stack([azimuth.cos(), azimuth.sin()], dim=1), atol=1e-5)


def test_boxes_of_a_chair_rest_on_the_floor_and_under_the_seat() -> None:
    world = Chairs.Config().build()
    scene = world.scene(every(world, [3, 4, 1, 0], "leg_style"))
    low, high = (scene.position[..., 2] + sign * scene.size[..., 2] for sign in (-1, 1))
    for one in range(4):
        legs = scene.present[one, 2:]
        assert legs.any()
        assert float(low[one, 2:][legs].min()) == pytest.approx(0, abs=1e-6)
        assert float(high[one, 2:][legs].max()) == pytest.approx(float(low[one, 0]), abs=1e-6)
        assert float(low[one, 1]) == pytest.approx(float(high[one, 0]), abs=1e-6)


def test_features_of_a_face_move_with_the_head() -> None:
    world = Faces.Config().build()
    assert len(world) == 9 * 6 * 8 * 6 * 6
    scene = world.scene(every(world, [0, 1, 4, 2, 3], "azimuth"))
    across = scene.position[..., 0]
    hair, shoulders, nose, mouth = across[:, 0], across[:, 1], across[:, -2], across[:, -1]
    assert (nose.diff() > 0).all()
    assert (nose - 0.5).abs()[0] > (mouth - 0.5).abs()[0] > 0.05
    assert (hair.diff() < 0).all()
    assert (shoulders == 0.5).all()
    assert nose[4] == mouth[4] == 0.5


def test_a_face_looking_left_is_the_mirror_image_of_one_looking_right() -> None:
    world = Faces.Config().build()
    images = world.render(every(world, [0, 1, 6, 2, 3], "azimuth"))
    assert torch.allclose(images, images.flip(0).flip(3), atol=1e-4)


@pytest.mark.parametrize(
    ("config", "word"),
    [
        (ObjectInRoom.Config(shapes=("cone",)), "shapes"),
        (ObjectInRoom.Config(shapes=()), "shapes"),
        (ObjectInRoom.Config(scales=0), "scales"),
        (ObjectInRoom.Config(size=0), "size"),
        (Chairs.Config(legs=("wheels",)), "legs"),
        (Chairs.Config(azimuths=0), "azimuths"),
        (Chairs.Config(width_range=(0.5, 0.5)), "width_range"),
        (Chairs.Config(height_range=(-1.0, 0.5)), "height_range"),
        (Chairs.Config(elevation=90.0), "elevation"),
        (Faces.Config(smiles=0), "smiles"),
        (Faces.Config(azimuth_range=(-90.0, 90.0)), "azimuth_range"),
    ],
)
def test_bad_settings_are_named(config: Config, word: str) -> None:
    with pytest.raises(ConfigError, match=word) as error:
        config.build()
    assert_one_line(error, "expected")
