"""Who is chosen: scores of candidates and groups, what stands in their way, and what to doubt about the choice."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from percepts.core.config import Config
from percepts.core.errors import ConfigError, RunError, nearest
from percepts.training.selection_tables import NAN, Candidate, Group

LOWER_IS_BETTER = ("gaussian_total_correlation", "gaussian_wasserstein_correlation", "mutual_information_score")


@dataclass(frozen=True, kw_only=True)
class SelectionSettings(Config):
    """How models are chosen."""

    criterion: str = "udr-lasso"
    """What ranks: udr-lasso (or udr), udr-spearman, elbo, or a supervised score by name (mig.dlib)."""
    images: int = 1000
    """Images that every model encodes; the same ones for all."""
    compare: Literal["group", "all"] = "group"
    """Compare a model with those of the same settings and other seeds, or with all (UDR-A2A)."""
    pairs: int | None = None
    """How many other models enter each score, drawn at random; None: all there are."""
    min_active: int = 1
    """A model with fewer informative latents may not be chosen: UDR cannot see what a model leaves out."""
    coverage: Literal["none", "guard", "penalty"] = "none"
    """guard: of three groups or more, the fifth that reconstructs worst may not be chosen; penalty: a UDR is multiplied
    by min(1, active / largest active). Both are this library's, not the paper's."""
    alpha: float = 0.1
    """The penalty of the Lasso: correlations below it count as none."""
    kl_threshold: float = 0.01
    """A latent is informative where its mean KL exceeds this many nats."""
    bootstrap: int = 200
    """Resamples for the intervals."""
    stability: bool = True
    """Measure how the correlation with supervised scores depends on the number of compared models."""
    task_images: int = 3000
    """Images for downstream tasks, where there are any."""
    batch_size: int = 256
    seed: int = 0
    """Of the choice of images, of pairs and of resamples."""

    @property
    def ranking(self) -> str:
        """The criterion; "udr" is short for "udr-lasso"."""
        return "udr-lasso" if self.criterion == "udr" else self.criterion

    def __post_init__(self) -> None:
        least = {"images": 2, "task_images": 2, "min_active": 0, "bootstrap": 0, "batch_size": 1}
        for name, bound in (least | ({} if self.pairs is None else {"pairs": 1})).items():
            if getattr(self, name) < bound:
                raise ConfigError(f"{name} = {getattr(self, name)}", f"at least {bound}")
        if not self.alpha > 0 or not self.kl_threshold >= 0:
            raise ConfigError(f"alpha = {self.alpha} and kl_threshold = {self.kl_threshold}", "positive numbers")
        if self.coverage == "penalty" and not self.ranking.startswith("udr-"):
            raise ConfigError(f"coverage = penalty with criterion = {self.criterion}", "udr-lasso or udr-spearman")


def choose(
    candidates: Sequence[Candidate], settings: SelectionSettings
) -> tuple[list[Candidate], list[Group], int | None]:
    """The candidates with their scores and obstacles, the groups (best first), and the position of the chosen one.

    The group with the highest median among those that may be chosen; in it, the candidate with the highest score.

    Raises:
        RunError: no candidate has the criterion.
    """
    scored = [
        dataclasses.replace(candidate, score=value)
        for candidate, value in zip(candidates, _scores(candidates, settings))
    ]
    names = list(dict.fromkeys(candidate.group for candidate in scored))
    groups = [_group([i for i, one in enumerate(scored) if one.group == name], scored) for name in names]
    groups = [
        dataclasses.replace(group, obstacles=tuple(_group_obstacles(group, groups, settings))) for group in groups
    ]
    groups.sort(key=lambda group: (math.isnan(group.score), -group.score))
    of_group = {group.name: group.obstacles for group in groups}
    scored = [dataclasses.replace(one, obstacles=(*_obstacles(one, settings), *of_group[one.group])) for one in scored]
    for group in groups:
        for member in group.members:
            if scored[member].eligible:
                return scored, groups, member
    return scored, groups, None


def concerns(
    candidates: Sequence[Candidate], groups: Sequence[Group], chosen: int | None, criterion: str
) -> Iterator[str]:
    """What to look at before trusting the choice."""
    if chosen is None:
        reasons = list(dict.fromkeys(reason for one in candidates for reason in one.obstacles))
        yield "no model may be chosen: " + "; ".join(reasons[:3])
        return
    if not criterion.startswith("udr-"):
        return
    best, most = candidates[chosen], max(candidate.active for candidate in candidates)
    if 2 * best.active <= most:
        yield (
            f"the chosen {best.name} has {best.active} informative latents, others have up to {most}: UDR cannot see "
            "what a model leaves out, so look at its reconstructions, or use coverage 'guard' or 'penalty'"
        )
    fewest = min(len(group.members) for group in groups)
    if fewest < 5:
        yield f"a group has {fewest} seed(s): the score is noisy below five"


def _scores(candidates: Sequence[Candidate], settings: SelectionSettings) -> list[float]:
    """The criterion of every candidate, with the penalty, turned so that higher is better."""
    criterion = settings.ranking
    if criterion.startswith("udr-"):
        kinds = sorted(candidates[0].udr)
        kind = criterion.removeprefix("udr-")
        if kind not in kinds:
            raise RunError(f"criterion = {criterion}", "udr-" + " or udr-".join(kinds))
        most = max(1, *(candidate.active for candidate in candidates))
        share = [min(1.0, one.active / most) if settings.coverage == "penalty" else 1.0 for one in candidates]
        return [one.udr[kind] * part for one, part in zip(candidates, share)]
    if criterion == "elbo":
        values = [candidate.elbo for candidate in candidates]
    else:
        values = [candidate.supervised.get(criterion, NAN) for candidate in candidates]
    if all(map(math.isnan, values)):
        known = sorted({name for candidate in candidates for name in candidate.supervised})
        close = nearest(criterion, [*known, "udr-lasso", "udr-spearman", "elbo"])
        raise RunError(
            f"no model has the score '{criterion}'" + (f", did you mean '{close}'?" if close else ""),
            "udr-lasso, udr-spearman, elbo" + (", " + ", ".join(known) if known else ""),
            "percepts evaluate RUN writes the supervised scores" if not known else None,
        )
    sign = -1.0 if criterion.startswith(LOWER_IS_BETTER) else 1.0
    return [sign * value for value in values]


def _obstacles(candidate: Candidate, settings: SelectionSettings) -> Iterator[str]:
    if math.isnan(candidate.score):
        yield f"no {settings.ranking}"
    if candidate.active < settings.min_active:
        yield f"fewer than {settings.min_active} informative latents"


def _group_obstacles(group: Group, groups: Sequence[Group], settings: SelectionSettings) -> Iterator[str]:
    if group.active < settings.min_active:
        yield f"its settings leave {group.active:g} informative latents in the median"
    excess = np.array([other.excess for other in groups if not math.isnan(other.excess)])
    if settings.coverage == "guard" and len(excess) > 2 and group.excess > np.quantile(excess, 0.8):
        yield f"its settings are among the fifth that reconstructs worst (excess {group.excess:.4g} nats)"


def _group(members: Sequence[int], candidates: Sequence[Candidate]) -> Group:
    ones = [candidates[member] for member in members]
    ordered = sorted(members, key=lambda member: (math.isnan(candidates[member].score), -candidates[member].score))
    names = dict.fromkeys(name for one in ones for name in one.supervised)
    low, middle, high = _quartiles([one.score for one in ones])
    udr = {kind: _quartiles([one.udr[kind] for one in ones]) for kind in ones[0].udr}
    return Group(
        name=ones[0].group,
        settings=ones[0].settings,
        members=tuple(ordered),
        score=middle,
        quartiles=(low, high),
        udr={kind: values[1] for kind, values in udr.items()},
        udr_quartiles={kind: (values[0], values[2]) for kind, values in udr.items()},
        active=_quartiles([one.active for one in ones])[1],
        excess=_quartiles([one.excess for one in ones])[1],
        elbo=_quartiles([one.elbo for one in ones])[1],
        supervised={name: _quartiles([one.supervised.get(name, NAN) for one in ones])[1] for name in names},
    )


def _quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """25 %, 50 % and 75 % of the numbers that are there; NaN where none is."""
    there = [value for value in values if not math.isnan(value)]
    low, middle, high = np.quantile(there, [0.25, 0.5, 0.75]) if there else (NAN, NAN, NAN)
    return float(low), float(middle), float(high)
