"""Many feature worlds as one Gymnasium vector environment, stepped in tensors.

    import percepts.envs.feature_world.registration       # makes the ids known
    envs = gymnasium.make_vec("FeatureWorld/Single-v0", num_envs=256)
    observations, infos = envs.reset(seed=0)               # world i has the seed 0 + i
    observations, rewards, terminated, truncated, infos = envs.step(envs.action_space.sample())

World i gives the trajectory of a single environment with its seed, however many others there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int64
from numpy.typing import NDArray
from torch import Tensor

from percepts.core.errors import DataError
from percepts.core.optional import require_package
from percepts.envs.arguments import action_numbers, check_render_mode
from percepts.envs.feature_world.board import draw_board
from percepts.envs.feature_world.env import observation_space, view_of
from percepts.envs.feature_world.observations import DEFAULT_KEYS, check_keys, observe
from percepts.envs.feature_world.rendered import TableView
from percepts.envs.feature_world.state import Outcome, WorldState
from percepts.envs.feature_world.world import FeatureWorld
from percepts.envs.feature_world.worlds import world_config
from percepts.envs.vectors import Advanced, Arrays, TensorVectorEnv

require_package("gymnasium", extra="envs")

from gymnasium import spaces  # noqa: E402
from gymnasium.vector import AutoresetMode  # noqa: E402

_OF_OUTCOME = ("success", "identified", "gained")
_OF_STATE = ("erred", "truth", "live", "steps", "object_set")


class FeatureWorldVectorEnv(TensorVectorEnv[WorldState]):
    """B worlds; see `FeatureWorldEnv` for the arguments and for what `infos` hold, here [B] with masks `_NAME`.

    Args:
        num_envs: B.
        world, keys, render_mode, view, settings: as of `FeatureWorldEnv`.
        autoreset_mode: when a world whose episode is over begins anew, as of `TensorVectorEnv`.

    Raises:
        ConfigError: as of `FeatureWorldEnv`, no worlds, or an unknown autoreset mode.
    """

    def __init__(
        self,
        num_envs: int = 1,
        world: str | FeatureWorld.Config = "single",
        keys: Sequence[str] = DEFAULT_KEYS,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        view: TableView.Config | None = None,
        **settings: Any,
    ) -> None:
        check_render_mode(render_mode)
        check_keys(keys)
        self.world: FeatureWorld = world_config(world, **settings).build()
        self.config, self.keys = self.world.config, tuple(keys)
        self.view = view_of(self.world, self.keys, view)
        seen, actions = observation_space(self.world, self.keys, self.view), spaces.Discrete(self.world.actions)
        super().__init__(num_envs, seen, actions, autoreset_mode, render_mode)

    @property
    def state(self) -> WorldState:
        """The worlds, for those who may know the truth.

        Raises:
            DataError: before the first reset.
        """
        return self.current

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:  # type: ignore[override]
        """The pictures [H, W, 3]; None without a render mode.

        Raises:
            DataError: before the first reset.
        """
        if self.render_mode is None:
            return None
        state = self.current
        if self.view is not None:
            return tuple(self.view.draw(state).image.numpy())
        return tuple(draw_board(self.world, *pair) for pair in zip(self.world.offered(state), state.outcomes))

    def _start(self, seeds: Sequence[int]) -> WorldState:
        return self.world.reset(seeds)

    def _restart(self, state: WorldState, rows: Bool[Tensor, " batch"]) -> WorldState:
        return self.world.restart(state, rows)

    def _advance(self, state: WorldState, actions: Any, over: Bool[Tensor, " batch"]) -> Advanced[WorldState]:
        after, outcome = self.world.step(state, torch.where(over, 0, self._checked(actions, over)))
        # What is over stands still in a step, so it begins anew as if there had been none.
        after = self.world.restart(after, over)
        going = (~over).numpy()
        return Advanced(
            state=after,
            reward=outcome.reward.numpy(),
            terminated=outcome.terminated.numpy() & going,
            truncated=outcome.truncated.numpy() & going,
            infos=facts(after, outcome, going),
        )

    def _look(self, state: WorldState) -> Arrays:
        seen = observe(self.world, state, self.keys)
        if "image" in self.keys:
            assert self.view is not None
            seen["image"] = self.view.draw(state).image
        # Copies: tensors of the state itself are not given away.
        return {key: np.array(seen[key].numpy()) for key in self.keys}

    def _facts(self, state: WorldState) -> Arrays:
        return facts(state, None, np.zeros(self.num_envs, bool))

    def _checked(self, actions: Any, over: Bool[Tensor, " batch"]) -> Int64[Tensor, " batch"]:
        """The actions; where an episode is over they may be anything."""
        action = torch.from_numpy(action_numbers(actions, self.num_envs))
        wrong = ((action < 0) | (action >= self.world.actions)) & ~over
        if bool(wrong.any()):
            raise DataError(f"the action {int(action[wrong][0])}", f"0 to {self.world.actions - 1}")
        return action


def facts(state: WorldState, outcome: Outcome | None, going: NDArray[np.bool_]) -> Arrays:
    """What `info` says of every world; of the outcome only where a world was `going`. The arrays are the caller's."""
    if outcome is None:
        false = np.zeros(len(state), bool)
        found: Arrays = {"success": false, "identified": false.copy(), "gained": np.zeros(len(state))}
    else:
        found = {name: getattr(outcome, name).numpy() * going for name in _OF_OUTCOME}
    return found | {name: getattr(state, name).numpy().copy() for name in _OF_STATE}
