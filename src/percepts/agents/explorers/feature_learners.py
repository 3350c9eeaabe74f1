"""Explorers of Feature World that do not reason: one is curious, one learns by rewards (policy gradient).

    run_episodes(world, Curious(world), episodes=400, seed=0)
    run_episodes(world, learned(world, TesterTraining(updates=100), seed=0), episodes=400, seed=0)

Both see the numeric view and play many episodes at once. What they reach says how much of the task is exploration for
its own sake, and how much can be learned from rewards alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor, nn

from percepts.agents.agent import Observation
from percepts.agents.explorers.feature_policies import Memory, Tester
from percepts.core.config import Config
from percepts.core.errors import ConfigError
from percepts.core.random import derive_seed, torch_generator
from percepts.envs.feature_world.knowledge import Knowledge
from percepts.envs.feature_world.observations import Key, observe
from percepts.envs.feature_world.world import FeatureWorld
from percepts.envs.streams import Streams

WIDTH = 32
INPUTS = 9


class Curious(Tester):
    """Count-based curiosity: tests the object that it has seen least, by a bonus of 1 / √(1 + n) for the object and for
    each of its values, n being how often it, or an object with this value, was tested in this episode. Whether objects
    lit up does not matter to it."""

    def wanted(self, know: Knowledge, memory: Memory, object_set: Tensor) -> Tensor:
        """See `Tester`."""
        features = self.world.tables.features.to(object_set.device)
        seen = memory.seen
        numbers = know.objects[object_set]
        tested = (seen[:, None] == numbers[..., None]).sum(2)
        bonus, offered = (1 + tested).rsqrt(), features[numbers]
        for dimension, count in enumerate(self.world.values):
            values = torch.where(seen < 0, count, features[seen.clamp(min=0), dimension])
            counts = torch.zeros(len(seen), count + 1, device=object_set.device)
            counts.scatter_add_(1, values, torch.ones_like(values, dtype=counts.dtype))
            bonus += (1 + counts).rsqrt().gather(1, offered[..., dimension])
        return bonus >= bonus.amax(1, keepdim=True) - 1e-6


@dataclass(frozen=True, kw_only=True)
class TesterTraining(Config):
    """How `learned` learns.

    Attributes:
        updates: of the policy, each from a batch of new episodes.
        batch: episodes.
        learning_rate: of Adam.
        entropy: weight of the policy's entropy, in nats.
    """

    updates: int = 100
    batch: int = 64
    learning_rate: float = 1e-2
    entropy: float = 0.01

    def __post_init__(self) -> None:
        for name in ("updates", "batch"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} = {getattr(self, name)}", "1 or more")


class LearnedTester(nn.Module):
    """A small network that says how much it likes to test each object, from what the tests so far showed of its values.

    Args:
        world: its rules.
        seed: of the weights and of its choices.

    Raises:
        ConfigError: a world that asks for answers.
    """

    keys: tuple[Key, ...] = ("outcomes", "objects", "left")
    """What it has to see."""

    def __init__(self, world: FeatureWorld, seed: int = 0) -> None:
        super().__init__()
        if world.config.mode == "answer":
            raise ConfigError("a policy that only tests, in a world that asks for answers", 'mode="identify"')
        self.world, self.seed = world, seed
        self.layers = nn.Sequential(
            nn.Linear(INPUTS, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 1)
        )
        generator = torch_generator(seed, "learned tester")
        with torch.no_grad():
            for parameter in self.parameters():
                bound = parameter.shape[-1] ** -0.5 if parameter.ndim > 1 else 0.0
                parameter.copy_(bound * (2 * torch.rand(parameter.shape, generator=generator) - 1))

    def act(self, observation: Observation, state: Streams | None = None) -> tuple[Tensor, Streams]:
        """Objects drawn as it likes them, and the streams after that; see `agents.agent.Agent`."""
        outcomes = observation["outcomes"]
        streams = state
        if streams is None:
            seeds = (derive_seed(self.seed, "learned tester", row) for row in range(len(outcomes)))
            streams = Streams.of(seeds, device=outcomes.device)
        unit, streams = streams.uniform(1)
        with torch.no_grad():
            sums = self.scores(observation).double().softmax(1).cumsum(1)
        return torch.searchsorted(sums, unit * sums[:, -1:], right=True).clamp(max=sums.shape[1] - 1)[:, 0], streams

    def scores(self, observation: Observation) -> Float32[Tensor, "batch choices"]:
        """How much it likes each object, as logits."""
        inputs = object_inputs(observation["outcomes"], observation["objects"], self.world.values)
        left = observation["left"][:, None].expand(-1, inputs.shape[1], -1)
        found: Tensor = self.layers(torch.cat([inputs, left], 2))[..., 0]
        return found


def object_inputs(
    outcomes: Float32[Tensor, "batch choices"],
    objects: Int64[Tensor, "batch choices dimensions"],
    values: tuple[int, ...],
) -> Float32[Tensor, "batch choices inputs"]:
    """What tests showed of every object: how many of its values were never tested, only seen lit, only dark, or both;
    whether it was tested itself, lit or dark; and whether any object was lit, alone and times the values seen lit.

    Args:
        outcomes: of the last test of every object: 1, -1 or 0.
        objects: their values.
        values: how many every dimension has.
    """
    lit, dark = (outcomes > 0).float(), (outcomes < 0).float()
    kinds = torch.zeros(*outcomes.shape, 4, device=outcomes.device)
    for dimension, count in enumerate(values):
        place = objects[..., dimension]
        zero = torch.zeros(len(outcomes), count, device=outcomes.device)
        was_lit = zero.scatter_add(1, place, lit).gather(1, place) > 0
        was_dark = zero.scatter_add(1, place, dark).gather(1, place) > 0
        kinds += nn.functional.one_hot(was_lit.long() + 2 * was_dark.long(), 4).float()
    any_lit = lit.amax(1, keepdim=True).expand_as(lit)
    return torch.cat([kinds, torch.stack([lit, dark, any_lit, any_lit * kinds[..., 1]], 2)], 2)


def learned(world: FeatureWorld, learning: TesterTraining | None = None, seed: int = 0) -> LearnedTester:
    """A policy after REINFORCE (Williams 1992): every test costs 1, and the mean return of a batch is the baseline.

    Args:
        world: whose episodes it plays; the seeds of training are none that `run_episodes` uses.
        learning: how.
        seed: of the weights, the episodes and the choices.

    Raises:
        ConfigError: a world that asks for answers.
    """
    learning = learning or TesterTraining()
    policy = LearnedTester(world, seed)
    optimiser = torch.optim.Adam(policy.parameters(), lr=learning.learning_rate)
    for update in range(learning.updates):
        generator = torch_generator(seed, "learning", update)
        loss = _episodes_loss(world, policy, learning, derive_seed(seed, "learning episodes", update), generator)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return policy


def _episodes_loss(
    world: FeatureWorld, policy: LearnedTester, learning: TesterTraining, seed: int, generator: torch.Generator
) -> Tensor:
    """Of a batch of episodes: minus log-probability times advantage, less the entropy's bonus."""
    state = world.reset([derive_seed(seed, number) for number in range(learning.batch)])
    chosen, entropies, playing = [], [], []
    while not bool(state.finished.all()):
        going: Bool[Tensor, " batch"] = ~state.finished
        logits = policy.scores(observe(world, state, policy.keys)).log_softmax(1)
        action = torch.multinomial(logits.detach().exp(), 1, generator=generator)
        chosen.append(logits.gather(1, action)[:, 0])
        entropies.append(-(logits.exp() * logits).sum(1))
        playing.append(going)
        state, _ = world.step(state, action[:, 0])
    there = torch.stack(playing).float()
    # Tests from each step to the end of its episode: the return, but for its sign.
    tests = there.flip(0).cumsum(0).flip(0)
    mean = (tests * there).sum(1, keepdim=True) / there.sum(1, keepdim=True)
    advantage = (mean - tests) * there
    advantage = advantage / advantage.square().mean().sqrt().clamp(min=1e-6)
    bonus = learning.entropy * (torch.stack(entropies) * there).sum()
    return -((torch.stack(chosen) * advantage).sum() + bonus) / there.sum()
