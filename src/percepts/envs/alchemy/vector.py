"""Many tables of Alchemy as one Gymnasium vector environment, stepped in tensors.

    import percepts.envs.alchemy.registration       # makes the ids known
    envs = gymnasium.make_vec("Alchemy/RandomBottleneck-v0", num_envs=4096)
    observations, infos = envs.reset(seed=0)            # table i has the seed 0 + i
    observations, rewards, terminated, truncated, infos = envs.step(envs.action_space.sample())

Table i gives the trajectory of a single environment with its seed, however many others there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Bool
from numpy.typing import NDArray
from torch import Tensor

from percepts.core.optional import require_package
from percepts.envs.alchemy.chemistry_view import ChemistryViews, ViewState
from percepts.envs.alchemy.codecs import Encoding, encode, slots_of_colours
from percepts.envs.alchemy.env import SETTINGS, See, action_space, most_seed, observation_space, table_config, views_of
from percepts.envs.alchemy.levels import MAIN_LEVEL, Level
from percepts.envs.alchemy.picture import draw_tables
from percepts.envs.alchemy.table import NONE, Outcome, Table, TableState
from percepts.envs.arguments import action_numbers
from percepts.envs.vectors import Advanced, Arrays, TensorVectorEnv

require_package("gymnasium", extra="envs")

from gymnasium.vector import AutoresetMode  # noqa: E402


@dataclass(frozen=True)
class Tables:
    """B tables and what is viewed of their chemistries."""

    table: TableState
    views: ViewState | None

    @property
    def finished(self) -> Bool[Tensor, " batch"]:
        """Whose episode is over."""
        return self.table.finished

    def put(self, index: Any, others: Tables) -> Self:
        """A copy with those at `index` replaced."""
        views = None if self.views is None or others.views is None else self.views.put(index, others.views)
        return type(self)(self.table.put(index, others.table), views)


class AlchemyVectorEnv(TensorVectorEnv[Tables]):
    """B tables; see `AlchemyEnv` for the arguments and for what `infos` hold, here [B] with masks `_NAME`.

    Args:
        num_envs: B.
        level, encoding, see, colour_actions, render_mode, settings: as of `AlchemyEnv`.
        autoreset_mode: when a table whose episode is over begins anew, as of `TensorVectorEnv`.

    Raises:
        ConfigError: as of `AlchemyEnv`, no tables, or an unknown autoreset mode.
    """

    def __init__(
        self,
        num_envs: int = 1,
        level: str | Level | Table.Config = MAIN_LEVEL,
        encoding: Encoding = Encoding(),  # noqa: B008 (it is frozen)
        see: See | None = None,
        colour_actions: bool = False,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        **settings: Any,
    ) -> None:
        self.table = Table(table_config(level, SETTINGS, **settings))
        self.encoding, self.colour_actions = encoding, colour_actions
        self.views = ChemistryViews(views_of(see), self.table)
        self.most_seed = most_seed(self.table)
        seen, actions = observation_space(self.table, encoding, self.views), action_space(self.table, colour_actions)
        super().__init__(num_envs, seen, actions, autoreset_mode, render_mode)

    @property
    def state(self) -> TableState:
        """The tables, for those who may know the truth.

        Raises:
            DataError: before the first reset.
        """
        return self.current.table

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:  # type: ignore[override]
        """The pictures [H, W, 3]; None without a render mode.

        Raises:
            DataError: before the first reset.
        """
        return None if self.render_mode is None else tuple(draw_tables(self.state))

    def _start(self, seeds: Sequence[int]) -> Tables:
        state = self.table.reset(seeds)
        return Tables(state, self.views.begin(state, seeds) if self.views.views else None)

    def _restart(self, state: Tables, rows: Bool[Tensor, " batch"]) -> Tables:
        table = self.table.restart(state.table, rows)
        return Tables(table, None if state.views is None else self.views.restart(state.views, table, rows))

    def _advance(self, state: Tables, actions: Any, over: Bool[Tensor, " batch"]) -> Advanced[Tables]:
        action = torch.where(over, 0, torch.from_numpy(action_numbers(actions, self.num_envs)))
        if self.colour_actions:
            config, colour = self.table.config, self.table.perceived_potions(state.table)
            action = slots_of_colours(action, colour, state.table.potion_here, config.stones, config.end_trial)
        table, outcome = self.table.step(state.table, action)
        views = state.views
        if views is not None:
            views = self.views.follow(views, state.table, outcome, table)
        after = Tables(table, views)
        if bool(over.any()):
            # What is over stands still in a step, so it begins anew as if there had been none.
            after = self._restart(after, over)
        terminated = (outcome.terminated & ~over).numpy()
        return Advanced(
            state=after,
            reward=outcome.reward.double().numpy(),
            terminated=terminated,
            truncated=np.zeros(self.num_envs, bool),
            infos=facts(after.table, outcome),
        )

    def _look(self, state: Tables) -> Arrays:
        seen = {"symbolic": encode(state.table, self.encoding).numpy()}
        if state.views is not None:
            shown = self.views.observe(state.views, state.table)
            seen |= {name: value.numpy() for name, value in shown.items()}
        return seen

    def _facts(self, state: Tables) -> Arrays:
        return facts(state.table, None)


def facts(state: TableState, outcome: Outcome | None) -> Arrays:
    """What `info` says of every table after a step, or after a reset; the arrays are the caller's."""
    batch = len(state)
    found: Arrays = {"trial": state.trial.numpy().copy(), "step": state.step.numpy().copy()}
    found |= {name: getattr(state, name).double().numpy() for name in ("score", "trial_score")}
    for name in ("new_trial", "stone", "potion", "banked", "before", "after"):
        if outcome is not None:
            found[name] = getattr(outcome, name).numpy().copy()
        else:
            found[name] = np.zeros(batch, bool) if name in ("new_trial", "banked") else np.full(batch, NONE)
    found["discount"] = 1.0 - state.finished.double().numpy()
    return found
