"""Materials, textures, lamps, shadows, sky, all primitives at once: the ray-caster against a plain one."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from plain_rays import Picture, PlainScene
from torch import Tensor

from percepts.core.errors import DataError
from percepts.rendering import (
    Box,
    Capsule,
    Cone,
    Cylinder,
    Lamp,
    Materials,
    ObjectScene,
    Plane,
    Primitive,
    Sphere,
    icosahedron,
    look_at,
    pinhole,
    prism,
    render_objects,
)

SHAPES: tuple[Primitive, ...] = (Plane(), Sphere(), Box(), Cylinder(), Capsule(), Cone(), icosahedron(), prism(5))
SIZES = torch.tensor(
    [[1.0, 0.6, 0], [0.7, 0.7, 0.7], [0.4, 0.9, 0.6], [0.5, 0.5, 0.8], [0.4, 0.4, 1.1], [0.7, 0.7, 0.6],
     [0.9, 0.7, 0.6], [0.8, 0.8, 0.4]],
    dtype=torch.float64,
)  # fmt: skip
LAMPS = (
    Lamp(torch.tensor([3.0, -2.0, 6.0]).double(), strength=0.7),
    Lamp(torch.tensor([-1.0, 1.5, 1.0]).double(), 0.3, torch.tensor([1.0, 0.6, 0.2]).double(), directional=True),
    Lamp(torch.tensor([-3.0, -4.0, 5.0]).double(), strength=0.4, radius=0.8, points=2),
)  # fmt: skip


def rotations(*shape: int, generator: torch.Generator) -> Tensor:
    """Random rotations, float64 [..., 3, 3]."""
    q, _ = torch.linalg.qr(torch.randn(*shape, 3, 3, generator=generator, dtype=torch.float64))
    return q * torch.linalg.det(q)[..., None, None]


def everything(batch: int, seed: int = 0, dtype: torch.dtype = torch.float64, objects: int = 8) -> ObjectScene:
    """A floor and solids of all kinds and materials, in any attitude, some absent, cameras all around."""
    generator = torch.Generator().manual_seed(seed)
    random = lambda *shape: torch.rand(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    choice = lambda n: torch.randint(n, (batch, objects), generator=generator)  # noqa: E731
    kind = choice(len(SHAPES))
    kind[:, 0] = 0
    position = torch.cat([random(batch, objects, 2) * 5 - 2.5, random(batch, objects, 1) * 1.5 + 0.3], dim=2)
    position[:, 0] = 0
    rotation = rotations(batch, objects, generator=generator)
    rotation[:, 0] = torch.eye(3)
    size = SIZES[kind] * 0.8
    size[:, 0] = torch.inf
    angle = random(batch) * 6.3
    eye = torch.stack([angle.cos() * 5, angle.sin() * 5, random(batch) * 2 + 1], dim=1)
    materials = Materials(
        diffuse=0.3 + 0.7 * random(batch, objects), specular=random(batch, objects) * choice(2),
        shininess=5 + 60 * random(batch, objects), mirror=0.6 * random(batch, objects) * choice(2), texture=choice(3),
        second_colour=random(batch, objects, 3), texture_size=0.2 + random(batch, objects),
    )  # fmt: skip
    scene = ObjectScene(
        shapes=SHAPES, shape=kind, position=position, rotation=rotation, size=size, colour=random(batch, objects, 3),
        camera=look_at(eye, torch.zeros_like(eye)), intrinsics=pinhole(50.0).double(), light=LAMPS,
        background=random(batch, 3), zenith=random(batch, 3), present=choice(5) > 0, materials=materials,
    )  # fmt: skip
    return scene if dtype == torch.float64 else single(scene, dtype)


def single(scene: ObjectScene, dtype: torch.dtype) -> ObjectScene:
    """The same with all numbers of another precision."""

    def cast(value: object) -> object:
        if isinstance(value, Tensor):
            return value.to(dtype) if value.is_floating_point() else value
        if isinstance(value, tuple) and value and isinstance(value[0], Lamp):
            return tuple(cast(lamp) for lamp in value)
        if isinstance(value, Lamp | Materials | ObjectScene):
            return dataclasses.replace(value, **{name: cast(one) for name, one in vars(value).items()})
        return value

    result = cast(scene)
    assert isinstance(result, ObjectScene)
    return result


def plain(scene: ObjectScene, height: int, width: int, shadows: bool = False) -> list[Picture]:
    return [PlainScene(scene, index, shadows).picture(height, width) for index in range(len(scene.shape))]


def stack(pictures: list[Picture], name: str) -> Tensor:
    return torch.from_numpy(np.stack([getattr(picture, name) for picture in pictures]))


@pytest.mark.parametrize(("shadows", "haze"), [(False, math.inf), (True, math.inf), (True, 6.0)])
def test_pictures_of_everything_are_those_of_a_plain_ray_caster(shadows: bool, haze: float) -> None:
    scene = dataclasses.replace(everything(3), haze=haze)
    rendered = render_objects(scene, 24, 30, shadows=shadows, geometry=True)
    expected = plain(scene, 24, 30, shadows)
    number = stack(expected, "number")
    same = rendered.segmentation == number
    assert len(number.unique()) >= 8
    assert same.double().mean() > 0.999
    assert torch.allclose(rendered.depth[same], stack(expected, "depth")[same], rtol=1e-9)
    for name, field in (("normal", "normal"), ("position", "point")):
        off = (getattr(rendered, name).movedim(1, -1) - stack(expected, field)).abs().amax(-1)
        assert off[same].max() < 1e-6
    wrong = (rendered.image.movedim(1, -1) - stack(expected, "image")).abs().amax(-1) > 1e-5
    assert wrong.double().mean() < 2e-3


def test_single_precision_shows_the_same() -> None:
    exact, rough = (render_objects(everything(3, 1, dtype), 40, 40, shadows=True, geometry=True)
                    for dtype in (torch.float64, torch.float32))  # fmt: skip
    same = exact.segmentation == rough.segmentation
    assert rough.image.dtype == rough.normal.dtype == torch.float32
    assert same.double().mean() > 0.999
    assert torch.allclose(exact.depth[same], rough.depth[same].double(), rtol=1e-4)
    off = (exact.image - rough.image).abs().amax(1)
    assert off.median() < 1e-6
    assert (off > 1e-3).double().mean() < 4e-3


def test_nothing_depends_on_the_batch_or_on_chunks() -> None:
    scene = everything(3, 7, torch.float32, objects=6)
    each = torch.arange(3.0)[:, None] * 0.3
    lamps = (Lamp(torch.tensor([3.0, -2.0, 6.0]) + each), Lamp(torch.ones(3, 3) - each, 0.5, 1 - each.expand(3, 3)))
    scene = dataclasses.replace(scene, light=lamps)
    whole = render_objects(scene, 13, 16, samples=2, shadows=True, geometry=True)
    for chunk in (1, 2):
        other = render_objects(scene, 13, 16, samples=2, shadows=True, geometry=True, chunk=chunk)
        for name, value in vars(whole).items():
            assert torch.equal(value, getattr(other, name)), name


def floor(**more: object) -> ObjectScene:
    """A grey floor below a camera at (0, -4, 3) that looks at the origin, and one ball of radius 0.5 at (0, 0, 1)."""
    return dataclasses.replace(ObjectScene(
        shapes=(Plane(), Sphere()), shape=torch.tensor([[0, 1]]), position=torch.tensor([[[0.0, 0, 0], [0, 0, 1]]]),
        rotation=torch.eye(3).expand(1, 2, 3, 3), size=torch.tensor([[[torch.inf, torch.inf, 0.0], [0.5, 0.5, 0.5]]]),
        colour=torch.full((1, 2, 3), 0.5), camera=look_at(torch.tensor([0.0, -4, 3]), torch.zeros(3)),
        intrinsics=pinhole(60.0), light=torch.tensor([0.0, 0.0, 5.0]), background=torch.tensor([0.2, 0.3, 0.4]),
    ), **more)  # fmt: skip


def test_a_lamp_of_full_strength_is_the_plain_light() -> None:
    plain = render_objects(floor(), 20, 20, shadows=True)
    lamp = Lamp(torch.tensor([0.0, 0.0, 5.0]))
    materials = Materials(diffuse=torch.ones(1, 2), mirror=torch.zeros(1, 2), texture=torch.zeros(1, 2).long())
    assert torch.equal(plain.image, render_objects(floor(light=(lamp,)), 20, 20, shadows=True).image)
    assert torch.equal(plain.image, render_objects(floor(materials=materials), 20, 20, shadows=True).image)
    halves = (dataclasses.replace(lamp, strength=0.5),) * 2
    assert torch.allclose(plain.image, render_objects(floor(light=halves), 20, 20, shadows=True).image, atol=1e-6)
    dark = render_objects(floor(light=()), 20, 20, shadows=True)
    assert torch.allclose(dark.image[dark.segmentation[:, None].expand_as(dark.image) > 0], torch.tensor(0.15))


def test_a_far_lamp_is_directional_and_colours_multiply() -> None:
    way = torch.tensor([1.0, 1.0, 2.0])
    far, sun = (
        render_objects(floor(light=(lamp,), ambient=0.0), 20, 20, shadows=True).image
        for lamp in (Lamp(way * 1e5), Lamp(way, directional=True))
    )
    assert (far - sun).abs().amax(1).median() < 1e-4
    red = Lamp(way, directional=True, colour=torch.tensor([1.0, 0.5, 0.0]), strength=0.5)
    tinted = render_objects(floor(light=(red,), ambient=0.0), 20, 20, shadows=True)
    on = tinted.segmentation[0] > 0
    for channel, share in enumerate((0.5, 0.25, 0.0)):
        assert torch.allclose(tinted.image[0, channel][on], sun[0, channel][on] * share, atol=1e-6)


def test_soft_shadows_lie_between_light_and_shade() -> None:
    place = torch.tensor([0.0, 0.0, 5.0])
    hard, soft, tiny = (
        render_objects(floor(light=(lamp,)), 64, 64, shadows=True).image[0, 0]
        for lamp in (Lamp(place), Lamp(place, radius=1.0, points=16), Lamp(place, radius=1e-6))
    )
    lit = render_objects(floor(light=(Lamp(place),)), 64, 64).image[0, 0]
    assert (tiny - hard).abs().max() < 1e-5 or ((tiny - hard).abs() > 1e-5).sum() < 5
    assert ((soft >= hard.minimum(lit * 0.3) - 1e-6) & (soft <= lit + 1e-6)).all()
    part = (soft > lit * 0.4) & (soft < lit * 0.95)
    assert part.sum() > 10, "a penumbra"
    assert len(soft[part].unique()) > 5
    assert abs(float(soft.mean() - hard.mean())) < 0.02, "as much shade in all"


def test_what_is_out_of_view_still_throws_its_shadow() -> None:
    above = floor(position=torch.tensor([[[0.0, 0, 0], [0, 0, 4.5]]]), light=torch.tensor([0.0, 0.0, 8.0]))
    lit, dark = (render_objects(above, 40, 40, shadows=shadows) for shadows in (False, True))
    assert set(dark.segmentation.unique().tolist()) == {1}
    assert (dark.image[0, 0] < lit.image[0, 0] - 0.1).sum() > 20


def test_the_sky_turns_into_its_zenith() -> None:
    scene = floor(zenith=torch.tensor([0.0, 0.0, 1.0]), camera=look_at(torch.zeros(3), torch.tensor([1.0, 0, 0.4])))
    scene = dataclasses.replace(scene, present=torch.tensor([[False, False]]))
    image = render_objects(scene, 30, 30, shadows=True).image
    v, u = torch.meshgrid((torch.arange(30) + 0.5) / 30, (torch.arange(30) + 0.5) / 30, indexing="ij")
    fx, fy, cx, cy = scene.intrinsics
    ray = torch.stack([(u - cx) / fx, (v - cy) / fy, torch.ones_like(u)], dim=-1) @ scene.camera[:3, :3].T
    sine = (ray[..., 2] / ray.norm(dim=-1)).clamp(min=0)
    expected = scene.background[:, None, None] * (1 - sine) + scene.zenith[:, None, None] * sine
    assert torch.allclose(image[0], expected, atol=1e-5)
    assert sine.min() == 0 < sine.max()


def test_what_is_far_away_turns_into_the_sky() -> None:
    scene = floor(ambient=1.0, haze=5.0, camera=look_at(torch.tensor([0.0, -4, 3]), torch.tensor([0.0, 0, 2.5])))
    clear, hazy = (
        render_objects(one, 40, 40, geometry=True) for one in (dataclasses.replace(scene, haze=math.inf), scene)
    )
    assert torch.equal(clear.segmentation, hazy.segmentation)
    sky = clear.segmentation[0] == 0
    assert 0 < sky.sum() < 800
    distance = (hazy.position[0] - torch.tensor([0.0, -4, 3])[:, None, None]).norm(dim=0)
    share = 1 / (1 + (5 / distance) ** 4)
    expected = torch.where(sky, clear.image[0], 0.5 + (scene.background[:, None, None] - 0.5) * share)
    assert torch.allclose(hazy.image[0], expected, atol=1e-5)
    assert torch.equal(hazy.image[0][:, sky], clear.image[0][:, sky])
    assert share[~sky].max() > 0.99


def test_a_hazy_mirror_shows_a_hazy_world() -> None:
    mirror = Materials(mirror=torch.tensor([[0.0, 1.0]]), diffuse=torch.tensor([[1.0, 0.0]]))
    scene = floor(materials=mirror, ambient=1.0, colour=torch.ones(1, 2, 3))
    clear, far, near = (render_objects(dataclasses.replace(scene, haze=haze), 60, 60) for haze in (math.inf, 1e9, 0.01))
    ball = clear.segmentation[0] == 2
    assert torch.allclose(clear.image, far.image, atol=1e-6)
    assert torch.allclose(near.image[0][:, ball], scene.background[:, None].expand(3, int(ball.sum())), atol=1e-4)


def test_a_flat_mirror_shows_what_is_behind_it_turned_over() -> None:
    kind = {
        "sphere": (Sphere(), (0.4, 0.4, 0.4)),
        "box": (Box(), (0.3, 0.4, 0.5)),
        "capsule": (Capsule(), (0.2, 0.2, 0.6)),
    }
    lamp, eye = torch.tensor([2.0, -3, 5]).double(), torch.tensor([0.3, -4, 2]).double()
    for name, (shape, size) in kind.items():
        base = single(
            floor(zenith=torch.tensor([0.7, 0.8, 0.9]), camera=look_at(eye, torch.zeros(3).double())), torch.float64
        )
        sizes = torch.tensor([[[torch.inf, torch.inf, 0.0], size]]).double()
        place = torch.tensor([[[0.0, 0, 0], [0.2, 0.3, 1.2]]]).double()
        colour = torch.tensor([[[1.0, 1, 1], [0.9, 0.5, 0.2]]]).double()
        mirror = Materials(diffuse=torch.tensor([[0.0, 1]]).double(), mirror=torch.tensor([[1.0, 0]]).double())
        scene = dataclasses.replace(
            base, shapes=(Plane(), shape), size=sizes, colour=colour, position=place, light=lamp
        )
        seen = render_objects(dataclasses.replace(scene, materials=mirror), 96, 96)
        over = torch.tensor([1.0, 1, -1]).double()
        turned = dataclasses.replace(
            scene, position=place * over, light=lamp * over, present=torch.tensor([[False, True]])
        )
        behind = render_objects(turned, 96, 96)
        both = (seen.segmentation == 1) & (behind.segmentation == 2)
        assert both.sum() > 80, name
        assert (seen.image - behind.image).abs().amax(1)[both].max() < 1e-9, name


def test_a_sharp_highlight_on_a_floor_is_at_the_mirror_angle() -> None:
    lamp, eye = torch.tensor([2.0, -3, 5]), torch.tensor([0.3, -4, 2])
    gloss = Materials(specular=torch.ones(1, 2), shininess=torch.full((1, 2), 2000.0), diffuse=torch.zeros(1, 2))
    point = eye + (lamp * torch.tensor([1.0, 1, -1]) - eye) * eye[2] / (eye[2] + lamp[2])
    camera = look_at(eye, point + torch.tensor([0.1, 0.2, 0.0]))
    scene = floor(materials=gloss, camera=camera, light=lamp, present=torch.tensor([[True, False]]))
    rendered = render_objects(scene, 201, 201, geometry=True)
    brightest = rendered.image[0, 0].flatten().argmax()
    assert (rendered.position[0].flatten(1)[:, brightest] - point).norm() < 0.03


def test_a_checkered_floor_has_squares_of_the_given_size() -> None:
    materials = Materials(texture=torch.tensor([[1, 2]]), second_colour=torch.zeros(1, 2, 3),
                          texture_size=torch.tensor([[0.5, 0.1]]))  # fmt: skip
    rendered = render_objects(floor(materials=materials), 60, 60, geometry=True)
    x, y, z = rendered.position[0]
    dark = rendered.image[0].sum(0) == 0
    on_floor, on_ball = rendered.segmentation[0] == 1, rendered.segmentation[0] == 2
    squares = ((x / 0.5).floor() + (y / 0.5).floor()) % 2 == 0
    assert (dark == squares)[on_floor].double().mean() > 0.99
    bands = ((z - 1) / 0.1).floor() % 2 == 1
    assert (dark == bands)[on_ball].double().mean() > 0.97


def test_highlights_and_mirrors_add_light_where_they_should() -> None:
    camera = torch.tensor([0.0, -4, 3])
    gloss = Materials(specular=torch.tensor([[0.0, 1.0]]), shininess=torch.full((1, 2), 200.0))
    plain, shiny = (render_objects(floor(materials=one, light=camera), 101, 101) for one in (None, gloss))
    added = (shiny.image - plain.image)[0, 0]
    assert torch.equal(shiny.image[0][:, plain.segmentation[0] != 2], plain.image[0][:, plain.segmentation[0] != 2])
    rows, columns = (added > 0.3).nonzero().unbind(1)
    normal = render_objects(floor(), 101, 101, geometry=True).normal[0, :, rows, columns]
    to_eye = (camera - torch.tensor([0.0, 0, 1])) / (camera - torch.tensor([0.0, 0, 1])).norm()
    assert (normal.T @ to_eye).min() > 0.98, "the highlight faces the lamp, which is at the eye"
    mirror = Materials(mirror=torch.tensor([[0.0, 1.0]]), diffuse=torch.tensor([[1.0, 0.0]]))
    seen = render_objects(floor(materials=mirror, colour=torch.ones(1, 2, 3)), 101, 101)
    ball = seen.image[0][:, seen.segmentation[0] == 2]
    assert (ball - torch.tensor([0.2, 0.3, 0.4])[:, None]).abs().amax(0).min() < 1e-5, "the sky in the ball"
    assert (ball > 0.9).all(0).any(), "the lit floor in the ball"


def test_no_objects_are_a_picture_of_the_background() -> None:
    names = ("shape", "position", "rotation", "size", "colour")
    bare = floor(**{name: getattr(floor(), name)[:, :0] for name in names}, materials=Materials(), light=LAMPS)
    for samples in (1, 2):
        rendered = render_objects(single(bare, torch.float32), 3, 4, shadows=True, samples=samples, geometry=True)
        assert torch.equal(rendered.image, torch.tensor([0.2, 0.3, 0.4])[None, :, None, None].expand(1, 3, 3, 4))
        assert not rendered.segmentation.any()
        assert rendered.depth.isinf().all()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda: {"light": (Lamp(torch.zeros(2, 3)),)}, r"light.*\(2, 3\)"),
        (lambda: {"light": (Lamp(torch.zeros(4)),)}, "light"),
        (lambda: {"light": (Lamp(torch.zeros(3), directional=True),)}, "direction"),
        (lambda: {"light": (Lamp(torch.zeros(3), strength=math.nan),)}, "strength"),
        (lambda: {"light": (Lamp(torch.zeros(3), radius=-1.0),)}, "radius"),
        (lambda: {"light": (Lamp(torch.zeros(3), points=0),)}, "points"),
        (lambda: {"light": (Lamp(torch.zeros(3), colour=torch.full((3,), math.nan)),)}, "colour"),
        (lambda: {"zenith": torch.zeros(2, 3)}, "zenith"),
        (lambda: {"label": torch.zeros(1, 3).long()}, "label"),
        (lambda: {"materials": Materials(texture=torch.full((1, 2), 3))}, "texture numbers"),
        (lambda: {"materials": Materials(texture=torch.full((1, 2), -1))}, "texture numbers"),
        (lambda: {"materials": Materials(diffuse=torch.full((1, 2), -0.5))}, "diffuse"),
        (lambda: {"materials": Materials(mirror=torch.full((1, 2), math.nan))}, "mirror"),
        (lambda: {"materials": Materials(shininess=torch.zeros(1, 2))}, "shininess"),
        (lambda: {"materials": Materials(texture_size=torch.zeros(1, 2))}, "texture_size"),
        (lambda: {"materials": Materials(specular=torch.zeros(1, 3))}, "specular"),
        (lambda: {"materials": Materials(second_colour=torch.zeros(1, 2, 4))}, "second_colour"),
    ],
)
@pytest.mark.usefixtures("unchecked_shapes")
def test_bad_lamps_and_materials_are_named_in_one_line(change: Callable[[], dict[str, object]], word: str) -> None:
    with pytest.raises(DataError, match=word) as error:
        render_objects(floor(**change()), 8, 8)
    assert "\n" not in str(error.value)


def test_absent_objects_may_be_made_of_anything() -> None:
    there = torch.tensor([[True, False]])
    odd = Materials(diffuse=torch.tensor([[1.0, math.nan]]), texture=torch.tensor([[0, 9]]))
    one, other = (render_objects(floor(present=there, materials=each), 9, 9, shadows=True) for each in (None, odd))
    assert torch.equal(one.image, other.image)
