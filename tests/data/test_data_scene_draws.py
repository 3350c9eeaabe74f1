"""Placement by numbered attempts, and measures of drawn scenes, against plain loops."""

from __future__ import annotations

import math

import pytest
import torch

from percepts.core.errors import ConfigError
from percepts.data.hashed_draws import ATTEMPTS, Draws
from percepts.data.scene_draws import (
    Candidates,
    after_backgrounds,
    pixel_counts,
    place,
    project,
    relations,
    settle,
)
from percepts.rendering.objects import look_at, pinhole

TRIES = 4


def draws(first: int, count: int) -> Draws:
    return Draws(torch.arange(first, first + count), 3, ("test",))


def crowded(_: torch.Tensor, trial: Draws) -> Candidates:
    x, y = (trial.between(name, (-1.0, 1.0), 4, TRIES) for name in "xy")
    return Candidates(x, y, trial.between("radius", (0.4, 0.6), 4), x > -0.9)


def apart(x: torch.Tensor, y: torch.Tensor, reach: torch.Tensor) -> torch.Tensor:
    return x * x + y * y >= reach * reach


def by_hand(number: int, count: int, attempt: int) -> tuple[int, list[tuple[float, float]]]:
    """The same, one scene, one attempt, one object and one candidate at a time."""
    while True:
        trial = draws(number, 1).attempt(torch.tensor([0]), torch.tensor([attempt]))
        candidates = crowded(torch.zeros(1), trial)
        placed: list[tuple[float, float]] = []
        for thing in range(count):
            for x, y in zip(candidates.x[0, thing].tolist(), candidates.y[0, thing].tolist()):
                radii = candidates.radius[0].tolist()
                clear = all(
                    (x - u) * (x - u) + (y - v) * (y - v)
                    >= (radii[thing] + radii[other]) * (radii[thing] + radii[other])
                    for other, (u, v) in enumerate(placed)
                )
                if x > -0.9 and clear:
                    placed.append((x, y))
                    break
            else:
                break
        if len(placed) == count:
            return attempt, placed
        attempt += 1


def test_placement_is_that_of_a_plain_loop() -> None:
    count = torch.arange(40) % 5
    attempt, position = place(draws(100, 40), torch.arange(40) % 3, count, crowded, apart)
    assert (attempt > 3).any(), "no scene had to be tried anew"
    for row in range(40):
        wanted, places = by_hand(100 + row, int(count[row]), row % 3)
        assert int(attempt[row]) == wanted
        assert position[row, : len(places)].tolist() == [list(each) for each in places]


def test_placement_does_not_depend_on_the_batch() -> None:
    count = torch.full((300,), 4)
    first = torch.zeros(300, dtype=torch.int64)
    attempt, position = place(draws(0, 300), first, count, crowded, apart)
    for row in (0, 17, 299):
        alone = place(draws(row, 1), first[:1], count[:1], crowded, apart)
        assert int(alone[0]) == int(attempt[row])
        assert torch.equal(alone[1][0], position[row])


def test_what_cannot_be_placed_is_said() -> None:
    def never(x: torch.Tensor, y: torch.Tensor, reach: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(x, dtype=torch.bool)

    with pytest.raises(ConfigError, match=f"{ATTEMPTS} attempts.*fewer or smaller"):
        place(draws(0, 2), torch.zeros(2, dtype=torch.int64), torch.tensor([1, 2]), crowded, never)


def test_no_scenes_are_placed_too() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    attempt, position = place(draws(0, 0), none, none, crowded, apart)
    assert attempt.shape == (0,)
    assert position.shape == (0, 4, 2)


def test_settling_tries_only_what_is_open() -> None:
    asked: list[int] = []

    def make(scene: Draws, attempt: torch.Tensor) -> dict[str, torch.Tensor]:
        asked.append(len(attempt))
        # Laying out takes every other attempt.
        attempt = attempt + attempt % 2
        return {"attempt": attempt, "value": scene.number * 100 + attempt}

    def accept(values: dict[str, torch.Tensor]) -> torch.Tensor:
        return values["attempt"] >= 2 * (values["value"] // 100 % 3)

    values = settle(draws(0, 7), make, accept)
    assert values["attempt"].tolist() == [0, 2, 4, 0, 2, 4, 0]
    assert values["value"].tolist() == [0, 102, 204, 300, 402, 504, 600]
    assert asked == [7, 4, 2]


def test_settling_gives_up() -> None:
    def accept(values: dict[str, torch.Tensor]) -> torch.Tensor:
        return torch.zeros_like(values["attempt"], dtype=torch.bool)

    with pytest.raises(ConfigError, match="visible enough"):
        settle(draws(0, 1), lambda scene, attempt: {"attempt": attempt}, accept)


def test_pixels_are_counted() -> None:
    segmentation = torch.randint(0, 5, (2, 3, 4, 6), generator=torch.Generator().manual_seed(0))
    counts = pixel_counts(segmentation, 6)
    for entity in range(6):
        assert torch.equal(counts[..., entity], (segmentation == entity).sum((-1, -2)))


def test_points_are_projected_where_the_camera_looks() -> None:
    target = torch.tensor([[1.0, 2.0, 0.5], [-1.0, 0.0, 0.0]])
    camera = look_at(torch.tensor([[4.0, -3.0, 2.0], [3.0, 3.0, 3.0]]), target)
    middle = project(target[:, None], camera, pinhole(40.0))
    distance = (target - camera[:, :3, 3]).norm(dim=1)
    assert torch.allclose(middle[:, 0, :2], torch.tensor(0.5))
    assert torch.allclose(middle[:, 0, 2], distance)
    above = project(target[:, None] + torch.tensor([0, 0, 0.1]), camera, pinhole(40.0))
    assert (above[..., 1] < 0.5).all()
    edge = camera[:, :3, 3] + camera[:, :3, 2] + math.tan(math.radians(20)) * camera[:, :3, 1]
    assert torch.allclose(project(edge[:, None], camera, pinhole(40.0))[:, 0, 1], torch.tensor(1.0))


def test_relations_are_those_of_a_plain_loop() -> None:
    generator = torch.Generator().manual_seed(1)
    position = torch.rand(5, 6, 3, generator=generator) * 2
    exists = torch.rand(5, 6, generator=generator) < 0.8
    eye = torch.rand(5, 3, generator=generator) * 3 + torch.tensor([3.0, -4.0, 4.0])
    camera = look_at(eye, torch.zeros(5, 3))
    found = relations(position, exists, camera, margin=0.3)
    for b in range(5):
        behind = -eye[b, :2] / eye[b, :2].norm()
        left = torch.stack([-behind[1], behind[0]])
        ways = {"left": left, "right": -left, "front": -behind, "behind": behind}
        for name, way in ways.items():
            for i in range(6):
                for j in range(6):
                    further = float((position[b, j, :2] - position[b, i, :2]) @ way) > 0.3
                    assert bool(found[f"relation.{name}"][b, i, j]) == (further and bool(exists[b, i] & exists[b, j]))


def test_backgrounds_come_first() -> None:
    value = torch.ones(2, 3, 4)
    wide = after_backgrounds(value, 2)
    assert wide.shape == (2, 5, 4)
    assert wide.sum() == 24
    assert not wide[:, :2].any()
    assert after_backgrounds(value, 1, axis=-1).shape == (2, 3, 5)
