"""Feature worlds as Gymnasium's environments: "two-of-three" is "FeatureWorld/TwoOfThree-v0".

Importing this module makes the ids known; in one line:

    env = gymnasium.make("percepts.envs.feature_world.registration:FeatureWorld/TwoOfThree-v0")
"""

from __future__ import annotations

from percepts.core.optional import require_package
from percepts.envs.feature_world.worlds import WORLDS

require_package("gymnasium", extra="envs")

import gymnasium  # noqa: E402

VERSION = 0
"""Of all ids; it rises when trajectories change."""


def environment_id(world: str) -> str:
    """The id of a world of `WORLDS`."""
    return f"FeatureWorld/{''.join(word.capitalize() for word in world.split('-'))}-v{VERSION}"


def register() -> None:
    """Make every world known to `gymnasium.make` and `make_vec`. Doing it twice changes nothing."""
    for world in WORLDS:
        name = environment_id(world)
        if name not in gymnasium.registry:
            gymnasium.register(
                id=name,
                entry_point="percepts.envs.feature_world.env:FeatureWorldEnv",
                vector_entry_point="percepts.envs.feature_world.vector:FeatureWorldVectorEnv",
                kwargs={"world": world},
            )


register()
