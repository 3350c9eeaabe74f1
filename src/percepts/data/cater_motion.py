"""Who moves where in a CATER-like video: actions by time segments, without collisions, and the paths that follow.

In every segment one or two objects act. `rotate` turns an object by a quarter, `slide` moves it over the floor,
`pick_place` lifts it and puts it down elsewhere, `contain` puts a cone over a smaller object. What is inside a cone
moves with it when the cone slides, cannot act itself, and stays where it is when the cone is lifted. These are the
actions of CATER (Girdhar and Ramanan 2020); their pace, paths and odds are this library's own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from percepts.data.hashed_draws import TRIES, Draws

ACTIONS = ("none", "rotate", "slide", "pick_place", "contain")
SEGMENT = 8
"""Frames of a segment."""

_NONE, _ROTATE, _SLIDE, _PICK, _CONTAIN = range(5)
_HALF, _GAP, _LIFT = 3.0, 0.1, 2.0
"""Half a side of the floor that is used, free space around what moves, how high things are lifted, in metres."""
_FITS, _CONE_FITS = 0.61, 0.67
"""The largest radius of what is inside a cone, or of a cone inside of a cone, relative to the outer cone's: no corner
of a cube and no side of a ball looks out."""


@dataclass(frozen=True)
class Cast:
    """The N objects of B videos.

    Attributes:
        exists: which there are.
        cone: which of them are cones.
        radius: how far they reach on the floor.
        upright: half their height.
    """

    exists: Bool[Tensor, "batch objects"]
    cone: Bool[Tensor, "batch objects"]
    radius: Float64[Tensor, "batch objects"]
    upright: Float64[Tensor, "batch objects"]


@dataclass(frozen=True)
class Motion:
    """What happens in B videos of T frames.

    Attributes:
        position: of the centres, in metres.
        yaw: in radians, from 0 to 2π.
        action: of every object in every segment, a number into `ACTIONS`.
        inside: [b, t, i, j] says that i is inside of cone j.
    """

    position: Float64[Tensor, "batch frames objects 3"]
    yaw: Float64[Tensor, "batch frames objects"]
    action: Int64[Tensor, "batch segments objects"]
    inside: Bool[Tensor, "batch frames objects objects"]


@dataclass
class _Segment:
    """A segment while its actions are found: paths [B, frames, N, 3], turns [B, frames, N], actions [B, N], who is
    inside of whom [B, N, N] at its beginning and its end, and who is `busy` [B, N] or taken."""

    path: Tensor
    turn: Tensor
    action: Tensor
    before: Tensor
    after: Tensor
    busy: Tensor


def plan(
    draws: Draws,
    cast: Cast,
    start: Float64[Tensor, "batch objects 3"],
    yaw: Float64[Tensor, "batch objects"],
    frames: int,
) -> Motion:
    """What the objects do, from where they stand at first.

    Args:
        draws: of the videos.
        cast: the objects.
        start: their first positions, apart from each other.
        yaw: their first orientations.
        frames: how many there are; segments have `SEGMENT` frames, and the last may be cut off.
    """
    inside = torch.zeros(*cast.exists.shape, cast.exists.shape[1], dtype=torch.bool, device=start.device)
    paths, turns, actions, insides = [start[:, None]], [yaw[:, None]], [], [inside[:, None]]
    for number in range(-(-(frames - 1) // SEGMENT)):
        segment = _act(draws, number, cast, paths[-1][:, -1], turns[-1][:, -1], inside)
        inside = segment.after
        paths.append(segment.path[:, 1:])
        turns.append(segment.turn[:, 1:])
        actions.append(segment.action)
        insides += [segment.before[:, None]] * (SEGMENT - 1) + [inside[:, None]]
    return Motion(
        torch.cat(paths, 1)[:, :frames],
        torch.cat(turns, 1)[:, :frames] % (2 * math.pi),
        torch.stack(actions, 1) if actions else cast.radius.new_zeros(len(yaw), 0, yaw.shape[1], dtype=torch.int64),
        torch.cat(insides, 1)[:, :frames],
    )


def _act(draws: Draws, number: int, cast: Cast, start: Tensor, yaw: Tensor, inside: Tensor) -> _Segment:
    """Segment `number`."""
    segment = _Segment(
        path=start[:, None].repeat(1, SEGMENT + 1, 1, 1),
        turn=yaw[:, None].repeat(1, SEGMENT + 1, 1),
        action=torch.zeros_like(cast.exists, dtype=torch.int64),
        before=inside.clone(),
        after=inside.clone(),
        busy=~cast.exists | inside.any(2),
    )
    movers = draws.whole(f"{number}.movers", 1, 2)
    for mover in range(2):
        _move(draws, f"{number}.{mover}", cast, segment, mover < movers)
    return segment


def _move(draws: Draws, name: str, cast: Cast, segment: _Segment, wanted: Tensor) -> None:
    """Let one more object act in the videos where that is `wanted`, if there is one that can."""
    batch, objects = cast.exists.shape
    rows = torch.arange(batch, device=wanted.device)
    who = _any(draws.uniform(f"{name}.who", objects), ~segment.busy)
    wanted = wanted & ~segment.busy[rows, who]
    action = _ROTATE + draws.whole(f"{name}.action", 0, 2)
    action = torch.where(cast.cone[rows, who], action + 1, action)
    small = cast.radius <= torch.where(cast.cone, _CONE_FITS, _FITS) * cast.radius[rows, who][:, None]
    can_be_inside = ~segment.busy & small
    target = _any(draws.uniform(f"{name}.target", objects), can_be_inside)
    action = torch.where((action == _CONTAIN) & ~can_be_inside[rows, target], _PICK, action)
    covers = action == _CONTAIN

    goal = draws.between(f"{name}.goal", (-_HALF, _HALF), TRIES, 2)
    goal = torch.where(covers[:, None, None], segment.path[rows, 0, target, :2][:, None], goal)
    here = segment.path[rows, 0, who]
    goal = torch.where((action == _ROTATE)[:, None, None], here[:, None, :2], goal)
    path = _path(here, goal, action >= _PICK)
    free = _is_free(cast, segment, path, who, torch.where(covers, target, -1))
    first = (free * torch.arange(TRIES, 0, -1, device=free.device)).argmax(1)
    done = wanted & free.any(1)

    shift = path[rows, first] - here[:, None]
    # Lifted, a cone leaves what is inside of it; sliding, it takes it along.
    lifted = done & (action >= _PICK)
    segment.before[rows, :, who] &= ~lifted[:, None]
    segment.after[rows, :, who] &= ~lifted[:, None]
    along = segment.before[rows, :, who] | (torch.arange(objects, device=who.device) == who[:, None])
    segment.path += shift[:, :, None] * (along & done[:, None])[:, None, :, None]
    quarter = (math.pi / 2) * _smooth(torch.linspace(0, 1, SEGMENT + 1, dtype=torch.float64, device=who.device))
    segment.turn[rows, :, who] += quarter * (done & (action == _ROTATE))[:, None]
    segment.action[rows, who] = torch.where(done, action, segment.action[rows, who])
    # A thing inside of a cone that is covered itself is inside of both.
    covered = done & covers
    within = segment.after[rows, :, target] | (torch.arange(objects, device=who.device) == target[:, None])
    segment.after[rows, :, who] |= within & covered[:, None]
    segment.busy[rows, who] |= wanted
    segment.busy[rows, target] |= covered


def _path(here: Tensor, goal: Tensor, lifted: Tensor) -> Float64[Tensor, "batch tries frames 3"]:
    """From `here` [B, 3] to every `goal` [B, T, 2]: over the floor, or first up, then across, then down."""
    time = torch.linspace(0, 1, SEGMENT + 1, dtype=torch.float64, device=here.device)
    across = torch.where(lifted[:, None], _smooth((2 * time - 0.5).clamp(0, 1)), _smooth(time))[:, None]
    up = torch.where(lifted[:, None], _smooth((4 * torch.minimum(time, 1 - time)).clamp(0, 1)), 0.0)[:, None]
    x, y = (
        (here[:, None, None, axis]) + across * (goal[..., axis] - here[:, None, axis])[..., None] for axis in range(2)
    )
    z = here[:, None, None, 2] + _LIFT * up
    return torch.stack([x, y, z.expand_as(x)], dim=-1)


def _is_free(cast: Cast, segment: _Segment, path: Tensor, who: Tensor, target: Tensor) -> Bool[Tensor, "batch tries"]:
    """Along which paths [B, T, frames, 3] object `who` never meets another one; it may meet its `target`."""
    batch, objects = cast.exists.shape
    rows = torch.arange(batch, device=who.device)
    number = torch.arange(objects, device=who.device)
    others = cast.exists & ~segment.before.any(2) & (number != who[:, None]) & (number != target[:, None])
    # Whatever was inside of a cone only has to be clear of the place where the cone is put down.
    own = segment.before[rows, :, who] & (segment.before.sum(2) == 1)
    free = torch.ones(path.shape[:2], dtype=torch.bool, device=who.device)
    for other in range(objects):
        offset = path - segment.path[:, None, :, other]
        reach = cast.radius[rows, who] + cast.radius[:, other] + _GAP
        height = cast.upright[rows, who] + cast.upright[:, other]
        near = offset[..., 0].square() + offset[..., 1].square() < reach.square()[:, None, None]
        meets = near & (offset[..., 2].abs() < height[:, None, None])
        free &= ~(meets.any(2) & others[:, other, None])
        free &= ~(meets[..., -1] & own[:, other, None])
    return free


def _any(number: Tensor, among: Tensor) -> Tensor:
    """The one with the largest random `number` [B, N] in [0, 1) of those that are `among` the choices."""
    return (number + among).argmax(1)


def _smooth(time: Tensor) -> Tensor:
    """From 0 to 1, slowly at both ends."""
    return time * time * (3 - 2 * time)
