"""Rewards and success of Spriteworld (Watters et al. 2019), exact and for many arenas at once.

    sort = MetaAggregated(subtasks=(FindGoalPosition(filter=red, goal=(0.75, 0.75)), FindGoalPosition(filter=blue)))
    sort.judge(sprites)        # Judgement(reward [B], success [B], applies [B])

A task judges where the sprites are, never how they came there; the cost of an action is the action space's. A user's
task is a subclass of `Task`.

**Nothing to judge.** Where no sprite passes a task's filter, or too few for a clustering, the reward is 0, the task
counts as a success and `applies` is false: it drops out of a `MetaAggregated`. With `compat` the original's answer is
given instead: a reward of NaN, or a `ClusteringError`.
"""

from __future__ import annotations

import functools
import math
from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from percepts.core.errors import ConfigError, DataError
from percepts.data.distributions import Distribution
from percepts.envs.spriteworld.parts import ArenaPart, check_filter, in_order, length, matching
from percepts.envs.spriteworld.state import Sprites

_LEAST = 1e-6
"""Spreads and distances below this count as this in the modern clustering metric; a proposal, not the original's."""
_ZERO = 1e-8
"""What scikit-learn takes for zero."""


@dataclass(frozen=True)
class Judgement:
    """What a task says of many arenas.

    Attributes:
        reward: of being in this state.
        success: whether the task is done.
        applies: whether there was something to judge; None for everywhere.
    """

    reward: Float64[Tensor, " batch"]
    success: Bool[Tensor, " batch"]
    applies: Bool[Tensor, " batch"] | None = None

    @property
    def judged(self) -> Bool[Tensor, " batch"]:
        """`applies`, spelled out."""
        return torch.ones_like(self.success) if self.applies is None else self.applies


@dataclass(frozen=True, kw_only=True)
class Task(ArenaPart):
    """What is rewarded, and when it is done."""

    @abstractmethod
    def judge(self, sprites: Sprites) -> Judgement:
        """Reward and success of every arena, a pure function of its sprites."""


@dataclass(frozen=True, kw_only=True)
class NoReward(Task):
    """No reward, and never done."""

    def judge(self, sprites: Sprites) -> Judgement:
        reward = sprites.position.new_zeros(len(sprites))
        return Judgement(reward, torch.zeros_like(reward, dtype=torch.bool))


