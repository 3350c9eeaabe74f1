"""Rewards and success as the original Spriteworld 1.0.2 computes them (Watters et al. 2019), sprite by sprite in NumPy.

The second implementation of `tasks`, whose settings it reads and against which that is tested. Its answers are the
original's everywhere: NaN where no sprite passes a filter, errors where a clustering has no index.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from percepts.core.errors import ConfigError
from percepts.envs.spriteworld.compat_sampling import CURRENT, CompatOptions, contains
from percepts.envs.spriteworld.compat_sprite import CompatDataError, CompatSprite, CompatZeroDivisionError
from percepts.envs.spriteworld.tasks import Clustering, FindGoalPosition, MetaAggregated, NoReward, Task

_ZERO = 1e-8
"""What scikit-learn takes for zero."""
_AGGREGATES: dict[str, Callable[[NDArray], float]] = {
    "sum": np.nansum,
    "max": np.nanmax,
    "min": np.nanmin,
    "mean": np.nanmean,
}
"""Subtasks whose filter nothing passed do not count in any of them."""


def judge(task: Task, sprites: Sequence[CompatSprite], options: CompatOptions = CURRENT) -> tuple[float, bool]:
    """Reward and success of a scene.

    Raises:
        ConfigError: a task or a setting that the original does not have.
        CompatDataError: a clustering of fewer than two clusters, or of no more sprites than clusters.
        CompatZeroDivisionError: a clustering of clusters without extent or distance.
    """
    if isinstance(task, NoReward):
        return 0.0, False
    if isinstance(task, FindGoalPosition):
        return _judge_goal(task, sprites, options)
    if isinstance(task, Clustering):
        return _judge_clustering(task, sprites, options)
    if isinstance(task, MetaAggregated):
        return _judge_aggregate(task, sprites, options)
    raise ConfigError(f"the original has no {type(task).__name__}", "one of its tasks")


def _judge_goal(task: FindGoalPosition, sprites: Sequence[CompatSprite], options: CompatOptions) -> tuple[float, bool]:
    if task.reach != "all":
        raise ConfigError(f"the original has no reach = {task.reach!r}", "'all'")
    goal, weights = np.asarray(task.goal), np.asarray(task.weights)
    rewards = []
    for sprite in sprites:
        if task.filter is None or contains(task.filter, sprite.factors, options):
            distance = np.sum(weights * (sprite.position - goal) ** 2.0) ** 0.5
            rewards.append(task.multiplier * (task.terminate_distance - distance))
    if not rewards:
        return math.nan, True
    success = all(reward >= 0 for reward in rewards)
    return _reward(float(np.sum(rewards)), success, task), success


def _judge_clustering(task: Clustering, sprites: Sequence[CompatSprite], options: CompatOptions) -> tuple[float, bool]:
    if task.reward_bounds is not None:
        raise ConfigError("the original has no reward_bounds", "None")
    found = [(sprite.position, _cluster(task, sprite, options)) for sprite in sprites]
    members = [(position, cluster) for position, cluster in found if cluster >= 0]
    positions = np.array([position for position, _ in members]).reshape(-1, 2)
    index = davies_bouldin(positions, np.array([cluster for _, cluster in members], dtype=np.int64))
    if index == 0:
        raise CompatZeroDivisionError("a clustering of clusters without extent or distance", "an index above 0")
    metric = 1 / index
    success = metric >= task.termination_threshold
    return _reward((metric - task.termination_threshold) * task.reward_range / 2, success, task), success


def _judge_aggregate(
    task: MetaAggregated, sprites: Sequence[CompatSprite], options: CompatOptions
) -> tuple[float, bool]:
    judged = [judge(part, sprites, options) for part in task.subtasks]
    rewards = np.array([reward for reward, _ in judged])
    if task.reward_aggregator == "sum" or not np.isnan(rewards).all():
        reward = float(_AGGREGATES[task.reward_aggregator](rewards))
    else:
        reward = math.nan
    success = (all if task.termination_criterion == "all" else any)(done for _, done in judged)
    return reward + task.terminate_bonus * success, success


def _reward(dense: float, success: bool, task: FindGoalPosition | Clustering) -> float:
    if success:
        return task.terminate_bonus + dense
    return 0.0 if task.sparse else dense


def _cluster(task: Clustering, sprite: CompatSprite, options: CompatOptions) -> int:
    """The number of the first cluster that contains the sprite, -1 for none."""
    factors = sprite.factors
    return next((n for n, cluster in enumerate(task.clusters) if contains(cluster, factors, options)), -1)


def davies_bouldin(positions: Float[np.ndarray, "sprites 2"], clusters: Int[np.ndarray, " sprites"]) -> float:
    """The Davies-Bouldin index (Davies & Bouldin 1979) with the rounding of scikit-learn 1.9; 0 for clusters without
    extent or distance.

    Of float32 positions the centroids and spreads are rounded to float32, the distances of centroids are not.

    Raises:
        CompatDataError: fewer than two clusters, or no more sprites than clusters.
    """
    present = sorted(set(clusters.tolist()))
    if not 1 < len(present) < len(clusters):
        raise CompatDataError(
            f"{len(present)} clusters of {len(clusters)} sprites", "at least two, and more sprites than clusters"
        )
    centroids, spreads = np.zeros((len(present), 2)), np.zeros(len(present))
    for place, cluster in enumerate(present):
        members = positions[clusters == cluster]
        centroid = members.mean(0)
        centroids[place], spreads[place] = centroid, _distances(members, centroid[None]).mean()
    apart = _distances(centroids, centroids)
    np.fill_diagonal(apart, 0)
    if (np.abs(spreads) <= _ZERO).all() or (np.abs(apart) <= _ZERO).all():
        return 0.0
    apart[apart == 0] = np.inf
    return float(((spreads[:, None] + spreads) / apart).max(1).mean())


def _distances(ones: NDArray, others: NDArray) -> NDArray:
    """Euclidean distances from scalar products, in float64 and rounded back before the root."""
    a, b = ones.astype(np.float64), others.astype(np.float64)
    squared = -2 * (a @ b.T) + (a * a).sum(1)[:, None] + (b * b).sum(1)
    return np.sqrt(np.maximum(squared.astype(ones.dtype), 0))
