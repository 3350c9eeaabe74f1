"""The two examples of Spriteworld 1.0.2 (Watters et al. 2019) that are not COBRA's, as registered tasks.

The package draws the angles and colours of the first as whole numbers; here they are real ones, and colours are cut off
to whole ones as they are drawn on the screen. `compat` does as the package does with
`CompatOptions(whole=("angle", "c0", "c1", "c2"))`.
"""

from __future__ import annotations

from percepts.core.errors import ConfigError
from percepts.data.distributions import Continuous, Discrete, Product
from percepts.envs.spriteworld.actions import Embodied, SelectMove
from percepts.envs.spriteworld.arena import Arena
from percepts.envs.spriteworld.configs import (
    AREA,
    DISTRACTOR,
    LOOK,
    TARGET,
    Noise,
    SpriteworldConfig,
    register_task,
)
from percepts.envs.spriteworld.generators import Chain, Generate, Shuffled, shapes
from percepts.envs.spriteworld.observations import Observer
from percepts.envs.spriteworld.tasks import Clustering, FindGoalPosition, MetaAggregated


@register_task("goal-finding-clustering")
def goal_finding_clustering(mode: str, noise: Noise) -> SpriteworldConfig:
    """Two tasks in one arena of RGB colours, 50 steps. Triangles, squares and pentagons, two of each, are to be
    clustered by shape. One or two reddish spokes and stars belong at the left edge, one or two greenish ones at the
    right edge. Up to two circles distract.

    (So the package's code has it. Its own description says that clusters go by colour, and swaps the edges.)

    Held out for the test: spokes and stars of scale 0.08 to 0.12, and shapes to be clustered with little red.
    """
    middle = Continuous("scale", 0.08, 0.12)
    scale = middle if mode == "test" else Continuous("scale", 0.05, 0.15) - middle
    red = Continuous("c0", 0.0, 128.0) if mode == "test" else Continuous("c0", 128.0, 256.0)
    colour = Product((red, Continuous("c1", 64.0, 256.0), Continuous("c2", 64.0, 256.0)))
    common = Product((AREA, Continuous("angle", 0.0, 360.0)))
    kinds = shapes("triangle"), shapes("square"), shapes("pentagon")
    clustered = [Generate(Product((common, colour, kind, middle)), 2, 2) for kind in kinds]

    pointed = shapes("spoke_4", "star_4")
    blue = Continuous("c2", 64.0, 128.0)
    reddish = Product((Continuous("c0", 192.0, 256.0), Continuous("c1", 0.0, 128.0), blue))
    greenish = Product((Continuous("c0", 0.0, 128.0), Continuous("c1", 192.0, 256.0), blue))
    sent = [Generate(Product((common, scale, pointed, colours)), 1, 2) for colours in (reddish, greenish)]
    grey = Product(tuple(Continuous(name, 64.0, 256.0) for name in ("c0", "c1", "c2")))
    distractors = Generate(Product((common, shapes("circle"), grey, middle)), 0, 2)

    goals = [
        FindGoalPosition(
            filter=Product((colours, pointed)),
            goal=(edge, 0.5),
            weights=(1.0, 0.0),
            terminate_distance=0.15,
            multiplier=30.0,
        )
        for colours, edge in ((reddish, 0.0), (greenish, 1.0))
    ]
    arena = Arena.Config(
        generator=Shuffled(Chain((*clustered, *sent, distractors))),
        task=MetaAggregated(subtasks=(Clustering(clusters=kinds), *goals)),
        actions=SelectMove(scale=0.5, noise=noise),
        max_episode_length=50,
    )
    return SpriteworldConfig(name="goal-finding-clustering", mode=mode, arena=arena, observer=Observer(colours="rgb"))


@register_task("goal-finding-embodied")
def goal_finding_embodied(mode: str, noise: Noise) -> SpriteworldConfig:
    """A small white disc, always in front, is the agent's body. It carries one to three targets into the middle, past
    one to three distractors; 50 steps. The same in both modes.

    Raises:
        ConfigError: noise, which a body's steps do not have.
    """
    if noise is not None:
        raise ConfigError(f"noise = {noise} on the steps of a body", "None")
    look = {"scale": 0.07, "c0": 1.0, "c1": 0.0, "c2": 1.0}
    body = Product((AREA, shapes("circle"), *(Discrete(name, (value,)) for name, value in look.items())))
    others = [Generate(Product((hue, AREA, LOOK)), 1, 3) for hue in (TARGET, DISTRACTOR)]
    arena = Arena.Config(
        generator=Chain((Shuffled(Chain(tuple(others))), Generate(body))),
        task=FindGoalPosition(filter=TARGET, terminate_distance=0.075),
        actions=Embodied(step_size=0.05),
        max_episode_length=50,
    )
    return SpriteworldConfig(name="goal-finding-embodied", mode=mode, arena=arena)
