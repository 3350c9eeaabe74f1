"""One arena with the interface of dm_env (Muldal et al. 2019), without that package.

    environment = DmEnvironment(SpriteworldEnv("sorting"), seed=0)
    step = environment.reset()
    while not step.last():
        step = environment.step(action)             # step.reward, step.discount, step.observation

As in Spriteworld (Watters et al. 2019): the first step has neither reward nor discount, the discount is 0 at every end,
for lack of time as well, and a step after an end, or before the first reset, is a reset. What `compat` gives is the
original itself; this is the modern environment.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from percepts.core.errors import DataError
from percepts.core.optional import require_package
from percepts.envs.spriteworld.compat import StepType, TimeStep
from percepts.envs.spriteworld.env import SpriteworldEnv

require_package("gymnasium", extra="envs")

from gymnasium import spaces  # noqa: E402

__all__ = ["DmEnvironment", "Spec", "StepType", "TimeStep"]


@dataclass(frozen=True, eq=False)
class Spec:
    """What an array is like, as dm_env's `BoundedArray` says it.

    Attributes:
        shape: of the array.
        dtype: of its elements.
        minimum, maximum: the bounds, included; arrays that broadcast to the shape.
        name: of the array.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    minimum: NDArray[Any]
    maximum: NDArray[Any]
    name: str | None = None

    @classmethod
    def of(cls, space: spaces.Space[Any], name: str | None = None) -> Self:
        """That of the elements of a Gymnasium space of arrays or whole numbers.

        Raises:
            DataError: a space of something else.
        """
        if isinstance(space, spaces.Box):
            low, high = space.low, space.high
        elif isinstance(space, spaces.Discrete):
            low, high = space.start, space.start + space.n - 1
        elif isinstance(space, spaces.MultiDiscrete):
            low, high = space.start, space.start + space.nvec - 1
        elif isinstance(space, spaces.MultiBinary):
            low, high = np.asarray(0, np.int8), np.asarray(1, np.int8)
        else:
            raise DataError(f"the space {space}", "one of arrays or whole numbers")
        return cls(space.shape or (), np.dtype(space.dtype), np.asarray(low), np.asarray(high), name)

    def validate(self, value: Any) -> NDArray[Any]:
        """The value as an array.

        Raises:
            DataError: another shape or type, or elements out of bounds.
        """
        found = np.asarray(value)
        if found.shape != self.shape or found.dtype != self.dtype:
            got = f"{found.dtype} {list(found.shape)} for {self.name or 'an array'}"
            raise DataError(got, f"{self.dtype} {list(self.shape)}")
        # Of a NaN neither is true.
        if not ((found >= self.minimum) & (found <= self.maximum)).all():
            raise DataError(f"elements out of bounds in {self.name or 'an array'}", f"{self.minimum} to {self.maximum}")
        return found

    def generate_value(self) -> NDArray[Any]:
        """Some array that conforms."""
        return np.full(self.shape, np.broadcast_to(self.minimum, self.shape), self.dtype)


class DmEnvironment:
    """An environment with dm_env's `reset`, `step` and specifications.

    Args:
        environment: what is played; it must not be stepped by others.
        seed: of its stream of scenes and noise; a random one by default.
    """

    def __init__(self, environment: SpriteworldEnv, seed: int | None = None) -> None:
        self.environment = environment
        self._seed = seed
        self._over = True

    def reset(self) -> TimeStep:
        """Begin an episode: the first of the seed's stream, then the next ones."""
        observation, _ = self.environment.reset(seed=self._seed)
        self._seed, self._over = None, False
        return TimeStep(StepType.FIRST, None, None, observation)

    def step(self, action: Any) -> TimeStep:
        """Act once; after the end of an episode, or before the first, begin one and ignore the action.

        Raises:
            DataError: an action that is none.
        """
        if self._over:
            return self.reset()
        observation, reward, terminated, truncated, _ = self.environment.step(action)
        self._over = terminated or truncated
        if self._over:
            return TimeStep(StepType.LAST, reward, 0.0, observation)
        return TimeStep(StepType.MID, reward, 1.0, observation)

    def observation_spec(self) -> dict[str, Spec]:
        """Of everything in an observation, by name."""
        space = self.environment.observation_space
        assert isinstance(space, spaces.Dict)
        return {name: Spec.of(part, name) for name, part in space.items()}

    def action_spec(self) -> Spec:
        """Of an action."""
        return Spec.of(self.environment.action_space, "action")

    def reward_spec(self) -> Spec:
        """Of a reward."""
        return Spec((), np.dtype(float), np.asarray(-np.inf), np.asarray(np.inf), "reward")

    def discount_spec(self) -> Spec:
        """Of a discount."""
        return Spec((), np.dtype(float), np.asarray(0.0), np.asarray(1.0), "discount")

    def close(self) -> None:
        """Close the environment."""
        self.environment.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
