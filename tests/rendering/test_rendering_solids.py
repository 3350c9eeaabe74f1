"""Cones and polyhedra, and every solid against roots of quadrics."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from plain_rays import meet
from torch import Tensor

from percepts.core.errors import DataError
from percepts.rendering import (
    Box,
    Capsule,
    Cone,
    Cylinder,
    Plane,
    Polyhedron,
    Primitive,
    Sphere,
    cube,
    icosahedron,
    octahedron,
    prism,
)

SOLIDS: tuple[tuple[Primitive, tuple[float, float, float]], ...] = (
    (Plane(), (0.9, 0.6, 0.0)), (Sphere(), (0.8, 0.8, 0.8)), (Box(), (0.4, 0.9, 0.6)), (Cylinder(), (0.5, 0.5, 0.8)),
    (Capsule(), (0.4, 0.4, 1.1)), (Cone(), (0.7, 0.7, 0.9)), (Cone(), (1.0, 1.0, 0.2)), (cube(), (0.4, 0.9, 0.6)),
    (octahedron(), (0.7, 0.7, 0.7)), (icosahedron(), (0.9, 0.7, 0.6)), (prism(), (0.8, 0.8, 0.5)),
    (Polyhedron(((1.0, 1.0, 1.0, 0.5), (-1.0, 0.0, 0.0, 0.2), (0.0, -1.0, 0.0, 0.2), (0.0, 0.0, -1.0, 0.1))),
     (0.9, 0.7, 0.7)),
)  # fmt: skip


def rays(count: int, seed: int, distance: float = 3.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    origin = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    origin = origin / origin.norm(dim=1, keepdim=True) * distance
    target = torch.randn(count, 3, generator=generator, dtype=torch.float64) * 0.5
    return origin, (target - origin) * (0.3 + torch.rand(count, 1, generator=generator).double())


def hit(shape: Primitive, size: Tensor, origin: Tensor, way: Tensor) -> tuple[Tensor, Tensor]:
    split = [tuple(value.unbind(-1)) for value in (origin, way, size.to(origin).expand_as(origin))]
    distance, normal = shape.hit(*split)
    normal = torch.stack([torch.zeros_like(distance) if one is None else one + 0 * way[:, 0] for one in normal], -1)
    return torch.where(distance > 0, distance, torch.inf), normal


@pytest.mark.parametrize("number", range(len(SOLIDS)))
@pytest.mark.parametrize("distance", [3.0, 0.05])
def test_solids_are_met_where_their_quadrics_are(number: int, distance: float) -> None:
    shape, size = SOLIDS[number]
    origin, way = rays(3000, number, distance)
    expected, normal = meet(shape, np.array(size), origin.numpy(), way.numpy())
    found, outward = hit(shape, torch.tensor(size, dtype=torch.float64), origin, way)
    assert np.isfinite(expected).mean() > (0.1 if distance == 3 or number == 0 else -1)
    assert (found.isfinite().numpy() == np.isfinite(expected)).mean() > 0.9995
    both = found.isfinite().numpy() & np.isfinite(expected)
    np.testing.assert_allclose(found.numpy()[both], expected[both], rtol=1e-9, atol=1e-9)
    off = np.abs(outward.numpy() - normal)[both].max(axis=1, initial=0)
    assert (off > 1e-6).sum() <= 2, "only a ray through an edge may see the other face"


@pytest.mark.parametrize("number", range(len(SOLIDS)))
def test_single_precision_from_far_away(number: int) -> None:
    shape, size = SOLIDS[number]
    origin, way = rays(3000, number, 40.0)
    exact, _ = hit(shape, torch.tensor(size, dtype=torch.float64), origin, way)
    single, normal = hit(shape, torch.tensor(size), origin.float(), way.float())
    assert (exact.isfinite() != single.isfinite()).double().mean() < 2e-3
    both = exact.isfinite() & single.isfinite()
    gap = (exact - single)[both].abs() * way[both].norm(dim=1)
    assert gap.quantile(0.99) < 2e-4
    assert (normal[both].norm(dim=1) - 1).abs().max() < 1e-3


def test_a_cone_has_its_tip_on_top_and_its_base_below() -> None:
    size = torch.tensor([0.5, 0.5, 1.0]).double()
    down, up = torch.tensor([[0.0, 0, -1]]).double(), torch.tensor([[0.0, 0, 1]]).double()
    distance, _ = hit(
        Cone(), size, torch.tensor([[0.0, 0, 3], [0.25, 0, 3], [0.5001, 0, 3]]).double(), down.expand(3, 3)
    )
    assert distance.tolist() == pytest.approx([2.0, 3.0, math.inf])
    distance, normal = hit(Cone(), size, torch.tensor([[0.49, 0, -3]]).double(), up)
    assert distance.tolist() == pytest.approx([2.0])
    assert normal.tolist() == [[0, 0, -1]]
    side = torch.tensor([[0.0, 3, 0]]).double(), torch.tensor([[0.0, -2, 0]]).double()
    distance, normal = hit(Cone(), size, *side)
    assert distance.tolist() == pytest.approx([2.75 / 2])
    assert normal[0].tolist() == pytest.approx([0, 1 / math.sqrt(1 + 1 / 16), 0.25 / math.sqrt(1 + 1 / 16)])


def test_rays_along_a_cone() -> None:
    size, tip, slope = torch.tensor([0.5, 0.5, 1.0]), torch.tensor([[0.0, 0, 1]]), torch.tensor([[0.25, 0.0, -1.0]])
    below, _ = hit(Cone(), size, tip - slope + torch.tensor([[0.0, 0.0, -0.5]]), slope)
    assert float(below) == pytest.approx(0.75, abs=1e-5)
    above, _ = hit(Cone(), size, tip - slope + torch.tensor([[0.0, 0.0, 0.1]]), slope)
    assert above == torch.inf


@pytest.mark.parametrize(
    ("solid", "corners", "edges"),
    [(cube(), 8, 12), (octahedron(), 6, 12), (icosahedron(), 12, 30), (prism(6), 12, 18)],
)
def test_regular_polyhedra(solid: Polyhedron, corners: int, edges: int) -> None:
    points = solid.corners
    assert len(points) == corners
    assert len(solid.faces) == edges + 2 - corners, "Euler"
    lengths = [np.linalg.norm(one - other) for one, other in itertools.combinations(points, 2)]
    if solid != prism(6):
        assert np.ptp(np.linalg.norm(points, axis=1)) < 1e-6
        assert sum(length < min(lengths) * (1 + 1e-6) for length in lengths) == edges


@pytest.mark.parametrize(
    ("faces", "word"),
    [
        ((), "beyond"),
        (((1.0, 0.0, 0.0, 1.0),), "beyond"),
        (tuple((x, y, z, 2.0) for x, y, z, _ in cube().faces), "reaches 2"),
        (((0.0, 0.0, 0.0, 1.0), *cube().faces), "face"),
        (((1.0, 0.0, 0.0, 0.0), *cube().faces), "front"),
        (((math.nan, 0.0, 0.0, 1.0), *cube().faces), "face"),
    ],
)
def test_polyhedra_must_be_closed_and_in_their_box(faces: tuple, word: str) -> None:
    with pytest.raises(DataError, match=word):
        Polyhedron(faces)
    with pytest.raises(DataError, match="3"):
        prism(2)
