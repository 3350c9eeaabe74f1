"""Measuring models of several objects: take scenes apart, then everything is computed from masks and slots."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from percepts.core.capabilities import Batch, require
from percepts.core.errors import DataError, NonFiniteError
from percepts.core.progress import ProgressLine
from percepts.core.random import numpy_generator, torch_generator
from percepts.core.results import MetricResult, plain
from percepts.core.slots import Decomposition, Tracks, labels, present
from percepts.data.dataset import ImageDataset
from percepts.data.scenes import SceneDataset
from percepts.metrics.segmentation import segmentation_scores
from percepts.metrics.segmentation_dci import slot_dci
from percepts.metrics.segmentation_probe import slot_probe

BATCH, ROWS = 32, 512
"""Images taken apart at a time, and slots: every slot of every image is an image to the decoder."""


@dataclass(frozen=True)
class Scenes:
    """N images taken apart, everything on the CPU.

    Attributes:
        predicted: the slot of every pixel, int64 [N,H,W], or [N,T,H,W] of videos.
        mean: of the slots, [N,K,D].
        kl: to the prior in nats, [N,K].
        presence: bool [N,K].
        share: of the image, [N,K].
        entropy: of the masks, in nats a pixel, [N].
        disagreement: half the L1 distance of mask and decoded mask, mean over pixels, [N].
        error, power: squared error of the reconstruction and squared image, summed over pixels, [N].
        truth: the batch's other keys, such as `segmentation`, `visible` and the properties.
        pixels: C·H·W, or C·T·H·W.
    """

    predicted: Tensor
    mean: Tensor
    kl: Tensor
    presence: Tensor
    share: Tensor
    entropy: Tensor
    disagreement: Tensor
    error: Tensor
    power: Tensor
    truth: Batch
    pixels: int


def evaluate_slots(
    model: Any, dataset: ImageDataset, count: int, bootstrap: int, seed: int, *, codes: bool = False
) -> dict[str, Any]:
    """Segmentation scores, reconstruction and the use of slots over `count` scenes that training did not show.

    Args:
        codes: also score what slots tell about their objects (`probe_slots`, `slot_disentanglement`).

    Returns:
        `metrics` (name → result; none without ground truth), `slots`, `reconstruction`, the number of images and the
        seconds, as JSON data.
    """
    started = time.monotonic()
    dataset = dataset.unseen() if isinstance(dataset, SceneDataset) else dataset
    scenes = take_apart(model, dataset, count, seed)
    scores: list[Callable[[], dict[str, MetricResult]]] = [lambda: scene_scores(scenes, dataset, bootstrap, seed)]
    if codes:
        scores.append(lambda: probe_slots(scenes, dataset, bootstrap, seed))
        scores.append(lambda: slot_disentanglement(scenes, dataset, seed))
    metrics: dict[str, MetricResult] = {}
    problems: list[str] = []
    for score in scores:
        try:
            metrics |= score()
        except DataError as error:  # A score that these scenes do not allow is no reason to lose the others.
            problems.append(str(error))
    skipped = "; ".join(dict.fromkeys(problems))
    result: dict[str, Any] = {
        "seed": seed,
        "images": len(scenes.predicted),
        "metrics": {name: metric.to_json() for name, metric in metrics.items()},
        **({"skipped": skipped} if skipped else {}),
        "slots": describe_slots(scenes),
        "reconstruction": {
            "mse": float(scenes.error.mean()) / scenes.pixels,
            "nmse": float(scenes.error.sum() / scenes.power.sum().clamp_min(1e-12)),
        },
    }
    return {**plain(result), "seconds": round(time.monotonic() - started, 3)}


@torch.no_grad()
def take_apart(
    model: Any,
    dataset: ImageDataset,
    count: int,
    seed: int = 0,
    *,
    slots: int | None = None,
    change: Callable[[Tensor], Tensor] | None = None,
) -> Scenes:
    """Decompose `count` random items of `dataset` (all of them where it has fewer) on the model's device.

    Args:
        slots: another number of slots than in training.
        change: done to the images before the model sees them.

    Raises:
        NonFiniteError: the model's slots are NaN or infinite.
    """
    chosen = torch.randperm(len(dataset), generator=torch_generator(seed, "evaluation scenes"))[:count]
    device = next(model.parameters()).device
    line = ProgressLine(len(chosen), "images", "decomposing")
    done = 0
    rows: list[Batch] = []
    truth: list[Batch] = []
    for indices in chosen.split(batch_size(model, slots)):
        batch = dataset.gather(indices, device)
        name = "video" if "video" in batch else "image"
        seen = batch.pop(name) if change is None else change(batch.pop(name))
        if name == "video":
            rows.append(_of_video(require(model, Tracks, "following objects through a video"), seen, slots))
        else:
            rows.append(_rows(decomposed(model, seen, batch, slots), seen))
        truth.append({key: value.cpu() for key, value in batch.items()})
        done += len(indices)
        line.update(done)
    line.close()
    columns = {name: torch.cat([row[name] for row in rows]) for name in rows[0]}
    if not bool(columns["mean"].isfinite().all()):
        raise NonFiniteError(
            "the model's slots are not finite", "a trained model", "an earlier checkpoint, with --step"
        )
    known = {key: torch.cat([row[key] for row in truth]) for key in truth[0]}
    shape = columns["predicted"].shape[1:]
    return Scenes(**columns, truth=known, pixels=dataset.image_shape[0] * prod(shape))


def decomposed(model: Any, image: Tensor, batch: Batch, slots: int | None = None) -> Decomposition:
    """Images taken apart. A model whose masks are given is a baseline: it is told what the others must find."""
    told = {"segmentation": batch["segmentation"]} if getattr(model, "needs_segmentation", False) else {}
    taken: Decomposition = model.decompose(image, slots, **told)
    return taken


def batch_size(model: Any, slots: int | None = None) -> int:
    """How many images to take apart at a time."""
    count = slots or getattr(getattr(model, "config", None), "slots", None) or 1
    return max(1, min(BATCH, ROWS // int(count)))


def scene_scores(scenes: Scenes, dataset: ImageDataset, bootstrap: int = 0, seed: int = 0) -> dict[str, MetricResult]:
    """The segmentation scores; none where the data has no segmentation. Data that does not say how many of its entities
    are background has one.

    Raises:
        DataError: scenes that cannot be scored.
    """
    if "segmentation" not in scenes.truth:
        return {}
    return segmentation_scores(
        scenes.truth["segmentation"],
        scenes.predicted,
        backgrounds=getattr(dataset, "backgrounds", 1),
        bootstrap=bootstrap,
        rng=numpy_generator(seed, "segmentation"),
    )


def probe_slots(scenes: Scenes, dataset: ImageDataset, bootstrap: int = 0, seed: int = 0) -> dict[str, MetricResult]:
    """How well a linear probe of the slot that holds an object tells each of its properties (`slot_probe`); five sixths
    of the images train it. None where nothing is known of the objects, and none for videos, whose objects move.

    Raises:
        DataError: too few objects.
    """
    known = _slots_and_truth(scenes, dataset)
    return slot_probe(**known, rng=numpy_generator(seed, "slot probe"), bootstrap=bootstrap) if known else {}


def slot_disentanglement(scenes: Scenes, dataset: ImageDataset, seed: int = 0) -> dict[str, MetricResult]:
    """DCI of the slots that hold objects (`slot_dci`, by random forests); none where `probe_slots` gives none.

    Raises:
        DataError: too few objects.
    """
    known = _slots_and_truth(scenes, dataset)
    results = [slot_dci(**known, rng=numpy_generator(seed, "slot DCI"))] if known else []
    return {result.name: result for result in results}


def _slots_and_truth(scenes: Scenes, dataset: ImageDataset) -> dict[str, Any]:
    """What the scores of slots' codes take; nothing where they cannot be."""
    if not isinstance(dataset, SceneDataset) or not dataset.properties or scenes.predicted.ndim != 3:
        return {}
    return {
        "slots": scenes.mean,
        "predicted": scenes.predicted,
        "true": scenes.truth["segmentation"],
        "properties": {name: scenes.truth[f"entity.{name}"] for name in dataset.properties},
        "kinds": dataset.properties,
        "backgrounds": dataset.backgrounds,
    }