@dataclass(frozen=True, kw_only=True)
class FindGoalPosition(Task):
    """Sprites belong near a point.

    A sprite's reward is multiplier·(terminate_distance − d), d² = Σ_i weights_i·(position_i − goal_i)²; the task's is
    the sum over the sprites that pass the filter, and `terminate_bonus` on top of it where the task is done.

    Attributes:
        filter: which sprites; None for all. It is asked in every step, so that it may speak of positions.
        goal: the point.
        terminate_distance: how near is near enough, the distance itself included.
        terminate_bonus: added to the reward of success.
        weights: of x and y in the distance; (1, 0) makes the goal a vertical line.
        sparse: the reward is 0 unless the task is done.
        multiplier: of the reward.
        reach: whether all sprites must be near, or one is enough. The original knows only "all".
        compat: where no sprite passes the filter the reward is NaN (and the task done), as in the original.

    Raises:
        ConfigError: an unknown factor in the filter, or numbers that are negative or not finite.
    """

    filter: Distribution | None = None
    goal: tuple[float, float] = (0.5, 0.5)
    terminate_distance: float = 0.05
    terminate_bonus: float = 0.0
    weights: tuple[float, float] = (1.0, 1.0)
    sparse: bool = False
    multiplier: float = 50.0
    reach: Literal["all", "any"] = "all"
    compat: bool = False

    def __post_init__(self) -> None:
        check_filter("the filter of FindGoalPosition", self.filter)
        _check_finite("goal", *self.goal)
        _check_finite("terminate_bonus", self.terminate_bonus)
        for name, values in (("weights", self.weights), ("terminate_distance", (self.terminate_distance,)),
                             ("multiplier", (self.multiplier,))):  # fmt: skip
            if not all(math.isfinite(value) and value >= 0 for value in values):
                raise ConfigError(f"{name} = {getattr(self, name)}", "finite numbers that are not negative")

    def judge(self, sprites: Sprites) -> Judgement:
        return Judgement(*self.judge_at(sprites.position, matching(self.filter, sprites), *self.goal))

    def judge_at(
        self,
        position: Float64[Tensor, "*scenes sprites 2"],
        targets: Bool[Tensor, "*all sprites"],
        goal_x: Tensor | float,
        goal_y: Tensor | float,
    ) -> tuple[Float64[Tensor, "*all"], Bool[Tensor, "*all"], Bool[Tensor, "*all"]]:
        """What it says of sprites at these positions.

        Args:
            position: of the sprites.
            targets: which of them count, [batch, sprites] or [batch, goals, sprites].
            goal_x, goal_y: where they belong, instead of `goal`; of tensors [goals, 1] each is asked about.

        Returns:
            Reward, success and whether there is anything to judge, of [batch] or [batch, goals].
        """
        x, y = position.unbind(-1)
        across, along = x - goal_x, y - goal_y
        squared = self.weights[0] * (across * across) + self.weights[1] * (along * along)
        margin = self.terminate_distance - torch.sqrt(squared)
        reward = in_order(torch.where(targets, self.multiplier * margin, 0.0))
        near = margin >= 0
        applies = targets.any(-1)
        success = (near | ~targets).all(-1) if self.reach == "all" else (near & targets).any(-1) | ~applies
        reward = _with_bonus(reward, success & applies, self.terminate_bonus, self.sparse)
        if self.compat:
            reward = torch.where(applies, reward, torch.nan)
        return reward, success, applies


@dataclass(frozen=True, kw_only=True)
class Clustering(Task):
    """Sprites of a kind belong together, and apart from those of other kinds.

    With the Davies-Bouldin index DB = (1/k) Σ_i max_{j≠i} (S_i + S_j)/M_ij over the k clusters that have members (S_i
    the mean distance of the members from their centroid, M_ij the distance of two centroids) the metric is 1/DB, the
    reward (metric − termination_threshold)·reward_range/2, and the task is done from the threshold on. Two tight
    clusters give hundreds: the reward is not bounded unless `reward_bounds` says so.

    A sprite belongs to the first cluster that contains it, those of none are ignored. As in scikit-learn there must be
    at least two clusters with members, and more members than clusters.

    S_i + S_j and M_ij below 1e-6 count as 1e-6, so that clusters stacked on points are done, and clusters stacked on
    one point are not. With `compat` the original's errors are raised there instead, and pairs of clusters with one
    centroid are ignored beside others, as scikit-learn does.

    Attributes:
        clusters: a distribution of factors for each kind.
        termination_threshold: of the metric.
        terminate_bonus: added to the reward of success.
        sparse: the reward is 0 unless the task is done.
        reward_range: scale of the reward.
        reward_bounds: the least and the greatest reward without the bonus; None for no bounds.
        compat: errors as in the original.

    Raises:
        ConfigError: fewer than two clusters, two equal ones, an unknown factor, or numbers that are not finite.
    """

    clusters: tuple[Distribution, ...]
    termination_threshold: float = 2.5
    terminate_bonus: float = 0.0
    sparse: bool = False
    reward_range: float = 10.0
    reward_bounds: tuple[float, float] | None = None
    compat: bool = False

    def __post_init__(self) -> None:
        if len(self.clusters) < 2:
            raise ConfigError(f"{len(self.clusters)} clusters", "at least two distributions")
        for number, cluster in enumerate(self.clusters):
            check_filter(f"cluster {number}", cluster)
            if cluster in self.clusters[:number]:
                first = self.clusters.index(cluster)
                raise ConfigError(f"cluster {number} equals cluster {first}", "another one: it would have no members")
        for name in ("termination_threshold", "terminate_bonus", "reward_range"):
            _check_finite(name, getattr(self, name))
        if self.reward_bounds is not None:
            _check_finite("reward_bounds", *self.reward_bounds)
            if self.reward_bounds[0] > self.reward_bounds[1]:
                raise ConfigError(f"reward_bounds = {self.reward_bounds}", "the lower bound first")

    def judge(self, sprites: Sprites) -> Judgement:
        members = self.members(sprites)
        counts = members.any(-1).sum(-1), members.any(-2).sum(-1)
        applies = (counts[0] >= 2) & (counts[1] > counts[0])
        if self.compat and not bool(applies.all()):
            row = int((~applies).nonzero()[0])
            got = f"{int(counts[0][row])} clusters of {int(counts[1][row])} sprites in arena {row}"
            raise ClusteringError(got, "at least two, and more sprites than clusters")
        metric = 1 / davies_bouldin(sprites.position, members, compat=self.compat)
        success = metric >= self.termination_threshold
        reward = (metric - self.termination_threshold) * (self.reward_range / 2)
        if self.reward_bounds is not None:
            reward = reward.clamp(*self.reward_bounds)
        reward = _with_bonus(reward, success, self.terminate_bonus, self.sparse)
        return Judgement(torch.where(applies, reward, 0.0), success | ~applies, applies)

    def members(self, sprites: Sprites) -> Bool[Tensor, "batch clusters sprites"]:
        """Which sprites belong to which cluster, each to one at most."""
        left, found = sprites.present, []
        for cluster in self.clusters:
            found.append(matching(cluster, sprites) & left)
            left = left & ~found[-1]
        return torch.stack(found, 1)


