"""The hand that does what it is told: it puts the object that an instruction names on the tray, and never errs.

    done = Hand(view).obey(state, ["Put the red cube on the tray.", "TEST: blue ball"])
    done.film.image                    # uint8 [2, T, H, W, 3]

In the original a human carried out what the model wrote (Ke et al. 2024), and may have resolved what was vague; here
what does not name one object is a wasted step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from percepts.core.errors import DataError
from percepts.envs.feature_world.rendered import Drawn, TableView
from percepts.envs.feature_world.replies import Reply, read_reply
from percepts.envs.feature_world.state import Outcome, WorldState
from percepts.envs.feature_world.words import Words


@dataclass(frozen=True)
class Obeyed:
    """What became of B instructions.

    Attributes:
        state: afterwards.
        outcome: of the step.
        film: of the hand at work, [B, T, …].
        replies: what was understood.
    """

    state: WorldState
    outcome: Outcome
    film: Drawn
    replies: tuple[Reply, ...]


class Hand:
    """Carries out instructions in many episodes at once.

    Args:
        view: that films it.
    """

    def __init__(self, view: TableView) -> None:
        self.view, self.words = view, Words(view.world)

    def obey(self, state: WorldState, instructions: Sequence[str]) -> Obeyed:
        """Do what was said in each episode; see `replies` for how it is understood.

        Raises:
            DataError: not one instruction for each episode.
        """
        if len(instructions) != len(state):
            raise DataError(f"{len(instructions)} instructions for {len(state)} episodes", "one each")
        world = self.view.world
        offered = world.sets.objects[state.object_set.cpu()].tolist()
        replies = tuple(read_reply(text, self.words, some) for text, some in zip(instructions, offered))
        action = torch.tensor([reply.action(world.choices) for reply in replies], device=state.truth.device)
        after, outcome = world.step(state, action)
        return Obeyed(after, outcome, self.view.film(after), replies)
