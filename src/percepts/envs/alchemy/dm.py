"""Alchemy with the interface of dm_env (Muldal et al. 2019) and the names of dm_alchemy, without those packages.

    environment = symbolic_alchemy_level("perceptual_mapping_randomized_with_random_bottleneck", seed=0)
    step = environment.reset()
    while not step.last():
        step = environment.step(action)             # step.reward, step.discount, step.observation["symbolic_obs"]

From the same seed it gives the original's observations and rewards, bit for bit.
"""

from __future__ import annotations

from typing import Any

from percepts.envs.alchemy.codecs import Encoding
from percepts.envs.alchemy.env import AlchemyEnv, See
from percepts.envs.alchemy.table import Rewards
from percepts.envs.spriteworld.dm import DmEnvironment, Spec, StepType, TimeStep

__all__ = ["AlchemyDm", "Spec", "StepType", "TimeStep", "symbolic_alchemy_level"]

SYMBOLIC = "symbolic_obs"
"""The original's name of what the table shows."""


class AlchemyDm(DmEnvironment):
    """One table with dm_env's `reset`, `step` and specifications.

    The first step has neither reward nor discount, the discount of the last is 0, and a step after that, or before the
    first reset, is a reset.

    Args:
        environment: what is played; it must not be stepped by others.
        seed: of its stream; a random one by default.
    """

    def __init__(self, environment: AlchemyEnv, seed: int | None = None) -> None:
        super().__init__(environment, seed)  # type: ignore[arg-type]
        self._alchemy = environment

    def reset(self) -> TimeStep:
        """Begin an episode: the first of the seed's stream, then the next ones."""
        return _renamed(super().reset())

    def step(self, action: Any) -> TimeStep:
        """Act once; after the end of an episode, or before the first, begin one and ignore the action.

        Raises:
            DataError: an action that is none.
        """
        if self._over:
            return self.reset()
        return _renamed(super().step(action))

    def is_new_trial(self) -> bool:
        """Whether the last observation is the first of a trial. No observation tells."""
        return self._alchemy.new_trial

    def observation_spec(self) -> dict[str, Spec]:
        """Of everything in an observation, by name."""
        specs = super().observation_spec()
        first = specs.pop("symbolic")
        return {SYMBOLIC: Spec(first.shape, first.dtype, first.minimum, first.maximum, SYMBOLIC), **specs}


def symbolic_alchemy_level(
    level_name: str,
    observe_used: bool = True,
    end_trial_action: bool = False,
    num_trials: int = 10,
    num_stones_per_trial: int = 3,
    num_potions_per_trial: int = 12,
    seed: int | None = None,
    reward_weights: Rewards | None = None,
    max_steps_per_trial: int = 20,
    see_chemistries: See | None = None,
) -> AlchemyDm:
    """dm_alchemy's `get_symbolic_alchemy_level`, with its arguments.

    There are as many slots as stones and potions, where the original always has three and twelve.

    Raises:
        ConfigError: an unknown level, or numbers out of range.
    """
    environment = AlchemyEnv(
        level_name,
        Encoding(used=observe_used),
        see_chemistries,
        seeding="compat",
        end_trial=end_trial_action,
        trials=num_trials,
        steps=max_steps_per_trial,
        stones=num_stones_per_trial,
        potions=num_potions_per_trial,
        rewards=reward_weights or Rewards(),
    )
    return AlchemyDm(environment, seed)


def _renamed(step: TimeStep) -> TimeStep:
    """With the original's names of observations."""
    observation = dict(step.observation)
    return step._replace(observation={SYMBOLIC: observation.pop("symbolic"), **observation})
