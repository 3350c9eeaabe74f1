"""Labels, things drawn apart, rooms seen from within, videos."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from plain_rays import PlainScene
from test_rendering_materials import everything, single
from torch import Tensor

import percepts.rendering.frames as frames_module
import percepts.rendering.shadows as shadows_module
from percepts.core.errors import DataError
from percepts.rendering import (
    Box,
    Lamp,
    ObjectScene,
    Plane,
    Sphere,
    look_at,
    pinhole,
    render_apart,
    render_objects,
    room_planes,
)


def inside_a_room(frames: int = 8) -> ObjectScene:
    """A ball and a box in a room of four walls, the camera walking around in it."""
    position, rotation, size = room_planes(6.0, 5.0, 2.0)
    things = torch.tensor([[0.5, 0.3, 0.5], [-1.0, -0.8, 0.4]])
    angle = torch.arange(frames) * (2 * math.pi / frames)
    eye = torch.stack([2 * angle.cos(), 2 * angle.sin(), torch.full_like(angle, 1.1)], dim=1)
    each = lambda value: value.expand(frames, *value.shape)  # noqa: E731
    return ObjectScene(
        shapes=(Plane(), Sphere(), Box()), shape=each(torch.tensor([0, 0, 0, 0, 0, 1, 2])),
        position=each(torch.cat([position, things])),
        rotation=each(torch.cat([rotation, torch.eye(3).expand(2, 3, 3)])),
        size=each(torch.cat([size, torch.tensor([[0.5, 0.5, 0.5], [0.3, 0.6, 0.4]])])),
        colour=each(torch.linspace(0.2, 0.9, 21).view(7, 3)),
        camera=look_at(eye, torch.tensor([0, 0, 0.7]).expand_as(eye)),
        intrinsics=pinhole(70.0), light=torch.tensor([0.3, 0.2, 3.0]), background=torch.tensor([0.5, 0.7, 1.0]),
        label=each(torch.tensor([1, 2, 2, 3, 3, 4, 5])),
    )  # fmt: skip


def test_walls_floor_sky_and_objects_fill_the_view_from_inside() -> None:
    rendered = render_objects(inside_a_room(), 40, 40, geometry=True)
    number, point = rendered.segmentation, rendered.position
    assert set(number.unique().tolist()) == {0, 1, 2, 3, 4, 5}
    assert (number[:, -1] >= 1).all(), "no sky below"
    assert point[:, 2][number == 1].abs().max() < 1e-4
    for wall, x, y in ((2, 3.0, 2.5), (3, -3.0, -2.5)):
        on = number == wall
        assert torch.minimum((point[:, 0][on] - x).abs(), (point[:, 1][on] - y).abs()).max() < 1e-4
        assert point[:, 2][on].max() <= 2 + 1e-4
    assert torch.equal(number == 0, rendered.depth.isinf())
    assert not point.movedim(1, -1)[number == 0].any()


def test_rooms_from_inside_are_those_of_a_plain_ray_caster() -> None:
    scene = single(inside_a_room(5), torch.float64)
    eye = torch.tensor([[2.9, 2.4, 1.1], [1.2, 0.3, 0.5], [-1.0, -0.8, 0.9], [0, 0, 1.9], [-2.9, 0, 0.1]]).double()
    target = torch.tensor([[0.0, 0, 0], [0, 1, 0.4], [3, 1, 0.5], [1, 1, 0], [0.5, 0.1, 0.6]]).double()
    scene = dataclasses.replace(scene, camera=look_at(eye, target), label=None)
    rendered = render_objects(scene, 24, 24, shadows=True)
    for index in range(5):
        expected = PlainScene(scene, index, shadows=True).picture(24, 24)
        assert (rendered.segmentation[index].numpy() == expected.number).mean() > 0.999
        off = np.abs(rendered.image[index].movedim(0, -1).numpy() - expected.image).max(axis=-1)
        assert (off > 1e-6).mean() < 5e-3


def test_a_video_is_its_frames() -> None:
    scene = inside_a_room(6)
    video = render_objects(scene, 20, 24, shadows=True, geometry=True)
    for frame in range(6):
        one = dataclasses.replace(scene, **{
            name: value[frame : frame + 1] for name, value in vars(scene).items()
            if isinstance(value, Tensor) and name not in ("intrinsics", "light", "background")
        })  # fmt: skip
        alone = render_objects(one, 20, 24, shadows=True, geometry=True)
        for name, value in vars(alone).items():
            assert torch.equal(value[0], getattr(video, name)[frame])


def test_labels_only_rename() -> None:
    scene = inside_a_room(3)
    named, plain = (render_objects(each, 20, 20) for each in (scene, dataclasses.replace(scene, label=None)))
    assert torch.equal(named.image, plain.image)
    assert torch.equal(named.segmentation, torch.tensor([0, 1, 2, 2, 3, 3, 4, 5])[plain.segmentation])


@pytest.mark.parametrize("shadows", [False, True])
def test_things_apart_look_as_they_do_where_nothing_hides_them(shadows: bool) -> None:
    for scene in (inside_a_room(2), everything(2, 2, objects=5)):
        whole = render_objects(scene, 24, 24, shadows=shadows)
        apart = render_apart(scene, 24, 24, shadows=shadows)
        assert apart.mask[:, 0].all()
        for thing in range(apart.mask.shape[1]):
            seen = whole.segmentation == thing
            assert (apart.mask[:, thing] | ~seen).all(), "what is seen is part of the mask"
            for channel in range(3):
                assert torch.equal(apart.image[:, thing, channel][seen], whole.image[:, channel][seen])
            if thing:
                assert not apart.image[:, thing].movedim(1, -1)[~apart.mask[:, thing]].any()
        hidden = apart.mask[:, 1:].sum(1) > 1
        assert hidden.any()


def test_apart_masks_are_those_of_scenes_with_one_thing() -> None:
    scene = inside_a_room(3)
    apart = render_apart(scene, 30, 30, things=8, samples=2)
    assert apart.image.shape == (3, 8, 3, 30, 30)
    assert not apart.mask[:, 6:].any()
    for thing in range(1, 6):
        alone = render_objects(dataclasses.replace(scene, present=scene.label == thing), 30, 30)
        assert torch.equal(apart.mask[:, thing], alone.segmentation > 0)
    for chunk in (1, 2):
        other = render_apart(scene, 30, 30, things=8, samples=2, chunk=chunk)
        assert torch.equal(other.image, apart.image)


def test_the_background_thing_has_the_objects_of_label_0() -> None:
    scene = inside_a_room(2)
    scene = dataclasses.replace(scene, label=torch.where(scene.label < 4, 0, scene.label))
    apart = render_apart(scene, 16, 16)
    bare = render_objects(dataclasses.replace(scene, present=scene.label == 0), 16, 16)
    assert torch.equal(apart.image[:, 0], bare.image)
    assert (render_objects(scene, 16, 16).segmentation.unique() == torch.tensor([0, 4, 5])).all()


def test_no_thing_and_too_few() -> None:
    scene = inside_a_room(2)
    empty = dataclasses.replace(scene, present=torch.zeros(2, 7, dtype=torch.bool))
    apart = render_apart(empty, 4, 5, things=3)
    assert apart.mask.sum() == 2 * 20
    assert torch.equal(apart.image[:, 0], torch.tensor([0.5, 0.7, 1.0])[None, :, None, None].expand(2, 3, 4, 5))
    assert render_apart(empty, 4, 5).mask.shape == (2, 1, 4, 5)
    with pytest.raises(DataError, match="labels up to 5"):
        render_apart(scene, 4, 4, things=5)
    with pytest.raises(DataError, match="label below 0"):
        render_objects(dataclasses.replace(scene, label=scene.label - 2), 4, 4)
    with pytest.raises(DataError, match="lengths above 0"):
        room_planes(1.0, -1.0, 1.0)


@pytest.mark.parametrize("directional", [False, True])
@pytest.mark.parametrize("kind", ["everything", "room"])
def test_shadows_are_looked_for_wherever_they_fall(
    kind: str, directional: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking for every shadow in the whole image finds no more than in its window."""
    scene = single(inside_a_room(4) if kind == "room" else everything(4, 4, objects=6), torch.float64)
    generator = torch.Generator().manual_seed(3)
    place = torch.randn(4, 3, generator=generator).abs().double() * torch.tensor([1.0, 1, 2.5])
    scene = dataclasses.replace(scene, materials=None, light=(Lamp(place, directional=directional),))
    windowed = render_objects(scene, 25, 25, shadows=True)
    assert not torch.equal(windowed.image, render_objects(scene, 25, 25).image)
    search = shadows_module._windows

    def everywhere(*args: object) -> tuple[Tensor, Tensor]:
        window, falls = search(*args)
        return torch.tensor([0.0, 0, 1, 1]).double().expand_as(window).clone(), torch.ones_like(falls)

    monkeypatch.setattr(shadows_module, "_windows", everywhere)
    assert torch.equal(windowed.image, render_objects(scene, 25, 25, shadows=True).image)


