"""The hidden chemistry as an observation: all of it, what may be believed of it, or nothing, in 28 numbers.

    see = {"ground_truth": see_chemistry("truth"), "chemistry": see_chemistry("exact", parts=("graph",))}
    views = ChemistryViews(see, table)

In order: the graph's edges (12, as `EDGES`), the potion map's permutation (6) and directions (3), the stone map's signs
(3), the rotation (4). Yes and +1 are 1, no and -1 are 0, unknown is 0.5. The truth is of the *latent* frame, though an
agent perceives stones and potions through the maps. What is believed of the graph is of the *aligned* frame.

A view may leave parts out, and may draw once per episode what each group of its numbers holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor
from torch.nn.functional import one_hot

from percepts.core.config import Config
from percepts.core.errors import ConfigError
from percepts.envs.alchemy.chemistry import PERMUTATIONS, ROTATIONS, VERTICES, Chemistry, chemistry_tables
from percepts.envs.alchemy.posterior import Posterior, PosteriorFilter
from percepts.envs.alchemy.relaxed import Relaxed, RelaxedFilter
from percepts.envs.alchemy.table import Outcome, Table, TableState
from percepts.envs.rows import TensorRows
from percepts.envs.streams import Streams

Content = Literal["truth", "relaxed", "exact", "unknown"]
CONTENTS: tuple[Content, ...] = ("truth", "relaxed", "exact", "unknown")
"""What numbers may hold: the truth, dm_alchemy's relaxed belief, what is certain by the exact posterior, or 0.5."""
Part = Literal["graph", "potion_map", "stone_map", "rotation"]
PARTS: dict[Part, range] = {
    "graph": range(12), "potion_map": range(12, 21), "stone_map": range(21, 24), "rotation": range(24, 28),
}  # fmt: skip
"""The parts of a view, and which of its numbers they are."""
SIZE = 28
UNKNOWN = 0.5


@dataclass(frozen=True, kw_only=True)
class Group(Config):
    """Numbers that hold the same kind of content.

    Attributes:
        numbers: which ones, 0 to 27, whatever parts are left out.
        chances: of each of `CONTENTS`.

    Raises:
        ConfigError: a number that there is not, or chances that do not sum to 1.
    """

    numbers: tuple[int, ...] = tuple(range(SIZE))
    chances: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        if not all(0 <= number < SIZE for number in self.numbers):
            raise ConfigError(f"numbers = {self.numbers}", f"0 to {SIZE - 1}")
        if not (min(self.chances) >= 0 and abs(sum(self.chances) - 1) <= 1e-4):
            raise ConfigError(f"chances = {self.chances}", "four that sum to 1, of " + ", ".join(CONTENTS))


@dataclass(frozen=True, kw_only=True)
class ChemistryView(Config):
    """What is observed of a chemistry.

    Attributes:
        parts: those that are there; their order is always that of `PARTS`.
        groups: what the numbers hold; those in no group are unknown, of those in several the last group counts.

    Raises:
        ConfigError: no parts.
    """

    parts: tuple[Part, ...] = tuple(PARTS)
    groups: tuple[Group, ...] = (Group(),)

    def __post_init__(self) -> None:
        if not self.parts or not set(self.parts) <= set(PARTS):
            raise ConfigError(f"parts = {self.parts}", "some of " + ", ".join(PARTS))

    @property
    def numbers(self) -> tuple[int, ...]:
        """Which of the 28 numbers are there."""
        return tuple(number for part, numbers in PARTS.items() if part in self.parts for number in numbers)

    def may_hold(self, content: Content) -> bool:
        """Whether some number may hold it."""
        return any(group.chances[CONTENTS.index(content)] > 0 for group in self.groups)


def see_chemistry(content: Content = "truth", parts: Sequence[Part] = tuple(PARTS)) -> ChemistryView:
    """A view that always holds the same content.

    Raises:
        ConfigError: a content that there is not, or no parts.
    """
    if content not in CONTENTS:
        raise ConfigError(f"content = {content!r}", "one of " + ", ".join(CONTENTS))
    first, second, third, fourth = (float(content == each) for each in CONTENTS)
    return ChemistryView(parts=tuple(parts), groups=(Group(chances=(first, second, third, fourth)),))


def true_chemistry(chemistry: Chemistry) -> Float32[Tensor, "batch 28"]:
    """All of it, in the latent frame."""
    tables = chemistry_tables(str(chemistry.graph.device))
    permutation = torch.div(chemistry.potion_map, VERTICES, rounding_mode="floor")
    parts = (
        tables.edges[chemistry.graph],
        one_hot(permutation, len(PERMUTATIONS)),
        (tables.sign[chemistry.potion_map % VERTICES] + 1) // 2,
        (tables.sign[chemistry.stone_map] + 1) // 2,
        one_hot(chemistry.rotation, ROTATIONS),
    )
    return torch.cat([part.float() for part in parts], 1)


