"""The ray-caster against signed distance functions, formulas of projection and shadow, and its own float64 self."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from percepts.core.errors import DataError
from percepts.rendering.objects import ObjectScene, look_at, pinhole, turn
from percepts.rendering.primitives import Box, Capsule, Cylinder, Normal, Plane, Primitive, Sphere
from percepts.rendering.rays import render_apart, render_objects

SOLIDS: tuple[Primitive, ...] = (Sphere(), Box(), Cylinder(), Capsule())
SHAPES = (*SOLIDS, Plane())
SIZES = torch.tensor([[0.7, 0.7, 0.7], [0.4, 0.9, 0.6], [0.5, 0.5, 0.8], [0.4, 0.4, 1.1]], dtype=torch.float64)


def signed_distance(kind: int, point: Tensor) -> Tensor:
    """Distance of points [..., 3] to the surface of `SOLIDS[kind]` with its half extents, negative inside."""
    size = SIZES[kind]
    if kind == 0:
        return point.norm(dim=-1) - size[0]
    if kind == 3:
        height = point[..., 2].clamp(-(size[2] - size[0]), size[2] - size[0])
        return (point - torch.stack([0 * height, 0 * height, height], dim=-1)).norm(dim=-1) - size[0]
    if kind == 1:
        excess = point.abs() - size
    else:
        excess = torch.stack([point[..., :2].norm(dim=-1) - size[0], point[..., 2].abs() - size[2]], dim=-1)
    return excess.clamp(min=0).norm(dim=-1) + excess.amax(-1).clamp(max=0)


def rays_at(kind: int, count: int = 4000) -> tuple[Tensor, Tensor]:
    """Origins outside of the solid, and directions [n, 3] of lengths other than 1, most of which come near it."""
    generator = torch.Generator().manual_seed(kind)
    origin = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    origin = origin / origin.norm(dim=1, keepdim=True) * (1.5 + 2 * torch.rand(count, 1, generator=generator).double())
    target = torch.randn(count, 3, generator=generator, dtype=torch.float64) * 0.6
    direction = (target - origin) * (0.3 + torch.rand(count, 1, generator=generator).double())
    return origin, direction


def hit(kind: int, origin: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    size = SIZES[kind].to(origin)
    start, way, half = (tuple(value[..., axis] for axis in range(3)) for value in (origin, direction, size))
    distance, normal = SOLIDS[kind].hit(start, way, half)
    return distance, full(normal, distance)


def full(normal: Normal, like: Tensor) -> Tensor:
    """Components that may be None as one tensor [..., 3]."""
    return torch.stack([torch.zeros_like(like) if one is None else one * torch.ones_like(like) for one in normal], -1)


@pytest.mark.parametrize("kind", range(4))
def test_rays_meet_the_surface_and_nothing_before_it(kind: int) -> None:
    origin, direction = rays_at(kind)
    distance, _ = hit(kind, origin, direction)
    found = (distance > 0) & distance.isfinite()
    assert 0.2 < found.double().mean() < 0.95
    point = origin + distance[:, None] * direction
    assert signed_distance(kind, point[found]).abs().max() < 1e-9
    steps = torch.linspace(0, 1, 400, dtype=torch.float64)
    before = origin[found, None] + (distance[found, None] * steps)[..., None] * direction[found, None]
    assert signed_distance(kind, before).min() > -1e-9
    beside = origin[~found, None] + (12 * steps)[:, None] * direction[~found, None]
    assert signed_distance(kind, beside).min() > -1e-9


@pytest.mark.parametrize("kind", range(4))
def test_normals_are_the_gradient_of_the_distance(kind: int) -> None:
    origin, direction = rays_at(kind)
    distance, normal = hit(kind, origin, direction)
    found = (distance > 0) & distance.isfinite()
    # A little outside, where the gradient at a face is unique.
    point = (origin + distance[:, None] * direction + 1e-7 * normal)[found].requires_grad_()
    signed_distance(kind, point).sum().backward()
    assert point.grad is not None
    assert (point.grad - normal[found]).abs().max() < 1e-5


@pytest.mark.parametrize("kind", range(4))
@pytest.mark.parametrize("axis", range(3))
def test_rays_along_an_axis_meet_the_half_extent(kind: int, axis: int) -> None:
    direction = torch.zeros(3, 3, dtype=torch.float64)
    direction[:, axis] = 2
    origin = -5 * direction
    origin[1, (axis + 1) % 3] = 3
    origin[2] *= -1
    distance, normal = hit(kind, origin, direction)
    assert distance[0] == pytest.approx((10 - float(SIZES[kind, axis])) / 2)
    assert normal[0].tolist() == pytest.approx([-1.0 if one == axis else 0.0 for one in range(3)])
    assert not (distance[1] < torch.inf), "a parallel ray beside the shape"
    assert distance[2] < 0, "a shape behind the origin"


@pytest.mark.parametrize("kind", range(4))
def test_float32_is_as_good_as_its_digits(kind: int) -> None:
    origin, direction = rays_at(kind)
    far = origin - 30 * direction
    exact, _ = hit(kind, far, direction)
    single, _ = hit(kind, far.float(), direction.float())
    exact_hit, single_hit = (value.isfinite() & (value > 0) for value in (exact, single))
    assert (exact_hit != single_hit).double().mean() < 1e-3
    both = exact_hit & single_hit
    assert (exact - single)[both].abs().median() < 5e-6
    point = far[both] + single[both].double()[:, None] * direction[both]
    assert signed_distance(kind, point).abs().quantile(0.99) < 1e-4


def room(batch: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> ObjectScene:
    """A floor and five solids each, some absent."""
    generator = torch.Generator().manual_seed(seed)
    kind = torch.randint(4, (batch, 6), generator=generator)
    kind[:, 0] = 4
    random = lambda *shape: torch.rand(*shape, generator=generator).to(dtype)  # noqa: E731
    position = torch.cat([random(batch, 6, 2) * 4 - 2, random(batch, 6, 1) + 0.3], dim=2)
    position[:, 0] = 0
    tilt = turn(random(batch, 6) * 6) @ turn(random(batch, 6) * 6).roll((1, 1), (2, 3))
    tilt[:, 0] = torch.eye(3)
    size = SIZES.to(dtype)[kind.clamp(max=3)] * 0.7
    size[:, 0] = torch.inf
    present = torch.rand(batch, 6, generator=generator) < 0.8
    angle = random(batch) * 6
    eye = torch.stack([angle.cos() * 5, angle.sin() * 5, random(batch) * 2 + 1], dim=1)
    return ObjectScene(
        shapes=SHAPES, shape=kind, position=position, rotation=tilt, size=size, colour=random(batch, 6, 3),
        camera=look_at(eye, torch.zeros_like(eye)), intrinsics=pinhole(50.0).to(dtype),
        light=torch.tensor([1.0, -2.0, 6.0], dtype=dtype), background=random(batch, 3), present=present,
    )  # fmt: skip


def reference(scene: ObjectScene, height: int, width: int, shadows: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Image, segmentation and depth of every pixel's centre in float64, without windows or the objects' own frames'
    rays: world rays, matrix products, one object at a time."""
    fx, fy, cx, cy = scene.intrinsics.double()
    rows, columns = torch.meshgrid(torch.arange(height).double(), torch.arange(width).double(), indexing="ij")
    u, v = (columns + 0.5) / width, (rows + 0.5) / height
    pixel = torch.stack([(u - cx) / fx, (v - cy) / fy, torch.ones_like(u)], -1)
    images, labels, depths = [], [], []
    for one in range(len(scene.shape)):
        camera = scene.camera[one].double()
        direction, eye = pixel @ camera[:3, :3].T, camera[:3, 3].expand(height, width, 3)
        depth, number, normal = first_hit(scene, one, eye, direction)
        point = eye + depth.nan_to_num(posinf=0)[..., None] * direction
        way = scene.light.double() - point
        light = ((normal * way).sum(-1) / way.norm(dim=-1)).clamp(min=0)
        if shadows:
            outward = point + 1e-6 * normal
            light[first_hit(scene, one, outward, scene.light.double() - outward)[0] < 1] = 0
        light = torch.where(number > 0, scene.ambient + (1 - scene.ambient) * light, 1.0)
        palette = torch.cat([scene.background[one, None], scene.colour[one]]).double()
        images.append((palette[number] * light[..., None]).movedim(-1, 0))
        labels.append(number)
        depths.append(depth)
    return torch.stack(images), torch.stack(labels), torch.stack(depths)


