"""A body before the table of Alchemy that walks, looks around, and has a hand: the controls of the 3-D version.

    hands = Hands(bench)
    state = hands.begin(bench.reset(seeds=range(8)))
    state, outcome = hands.act(state, action)                   # float32 [8, 10], in the order of `hands.names`

Names and ranges of the controls are those of the original (Wang, King, Porcel et al. 2021). Its physics is closed; here
a few simple rules stand for it. A closed hand that is empty takes the stone that the middle of the view points at; it
then carries it where the view points, as far as its arm is stretched and over everything that stands on the table; an
open hand lets go. The body walks around the table, not through it.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from percepts.envs.alchemy.bench import HALF, HOVER, TOP, BenchState, length
from percepts.envs.alchemy.interfaces import Control, Interface, PlayerState, towards
from percepts.envs.alchemy.scene import Arm
from percepts.envs.alchemy.table import NONE, Outcome

START, EYE = (0.0, -1.15), 1.8
"""Where the body stands at first, and the height of its eye, in metres."""
FIRST_PITCH = math.atan2(TOP - EYE, 1.1)
LOWEST, HIGHEST = -1.4, 0.9
"""Pitches of the view, in radians."""
WALK, HURRY = 1.5, 0.1
"""The body's speed in m/s, and the seconds in which it takes up most of it."""
TURN, NOD, WRIST = math.radians(120), math.radians(90), math.radians(180)
"""Angles a second at full deflection: of the view to the side, up and down, and of what is held."""
REACH, CLOSEST = 2.8, 0.35
"""How far an arm reaches and what is closest to the eye, in metres."""
STRETCH, SWING = 0.3, 3.0
"""Metres a second by which an arm is stretched for each unit of HAND_PUSH_PULL, and the hand's greatest speed."""
_ROOM, _GIRTH = 3.0, 0.2
"""How far from the table's middle the body walks, and half of its width."""
_GENEROUS = 1.2
_CLOSED = 0.5
_AHEAD, _SIDE, _UP, _RIGHT, _ROLL, _TIP, _SPIN, _PUSH, _GRIP = range(9)


@dataclass(frozen=True)
class HandsState(PlayerState):
    """B bodies.

    Attributes:
        place: where they stand.
        velocity: of them, in m/s.
        yaw: to which side they look, in radians from ahead to the right.
        pitch: how far up.
        stretch: of their arms, in metres from the eye.
        acceleration: to the right, up and ahead, in m/s².
    """

    place: Float32[Tensor, "batch 2"]
    velocity: Float32[Tensor, "batch 2"]
    yaw: Float32[Tensor, " batch"]
    pitch: Float32[Tensor, " batch"]
    stretch: Float32[Tensor, " batch"]
    acceleration: Float32[Tensor, "batch 3"]


