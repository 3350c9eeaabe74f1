"""How an agent played, step by step and trial by trial: the trackers of dm_alchemy, of whole batches of episodes.

    found = track(recording, stone_values(Rewards()))
    found["potions_used"].per_trial       # [B, trials]
    found["no_change"].per_step           # [B, steps]

Everything is computed from what happened, the outcome of a trial's last action included. `belief_counts` says how much
somebody could have known who saw it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float32, Float64, Int64, Num
from torch import Tensor

from percepts.envs.alchemy.chemistry import chemistry_tables
from percepts.envs.alchemy.levels import Level
from percepts.envs.alchemy.levels import level as find_level
from percepts.envs.alchemy.posterior import Counts, Posterior, PosteriorFilter
from percepts.envs.alchemy.recording import Recording

GOLD = 2
"""A stone that shows more is gold, of which there is one vertex."""

Values = Float32[Tensor, "8"]


@dataclass(frozen=True)
class Tracked:
    """One statistic.

    Attributes:
        per_trial: of the whole trial: a sum, or a mean of stones that is 0 where there was none.
        per_step: of each step alone; None where it is defined for trials only.
    """

    per_trial: Num[Tensor, "batch trials"]
    per_step: Num[Tensor, "batch steps"] | None = None


def track(recording: Recording, values: Values) -> dict[str, Tracked]:
    """Every tracker by name.

    Args:
        recording: of B episodes.
        values: what banking a stone pays, by vertex; `stone_values`.
    """
    return {name: tracker(recording, values) for name, tracker in TRACKERS.items()}


def score(recording: Recording, values: Values) -> Tracked:
    """What banking paid. Pay for potions, where there is any, is left out."""
    paid = torch.where(recording.banked, _value(recording.before, values), 0.0)
    return _counted(recording, paid)


def potions_used(recording: Recording, values: Values) -> Tracked:
    """Potions that met a stone."""
    return _counted(recording, recording.potion >= 0)


def stones_banked(recording: Recording, values: Values) -> Tracked:
    """Stones that went into the cauldron."""
    return _counted(recording, recording.banked)


def no_change(recording: Recording, values: Values) -> Tracked:
    """Potions that left the stone as it was."""
    return _counted(recording, (recording.potion >= 0) & (recording.before == recording.after))


def negative_banked(recording: Recording, values: Values) -> Tracked:
    """Stones that went into the cauldron although they showed a negative reward."""
    return _counted(recording, recording.banked & (_shown(recording.before) < 0))


def gold_spoiled(recording: Recording, values: Values) -> Tracked:
    """Gold stones that a potion made into lesser ones."""
    spoiled = (_shown(recording.before) > GOLD) & (_shown(recording.after) < GOLD)
    return _counted(recording, (recording.potion >= 0) & spoiled)


def banked_value(recording: Recording, values: Values) -> Tracked:
    """Mean value of the stones that were banked."""
    return _mean(recording, _value(recording.before, values))


def improvement(recording: Recording, values: Values) -> Tracked:
    """By how much, on average, banked stones were better than at the beginning of the trial."""
    row = torch.arange(len(recording), device=recording.trial.device)[:, None]
    at_first = recording.stones[row, recording.trial, recording.stone.clamp(min=0)]
    return _mean(recording, _value(recording.before, values) - _value(at_first, values))


def not_banked(recording: Recording, values: Values, low: float = 0.0, high: float | None = None) -> Tracked:
    """Stones of a value above `low` (and below `high`) that were left at the end."""
    vertices, here = left_over(recording)
    value = _value(vertices, values)
    wanted = here & (value > low)
    return Tracked((wanted if high is None else wanted & (value < high)).sum(-1))


def plus_one_not_banked(recording: Recording, values: Values) -> Tracked:
    """Stones worth 1 that were left at the end."""
    return not_banked(recording, values, 0.0, 2.0)


def left_over(
    recording: Recording,
) -> tuple[Int64[Tensor, "batch trials stones"], Bool[Tensor, "batch trials stones"]]:
    """The last vertices of all stones in every trial, and whether they were still on the table at its end."""
    vertices, here = recording.stones.clone(), recording.stones >= 0
    acted = recording.played & (recording.stone >= 0)
    for step in acted.any(0).nonzero()[:, 0].tolist():  # later outcomes of a stone replace earlier ones
        rows = acted[:, step].nonzero()[:, 0]
        place = (rows, recording.trial[rows, step], recording.stone[rows, step])
        gone = recording.banked[rows, step]
        vertices[place] = torch.where(gone, recording.before[rows, step], recording.after[rows, step])
        here[place] = here[place] & ~gone
    return vertices, here


TRACKERS: dict[str, Callable[[Recording, Values], Tracked]] = {
    "score": score,
    "potions_used": potions_used,
    "stones_banked": stones_banked,
    "no_change": no_change,
    "negative_banked": negative_banked,
    "gold_spoiled": gold_spoiled,
    "banked_value": banked_value,
    "improvement": improvement,
    "positive_not_banked": not_banked,
    "plus_one_not_banked": plus_one_not_banked,
}
"""By name."""


@dataclass(frozen=True)
class Beliefs:
    """How much was possible for somebody who saw everything in the episodes.

    Attributes:
        entropy: of the exact posterior at the end of every trial, before the next stones are seen, in bits.
        counts: how many chemistries, potion maps, stone maps, graphs and rotations were possible then; by name.
        per_step: the same after every step, where it was asked for.
    """

    entropy: Float64[Tensor, "batch trials"]
    counts: dict[str, Int64[Tensor, "batch trials"]]
    per_step: dict[str, Int64[Tensor, "batch steps"]] | None = None


def belief_counts(
    recording: Recording, level: str | Level, *, hidden: bool = True, every_step: bool = False
) -> Beliefs:
    """What recorded episodes told of their chemistry; where it changed, to somebody who begins anew as soon as none
    agrees any more with all that was seen.

    Args:
        recording: of B episodes.
        level: whose prior is known.
        hidden: whether the outcome of a trial's last action counts, which no agent sees.
        every_step: whether counts after every step are wanted, too, which takes most of the time.
    """
    filter = PosteriorFilter(find_level(level), recording.trial.device)
    batch, trials = recording.stones.shape[:2]
    steps = recording.trial.shape[1]
    entropy = torch.full((batch, trials), math.nan, dtype=torch.float64)
    counts: dict[str, Tensor] = {}
    per_step: dict[str, Tensor] = {}
    _, ends = recording.bounds()
    for step, posterior in enumerate(_follow(recording, filter, hidden)):
        over = ends[:, step].nonzero()[:, 0]
        if len(over):
            place = over, recording.trial[over, step]
            entropy[place] = filter.entropy(posterior.rows(over)).cpu()
            for name, value in _named(filter.counts(posterior.rows(over))).items():
                counts.setdefault(name, torch.zeros(batch, trials, dtype=torch.int64))[place] = value.cpu()
        if every_step:
            for name, value in _named(filter.counts(posterior)).items():
                per_step.setdefault(name, torch.zeros(batch, steps, dtype=torch.int64))[:, step] = value.cpu()
    return Beliefs(entropy, counts, per_step if every_step else None)


def posterior_after(recording: Recording, level: str | Level, trial: int) -> tuple[PosteriorFilter, Posterior]:
    """The exact posterior of all that happened up to the end of a trial, and its filter."""
    filter = PosteriorFilter(find_level(level), recording.trial.device)
    earlier = dataclasses.replace(recording, played=recording.played & (recording.trial <= trial))
    *_, last = _follow(earlier, filter, True)
    return filter, last


def _follow(recording: Recording, filter: PosteriorFilter, hidden: bool) -> Iterator[Posterior]:
    """The posterior after every step. Where the chemistry changed in an episode and none agrees any more with all that
    was seen, it begins anew with what this trial showed."""
    posterior = filter.prior(len(recording))
    begins, ends = recording.bounds()
    changing = recording.changing()
    for step in range(recording.trial.shape[1]):
        posterior = _see(filter, posterior, recording, recording.trial[:, step], begins[:, step])
        rows = recording.played[:, step] & (recording.potion[:, step] >= 0)
        rows = rows if hidden else rows & ~ends[:, step]
        posterior = _outcome(filter, posterior, recording, step, rows)
        lost = changing & filter.empty(posterior) if changing.any() else changing
        if lost.any():
            posterior = _see(filter, filter.forget(posterior, lost), recording, recording.trial[:, step], lost)
            posterior = _outcome(filter, posterior, recording, step, rows & lost)
        yield posterior


def _see(filter: PosteriorFilter, posterior: Posterior, recording: Recording, trial: Tensor, rows: Tensor) -> Posterior:
    """After a look at the stones with which a trial begins in these rows."""
    if not rows.any():
        return posterior
    tables = chemistry_tables(str(trial.device))
    stones = recording.stones[torch.arange(len(trial), device=trial.device), trial]
    rotation, stone_map = _frame(recording, trial)
    vertices = stones.clamp(min=0)
    coordinates = tables.coordinates[rotation[:, None], stone_map[:, None], vertices]
    return filter.see_stones(posterior, coordinates, tables.shown[vertices], (stones >= 0) & rows[:, None])


def _outcome(filter: PosteriorFilter, posterior: Posterior, recording: Recording, step: int, rows: Tensor) -> Posterior:
    """After what a potion did in these rows."""
    if not rows.any():
        return posterior
    tables = chemistry_tables(str(rows.device))
    row, trial = torch.arange(len(rows), device=rows.device), recording.trial[:, step]
    rotation, stone_map = _frame(recording, trial)
    vertices = torch.stack([recording.before[:, step], recording.after[:, step]]).clamp(min=0)
    before, after = tables.coordinates[rotation, stone_map, vertices]
    shown = tables.shown[vertices]
    latent = recording.potions[row, trial, recording.potion[:, step].clamp(min=0)].clamp(min=0)
    potion_map = recording.chemistry.potion_map[row * recording.stones.shape[1] + trial]
    colour = tables.perceived_potion[potion_map, latent]
    return filter.outcome(posterior, before, shown[0], colour, after, shown[1], rows)


def _frame(recording: Recording, trial: Tensor) -> tuple[Tensor, Tensor]:
    """Rotation and stone map of a trial of every episode."""
    place = torch.arange(len(trial), device=trial.device) * recording.stones.shape[1] + trial
    return recording.chemistry.rotation[place], recording.chemistry.stone_map[place]


def _named(counts: Counts) -> dict[str, Tensor]:
    return {part.name: getattr(counts, part.name) for part in dataclasses.fields(counts)}


def _counted(recording: Recording, of_step: Tensor) -> Tracked:
    """Something of every step, and its sums."""
    kept = torch.where(recording.played, of_step, torch.zeros_like(of_step))
    return Tracked(recording.per_trial(kept), kept.long() if kept.dtype == torch.bool else kept)


def _mean(recording: Recording, of_stone: Tensor) -> Tracked:
    """The mean over banked stones; 0 where none was."""
    count = recording.per_trial(recording.banked)
    total = recording.per_trial(torch.where(recording.banked, of_stone, 0.0))
    return Tracked(total / count.clamp(min=1))


def _value(vertices: Tensor, values: Values) -> Tensor:
    """What stones pay; those of vertex -1, which is none, are not to be counted."""
    return values.to(vertices.device)[vertices.clamp(min=0)]


def _shown(vertices: Tensor) -> Tensor:
    return chemistry_tables(str(vertices.device)).shown[vertices.clamp(min=0)]
