"""A probe of slots that is trained by gradient steps: for hidden layers, and for matching by the prediction's loss."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from percepts.metrics.segmentation_matching import Target, assign

_BATCH = 64
_CHECKS = 20  # how often the validation images are asked during training
_VALIDATION = 1024


@dataclass(frozen=True)
class ProbeScenes:
    """What a probe is trained and tested on.

    Attributes:
        codes: of the slots.
        wanted: which entities are to be predicted.
        slot: of each entity, -1 for none; None where the loss decides.
        targets: the properties, of the same images.
    """

    codes: Float[np.ndarray, "images slots latents"]
    wanted: Bool[np.ndarray, "images entities"]
    slot: Int[np.ndarray, "images entities"] | None
    targets: list[Target]


def train_probe(
    scenes: ProbeScenes,
    train: Int[np.ndarray, " train"],
    test: Int[np.ndarray, " test"],
    *,
    hidden: int | None,
    steps: int,
    rate: float,
    rng: np.random.Generator,
) -> tuple[list[Float[np.ndarray, "test slots _"]], Int[np.ndarray, "test entities"]]:
    """Train one predictor for all slots, and ask it about every slot of the test images.

    One linear layer, or two with a rectifier between them where `hidden` is a width. Adam at `rate`, halved after a
    third and two thirds of the steps, on 64 images a step. The last tenth of the training images (1 024 at most) are
    held out; the weights that are best on them answer.

    Returns:
        What is said of every slot, by property, and the slot of every entity of the test images.
    """
    probe = _Probe(scenes, train, hidden, rng)
    held = min(max(1, len(train) // 10), _VALIDATION)
    rows, validation = train[:-held], train[-held:]
    optimiser = torch.optim.Adam(probe.weights, lr=rate)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, [max(1, steps // 3), max(2, 2 * steps // 3)], 0.5)
    best, kept = np.inf, [weight.detach().clone() for weight in probe.weights]
    for step in range(1, steps + 1):
        loss = probe.loss(rng.choice(rows, size=_BATCH))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % max(1, steps // _CHECKS) == 0 or step == steps:
            with torch.no_grad():
                value = float(probe.loss(validation))
            if value < best:
                best, kept = value, [weight.detach().clone() for weight in probe.weights]
    probe.weights = kept
    with torch.no_grad():
        return probe.answers(test)


class _Probe:
    """Weights (each with a last row of offsets), and the scenes as standardised tensors."""

    def __init__(self, scenes: ProbeScenes, train: np.ndarray, hidden: int | None, rng: np.random.Generator) -> None:
        flat = scenes.codes[train].reshape(-1, scenes.codes.shape[2])
        deviation = flat.std(axis=0)
        scale = np.where(deviation > 1e-12, deviation, np.inf)
        self.codes = torch.from_numpy((scenes.codes - flat.mean(axis=0)) / scale).float()
        self.wanted, self.slot = scenes.wanted, scenes.slot
        self.targets = scenes.targets
        self.centres: list[np.ndarray] = []
        self.scales: list[np.ndarray] = []
        self.values: list[Tensor] = []
        for target in scenes.targets:
            seen = target.values[train][scenes.wanted[train]]
            numeric = target.kind == "numeric"
            self.centres.append(seen.mean(axis=0) if numeric else np.zeros(1))
            self.scales.append(np.maximum(seen.std(axis=0), 1e-12) if numeric else np.ones(1))
            values = torch.from_numpy((target.values - self.centres[-1]) / self.scales[-1])
            self.values.append(values.long() if target.kind == "categorical" else values.float())
        sizes = [flat.shape[1], *([hidden] if hidden else []), sum(target.outputs for target in scenes.targets)]
        self.weights: list[Tensor] = []
        for inputs, outputs in pairwise(sizes):
            drawn = rng.uniform(-1, 1, size=(inputs + 1, outputs)) * inputs**-0.5
            self.weights.append(torch.from_numpy(drawn).float().requires_grad_())

    def loss(self, rows: np.ndarray) -> Tensor:
        """Mean over the matched objects of the loss, summed over properties."""
        table = self._losses(rows, self._outputs(rows))
        slot = self._slots(rows, table)
        chosen = table.gather(2, torch.from_numpy(np.maximum(slot, 0))[..., None])[..., 0]
        matched = torch.from_numpy(slot >= 0)
        return (chosen * matched).sum() / matched.sum().clamp_min(1)

    def answers(self, rows: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        """What is said of every slot, in the units of each property, and the slot of every entity."""
        outputs = self._outputs(rows)
        said = [
            output.double().numpy() * scale + centre
            for output, scale, centre in zip(outputs, self.scales, self.centres)
        ]
        return said, self._slots(rows, self._losses(rows, outputs))

    def _outputs(self, rows: np.ndarray) -> list[Tensor]:
        """[rows, slots, outputs] for every property."""
        hidden = self.codes[rows]
        for number, weight in enumerate(self.weights):
            hidden = (hidden.relu() if number else hidden) @ weight[:-1] + weight[-1]
        return list(hidden.split([target.outputs for target in self.targets], dim=2))

    def _losses(self, rows: np.ndarray, outputs: list[Tensor]) -> Tensor:
        """Cross-entropy of categories and mean squared error of standardised numbers [rows, entities, slots]."""
        total = torch.zeros(len(rows), self.wanted.shape[1], outputs[0].shape[1])
        for target, values, output in zip(self.targets, self.values, outputs):
            if target.kind == "categorical":
                label = values[rows].expand(-1, -1, output.shape[1])
                total = total - output.log_softmax(dim=2).transpose(1, 2).gather(1, label)
            else:
                total = total + (values[rows][:, :, None] - output[:, None]).square().mean(dim=3)
        return total

    def _slots(self, rows: np.ndarray, table: Tensor) -> np.ndarray:
        if self.slot is not None:
            return self.slot[rows]
        return assign(-table.detach().double().numpy(), self.wanted[rows])
