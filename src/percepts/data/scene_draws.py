"""Where the objects of generated 3-D scenes stand, and what is measured of them once they are drawn.

What can fail, a place for every object or enough visible pixels, is tried with attempt 0, 1, 2, … until an attempt
succeeds; only scenes that are still open are tried again. So a scene depends neither on the batch that it is drawn in
nor on how many attempts are worked on at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from percepts.core.errors import ConfigError
from percepts.data.hashed_draws import ATTEMPTS, Draws, Values

_AT_ONCE = 256
"""Attempts worked on at a time, over all open scenes."""

ROUNDS = 200
"""How often a scene is drawn to see whether it is accepted."""


@dataclass(frozen=True)
class Candidates:
    """Where N objects of B scenes may go, in the order of trying.

    Attributes:
        x, y: T places on the floor for every object.
        radius: how far every object reaches, in metres.
        allowed: which places are open to begin with; all if None.
    """

    x: Float64[Tensor, "batch objects tries"]
    y: Float64[Tensor, "batch objects tries"]
    radius: Float64[Tensor, "batch objects"]
    allowed: Bool[Tensor, "batch objects tries"] | None = None


Propose = Callable[[Tensor, Draws], Candidates]
"""Candidates for the scenes at some rows, from the draws of an attempt at each of them."""

Apart = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Whether two objects are far enough from each other, by x and y from one to the other and the sum of their radii."""


