"""Many arenas of sprites at once, in tensors: scenes, actions, physics and a task, put together.

    arena = Arena.Config(generator=scenes, task=FindGoalPosition(), actions=SelectMove(scale=0.25)).build()
    state = arena.reset(seeds=range(256))
    state, outcome = arena.step(state, action)                          # action [256, 4]
    state = arena.restart(state, outcome.terminated | outcome.truncated)

States are values: an arena draws from the random stream in its row of the state, nothing else is remembered, so that
its trajectory is a function of its seed and its actions, whatever the other arenas are.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

import torch
from jaxtyping import Bool, Float64, Int64, Num
from torch import Tensor

from percepts.core.config import Config, Configurable
from percepts.core.errors import ConfigError, DataError
from percepts.envs.rows import TensorRows
from percepts.envs.spriteworld.actions import ActionSpace, SelectMove, elsewhere
from percepts.envs.spriteworld.generators import SceneGenerator
from percepts.envs.spriteworld.physics import Drift, Physics
from percepts.envs.spriteworld.state import SHAPES, Sprites
from percepts.envs.spriteworld.tasks import NoReward, Task
from percepts.envs.streams import Streams
from percepts.rendering.shapes import Polygon

_TRIES = 1000
"""So many scenes in a row that are solved already, and the arena gives up."""

Held = TypeVar("Held", Sprites, Streams)


@dataclass(frozen=True)
class ArenaState(TensorRows):
    """Where B arenas are.

    Attributes:
        sprites: theirs.
        streams: of random numbers, for noise and the next scenes.
        time: steps in this episode.
        solved_at_start: whether the task was done in the first scene of this episode.
        finished: whether the episode is over.
    """

    sprites: Sprites
    streams: Streams
    time: Int64[Tensor, " batch"]
    solved_at_start: Bool[Tensor, " batch"]
    finished: Bool[Tensor, " batch"]

    def __len__(self) -> int:
        return len(self.time)


@dataclass(frozen=True)
class Outcome:
    """What a step brought.

    Attributes:
        reward: the task's, after the step, less the action's cost.
        terminated: whether the task is done, or a sprite's centre is out of the frame.
        truncated: whether time is up, and the episode not terminated.
        success: whether the task is done.
        hit: the number of the sprite that the action found; -1 for none.
        motion: the displacement that was meant for it, noise included.
        moved: which sprites are elsewhere than before the step.
    """

    reward: Float64[Tensor, " batch"]
    terminated: Bool[Tensor, " batch"]
    truncated: Bool[Tensor, " batch"]
    success: Bool[Tensor, " batch"]
    hit: Int64[Tensor, " batch"]
    motion: Float64[Tensor, "batch 2"]
    moved: Bool[Tensor, "batch sprites"]


class Arena(Configurable):
    """The rules of Spriteworld (Watters et al. 2019) for many arenas.

    In a step the action moves sprites, then physics does, then the task judges. The original reports every end as
    terminal; here an episode that ends for lack of time is truncated.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(Config):
        """Settings.

        Attributes:
            generator: of the scenes that episodes begin with.
            task: what is rewarded.
            actions: what can be done.
            physics: what happens by itself.
            keep_in_frame: whether centres stay in the unit square. If not, one that leaves it ends the episode.
            max_episode_length: steps after which an episode is truncated.
            reject_solved_start: scenes in which the task is done already are drawn again. The original keeps them.
            require_judged: a first scene in which the task has nothing to judge, such as one without a sprite that
                passes its filter, is an error; if not, it counts as solved.
            polygons: the user's own shapes, numbered from 13 on: their corners in order, around (0, 0), y up. A
                sprite's area is scale² times theirs.

        Raises:
            ConfigError: an episode length below 1.
            DataError: a polygon of fewer than three corners.
        """

        generator: SceneGenerator
        task: Task = field(default_factory=NoReward)
        actions: ActionSpace = field(default_factory=SelectMove)
        physics: Physics = field(default_factory=Drift)
        keep_in_frame: bool = True
        max_episode_length: int = 1000
        reject_solved_start: bool = False
        require_judged: bool = True
        polygons: tuple[tuple[tuple[float, float], ...], ...] = ()

        def __post_init__(self) -> None:
            if self.max_episode_length < 1:
                raise ConfigError(f"max_episode_length = {self.max_episode_length}", "1 or more")
            for corners in self.polygons:
                Polygon(corners)

    config: Config

    def __init__(self, config: Config) -> None:
        self.config = config

    @functools.cached_property
    def outlines(self) -> tuple[Polygon, ...]:
        """The unit shapes: Spriteworld's twelve, then the user's."""
        return (*SHAPES.values(), *(Polygon(corners) for corners in self.config.polygons))

    def reset(self, seeds: Iterable[int], device: torch.device | str = "cpu") -> ArenaState:
        """The first episode of an arena for each seed.

        Raises:
            DataError: no seeds, scenes that are all solved where that is excluded, or nothing to judge in one.
        """
        streams = Streams.of(seeds, "arena", device=device)
        if not len(streams):
            raise DataError("no seeds", "one for each arena")
        return self._begin(streams, torch.arange(len(streams), device=device))

    def restart(self, state: ArenaState, rows: Bool[Tensor, " batch"]) -> ArenaState:
        """The next episode in some of the arenas, from their own streams.

        Raises:
            DataError: `rows` that are not one bool for each arena; else as of `reset`.
        """
        if rows.dtype != torch.bool or rows.shape != state.finished.shape:
            raise DataError(f"rows of {rows.dtype} {list(rows.shape)}", f"bool [{len(state)}]")
        index = rows.nonzero()[:, 0]
        if not len(index):
            return state
        return state.put(index, self._begin(state.streams.rows(index), index))

    def step(self, state: ArenaState, action: Num[Tensor, "batch *action"]) -> tuple[ArenaState, Outcome]:
        """Act once in every arena.

        An arena whose episode is over stands still, whatever its action: its time and its stream stop, the reward is 0,
        and the outcome says again how it ended.

        Raises:
            DataError: actions that the action space refuses.
        """
        settings, before = self.config, state.sprites
        noise, streams = None, state.streams
        if settings.actions.noise_shape is not None:
            noise, streams = streams.normal(*settings.actions.noise_shape)
        applied = settings.actions.apply(before, action, noise, settings.keep_in_frame)
        after = settings.physics.advance(applied.sprites, settings.keep_in_frame)
        time, cost, hit, motion = state.time + 1, applied.cost, applied.hit, applied.motion
        over = state.finished if bool(state.finished.any()) else None
        if over is not None:
            after, streams = _held(before, after, over), _held(state.streams, streams, over)
            time = torch.where(over, state.time, time)
            hit, motion = torch.where(over, -1, hit), torch.where(over[:, None], 0.0, motion)
        judgement = settings.task.judge(after)
        reward = judgement.reward - cost
        if over is not None:
            reward = torch.where(over, 0.0, reward)
        terminated = judgement.success | after.out_of_frame.any(-1)
        truncated = (time >= settings.max_episode_length) & ~terminated
        outcome = Outcome(reward, terminated, truncated, judgement.success, hit, motion, elsewhere(before, after))
        return ArenaState(after, streams, time, state.solved_at_start, terminated | truncated), outcome

    def simulate(
        self, sprites: Sprites, action: Num[Tensor, "batch *action"]
    ) -> tuple[Sprites, Float64[Tensor, " batch"], Bool[Tensor, " batch"]]:
        """What a step without noise would bring: the true dynamics, for planners. A pure function.

        Args:
            sprites: of any number of arenas, such as every arena once for each candidate.
            action: for each of them.

        Returns:
            The sprites afterwards, the reward, and whether the task is done.

        Raises:
            DataError: actions that the action space refuses.
        """
        applied = self.config.actions.apply(sprites, action, None, self.config.keep_in_frame)
        after = self.config.physics.advance(applied.sprites, self.config.keep_in_frame)
        judgement = self.config.task.judge(after)
        return after, judgement.reward - applied.cost, judgement.success

    def _begin(self, streams: Streams, number: Int64[Tensor, " batch"]) -> ArenaState:
        """A new episode for every stream; `number` is what errors call the arenas."""
        sprites, solved, streams = self._scenes(streams, number)
        if self.config.reject_solved_start:
            sprites, solved, streams = self._unsolved(sprites, solved, streams, number)
        return ArenaState(sprites, streams, torch.zeros_like(streams.count), solved, torch.zeros_like(solved))

    def _unsolved(
        self, sprites: Sprites, solved: Bool[Tensor, " batch"], streams: Streams, number: Int64[Tensor, " batch"]
    ) -> tuple[Sprites, Bool[Tensor, " batch"], Streams]:
        """The scenes with solved ones drawn again, row by row until there is none."""
        rows = solved.nonzero()[:, 0]
        for _ in range(_TRIES):
            if not len(rows):
                return sprites, torch.zeros_like(solved), streams
            again, still, advanced = self._scenes(streams.rows(rows), number[rows])
            sprites, streams = sprites.put(rows, again), streams.put(rows, advanced)
            rows = rows[still]
        raise DataError(
            f"{_TRIES} scenes in a row that are solved already, in arena {int(number[rows[0]])}",
            "a generator and a task that leave something to do",
            "reject_solved_start=False",
        )

    def _scenes(
        self, streams: Streams, number: Int64[Tensor, " batch"]
    ) -> tuple[Sprites, Bool[Tensor, " batch"], Streams]:
        """A scene for every stream, and whether it is solved."""
        factors, present, streams = self.config.generator.sample(streams)
        sprites = Sprites.of(factors, present, self.outlines)
        judgement = self.config.task.judge(sprites)
        if self.config.require_judged and not bool(judgement.judged.all()):
            row = int((~judgement.judged).nonzero()[0])
            raise DataError(
                f"a scene of {int(present[row].sum())} sprites leaves the task nothing to judge in arena {number[row]}",
                "sprites that pass its filters",
                "another generator or task, or require_judged=False",
            )
        return sprites, judgement.success, streams


def _held(before: Held, after: Held, over: Bool[Tensor, " batch"]) -> Held:
    """`after` with the rows `over` as they were."""
    changed: dict[str, Any] = {}
    for part in fields(before):
        old, new = getattr(before, part.name), getattr(after, part.name)
        if isinstance(old, Tensor) and old is not new:
            changed[part.name] = torch.where(over.view(-1, *[1] * (old.ndim - 1)), old, new)
    return replace(after, **changed)
