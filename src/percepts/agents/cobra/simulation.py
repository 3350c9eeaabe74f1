"""What a search asks: how good are these actions? By learned models, by the truth, or by one of each.

    LearnedSimulation    learned transition model and reward predictor: the agent
    TrueSimulation       the arena's own dynamics and reward: the oracle
    TrueDynamics         true dynamics, learned reward: what the transition model costs
    TrueReward           learned dynamics, true reward: what the reward predictor costs

The true ones read the sprites from an observation with the keys "factors" and "present".
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from percepts.agents.agent import Observation
from percepts.agents.cobra.planning import Gather
from percepts.agents.cobra.rewards import RewardModel
from percepts.agents.cobra.slots import OracleFactors, SlotEncoder, SlotState
from percepts.agents.cobra.transition import SlotTransition
from percepts.agents.spriteworld_policies import AT_ONCE, Look, sprites_of
from percepts.core.errors import CapabilityError
from percepts.envs.spriteworld.arena import Arena
from percepts.envs.spriteworld.state import Sprites

CPU_ROWS, GPU_ROWS = 256, 1 << 16
"""Outcomes that are computed at a time: as many as stay in a core's cache, or as fill a GPU."""


@dataclass(frozen=True)
class LearnedSimulation:
    """The agent's own idea of what happens and what it is worth.

    Attributes:
        transition: the model of the slots.
        reward: of the slots.
        optimism: this many deviations of an ensemble are added to its mean; negative is pessimism.
    """

    transition: SlotTransition
    reward: RewardModel
    optimism: float = 0.0
    observes: ClassVar[tuple[str, ...]] = ()

    @torch.inference_mode()
    def returns(
        self,
        state: SlotState,
        observation: Observation,
        actions: Float[Tensor, "batch count steps action"],
        how: Gather,
    ) -> Float[Tensor, "batch count"]:
        """Predicted rewards; see `planning.Simulation`."""
        state = self._counted(state)
        rows = GPU_ROWS if actions.is_cuda else CPU_ROWS
        return in_parts(lambda part: self._rewards(state, part), actions.to(state.latents.dtype), how, rows)

    def _rewards(self, state: SlotState, actions: Tensor) -> Iterator[Tensor]:
        latents, weight = state.latents[:, None], state.weight[:, None]
        shares = weight.expand(-1, actions.shape[1], -1).flatten(0, 1)
        for action in actions.unbind(2):
            latents = self.transition.predict(latents, action, weight)
            said = self.reward.predict(latents.flatten(0, 1), shares)
            value = said.mean + self.optimism * said.std if self.optimism else said.mean
            yield value.unflatten(0, action.shape[:2])

    def _counted(self, state: SlotState) -> SlotState:
        """The state without the slots that count nowhere: they change nothing but the time it takes."""
        most = max(1, int((state.weight > 0).sum(1).max()))
        if self.reward.ordered or most == state.weight.shape[1]:
            return state
        # A stable sort: slots that count keep their order, so that a row does not depend on its neighbours.
        order = (state.weight <= 0).to(torch.uint8).sort(dim=1, stable=True).indices[:, :most]
        latents = state.latents.gather(1, order[..., None].expand(-1, -1, state.latents.shape[2]))
        return SlotState(latents, state.weight.gather(1, order))


@dataclass(frozen=True)
class OfSprites(ABC):
    """The base of what knows the true sprites.

    Attributes:
        arena: whose rules hold.
    """

    arena: Arena
    observes: ClassVar[tuple[str, ...]] = ("factors", "present")

    @torch.inference_mode()
    def returns(
        self,
        state: SlotState | None,
        observation: Observation,
        actions: Float[Tensor, "batch count steps action"],
        how: Gather,
    ) -> Float[Tensor, "batch count"]:
        """Rewards of the sprites in `observation`; see `planning.Simulation`. An episode that would end goes on."""
        sprites = sprites_of(observation, self.arena.outlines)
        return in_parts(lambda part: self._rewards(state, sprites, part), actions, how, AT_ONCE)

    @abstractmethod
    def _rewards(self, state: SlotState | None, sprites: Sprites, actions: Tensor) -> Iterator[Tensor]:
        """The rewards [B, part] of one step after the other, for some of the sequences."""


