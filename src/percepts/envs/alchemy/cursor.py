"""A cursor over the table of Alchemy: move, grab, drop. The eye does not move, and sees the whole table.

cursor = Cursor(bench)
state = cursor.begin(bench.reset(seeds=range(8)))
state, outcome = cursor.act(state, torch.tensor([[0.5, 1.0, 0.0]]).expand(8, 3))    # right, ahead, open
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from percepts.envs.alchemy.bench import HALF, HOVER, TOP, BenchState, length
from percepts.envs.alchemy.interfaces import Control, Interface, PlayerState
from percepts.envs.alchemy.scene import Arm
from percepts.envs.alchemy.table import NONE, Outcome
from percepts.rendering.objects import look_at

SPEED = 2.0
"""Of the cursor at full deflection, in m/s."""
EYE, AIM = (0.0, -1.2, 2.0), (0.0, -0.02, TOP)
_GENEROUS = 1.3
"""How far from a stone's middle it can be grabbed, in its radii."""
_CLOSED = 0.5


@dataclass(frozen=True)
class CursorState(PlayerState):
    """B cursors, which are where the hands are."""


class Cursor(Interface[CursorState]):
    """Two directions and a grip. A closed hand that is empty takes the stone under it, an open one lets go."""

    controls = (
        Control("CURSOR_LEFT_RIGHT", -1.0, 1.0),
        Control("CURSOR_BACK_FORWARD", -1.0, 1.0),
        Control("HAND_GRIP", 0.0, 1.0),
    )

    def begin(self, bench: BenchState) -> CursorState:
        """Cursors at the beginning of an episode."""
        return CursorState(bench, torch.zeros_like(bench.hand), torch.zeros_like(bench.hand[:, 0]))

    def act(self, state: CursorState, action: Float32[Tensor, "batch 3"]) -> tuple[CursorState, Outcome]:
        """Let a frame pass; see `Interface.act`."""
        action = self.checked(state, action)
        edge = action.new_tensor(HALF)
        place = state.bench.hand[:, :2] + action[:, :2] * (SPEED * self.interval)
        place = torch.maximum(torch.minimum(place, edge), -edge)
        hand = torch.cat([place, torch.full_like(place[:, :1], TOP + HOVER)], 1)
        closed = action[:, 2] > _CLOSED
        grab = torch.where(closed, self.under(state.bench, place), NONE)
        after, outcome = self.bench.advance(state.bench, hand, grab, ~closed)
        motion, force = self.handled(state, after)
        return dataclasses.replace(state, bench=after, motion=motion, force=force), outcome

    def under(self, bench: BenchState, place: Float32[Tensor, "batch 2"]) -> Int64[Tensor, " batch"]:
        """The stone under a cursor, -1 for none."""
        off = length(bench.places - place[:, None]) / self.bench.radii(bench)
        off = torch.where(bench.table.stone_here, off, torch.inf)
        least, stone = off.min(1)
        return torch.where(least <= _GENEROUS, stone, NONE)

    def look(self, state: CursorState) -> tuple[Float32[Tensor, "4 4"], Arm]:
        """The camera, and a rod with a ball that shows where the cursor is."""
        hand = state.bench.hand
        holding = state.bench.held >= 0
        radius = self.bench.radii(state.bench).gather(1, state.bench.held.clamp(min=0)[:, None])
        # An empty hand hangs lower, where it would grasp.
        up = torch.where(holding[:, None], radius + 0.03, -HOVER * 0.45)
        ball = torch.cat([hand[:, :2], hand[:, 2:] + up], 1)
        return _camera(str(hand.device)), Arm(
            ball + hand.new_tensor((0.1, -0.03, 0.28)), ball, torch.ones_like(holding)
        )

    def hand_distance(self, state: CursorState) -> Float32[Tensor, " batch"]:
        """From the eye to the hand, in metres."""
        return length(state.bench.hand - state.bench.hand.new_tensor(EYE))


@functools.cache
def _camera(device: str) -> Tensor:
    return look_at(torch.tensor(EYE, device=device), torch.tensor(AIM, device=device))
