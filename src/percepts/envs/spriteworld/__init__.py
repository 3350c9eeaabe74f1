"""Spriteworld: simple shapes in the unit square that are clicked, dragged or carried (Watters et al. 2019).

    config = task_config("goal-finding-new-position", mode="test")
    arena = config.arena.build()                                     # many arenas at once, in tensors
    state = arena.reset(seeds=range(256))
    state, outcome = arena.step(state, action)
    config.observer.observe(state.sprites)["image"]                  # uint8 [256, 64, 64, 3]

`env` and `vector` offer the same to Gymnasium, which is an extra and imported there only.
"""

from percepts.envs.spriteworld.actions import ActionSpace, Applied, ClickGrid, DragAndDrop, Embodied, SelectMove
from percepts.envs.spriteworld.apart import Apart
from percepts.envs.spriteworld.arena import Arena, ArenaState, Outcome
from percepts.envs.spriteworld.configs import (
    COBRA,
    PAPER_NOISE,
    TASKS,
    Noise,
    SpriteworldConfig,
    cobra_task,
    register_task,
    task_config,
)
from percepts.envs.spriteworld.examples import goal_finding_clustering, goal_finding_embodied
from percepts.envs.spriteworld.generators import Chain, Generate, OneOf, SceneGenerator, Shuffled, shapes
from percepts.envs.spriteworld.observations import Observer
from percepts.envs.spriteworld.one_sprite import exploration_one_sprite, goal_finding_one_sprite
from percepts.envs.spriteworld.physics import Bounce, Drift, PairForces, Physics, Pushing
from percepts.envs.spriteworld.scenes import SpriteworldScenes
from percepts.envs.spriteworld.state import DEFAULTS, FACTORS, SHAPES, Sprites
from percepts.envs.spriteworld.tasks import Clustering, FindGoalPosition, Judgement, MetaAggregated, NoReward, Task
from percepts.envs.streams import Streams

__all__ = [
    "COBRA",
    "DEFAULTS",
    "FACTORS",
    "PAPER_NOISE",
    "SHAPES",
    "TASKS",
    "ActionSpace",
    "Apart",
    "Applied",
    "Arena",
    "ArenaState",
    "Bounce",
    "Chain",
    "ClickGrid",
    "Clustering",
    "DragAndDrop",
    "Drift",
    "Embodied",
    "FindGoalPosition",
    "Generate",
    "Judgement",
    "MetaAggregated",
    "NoReward",
    "Noise",
    "Observer",
    "OneOf",
    "Outcome",
    "PairForces",
    "Physics",
    "Pushing",
    "SceneGenerator",
    "SelectMove",
    "Shuffled",
    "Sprites",
    "SpriteworldConfig",
    "SpriteworldScenes",
    "Streams",
    "Task",
    "cobra_task",
    "exploration_one_sprite",
    "goal_finding_clustering",
    "goal_finding_embodied",
    "goal_finding_one_sprite",
    "register_task",
    "shapes",
    "task_config",
]
