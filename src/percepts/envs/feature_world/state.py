"""Where many episodes of Feature World are, and what a step brought; all values."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Float64, Int8, Int64
from torch import Tensor

from percepts.envs.rows import TensorRows
from percepts.envs.streams import Streams


@dataclass(frozen=True)
class WorldState(TensorRows):
    """Where B episodes are.

    Attributes:
        streams: of random numbers, for noise and the next episodes.
        truth: the number of the hidden hypothesis.
        object_set: which of the world's sets of objects is on offer.
        scene: a random number of the episode, for whatever shows it.
        alive: hypotheses that explain all tests as they were logged.
        live: how many these are.
        steps: tests so far, wasted ones too.
        outcomes: of the last test of every object on offer: 1 it lit up, -1 it did not, 0 there was none.
        tested: the place of the object that was tested last; -1 before the first test or if the last step was none.
        lit: whether it lit up.
        answer: the hypothesis that was named as the truth; -1 for none so far.
        erred: whether in any test of the episode another object was tested than logged.
        finished: whether the episode is over.
    """

    streams: Streams
    truth: Int64[Tensor, " batch"]
    object_set: Int64[Tensor, " batch"]
    scene: Int64[Tensor, " batch"]
    alive: Bool[Tensor, "batch hypotheses"]
    live: Int64[Tensor, " batch"]
    steps: Int64[Tensor, " batch"]
    outcomes: Int8[Tensor, "batch choices"]
    tested: Int64[Tensor, " batch"]
    lit: Bool[Tensor, " batch"]
    answer: Int64[Tensor, " batch"]
    erred: Bool[Tensor, " batch"]
    finished: Bool[Tensor, " batch"]

    def __len__(self) -> int:
        return len(self.steps)


@dataclass(frozen=True)
class Outcome:
    """What a step brought.

    Attributes:
        reward: 1 for success, less the cost of a test.
        terminated: an answer was given, or (mode "identify") the tests decide everything or contradict each other.
        truncated: the budget is spent, and the episode not terminated.
        success: the answer is right, or the hypothesis that the tests leave is the truth; what no object on offer tells
            from the truth counts as it.
        identified: the tests leave one hypothesis, or only such as no object on offer tells apart.
        gained: bits by which the uncertainty fell.
        erred: another object was tested than logged.
    """

    reward: Float64[Tensor, " batch"]
    terminated: Bool[Tensor, " batch"]
    truncated: Bool[Tensor, " batch"]
    success: Bool[Tensor, " batch"]
    identified: Bool[Tensor, " batch"]
    gained: Float64[Tensor, " batch"]
    erred: Bool[Tensor, " batch"]
