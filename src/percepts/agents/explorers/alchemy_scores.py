"""Whether players of text Alchemy get better from trial to trial, and whether they cope with new rules.

    found = judge(played, switch=10)
    found.improvement, found.robust_improvement, found.drop, found.recovery
    learns(played).p                                       # one-sided: improvement above 0
    compare(played, other).p                               # paired by games

n_t is the score of trial t over the oracle's, left out where the oracle reaches nothing. The improvement score of Ke et
al. (2025) is the mean of n over trials 6 to 10 less n₁, which is noisy as n₁ is; the robust one compares with trials 1
to 5 (third-party re-implementation). What is said of a switch is this library's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from percepts.agents.explorers.dialogue import PlayedText
from percepts.agents.explorers.feature_scores import Estimate, PairedTest, estimate, paired_test
from percepts.core.errors import DataError


@dataclass(frozen=True)
class Judgement:
    """What games say of a player.

    Attributes:
        curve: of n_t by trial.
        performance: mean of n over all trials of a game.
        first: n₁.
        late: mean of n over the second half of the trials, before a switch if there is one.
        improvement: late less first, by games.
        robust_improvement: late less the mean of the first half.
        drop: n of the first trial after the switch less late; None without a switch.
        recovery: mean of n over the second half of the trials after the switch less that of the first one.
        late_after: mean of n over that second half. The last two are None without a switch, too.
        invalid_rate: share of replies that came to nothing.
        vain_rate: share of potions that changed nothing.
    """

    curve: tuple[Estimate, ...]
    performance: Estimate
    first: Estimate
    late: Estimate
    improvement: Estimate
    robust_improvement: Estimate
    drop: Estimate | None
    recovery: Estimate | None
    late_after: Estimate | None
    invalid_rate: float
    vain_rate: float


def judge(played: PlayedText, switch: int | None = None) -> Judgement:
    """What games say of a player.

    Args:
        played: the games.
        switch: number of trials before the rules changed; None if they did not.

    A single trial has no later half: what would need one before the switch, or after it, is NaN of nothing.
    """
    n = played.normalised
    early, late = _halves(n, 0, n.shape[1] if switch is None else switch)
    drop = recovery = late_after = None
    if switch is not None:
        _, after = _halves(n, switch, n.shape[1])
        drop, recovery, late_after = (
            known(part) for part in (n[:, switch] - late, after - n[:, switch], after)
        )  # fmt: skip
    dips = int(played.dips.sum())
    return Judgement(
        curve=tuple(known(column) for column in n.T),
        performance=known(n.nanmean(1)),
        first=known(n[:, 0]),
        late=known(late),
        improvement=known(late - n[:, 0]),
        robust_improvement=known(late - early),
        drop=drop,
        recovery=recovery,
        late_after=late_after,
        invalid_rate=played.invalid_rate,
        vain_rate=int(played.vain.sum()) / dips if dips else 0.0,
    )


def improvements(played: PlayedText, switch: int | None = None, robust: bool = False) -> Float64[Tensor, " batch"]:
    """The improvement score of every game; NaN where it has none."""
    n = played.normalised
    early, late = _halves(n, 0, n.shape[1] if switch is None else switch)
    return late - (early if robust else n[:, 0])


def learns(played: PlayedText, switch: int | None = None, robust: bool = False) -> PairedTest:
    """Whether the improvement is above 0, one-sided.

    Raises:
        DataError: no game has an improvement score.
    """
    some = improvements(played, switch, robust)
    some = some[~some.isnan()]
    if not len(some):
        raise DataError("no game with an improvement score", "games in which the oracle reaches something")
    return paired_test(some, torch.zeros_like(some), "greater")


def compare(one: PlayedText, other: PlayedText) -> PairedTest:
    """Whether two players differ in their performance in the same games.

    Raises:
        DataError: other games.
    """
    if one.ceiling.shape != other.ceiling.shape or not bool(torch.equal(one.ceiling, other.ceiling)):
        raise DataError("two players in different games", "the same seeds and settings")
    pairs = torch.stack([one.normalised.nanmean(1), other.normalised.nanmean(1)])
    pairs = pairs[:, ~pairs.isnan().any(0)]
    return paired_test(pairs[0], pairs[1])


def known(values: Tensor) -> Estimate:
    """The mean of what is not NaN."""
    return estimate(values[~values.isnan()])


def judgement_json(found: Judgement) -> dict[str, Any]:
    """A judgement as JSON data: [mean, standard error, number] for every estimate."""
    return {name: _json(value) for name, value in vars(found).items()}


def judgement_from_json(data: Mapping[str, Any]) -> Judgement:
    """What `judgement_json` gave.

    Raises:
        DataError: it is something else.
    """
    try:
        parts: dict[str, Any] = {name: _read(name, data[name]) for name in Judgement.__dataclass_fields__}
    except (KeyError, TypeError, ValueError) as error:
        raise DataError("no judgement of games", "the JSON that percepts wrote") from error
    return Judgement(**parts)


def _halves(n: Tensor, start: int, stop: int) -> tuple[Tensor, Tensor]:
    """Means of n over the halves of some trials: of ten the first five and the last five. NaN of a single one."""
    if stop - start < 2:
        return torch.full_like(n[:, 0], torch.nan), torch.full_like(n[:, 0], torch.nan)
    middle = start + (stop - start) // 2
    return n[:, start:middle].nanmean(1), n[:, middle:stop].nanmean(1)


def _json(value: Any) -> Any:
    if isinstance(value, Estimate):
        numbers = [value.mean, value.error]
        return [*(None if number != number else number for number in numbers), value.count]
    return [_json(one) for one in value] if isinstance(value, tuple) else value


def _read(name: str, value: Any) -> Any:
    if name == "curve":
        return tuple(_read("", one) for one in value)
    if isinstance(value, list):
        mean, error, count = value
        nan = float("nan")
        return Estimate(nan if mean is None else mean, nan if error is None else error, count)
    return value
