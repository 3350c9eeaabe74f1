"""What slots say about their objects: a probe reads every object's properties from the slot that holds it.

Protocol of Dittadi et al. 2022: frozen slots, one predictor for all slots, an object's slot found by the masks or by
the prediction's own loss, accuracy of categorical and R² of numeric properties over visible foreground objects. They
train on 10 000 images, validate on 1 024 and test on 2 000, for at most 6 000 steps of 64 images with Adam at 1e-3,
halved at 2 000 and 4 000 steps; the hidden width of the "mlp" probe here is this library's choice. The linear probe
with matching by masks needs no such training: it is solved in closed form or to convergence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from jaxtyping import Float, Int

from percepts.core.errors import DataError, PerceptsError
from percepts.core.results import MetricResult
from percepts.metrics.arrays import split_rows, standardised
from percepts.metrics.bootstrap import bootstrap_interval
from percepts.metrics.logistic import fit_logistic
from percepts.metrics.segmentation_matching import (
    Maps,
    Predicted,
    PropertyKind,
    SlotCodes,
    Target,
    Values,
    as_slots,
    as_targets,
    match_slots,
    visible_objects,
)
from percepts.metrics.segmentation_probe_training import ProbeScenes, train_probe

Probe: TypeAlias = Literal["linear", "mlp"]
Matching: TypeAlias = Literal["mask", "loss"]


def slot_probe(
    slots: SlotCodes,
    predicted: Predicted,
    true: Maps,
    properties: Mapping[str, Values],
    kinds: Mapping[str, PropertyKind],
    *,
    rng: np.random.Generator,
    backgrounds: int = 1,
    probe: Probe = "linear",
    matching: Matching = "mask",
    least_pixels: int = 1,
    num_train: int = 10000,
    num_test: int = 2000,
    hidden: int = 256,
    steps: int = 6000,
    rate: float = 1e-3,
    bootstrap: int = 0,
    level: float = 0.95,
) -> dict[str, MetricResult]:
    """How well a probe of single slots tells the properties of the objects that they hold.

    Args:
        slots: codes of the slots (posterior means) [N,K,D].
        predicted: the slot of each pixel [N,H,W], or soft masks [N,K,H,W].
        true: the entity of each pixel [N,H,W].
        properties: values of every entity by name: [N,E], or [N,E,size] for several numbers.
        kinds: what the properties are, such as `properties` of a `SceneDataset`; those named here are predicted.
        rng: source of the split into images for training and testing, and of a trained probe.
        backgrounds: how many entities, the first, are background; they are not probed.
        probe: "linear": logistic regression (C = 1) and ridge regression (penalty 1) on standardised codes, where the
            matching is by masks; else one linear layer trained by gradient steps. "mlp": one hidden layer.
        matching: "mask": the one-to-one assignment of slots to objects with the largest sum of cosines of their masks.
            "loss": the one with the least prediction loss over all properties, in training and in testing; it looks at
            the answers, so it is optimistic with few properties and does not punish wrong masks.
        least_pixels: that an object must show to be probed.
        num_train, num_test: images; a sample that is smaller than both is split in proportion.
        hidden: width of the hidden layer.
        steps, rate: of training; a tenth of the training images chooses the best step.
        bootstrap: resamples of the test images for the interval.
        level: confidence level of the interval.

    Returns:
        By name "slot_probe.PROBE.MATCHING.PROPERTY": test accuracy of a categorical property; R² of a numeric one, mean
        over its numbers; R² of cosine and sine of an angle. Details: `objects` tested, `unmatched` ones (visible, but
        there are fewer slots) which are left out, `chance` (the accuracy of the most frequent class), `per_number` R²,
        `mean_error` of angles in radians.

    Raises:
        DataError: arrays that do not fit together, or fewer than two objects in training or test images.
        PerceptsError: an unknown probe or matching.
    """
    if probe not in get_args(Probe) or matching not in get_args(Matching):
        raise PerceptsError(f"probe '{probe}' with matching '{matching}'", "'linear' or 'mlp', 'mask' or 'loss'")
    if hidden < 1 or steps < 1 or not rate > 0:
        raise PerceptsError(f"hidden = {hidden}, steps = {steps}, rate = {rate}", "positive numbers")
    codes = as_slots(slots)
    slot = match_slots(predicted, true, codes.shape[1], backgrounds=backgrounds, least_pixels=least_pixels)
    wanted = visible_objects(true, slot.shape[1], backgrounds, least_pixels)
    if len(codes) != len(slot):
        raise DataError(f"slots of {len(codes)} images and label maps of {len(slot)}", "the same images in both")
    targets = as_targets(properties, kinds, *slot.shape)
    train, test = split_rows(len(codes), num_train, num_test, rng)
    if min(wanted[train].sum(), wanted[test].sum()) < 2:
        raise DataError("fewer than two visible objects in the training or test images", "scenes with objects")
    if (probe, matching) == ("linear", "mask"):
        image, entity = np.nonzero(slot[train] >= 0)
        rows = codes[train][image, slot[train][image, entity]]
        outputs = [solve_probe(rows, one.values[train][image, entity], codes[test], one) for one in targets]
        found = slot[test]
    else:
        scenes = ProbeScenes(codes, wanted, slot if matching == "mask" else None, targets)
        width = hidden if probe == "mlp" else None
        outputs, found = train_probe(scenes, train, test, hidden=width, steps=steps, rate=rate, rng=rng)
    scores = [
        score_probe(f"slot_probe.{probe}.{matching}.{target.name}", target, output, target.values[test], found)
        for target, output in zip(targets, outputs)
    ]
    unmatched = int((wanted[test] & (found < 0)).sum())
    parameters = {
        "backgrounds": backgrounds,
        "least_pixels": least_pixels,
        "num_train": len(train),
        "num_test": len(test),
    }
    results = [score.result(bootstrap, level, rng, parameters) for score in scores]
    for result in results:
        result.details["unmatched"] = unmatched
    return {result.name: result for result in results}


@dataclass(frozen=True)
class ProbeScore:
    """Sums over the matched objects of each test image, from which a score of any sample of images follows.

    Attributes:
        name: of the result.
        kind: of the property.
        number: objects.
        right: correct classes; empty unless the property is categorical.
        total, square, error: of targets less their mean over all images, their squares and the squared errors; empty if
            it is categorical.
        details: of the result.
    """

    name: str
    kind: str
    number: Float[np.ndarray, " tests"]
    right: Float[np.ndarray, " tests"]
    total: Float[np.ndarray, "tests width"]
    square: Float[np.ndarray, "tests width"]
    error: Float[np.ndarray, "tests width"]
    details: dict[str, Any]

    def score(self, rows: Int[np.ndarray, " rows"]) -> float:
        """Accuracy or R² of a sample of images."""
        number = self.number[rows].sum()
        if self.kind == "categorical":
            return float(self.right[rows].sum() / max(number, 1.0))
        return float(self.per_number(rows).mean())

    def per_number(self, rows: Int[np.ndarray, " rows"]) -> Float[np.ndarray, " width"]:
        """R² of each number; of a constant one 1 where it is predicted exactly and 0 otherwise."""
        number = max(self.number[rows].sum(), 1.0)
        spread = self.square[rows].sum(axis=0) - self.total[rows].sum(axis=0) ** 2 / number
        error = self.error[rows].sum(axis=0)
        constant = spread <= 1e-12 * number
        return np.where(
            constant, (error <= 1e-12 * number).astype(float), 1.0 - error / np.where(constant, 1.0, spread)
        )

    def result(
        self, bootstrap: int, level: float, rng: np.random.Generator | None, parameters: dict[str, Any]
    ) -> MetricResult:
        """The score of all test images."""
        everything = np.arange(len(self.number))
        value = self.score(everything)
        interval = bootstrap_interval(
            self.score,
            len(everything),
            value,
            resamples=bootstrap,
            rng=rng,
            level=level,
            bounds=(0.0 if self.kind == "categorical" else -np.inf, 1.0),
        )
        more = {} if self.kind == "categorical" else {"per_number": self.per_number(everything)}
        return MetricResult(
            name=self.name,
            value=value,
            interval=interval,
            level=level,
            details={"objects": int(self.number.sum()), **self.details, **more},
            parameters=parameters,
        )


def score_probe(
    name: str,
    target: Target,
    output: Float[np.ndarray, "tests slots outputs"],
    values: Float[np.ndarray, "tests entities width"],
    slot: Int[np.ndarray, "tests entities"],
) -> ProbeScore:
    """Compare what the probe says of each object's slot (-1: none) with the object's property."""
    image, entity = np.nonzero(slot >= 0)
    said, truth = output[image, slot[image, entity]], values[image, entity]
    tests, width = len(values), values.shape[2]

    def per_image(numbers: Float[np.ndarray, "objects _"]) -> Float[np.ndarray, "tests _"]:
        sums = np.zeros((tests, numbers.shape[1]))
        np.add.at(sums, image, numbers)
        return sums

    number, none = per_image(np.ones((len(image), 1)))[:, 0], np.zeros((tests, width))
    if target.kind == "categorical":
        right = (said.argmax(axis=1) == truth[:, 0]).astype(np.float64)
        chance = np.bincount(truth[:, 0].astype(np.int64), minlength=1).max() / max(len(image), 1)
        details = {"chance": float(chance), "classes": target.outputs}
        return ProbeScore(name, target.kind, number, per_image(right[:, None])[:, 0], none, none, none, details)
    centred = truth - truth.mean(axis=0)
    sums = per_image(centred), per_image(centred**2), per_image((said - truth) ** 2)
    details = {}
    if target.kind == "angle":
        turn = np.arctan2(said[:, 1], said[:, 0]) - np.arctan2(truth[:, 1], truth[:, 0])
        details["mean_error"] = float(np.abs((turn + np.pi) % (2 * np.pi) - np.pi).mean())
    return ProbeScore(name, target.kind, number, np.zeros(tests), *sums, details)


def solve_probe(
    rows: Float[np.ndarray, "objects latents"],
    values: Float[np.ndarray, "objects width"],
    codes: Float[np.ndarray, "tests slots latents"],
    target: Target,
) -> Float[np.ndarray, "tests slots outputs"]:
    """What the linear probe trained on matched rows says of every slot of the test images."""
    flat = codes.reshape(-1, codes.shape[2])
    train, test = standardised(rows, flat)
    if target.kind == "categorical":
        labels = values[:, 0].astype(np.int64)
        output = np.full((len(flat), target.outputs), -np.inf)
        if (labels == labels[0]).all():
            output[:, labels[0]] = 0.0
        else:
            model = fit_logistic(train, labels)
            output[:, model.classes] = model.scores(test)
    else:
        output = ridge(train, values, test)
    return output.reshape(*codes.shape[:2], -1)


def ridge(
    train: Float[np.ndarray, "objects latents"],
    values: Float[np.ndarray, "objects width"],
    test: Float[np.ndarray, "rows latents"],
    penalty: float = 1.0,
) -> Float[np.ndarray, "rows width"]:
    """Least squares with `penalty` on the squared coefficients, on centred codes."""
    centre = values.mean(axis=0)
    root = np.sqrt(penalty) * np.eye(train.shape[1])
    stacked = np.concatenate([train, root]), np.concatenate([values - centre, np.zeros((len(root), values.shape[1]))])
    return test @ np.linalg.lstsq(*stacked, rcond=None)[0] + centre
