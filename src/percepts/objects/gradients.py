"""Which slots learn: the share of the likelihood's gradient that reaches what each slot draws."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from percepts.core.capabilities import Batch, Step
from percepts.objects.terms import SlotTerms


class HasTerms(Protocol):
    """A slot model that tells what a batch costs and how it is taken apart."""

    def terms(self, batch: Batch, step: Step) -> SlotTerms: ...


def gradient_share(model: HasTerms | Any, batch: Batch, step: Step) -> Float[Tensor, " slots"]:
    """The L1 norm of d NLL / d appearance of every slot as a share of all slots' together; sums to 1.

    A slot with a share near 0 is not taught how to draw, whatever its mask. Costs one forward and half a backward pass;
    no parameter's gradient changes.
    """
    with torch.enable_grad():
        terms = model.terms(batch, step)
        (gradient,) = torch.autograd.grad(terms.reconstruction, terms.appearance)
    norm = gradient.abs().sum(dim=(0, 2, 3, 4))
    return norm / norm.sum().clamp_min(torch.finfo(norm.dtype).tiny)