@dataclass(frozen=True, kw_only=True)
class MetaAggregated(Task):
    """Several tasks at once: their rewards and successes aggregated over those that apply.

    Attributes:
        subtasks: the tasks.
        reward_aggregator: of their rewards.
        termination_criterion: whether all or any of them must be done. The original's "any" also counts subtasks that
            have nothing to judge, and so does ours with `compat`.
        terminate_bonus: added to the reward of success.
        compat: where no subtask applies "max", "min" and "mean" give NaN, as in the original, and not 0.

    Raises:
        ConfigError: no subtasks, or a bonus that is not finite.
    """

    subtasks: tuple[Task, ...]
    reward_aggregator: Literal["sum", "max", "min", "mean"] = "sum"
    termination_criterion: Literal["all", "any"] = "all"
    terminate_bonus: float = 0.0
    compat: bool = False

    def __post_init__(self) -> None:
        if not self.subtasks:
            raise ConfigError("a task of no subtasks", "one or more")
        _check_finite("terminate_bonus", self.terminate_bonus)

    def judge(self, sprites: Sprites) -> Judgement:
        rewards, applies, done = self._judge_each(sprites)
        some = applies.any(-1)
        reward = self._aggregate(rewards, applies)
        if self.termination_criterion == "all":
            success = done.all(-1)
        elif self.compat:
            success = done.any(-1)
        else:
            success = (done & applies).any(-1) | ~some
        if self.terminate_bonus:
            reward = reward + self.terminate_bonus * (success & (some | self.compat))
        return Judgement(reward, success, some)

    def _judge_each(
        self, sprites: Sprites
    ) -> tuple[Float64[Tensor, "batch tasks"], Bool[Tensor, "batch tasks"], Bool[Tensor, "batch tasks"]]:
        """Rewards, what applies and what is done of every subtask."""
        alike = self._goals
        if alike is not None:
            # Sorting is such a task; to judge goal by goal takes three times as long.
            targets = torch.stack([matching(task.filter, sprites) for task in alike], 1)
            across, along = sprites.position.new_tensor([task.goal for task in alike])[..., None].unbind(1)
            reward, success, applies = alike[0].judge_at(sprites.position[:, None], targets, across, along)
            return reward, applies, success
        parts = [task.judge(sprites) for task in self.subtasks]
        columns = ([part.reward for part in parts], [part.judged for part in parts], [part.success for part in parts])
        return torch.stack(columns[0], -1), torch.stack(columns[1], -1), torch.stack(columns[2], -1)

    @functools.cached_property
    def _goals(self) -> tuple[FindGoalPosition, ...] | None:
        """The subtasks, where they are several positions to reach that differ in filter and goal alone."""
        goals = tuple(task for task in self.subtasks if type(task) is FindGoalPosition)
        if len(goals) < max(2, len(self.subtasks)):
            return None
        first, *others = (replace(task, filter=None, goal=(0.0, 0.0)) for task in goals)
        return goals if all(one == first for one in others) else None

    def _aggregate(
        self, rewards: Float64[Tensor, "batch tasks"], applies: Bool[Tensor, "batch tasks"]
    ) -> Float64[Tensor, " batch"]:
        if self.reward_aggregator in ("sum", "mean"):
            reward = in_order(torch.where(applies, rewards, 0.0))
            if self.reward_aggregator == "mean":
                reward = reward / applies.sum(-1).clamp(min=1)
        elif self.reward_aggregator == "max":
            reward = torch.where(applies, rewards, -torch.inf).amax(-1)
        else:
            reward = torch.where(applies, rewards, torch.inf).amin(-1)
        if self.reward_aggregator == "sum":
            return reward
        return torch.where(applies.any(-1), reward, torch.nan if self.compat else 0.0)