class Hands(Interface[HandsState]):
    """The continuous controls of the original. USE_HELD_OBJECT, of which nothing is known, does nothing."""

    controls = (
        Control("MOVE_BACK_FORWARD", -1.0, 1.0),
        Control("STRAFE_LEFT_RIGHT", -1.0, 1.0),
        Control("LOOK_DOWN_UP", -1.0, 1.0),
        Control("LOOK_LEFT_RIGHT", -1.0, 1.0),
        Control("HAND_ROTATE_AROUND_FORWARD", -1.0, 1.0),
        Control("HAND_ROTATE_AROUND_RIGHT", -1.0, 1.0),
        Control("HAND_ROTATE_AROUND_UP", -1.0, 1.0),
        Control("HAND_PUSH_PULL", -10.0, 10.0),
        Control("HAND_GRIP", 0.0, 1.0),
        Control("USE_HELD_OBJECT", 0.0, 1.0),
    )
    reticle = True

    def begin(self, bench: BenchState) -> HandsState:
        """Bodies at the beginning of an episode."""
        hand = bench.hand
        zero = torch.zeros_like(hand[:, 0])
        return HandsState(
            bench=bench,
            motion=torch.zeros_like(hand),
            force=zero.clone(),
            place=hand.new_tensor(START).expand(len(hand), 2).clone(),
            velocity=torch.zeros_like(hand[:, :2]),
            yaw=zero.clone(),
            pitch=torch.full_like(zero, FIRST_PITCH),
            stretch=torch.full_like(zero, REACH),
            acceleration=torch.zeros_like(hand),
        )

    def act(self, state: HandsState, action: Float32[Tensor, "batch 10"]) -> tuple[HandsState, Outcome]:
        """Let a frame pass; see `Interface.act`."""
        action = self.checked(state, action) * ~state.finished[:, None]
        state = self._moved(state, action)
        right, up, ahead = axes(state.yaw, state.pitch)
        closed = action[:, _GRIP] > _CLOSED
        grab = torch.where(closed & (state.bench.held < 0), self.pointed_at(state), NONE)
        hand = torch.where((grab >= 0)[:, None], self._middle(state.bench, grab), state.bench.hand)
        goes = (grab >= 0) | (closed & (state.bench.held >= 0)) | (state.bench.held < 0)
        hand = torch.where(goes[:, None], towards(hand, self._goal(state, ahead, grab), SWING * self.interval), hand)
        turned = state.bench.turned
        wrist = action[:, [_TIP, _SPIN, _ROLL]] * (state.bench.held >= 0)[:, None]
        if bool((wrist != 0).any()):
            turned = self._twisted(state.bench, wrist * (WRIST * self.interval), (right, up, ahead))
        after, outcome = self.bench.advance(state.bench, hand, grab, ~closed, turned)
        motion, force = self.handled(state, after)
        return dataclasses.replace(state, bench=after, motion=motion, force=force), outcome

    def pointed_at(self, state: HandsState) -> Int64[Tensor, " batch"]:
        """The stone that the middle of the view points at, -1 for none: of several the one that it meets most exactly.
        Flasks are no hindrance."""
        ahead = axes(state.yaw, state.pitch)[2][:, None]
        way = self.bench.centres(state.bench) - self.eye(state)[:, None]
        along = dot(way, ahead)
        off = length(way - along[..., None] * ahead) / self.bench.radii(state.bench)
        met = state.bench.table.stone_here & (along > 0) & (along <= state.stretch[:, None]) & (off <= _GENEROUS)
        least, stone = torch.where(met, off, torch.inf).min(1)
        return torch.where(least < torch.inf, stone, NONE)

    def eye(self, state: HandsState) -> Float32[Tensor, "batch 3"]:
        """Where the eyes are."""
        return torch.cat([state.place, torch.full_like(state.place[:, :1], EYE)], 1)

    def look(self, state: HandsState) -> tuple[Float32[Tensor, "batch 4 4"], Arm]:
        """The cameras, and the arms that carry something."""
        right, up, ahead = axes(state.yaw, state.pitch)
        eye = self.eye(state)
        pose = torch.zeros(len(state), 4, 4, device=eye.device)
        for column, vector in enumerate((right, -up, ahead, eye)):
            pose[:, :3, column] = vector
        pose[:, 3, 3] = 1
        held = state.bench.held
        radius = self.bench.radii(state.bench).gather(1, held.clamp(min=0)[:, None])
        hand = state.bench.hand - up * (radius * 0.9) + right * (radius * 0.5)
        shoulder = eye + 0.22 * right - 0.32 * up + 0.15 * ahead
        return pose, Arm(shoulder, hand, held >= 0)

    def acceleration(self, state: HandsState) -> Float32[Tensor, "batch 3"]:
        """Of the bodies, to the right, up and ahead, in m/s²."""
        return state.acceleration

    def hand_distance(self, state: HandsState) -> Float32[Tensor, " batch"]:
        """From the eye to the hand, in metres."""
        return length(state.bench.hand - self.eye(state))

    def _moved(self, state: HandsState, action: Tensor) -> HandsState:
        """The bodies after a frame's walk and turn."""
        interval = self.interval
        yaw = state.yaw + action[:, _RIGHT] * (TURN * interval)
        yaw = torch.remainder(yaw + math.pi, 2 * math.pi) - math.pi
        pitch = (state.pitch + action[:, _UP] * (NOD * interval)).clamp(LOWEST, HIGHEST)
        stretch = (state.stretch + action[:, _PUSH] * (STRETCH * interval)).clamp(CLOSEST, REACH)
        right, _, _ = axes(yaw, torch.zeros_like(pitch))
        right = right[:, :2]
        ahead = torch.stack([-right[:, 1], right[:, 0]], 1)
        wanted = (right * action[:, _SIDE, None] + ahead * action[:, _AHEAD, None]) * WALK
        velocity = state.velocity + (wanted - state.velocity) * min(1.0, interval / HURRY)
        place, velocity = _walked(state.place, velocity, interval)
        change = (velocity - state.velocity) / interval
        felt = torch.stack([dot(change, right), torch.zeros_like(yaw), dot(change, ahead)], 1)
        going = ~state.finished
        moved = {
            "place": place, "velocity": velocity, "yaw": yaw, "pitch": pitch, "stretch": stretch, "acceleration": felt,
        }  # fmt: skip
        kept: dict[str, Any] = {
            name: torch.where(_like(going, new), new, getattr(state, name)) for name, new in moved.items()
        }
        return dataclasses.replace(state, **kept)

    def _goal(self, state: HandsState, ahead: Tensor, grab: Tensor) -> Tensor:
        """Where hands are on their way to: where the view points, above the table, within the arm's length."""
        eye = self.eye(state)
        holds = (state.bench.held >= 0) | (grab >= 0)
        floor = torch.where(holds, TOP + HOVER, TOP)
        down = ahead[:, 2].clamp(max=-1e-6)
        stretch = torch.minimum(state.stretch, torch.where(ahead[:, 2] < 0, (floor - eye[:, 2]) / down, torch.inf))
        return eye + ahead * stretch[:, None]

    def _middle(self, bench: BenchState, stone: Tensor) -> Tensor:
        index = stone.clamp(min=0)[:, None, None].expand(-1, 1, 3)
        return self.bench.centres(bench).gather(1, index)[:, 0]

    def _twisted(self, bench: BenchState, angles: Tensor, around: tuple[Tensor, ...]) -> Tensor:
        """How stones are turned after the held one was turned around axes."""
        turned = bench.turned
        for angle, axis in zip(angles.unbind(1), around):
            turned = _rotated(turned, angle[:, None, None], axis[:, None])
        slot = torch.arange(turned.shape[1], device=turned.device)
        return torch.where((slot == bench.held[:, None])[..., None, None], turned, bench.turned)


