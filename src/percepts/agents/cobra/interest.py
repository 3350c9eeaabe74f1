"""What an explorer is told to look for: a number for every transition, ln(1 + i / e₀), with e₀ a running median of e.

    error       i = e, the error of the transition model
    progress    i = max(0, ē − e), with ē the error of a copy of the model that follows it slowly

An error may stay for ever: actions may have noise, and pictures flicker. What the model cannot learn makes no progress,
so curiosity leaves it. Both are proposed; the paper speaks of the error (from summaries).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from percepts.agents.cobra.transition import SlotTransition
from percepts.training.checkpoint import load_weights

InterestName = Literal["error", "progress"]
_TINY = 1e-12
_LEAST = 0.1
"""Where half of what interests may be 0, and so the median, e₀ is at least this share of the batch's mean."""


class Interest:
    """Measures transitions.

    Args:
        name: see the module's head.
        model: which moves outside of here.
        follow: how much of the model the slow copy takes in after every update, a share in (0, 1).
        memory: of the running median, a share in [0, 1).
    """

    def __init__(self, name: InterestName, model: SlotTransition, follow: float, memory: float) -> None:
        self.model, self.rate, self.memory = model, follow, memory
        self.slow = copy.deepcopy(model).requires_grad_(False) if name == "progress" else None
        self.median: float | None = None

    @torch.no_grad()
    def follow(self) -> None:
        """Bring the slow copy a little nearer to the model."""
        if self.slow is not None:
            for own, newest in zip(self.slow.parameters(), self.model.parameters()):
                own.lerp_(newest, self.rate)

    @torch.no_grad()
    def of(
        self,
        error_of: Callable[[SlotTransition], Float[Tensor, " batch"]],
        unavoidable: Float[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, " batch"]:
        """ln(1 + i / e₀) of every transition.

        Args:
            error_of: the error of a model about them.
            unavoidable: what is left of the error where the model is perfect; it is subtracted. Progress needs none.
        """
        error = error_of(self.model)
        if self.slow is not None:
            return torch.log1p(self.progress(error_of, error) / self.scale(error))
        if unavoidable is None:
            return torch.log1p(error / self.scale(error))
        error = (error - unavoidable).clamp(min=0)
        return torch.log1p(error / self.scale(error, _LEAST))

    @torch.no_grad()
    def progress(
        self, error_of: Callable[[SlotTransition], Float[Tensor, " batch"]], error: Float[Tensor, " batch"]
    ) -> Float[Tensor, " batch"]:
        """max(0, ē − e), where `error` is e."""
        assert self.slow is not None
        return (error_of(self.slow) - error).clamp(min=0)

    def scale(self, error: Float[Tensor, " batch"], least: float = 0.0) -> float:
        """e₀ with this batch's say in it; at least this share of the batch's mean."""
        median = float(error.median())
        keep = self.memory
        self.median = median if self.median is None else keep * self.median + (1 - keep) * median
        return max(self.median, least * float(error.mean()), _TINY)

    def state_dict(self) -> dict[str, Any]:
        """The median, and the weights of the slow copy."""
        return {"median": self.median, "slow": None if self.slow is None else dict(self.slow.state_dict())}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Become what `state_dict` described.

        Raises:
            CheckpointError: the slow copy was of another model.
        """
        self.median = state["median"]
        if self.slow is not None:
            load_weights(self.slow, state["slow"], "slow copy of the transition model")
