"""PPO of stable-baselines3 (the extra `rl`) at the table of Alchemy: a baseline that is not ours.

    baseline = OutsideLearner.Config(steps=1_000_000).build()
    baseline.run()
    play(baseline.agent(), Table(baseline.config.table), seeds=range(1000)).mean

It sees the ordinary observation, with potions counted by colour, acts by colour, and has no memory.

Measured on the level without rotation, seed 0, 1 000 000 steps: 137 with actions that are drawn, 129 with the most
probable ones (200 episodes), in 38 s of one core. It was still rising towards the 150 that are reached without memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import Tensor

from percepts.agents.agent import Observation
from percepts.agents.meta_rl.senses import Senses
from percepts.agents.model_free_learners import PPO
from percepts.agents.model_free_state import OwnRandom
from percepts.core.config import Config as BaseConfig
from percepts.core.config import Configurable
from percepts.core.errors import CapabilityError, ConfigError
from percepts.core.optional import require_package
from percepts.core.random import derive_seed
from percepts.envs.alchemy.chemistry import Chemistry
from percepts.envs.alchemy.codecs import Encoding
from percepts.envs.alchemy.reading import read
from percepts.envs.alchemy.table import Table

SEES = Encoding(potions="counts")


class OutsideLearner(Configurable):
    """A training; nothing of it is kept but what is in memory.

    Raises:
        MissingPackageError: stable-baselines3 is not installed.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Settings.

        Attributes:
            table: the rules.
            learner: PPO; what is not said here is the library's default.
            steps: of all tables together; rounded up to whole rollouts by the library.
            arenas: tables side by side.
            reward_scale: rewards are multiplied by this (proposed).
            seed: of everything.
        """

        table: Table.Config = field(default_factory=lambda: Table.Config(level="random-bottleneck"))
        learner: PPO = field(
            default_factory=lambda: PPO(
                learning_rate=1e-3, discount=0.9, rollout=40, batch_size=1280, epochs=4, entropy=0.01, trace=0.9
            )
        )
        steps: int = 1_000_000
        arenas: int = 128
        reward_scale: float = 1 / 15
        seed: int = 0

        def __post_init__(self) -> None:
            for name in ("steps", "arenas"):
                if getattr(self, name) < 1:
                    raise ConfigError(f"{name} = {getattr(self, name)}", "1 or more")

    config: Config

    def __init__(self, config: Config) -> None:
        require_package("stable_baselines3", extra="rl")
        from stable_baselines3.common.logger import Logger

        self.config = config
        self.senses = Senses.Config(encoding=SEES, previous=False, clock=False).build(table=config.table)
        self._random = OwnRandom(torch.device("cpu"))
        seed = derive_seed(config.seed, "outside") % 2**32
        with self._random:
            tables = outside_tables(config.table, config.arenas, config.reward_scale)
            self.learner = config.learner.make(tables, pictures=False, steps=config.steps, seed=seed, device="cpu")
        self.learner.set_logger(Logger(None, []))

    def run(self) -> None:
        """Learn to the end."""
        with self._random:
            self.learner.learn(self.config.steps)

    def agent(self, greedy: bool = True) -> OutsideAgent:
        """What it has learned so far."""
        return OutsideAgent(self.senses, self.learner.policy, greedy)


class OutsideAgent:
    """Plays with a policy of stable-baselines3, and remembers nothing.

    Args:
        senses: what it sees.
        policy: the network.
        greedy: whether it takes the most probable actions, or draws from torch's global stream.
    """

    def __init__(self, senses: Senses, policy: Any, greedy: bool = True) -> None:
        self.senses, self.policy, self.greedy = senses, policy, greedy

    def act(self, observation: Observation, state: Any = None) -> tuple[Int64[Tensor, " batch"], Any]:
        """The actions; see `agents.agent.Agent`."""
        view = read(observation, self.senses.table.stones, self.senses.table.potions)
        mind = self.senses.begin(view)
        unknown = mind.trial
        truth = Chemistry(unknown, unknown, unknown, unknown)
        inputs = self.senses.inputs(mind, truth)
        action, _ = self.policy.predict(inputs.numpy(), deterministic=self.greedy)
        return self.senses.slots(mind, torch.from_numpy(np.asarray(action, np.int64)), truth), None


def outside_tables(table: Table.Config, count: int, reward_scale: float) -> Any:
    """Tables as stable-baselines3 wants them: its `VecEnv` over our vector environment.

    Raises:
        MissingPackageError: stable-baselines3 is not installed.
    """
    require_package("stable_baselines3", extra="rl")
    from stable_baselines3.common.vec_env import VecEnv

    from percepts.envs.alchemy.vector import AlchemyVectorEnv

    class OutsideTables(VecEnv):
        """B tables that begin anew in the same step."""

        def __init__(self) -> None:
            self.tables = AlchemyVectorEnv(count, table, SEES, colour_actions=True, autoreset_mode="SameStep")
            self.chosen: NDArray[Any] = np.zeros(count, np.int64)
            space: Any = self.tables.single_observation_space
            super().__init__(count, space["symbolic"], self.tables.single_action_space)

        def reset(self) -> NDArray[np.float32]:
            found, _ = self.tables.reset(seed=self._seeds)
            self._reset_seeds()
            return found["symbolic"]

        def seed(self, seed: int | None = None) -> Sequence[int | None]:
            if seed is not None:
                self._seeds = [derive_seed(seed, "outside table", row) % 2**32 for row in range(count)]
            return self._seeds

        def step_async(self, actions: NDArray[Any]) -> None:
            self.chosen = np.asarray(actions)

        def step_wait(self) -> tuple[Any, NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
            found, reward, ended, _, facts = self.tables.step(self.chosen)
            infos: list[dict[str, Any]] = [{} for _ in range(count)]
            for row in np.flatnonzero(ended).tolist():
                infos[row] = {
                    "terminal_observation": facts["final_obs"][row]["symbolic"], "TimeLimit.truncated": False,
                    "episode": {"r": float(facts["final_info"]["score"][row]), "l": table.trials * table.steps},
                }  # fmt: skip
            return found["symbolic"], (reward * reward_scale).astype(np.float32), ended, infos

        def close(self) -> None:
            pass

        def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
            return [getattr(self.tables, attr_name) for _ in self._get_indices(indices)]

        def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
            raise CapabilityError(f"setting '{attr_name}' of single tables", "another configuration of all of them")

        def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> Any:
            raise CapabilityError(f"calling '{method_name}' of single tables", "a method of `tables`")

        def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
            return [False for _ in self._get_indices(indices)]

    return OutsideTables()