def axes(yaw: Tensor, pitch: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The directions [B, 3] to the right of a view, up and ahead."""
    # Double precision: the last bit of a float32 sine may depend on how many are computed at a time.
    side, along = (value.float() for value in (yaw.double().sin(), yaw.double().cos()))
    high, level = (value.float() for value in (pitch.double().sin(), pitch.double().cos()))
    zero = torch.zeros_like(side)
    return (
        torch.stack([along, -side, zero], 1),
        torch.stack([-side * high, -along * high, level], 1),
        torch.stack([side * level, along * level, high], 1),
    )


def dot(one: Tensor, other: Tensor) -> Tensor:
    """Products of vectors [..., n], by sums whose last bit does not depend on the batch."""
    product = one * other
    total = product[..., 0]
    for axis in range(1, product.shape[-1]):
        total = total + product[..., axis]
    return total


def _rotated(turned: Tensor, angle: Tensor, axis: Tensor) -> Tensor:
    """Rotations [B, S, 3, 3], turned on by an angle around an axis (Rodrigues): column by column."""
    sine, cosine = angle.double().sin().float(), angle.double().cos().float()
    columns = []
    for column in turned.unbind(-1):
        cross = torch.linalg.cross(axis.expand_as(column), column)
        columns.append(column * cosine + cross * sine + axis * (dot(axis, column)[..., None] * (1 - cosine)))
    return torch.stack(columns, -1)


def _walked(place: Tensor, velocity: Tensor, interval: float) -> tuple[Tensor, Tensor]:
    """Where bodies come to, one direction after the other: what would lead into the table or out of the room stops."""
    for axis in (0, 1):
        step = torch.zeros_like(velocity)
        step[:, axis] = velocity[:, axis] * interval
        there = place + step
        table = (there.abs() < there.new_tensor(HALF) + _GIRTH).all(1)
        free = ~table & (there.abs() <= _ROOM).all(1)
        place = torch.where(free[:, None], there, place)
        velocity = torch.where((free | (step == 0).all(1))[:, None], velocity, velocity * (step == 0))
    return place, velocity


def _like(rows: Tensor, value: Tensor) -> Tensor:
    return rows.view(-1, *[1] * (value.ndim - 1))
