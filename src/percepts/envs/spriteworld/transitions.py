"""What an agent does in arenas, written on disk: (o, a, o', r, ends) by rows, in shards.

    envs = gymnasium.make_vec("Spriteworld/Sorting-v0", num_envs=64, keys=("image", "factors", "present"))
    shards = record(envs, agent.act, steps=100_000, folder=Path("sorting"), seed=0, agent="greedy")
    shards.take(torch.tensor([5, 17]), ("observation.image", "action", "reward", "next.image"))

Recording that was stopped goes on where it was: the arenas and what the agent remembers are kept beside the shards, as
tensors and JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor

from percepts import __version__
from percepts.core.capabilities import Batch
from percepts.core.config import to_json
from percepts.core.errors import CapabilityError, ConfigError
from percepts.core.files import write_bytes
from percepts.core.progress import ProgressLine
from percepts.core.random import derive_seed
from percepts.data.mapped import fingerprint
from percepts.data.shard_writing import Block, grow
from percepts.data.shards import Shards
from percepts.envs.spriteworld.arena import ArenaState, Outcome
from percepts.envs.spriteworld.nested import filled, taken_apart
from percepts.envs.spriteworld.observations import Screen, backdrop

if TYPE_CHECKING:
    from percepts.envs.spriteworld.vector import SpriteworldVectorEnv

Act = Callable[[Mapping[str, Tensor], Any], tuple[Tensor, Any]]
"""An agent: from observations and what it remembers (None at first) to actions and what it remembers then."""


def record(
    envs: SpriteworldVectorEnv,
    act: Act,
    steps: int,
    folder: Path | str,
    seed: int = 0,
    agent: str = "",
    rows_per_shard: int = 4096,
) -> Shards:
    """Write the first `steps` transitions of an agent in B arenas, one row each, step by step.

    Fields: `observation.KEY` and `next.KEY` for what the environment shows, `action`, `reward` float64, `terminated`,
    `truncated` and `success` bool, `hit` int64 (the sprite that the action found, from 0; -1 for none), `motion`
    float64 [2], and `arena`, `episode` and `time` int64: which transition of which episode in which arena. The last
    transition of an episode shows its last frame; the next one of the arena begins another.

    Args:
        envs: whose arenas and observations; it is not stepped, and how it begins anew does not matter.
        act: the agent. The rows are a function of the seed if its actions are one of what it sees and remembers.
        steps: rows that are wanted; more are written after fewer.
        folder: of the shards.
        seed: of the arenas.
        agent: what tells this agent from others: transitions of another one in the folder are thrown away.
        rows_per_shard: about; so many are done again at most when recording that was stopped goes on.

    Raises:
        ConfigError: no steps.
        DataError: actions that are none.
        PerceptsError: the disk is full or not writable; finished shards stay.
    """
    if steps < 1 or rows_per_shard < 1:
        raise ConfigError(f"steps = {steps}, rows_per_shard = {rows_per_shard}", "1 or more")
    folder = Path(folder)
    whole = -(-rows_per_shard // envs.num_envs) * envs.num_envs  # Whole steps of all arenas.
    key = fingerprint([__version__, to_json(envs.config), envs.num_envs, seed, agent, whole, "transitions"])
    recorder = _Recorder(envs, act, steps, folder, seed, key, whole)
    grow(folder, key, steps, recorder.blocks, rows_per_shard=whole)
    return Shards(folder, steps)


@dataclass
class _Progress:
    """Where recording is: all that the rows from `row` on depend on."""

    row: int
    state: ArenaState
    memory: Any
    episodes: Tensor


class _Recorder:
    """Plays, and keeps its progress beside the shards."""

    def __init__(
        self, envs: SpriteworldVectorEnv, act: Act, steps: int, folder: Path, seed: int, key: str, whole: int
    ) -> None:
        self.arena, self.observer, self.count = envs.arena, envs.observer, envs.num_envs
        self.act, self.steps, self.folder, self.key, self.whole = act, steps, folder, key, whole
        self.seeds = [derive_seed(seed, "recording", number) for number in range(self.count)]
        self.screen = Screen(self.observer)

    def blocks(self, start: int) -> Iterator[Block]:
        """The rows from `start` on, one step of all arenas at a time."""
        at = self._latest(start)
        line = ProgressLine(self.steps, "steps", f"recording into '{self.folder.name}'", start=start)
        try:
            seen = self._now(at)
            while at.row < self.steps:
                if at.row % self.whole == 0 and at.row > start:
                    self._keep(at)
                action, memory = self.act(seen, at.memory)
                time, episodes = at.state.time, at.episodes
                state, outcome = self.arena.step(at.state, action)
                rows = self._rows(seen, action, outcome, time, episodes)
                at = _Progress(at.row + self.count, state, memory, episodes)
                after = self._look(at, outcome.success)
                rows |= {f"next.{name}": value for name, value in after.items()}
                seen = self._anew(at, after, outcome)
                if at.row > start:
                    yield {name: _array(value) for name, value in rows.items()}
                    line.update(min(at.row, self.steps), force=at.row >= self.steps)
        finally:
            line.close()

    def _rows(self, seen: Batch, action: Tensor, outcome: Outcome, time: Tensor, episodes: Tensor) -> Batch:
        return {
            **{f"observation.{name}": value for name, value in seen.items()},
            "action": action,
            "reward": outcome.reward,
            "terminated": outcome.terminated,
            "truncated": outcome.truncated,
            "success": outcome.success,
            "hit": outcome.hit,
            "motion": outcome.motion,
            "arena": torch.arange(self.count),
            "episode": episodes.clone(),
            "time": time,
        }

    def _anew(self, at: _Progress, after: Batch, outcome: Outcome) -> Batch:
        """What is seen next: where an episode has ended, the beginning of another."""
        ended = outcome.terminated | outcome.truncated
        if not bool(ended.any()):
            return after
        at.state = self.arena.restart(at.state, ended)
        at.episodes = at.episodes + ended.long()
        return self._look(at, torch.where(ended, at.state.solved_at_start, outcome.success))

    def _now(self, at: _Progress) -> Batch:
        """What is seen where recording goes on."""
        return self._look(at, self.arena.config.task.judge(at.state.sprites).success)

    def _look(self, at: _Progress, success: Tensor) -> Batch:
        grey = None
        if self.observer.background == "random_grey":
            grey = backdrop(self.seeds, at.episodes.tolist())
        return self.screen.observe(at.state.sprites, success, grey)

    def _first(self) -> _Progress:
        return _Progress(0, self.arena.reset(self.seeds), None, torch.zeros(self.count, dtype=torch.int64))

    def _latest(self, start: int) -> _Progress:
        """The progress kept at row `start` or before, or the beginning."""
        first = self._first()
        for path in sorted(self.folder.glob("progress-*.safetensors"), reverse=True):
            if _row_of(path) <= start and (at := self._read(path, first)):
                return at
        return first

    def _keep(self, at: _Progress) -> None:
        """Write where recording is; all rows before are in finished shards."""
        tensors: dict[str, Tensor] = {}
        try:
            plain = taken_apart({"state": at.state, "memory": at.memory, "episodes": at.episodes}, tensors)
        except CapabilityError:
            return  # The agent remembers what cannot be written: recording that goes on plays all of it again.
        head = {"key": self.key, "plain": json.dumps(plain)}
        path = self.folder / f"progress-{at.row:012d}.safetensors"
        write_bytes(
            path, safetensors.torch.save({name: one.contiguous().clone() for name, one in tensors.items()}, head)
        )
        for other in self.folder.glob("progress-*.safetensors"):
            if other != path:
                other.unlink(missing_ok=True)

    def _read(self, path: Path, first: _Progress) -> _Progress | None:
        """What `_keep` wrote; None where it is another recording's, damaged, or the agent remembers other things."""
        try:
            with safetensors.safe_open(path, "pt") as file:
                head = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
            if head.get("key") != self.key:
                return None
            plain = json.loads(head["plain"])
            parts: dict[str, Any] = {"state": first.state, "episodes": first.episodes}
            parts = {name: filled(value, plain, tensors, f"/{name}") for name, value in parts.items()}
            at = _Progress(_row_of(path), parts["state"], None, parts["episodes"])
            # What the agent remembers has the form of what it remembers after a step.
            _, memory = self.act(self._now(at), None)
            at.memory = filled(memory, plain, tensors, "/memory")
            return at
        except (OSError, ValueError, KeyError, safetensors.SafetensorError, CapabilityError):
            return None


def _row_of(path: Path) -> int:
    digits = path.stem.removeprefix("progress-")
    return int(digits) if digits.isdigit() else 1 << 62


def _array(value: Tensor) -> NDArray[Any]:
    return np.ascontiguousarray(value.detach().cpu().numpy())
