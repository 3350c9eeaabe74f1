"""A ring of rows, and nested state as files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from percepts.agents.cobra.replay import Replay
from percepts.agents.snapshots import PLAIN, TENSORS, read_snapshot, tensors_of, with_tensors_of, write_snapshot
from percepts.core.errors import CheckpointError, ConfigError, DataError


def rows(start: int, count: int) -> dict[str, Tensor]:
    number = torch.arange(start, start + count)
    return {"number": number, "image": (number[:, None, None] % 256).to(torch.uint8).expand(-1, 2, 3)}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class TestReplay:
    def test_rows_come_out_as_they_went_in(self) -> None:
        replay = Replay(100)
        replay.add(rows(0, 30))
        replay.add(rows(30, 12))
        assert len(replay) == 42
        batch = replay.sample(500, generator())
        assert set(batch["number"].tolist()) == set(range(42))
        assert batch["image"].dtype == torch.uint8
        assert torch.equal(batch["image"][:, 1, 2].long(), batch["number"])

    @pytest.mark.parametrize("sizes", [(10, 10, 10), (7, 7, 7, 7), (3, 26), (25,), (8, 1, 16)])
    def test_the_newest_rows_are_kept(self, sizes: tuple[int, ...]) -> None:
        replay, total = Replay(8), 0
        for size in sizes:
            replay.add(rows(total, size))
            total += size
        assert len(replay) == 8
        assert sorted(replay.rows()["number"].tolist()) == list(range(total - 8, total))

    def test_samples_are_uniform_and_a_function_of_the_generator(self) -> None:
        replay = Replay(10)
        replay.add(rows(0, 10))
        counts = torch.bincount(replay.sample(10_000, generator())["number"], minlength=10)
        assert (counts - 1000).abs().max() < 150
        assert torch.equal(replay.sample(9, generator(4))["number"], replay.sample(9, generator(4))["number"])

    def test_what_is_kept_is_a_copy(self) -> None:
        replay, given = Replay(4), rows(0, 4)
        replay.add(given)
        given["number"][:] = -1
        assert replay.rows()["number"].tolist() == [0, 1, 2, 3]

    @pytest.mark.parametrize("added", [0, 5, 8, 21])
    def test_a_state_goes_on_as_the_first_would(self, added: int) -> None:
        first, second = Replay(8), Replay(8)
        for start in range(added):
            first.add(rows(start, 1))
        second.load_state_dict(first.state_dict())
        for replay in (first, second):
            replay.add(rows(added, 3))
        assert len(first) == len(second)
        for name, value in first.rows().items():
            assert torch.equal(second.rows()[name], value)
        assert torch.equal(first.sample(5, generator())["number"], second.sample(5, generator())["number"])

    def test_rows_have_to_fit(self) -> None:
        replay = Replay(4)
        with pytest.raises(DataError, match="empty replay"):
            replay.sample(1, generator())
        with pytest.raises(DataError, match="lengths"):
            replay.add({})
        with pytest.raises(DataError, match="lengths"):
            replay.add({"a": torch.zeros(2), "b": torch.zeros(3)})
        replay.add(rows(0, 2))
        for wrong in (
            {"number": torch.zeros(1, dtype=torch.int64)},
            {**rows(0, 1), "more": torch.zeros(1)},
            {**rows(0, 1), "number": torch.zeros(1)},
            {**rows(0, 1), "number": torch.zeros(1, 2, dtype=torch.int64)},
        ):
            with pytest.raises(DataError, match="differ from the first ones in"):
                replay.add(wrong)
        assert len(replay) == 2

    def test_bad_capacities_and_states(self) -> None:
        with pytest.raises(ConfigError, match="capacity 0"):
            Replay(0)
        replay = Replay(4)
        replay.add(rows(0, 3))
        state = replay.state_dict()
        with pytest.raises(CheckpointError, match="capacity 4"):
            Replay(5).load_state_dict(state)
        for damage in ({"added": 9}, {"added": 0}, {"rows": {}}):
            with pytest.raises(CheckpointError, match="damaged"):
                Replay(4).load_state_dict({**state, **damage})


STATE: dict[str, Any] = {
    "step": 3,
    "median": None,
    "rate": 0.1,
    "name": "x",
    "replay": {"rows": {"a": torch.arange(5), "b": torch.rand(2, 3)}, "empty": {}},
    "list": [1, torch.tensor(2.5), [True, torch.zeros(0, 4)]],
}


class TestSnapshots:
    def test_a_round_trip(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path / "one", STATE, "test")
        found = read_snapshot(tmp_path / "one", "test")
        assert same(found, STATE)
        assert {path.name for path in (tmp_path / "one").iterdir()} == {PLAIN, TENSORS}

    def test_an_earlier_one_is_replaced_as_a_whole(self, tmp_path: Path) -> None:
        write_snapshot(tmp_path / "one", STATE, "test")
        write_snapshot(tmp_path / "one", {"step": 4}, "test")
        assert read_snapshot(tmp_path / "one", "test") == {"step": 4}
        assert [path.name for path in tmp_path.iterdir()] == ["one"]

    def test_damage_is_found(self, tmp_path: Path) -> None:
        folder = write_snapshot(tmp_path / "one", STATE, "test")
        with pytest.raises(CheckpointError, match="'test'"):
            read_snapshot(folder, "something else")
        whole = (folder / TENSORS).read_bytes()
        (folder / TENSORS).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(CheckpointError, match="damaged"):
            read_snapshot(folder, "test")
        (folder / TENSORS).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(CheckpointError, match="cannot read"):
            read_snapshot(folder, "test")
        (folder / TENSORS).write_bytes(whole)
        plain = json.loads((folder / PLAIN).read_text())
        (folder / PLAIN).write_text(json.dumps({**plain, "format": 99}))
        with pytest.raises(CheckpointError, match="format 99"):
            read_snapshot(folder, "test")
        for text in ("", "[]", '{"kind": "test"}'):
            (folder / PLAIN).write_text(text)
            with pytest.raises(CheckpointError, match=PLAIN):
                read_snapshot(folder, "test")
        with pytest.raises(CheckpointError, match="no readable"):
            read_snapshot(tmp_path / "none", "test")

    def test_tensors_of_dataclasses(self) -> None:
        first = Outer(torch.arange(3), Inner(torch.rand(2)), "first")
        second = Outer(torch.zeros(3, dtype=torch.int64), Inner(torch.zeros(2)), "second")
        tensors = tensors_of(first)
        assert tensors.keys() == {"value", "inner"}
        restored = with_tensors_of(second, tensors)
        assert restored.name == "second"
        assert torch.equal(restored.value, first.value)
        assert torch.equal(restored.inner.part, first.inner.part)
        restored.value[0] = 9
        assert first.value[0] == 0
        with pytest.raises(CheckpointError, match="value"):
            with_tensors_of(second, {**tensors, "value": torch.zeros(4, dtype=torch.int64)})
        with pytest.raises(CheckpointError, match="inner"):
            with_tensors_of(second, {"value": first.value})


@dataclass(frozen=True)
class Inner:
    part: Tensor


@dataclass(frozen=True)
class Outer:
    value: Tensor
    inner: Inner
    name: str


def same(one: Any, two: Any) -> bool:
    if isinstance(one, Tensor):
        return isinstance(two, Tensor) and one.dtype == two.dtype and torch.equal(one, two)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(two) and all(map(same, one, two))
    return one == two and type(one) is type(two)
