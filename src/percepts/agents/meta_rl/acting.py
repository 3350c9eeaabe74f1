"""A trained network at the table: an `Agent`, for `agents.alchemy.playing` and for whoever has observations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from percepts.agents.agent import Observation
from percepts.agents.meta_rl.cores import State
from percepts.agents.meta_rl.network import ActorCritic
from percepts.agents.meta_rl.senses import Mind, Senses
from percepts.core.errors import DataError
from percepts.envs.alchemy.chemistry import Chemistry
from percepts.envs.alchemy.reading import read
from percepts.envs.streams import Streams


@dataclass(frozen=True)
class Thought:
    """What an agent goes on with.

    Attributes:
        mind: after the last look; None before the first.
        core: state of the network.
        action, slot: what it chose then.
        streams: of its random numbers.
    """

    mind: Mind | None
    core: State
    action: Tensor | None
    slot: Tensor | None
    streams: Streams


class NetworkAgent:
    """Plays with a network.

    Args:
        senses: what it sees.
        network: what it knows.
        greedy: whether it takes the most probable action, or draws one.
        seed: of the draws, together with those of the episodes.
    """

    def __init__(self, senses: Senses, network: ActorCritic, greedy: bool = True, seed: int = 0) -> None:
        self.senses, self.network, self.greedy, self.seed = senses, network, greedy, seed

    def start(self, seeds: Sequence[int]) -> Thought:
        """The state at the beginning of the episodes with these seeds."""
        streams = Streams.of(seeds, "alchemy network", self.seed, device=self.senses.device)
        return Thought(None, self.network.initial(len(seeds), self.senses.device), None, None, streams)

    @torch.no_grad()
    def act(self, observation: Observation, state: Any = None) -> tuple[Int64[Tensor, " batch"], Any]:
        """The actions, and the state after them; see `agents.agent.Agent`.

        Raises:
            DataError: it needs the truth, and the observation has no "chemistry".
        """
        table = self.senses.table
        view = read(observation, table.stones, table.potions)
        state = self.start(range(len(view.here))) if state is None else state
        truth = self._truth(observation, len(view.here))
        if state.mind is None:
            mind = self.senses.begin(view)
        else:
            mind = self.senses.follow(state.mind, state.action, state.slot, view)
            over = mind.trial >= table.trials
            if bool(over.any()):
                mind = mind.put(over, self.senses.begin(view).rows(over))
        legal = self.senses.legal(mind, truth)
        inputs, first = self.senses.inputs(mind, truth), mind.action < 0
        found, core = self.network(inputs[None], state.core, first[None], legal[None])
        streams = state.streams
        if self.greedy:
            action = found.log_probs[0].argmax(1)
        else:
            numbers, streams = streams.uniform(found.log_probs.shape[2])
            action = drawn(found.log_probs[0], numbers.float())
        slot = self.senses.slots(mind, action, truth)
        return slot, Thought(mind, core, action, slot, streams)

    def _truth(self, observation: Observation, batch: int) -> Chemistry:
        if "chemistry" in observation:
            return Chemistry(*observation["chemistry"].unbind(1))
        if self.senses.config.privileged:
            raise DataError("an observation without 'chemistry', which this agent was trained to see", "[B, 4]")
        unknown = torch.zeros(batch, dtype=torch.int64, device=self.senses.device)
        return Chemistry(unknown, unknown, unknown, unknown)


def drawn(log_probs: Float[Tensor, "batch actions"], unit: Float[Tensor, "batch actions"]) -> Int64[Tensor, " batch"]:
    """Actions with these probabilities, by the largest of log p plus Gumbel noise made of numbers in [0, 1)."""
    # Exponential noise: the smallest e / p is at an action with probability p.
    return (log_probs - (-torch.log1p(-unit)).clamp(min=1e-30).log()).argmax(1)
