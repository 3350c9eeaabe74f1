"""Feature worlds as Gymnasium's environments: "two-of-three" is "FeatureWorld/TwoOfThree-v0".

Importing this module makes the ids known; in one line:

    env = gymnasium.make("percepts.envs.feature_world.registration:FeatureWorld/TwoOfThree-v0")
"""

from __future__ import annotations

from percepts.envs.families import Family
from percepts.envs.feature_world.worlds import WORLDS

FAMILY = Family(
    "FeatureWorld",
    "world",
    "percepts.envs.feature_world.env:FeatureWorldEnv",
    "percepts.envs.feature_world.vector:FeatureWorldVectorEnv",
)


def environment_id(world: str) -> str:
    """The id of a world."""
    return FAMILY.environment_id(world)


def register() -> None:
    """Make every world known to `gymnasium.make` and `make_vec`. Doing it twice changes nothing."""
    FAMILY.register(WORLDS)


register()