@dataclass(frozen=True)
class ViewState(TensorRows):
    """What B views remember.

    Attributes:
        contents: what every group holds in this episode, a number in `CONTENTS`; those of all views in a row.
        streams: from which that is drawn.
        exact, relaxed: beliefs, where a view may hold them.
    """

    contents: Int64[Tensor, "batch groups"]
    streams: Streams
    exact: Posterior | None
    relaxed: Relaxed | None


class ChemistryViews:
    """Named views of the chemistries of a table.

    Beliefs use what trackers record, the outcome of a trial's last action included. Where the chemistry may change and
    no chemistry agrees any more with what was seen, the exact belief begins anew.

    Args:
        views: by name.
        table: whose chemistries.
        device: of its states.

    Raises:
        ConfigError: a belief about a chemistry that is fixed, and that the level does not draw.
    """

    def __init__(self, views: Mapping[str, ChemistryView], table: Table, device: torch.device | str = "cpu") -> None:
        self.views, self.table = dict(views), table
        groups = [group for view in self.views.values() for group in view.groups]
        chances = torch.tensor([group.chances for group in groups], dtype=torch.float64, device=device)
        self._chances = chances.view(-1, len(CONTENTS)).cumsum(1)[:, :-1]
        exact, relaxed = (any(v.may_hold(kind) for v in self.views.values()) for kind in CONTENTS[2:0:-1])
        self._exact = PosteriorFilter(table.level, device) if exact else None
        self._relaxed = RelaxedFilter(table.level, device) if relaxed else None
        fixed = table.config.chemistry
        if self.believes and fixed is not None and not table.level.has(fixed):
            raise ConfigError(
                f"a belief about the chemistry {fixed}, which is none of level '{table.level.name}'",
                "a chemistry that the level draws",
                "another level, or views of 'truth' and 'unknown'",
            )

    @property
    def believes(self) -> bool:
        """Whether a view may hold a belief; if not, none of them changes within a trial."""
        return self._exact is not None or self._relaxed is not None

    def sizes(self) -> dict[str, int]:
        """How many numbers every view has."""
        return {name: len(view.numbers) for name, view in self.views.items()}

    def begin(self, state: TableState, seeds: Iterable[int]) -> ViewState:
        """At the start of the first episode of each seed."""
        return self._begin(Streams.of(seeds, "alchemy views", device=state.trial.device), state)

    def restart(self, views: ViewState, state: TableState, rows: Bool[Tensor, " batch"]) -> ViewState:
        """At the start of the next episode at some tables; `state` is that of the tables afterwards."""
        index = rows.nonzero()[:, 0]
        return views.put(index, self._begin(views.streams.rows(index), state.rows(index))) if len(index) else views

    def follow(self, views: ViewState, before: TableState, outcome: Outcome, after: TableState) -> ViewState:
        """After a step of the table."""
        exact, relaxed = views.exact, views.relaxed
        if exact is not None and self._exact is not None:
            exact = self._exact.follow(exact, before, outcome, after)
            if self.table.config.switch_trials:
                exact = self._forgotten(exact, after)
        if relaxed is not None and self._relaxed is not None:
            relaxed = self._relaxed.follow(relaxed, before, outcome, after)
        return ViewState(views.contents, views.streams, exact, relaxed)

    def observe(self, views: ViewState, state: TableState) -> dict[str, Float32[Tensor, "batch numbers"]]:
        """What every view shows."""
        truth = true_chemistry(state.chemistry)
        unknown = torch.full_like(truth, UNKNOWN)
        exact = unknown if views.exact is None or self._exact is None else self._exact.view(views.exact)
        relaxed = unknown if views.relaxed is None or self._relaxed is None else self._relaxed.view(views.relaxed)
        known = torch.stack([truth, relaxed, exact, unknown], 1)
        found, first = {}, 0
        for name, view in self.views.items():
            shown = unknown.clone()
            for place, group in enumerate(view.groups, first):
                held = known[torch.arange(len(known), device=known.device), views.contents[:, place]]
                shown[:, list(group.numbers)] = held[:, list(group.numbers)]
            first += len(view.groups)
            found[name] = shown[:, list(view.numbers)]
        return found

    def _begin(self, streams: Streams, state: TableState) -> ViewState:
        numbers, streams = streams.uniform(len(self._chances))
        contents = (numbers[..., None] >= self._chances).sum(2)
        batch = len(streams)
        return ViewState(
            contents,
            streams,
            None if self._exact is None else self._exact.look(self._exact.prior(batch), state),
            None if self._relaxed is None else self._relaxed.look(self._relaxed.prior(batch), state),
        )

    def _forgotten(self, exact: Posterior, state: TableState) -> Posterior:
        assert self._exact is not None
        lost = self._exact.empty(exact)
        if not bool(lost.any()):
            return exact
        return self._exact.look(self._exact.forget(exact, lost), state, lost)