@dataclass(frozen=True)
class TrueSimulation(OfSprites):
    """The arena's dynamics without noise, and its rewards."""

    def _rewards(self, state: SlotState | None, sprites: Sprites, actions: Tensor) -> Iterator[Tensor]:
        sprites = repeated(sprites, actions.shape[1])
        for action in actions.unbind(2):
            sprites, reward, _ = self.arena.simulate(sprites, action.flatten(0, 1))
            yield reward.unflatten(0, action.shape[:2])


@dataclass(frozen=True)
class TrueDynamics(OfSprites):
    """The arena's dynamics, and a learned reward of what is then seen.

    Attributes:
        arena: whose dynamics.
        encoder: makes slots of what is seen.
        reward: of the slots.
        look: what is seen of sprites.
    """

    encoder: SlotEncoder
    reward: RewardModel
    look: Look

    def _rewards(self, state: SlotState | None, sprites: Sprites, actions: Tensor) -> Iterator[Tensor]:
        sprites = repeated(sprites, actions.shape[1])
        for action in actions.unbind(2):
            sprites, _, _ = self.arena.simulate(sprites, action.flatten(0, 1))
            seen = self.encoder.encode(self.look(sprites))
            yield self.reward.predict(seen.latents, seen.weight).mean.unflatten(0, action.shape[:2])


@dataclass(frozen=True)
class TrueReward(OfSprites):
    """Learned dynamics of the true factors, and the arena's rewards of where they put the sprites.

    Attributes:
        arena: whose rewards.
        transition: the model of the slots.
        encoder: the one whose slots are the sprites, in their order.

    Raises:
        CapabilityError: the encoder is another one: slots of pictures are no sprites.
    """

    transition: SlotTransition
    encoder: SlotEncoder

    def __post_init__(self) -> None:
        if not isinstance(self.encoder, OracleFactors):
            raise CapabilityError(
                f"the true reward of slots of {type(self.encoder).__name__}, which are no sprites", "OracleFactors"
            )

    def _rewards(self, state: SlotState | None, sprites: Sprites, actions: Tensor) -> Iterator[Tensor]:
        assert state is not None
        sprites, actions = repeated(sprites, actions.shape[1]), actions.to(state.latents.dtype)
        latents, weight = state.latents[:, None], state.weight[:, None]
        for action in actions.unbind(2):
            latents = self.transition.predict(latents, action, weight)
            position = latents[..., : sprites.present.shape[1], :2].flatten(0, 1).double()
            reward = self.arena.config.task.judge(replace(sprites, position=position.clamp(0, 1))).reward
            yield reward.unflatten(0, action.shape[:2])


def in_parts(
    rewards: Callable[[Tensor], Iterable[Float[Tensor, "batch part"]]],
    actions: Float[Tensor, "batch count steps action"],
    how: Gather,
    rows: int,
) -> Float[Tensor, "batch count"]:
    """What sequences of actions are worth, so many outcomes at a time.

    Args:
        rewards: gives the rewards of one step after the other, for some of the sequences.
        actions: all sequences.
        how: whether the sum counts or the last reward.
        rows: outcomes at a time.
    """
    found = []
    for part in actions.split(max(1, rows // max(1, len(actions))), 1):
        values = list(rewards(part))
        found.append(values[-1] if how == "last" else torch.stack(values).sum(0))
    return torch.cat(found, 1)


def repeated(sprites: Sprites, count: int) -> Sprites:
    """Every arena `count` times in a row."""
    rows = torch.arange(len(sprites), device=sprites.present.device).repeat_interleave(count)
    return sprites.rows(rows)
