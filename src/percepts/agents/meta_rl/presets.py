"""Trainings of Alchemy's learners: tiny ones for tests, minutes on a CPU, minutes on a GPU.

[recall] marks what is remembered of the papers and was not verified, [proposed] what is ours. The agents of Wang, King,
Porcel et al. (2021) took 2 · 10¹⁰ steps; none of these is a reproduction of them.
"""

from __future__ import annotations

from collections.abc import Callable

from percepts.agents.meta_rl.cores import FeedForward
from percepts.agents.meta_rl.learner import Fading, falling
from percepts.agents.meta_rl.network import ActorCritic
from percepts.agents.meta_rl.ppo import ProximalPolicy
from percepts.agents.meta_rl.senses import Senses
from percepts.agents.meta_rl.training import AlchemyTraining
from percepts.envs.alchemy.codecs import Encoding

CANONICAL = Encoding(frame="latent", potions="counts")
"""Stones and potions with all maps undone."""


def alchemy_tiny() -> AlchemyTraining.Config:
    """A few rollouts, to see that everything works. Seconds."""
    return AlchemyTraining.Config(
        senses=Senses.Config(encoding=CANONICAL, chemistry="truth", parts=("graph",)),
        network=ActorCritic.Config(core=FeedForward.Config(hidden=(32,))),
        learner=ProximalPolicy.Config(epochs=1, minibatches=2),
        arenas=16, steps=16 * 20 * 12, log_every=2, episodes=8,
    )  # fmt: skip


def alchemy_cpu() -> AlchemyTraining.Config:
    """PPO without a memory, on what the maps hide: canonical observations and the graph.

    It has nothing left to find out, so it does not adapt; what it shows is that planning is learnable once inference is
    supplied.
    """
    return AlchemyTraining.Config(
        senses=Senses.Config(encoding=CANONICAL, chemistry="truth", parts=("graph",), previous=False),
        learner=ProximalPolicy.Config(  # [proposed]
            discount=0.9, trace=0.9, optimizer=falling(1e-3), entropy=Fading(start=0.02, end=0.001)
        ),
        arenas=1024,
        steps=6_000_000,
    )


def alchemy_cpu_memoryless() -> AlchemyTraining.Config:
    """The same learner on the ordinary observation: the local optimum without memory, 140 to 156 in the literature."""
    return AlchemyTraining.Config(
        senses=Senses.Config(previous=False),
        learner=alchemy_cpu().learner,
        arenas=1024,
        steps=6_000_000,
    )


TRAININGS: dict[str, Callable[[], AlchemyTraining.Config]] = {
    "tiny": alchemy_tiny,
    "cpu": alchemy_cpu,
    "cpu-memoryless": alchemy_cpu_memoryless,
}
"""All of them by name."""
