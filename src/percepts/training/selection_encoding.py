"""From finished runs to codes of the same images, which is all that a selection needs to know of a model."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from percepts.core.capabilities import HasLikelihood
from percepts.core.config import flatten
from percepts.core.errors import PerceptsError, RunError
from percepts.core.progress import ProgressLine
from percepts.core.random import torch_generator
from percepts.core.runs import Run
from percepts.data.dataset import ImageDataset
from percepts.training.evaluation import encodes_vectors
from percepts.training.experiment import MAY_CHANGE, load
from percepts.training.selection_tables import NAN, LeftOut

NO_HYPERPARAMETERS = ("seed", "data.cache", "data.preload", *(name for name in MAY_CHANGE if name != "training.steps"))
"""Settings that do not make two runs different models."""


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """What a selection needs to know of one model.

    Attributes:
        name: unique among the models.
        codes: posterior means of the common images [N, D].
        kl: mean KL of every latent in nats [D]; None without a posterior.
        group: the hash of its settings without the seed.
        settings: all settings that count as hyperparameters, by dotted name.
        elbo, excess: nats an image.
        supervised: scores by name.
        factors: the true factors of the images [N, F].
        note: what is odd about it, in words.
    """

    name: str
    codes: np.ndarray
    kl: np.ndarray | None
    group: str = "all"
    path: str | None = None
    seed: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    elbo: float = NAN
    excess: float = NAN
    supervised: dict[str, float] = field(default_factory=dict)
    factors: np.ndarray | None = None
    note: str | None = None


def encode_runs(runs: Sequence[Run], images: int, batch_size: int, seed: int) -> tuple[list[Encoded], list[LeftOut]]:
    """Every finished run's codes of the same `images` random images, in the order of the runs' names, and the runs
    that cannot take part: unfinished, failed, damaged, or without a vector code.

    Raises:
        RunError: runs on different data or image shapes.
    """
    names = _names(runs)
    encoded: list[Encoded] = []
    left_out: list[LeftOut] = []
    common: _Images | None = None
    line = ProgressLine(len(runs), "runs", "encoding")
    for done, (name, run) in enumerate(sorted(zip(names, runs), key=lambda pair: pair[0]), 1):
        try:
            status = run.info().get("status", "unknown")
            if status != "finished":
                raise RunError(f"its status is '{status}'")
            model, dataset, checkpoint = load(run)
            ours = _identity(run, dataset)
        except (PerceptsError, OSError) as error:
            left_out.append(LeftOut(name=name, reason=str(error)))
            continue
        if common is None:
            common = _Images.draw(name, ours, dataset, images, seed)
        _check_same(common, name, ours)
        try:
            encoded.append(_encode(name, run, model, dataset, checkpoint.step, common, batch_size, seed))
        except PerceptsError as error:
            left_out.append(LeftOut(name=name, reason=str(error)))
        line.update(done)
    line.close()
    return encoded, left_out


def hyperparameters(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of a run (as its config.json has them) in which seeds of one model agree, by dotted name."""
    return {name: value for name, value in flatten(settings) if not name.startswith(NO_HYPERPARAMETERS)}


@dataclass(frozen=True)
class _Images:
    """The common images, and the run whose data they come from."""

    source: str
    identity: dict[str, Any]
    image: Tensor
    factors: np.ndarray | None

    @classmethod
    def draw(cls, source: str, identity: dict[str, Any], dataset: ImageDataset, count: int, seed: int) -> _Images:
        order = torch.randperm(len(dataset), generator=torch_generator(seed, "selection images"))[:count]
        batch = dataset.gather(order)
        factors = batch["factors"].numpy() if "factors" in batch else None
        return cls(source, identity, batch["image"], factors)


