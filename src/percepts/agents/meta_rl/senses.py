"""What a learner at the table of Alchemy sees, and how it names its actions.

    senses = Senses.Config(encoding=Encoding(frame="latent", potions="counts"), chemistry="truth").build(table=config)
    mind = senses.begin(view_of(state))
    senses.inputs(mind, state.chemistry), senses.legal(mind, state.chemistry)     # [B, D] and [B, A]
    slot = senses.slots(mind, action, state.chemistry)                              # as the table numbers it
    mind = senses.follow(mind, action, slot, view_of(after))

Learners and evaluations see through the same senses. All that is remembered, the last action and reward, the clock and
what may be believed of the chemistry, comes of observations, so the outcome of a trial's last action stays hidden.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor
from torch.nn.functional import one_hot

from percepts.core.config import Config as BaseConfig
from percepts.core.config import Configurable
from percepts.core.errors import ConfigError
from percepts.envs.alchemy.chemistry import AXES, POTIONS, ROTATIONS, STONE_MAPS, Chemistry, chemistry_tables
from percepts.envs.alchemy.chemistry_view import PARTS, Part, see_chemistry, true_chemistry
from percepts.envs.alchemy.codecs import CAULDRON, Encoding, slots_of_colours
from percepts.envs.alchemy.levels import Level
from percepts.envs.alchemy.levels import level as level_of
from percepts.envs.alchemy.observations import GONE_POTION, GONE_STONE, MOST_SHOWN
from percepts.envs.alchemy.posterior import Posterior, PosteriorFilter
from percepts.envs.alchemy.reading import TableView
from percepts.envs.alchemy.relaxed import Relaxed, RelaxedFilter
from percepts.envs.alchemy.table import Table, TableState
from percepts.envs.alchemy.table_state import put

PLACES = 3**AXES
"""Perceived coordinates."""
NOTHING = CAULDRON + 1
"""In the place of a colour: no stone was touched."""
STONE_NUMBERS = AXES + 2
ROW = 1 + 2 * STONE_NUMBERS + (NOTHING + 1) + 1
"""Numbers of a memory row: slot, stone before, potion or cauldron or nothing, stone after, reward: 20."""


@dataclass(frozen=True)
class Mind:
    """What B learners remember of their episodes, beside the state of their networks.

    Attributes:
        view: of the table, now.
        action: the last one, as the senses name it; -1 at the start of an episode.
        reward: what it paid.
        trial, step: of the episode, of the trial.
        row: what the last action did, 20 numbers, and a last one that is 1 where that could be seen.
        belief: of the chemistry, where one is kept.
    """

    view: TableView
    action: Int64[Tensor, " batch"]
    reward: Float32[Tensor, " batch"]
    trial: Int64[Tensor, " batch"]
    step: Int64[Tensor, " batch"]
    row: Float32[Tensor, "batch numbers"]
    belief: Posterior | Relaxed | None

    def __len__(self) -> int:
        return len(self.action)

    def rows(self, index: Any) -> Self:
        """Some of them."""
        parts: list[Any] = [_rows(getattr(self, part.name), index) for part in dataclasses.fields(self)]
        return type(self)(*parts)

    def put(self, index: Any, others: Mind) -> Self:
        """A copy with those at `index` replaced."""
        pairs = [(getattr(self, part.name), getattr(others, part.name)) for part in dataclasses.fields(self)]
        parts: list[Any] = [None if old is None else put(old, index, new) for old, new in pairs]
        return type(self)(*parts)


class Senses(Configurable):
    """What is seen, in which frame, and by which numbers actions go.

    Args:
        table: whose rules.
        device: of the tensors.

    Raises:
        ConfigError: stones whose reward does not tell what they pay.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Settings.

        Attributes:
            encoding: of stones and potions; its frame is that of actions by colour, too. "latent" is privileged.
            chemistry: what is seen of it: "truth" (privileged), the "exact" or the "relaxed" belief of what was
                observed so far, or "nothing".
            parts: of that.
            previous: whether the last action, one-hot, and its reward are seen.
            clock: whether the shares of the trial's steps and of the episode's trials that are over are seen.
            row: whether the last action's outcome is seen as a row for an episodic memory.
            colour_actions: actions by colour, 22 of three stones, instead of by slot.
            only_legal: actions without any effect, but for doing nothing, are not chosen.
        """

        encoding: Encoding = field(default_factory=lambda: Encoding(potions="counts"))
        chemistry: Literal["nothing", "truth", "exact", "relaxed"] = "nothing"
        parts: tuple[Part, ...] = tuple(PARTS)
        previous: bool = True
        clock: bool = True
        row: bool = False
        colour_actions: bool = True
        only_legal: bool = True

        def __post_init__(self) -> None:
            see_chemistry("truth", self.parts)

        @property
        def privileged(self) -> bool:
            """Whether it sees what has to be found out."""
            return self.encoding.frame == "latent" or self.chemistry == "truth"

    config: Config

    def __init__(self, config: Config, table: Table.Config, device: torch.device | str = "cpu") -> None:
        if table.rewards.weights != (1.0, 1.0, 1.0):
            raise ConfigError(f"rewards.weights = {table.rewards.weights}", "(1, 1, 1), whose sum the stones show")
        self.config, self.table, self.device = config, table, torch.device(device)
        self.tables = chemistry_tables(str(self.device))
        self.numbers = torch.tensor(see_chemistry("truth", config.parts).numbers, device=self.device)
        self.filter = _filter(config, level_of(table.level), self.device)
        self.special = 1 + table.end_trial

    @property
    def actions(self) -> int:
        """How many actions there are."""
        if not self.config.colour_actions:
            return self.table.actions
        return self.special + self.table.stones * (POTIONS + 1)

    @functools.cached_property
    def sizes(self) -> dict[str, int]:
        """How many numbers the inputs have, part by part, in their order; a row is always the last."""
        config, table = self.config, self.table
        found = {"observation": config.encoding.size(table.stones, table.potions)}
        if config.chemistry != "nothing":
            found["chemistry"] = len(self.numbers)
        if config.previous:
            found["previous"] = self.actions + 1
        if config.clock:
            found["clock"] = 2
        if config.row:
            found["row"] = ROW + 1
        return found

    def begin(self, view: TableView) -> Mind:
        """At the start of episodes."""
        batch = len(view.here)
        zero = torch.zeros(batch, dtype=torch.int64, device=self.device)
        belief = None
        if self.filter is not None:
            belief = self.filter.see_stones(self.filter.prior(batch), view.coordinates, view.reward, view.here)
        row = torch.zeros(batch, ROW + 1, device=self.device)
        return Mind(view, zero - 1, torch.zeros(batch, device=self.device), zero, zero, row, belief)

    def follow(
        self, mind: Mind, action: Int64[Tensor, " batch"], slot: Int64[Tensor, " batch"], view: TableView
    ) -> Mind:
        """After an action, which the table numbers `slot`, and a look at the table. An episode that is over begins anew
        with `begin`."""
        done = self._done(mind, slot)
        step = mind.step + 1
        over = step >= self.table.steps
        if self.table.end_trial:
            over = over | (action == 0)
        row = self._row(mind, done, view, over) if self.config.row else mind.row
        belief = mind.belief if self.filter is None else self._believe(mind, done, view, over)
        return Mind(view, action, done.reward, mind.trial + over, torch.where(over, 0, step), row, belief)

    def inputs(self, mind: Mind, truth: Chemistry) -> Float32[Tensor, "batch numbers"]:
        """What a network is fed.

        Args:
            mind: what is seen and remembered.
            truth: of which nothing is used but what the settings name.
        """
        config = self.config
        parts = [self._observation(mind.view, truth)]
        if config.chemistry == "truth":
            parts.append(true_chemistry(truth)[:, self.numbers])
        elif self.filter is not None:
            parts.append(self.filter.view(mind.belief)[:, self.numbers])
        if config.previous:
            known = (mind.action >= 0)[:, None]
            parts += [one_hot(mind.action.clamp(min=0), self.actions) * known, mind.reward[:, None] / MOST_PAID]
        if config.clock:
            shares = mind.step / self.table.steps, mind.trial / self.table.trials
            parts.append(torch.stack(shares, 1))
        if config.row:
            parts.append(mind.row)
        return torch.cat([part.float() for part in parts], 1)

    def legal(self, mind: Mind, truth: Chemistry) -> Bool[Tensor, "batch actions"]:
        """Which actions may be chosen: all, or those that have an effect and doing nothing."""
        view, batch = mind.view, len(mind)
        always = torch.ones(batch, self.special, dtype=torch.bool, device=self.device)
        if not self.config.only_legal:
            return always[:, :1].expand(batch, self.actions)
        if self.config.colour_actions:
            there = self._counts(view, truth) > 0
            places = torch.cat([there, always[:, :1]], 1)
        else:
            places = torch.cat([always[:, :1], view.potion_here], 1)
        return torch.cat([always, (view.here[:, :, None] & places[:, None]).flatten(1)], 1)

    def slots(self, mind: Mind, action: Int64[Tensor, " batch"], truth: Chemistry) -> Int64[Tensor, " batch"]:
        """The actions as the table numbers them."""
        if not self.config.colour_actions:
            return action
        view = mind.view
        colours = self._colours(view, truth)
        return slots_of_colours(action, colours, view.potion_here, self.table.stones, self.table.end_trial)

    def _observation(self, view: TableView, truth: Chemistry) -> Tensor:
        """The numbers of `codecs.encode`."""
        encoding, gone = self.config.encoding, ~view.here[..., None]
        coordinates = view.coordinates
        if encoding.frame == "latent":
            coordinates = self.tables.sign[self.latent(view, truth)]
        stones = torch.cat([coordinates, view.reward[..., None] / MOST_SHOWN], 2).masked_fill(gone, GONE_STONE)
        if encoding.used:
            stones = torch.cat([stones, gone], 2)
        return torch.cat([stones.flatten(1), self._potions(view, truth)], 1)

    def _potions(self, view: TableView, truth: Chemistry) -> Tensor:
        encoding, here = self.config.encoding, view.potion_here
        if encoding.potions == "counts":
            return self._counts(view, truth)
        colour = self._colours(view, truth)
        if encoding.potions == "axes":
            axis = one_hot(torch.div(colour, 2, rounding_mode="floor"), AXES)
            parts = [torch.cat([axis, (2 * (colour % 2) - 1)[..., None]], 2) * here[..., None]]
        else:
            parts = [(colour / (POTIONS / 2) - 1).masked_fill(~here, GONE_POTION)[..., None]]
        if encoding.used:
            parts.append(~here[..., None])
        return torch.cat([part.float() for part in parts], 2).flatten(1)

    def _counts(self, view: TableView, truth: Chemistry) -> Float32[Tensor, "batch 6"]:
        colour = self._colours(view, truth)
        counts = torch.zeros(len(colour), POTIONS, device=self.device)
        return counts.scatter_add_(1, colour, view.potion_here.float())

    def _colours(self, view: TableView, truth: Chemistry) -> Int64[Tensor, "batch potions"]:
        """In the frame that is seen."""
        if self.config.encoding.frame == "perceived":
            return view.colour
        return self.tables.latent_potion[truth.potion_map[:, None], view.colour]

    def latent(self, view: TableView, truth: Chemistry) -> Int64[Tensor, "batch stones"]:
        """Latent vertices of the stones; of those that are gone 0."""
        place = place_of(view.coordinates)
        vertex = _vertices(str(self.device))[truth.rotation[:, None], truth.stone_map[:, None], place]
        return vertex.masked_fill(~view.here, 0)

    def _done(self, mind: Mind, action: Tensor) -> _Done:
        """What an action by slot did, as far as the one who chose it knows."""
        view, row = mind.view, torch.arange(len(action), device=self.device)
        number = (action - self.special).clamp(min=0)
        stone = torch.div(number, self.table.potions + 1, rounding_mode="floor")
        place = number - stone * (self.table.potions + 1)
        acts = (action >= self.special) & view.here[row, stone]
        banked, dipped, colour = acts & (place == 0), torch.zeros_like(acts), torch.zeros_like(place)
        if self.table.potions:
            potion = (place - 1).clamp(min=0)
            dipped, colour = acts & (place > 0) & view.potion_here[row, potion], view.colour[row, potion]
        rewards, shown = self.table.rewards, view.reward[row, stone]
        paid = shown + rewards.offset + rewards.bonus * (shown == MOST_SHOWN)
        reward = torch.where(banked, paid, 0.0) + rewards.potion * dipped
        return _Done(stone, dipped, banked, colour, reward)

    def _row(self, mind: Mind, done: _Done, view: TableView, over: Tensor) -> Float32[Tensor, "batch numbers"]:
        kind = torch.where(done.banked, CAULDRON, torch.where(done.dipped, done.colour, NOTHING))
        parts = [
            done.stone[:, None], self._stone(mind.view, done.stone), one_hot(kind, NOTHING + 1),
            self._stone(view, done.stone), done.reward[:, None] / MOST_PAID, torch.ones_like(over)[:, None],
        ]  # fmt: skip
        # After the last step of a trial there are other stones in these slots.
        return torch.cat([part.float() for part in parts], 1).masked_fill(over[:, None], 0)

    def _stone(self, view: TableView, stone: Tensor) -> Tensor:
        row = torch.arange(len(stone), device=self.device)
        gone = ~view.here[row, stone][:, None]
        shown = view.reward[row, stone][:, None] / MOST_SHOWN
        return torch.cat([torch.cat([view.coordinates[row, stone], shown], 1).masked_fill(gone, GONE_STONE), gone], 1)

    def _believe(self, mind: Mind, done: _Done, view: TableView, over: Tensor) -> Posterior | Relaxed:
        row = torch.arange(len(over), device=self.device)
        old = mind.view
        belief = self.filter.outcome(
            mind.belief, old.coordinates[row, done.stone], old.reward[row, done.stone], done.colour,
            view.coordinates[row, done.stone], view.reward[row, done.stone], done.dipped & ~over,
        )  # fmt: skip
        if isinstance(belief, Relaxed):
            return self.filter.see_stones(belief, view.coordinates, view.reward, view.here, over)
        if bool(over.any()):
            belief = self.filter.see_stones(belief, view.coordinates, view.reward, view.here & over[:, None])
        if self.table.switch_trials:
            # Where nothing agrees any more with what was seen, the chemistry must be another one.
            lost = self.filter.empty(belief)
            belief = self.filter.forget(belief, lost)
            belief = self.filter.see_stones(belief, view.coordinates, view.reward, view.here & lost[:, None])
        return belief


MOST_PAID = 15.0
"""Rewards are seen over this, the pay of the best stone."""


@dataclass(frozen=True)
class _Done:
    """What actions did.

    Attributes:
        stone: the slot.
        dipped, banked: whether it went into a potion or into the cauldron.
        colour: of the potion, as perceived.
        reward: that was paid.
    """

    stone: Tensor
    dipped: Tensor
    banked: Tensor
    colour: Tensor
    reward: Tensor


def view_of(state: TableState) -> TableView:
    """What `reading.read` finds in an observation of these tables, without the way through its numbers."""
    tables, chemistry = chemistry_tables(str(state.stones.device)), state.chemistry
    coordinates = tables.coordinates[chemistry.rotation[:, None], chemistry.stone_map[:, None], state.stones]
    return TableView(
        coordinates=coordinates * state.stone_here[..., None],
        reward=tables.shown[state.stones] * state.stone_here,
        here=state.stone_here,
        colour=tables.perceived_potion[chemistry.potion_map[:, None], state.potions] * state.potion_here,
        potion_here=state.potion_here,
    )


def place_of(coordinates: Float32[Tensor, "*batch 3"]) -> Int64[Tensor, "*batch"]:
    """The number of perceived coordinates, 0 to 26: 9 * colour + 3 * size + roundness of coordinates raised by 1."""
    return ((coordinates + 1) @ torch.tensor([9.0, 3.0, 1.0], device=coordinates.device)).round().long()


@functools.cache
def _vertices(device: str) -> Int64[Tensor, "rotations stone_maps places"]:
    """Latent vertices by rotation, stone map and place; 0 where there is none."""
    places = place_of(chemistry_tables().coordinates)
    found = torch.zeros(ROTATIONS, STONE_MAPS, PLACES, dtype=torch.int64)
    return found.scatter(2, places, torch.arange(places.shape[-1]).expand_as(places)).to(device)


def _rows(part: Any, index: Any) -> Any:
    if part is None or isinstance(part, Tensor):
        return part if part is None else part[index]
    return type(part)(*(getattr(part, each.name)[index] for each in dataclasses.fields(part)))


def _filter(config: Senses.Config, level: Level, device: torch.device) -> Any:
    """What keeps a belief; None where none is seen."""
    if config.chemistry == "exact":
        return PosteriorFilter(level, device)
    return RelaxedFilter(level, device) if config.chemistry == "relaxed" else None
