"""The fewest tests that identify a rule on average, by dynamic programming over all sets of live hypotheses.

    V(S) = 1 + min over x of (|S₁(x)| V(S₁(x)) + |S₀(x)| V(S₀(x))) / |S|,    V = 0 where nothing is left to tell apart

S₁(x) are the hypotheses of S that reward object x, S₀(x) the others. Looking one test ahead, as the greedy choice of
most information does, can only be as good or worse.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from percepts.core.errors import ConfigError
from percepts.envs.feature_world.world import FeatureWorld

MOST_HYPOTHESES = 16
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class ExactPlan:
    """A plan for one set of objects. Hypotheses that it cannot tell apart are one kind, a bit of a number each.

    Attributes:
        kinds: the first hypothesis of each kind.
        weight: how many hypotheses every set of kinds holds.
        value: expected number of tests from there.
        rewarded: the kinds that each object on offer is rewarded by, as a set.
    """

    kinds: Int64[Tensor, " kinds"]
    weight: Float64[Tensor, " sets"]
    value: Float64[Tensor, " sets"]
    rewarded: Int64[Tensor, " choices"]

    @classmethod
    def of(cls, world: FeatureWorld, object_set: int = 0) -> Self:
        """The plan for a set of a world.

        Raises:
            ConfigError: more than 16 kinds of hypotheses.
        """
        classes = world.sets.classes[object_set]
        kinds, size = classes.unique(return_counts=True)
        if len(kinds) > MOST_HYPOTHESES:
            raise ConfigError(
                f"an exact plan for {len(kinds)} hypotheses", f"{MOST_HYPOTHESES} at most", "InformationGain"
            )
        bit = 1 << torch.arange(len(kinds))
        every = torch.arange(1 << len(kinds))
        member = (every[:, None] & bit) > 0
        weight = (member * size).sum(1).double()
        rewarded = (world.tables.rewarded[kinds][:, world.sets.objects[object_set]] * bit[:, None]).sum(0)
        plan = cls(kinds, weight, torch.zeros(len(every), dtype=torch.float64), rewarded)
        tests = rewarded.unique()
        for count in range(2, len(kinds) + 1):
            some = every[member.sum(1) == count]
            plan.value[some] = plan._expected(some, tests).amin(1)
        return plan

    @property
    def tests(self) -> float:
        """Expected number of tests from the beginning."""
        return float(self.value[-1])

    def best(self, alive: Bool[Tensor, "batch hypotheses"]) -> Bool[Tensor, "batch choices"]:
        """The objects that are optimal to test; all where nothing is left to tell apart."""
        device = alive.device
        sets = (alive[:, self.kinds.to(device)] * (1 << torch.arange(len(self.kinds), device=device))).sum(1)
        expected = self._expected(sets.cpu(), self.rewarded)
        best = expected.amin(1, keepdim=True)
        return ((expected <= best + _TOLERANCE) | best.isinf()).to(device)

    def _expected(self, sets: Int64[Tensor, " some"], tests: Int64[Tensor, " tests"]) -> Float64[Tensor, "some tests"]:
        """Tests from each set on if this one is the first; infinite where it tells nothing."""
        one = sets[:, None] & tests
        other = sets[:, None] & ~tests
        sums = self.weight[one] * self.value[one] + self.weight[other] * self.value[other]
        expected = 1 + sums / self.weight[sets].clamp(min=1)[:, None]
        return torch.where((one == 0) | (other == 0), torch.inf, expected)
