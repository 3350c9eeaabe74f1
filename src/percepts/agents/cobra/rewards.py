"""Reward predictors: what a set of slots is worth (Watters et al. 2019; the paper's own network is not known to us).

    R(z, w) = Σ heads,   trained with Huber(R − clip(r)/10) on what the agent saw after its rewarded steps

Every head but `FlatHead` is invariant to the order of the slots, and none sees a slot of weight 0, so that empty slots
and the background change nothing. The head decides what carries over to held-out scenes: `SumHead` adds up single
objects, `RelationHead` compares them, and differences transfer to colours that were never rewarded. Architecture, sizes
and losses are our proposals.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import huber_loss, linear

from percepts.core.config import Config as BaseConfig
from percepts.core.config import Configurable
from percepts.core.errors import ConfigError
from percepts.nn.layers import linear_chain

SCALE = 10.0
"""Rewards are regressed in units of this."""


@dataclass(frozen=True, kw_only=True)
class Head(BaseConfig):
    """The settings that all heads share.

    Attributes:
        hidden: widths of the hidden layers.
        reads: numbers of the latents that the head sees; None: all. What is irrelevant to a task and kept out cannot
            mislead in scenes where it is new.
    """

    hidden: tuple[int, ...] = (128, 128)
    reads: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if not self.hidden or min(self.hidden) < 1:
            raise ConfigError(f"hidden = {self.hidden}", "one positive width or more")
        if self.reads is not None and not self.reads:
            raise ConfigError("a reward head that reads no latent", "the numbers of some, or none for all")


class SumHead(nn.Module, Configurable):
    """Σ_k w_k g(z_k): every object is worth something of its own."""

    @dataclass(frozen=True, kw_only=True)
    class Config(Head):
        """Widths of g."""

    def __init__(self, config: Config, latents: int, slots: int) -> None:
        super().__init__()
        self.config = config
        self.reads = columns(config.reads, latents)
        self.worth = perceptron(len(self.reads), config.hidden)

    def forward(
        self, latents: Float[Tensor, "batch slots latents"], weight: Float[Tensor, "batch slots"]
    ) -> Float[Tensor, " batch"]:
        return (self.worth(latents[..., self.reads]).squeeze(-1) * weight).sum(-1)


class DeepSetsHead(nn.Module, Configurable):
    """ρ(Σ_k w_k φ(z_k)) (Zaheer et al. 2017)."""

    @dataclass(frozen=True, kw_only=True)
    class Config(Head):
        """Widths of φ and of ρ."""

        hidden: tuple[int, ...] = (64, 64)
        after: tuple[int, ...] = (64,)

    def __init__(self, config: Config, latents: int, slots: int) -> None:
        super().__init__()
        self.config = config
        self.reads = columns(config.reads, latents)
        self.single = nn.Sequential(*linear_chain((len(self.reads), *config.hidden), "relu"))
        self.together = perceptron(config.hidden[-1], config.after)

    def forward(
        self, latents: Float[Tensor, "batch slots latents"], weight: Float[Tensor, "batch slots"]
    ) -> Float[Tensor, " batch"]:
        pooled = torch.einsum("bk,bkh->bh", weight, self.single(latents[..., self.reads]))
        return self.together(pooled).squeeze(-1)


class RelationHead(nn.Module, Configurable):
    """ρ(Σ_{k,j} w_k w_j φ(z_k, z_j)): pairs of objects (Santoro et al. 2017).

    φ sees z_k, z_j, z_k − z_j and |z_k − z_j| of the latents it `reads`; of the groups of latents that it `compares`
    it sees the squared distance alone. A head that compares hues groups two blue objects as it groups two red ones.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(Head):
        """Widths of φ and of ρ, and what is compared.

        Attributes:
            compares: groups of latents, such as the cosine and sine of a hue; disjoint from `reads`, which
                by default are all others.
        """

        hidden: tuple[int, ...] = (64, 64)
        after: tuple[int, ...] = (64,)
        compares: tuple[tuple[int, ...], ...] = ()

    def __init__(self, config: Config, latents: int, slots: int) -> None:
        super().__init__()
        self.config = config
        compared = [columns(group, latents) for group in config.compares]
        taken = {number for group in compared for number in group}
        rest = tuple(number for number in range(latents) if number not in taken)
        self.reads = columns(rest if config.reads is None else config.reads, latents)
        if taken & set(self.reads):
            raise ConfigError(f"latents {sorted(taken & set(self.reads))} are both read and compared", "one of the two")
        self.compared = compared
        self.first = nn.Linear(4 * len(self.reads) + len(compared), config.hidden[0])
        self.more = nn.Sequential(*linear_chain(config.hidden, "relu"))
        self.together = perceptron(config.hidden[-1], config.after)

    def forward(
        self, latents: Float[Tensor, "batch slots latents"], weight: Float[Tensor, "batch slots"]
    ) -> Float[Tensor, " batch"]:
        pairs = self.more(self._first(latents).relu_())
        shares = (weight[:, :, None] * weight[:, None, :]).flatten(1)
        pooled = torch.bmm(shares[:, None], pairs.flatten(1, 2)).squeeze(1)
        return self.together(pooled).squeeze(-1)

    def _first(self, latents: Tensor) -> Tensor:
        """The first layer without making its inputs: all of it but the distances is a part of k plus a part of j.

        A search spends most of its time here, so it is done in place.
        """
        seen = latents[..., self.reads]
        size = len(self.reads)
        own, other, difference, distance = self.first.weight[:, : 4 * size].split(size, 1)
        ours = linear(seen, own + difference, self.first.bias)
        theirs = linear(seen, other - difference)
        apart = [(seen[:, :, None] - seen[:, None]).abs()]
        for group in self.compared:
            part = latents[..., group]
            apart.append((part[:, :, None] - part[:, None]).square().sum(-1, keepdim=True))
        weight = torch.cat([distance, self.first.weight[:, 4 * size :]], 1)
        return linear(torch.cat(apart, -1), weight).add_(ours[:, :, None]).add_(theirs[:, None])


