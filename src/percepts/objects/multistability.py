"""Several ways to see an image: a model that samples while it infers, asked again and again (Greff et al. 2019).

    seen = see_again(model, batch["image"], runs=16, foreground=dataset.foreground(batch))
    seen.explanations.distinct              # in how many ways each image was taken apart
    seen.explanations.frequency             # how often in each of them
    seen.nll_of_way(0)                      # what the most frequent way costs
    seen.mask[seen.run_of_way(1), 0]        # the masks of image 0, where it was seen in the second way …

A way is a group of runs whose segmentations agree (`metrics.segmentation_runs`); how much two have to agree to be the
same is our choice, as the paper gives no number.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from percepts.core.errors import ConfigError
from percepts.core.random import torch_generator
from percepts.core.slots import labels
from percepts.metrics.segmentation_runs import Explanations, align_slots, distinct_explanations
from percepts.objects.explanation import Explanation


class Infers(Protocol):
    """Infers slots step by step with noise, and says what each belief costs (`IODINE.infer`)."""

    def infer(
        self,
        image: Tensor,
        steps: int | None = None,
        slots: int | None = None,
        generator: torch.Generator | None = None,
    ) -> Iterable[Explanation]: ...


@dataclass(frozen=True)
class SeenAgain:
    """R runs of inference on the same images.

    Attributes:
        mask: of the last belief; slots are in the order of the first run, matched by overlap.
        appearance: of the slots, in the same order, in [0, 1].
        nll: −ln p(x | z) of the last belief's means, in nats.
        kl: of the last belief, in nats.
        explanations: how the runs group into ways to see an image, the most frequent first.
    """

    mask: Float[Tensor, "runs batch slots height width"]
    appearance: Float[Tensor, "runs batch slots channels height width"]
    nll: Float[Tensor, "runs batch"]
    kl: Float[Tensor, "runs batch"]
    explanations: Explanations

    def run_of_way(self, way: int) -> Int[Tensor, " batch"]:
        """For every image the run of the lowest NLL + KL that saw it in that way; −1 where none did."""
        seen = torch.from_numpy(self._seen(way))
        cost = torch.where(seen, (self.nll + self.kl).cpu(), torch.inf)
        return torch.where(seen.any(0), cost.argmin(0), -1)

    def nll_of_way(self, way: int) -> Float[np.ndarray, " batch"]:
        """The mean NLL of the runs that saw an image in that way; NaN where none did."""
        seen = self._seen(way)
        count = seen.sum(0)
        total = np.where(seen, self.nll.double().cpu().numpy(), 0.0).sum(0)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    def _seen(self, way: int) -> Bool[np.ndarray, "runs batch"]:
        ways = self.explanations.way.T
        return np.equal(ways, np.full_like(ways, way))


def see_again(
    model: Infers,
    image: Float[Tensor, "batch channels height width"],
    runs: int = 16,
    *,
    seed: int = 0,
    steps: int | None = None,
    slots: int | None = None,
    foreground: Bool[Tensor, "batch height width"] | None = None,
    agreement: float = 0.9,
) -> SeenAgain:
    """Infer the slots of the same images `runs` times with different noise, and group what comes out.

    Args:
        seed: of the noise; run r has a stream of its own.
        steps, slots: T and K; None: as in training.
        foreground: pixels that count when runs are compared; None: all.
        agreement: adjusted Rand index from which on two runs are the same way.

    Raises:
        ConfigError: fewer than two runs.
    """
    if runs < 2:
        raise ConfigError(f"runs = {runs}", "2 or more")
    masks: list[Tensor] = []
    pictures, nll, kl = [], [], []
    for run in range(runs):
        for belief in model.infer(image, steps, slots, torch_generator(seed, "see again", run)):
            last = belief
        found = last.decomposition()
        mask, appearance = found.mask, found.appearance
        if masks:
            # Every slot has a partner: all runs have equally many.
            order = torch.from_numpy(align_slots(masks[0], mask).slot).to(mask.device).long()
            rows = torch.arange(len(mask), device=mask.device)[:, None]
            mask, appearance = mask[rows, order], appearance[rows, order]
        masks.append(mask)
        pictures.append(appearance)
        nll.append(last.nll.detach())
        kl.append(last.kl.detach().sum((1, 2)))
    mask = torch.stack(masks)
    explanations = distinct_explanations(
        labels(mask).cpu(), foreground=None if foreground is None else foreground.cpu(), agreement=agreement
    )
    return SeenAgain(mask, torch.stack(pictures), torch.stack(nll), torch.stack(kl), explanations)
