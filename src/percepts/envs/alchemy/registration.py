"""The levels as Gymnasium's environments: "random-bottleneck" is "Alchemy/RandomBottleneck-v0".

Importing this module makes the ids known; in one line:

    env = gymnasium.make("percepts.envs.alchemy.registration:Alchemy/RotationRandomBottleneck-v0")
"""

from __future__ import annotations

from percepts.envs.alchemy.levels import LEVELS
from percepts.envs.families import Family

FAMILY = Family(
    "Alchemy", "level", "percepts.envs.alchemy.env:AlchemyEnv", "percepts.envs.alchemy.vector:AlchemyVectorEnv"
)


def environment_id(level: str) -> str:
    """The id of a level."""
    return FAMILY.environment_id(level)


def register() -> None:
    """Make every named level known to `gymnasium.make` and `make_vec`. Doing it twice changes nothing."""
    FAMILY.register(LEVELS)


register()