class ClusteringError(DataError, ValueError, ZeroDivisionError):
    """A scene for which the original's clustering task has no reward: it raises a ValueError for too few clusters or
    sprites, a ZeroDivisionError for clusters without extent or distance."""


def davies_bouldin(
    position: Float64[Tensor, "batch sprites 2"], members: Bool[Tensor, "batch clusters sprites"], compat: bool = False
) -> Float64[Tensor, " batch"]:
    """The Davies-Bouldin index (Davies & Bouldin 1979) of many scenes, over the clusters that have members.

    Args:
        position: of the sprites.
        members: which sprites are in which cluster, each in one at most.
        compat: singular scenes as in scikit-learn, whose index of 0 the original divides by; without it spreads and
            distances below 1e-6 count as 1e-6.

    Raises:
        ClusteringError: with `compat`, no spread or no distance.
    """
    count = in_order(members.double())
    there, count = count > 0, count.clamp(min=1)
    points = torch.where(members[..., None], position[:, None], 0.0)
    centroid = in_order(points.transpose(-1, -2)) / count[..., None]
    spread = in_order(torch.where(members, length(points - centroid[:, :, None]), 0.0)) / count
    apart = length(centroid[:, :, None] - centroid[:, None])
    pairs = there[:, :, None] & there[:, None]
    pairs = pairs & ~torch.eye(pairs.shape[-1], dtype=torch.bool, device=pairs.device)
    both = spread[:, :, None] + spread[:, None]
    if compat:
        singular = (spread <= _ZERO).all(-1) | ((apart <= _ZERO) | ~pairs).flatten(1).all(-1)
        if bool(singular.any()):
            row = int(singular.nonzero()[0])
            raise ClusteringError(f"clusters of no extent or at no distance in arena {row}", "an index above 0")
        ratio = torch.where(pairs & (apart > 0), both / apart, 0.0)
    else:
        ratio = torch.where(pairs, both.clamp(min=_LEAST) / apart.clamp(min=_LEAST), 0.0)
    return in_order(ratio.amax(-1)) / there.sum(-1)


def _with_bonus(
    reward: Float64[Tensor, "*all"], success: Bool[Tensor, "*all"], bonus: float, sparse: bool
) -> Float64[Tensor, "*all"]:
    if bonus:
        reward = reward + bonus * success
    return torch.where(success, reward, 0.0) if sparse else reward


def _check_finite(name: str, *values: float) -> None:
    if not all(map(math.isfinite, values)):
        raise ConfigError(f"{name} = {values if len(values) > 1 else values[0]}", "finite numbers")
