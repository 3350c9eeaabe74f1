"""A network and its optimiser: a step, and a state that can be saved and resumed to the same bits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from percepts.core.errors import CheckpointError, NonFiniteError
from percepts.training.checkpoint import load_weights
from percepts.training.optimizers import Optimizer


class Learner:
    """Minimises losses of `module`.

    Args:
        module: whose parameters are moved.
        settings: of the optimiser.
        steps: of the whole training, for schedules.
        name: to call it in errors.
    """

    def __init__(self, module: nn.Module, settings: Optimizer, steps: int, name: str) -> None:
        self.module, self.settings, self.steps, self.name = module, settings, max(1, steps), name
        self.parameters = list(module.parameters())
        self.optimizer = settings.over(self.parameters) if self.parameters else None
        self.done = 0

    def step(self, loss: Float[Tensor, ""]) -> None:
        """One step down.

        Raises:
            NonFiniteError: the loss is NaN or infinite; the weights are those of the step before.
        """
        step_together(loss, self)

    def move(self) -> None:
        """One step along the gradients that are there."""
        assert self.optimizer is not None
        if self.settings.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.settings.clip_norm)
        for options in self.optimizer.param_groups:
            options["lr"] = self.settings.lr * self.settings.schedule.factor(self.done, self.steps)
        self.optimizer.step()
        self.done += 1

    def state_dict(self) -> dict[str, Any]:
        """Weights, moments and the number of steps: tensors and plain values."""
        moments = self.optimizer.state_dict()["state"] if self.optimizer else {}
        return {
            "kind": self.settings.name,
            "done": self.done,
            "weights": dict(self.module.state_dict()),
            "moments": {str(number): dict(values) for number, values in moments.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Become what `state_dict` described.

        Raises:
            CheckpointError: it is of another network or optimiser.
        """
        if state["kind"] != self.settings.name:
            raise CheckpointError(f"the {self.name} was trained with {state['kind']}", self.settings.name)
        load_weights(self.module, state["weights"], self.name)
        if self.optimizer is not None:
            moments = {int(number): dict(values) for number, values in state["moments"].items()}
            groups = self.optimizer.state_dict()["param_groups"]
            self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
            for parameter, values in self.optimizer.state.items():
                # Fused kernels pair a weight and its moments by their place in memory.
                for key, value in values.items():
                    if isinstance(value, Tensor) and value.shape == parameter.shape:
                        values[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        self.done = int(state["done"])


def step_together(loss: Float[Tensor, ""], *learners: Learner) -> None:
    """One step of several networks down the same loss, with one way back through it.

    Raises:
        NonFiniteError: the loss is NaN or infinite; the weights are those of the step before.
    """
    moving = [learner for learner in learners if learner.optimizer is not None]
    if not moving:
        return
    if not bool(loss.isfinite()):
        names = " and the ".join(learner.name for learner in moving)
        raise NonFiniteError(
            f"the loss of the {names} became {loss.item()} in update {moving[0].done}", fix="a lower learning rate"
        )
    for learner in moving:
        assert learner.optimizer is not None
        learner.optimizer.zero_grad(set_to_none=True)
    loss.backward(inputs=[parameter for learner in moving for parameter in learner.parameters])
    for learner in moving:
        learner.move()
