"""How generated scenes draw: every number is a hash of the seed, the split, the scene's index and the number's name.

Scene i is therefore the same in any batch, order, worker and run. Rejection numbers its attempts, and a scene takes the
first attempt that is accepted, however many scenes and attempts are looked at together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from percepts.core.errors import DataError
from percepts.core.random import Key
from percepts.data.dataset import check_places
from percepts.data.hashing import hashed_uniform

ATTEMPTS = 1 << 12
"""The most attempts at a scene."""
TRIES = 50
"""How many attempts keep what is to be placed and only place it anew; then the whole scene is drawn again."""
_AT_ONCE = 1 << 12


@dataclass(frozen=True)
class Draws:
    """The random numbers of some scenes.

    Attributes:
        number: of every scene; equal numbers draw the same.
        seed: of the dataset.
        keys: what else the numbers depend on, such as the split.
    """

    number: Int64[Tensor, " batch"]
    seed: int
    keys: tuple[Key, ...] = ()

    def uniform(self, name: str, *shape: int) -> Float64[Tensor, "batch ..."]:
        """Numbers in [0, 1), `shape` of them for every scene; the same name gives the same numbers."""
        count = 1
        for size in shape:
            count *= size
        each = self.number[:, None] * count + torch.arange(count, device=self.number.device)
        return hashed_uniform(each, self.seed, *self.keys, name).reshape(len(self.number), *shape)

    def between(self, name: str, ends: tuple[float, float], *shape: int) -> Float64[Tensor, "batch ..."]:
        """Numbers from the first end to before the second."""
        return ends[0] + (ends[1] - ends[0]) * self.uniform(name, *shape)

    def whole(self, name: str, low: int | Tensor, high: int | Tensor, *shape: int) -> Int64[Tensor, "batch ..."]:
        """Whole numbers from `low` to `high`, both included, each as likely as the others."""
        return (self.uniform(name, *shape) * (high - low + 1)).long() + low

    def choice(self, name: str, count: int, chosen: int) -> Int64[Tensor, "batch chosen"]:
        """`chosen` different numbers of 0 to `count` - 1 in random order."""
        return self.uniform(name, count).argsort(1)[:, :chosen]

    def attempt(self, rows: Int64[Tensor, " rows"], which: Int64[Tensor, " rows"]) -> Draws:
        """The draws of attempt `which` (below `ATTEMPTS`) at the scenes `rows`."""
        return replace(self, number=self.number[rows] * ATTEMPTS + which)


@dataclass(frozen=True)
class Attempt:
    """One attempt at each of some scenes.

    Attributes:
        rows: which of the scenes.
        scene: draws of the whole scene; they change every `TRIES` attempts.
        place: draws of where things are, new in every attempt.
    """

    rows: Int64[Tensor, " rows"]
    scene: Draws
    place: Draws


def item_numbers(indices: Tensor, count: int, device: torch.device | str) -> Int64[Tensor, " batch"]:
    """Indices [B] of items as what numbers can be drawn by. Whole numbers of other types become int64: in smaller ones
    the numbers that are made of them would overflow, and other items come out.

    Raises:
        IndexError: not a row of whole numbers, or an index that is negative or too large.
    """
    if indices.ndim != 1 or indices.is_floating_point() or indices.is_complex() or indices.dtype == torch.bool:
        raise IndexError(f"indices of type {indices.dtype} and shape {tuple(indices.shape)} instead of int64 [B]")
    indices = indices.long()
    check_places(indices, count)
    return indices.to(device)


Values = dict[str, Tensor]
Propose = Callable[[Attempt], tuple[Values, Bool[Tensor, " rows"]]]
"""Gives values [rows, …] and what is accepted."""


def first_accepted(draws: Draws, propose: Propose, what: str, fix: str, attempts: int = 20 * TRIES) -> Values:
    """For every scene the values of its first accepted attempt.

    Args:
        draws: of the scenes.
        propose: makes the attempts.
        what: is drawn, for the error.
        fix: what to change where no attempt succeeds.
        attempts: after which a scene is given up.

    Raises:
        DataError: no attempt at some scene was accepted.
    """
    device = draws.number.device
    open_, first, size = torch.arange(len(draws.number), device=device), 0, 1
    found: Values = {}
    while True:
        rows = open_.repeat_interleave(size)
        which = torch.arange(first, first + size, device=device).repeat(len(open_))
        values, good = propose(Attempt(rows, draws.attempt(rows, which // TRIES), draws.attempt(rows, which)))
        good = good.reshape(len(open_), size)
        best = good.to(torch.uint8).argmax(1)
        done = good.gather(1, best[:, None])[:, 0] if len(open_) else good.new_zeros(0)
        taken = (torch.arange(len(open_), device=device) * size + best)[done]
        for name, value in values.items():
            if name not in found:
                found[name] = value.new_zeros(len(draws.number), *value.shape[1:])
            found[name][open_[done]] = value[taken]
        open_, first = open_[~done], first + size
        if not len(open_):
            return found
        if first >= attempts:
            raise DataError(f"{attempts} attempts at {what} did not fit together", "scenes that can be made", fix)
        # Few scenes, many attempts at once: the tail would otherwise cost as much as the whole batch.
        size = min(4 * size, max(1, _AT_ONCE // len(open_)), attempts - first)
