"""Measuring a trained model: encode a table of images once, then everything is computed from that table."""

from __future__ import annotations

import time
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from percepts.core.capabilities import Encodes, HasLikelihood, Reconstructs
from percepts.core.config import Config
from percepts.core.errors import ConfigError, DataError, NonFiniteError
from percepts.core.progress import ProgressLine
from percepts.core.random import numpy_generator, torch_generator
from percepts.core.results import MetricResult, plain
from percepts.core.slots import Decomposes
from percepts.data.dataset import ImageDataset
from percepts.metrics.probe import linear_probe
from percepts.metrics.suite import evaluate_codes, sample_codes
from percepts.training.slot_evaluation import evaluate_slots


@dataclass(frozen=True, kw_only=True)
class Evaluation(Config):
    """How a model is measured."""

    images: int = 20_000
    """Images to encode: the whole dataset where it is smaller, else a random sample."""
    exact: bool = False
    """The metrics at their published sizes and predictors (minutes) instead of the fast variants (seconds)."""
    bootstrap: int = 200
    """Resamples for the confidence intervals."""
    scenes: int = 320
    """Images that a model of several objects takes apart; the papers' protocol."""
    slot_codes: bool = True
    """Of such a model also what single slots tell about their objects: linear probes and DCI (seconds)."""
    batch_size: int = 256
    representation: Literal["mean", "sample", "both"] = "mean"
    """What is scored: posterior means, one sample of every posterior (names end in ".sampled"), or both."""
    clean: bool = False
    """Also score without the inactive latents (names end in ".clean")."""

    def __post_init__(self) -> None:
        for name, least in (("images", 1), ("bootstrap", 0), ("scenes", 1), ("batch_size", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"evaluation.{name} = {getattr(self, name)}", f"at least {least}")


@dataclass(frozen=True)
class Table:
    """What a model says about N images. N rows everywhere; D latents, K factors.

    Attributes:
        mean, variance: of the posterior, [N, D].
        factors: the true factor indices (or labels), [N, K], where the data has them.
        nll: −ln p(image | posterior mean) in nats, [N], where the model has a likelihood.
        entropy: the part of `nll` that no code can remove (soft targets), [N], likewise.
        error, power: squared error of the reconstruction and squared image, summed over pixels, [N].
    """

    mean: Float[Tensor, "images latents"]
    variance: Float[Tensor, "images latents"]
    factors: Tensor | None
    nll: Float[Tensor, " images"] | None
    entropy: Float[Tensor, " images"] | None
    error: Float[Tensor, " images"] | None
    power: Float[Tensor, " images"] | None
    pixels: int


def evaluate_model(model: Any, dataset: ImageDataset, settings: Evaluation, seed: int) -> dict[str, Any]:
    """Everything that can be measured with the capabilities of `model` and the truth in `dataset`, as JSON data.

    Returns:
        `metrics` (name → result), `latents` (KL, mean variance, standard deviation of the means, activity of each),
        `reconstruction` (nll, excess and mse per image, nmse = Σ(x̂−x)²/Σx²), the number of images and the seconds. For
        models of several objects see `evaluate_slots`.
    """
    started = time.monotonic()
    if isinstance(model, Decomposes):
        codes = settings.slot_codes
        return evaluate_slots(model, dataset, settings.scenes, settings.bootstrap, seed, codes=codes)
    if not encodes_vectors(model, dataset):
        return {"seed": seed, "images": 0, "metrics": {}, "seconds": 0.0}
    table = encode_table(model, dataset, settings, seed)
    if not bool(table.mean.isfinite().all()):
        raise NonFiniteError(
            "the model's codes are not finite", "a trained model", "an earlier checkpoint, with --step"
        )
    try:
        metrics, skipped = measure_codes(table, settings, seed), None
    except DataError as error:  # Too few images or labels for a score is no reason to lose the others.
        metrics, skipped = {}, str(error)
    result: dict[str, Any] = {
        "seed": seed,
        "images": len(table.mean),
        "metrics": {name: metric.to_json() for name, metric in metrics.items()},
        **({"skipped": skipped} if skipped else {}),
        "latents": describe_latents(table),
        "reconstruction": describe_reconstruction(table),
    }
    return {**plain(result), "seconds": round(time.monotonic() - started, 3)}


@torch.no_grad()
def encodes_vectors(model: Any, dataset: ImageDataset) -> bool:
    """Whether `model` gives one vector an image, which is what these scores are about (not slots, not videos)."""
    batch = dataset.gather(torch.zeros(1, dtype=torch.int64))
    device = next(model.parameters()).device
    if not isinstance(model, Encodes) or "image" not in batch:
        return False
    return model.encode(batch["image"].to(device)).mean.dim() == 2


@torch.no_grad()
def encode_table(model: Any, dataset: ImageDataset, settings: Evaluation, seed: int) -> Table:
    """Encode the dataset, or a random sample of it, on the model's device."""
    count = min(settings.images, len(dataset))
    order = torch.randperm(len(dataset), generator=torch_generator(seed, "evaluation images"))[:count]
    device = next(model.parameters()).device
    line = ProgressLine(count, "images", "encoding")
    rows: dict[str, list[Tensor]] = {}
    for indices in order.split(settings.batch_size):
        batch = dataset.gather(indices, device)
        for name, value in _encode(model, batch["image"]).items():
            rows.setdefault(name, []).append(value.cpu())
        if "factors" in batch:
            rows.setdefault("factors", []).append(batch["factors"].cpu())
        line.update(min(count, len(rows["mean"]) * settings.batch_size))
    line.close()
    columns = {name: torch.cat(values) for name, values in rows.items()}
    optional = {name: columns.get(name) for name in ("factors", "nll", "entropy", "error", "power")}
    return Table(mean=columns["mean"], variance=columns["variance"], pixels=prod(dataset.image_shape), **optional)


def measure_codes(table: Table, settings: Evaluation, seed: int) -> dict[str, MetricResult]:
    """The scores of the posterior means against the truth: all of them with two factors or more, a linear probe with
    one label, none without truth."""
    if table.factors is None or table.factors.shape[1] == 0:
        return {}
    codes, factors = table.mean.double().numpy(), table.factors.numpy()
    rng = numpy_generator(seed, "metrics")
    if factors.shape[1] > 1:
        return _suite(table, codes, factors, settings, rng)
    held_out = len(codes) // 5
    result = linear_probe(codes[held_out:], factors[held_out:, 0], codes[:held_out], factors[:held_out, 0])
    return {result.name: result}


def _suite(
    table: Table, means: np.ndarray, factors: np.ndarray, settings: Evaluation, rng: np.random.Generator
) -> dict[str, MetricResult]:
    """The scores of every representation that is asked for, with all codes and, where asked, without inactive ones."""
    chosen = []
    if settings.representation != "sample":
        chosen.append((means, False))
    if settings.representation != "mean":
        variances = table.variance.double().numpy()
        chosen.append((sample_codes(means, variances, rng=rng), True))
    active = np.array(describe_latents(table)["active"])
    results: dict[str, MetricResult] = {}
    for codes, sampled in chosen:
        for mask in (None, active) if settings.clean else (None,):
            results |= evaluate_codes(
                codes,
                factors,
                rng=rng,
                fast=not settings.exact,
                bootstrap=settings.bootstrap,
                active=mask,
                sampled=sampled,
            )
    return results


def describe_latents(table: Table) -> dict[str, Any]:
    """Per latent: KL to the prior in nats, mean posterior variance, spread of the means, and whether KL > 0.01."""
    mean, variance = table.mean.double(), table.variance.double()
    kl = (0.5 * (mean.square() + variance - variance.log() - 1)).mean(0)
    return {
        "kl": kl.tolist(),
        "mean_variance": variance.mean(0).tolist(),
        "std_of_mean": mean.std(0).tolist() if len(mean) > 1 else [0.0] * mean.shape[1],
        "active": (kl > 0.01).tolist(),
    }


def describe_reconstruction(table: Table) -> dict[str, float | None]:
    """Reconstruction from the posterior mean: nats an image, nats above the data's entropy, squared errors."""
    report: dict[str, float | None] = {}
    if table.error is not None and table.power is not None:
        report["mse"] = float(table.error.double().mean()) / table.pixels
        report["nmse"] = float(table.error.double().sum() / table.power.double().sum().clamp_min(1e-12))
    if table.nll is not None and table.entropy is not None:
        report["nll"] = float(table.nll.double().mean())
        report["excess"] = float((table.nll.double() - table.entropy.double()).mean())
    return report


def _encode(model: Any, image: Tensor) -> dict[str, Tensor]:
    posterior = model.encode(image)
    values = {"mean": posterior.mean.float(), "variance": posterior.variance.float()}
    if isinstance(model, Reconstructs):
        values["error"] = (model.reconstruct(image) - image).square().flatten(1).sum(1)
        values["power"] = image.square().flatten(1).sum(1)
    if isinstance(model, HasLikelihood):
        values["nll"] = model.likelihood.nll(model.decode_output(posterior.mean), image)
        values["entropy"] = model.likelihood.data_entropy(image)
    return values
