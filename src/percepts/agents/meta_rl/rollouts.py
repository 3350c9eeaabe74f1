"""Steps of many arenas in a row, as learners learn from them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Self

from jaxtyping import Bool, Float, Int64
from torch import Tensor

from percepts.agents.meta_rl.cores import State


@dataclass(frozen=True)
class Rollout:
    """T consecutive steps of B arenas. Inputs, values and what may be done are also there for the step after them.

    Attributes:
        inputs: of the network.
        first: where an episode begins.
        legal: actions.
        value: that the network gave.
        action: that was chosen, log_prob: with this log-probability.
        reward: that is learned from, scaled and shaped.
        last: whether the step ended the episode.
        state: of the network before the first step.
        targets: what is to be predicted of every step, by name.
    """

    inputs: Float[Tensor, "more batch numbers"]
    first: Bool[Tensor, "more batch"]
    legal: Bool[Tensor, "more batch actions"]
    value: Float[Tensor, "more batch"]
    action: Int64[Tensor, "steps batch"]
    log_prob: Float[Tensor, "steps batch"]
    reward: Float[Tensor, "steps batch"]
    last: Bool[Tensor, "steps batch"]
    state: State
    targets: dict[str, Tensor]

    @property
    def steps(self) -> int:
        """T."""
        return len(self.action)

    @property
    def batch(self) -> int:
        """B."""
        return self.action.shape[1]

    def arenas(self, index: Tensor) -> Self:
        """Some of the arenas."""
        changed = {
            field.name: getattr(self, field.name)[:, index]
            for field in dataclasses.fields(self)
            if isinstance(getattr(self, field.name), Tensor)
        }
        changed["state"] = {name: part[index] for name, part in self.state.items()}
        changed["targets"] = {name: part[:, index] for name, part in self.targets.items()}
        return dataclasses.replace(self, **changed)

    def before_last(self) -> tuple[Tensor, State, Tensor, Tensor]:
        """What the network is fed for the T steps: inputs, state, first, legal."""
        return self.inputs[:-1], self.state, self.first[:-1], self.legal[:-1]
