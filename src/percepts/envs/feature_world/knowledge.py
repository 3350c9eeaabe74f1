"""What can be known of the hidden rule: the exact posterior, and what a test would add to it.

    knowledge = world.knowledge()
    alive = knowledge.prior(256)                                        # hypotheses that explain everything so far
    gain = knowledge.information_gain(alive, object_set)                # bits [256, N], for every object on offer
    alive = knowledge.update(alive, object_set, tested=gain.argmax(1), lit=lit)

The prior is uniform and tests are taken for exact, so the posterior is uniform over the hypotheses that are alive
(Ke et al. 2024): it is a set.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Self

import torch
from jaxtyping import Bool, Float32, Float64, Int64
from torch import Tensor

from percepts.core.random import torch_generator
from percepts.envs.feature_world.features import FeatureTables
from percepts.envs.feature_world.object_sets import ObjectSets

_EPISODES = 128
"""Of the information-greedy reference."""


@dataclass(frozen=True)
class Knowledge:
    """Tables for exact inference about one world. Choices are places in an episode's set of objects, 0 to N - 1.

    Attributes:
        predicted: which object is rewarded by which hypothesis.
        counted: the same by hypothesis, in numbers; of a single set for its own objects only.
        objects: the numbers of the objects of every set.
        classes: hypotheses that a set cannot tell apart share the number of the first of them.
        class_size: how many share it.
        distinguishing: whether every set tells all hypotheses apart.
        bits: the logarithm to base 2 of how many hypotheses are alive; 0 for none.
    """

    predicted: Bool[Tensor, "objects hypotheses"]
    counted: Float32[Tensor, "hypotheses counted"]
    objects: Int64[Tensor, "sets choices"]
    classes: Int64[Tensor, "sets hypotheses"]
    class_size: Int64[Tensor, "sets hypotheses"]
    distinguishing: bool
    bits: Float64[Tensor, " counts"]

    @classmethod
    def of(cls, tables: FeatureTables, sets: ObjectSets) -> Self:
        """From the tables of a world."""
        hypotheses = len(tables.targets)
        return cls(
            predicted=tables.rewarded.T.contiguous(),
            # Of one set only its own objects are ever counted.
            counted=(tables.rewarded[:, sets.objects[0]] if len(sets.objects) == 1 else tables.rewarded).float(),
            objects=sets.objects,
            classes=sets.classes,
            class_size=sets.class_size,
            distinguishing=sets.distinguishing,
            bits=torch.tensor([0.0, *(math.log2(count) for count in range(1, hypotheses + 1))], dtype=torch.float64),
        )

    def to(self, device: torch.device | str) -> Self:
        """On another device."""
        moved: dict[str, Any] = {}
        for part in dataclasses.fields(self):
            value = getattr(self, part.name)
            moved[part.name] = value.to(device) if isinstance(value, Tensor) else value
        return type(self)(**moved)

    def prior(self, batch: int) -> Bool[Tensor, "batch hypotheses"]:
        """Every hypothesis is alive."""
        return torch.ones(batch, self.predicted.shape[1], dtype=torch.bool, device=self.predicted.device)

    def update(
        self,
        alive: Bool[Tensor, "batch hypotheses"],
        object_set: Int64[Tensor, " batch"],
        tested: Int64[Tensor, " batch"],
        lit: Bool[Tensor, " batch"],
    ) -> Bool[Tensor, "batch hypotheses"]:
        """Those that also explain a test; a `tested` of -1 stands for none."""
        number = torch.where(tested < 0, -1, self.objects[object_set, tested.clamp(min=0)])
        return self.explaining(alive, number, lit)

    def explaining(
        self, alive: Bool[Tensor, "batch hypotheses"], number: Int64[Tensor, " batch"], lit: Bool[Tensor, " batch"]
    ) -> Bool[Tensor, "batch hypotheses"]:
        """The same for objects by their number among all."""
        said = self.predicted[number.clamp(min=0)]
        return alive & ((said == lit[:, None]) | (number < 0)[:, None])

    def identified(
        self, alive: Bool[Tensor, "batch hypotheses"], object_set: Int64[Tensor, " batch"]
    ) -> Bool[Tensor, " batch"]:
        """Whether one hypothesis is left, or only such as no object on offer tells apart."""
        live = alive.sum(1)
        if self.distinguishing:
            return live == 1
        return live == self.class_size[object_set, alive.to(torch.uint8).argmax(1)]

    def rewarding(
        self, alive: Bool[Tensor, "batch hypotheses"], object_set: Int64[Tensor, " batch"]
    ) -> Int64[Tensor, "batch choices"]:
        """How many live hypotheses reward each object on offer."""
        counts = alive.float() @ self.counted
        if len(self.objects) > 1:
            counts = counts.gather(1, self.objects[object_set])
        return counts.long()

    def smaller_part(
        self, alive: Bool[Tensor, "batch hypotheses"], object_set: Int64[Tensor, " batch"]
    ) -> Int64[Tensor, "batch choices"]:
        """How many live hypotheses a test of each object rules out at least. The information gain rises with it, and
        being whole numbers, equals are equal."""
        counts = self.rewarding(alive, object_set)
        return torch.minimum(counts, alive.sum(1, keepdim=True) - counts)

    def information_gain(
        self, alive: Bool[Tensor, "batch hypotheses"], object_set: Int64[Tensor, " batch"]
    ) -> Float64[Tensor, "batch choices"]:
        """Bits that a test of each object is expected to bring: the binary entropy of the share of live hypotheses
        that reward it. 0 where none is alive."""
        share = self.smaller_part(alive, object_set).double() / alive.sum(1, keepdim=True).clamp(min=1)
        return (torch.special.entr(share) + torch.special.entr(1 - share)) / math.log(2)

    def regret(
        self,
        alive: Bool[Tensor, "batch hypotheses"],
        object_set: Int64[Tensor, " batch"],
        tested: Int64[Tensor, " batch"],
    ) -> Float64[Tensor, " batch"]:
        """Bits by which a test is expected to bring less than the best would; all of these for a `tested` of -1."""
        gain = self.information_gain(alive, object_set)
        got = gain.gather(1, tested.clamp(min=0)[:, None])[:, 0]
        return gain.amax(1) - torch.where(tested < 0, 0.0, got)

    def greedy_tests(self) -> float:
        """How many tests it takes on average to identify a hypothesis if each is one of most expected information; by
        128 episodes with truths and sets in turn and random ties, the same every time."""
        hypotheses, device = self.predicted.shape[1], self.predicted.device
        number = torch.arange(_EPISODES, device=device)
        truth, object_set = number * max(1, hypotheses // _EPISODES) % hypotheses, number % len(self.objects)
        alive, tests = self.prior(_EPISODES), torch.zeros(_EPISODES, device=device)
        generator = torch_generator(0, "greedy tests")
        while bool((open_ := ~self.identified(alive, object_set)).any()):
            parts = self.smaller_part(alive, object_set)
            order = torch.rand(parts.shape, generator=generator).to(device)
            tested = torch.where(parts == parts.amax(1, keepdim=True), order, -1.0).argmax(1)
            lit = self.predicted[self.objects[object_set, tested], truth]
            alive = self.update(alive, object_set, torch.where(open_, tested, -1), lit)
            tests += open_
        return float(tests.mean())