class FlatHead(nn.Module, Configurable):
    """A perceptron over all slots in a row: an ablation, which depends on their order and takes no other number."""

    @dataclass(frozen=True, kw_only=True)
    class Config(Head):
        """Widths of the perceptron."""

    def __init__(self, config: Config, latents: int, slots: int) -> None:
        super().__init__()
        self.config = config
        self.slots = slots
        self.reads = columns(config.reads, latents)
        self.worth = perceptron(slots * len(self.reads), config.hidden)

    def forward(
        self, latents: Float[Tensor, "batch slots latents"], weight: Float[Tensor, "batch slots"]
    ) -> Float[Tensor, " batch"]:
        if latents.shape[1] != self.slots:
            raise ConfigError(
                f"{latents.shape[1]} slots for a flat reward head that was made for {self.slots}",
                f"{self.slots} slots",
                "a head that takes sets: sum, deepsets or relation",
            )
        return self.worth((latents[..., self.reads] * weight[..., None]).flatten(1)).squeeze(-1)


@dataclass(frozen=True)
class PredictedReward:
    """What the members of an ensemble say, in the task's units: their mean and their deviation (0 for one member)."""

    mean: Float[Tensor, " batch"]
    std: Float[Tensor, " batch"]


class RewardModel(nn.Module, Configurable):
    """The reward of a scene from its slots.

    Args:
        latents: D, of a slot.
        slots: K; only a flat head depends on it.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Heads and losses.

        Attributes:
            heads: what is added up.
            input_dropout: how often a latent is hidden, from all slots of a scene at once, in training.
            members: of an ensemble; they differ in initial weights and in what is hidden from them.
            delta: of the Huber loss, in units of 10 reward.
            lowest, highest: rewards are clipped to this range; that of clustering is unbounded.
        """

        heads: tuple[Head, ...] = field(default_factory=lambda: (SumHead.Config(), RelationHead.Config()))
        input_dropout: float = 0.1
        members: int = 1
        delta: float = 1.5
        lowest: float = -60.0
        highest: float = 40.0

        def __post_init__(self) -> None:
            checks = {
                "heads": (len(self.heads) > 0, "one head or more"),
                "input_dropout": (0 <= self.input_dropout < 1, "a share in [0, 1)"),
                "members": (self.members >= 1, "at least 1"),
                "delta": (self.delta > 0, "a positive number"),
                "highest": (self.lowest < self.highest, f"more than lowest = {self.lowest}"),
            }
            for name, (right, expected) in checks.items():
                if not right:
                    raise ConfigError(f"{name} = {getattr(self, name)}", expected)

    def __init__(self, config: Config, latents: int, slots: int) -> None:
        super().__init__()
        self.config = config
        self.latents = latents
        self.members = nn.ModuleList(Sum(config.heads, latents, slots) for _ in range(config.members))

    @property
    def ordered(self) -> bool:
        """Whether the order and the number of the slots matter."""
        return any(isinstance(head, FlatHead.Config) for head in self.config.heads)

    def forward(
        self,
        latents: Float[Tensor, "batch slots latents"],
        weight: Float[Tensor, "batch slots"],
        hidden: Bool[Tensor, "members batch latents"] | None = None,
    ) -> Float[Tensor, "members batch"]:
        """Every member's reward in units of 10, with the latents that are `hidden` from it set to 0.

        What is seen is not scaled up as dropout usually does: a reward depends on exact positions.
        """
        seen = [latents] * len(self.members)
        if hidden is not None:
            seen = [latents.masked_fill(part[:, None], 0) for part in hidden]
        return torch.stack([member(part, weight) for member, part in zip(self.members, seen)])

    def predict(
        self, latents: Float[Tensor, "batch slots latents"], weight: Float[Tensor, "batch slots"]
    ) -> PredictedReward:
        """The reward in the task's units, and how far the members disagree on it."""
        said = SCALE * self(latents, weight)
        return PredictedReward(said.mean(0), said.std(0, correction=0))

    def loss(
        self,
        latents: Float[Tensor, "batch slots latents"],
        weight: Float[Tensor, "batch slots"],
        reward: Float[Tensor, " batch"],
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, ""]:
        """The mean Huber loss of the members.

        Args:
            generator: for what is hidden; None hides nothing.
        """
        hidden = None
        rate = self.config.input_dropout
        if generator is not None and rate > 0:
            shape = (self.config.members, len(latents), self.latents)
            hidden = torch.rand(shape, generator=generator, device=latents.device) < rate
        target = reward.clamp(self.config.lowest, self.config.highest).to(latents.dtype) / SCALE
        said = self(latents, weight, hidden)
        return huber_loss(said, target.expand_as(said), delta=self.config.delta)


class Sum(nn.Module):
    """Heads, added up."""

    def __init__(self, heads: tuple[Head, ...], latents: int, slots: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(head.build(latents=latents, slots=slots) for head in heads)

    def forward(
        self, latents: Float[Tensor, "batch slots latents"], weight: Float[Tensor, "batch slots"]
    ) -> Float[Tensor, " batch"]:
        return torch.stack([head(latents, weight) for head in self.heads]).sum(0)


def perceptron(inputs: int, hidden: tuple[int, ...]) -> nn.Sequential:
    """Hidden layers with ReLUs, and one linear output."""
    return nn.Sequential(*linear_chain((inputs, *hidden), "relu"), nn.Linear((inputs, *hidden)[-1], 1))


def columns(numbers: tuple[int, ...] | None, latents: int) -> list[int]:
    """The latents that a head reads: all, or some of them in their order.

    Raises:
        ConfigError: a number that is no latent's, or twice the same.
    """
    chosen = list(range(latents)) if numbers is None else list(numbers)
    if len(set(chosen)) < len(chosen) or not all(0 <= number < latents for number in chosen):
        raise ConfigError(f"a reward head of the latents {chosen}", f"different numbers from 0 to {latents - 1}")
    return chosen
