"""Superquadrics against closed forms, against dense search along rays, and drawn."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from percepts.core.errors import DataError
from percepts.rendering import (
    ObjectScene,
    Primitive,
    Sphere,
    Superquadric,
    look_at,
    octahedron,
    pinhole,
    render_objects,
)

SIZE = torch.tensor([0.6, 0.8, 0.7], dtype=torch.float64)


def rays(count: int, seed: int, distance: float = 3.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    origin = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    origin = origin / origin.norm(dim=1, keepdim=True) * distance
    target = torch.randn(count, 3, generator=generator, dtype=torch.float64) * 0.5
    return origin, (target - origin) * (0.3 + torch.rand(count, 1, generator=generator).double())


def hit(shape: Primitive, size: Tensor, origin: Tensor, way: Tensor) -> tuple[Tensor, Tensor]:
    split = [tuple(value.unbind(-1)) for value in (origin, way, size.to(origin).expand_as(origin))]
    distance, normal = shape.hit(*split)
    return torch.where(distance > 0, distance, torch.inf), torch.stack([one + 0 * distance for one in normal], -1)


@pytest.mark.parametrize(("exponent", "known"), [(1.0, octahedron()), (2.0, Sphere())])
def test_it_is_an_octahedron_and_a_ball(exponent: float, known: Primitive) -> None:
    size = torch.tensor([0.7, 0.7, 0.7])
    origin, way = rays(4000, 0)
    expected, outward = hit(known, size, origin, way)
    found, normal = hit(Superquadric(exponent), size, origin, way)
    assert (found.isfinite() == expected.isfinite()).double().mean() > 0.999
    both = found.isfinite() & expected.isfinite()
    assert both.double().mean() > 0.3
    torch.testing.assert_close(found[both], expected[both], rtol=1e-4, atol=1e-4)
    assert (found - expected)[both].abs().quantile(0.99) < 1e-10
    assert (normal - outward)[both].abs().amax(1).quantile(0.99) < 1e-6


@pytest.mark.parametrize("exponent", [1.2, 1.5, 3.0, 8.0])
def test_rays_meet_the_surface_first(exponent: float) -> None:
    origin, way = rays(600, 1)
    found, normal = hit(Superquadric(exponent), SIZE, origin, way)
    steps = torch.linspace(0, 4, 2001, dtype=torch.float64)
    inside = (((origin[:, None] + way[:, None] * steps[:, None]) / SIZE).abs() ** exponent).sum(-1) < 1
    met = inside.any(1)
    assert met.double().mean() > 0.3
    assert (met == found.isfinite()).double().mean() > 0.995, "but for rays that only graze it"
    both = met & found.isfinite()
    gap = steps[inside.double().argmax(1)] - found
    assert (gap[both] >= -1e-5).all(), "nothing is met behind the first point inside"
    assert (gap[both] < 2.1e-3).all(), "nor earlier than one step before it"
    assert ((normal * way).sum(1)[both] < 1e-6).all(), "rays enter against the normal"
    torch.testing.assert_close(normal[both].norm(dim=1), torch.ones_like(found[both]))


def test_normals_are_gradients() -> None:
    origin, way = rays(500, 2)
    found, normal = hit(Superquadric(1.5), SIZE, origin, way)
    met = found.isfinite()
    point = (origin + found[:, None] * way)[met].requires_grad_()
    ((point / SIZE).abs() ** 1.5).sum().backward()
    assert point.grad is not None
    gradient = point.grad / point.grad.norm(dim=1, keepdim=True)
    torch.testing.assert_close(normal[met], gradient, rtol=1e-6, atol=1e-6)


def test_what_lies_behind_is_not_ahead() -> None:
    origin, way = rays(800, 3)
    ahead, _ = hit(Superquadric(1.5), SIZE, origin, way)
    behind, _ = hit(Superquadric(1.5), SIZE, origin, -way)
    assert ahead.isfinite().any()
    assert not (ahead.isfinite() & behind.isfinite()).any()


def test_single_precision_from_far_away() -> None:
    origin, way = rays(3000, 4, 40.0)
    shape = Superquadric(1.5)
    exact, _ = hit(shape, SIZE, origin, way)
    single, _ = hit(shape, SIZE.float(), origin.float(), way.float())
    assert (exact.isfinite() != single.isfinite()).double().mean() < 2e-3
    both = exact.isfinite() & single.isfinite()
    gap = (exact - single)[both].abs() * way[both].norm(dim=1)
    assert gap.quantile(0.99) < 2e-4


def test_a_larger_exponent_covers_more_of_a_picture() -> None:
    exponents = (1.0, 1.5, 2.0, 4.0, 16.0)
    batch = len(exponents)
    scene = ObjectScene(
        shapes=tuple(Superquadric(exponent) for exponent in exponents),
        shape=torch.arange(batch)[:, None],
        position=torch.zeros(batch, 1, 3),
        rotation=torch.eye(3).expand(batch, 1, 3, 3),
        size=torch.full((batch, 1, 3), 0.5),
        colour=torch.ones(batch, 1, 3),
        camera=look_at(torch.tensor([0.0, -3.0, 0.2]), torch.zeros(3)),
        intrinsics=pinhole(30.0),
        light=torch.tensor([0.0, -3.0, 3.0]),
    )
    drawn = render_objects(scene, 32, 32, samples=2, shadows=True)
    assert drawn.segmentation is not None
    covered = (drawn.segmentation > 0).flatten(1).sum(1)
    assert (covered.diff() > 0).all()
    assert bool(drawn.image.isfinite().all())
    alone = render_objects(
        ObjectScene(**{**vars(scene), "shape": scene.shape[1:2], "position": scene.position[:1], "rotation":
                       scene.rotation[:1], "size": scene.size[:1], "colour": scene.colour[:1]}), 32, 32,
        samples=2, shadows=True,
    )  # fmt: skip
    assert torch.equal(alone.image[0], drawn.image[1])


@pytest.mark.parametrize("exponent", [0.5, 17.0, float("nan")])
def test_exponents_that_are_none(exponent: float) -> None:
    with pytest.raises(DataError, match="1 to 16"):
        Superquadric(exponent)
