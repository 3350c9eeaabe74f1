"""What an agent is: it sees B observations and gives B actions, and whatever it remembers is handed to it.

    state = None
    while running:
        action, state = agent.act(observation, state)
        observation = environment.step(action)

Agents keep nothing between calls, so that one serves any number of environments.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

Observation = Mapping[str, Tensor]
"""What B environments show, by name; dimension 0 is the environment."""


@runtime_checkable
class Agent(Protocol):
    """Acts in B environments at once. Nothing is remembered inside: the same observation and state give the same
    action."""

    def act(self, observation: Observation, state: Any = None) -> tuple[Tensor, Any]:
        """The actions [B, ...] for `observation`, and the state to hand over with the next one.

        Args:
            observation: tensors by name, dimension 0 = environments.
            state: what the call before gave; None before the first step.
        """