@torch.no_grad()
def _encode(
    name: str, run: Run, model: Any, dataset: ImageDataset, step: int, common: _Images, batch_size: int, seed: int
) -> Encoded:
    if not encodes_vectors(model, dataset):
        raise RunError(f"{type(model).__name__} does not give one vector an image")
    device = next(model.parameters()).device
    # The same noise for every model: their ELBOs are compared.
    noise = torch_generator(seed, "selection noise")
    columns: dict[str, list[Tensor]] = {}
    for image in common.image.split(batch_size):
        for key, value in _quantities(model, image.to(device), noise).items():
            columns.setdefault(key, []).append(value.double().cpu())
    table = {key: torch.cat(values) for key, values in columns.items()}
    codes, kl = table["mean"].numpy(), table["kl"].mean(0).numpy()
    if not (np.isfinite(codes).all() and np.isfinite(kl).all()):
        raise RunError("its codes are not finite")
    settings = hyperparameters(run.settings())
    supervised, note = _supervised(run, name, step)
    elbo = -float((table["sampled_nll"] + table["kl"].sum(1)).mean()) if "sampled_nll" in table else NAN
    return Encoded(
        name=name,
        path=str(run.path),
        codes=codes,
        kl=kl,
        group=hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12],
        seed=run.settings().get("seed"),
        settings=settings,
        elbo=elbo,
        excess=float(table["excess"].mean()) if "excess" in table else NAN,
        supervised=supervised,
        factors=common.factors,
        note=note,
    )


def _quantities(model: Any, image: Tensor, noise: torch.Generator) -> dict[str, Tensor]:
    """Means and KL of a batch [B, D]; excess at the mean and −ln p at one sample, where there is a likelihood [B]."""
    posterior = model.encode(image)
    mean, variance = posterior.mean.double(), posterior.variance.double()
    values = {"mean": mean, "kl": 0.5 * (mean.square() + variance - variance.log() - 1)}
    if isinstance(model, HasLikelihood):
        drawn = torch.randn(posterior.mean.shape, generator=noise).to(posterior.mean)
        sample = posterior.mean + posterior.variance.sqrt() * drawn
        at_mean = model.likelihood.nll(model.decode_output(posterior.mean), image)
        values["sampled_nll"] = model.likelihood.nll(model.decode_output(sample), image)
        values["excess"] = at_mean - model.likelihood.data_entropy(image)
    return values


def _supervised(run: Run, name: str, step: int) -> tuple[dict[str, float], str | None]:
    """The finite scores of the run's evaluation.json, if they are of this checkpoint."""
    scores = run.evaluation()
    if scores is None:
        return {}, None
    if scores.get("step") != step:
        return {}, f"{name} was measured at step {scores.get('step')}, not {step}: its supervised scores are left out"
    values = {key: metric.get("value") for key, metric in scores.get("metrics", {}).items()}
    return {key: float(value) for key, value in values.items() if value is not None and math.isfinite(value)}, None


def _identity(run: Run, dataset: ImageDataset) -> dict[str, Any]:
    """What tells one run's data from another's."""
    settings = run.settings()["data"]["dataset"]
    where = ("path", "cache", "max_unreadable")
    return {
        "image shape": tuple(dataset.image_shape),
        "data": dataset.identity,
        **{f"data.dataset.{key}": value for key, value in flatten(settings) if key not in where},
    }


def _check_same(common: _Images, name: str, ours: dict[str, Any]) -> None:
    for key in {**common.identity, **ours}:
        first, second = common.identity.get(key), ours.get(key)
        if first != second:
            raise RunError(
                f"'{name}' and '{common.source}' learned from different images ({key}: {second} and {first})",
                "runs on the same data: only codes of the same images can be compared",
                "select among each kind of data on its own",
            )


def _names(runs: Sequence[Run]) -> list[str]:
    """The runs' paths from the deepest folder that holds them all."""
    paths = [run.path.resolve() for run in runs]
    if len(set(paths)) < len(paths):
        raise RunError("the same run is given twice", "every run once")
    root = os.path.commonpath([path.parent for path in paths])
    return [path.relative_to(root).as_posix() for path in paths]
