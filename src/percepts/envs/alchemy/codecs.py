"""Other ways to see a table and to name actions, which are easier to learn from.

    encode(state, Encoding(frame="latent", potions="axes"))       # for learners that are told the maps
    encode(state, Encoding(potions="counts"))                     # 15 numbers of stones, 6 of potions
    slots_of_colours(action, table.perceived_potions(state), state.potion_here, stones=3)

Actions by colour are those of the A2C with an episodic planning network: 22 for three stones, 0 does nothing, 1 + 7 s +
c puts stone s into the first potion of colour c that is there, and c = 6 into the cauldron. Actions by type, as
dm_alchemy numbers them, name the stone by what it looks like, too: 1 + 7 t puts the first stone of type t into the
cauldron, 1 + 7 t + 1 + c into a potion. With an action that ends the trial all are one more, and 0 is that.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor
from torch.nn.functional import one_hot

from percepts.core.config import Config
from percepts.core.errors import DataError
from percepts.envs.alchemy.chemistry import AXES, POTIONS, Chemistry, chemistry_tables
from percepts.envs.alchemy.levels import IDENTITY
from percepts.envs.alchemy.observations import observation_size, observe
from percepts.envs.alchemy.table_state import NONE, TableState

CAULDRON = POTIONS
"""In the place of a colour."""
STONE_TYPES = 3**AXES * 4
"""By perceived coordinates and shown reward."""


@dataclass(frozen=True, kw_only=True)
class Encoding(Config):
    """What "symbolic" observations are made of.

    Attributes:
        frame: "perceived", as agents see it, or "latent": coordinates and potions with all maps undone, which is
            privileged.
        potions: "colour", one number a slot; "axes", four: a 1 for one of three axes, and the direction -1 or 1, all 0
            for a used one; or "counts", how many there are of each of the six and nothing about slots.
        used: whether every item has a number that tells whether it is used. Counts have none.
    """

    frame: Literal["perceived", "latent"] = "perceived"
    potions: Literal["colour", "axes", "counts"] = "colour"
    used: bool = True

    @property
    def plain(self) -> bool:
        """Whether it is dm_alchemy's."""
        return self.frame == "perceived" and self.potions == "colour"

    def size(self, stones: int, potions: int) -> int:
        """How many numbers an observation has."""
        width = {"colour": 1 + self.used, "axes": AXES + 1 + self.used, "counts": 0}[self.potions]
        return observation_size(stones, 0, self.used) + potions * width + POTIONS * (self.potions == "counts")

    def bounds(self, potions: int) -> tuple[float, float]:
        """The least and the greatest number in an observation."""
        return -1.0, max(2.0, potions if self.potions == "counts" else 0.0)


def encode(state: TableState, encoding: Encoding) -> Float32[Tensor, "batch numbers"]:
    """The observations in an encoding."""
    if encoding.frame == "latent":
        state = dataclasses.replace(state, chemistry=_without_maps(state.chemistry))
    seen = observe(state, encoding.used)
    if encoding.potions == "colour":
        return seen
    stones = seen[:, : observation_size(state.stones.shape[1], 0, encoding.used)]
    tables, here = chemistry_tables(str(state.potions.device)), state.potion_here[..., None]
    colour = tables.perceived_potion[state.chemistry.potion_map[:, None], state.potions]
    if encoding.potions == "counts":
        return torch.cat([stones, (one_hot(colour, POTIONS) * here).sum(1).float()], 1)
    parts = [
        one_hot(torch.div(colour, 2, rounding_mode="floor"), AXES) * here,
        (2 * (colour % 2) - 1)[..., None] * here,
    ]
    if encoding.used:
        parts.append(~here)
    return torch.cat([stones, torch.cat([part.float() for part in parts], 2).flatten(1)], 1)


def slots_of_colours(
    action: Int64[Tensor, " batch"],
    colour: Int64[Tensor, "batch potions"],
    potion_here: Bool[Tensor, "batch potions"],
    stones: int,
    end_trial: bool = False,
) -> Int64[Tensor, " batch"]:
    """Actions by slots that do what actions by colours say; to do nothing where there is no such potion.

    Args:
        action: by colours.
        colour: of the potions, as perceived.
        potion_here: which are there.
        stones: how many slots there are.
        end_trial: whether there is an action that ends the trial.

    Raises:
        DataError: actions that are none.
    """
    special, each = 1 + end_trial, POTIONS + 1
    _check(action, special + stones * each)
    number = (action - special).clamp(min=0)
    stone, wanted = torch.div(number, each, rounding_mode="floor"), number % each
    return _joined(action, special, stone, wanted, colour, potion_here)


def slots_of_types(
    action: Int64[Tensor, " batch"],
    types: Int64[Tensor, "batch stones"],
    colour: Int64[Tensor, "batch potions"],
    potion_here: Bool[Tensor, "batch potions"],
    end_trial: bool = False,
) -> Int64[Tensor, " batch"]:
    """Actions by slots that do what actions by types say; to do nothing where there is no such stone or potion.

    Args:
        action: by types.
        types: of the stones, -1 of those that are gone; see `stone_types`.
        colour, potion_here, end_trial: as of `slots_of_colours`.

    Raises:
        DataError: actions that are none.
    """
    special, each = 1 + end_trial, POTIONS + 1
    _check(action, special + STONE_TYPES * each)
    number = (action - special).clamp(min=0)
    match = types == torch.div(number, each, rounding_mode="floor")[:, None]
    # The cauldron comes first among these, and last among colours.
    wanted = (number % each - 1) % each
    found = _joined(action, special, match.int().argmax(1), wanted, colour, potion_here)
    return torch.where((action < special) | match.any(1), found, special - 1)


def stone_types(
    coordinates: Float32[Tensor, "batch stones 3"], reward: Tensor, here: Bool[Tensor, "batch stones"]
) -> Int64[Tensor, "batch stones"]:
    """The types of stones: 4 * place + (reward + 3) / 2, where the place is 9 * colour + 3 * size + roundness of
    coordinates raised by 1; -1 for those that are gone."""
    place = ((coordinates.long() + 1) * torch.tensor([9, 3, 1], device=coordinates.device)).sum(2)
    shown = torch.div(reward.long() + 3, 2, rounding_mode="floor")
    return torch.where(here, 4 * place + shown, NONE)


def _joined(action: Tensor, special: int, stone: Tensor, wanted: Tensor, colour: Tensor, here: Tensor) -> Tensor:
    """The action with a stone's slot and the first potion of a colour, or the cauldron."""
    match = here & (colour == wanted[:, None])
    if not match.shape[1]:
        match = match.new_zeros(len(match), 1)
    place = torch.where(wanted == CAULDRON, 0, 1 + match.int().argmax(1))
    by_slot = special + stone * (colour.shape[1] + 1) + place
    possible = match.any(1) | (wanted == CAULDRON)
    return torch.where(action < special, action, torch.where(possible, by_slot, special - 1))


def _check(action: Tensor, count: int) -> None:
    if action.dtype != torch.int64 or action.ndim != 1:
        raise DataError(f"actions of {action.dtype} {list(action.shape)}", "int64 [B]")
    wrong = action[(action < 0) | (action >= count)]
    if len(wrong):
        raise DataError(f"the action {int(wrong[0])}", f"0 to {count - 1}")


def _without_maps(chemistry: Chemistry) -> Chemistry:
    """The same graph, in whose frame perceived is latent."""
    same = torch.full_like(chemistry.graph, IDENTITY)
    return Chemistry(chemistry.graph, same, same, torch.zeros_like(same))
