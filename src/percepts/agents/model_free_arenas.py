"""Spriteworld's arenas as stable-baselines3 wants them: its `VecEnv` over our vector environment.

    arenas = SpriteworldVectorEnv(8, "sorting", autoreset_mode="SameStep", keys=view.observes)
    stable_baselines3.SAC("MlpPolicy", LearnerArenas(arenas, view))

An episode that ended for lack of time is told apart from one that is over (`TimeLimit.truncated`), so that learners
bootstrap from what was seen last (`terminal_observation`). The original package reports both as terminal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from percepts.agents.model_free_learners import AGAINST_DIVERGENCE
from percepts.agents.model_free_views import View
from percepts.agents.snapshots import tensors_of, with_tensors_of
from percepts.core.errors import CapabilityError, CheckpointError, ConfigError, NonFiniteError
from percepts.core.optional import require_package
from percepts.core.random import derive_seed

require_package("stable_baselines3", extra="rl")
require_package("gymnasium", extra="rl")

from gymnasium import spaces  # noqa: E402
from gymnasium.vector import AutoresetMode  # noqa: E402
from stable_baselines3.common.vec_env import VecEnv  # noqa: E402

from percepts.envs.spriteworld.vector import Arenas, SpriteworldVectorEnv  # noqa: E402

Arrays = Mapping[str, NDArray[Any]]


class LearnerArenas(VecEnv):
    """B arenas, seen in one way, with actions in [-1, 1] where they are numbers.

    `infos` hold, for an arena whose episode ended with the step: `terminal_observation`; `TimeLimit.truncated`, whether
    it ended for lack of time only; `is_success`; and `episode`, with the return r (not scaled) and the length l.

    Args:
        arenas: begin anew in the same step.
        view: what learners see of them; the arenas observe what it needs.
        reward_scale: rewards are multiplied by this.

    Raises:
        ConfigError: another autoreset mode, observations without what the view needs, or a scale that is not above 0.
    """

    def __init__(self, arenas: SpriteworldVectorEnv, view: View, reward_scale: float = 1.0) -> None:
        if arenas.autoreset_mode != AutoresetMode.SAME_STEP:
            raise ConfigError(
                f"arenas with autoreset_mode = {arenas.autoreset_mode.value!r}", fix="autoreset_mode='SameStep'"
            )
        if not set(view.observes) <= set(arenas.observer.keys):
            raise ConfigError(f"arenas that show {', '.join(arenas.observer.keys)}", fix=f"keys={view.observes}")
        if not (np.isfinite(reward_scale) and reward_scale > 0):
            raise ConfigError(f"reward_scale = {reward_scale}", "a positive number")
        self.arenas, self.view, self.reward_scale = arenas, view, reward_scale
        self._actions: NDArray[Any] | None = None
        self._returns = np.zeros(arenas.num_envs)
        self._lengths = np.zeros(arenas.num_envs, np.int64)
        super().__init__(arenas.num_envs, view.space, even_space(arenas.single_action_space))

    def reset(self) -> NDArray[Any]:  # type: ignore[override]
        """Begin episodes, with the seeds of `seed` if it was called since the last time."""
        if any(self._options):
            raise ConfigError("options of a reset for learners", fix="arenas.reset(options=...)")
        observation, _ = self.arenas.reset(seed=self._seeds)
        self._reset_seeds()
        self._returns[:], self._lengths[:] = 0, 0
        return self._seen(observation)

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Seeds for the next reset, one for each arena; runs with neighbouring seeds have no arena in common."""
        if seed is None:
            return super().seed(seed)
        self._seeds = [derive_seed(seed, "learner arena", row) for row in range(self.num_envs)]
        return self._seeds

    def step_async(self, actions: NDArray[Any]) -> None:
        """Take the actions of the next step."""
        self._actions = np.asarray(actions)

    def step_wait(self) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:  # type: ignore[override]
        """Make the step."""
        assert self._actions is not None, "step_async comes first"
        native = native_actions(self._actions, self.arenas.single_action_space)
        observation, reward, terminated, truncated, facts = self.arenas.step(native)
        ended = terminated | truncated
        self._returns += reward
        self._lengths += 1
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if ended.any():
            rows = np.flatnonzero(ended).tolist()
            for row, last in zip(rows, self._seen(_stacked([facts["final_obs"][row] for row in rows]))):
                infos[row] = {
                    "terminal_observation": last,
                    "TimeLimit.truncated": bool(truncated[row] and not terminated[row]),
                    "is_success": bool(facts["final_info"]["success"][row]),
                    "episode": {"r": float(self._returns[row]), "l": int(self._lengths[row])},
                }
            self._returns[ended], self._lengths[ended] = 0, 0
        # A copy of its own: PPO adds to the rewards.
        scaled = (reward * self.reward_scale).astype(np.float32)
        return self._seen(observation), scaled, ended, infos

    def _seen(self, observation: Arrays) -> NDArray[Any]:
        tensors = {key: torch.from_numpy(value) for key, value in observation.items()}
        if "present" in tensors:
            tensors["present"] = tensors["present"].bool()
        return self.view.of(tensors).numpy()

    def state_dict(self) -> dict[str, Any]:
        """Where the arenas are: tensors and plain values.

        Raises:
            DataError: before the first reset.
        """
        return {
            "arenas": tensors_of(self.arenas.state),
            "seeds": list(self.arenas.seeds),
            "episodes": torch.from_numpy(self.arenas.episodes),
            "returns": torch.from_numpy(self._returns.copy()),
            "lengths": torch.from_numpy(self._lengths.copy()),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where the arenas of `state_dict` were.

        Raises:
            CheckpointError: they were of other kinds, or another number.
        """
        if len(state["seeds"]) != self.num_envs:
            raise CheckpointError(f"the state of {len(state['seeds'])} arenas", f"that of {self.num_envs}")
        template = self.arenas.arena.reset(state["seeds"])
        resumed = with_tensors_of(template, state["arenas"])
        self.arenas.go_on(Arenas(resumed, tuple(state["seeds"]), state["episodes"].clone()))
        self._returns, self._lengths = state["returns"].numpy().copy(), state["lengths"].numpy().copy()
        self._reset_seeds()

    def close(self) -> None:
        """Nothing is open."""

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """The pictures of the arenas."""
        return self.arenas.render() or [None] * self.num_envs

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """An attribute of the vector environment, once for each arena."""
        return [getattr(self.arenas, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Not possible: arenas are not objects of their own."""
        raise CapabilityError(f"setting '{attr_name}' of single arenas", "another configuration of all of them")

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """Not possible: arenas are not objects of their own."""
        raise CapabilityError(f"calling '{method_name}' of single arenas", "a method of `arenas`, which is all of them")

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """None of them is."""
        return [False for _ in self._get_indices(indices)]


def even_space(space: spaces.Space[Any]) -> spaces.Space[Any]:
    """The action space of learners: [-1, 1] for numbers, since a fresh policy's are around 0; others as they are."""
    return spaces.Box(-1.0, 1.0, space.shape, np.float32) if isinstance(space, spaces.Box) else space


def native_actions(actions: NDArray[Any], space: spaces.Space[Any]) -> NDArray[Any]:
    """Actions of `even_space(space)` as elements of `space`.

    Args:
        actions: [B, ...].
        space: of one arena.

    Raises:
        NonFiniteError: an action is NaN or infinite, as a policy's are whose finite weights grew too large.
    """
    if not isinstance(space, spaces.Box):
        return actions
    if not np.isfinite(actions).all():
        raise NonFiniteError("the policy's actions became NaN or infinite", fix=AGAINST_DIVERGENCE)
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    return np.clip(low + (actions.astype(np.float64) + 1) / 2 * (high - low), low, high)


def _stacked(observations: Sequence[Arrays]) -> Arrays:
    return {key: np.stack([one[key] for one in observations]) for key in observations[0]}
