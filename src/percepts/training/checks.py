"""What the engine insists on: parameter groups that make sense, and numbers that are finite."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from percepts.core.capabilities import HasParameterGroups, Losses
from percepts.core.errors import ConfigError, MemoryShortage, NonFiniteError
from percepts.training.settings import Training

Groups = dict[str, list[torch.nn.Parameter]]


def parameter_groups(model: torch.nn.Module) -> Groups:
    """The model's trainable parameters by group; the one group "model" where it names none. Frozen groups are left out.

    Raises:
        ConfigError: a trainable parameter is in no group, or in two.
    """
    named: dict[str, Iterable[torch.nn.Parameter]] = (
        dict(model.parameter_groups()) if isinstance(model, HasParameterGroups) else {"model": model.parameters()}
    )
    groups = {name: [p for p in parameters if p.requires_grad] for name, parameters in named.items()}
    counts: dict[int, int] = {}
    for group in groups.values():
        for parameter in group:
            counts[id(parameter)] = counts.get(id(parameter), 0) + 1
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and counts.get(id(parameter), 0) != 1:
            where = f"is in {counts.get(id(parameter), 0)} of the groups {sorted(groups)}"
            raise ConfigError(f"the parameter {name} {where}", "each parameter in one group")
    return {name: group for name, group in groups.items() if group}


def check_settings(training: Training, groups: Groups, batch: int, world: int) -> None:
    """Check what depends on the model and the number of processes.

    Raises:
        ConfigError: an unknown group, nothing to train, or a batch that cannot be shared.
    """
    unknown = set(training.group_optimizers) - set(groups)
    if unknown:
        raise ConfigError(f"group_optimizers names {sorted(unknown)}", f"some of the model's groups {sorted(groups)}")
    if not groups:
        raise ConfigError("the model has no trainable parameters", "at least one parameter that requires a gradient")
    if batch % (world * training.accumulate):
        raise ConfigError(
            f"batch_size = {batch} over {world} processes and {training.accumulate} micro-batches",
            f"a multiple of {world * training.accumulate}",
        )


@contextmanager
def memory_guard(model: Any, batch: int, accumulate: int) -> Iterator[None]:
    """Say which settings need less memory where there is too little.

    Args:
        model: its `memory_options` names its own settings, such as "--model.slot-chunk 1".

    Raises:
        MemoryShortage: torch could not get the memory that it asked for.
    """
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        parts = next((parts for parts in range(accumulate + 1, batch + 1) if batch % parts == 0), None)
        options = [*getattr(model, "memory_options", ()), *([f"--accumulate {parts}"] if parts else [])]
        raise MemoryShortage(
            "a training step needs more memory than there is",
            "a smaller step",
            ", or ".join([*options, "a smaller --batch-size, in a new run"]),
        ) from error


class FiniteGuard:
    """Names the first thing that is NaN or infinite.

    On the CPU every step is checked before it changes a weight. Elsewhere that would stall the device, so the losses of
    all steps are folded into one flag, which is read before anything is logged or saved.
    """

    def __init__(self, device: torch.device) -> None:
        self.at_once = device.type == "cpu"
        self.clean = torch.ones((), dtype=torch.bool, device=device)
        self.last: Losses | None = None

    def losses(self, losses: Losses, step: int) -> None:
        """Check a step's losses.

        Raises:
            NonFiniteError: at once on the CPU.
        """
        self.last = losses
        for loss in losses.minimise.values():
            self.clean &= loss.detach().isfinite()
        if self.at_once:
            self.require(step)

    def gradients(self, norm: Tensor, group: str, step: int) -> None:
        """Check the norm of a group's gradient, as `losses` does."""
        self.clean &= norm.detach().isfinite()
        if self.at_once and not bool(self.clean):
            raise _not_finite(f"the gradient of the group '{group}' became {_kind(norm)} at step {step}", at_once=True)

    def weights(self, groups: Groups, step: int) -> None:
        """Check the weights before they are saved.

        Raises:
            NonFiniteError: a weight, or anything before it, is NaN or infinite.
        """
        self.require(step)
        for name, group in groups.items():
            if not bool(torch.nn.utils.get_total_norm(group).isfinite()):
                raise _not_finite(f"a weight of the group '{name}' became NaN or infinite by step {step}", False)

    def require(self, step: int) -> None:
        """Raise if anything was not finite up to `step`.

        Raises:
            NonFiniteError: with the first bad term of the newest losses.
        """
        if bool(self.clean):
            return
        values: dict[str, Any] = {**self.last.terms, **self.last.minimise} if self.last else {}
        for name, value in values.items():
            if not bool(value.isfinite().all()):
                when = "at" if self.at_once else "at or before"
                raise _not_finite(f"the loss term '{name}' became {_kind(value)} {when} step {step}", self.at_once)
        raise _not_finite(f"a loss or gradient was not finite before step {step}", self.at_once)


def _kind(value: Tensor) -> str:
    return "nan" if bool(value.isnan().any()) else "infinite"


def _not_finite(what: str, at_once: bool) -> NonFiniteError:
    kept = "this step changed no weight" if at_once else "the last checkpoint is from before it"
    fix = "a new run with a lower --lr or with --clip-norm 10, or look for bad images in the data"
    return NonFiniteError(f"{what}; {kept}", fix=fix)