def describe_slots(scenes: Scenes) -> dict[str, Any]:
    """Per slot: KL to the prior in nats, share of the image, how often it is present; and over all: the
    entropy of the masks in nats a pixel and as a share of its largest, the largest slot's share, the mean number of
    present slots, and how far decoded masks are from inferred ones."""
    entropy = float(scenes.entropy.mean())
    slots = scenes.mean.shape[1]
    return {
        "kl": scenes.kl.double().mean(0).tolist(),
        "share": scenes.share.mean(0).tolist(),
        "present": scenes.presence.double().mean(0).tolist(),
        "mask_entropy": entropy,
        "mask_entropy_share": entropy / float(np.log(slots)) if slots > 1 else 0.0,
        "largest_slot": float(scenes.share.amax(1).mean()),
        "active": float(scenes.presence.double().sum(1).mean()),
        "disagreement": float(scenes.disagreement.mean()),
    }


def _of_video(model: Tracks, video: Tensor, slots: int | None) -> dict[str, Tensor]:
    """As for images: labels of every frame, slots of the last one, sums of the errors and means of the rest."""
    frames = [_rows(taken, frame) for taken, frame in zip(model.track(video, slots), video.unbind(1))]
    values = {name: torch.stack([frame[name] for frame in frames], dim=1) for name in frames[0]}
    summed = {name: values[name].sum(1) for name in ("error", "power")}
    means = {name: values[name].float().mean(1) for name in ("share", "entropy", "disagreement")}
    last = {name: values[name][:, -1] for name in ("mean", "kl", "presence")}
    return {"predicted": values["predicted"], **summed, **means, **last}


def _rows(taken: Decomposition, image: Tensor) -> dict[str, Tensor]:
    mask, decoded = taken.mask.float(), taken.decoded_mask.float()
    error = (taken.reconstruction.float() - image).square()
    values = {
        "predicted": labels(mask),
        "mean": taken.slots.mean.float(),
        "kl": taken.slots.kl().float().sum(-1),
        "presence": present(mask),
        "share": mask.mean(dim=(2, 3)),
        "entropy": torch.special.entr(mask).sum(1).mean(dim=(1, 2)),
        "disagreement": 0.5 * (mask - decoded).abs().sum(1).mean(dim=(1, 2)),
        "error": error.flatten(1).sum(1),
        "power": image.square().flatten(1).sum(1),
    }
    return {name: value.cpu() for name, value in values.items()}
