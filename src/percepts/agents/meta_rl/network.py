"""Policy, value and predictions on one core.

network = ActorCritic.Config(core=LSTM.Config()).build(sizes=senses.sizes, actions=22, predicts={})
found, state = network(inputs, state, first, legal)
found.log_prob_of(action), found.entropy, found.value
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Self

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from percepts.agents.meta_rl.cores import LSTM, Core, FeedForward, State
from percepts.agents.meta_rl.episodic import EpisodicPlanning
from percepts.agents.meta_rl.transformer import TransformerMemory
from percepts.core.config import Config as BaseConfig
from percepts.core.config import Configurable
from percepts.core.errors import ConfigError


@dataclass(frozen=True)
class Found:
    """What a network says of steps.

    Attributes:
        log_probs: of all actions; those that are not legal have a probability of 0.
        legal: which are.
        value: of the returns.
        normalised: the same in the unit of the value head.
        predictions: logits or numbers, by what is predicted.
    """

    log_probs: Float[Tensor, "steps batch actions"]
    legal: Bool[Tensor, "steps batch actions"]
    value: Float[Tensor, "steps batch"]
    normalised: Float[Tensor, "steps batch"]
    predictions: dict[str, Tensor]

    def log_prob_of(self, action: Int64[Tensor, "steps batch"]) -> Float[Tensor, "steps batch"]:
        """Of chosen actions."""
        return self.log_probs.gather(2, action[..., None])[..., 0]

    def before_last(self) -> Self:
        """Of all steps but the last."""
        predictions = {name: part[:-1] for name, part in self.predictions.items()}
        return type(self)(self.log_probs[:-1], self.legal[:-1], self.value[:-1], self.normalised[:-1], predictions)

    @property
    def entropy(self) -> Float[Tensor, "steps batch"]:
        """Of the policy, in nats."""
        return -(self.log_probs.exp() * self.log_probs.masked_fill(~self.legal, 0)).sum(2)


class ActorCritic(nn.Module, Configurable):
    """A core, with linear heads for the policy, the value, and whatever is predicted.

    Args:
        sizes: of the inputs' parts.
        actions: how many.
        predicts: how many numbers of what.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Settings.

        Attributes:
            core: what remembers.
            popart: how fast the value head's mean and deviation follow the returns (PopArt, van Hasselt et al. 2016);
                None leaves returns as they are.
        """

        core: FeedForward.Config | LSTM.Config | TransformerMemory.Config | EpisodicPlanning.Config = field(
            default_factory=FeedForward.Config
        )
        popart: float | None = None

        def __post_init__(self) -> None:
            if self.popart is not None and not 0 < self.popart <= 1:
                raise ConfigError(f"popart = {self.popart}", "a share in (0, 1], or none")

    config: Config

    def __init__(self, config: Config, sizes: dict[str, int], actions: int, predicts: dict[str, int]) -> None:
        super().__init__()
        self.config = config
        self.core: Core = config.core.build(sizes=sizes)
        self.policy = nn.Linear(self.core.features, actions)
        self.value = ValueHead(self.core.features, config.popart)
        self.predictions = nn.ModuleDict({name: nn.Linear(self.core.features, size) for name, size in predicts.items()})
        # The first policy is almost uniform, whatever it sees.
        nn.init.orthogonal_(self.policy.weight, gain=0.01)
        nn.init.zeros_(self.policy.bias)

    def initial(self, batch: int, device: torch.device | str = "cpu") -> State:
        """The core's state at the start of episodes."""
        return self.core.initial(batch, device)

    def forward(
        self,
        inputs: Float[Tensor, "steps batch numbers"],
        state: State,
        first: Bool[Tensor, "steps batch"],
        legal: Bool[Tensor, "steps batch actions"],
    ) -> tuple[Found, State]:
        """What it says of every step, and the state after the last; see `Core.forward`."""
        features, state = self.core(inputs, state, first)
        logits = self.policy(features).masked_fill(~legal, -math.inf)
        normalised = self.value(features)
        predictions = {name: head(features) for name, head in self.predictions.items()}
        found = Found(logits.log_softmax(2), legal, self.value.returns(normalised), normalised, predictions)
        return found, state


class ValueHead(nn.Module):
    """A linear value of returns that are brought to mean 0 and deviation 1, which keeps its values when they change.

    Args:
        features: how many go in.
        step: how fast mean and mean square follow the returns; None: they stay 0 and 1.
    """

    mean: Tensor
    square: Tensor

    def __init__(self, features: int, step: float | None) -> None:
        super().__init__()
        self.step = step
        self.linear = nn.Linear(features, 1)
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("square", torch.ones(()))

    @property
    def deviation(self) -> Tensor:
        """Of the returns; never less than 0.0001."""
        return (self.square - self.mean.square()).clamp(min=1e-8).sqrt()

    def forward(self, features: Float[Tensor, "*batch features"]) -> Float[Tensor, "*batch"]:
        """The values in their own unit."""
        return self.linear(features)[..., 0]

    def returns(self, normalised: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """In the unit of the returns."""
        return normalised if self.step is None else self.deviation * normalised + self.mean

    def normalise(self, returns: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """In the head's own unit."""
        return returns if self.step is None else (returns - self.mean) / self.deviation

    @torch.no_grad()
    def follow(self, returns: Float[Tensor, "*batch"]) -> None:
        """Move mean and deviation towards these returns; every value stays what it is."""
        if self.step is None:
            return
        mean, deviation = self.mean.clone(), self.deviation
        self.mean.lerp_(returns.mean(), self.step)
        self.square.lerp_(returns.square().mean(), self.step)
        self.linear.weight.mul_(deviation / self.deviation)
        self.linear.bias.mul_(deviation).add_(mean - self.mean).div_(self.deviation)
