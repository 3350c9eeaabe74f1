"""Objects Room where a wall half is out of view: numbers of objects are made to begin with 4 again."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from percepts.data.objects_room import ObjectsRoom
from percepts.data.room_repair import repair_objects_room


def stored(labels: np.ndarray) -> np.ndarray:
    """Rooms as the published files have them: without the number of a wall half that cannot be seen."""
    labels = labels.copy()
    for one in labels:
        for wall in (3, 2):
            if not (one == wall).any():
                one[one > wall] -= 1
    return labels


def objects_of(labels: np.ndarray) -> np.ndarray:
    return np.where(labels >= 4, labels, 0)


def room(two_walls: bool, seam: int = 20) -> np.ndarray:
    """Sky 0, floor 1 and the walls 2 and 3, or only 2, of 32 x 32 pixels. The top of the walls slants."""
    rows, columns = np.mgrid[:32, :32]
    labels = np.where(rows < 8 - columns // 8, 0, 2).astype(np.uint8)
    if two_walls:
        labels[(labels == 2) & (columns >= seam)] = 3
    labels[rows >= 20] = 1
    return labels


def with_object(labels: np.ndarray, number: int, top: int, left: int, size: int = 6) -> np.ndarray:
    labels = labels.copy()
    labels[top : top + size, left : left + size] = number
    return labels


BOTH, ONE = room(True), room(False)

PLACES = {
    "before a wall": (11, 10),
    "on the floor": (22, 12),
    "at the left border": (22, 0),
    "between wall and floor": (16, 5),
    "at the top of the wall": (3, 8),
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_objects_in_the_place_of_a_wall_move_up(place: tuple[int, int], dtype: type) -> None:
    labels = with_object(with_object(ONE, 3, *place), 4, 25, 25).astype(dtype)
    repaired = repair_objects_room(labels[None])[0]
    assert repaired.dtype == dtype
    assert np.array_equal(repaired, np.where(labels >= 3, labels + 1, labels))


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
def test_rooms_with_both_walls_stay(place: tuple[int, int]) -> None:
    labels = with_object(BOTH, 4, *place)
    assert np.array_equal(repair_objects_room(labels[None])[0], labels)


def test_where_all_masks_are_used_nothing_has_moved() -> None:
    looks_moved = with_object(with_object(with_object(BOTH, 4, 11, 10), 5, 25, 3), 6, 25, 25)
    looks_moved = with_object(looks_moved, 3, 22, 12, 3)[None]
    assert repair_objects_room(looks_moved).max() == 7, "the rules alone are deceived"
    assert np.array_equal(repair_objects_room(looks_moved, 7), looks_moved)
    assert repair_objects_room(looks_moved, 10).max() == 7


def test_each_image_is_repaired_by_itself() -> None:
    batch = np.stack([with_object(BOTH, 4, 22, 12), with_object(ONE, 3, 22, 12), with_object(BOTH, 4, 11, 10)])
    repaired = repair_objects_room(batch)
    assert np.array_equal(repaired[[0, 2]], batch[[0, 2]])
    assert set(np.unique(repaired[1])) == {0, 1, 2, 4}


def test_the_largest_number_is_an_object() -> None:
    # Only the upper right corner of the room is seen, and an object that fills the right border from top to bottom.
    labels = np.full((1, 16, 16), 2, np.uint8)
    labels[0, :, 12:] = 3
    assert set(np.unique(repair_objects_room(labels))) == {2, 4}


def test_a_room_without_the_doubtful_number_stays() -> None:
    assert np.array_equal(repair_objects_room(ONE[None])[0], ONE)


def test_generated_rooms_come_out_right_but_for_few() -> None:
    labels = ObjectsRoom.Config(samples=1).build().gather(torch.arange(32))["segmentation"].numpy()
    given = stored(labels)
    repaired = repair_objects_room(given)
    right = (objects_of(repaired) == objects_of(labels)).all((1, 2)).sum()
    before = (objects_of(given) == objects_of(labels)).all((1, 2)).sum()
    assert before < 24
    assert right >= 29


def test_a_leaning_line_between_the_walls_is_no_object() -> None:
    rows, columns = np.mgrid[:32, :32]
    labels = np.where(columns > 8 + rows // 2, 3, 2)
    labels[:6], labels[24:] = 0, 1
    labels = with_object(labels, 4, 25, 3)[None]
    assert np.array_equal(repair_objects_room(labels), labels)


def test_nothing_is_written_into_what_was_given() -> None:
    labels = with_object(ONE, 3, 22, 12)[None]
    before = labels.copy()
    repair_objects_room(labels)
    assert np.array_equal(labels, before)
