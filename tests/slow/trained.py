"""Training an experiment in memory, with every step's numbers kept."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from percepts.data.dataset import ImageDataset
from percepts.training.engine import Engine
from percepts.training.evaluation import evaluate_model
from percepts.training.experiment import Experiment, build_model


@dataclass
class Trained:
    """A trained model, its data, and every step's terms as arrays [steps, …]."""

    model: Any
    dataset: ImageDataset
    terms: dict[str, np.ndarray]
    experiment: Experiment

    def mean(self, name: str, step: int, window: int) -> np.ndarray:
        """The mean of a term over the `window` steps that end at `step`."""
        return self.terms[name][max(0, step - window) : step].mean(0)

    def evaluation(self) -> dict[str, Any]:
        """The evaluation of the whole dataset."""
        return evaluate_model(self.model, self.dataset, self.experiment.evaluation, self.experiment.seed)

    def codes(self, images: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Posterior means and variances [N, D]."""
        with torch.no_grad():
            posterior = self.model.encode(images)
        return posterior.mean.numpy(), posterior.variance.numpy()


def train(experiment: Experiment, seed: int) -> Trained:
    """Train `experiment` with `seed`, without a run folder."""
    experiment, dataset = dataclasses.replace(experiment, seed=seed).resolved()
    engine = Engine(
        build_model(experiment, dataset), dataset, experiment.training, experiment.sampling, seed=experiment.seed
    )
    kept: dict[str, list[np.ndarray]] = {}
    for batch, _ in zip(engine.batches(), range(experiment.training.steps)):
        for name, value in engine.train_step(batch).terms.items():
            kept.setdefault(name, []).append(value.detach().float().numpy().copy())
    terms = {name: np.stack(values) for name, values in kept.items()}
    return Trained(engine.model.eval(), dataset, terms, experiment)


def nmse(model: Any, images: torch.Tensor) -> float:
    """Σ(x̂ − x)² / Σx², the reconstruction from the posterior mean."""
    with torch.no_grad():
        return float((model.reconstruct(images) - images).square().sum() / images.square().sum())