def first_hit(scene: ObjectScene, one: int, eye: Tensor, direction: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    best, number, normal = torch.full(eye.shape[:2], torch.inf).double(), torch.zeros(eye.shape[:2]).long(), 0 * eye
    for slot in range(scene.shape.shape[1]):
        if not scene.present[one, slot]:
            continue
        turned = scene.rotation[one, slot].double()
        start, way = (eye - scene.position[one, slot].double()) @ turned, direction @ turned
        split = [tuple(value.unbind(-1)) for value in (start, way, scene.size[one, slot].double())]
        distance, local = scene.shapes[int(scene.shape[one, slot])].hit(*split)
        nearer = (distance > 0) & (distance < best)
        best = torch.where(nearer, distance, best)
        number[nearer] = slot + 1
        normal[nearer] = (full(local, best) @ turned.T)[nearer]
    return best, number, normal


@pytest.mark.parametrize("shadows", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_pictures_are_those_of_a_plain_ray_caster(dtype: torch.dtype, shadows: bool) -> None:
    scene = room(12, dtype=dtype)
    rendered = render_objects(scene, 31, 40, shadows=shadows)
    image, number, depth = reference(scene, 31, 40, shadows)
    assert len(number.unique()) == 7
    assert rendered.image.dtype == rendered.depth.dtype == dtype
    same = rendered.segmentation == number
    assert same.double().mean() > (0.9999 if dtype == torch.float64 else 0.999)
    assert torch.allclose(rendered.depth[same].double(), depth[same], rtol=1e-9 if dtype == torch.float64 else 1e-5)
    wrong = (rendered.image.double() - image).abs().amax(1) > 1e-3
    assert wrong.double().mean() < (1e-4 if dtype == torch.float64 else 2e-3)


def test_nothing_depends_on_the_batch_or_on_chunks() -> None:
    scene = room(5, seed=3)
    whole = render_objects(scene, 24, 32, samples=2, shadows=True)
    for other in (render_objects(scene, 24, 32, samples=2, shadows=True, chunk=chunk) for chunk in (1, 2)):
        assert torch.equal(whole.image, other.image)
        assert torch.equal(whole.segmentation, other.segmentation)
        assert torch.equal(whole.depth, other.depth)
    one = dataclasses.replace(scene, **{
        name: getattr(scene, name)[2:3]
        for name in ("shape", "position", "rotation", "size", "colour", "camera", "background", "present")
    })  # fmt: skip
    assert torch.equal(render_objects(one, 24, 32, samples=2, shadows=True).image[0], whole.image[2])


def test_absent_objects_may_hold_anything() -> None:
    scene = room(4)
    garbage = {name: getattr(scene, name).clone() for name in ("shape", "position", "rotation", "size", "colour")}
    garbage["shape"][~scene.present] = 99
    for name in ("position", "rotation", "size", "colour"):
        garbage[name][~scene.present] = torch.nan
    one, other = (render_objects(each, 20, 20, shadows=True) for each in (scene, dataclasses.replace(scene, **garbage)))
    assert torch.equal(one.image, other.image)
    assert torch.equal(one.segmentation, other.segmentation)


def test_the_order_of_objects_only_renames_them() -> None:
    scene = room(6, seed=1)
    order = torch.tensor([3, 0, 5, 4, 2, 1])
    names = ("shape", "position", "rotation", "size", "colour", "present")
    turned = dataclasses.replace(scene, **{name: getattr(scene, name)[:, order] for name in names})
    one, other = render_objects(scene, 20, 20), render_objects(turned, 20, 20)
    assert torch.equal(one.image, other.image)
    assert torch.equal(one.segmentation, torch.cat([torch.tensor([0]), order + 1])[other.segmentation])


def test_a_pixel_is_the_mean_of_its_samples_and_labels_are_of_its_centre() -> None:
    scene = room(3)
    plain, fine = render_objects(scene, 8, 12), render_objects(scene, 8, 12, samples=3)
    large = render_objects(scene, 24, 36)
    assert torch.allclose(fine.image, torch.nn.functional.avg_pool2d(large.image, 3), atol=1e-6)
    assert torch.equal(fine.segmentation, plain.segmentation)
    assert torch.equal(fine.segmentation, large.segmentation[:, 1::3, 1::3])
    assert render_objects(scene, 8, 12, labels=False).segmentation is None


def ball(radius: float, distance: float, **more: object) -> ObjectScene:
    """A white ball straight ahead of a camera at the origin that looks along x, lit by a lamp at the camera."""
    eye = torch.zeros(3)
    return dataclasses.replace(ObjectScene(
        shapes=(Sphere(),), shape=torch.zeros(1, 1, dtype=torch.int64), position=torch.tensor([[[distance, 0.0, 0.0]]]),
        rotation=torch.eye(3)[None, None], size=torch.full((1, 1, 3), radius), colour=torch.ones(1, 1, 3),
        camera=look_at(eye, torch.tensor([1.0, 0, 0])), intrinsics=pinhole(60.0), light=eye,
    ), **more)  # fmt: skip


def test_a_ball_has_the_size_of_its_cone_of_view() -> None:
    rendered = render_objects(ball(1.0, 4.0), 801, 801)
    angle = math.asin(1 / 4)
    radius = math.tan(angle) * 0.5 / math.tan(math.radians(30)) * 801
    assert float((rendered.segmentation > 0).sum()) == pytest.approx(math.pi * radius**2, rel=2e-3)
    assert float(rendered.depth[0, 400, 400]) == pytest.approx(3.0, rel=1e-5)
    assert float(rendered.image[0, 0, 400, 400]) == pytest.approx(1.0, abs=1e-4)
    assert rendered.depth[0, 0, 0] == torch.inf
    assert rendered.segmentation[0, 0, 0] == 0


def test_directions_on_the_screen() -> None:
    moved = ball(0.4, 4.0, position=torch.tensor([[[4.0, 1.0, 1.2]]]))
    rows, columns = render_objects(moved, 40, 40).segmentation[0].nonzero().unbind(1)
    assert float(rows.double().mean()) < 12, "z is up"
    assert float(columns.double().mean()) < 15, "y is to the left of a camera that looks along x"


def test_the_camera_sees_nothing_behind_it_and_looks_through_what_it_is_in() -> None:
    assert not render_objects(ball(1.0, -4.0), 16, 16).segmentation.any()
    assert not render_objects(ball(1.0, 0.5), 16, 16).segmentation.any()


def test_shadow_of_a_ball_on_the_floor() -> None:
    scene = ball(0.5, 0.0)
    light, centre = torch.tensor([1.0, 2.0, 5.0]), torch.tensor([0.0, 0.0, 1.0])
    scene = dataclasses.replace(
        scene, shapes=(Plane(), Sphere()), shape=torch.tensor([[0, 1]]), rotation=torch.eye(3).expand(1, 2, 3, 3),
        position=torch.stack([torch.zeros(3), centre])[None],
        size=torch.tensor([[[torch.inf, torch.inf, 0.0], [0.5, 0.5, 0.5]]]),
        colour=torch.ones(1, 2, 3), camera=look_at(torch.tensor([0.0, -5.0, 4.0]), torch.zeros(3)), light=light,
    )  # fmt: skip
    dark, lit = render_objects(scene, 90, 90, shadows=True), render_objects(scene, 90, 90)
    floor = (dark.segmentation == 1)[0]
    fx, fy, cx, cy = scene.intrinsics
    v, u = torch.meshgrid((torch.arange(90) + 0.5) / 90, (torch.arange(90) + 0.5) / 90, indexing="ij")
    direction = torch.stack([(u - cx) / fx, (v - cy) / fy, torch.ones_like(u)], dim=-1) @ scene.camera[:3, :3].T
    point = scene.camera[:3, 3] + dark.depth[0, :, :, None] * direction
    way = light - point
    along = ((centre - point) * way).sum(-1, keepdim=True) / way.square().sum(-1, keepdim=True)
    shade = (centre - point - along * way).norm(dim=-1) < 0.5
    assert (shade & floor).sum() > 100
    assert ((dark.image[0, 0] == scene.ambient) == shade)[floor].double().mean() > 0.999
    assert torch.equal(dark.image[0, 0][floor & ~shade], lit.image[0, 0][floor & ~shade])


def test_what_lies_beyond_the_lamp_throws_no_shadow() -> None:
    scene = dataclasses.replace(
        ball(0.5, 3.0), shapes=(Plane(), Sphere()), shape=torch.tensor([[0, 1]]),
        rotation=torch.eye(3).expand(1, 2, 3, 3), colour=torch.ones(1, 2, 3), light=torch.tensor([3.0, 0.0, 1.0]),
        position=torch.tensor([[[3.0, 0.0, 2.0], [3.0, 0.0, -0.5]]]),
        size=torch.tensor([[[torch.inf, torch.inf, 0.0], [0.5, 0.5, 0.5]]]),
    )  # fmt: skip
    dark, lit = render_objects(scene, 60, 60, shadows=True), render_objects(scene, 60, 60)
    assert (lit.segmentation == 2).any()
    assert lit.image[0, 0][(lit.segmentation == 2)[0]].max() > 0.9
    assert torch.equal(dark.image[:, :, 30:], lit.image[:, :, 30:])


def test_a_rectangle_ends_where_its_half_extents_say() -> None:
    scene = dataclasses.replace(
        ball(1.0, 0.0), shapes=(Plane(),), position=torch.tensor([[[2.0, 0.0, 0.0]]]),
        rotation=torch.tensor([[[[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]]]), size=torch.tensor([[[0.5, 0.25, 0.0]]]),
        intrinsics=torch.tensor([1.0, 1.0, 0.5, 0.5]),
    )  # fmt: skip
    seen = render_objects(scene, 80, 80).segmentation[0].bool()
    assert seen.any(0).sum() == 40
    assert seen.any(1).sum() == 20
    assert seen.sum() == 800


def test_no_object_and_no_scene() -> None:
    scene = ball(1.0, 4.0, background=torch.tensor([0.1, 0.2, 0.3]), present=torch.tensor([[False]]))
    assert (render_objects(scene, 4, 4).image[0, :, 1, 2] == torch.tensor([0.1, 0.2, 0.3])).all()
    names = ("shape", "position", "rotation", "size", "colour")
    empty = dataclasses.replace(scene, present=None, **{name: getattr(scene, name)[:0] for name in names})
    assert render_objects(empty, 4, 4).image.shape == (0, 3, 4, 4)
    bare = dataclasses.replace(scene, present=None, **{name: getattr(scene, name)[:, :0] for name in names})
    assert (render_objects(bare, 4, 4, shadows=True).image[0, :, 1, 2] == torch.tensor([0.1, 0.2, 0.3])).all()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"size": torch.ones(1, 2, 3)}, "size"),
        ({"size": torch.tensor([[[1.0, 1.0, 2.0]]])}, "unequal"),
        ({"size": torch.zeros(1, 1, 3)}, "positive"),
        ({"size": torch.full((1, 1, 3), torch.inf)}, "finite"),
        ({"shape": torch.ones(1, 1, dtype=torch.int64)}, "indices"),
        ({"position": torch.full((1, 1, 3), torch.nan)}, "position"),
        ({"rotation": 2 * torch.eye(3)[None, None]}, "rotation"),
        ({"camera": torch.zeros(4, 4)}, "camera"),
        ({"camera": torch.eye(4).expand(2, 4, 4)}, "camera"),
        ({"light": torch.full((3,), torch.inf)}, "light"),
        ({"intrinsics": torch.zeros(4)}, "focal"),
        ({"ambient": 1.5}, "ambient"),
        ({"haze": 0.0}, "haze"),
        ({"haze": math.nan}, "haze"),
        ({"shapes": (Capsule(),), "size": torch.tensor([[[1.0, 1.0, 0.5]]])}, "round ends"),
    ],
)
@pytest.mark.usefixtures("unchecked_shapes")
def test_bad_scenes_are_named_in_one_line(change: dict[str, object], word: str) -> None:
    with pytest.raises(DataError, match=word) as error:
        render_objects(ball(1.0, 4.0, **change), 8, 8)
    assert "\n" not in str(error.value)


