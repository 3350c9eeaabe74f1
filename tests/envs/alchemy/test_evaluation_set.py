"""Fixed episodes: generated, saved and loaded, imported."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from test_protobuf import EDGES, episode

from percepts.core.errors import ConfigError, DataError, PerceptsError
from percepts.envs.alchemy.chemistry import FREE, chemistry_tables
from percepts.envs.alchemy.evaluation_set import (
    EvaluationSet,
    generated_episodes,
    load_episodes,
    published_episodes,
)
from percepts.envs.alchemy.table import Table

GOLDEN = [[108, 9], [38, 29], [7, 6], [6, 3, 0, 3, 4, 1]]
"""Graphs, potion maps, stone maps and first stones of the first two episodes."""


def same(one: EvaluationSet, other: EvaluationSet) -> bool:
    pairs = [(one.stones, other.stones), (one.potions, other.potions)]
    names = ("graph", "potion_map", "stone_map", "rotation")
    pairs += [(getattr(one.chemistry, name), getattr(other.chemistry, name)) for name in names]
    return all(torch.equal(a, b) for a, b in pairs)


def test_episodes_are_a_function_of_the_seed() -> None:
    assert same(generated_episodes(20, seed=3), generated_episodes(20, seed=3))
    assert not same(generated_episodes(20, seed=3), generated_episodes(20, seed=4))


def test_the_first_ones_do_not_depend_on_how_many() -> None:
    assert same(generated_episodes(50).rows(slice(0, 7)), generated_episodes(7))


def test_known_first_numbers() -> None:
    """The thousand is a fixed thing: these numbers are not to change."""
    first = generated_episodes(2)
    found = [first.chemistry.graph, first.chemistry.potion_map, first.chemistry.stone_map, first.stones[:, 0].flatten()]
    assert [values.tolist() for values in found] == GOLDEN


def test_the_thousand_are_drawn_from_the_level() -> None:
    """Constraints of 0, 1, 2 and 3 as often, all else uniform: within four standard deviations of counts."""
    found = generated_episodes()
    assert len(found) == 1000
    assert tuple(found.stones.shape[1:]) == (10, 3)
    assert tuple(found.potions.shape[1:]) == (10, 12)
    assert not found.chemistry.rotation.any()
    classes = (chemistry_tables().constraints != FREE).sum((1, 2))[found.chemistry.graph]
    for counts, number in (
        (torch.bincount(classes), 4),
        (torch.bincount(found.chemistry.potion_map, minlength=48), 48),
        (torch.bincount(found.chemistry.stone_map, minlength=8), 8),
        (torch.bincount(found.stones.flatten(), minlength=8), 8),
        (torch.bincount(found.potions.flatten(), minlength=6), 6),
    ):
        assert len(counts) == number
        expected = float(counts.sum()) / number
        deviation = (expected * (1 - 1 / number)) ** 0.5
        assert (counts - expected).abs().max() < 4 * deviation


def test_other_levels() -> None:
    free = generated_episodes(100, level="no-bottleneck")
    assert (chemistry_tables().edges[free.chemistry.graph]).all()
    turned = generated_episodes(100, level="rotation-random-bottleneck")
    assert set(turned.chemistry.rotation.tolist()) == {0, 1, 2, 3}
    small = generated_episodes(5, level="fixed", trials=2, stones=1, potions=4)
    assert tuple(small.potions.shape) == (5, 2, 4)
    assert set(small.chemistry.potion_map.tolist()) == {7}


@pytest.mark.parametrize("wrong", [{"episodes": 0}, {"trials": 0}, {"stones": 0}, {"potions": 0}, {"level": "nowhere"}])
def test_impossible_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        generated_episodes(**{"episodes": 3, **wrong})  # type: ignore[arg-type]


@pytest.mark.parametrize("ending", [".npz", ".json"])
def test_saved_episodes_come_back(tmp_path: Path, ending: str) -> None:
    episodes = generated_episodes(9, level="rotation-random-bottleneck")
    path = episodes.save(tmp_path / f"episodes{ending}")
    assert same(load_episodes(path), episodes)


def test_other_endings_and_places_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="npz"):
        generated_episodes(1).save(tmp_path / "episodes.txt")
    (tmp_path / "file").write_text("")
    with pytest.raises((PerceptsError, OSError)):
        generated_episodes(1).save(tmp_path / "file" / "episodes.npz")


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = generated_episodes(3).save(tmp_path / "episodes.npz")
    (tmp_path / "cut.npz").write_bytes(path.read_bytes()[:-40])
    # The first file's entry in the directory of the archive asks for a version of ZIP that there is not.
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 6] = 250
    (tmp_path / "version.npz").write_bytes(data)
    (tmp_path / "text.npz").write_text("episodes")
    (tmp_path / "text.json").write_text("{")
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    for name in ("cut.npz", "version.npz", "text.npz", "text.json", "list.json", "bytes.json", "missing.npz"):
        with pytest.raises(DataError):
            load_episodes(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("graph", [0, 109, 1]),
        ("rotation", [0, 0]),
        ("stone_map", [0.5, 0, 0]),
        ("potions", [[[0]], [[1], [2]], [[3]]]),
        ("stones", [[[8]] * 10] * 3),
        ("potions", None),
    ],
)
def test_wrong_numbers_are_refused(tmp_path: Path, name: str, value: object) -> None:
    path = generated_episodes(3).save(tmp_path / "episodes.json")
    content = json.loads(path.read_text())
    if value is None:
        del content[name]
    else:
        content[name] = value
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=name if name != "rotation" else "sizes"):
        load_episodes(path)


def test_a_table_plays_them() -> None:
    episodes = generated_episodes(4)
    table = Table.Config(level="random-bottleneck").build()
    state = table.play(episodes)
    torch.testing.assert_close(state.stones, episodes.stones[:, 0])
    for _ in range(20):
        state, _ = table.step(state, torch.zeros(4, dtype=torch.int64))
    torch.testing.assert_close(state.potions, episodes.potions[:, 1])


def test_published_episodes_in_our_numbers(tmp_path: Path) -> None:
    trials = (((0, 7, 3), (5, 3, 1)), ((2, 1, 1), (0, 0, 4)))
    path = tmp_path / "chemistries"
    bottleneck = (2, 4, 6, 4, 6, 0, 6, 6, 2, 4, 4, 0)
    path.write_bytes(episode(trials=trials) + episode(edges=bottleneck, angles=(0.0, -45.0, 0.0), trials=trials))
    found = published_episodes(path)
    tables = chemistry_tables()
    assert tables.edges[found.chemistry.graph[0]].all()
    assert tables.edges[found.chemistry.graph[1]].tolist() == [value > 0 for value in bottleneck]
    assert found.chemistry.potion_map.tolist() == [20, 20]
    assert found.chemistry.rotation.tolist() == [0, 2]
    assert found.stones[0].tolist() == [[0, 7, 3], [2, 1, 1]]
    assert found.potions[1].tolist() == [[5, 3, 1], [0, 0, 4]]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"edges": EDGES[:11]}, "edges"),
        ({"edges": (4, *EDGES[1:])}, "edges"),
        ({"edges": (0,) * 12}, "edges"),
        ({"angles": (0.0, 30.0, 0.0)}, "angles"),
        ({"angles": (0.0,)}, "angles"),
        ({"potion_map": 48}, "potion_map"),
        ({"trials": (((0,), (6,)),)}, "potions"),
        ({"trials": ()}, "stones"),
    ],
)
def test_published_episodes_that_are_none_are_refused(tmp_path: Path, wrong: dict[str, object], words: str) -> None:
    path = tmp_path / "chemistries"
    path.write_bytes(episode(**wrong))  # type: ignore[arg-type]
    with pytest.raises(DataError, match=words):
        published_episodes(path)


def test_npz_files_hold_no_pickles(tmp_path: Path) -> None:
    path = tmp_path / "episodes.npz"
    np.savez(path, graph=np.array([{}], dtype=object))
    with pytest.raises(DataError):
        load_episodes(path)