def place(
    draws: Draws, attempt: Int64[Tensor, " batch"], count: Int64[Tensor, " batch"], propose: Propose, apart: Apart
) -> tuple[Int64[Tensor, " batch"], Float64[Tensor, "batch objects 2"]]:
    """Put objects one after the other at their first candidate that is apart from all before them.

    Where the candidates of one object run out, the whole scene is tried anew. This is how CLEVR's generator places
    objects (Johnson et al. 2017).

    Args:
        draws: of the scenes.
        attempt: which attempt to begin with.
        count: how many of the objects have to find a place.
        propose: the candidates.
        apart: see `Apart`.

    Returns:
        The attempts that succeeded, and the places.

    Raises:
        ConfigError: the objects of some scene do not fit.
    """
    attempt = attempt.clone()
    position: Tensor | None = None
    pending = torch.arange(len(attempt), device=attempt.device)
    while position is None or len(pending):
        many = max(1, _AT_ONCE // max(1, len(pending)))
        ahead = torch.arange(many, device=pending.device)
        rows = pending.repeat_interleave(many)
        some = draws.attempt(rows, (attempt[pending, None] + ahead).flatten())
        fits, laid = _lay(propose(rows, some), count[rows], apart)
        fits, laid = fits.view(-1, many), laid.view(len(pending), many, *laid.shape[1:])
        found, first = fits.any(1), _first(fits)
        attempt[pending] += torch.where(found, first, many)
        position = laid.new_zeros(len(attempt), *laid.shape[2:]) if position is None else position
        done = found.nonzero()[:, 0]
        position[pending[done]] = laid[done, first[done]]
        pending = pending[~found]
        if len(pending) and int(attempt[pending].max()) >= ATTEMPTS:
            raise ConfigError(
                f"no scene in {ATTEMPTS} attempts where all objects keep their distance", fix="fewer or smaller objects"
            )
    return attempt, position


def settle(
    draws: Draws, make: Callable[[Draws, Tensor], Values], accept: Callable[[Values], Bool[Tensor, " batch"]]
) -> Values:
    """The first attempt at every scene that is accepted.

    Args:
        draws: of the scenes.
        make: gives some of the scenes, beginning with some attempt at each; `attempt` among the values says which one
            it came to.
        accept: which of these scenes are good.

    Raises:
        ConfigError: a scene that is never accepted.
    """
    pending = torch.arange(len(draws.number), device=draws.number.device)
    attempt = torch.zeros_like(pending)
    result: Values = {}
    for _ in range(ROUNDS):
        values = make(replace(draws, number=draws.number[pending]), attempt)
        good = accept(values)
        result = result or {name: value.clone() for name, value in values.items()}
        for name, value in values.items():
            result[name][pending[good]] = value[good]
        pending, attempt = pending[~good], values["attempt"][~good] + 1
        if not len(pending):
            return result
    raise ConfigError(
        f"no scene among {ROUNDS} where every object is visible enough", fix="fewer or larger objects, fewer pixels"
    )


def _lay(candidates: Candidates, count: Tensor, apart: Apart) -> tuple[Tensor, Tensor]:
    """Whether every scene could be laid out, and how."""
    batch, objects = candidates.radius.shape
    position = candidates.x.new_zeros(batch, objects, 2)
    fits = torch.ones(batch, dtype=torch.bool, device=count.device)
    for number in range(objects):
        # Few scenes have many objects, and of these few get as far as the last, which are the most work.
        rows = (fits & (number < count)).nonzero()[:, 0]
        if not len(rows):
            break
        x, y, reach = candidates.x[rows, number], candidates.y[rows, number], candidates.radius[rows]
        free = torch.ones_like(x, dtype=torch.bool) if candidates.allowed is None else candidates.allowed[rows, number]
        for before in range(number):
            other = position[rows, before, :, None]
            near = reach[:, number, None] + reach[:, before, None]
            free &= apart(x - other[:, 0], y - other[:, 1], near)
        first = _first(free)[:, None]
        position[rows, number] = torch.cat([x.gather(1, first), y.gather(1, first)], dim=1)
        fits[rows] = free.any(1)
    return fits, position


def _first(true: Bool[Tensor, "batch tries"]) -> Int64[Tensor, " batch"]:
    """The number of the first True in every row, 0 where there is none."""
    return (true * torch.arange(true.shape[1], 0, -1, device=true.device)).argmax(1)


def pixel_counts(
    segmentation: Int64[Tensor, "*batch height width"], entities: int
) -> Int64[Tensor, "*batch {entities}"]:
    """How many pixels show each entity."""
    flat = segmentation.flatten(-2)
    counts = torch.zeros(*flat.shape[:-1], entities, dtype=torch.int64, device=flat.device)
    return counts.scatter_add_(-1, flat, torch.ones_like(flat))


def project(
    position: Float[Tensor, "*batch entities 3"], camera: Float[Tensor, "*batch 4 4"], intrinsics: Float[Tensor, "4"]
) -> Float[Tensor, "*batch entities 3"]:
    """Where points appear: column and row as fractions of the image's width and height, and depth in metres."""
    offset = position - camera[..., None, :3, 3]
    x, y, z = (
        offset[..., 0] * camera[..., None, 0, axis]
        + offset[..., 1] * camera[..., None, 1, axis]
        + offset[..., 2] * camera[..., None, 2, axis]
        for axis in range(3)
    )
    lens = intrinsics.to(position)
    return torch.stack([lens[0] * x / z + lens[2], lens[1] * y / z + lens[3], z], dim=-1)


def relations(
    position: Float[Tensor, "*batch entities 3"],
    exists: Bool[Tensor, "*batch entities"],
    camera: Float[Tensor, "*batch 4 4"],
    margin: float = 0.2,
) -> Values:
    """Who is left, right, in front and behind of whom for the camera: bool [..., E, E], [i, j] says that j is so of i.

    Directions are the camera's, laid flat on the floor. j is left of i if it is more than `margin` metres further to
    the left, as in CLEVR's generator (Johnson et al. 2017), and so on.
    """
    x, y = (position[..., None, :, axis] - position[..., :, None, axis] for axis in range(2))
    pair = exists[..., :, None] & exists[..., None, :]
    result: Values = {}
    for axis, (minus, plus) in ((0, ("left", "right")), (2, ("front", "behind"))):
        along, across = camera[..., None, None, 0, axis], camera[..., None, None, 1, axis]
        distance = (x * along + y * across) / (along * along + across * across).sqrt()
        result[f"relation.{minus}"] = (distance < -margin) & pair
        result[f"relation.{plus}"] = (distance > margin) & pair
    return result


def after_backgrounds(value: Tensor, backgrounds: int, axis: int = 1) -> Tensor:
    """Values of objects, with zeros for the background entities before them."""
    shape = list(value.shape)
    shape[axis] = backgrounds
    return torch.cat([value.new_zeros(shape), value], dim=axis)
