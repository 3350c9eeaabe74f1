"""What agents do, on disk: the rows are the transitions, and recording that was stopped goes on to the same bits."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from percepts.core.errors import CapabilityError, ConfigError, DataError
from percepts.core.random import derive_seed
from percepts.data.shards import Shards
from percepts.envs.spriteworld.configs import task_config
from percepts.envs.spriteworld.env import SpriteworldEnv
from percepts.envs.spriteworld.nested import filled, taken_apart
from percepts.envs.spriteworld.recording import object_clicks
from percepts.envs.spriteworld.state import Sprites
from percepts.envs.spriteworld.transitions import Act, record
from percepts.envs.spriteworld.vector import SpriteworldVectorEnv
from percepts.envs.streams import Streams


@dataclasses.dataclass(frozen=True)
class Memory:
    """What the agent below remembers."""

    streams: Streams
    seen: Tensor
    counts: dict[str, int]


def clicker(stop: int | None = None, calls: list[int] | None = None) -> Act:
    """Clicks on sprites by random streams, with a drift by what was seen before; fails at a step if told so."""

    def act(observation: Mapping[str, Tensor], memory: Memory | None) -> tuple[Tensor, Memory]:
        if memory is None:
            memory = Memory(Streams.of(range(4), "clicker"), torch.zeros(4), {"steps": 0})
        if calls is not None:
            calls.append(memory.counts["steps"])
        if memory.counts["steps"] == stop:
            raise KeyboardInterrupt
        sprites = Sprites.of(observation["factors"].double(), observation["present"])
        action, streams = object_clicks(task_config("sorting").arena.actions, sprites, memory.streams)
        action[:, 2] = (action[:, 2] + memory.seen) % 1
        seen = observation["factors"][:, 0, 0]
        return action, Memory(streams, seen, {"steps": memory.counts["steps"] + 1})

    return act


def arenas(keys: Any = ("factors", "present", "success"), **observer: Any) -> SpriteworldVectorEnv:
    """Four, with short episodes."""
    config = task_config("goal-finding-new-position", keys=keys, **observer)
    task = dataclasses.replace(config.arena.task, terminate_distance=0.25)
    arena = dataclasses.replace(config.arena, task=task, max_episode_length=7)
    return SpriteworldVectorEnv(4, dataclasses.replace(config, arena=arena))


def rows(shards: Shards) -> dict[str, Tensor]:
    return shards.take(torch.arange(len(shards)), tuple(shards.plan.fields))


def assert_same_rows(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert value.dtype == other[name].dtype, name
        assert torch.equal(value, other[name]), name


def test_rows_are_what_happens_in_single_environments(tmp_path: Path) -> None:
    envs = arenas()
    found = rows(record(envs, clicker(), 120, tmp_path, seed=3))
    assert {len(value) for value in found.values()} == {120}
    for arena in range(4):
        env = SpriteworldEnv(envs.config)
        own = {name: value[found["arena"] == arena] for name, value in found.items()}
        assert len(own["action"]) == 30
        observation, _ = env.reset(seed=derive_seed(3, "recording", arena))
        episode = time = 0
        for row in range(30):
            assert (int(own["episode"][row]), int(own["time"][row])) == (episode, time)
            for name, value in observation.items():
                assert np.array_equal(own[f"observation.{name}"][row].numpy().reshape(value.shape), value)
            observation, reward, terminated, truncated, info = env.step(own["action"][row])
            for name, value in observation.items():
                assert np.array_equal(own[f"next.{name}"][row].numpy().reshape(value.shape), value)
            told = reward, terminated, truncated, info["success"], info["hit_sprite"]
            assert (
                tuple(own[name][row].item() for name in ("reward", "terminated", "truncated", "success", "hit")) == told
            )
            assert own["motion"][row].tolist() == info["motion"].tolist()
            time += 1
            if terminated or truncated:
                observation, _ = env.reset()
                episode, time = episode + 1, 0
        assert episode > 2
    assert found["terminated"].any()
    assert found["truncated"].any()


def test_images_are_bytes_and_greys_those_of_their_episodes(tmp_path: Path) -> None:
    envs = arenas(("image", "factors", "present"), height=8, width=8, background="random_grey")
    found = rows(record(envs, clicker(), 60, tmp_path))
    assert (found["observation.image"].dtype, found["next.image"].shape) == (torch.uint8, (60, 8, 8, 3))
    before, after = (found[f"{name}.image"].flatten(1).mode(1).values for name in ("observation", "next"))
    assert torch.equal(before, after)
    episodes = {(int(a), int(e)): int(g) for a, e, g in zip(found["arena"], found["episode"], before)}
    assert len(set(episodes.values())) > 5


def test_what_is_recorded_is_of_the_seed(tmp_path: Path) -> None:
    one, again, other = (
        rows(record(arenas(), clicker(), 40, tmp_path / name, seed=seed))
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert_same_rows(one, again)
    assert not torch.equal(one["reward"], other["reward"])


def test_the_environment_is_left_as_it_was(tmp_path: Path) -> None:
    envs = arenas()
    envs.reset(seed=5)
    before = envs.state
    record(envs, clicker(), 20, tmp_path)
    assert envs.state is before


@pytest.mark.parametrize("stop", [1, 5, 13])
def test_stopped_work_goes_on_to_the_same_bits(tmp_path: Path, stop: int) -> None:
    keys: Any = ("factors", "present", "success", "image")
    observer: Any = {"height": 8, "width": 8, "background": "random_grey"}
    unbroken = rows(record(arenas(keys, **observer), clicker(), 118, tmp_path / "unbroken", rows_per_shard=20))
    folder = tmp_path / "broken"
    with pytest.raises(KeyboardInterrupt):
        record(arenas(keys, **observer), clicker(stop), 118, folder, rows_per_shard=20)
    calls: list[int] = []
    shards = record(arenas(keys, **observer), clicker(None, calls), 118, folder, rows_per_shard=20)
    assert_same_rows(rows(shards), unbroken)
    # One call tells the form of what is remembered; nothing that is in finished shards is played again.
    assert calls == ([] if stop < 5 else [0]) + list(range(stop // 5 * 5, 30))


def test_a_lost_note_costs_a_shard_more(tmp_path: Path) -> None:
    unbroken = rows(record(arenas(), clicker(), 100, tmp_path / "unbroken", rows_per_shard=20))
    for wrong in ("gone", "damaged", "of another agent"):
        folder = tmp_path / wrong
        with pytest.raises(KeyboardInterrupt):
            record(arenas(), clicker(13), 100, folder, rows_per_shard=20)
        (note,) = folder.glob("progress-*")
        if wrong == "gone":
            note.unlink()
        elif wrong == "damaged":
            note.write_bytes(note.read_bytes()[:-100])
        else:
            from safetensors.torch import load_file, save_file

            save_file(load_file(note), note, {"key": "0" * 16, "plain": "{}"})
        assert_same_rows(rows(record(arenas(), clicker(), 100, folder, rows_per_shard=20)), unbroken)


def test_more_rows_go_on_after_fewer(tmp_path: Path) -> None:
    calls: list[int] = []
    record(arenas(), clicker(), 60, tmp_path / "grown", rows_per_shard=20)
    more = record(arenas(), clicker(None, calls), 100, tmp_path / "grown", rows_per_shard=20)
    assert_same_rows(rows(more), rows(record(arenas(), clicker(), 100, tmp_path / "whole", rows_per_shard=20)))
    assert min(calls[1:]) >= 10
    calls.clear()
    fewer = record(arenas(), clicker(None, calls), 30, tmp_path / "grown", rows_per_shard=20)
    assert len(fewer) == 30
    assert not calls


@pytest.mark.parametrize("change", ["agent", "seed", "arenas"])
def test_other_recordings_do_not_mix(tmp_path: Path, change: str) -> None:
    record(arenas(), clicker(), 60, tmp_path, rows_per_shard=20, agent="one")
    settings: dict[str, Any] = {"agent": "two" if change == "agent" else "one", "seed": int(change == "seed")}
    envs = arenas(("factors", "present")) if change == "arenas" else arenas()
    calls: list[int] = []
    found = rows(record(envs, clicker(None, calls), 60, tmp_path, rows_per_shard=20, **settings))
    assert calls == list(range(15))
    wanted = record(envs, clicker(), 60, tmp_path / "own", rows_per_shard=20, **settings)
    assert_same_rows(found, rows(wanted))


def test_agents_whose_memory_cannot_be_written_play_again(tmp_path: Path) -> None:
    calls: list[int] = []

    def stubborn(stop: int | None) -> Act:
        inner = clicker(stop, calls)

        def act(observation: Any, memory: Any) -> tuple[Tensor, Any]:
            action, held = inner(observation, memory() if memory else None)
            return action, lambda: held

        return act

    with pytest.raises(KeyboardInterrupt):
        record(arenas(), stubborn(8), 60, tmp_path, rows_per_shard=20)
    assert not list(tmp_path.glob("progress-*"))
    calls.clear()
    found = rows(record(arenas(), stubborn(None), 60, tmp_path, rows_per_shard=20))
    assert calls == list(range(15))
    assert_same_rows(found, rows(record(arenas(), clicker(), 60, tmp_path / "own", rows_per_shard=20)))


def test_bad_settings_and_actions(tmp_path: Path) -> None:
    for settings in ({"steps": 0}, {"steps": 5, "rows_per_shard": 0}):
        with pytest.raises(ConfigError, match="1 or more"):
            record(arenas(), clicker(), folder=tmp_path, **settings)
    with pytest.raises(DataError, match="nan"):
        record(arenas(), lambda observation, memory: (torch.full((4, 4), torch.nan), None), 10, tmp_path)
    assert len(record(arenas(), clicker(), 10, tmp_path)) == 10


class Pair(NamedTuple):
    """A named tuple."""

    one: Tensor
    other: int


@pytest.mark.parametrize(
    "value",
    [
        None,
        3,
        "word",
        torch.arange(3),
        {"a": [torch.ones(2), (1, 2.5, None)], "b": True},
        Pair(torch.zeros(1), 4),
        Memory(Streams.of([1, 2], "x"), torch.ones(2), {"steps": 3}),
    ],
)
def test_values_come_apart_and_together(value: Any) -> None:
    tensors: dict[str, Tensor] = {}
    plain = json.loads(json.dumps(taken_apart(value, tensors)))
    again = filled(value, plain, tensors)
    assert type(again) is type(value)
    assert repr(again) == repr(value)


@pytest.mark.parametrize(
    ("value", "example"),
    [
        (3, 3.0),
        (torch.ones(2), torch.ones(3)),
        (torch.ones(2), torch.ones(2).double()),
        ({"a": 1}, {"b": 1}),
        (None, 1),
    ],
)
def test_other_forms_are_not_filled(value: Any, example: Any) -> None:
    tensors: dict[str, Tensor] = {}
    plain = taken_apart(value, tensors)
    with pytest.raises(CapabilityError):
        filled(example, plain, tensors)


def test_some_values_do_not_come_apart() -> None:
    odd: list[Callable[[], Any]] = [lambda: None]
    with pytest.raises(CapabilityError, match="function at '/0'"):
        taken_apart(odd, {})
