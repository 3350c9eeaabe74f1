"""What several studies measure of a trained model, beside the scores of its evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from percepts.core.random import numpy_generator
from percepts.data.dataset import FactorDataset, ImageDataset
from percepts.metrics import affine_geometry, evaluate_codes, regression_probe
from percepts.studies.study import Results
from percepts.training.selection_evidence import rank_correlation


def everything(dataset: ImageDataset) -> tuple[Tensor, Tensor]:
    """All images of a small dataset [N,C,H,W] and their factors [N,F]."""
    batch = dataset.gather(torch.arange(len(dataset)))
    return batch["image"], batch["factors"]


@torch.no_grad()
def codes_of(
    model: Any, images: Tensor
) -> tuple[Float[np.ndarray, "images latents"], Float[np.ndarray, "images latents"]]:
    """Posterior means and variances."""
    device = next(model.parameters()).device
    parts = [model.encode(part.to(device)) for part in images.split(512)]
    mean, variance = (
        torch.cat([getattr(part, name) for part in parts]).double().cpu() for name in ("mean", "variance")
    )
    return mean.numpy(), variance.numpy()


@torch.no_grad()
def nmse(model: Any, images: Tensor) -> float:
    """Σ(x̂ − x)² / Σx², the reconstruction from posterior means."""
    images = images.to(next(model.parameters()).device)
    return float((model.reconstruct(images) - images).square().sum() / images.square().sum())


def scores_on(model: Any, dataset: FactorDataset, *names: str) -> dict[str, float]:
    """Scores of a model on another small dataset than its own."""
    images, factors = everything(dataset)
    scores = evaluate_codes(codes_of(model, images)[0], factors.numpy(), rng=numpy_generator(0, "metrics"))
    return {name: scores[name].value for name in names}


def geometry(
    model: Any, dataset: FactorDataset, points: Tensor, shape: tuple[int, int], columns: tuple[int, int]
) -> dict[str, float]:
    """How affine the lattice `points` [N,F] (two `columns` of factors vary, the second fastest) is in latent space.

    The plane is that of the two latents with the smallest mean posterior variance over the lattice.

    Returns:
        `affine_r2`, `axis_angle` in degrees, `fold_count`, and `active_0.1`, the latents with more than 0.1 nats.
    """
    mean, variance = codes_of(model, dataset.render(points))
    plane = mean[:, np.argsort(variance.mean(0))[:2]]
    values = np.stack([dataset.factor_values(dataset.factor_names[j]).numpy()[points[:, j]] for j in columns], axis=1)
    result = affine_geometry(plane, values, shape)
    kl = 0.5 * (mean**2 + variance - np.log(variance) - 1).mean(0)
    return {
        "affine_r2": result.value,
        "axis_angle": float(result.details["axis_angle"]),
        "fold_count": float(result.details["fold_count"]),
        "active_0.1": float((kl > 0.1).sum()),
    }


def probe_elsewhere(model: Any, seen: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> list[float]:
    """R² of every factor on `other` images, read by a linear probe of the codes that was fitted on `seen` ones."""
    codes, targets = codes_of(model, seen[0])[0], seen[1].double().numpy()
    other_codes = codes_of(model, other[0])[0]
    result = regression_probe(codes, targets, other_codes, other[1].double().numpy())
    return [float(value) for value in result.details["per_target"]]


def spearman(one: Sequence[float], other: Sequence[float]) -> float:
    """Spearman's rank correlation of two scores of the same runs; NaN for fewer than three."""
    return rank_correlation(np.array(one, float), np.array(other, float))[0]


def spearman_over(results: Results, a: str, b: str, *arms: str) -> float:
    """The rank correlation of two scores over all runs of some arms."""
    chosen = [run for arm in arms for run in results.arms[arm]]
    return spearman([run.score(a) for run in chosen], [run.score(b) for run in chosen])