def test_bad_cameras_and_pictures() -> None:
    with pytest.raises(DataError, match="straight"):
        look_at(torch.tensor([0.0, 0, 3]), torch.zeros(3))
    with pytest.raises(DataError, match="straight"):
        look_at(torch.ones(3), torch.ones(3))
    for angle in (0.0, 180.0, math.nan):
        with pytest.raises(DataError, match="field of view"):
            pinhole(angle)
    for bad in ({"height": 0, "width": 4}, {"height": 4, "width": 4, "samples": 0}):
        with pytest.raises(DataError, match="at least one"):
            render_objects(ball(1.0, 4.0), **bad)
    for draw in (render_objects, render_apart):
        with pytest.raises(DataError, match="chunk = -1"):
            draw(ball(1.0, 4.0), 4, 4, chunk=-1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_gpu_draws_the_same() -> None:
    scene = room(8)
    moved = {name: value.cuda() for name, value in vars(scene).items() if isinstance(value, Tensor)}
    here, there = (render_objects(each, 32, 32, shadows=True) for each in (scene, dataclasses.replace(scene, **moved)))
    same = here.segmentation == there.segmentation.cpu()
    assert same.double().mean() > 0.999
    assert torch.allclose(here.depth[same], there.depth.cpu()[same], rtol=1e-4)