def test_shadows_are_looked_for_in_small_windows_and_walls_throw_none(monkeypatch: pytest.MonkeyPatch) -> None:
    search, found = shadows_module._windows, []

    def watched(*args: object) -> tuple[Tensor, Tensor]:
        found.append(search(*args))
        return found[-1]

    monkeypatch.setattr(shadows_module, "_windows", watched)
    render_objects(inside_a_room(6), 8, 8, shadows=True)
    window, falls = found[0]
    assert falls.tolist() == [[False] * 5 + [True] * 2] * 6
    window = window.clamp(0, 1)[:, 5:]
    assert (window[..., 2:] - window[..., :2]).prod(-1).mean() < 0.5


def test_objects_are_looked_for_wherever_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking for everything in the whole image finds no more than in its windows, from anywhere inside of a room."""
    scene = inside_a_room(14)
    generator = torch.Generator().manual_seed(5)
    eye = (torch.rand(14, 3, generator=generator) - 0.5) * torch.tensor([5.8, 4.8, 1.8]) + torch.tensor([0, 0, 1.0])
    eye[:8], turned = eye[:8].round(decimals=1), torch.randn(14, 3, generator=generator)
    turned[:4] = torch.tensor([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]])  # along the room's own axes
    scene = dataclasses.replace(scene, camera=look_at(eye, eye + turned))
    windowed = render_objects(scene, 19, 21, shadows=True)

    def everywhere(points: Tensor, view: object) -> Tensor:
        return torch.tensor([0.0, 0, 1, 1]).double().expand(*points.shape[:2], 4).clone()

    for module in (frames_module, shadows_module):
        monkeypatch.setattr(module, "project", everywhere)
    whole = render_objects(scene, 19, 21, shadows=True)
    for name in ("image", "segmentation", "depth"):
        assert torch.equal(getattr(windowed, name), getattr(whole, name)), name
