"""The tasks as Gymnasium's environments: "goal-finding-new-shape" is "Spriteworld/GoalFindingNewShape-v0".

Importing this module makes the ids known; in one line:

    env = gymnasium.make("percepts.envs.spriteworld.registration:Spriteworld/GoalFindingNewShape-v0")
"""

from __future__ import annotations

from percepts.envs.families import Family
from percepts.envs.spriteworld.configs import TASKS

FAMILY = Family(
    "Spriteworld",
    "task",
    "percepts.envs.spriteworld.env:SpriteworldEnv",
    "percepts.envs.spriteworld.vector:SpriteworldVectorEnv",
)


def environment_id(task: str) -> str:
    """The id of a task."""
    return FAMILY.environment_id(task)


def register() -> None:
    """Make every task known to `gymnasium.make` and `make_vec`, the user's own ones so far (`configs.register_task`)
    among them. Doing it twice changes nothing."""
    FAMILY.register(TASKS)


register()
