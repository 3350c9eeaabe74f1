"""The tasks as Gymnasium's environments: "goal-finding-new-shape" is "Spriteworld/GoalFindingNewShape-v0".

Importing this module makes the ids known; in one line:

    env = gymnasium.make("percepts.envs.spriteworld.registration:Spriteworld/GoalFindingNewShape-v0")
"""

from __future__ import annotations

from percepts.core.optional import require_package
from percepts.envs.spriteworld.configs import TASKS

require_package("gymnasium", extra="envs")

import gymnasium  # noqa: E402

VERSION = 0
"""Of all ids; it rises when trajectories change."""


def environment_id(task: str) -> str:
    """The id of a task."""
    return f"Spriteworld/{''.join(word.capitalize() for word in task.split('-'))}-v{VERSION}"


def register() -> None:
    """Make every task known to `gymnasium.make` and `make_vec`, the user's own ones so far (`configs.register_task`)
    among them. Doing it twice changes nothing."""
    for task in TASKS:
        name = environment_id(task)
        if name not in gymnasium.registry:
            gymnasium.register(
                id=name,
                entry_point="percepts.envs.spriteworld.env:SpriteworldEnv",
                vector_entry_point="percepts.envs.spriteworld.vector:SpriteworldVectorEnv",
                kwargs={"task": task},
            )


register()
