"""Images seen in several ways."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from small_iodine import built, images
from torch import Tensor

from percepts.core.errors import ConfigError
from percepts.objects.explanation import Explanation
from percepts.objects.multistability import see_again
from percepts.objects.slot_posterior import SlotPosterior

WAYS = [[[0, 0, 1, 1]] * 4, [[0] * 4, [0] * 4, [1] * 4, [1] * 4]]
"""Left against right, top against bottom."""


class Undecided:
    """Sees the first image in either way, three times in four in the first, and the second image in the first only; a
    run names its slots as it likes."""

    def __init__(self) -> None:
        self.run = -1

    def infer(
        self,
        image: Tensor,
        steps: int | None = None,
        slots: int | None = None,
        generator: torch.Generator | None = None,
    ) -> Iterator[Explanation]:
        self.run += 1
        ways = [WAYS[1] if self.run % 4 == 3 else WAYS[0], WAYS[0]]
        label = torch.tensor(ways) if self.run % 2 == 0 else 1 - torch.tensor(ways)
        mask = torch.nn.functional.one_hot(label, 2).movedim(-1, 1).float()
        log_mask = (0.98 * mask + 0.01).log()
        cost = torch.full((2, 4, 4), -1.0 - self.run)
        yield Explanation(
            posterior=SlotPosterior(torch.zeros(2, 2, 6)),
            kl=torch.ones(2, 2, 3),
            rows=torch.zeros(4, 3),
            pull_back=None,
            appearance=mask.unsqueeze(2),
            mask_logit=log_mask.unsqueeze(2),
            log_mask=log_mask,
            log_prob_slots=log_mask,
            log_prob=cost,
        )


def test_runs_are_grouped_into_ways_and_their_slots_matched():
    seen = see_again(Undecided(), torch.zeros(2, 1, 4, 4), runs=8)
    assert seen.explanations.distinct.tolist() == [2, 1]
    np.testing.assert_allclose(seen.explanations.frequency[:, :2], [[0.75, 0.25], [1.0, 0.0]])
    # The second image looks the same in all runs once its slots are matched.
    assert (seen.mask[:, 1] == seen.mask[0, 1]).all()
    assert (seen.appearance[:, 1] == seen.appearance[0, 1]).all()
    assert (seen.kl == 6).all()
    np.testing.assert_allclose(seen.nll[:, 0], 16.0 * np.arange(1, 9))
    # Runs 0, 1, 2, 4, 5, 6 saw the first way, runs 3 and 7 the other.
    assert seen.run_of_way(0).tolist() == [0, 0]
    assert seen.run_of_way(1).tolist() == [3, -1]
    np.testing.assert_allclose(seen.nll_of_way(1), [16 * 6.0, np.nan])


def test_foreground_alone_can_decide():
    """Where the two ways differ nothing is counted, so they are one."""
    same = torch.tensor(WAYS[0]) == torch.tensor(WAYS[1])
    seen = see_again(Undecided(), torch.zeros(2, 1, 4, 4), runs=4, foreground=same.expand(2, 4, 4))
    assert seen.explanations.distinct.tolist() == [1, 1]


def test_iodine_is_asked_with_other_noise_every_time():
    model, image = built(), images(2)
    seen = see_again(model, image, runs=3, steps=1, slots=4)
    assert seen.mask.shape == (3, 2, 4, 8, 8)
    assert not torch.allclose(seen.nll[0], seen.nll[1])
    again = see_again(model, image, runs=3, steps=1, slots=4)
    assert torch.equal(seen.mask, again.mask)
    assert not torch.equal(seen.mask, see_again(model, image, runs=3, seed=1, steps=1, slots=4).mask)
    with pytest.raises(ConfigError, match="runs = 1"):
        see_again(model, image, runs=1)
