"""The levels as Gymnasium's environments: "random-bottleneck" is "Alchemy/RandomBottleneck-v0".

Importing this module makes the ids known; in one line:

    env = gymnasium.make("percepts.envs.alchemy.registration:Alchemy/RotationRandomBottleneck-v0")
"""

from __future__ import annotations

from percepts.core.optional import require_package
from percepts.envs.alchemy.levels import LEVELS

require_package("gymnasium", extra="envs")

import gymnasium  # noqa: E402

VERSION = 0
"""Of all ids; it rises when trajectories change."""


def environment_id(level: str) -> str:
    """The id of a level."""
    return f"Alchemy/{''.join(word.capitalize() for word in level.split('-'))}-v{VERSION}"


def register() -> None:
    """Make every named level known to `gymnasium.make` and `make_vec`. Doing it twice changes nothing."""
    for level in LEVELS:
        name = environment_id(level)
        if name not in gymnasium.registry:
            gymnasium.register(
                id=name,
                entry_point="percepts.envs.alchemy.env:AlchemyEnv",
                vector_entry_point="percepts.envs.alchemy.vector:AlchemyVectorEnv",
                kwargs={"level": level},
            )


register()
