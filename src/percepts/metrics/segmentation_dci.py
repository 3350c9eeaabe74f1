"""Disentanglement inside of slots: DCI of the latents of the slots that hold objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from jaxtyping import Float
from numpy.random import Generator

from percepts.core.errors import DataError
from percepts.core.results import MetricResult
from percepts.metrics.arrays import split_rows
from percepts.metrics.dci import Predictor, dci
from percepts.metrics.segmentation_matching import (
    Maps,
    Measure,
    Predicted,
    PropertyKind,
    SlotCodes,
    Target,
    Values,
    as_slots,
    as_targets,
    match_slots,
)


def slot_dci(
    slots: SlotCodes,
    predicted: Predicted,
    true: Maps,
    properties: Mapping[str, Values],
    kinds: Mapping[str, PropertyKind],
    *,
    rng: Generator,
    backgrounds: int = 1,
    measure: Measure = "iou",
    least_pixels: int = 1,
    predictor: Predictor = "forest",
    bins: int = 10,
    num_train: int = 10000,
    num_test: int = 2000,
) -> MetricResult:
    """`dci` of a table with a row for every visible object: the latents of its slot, and its properties as factors.

    Args:
        slots, predicted, true, properties, kinds, backgrounds, least_pixels: as in `slot_probe`.
        rng: source of the split into images for training and testing, and of the predictor.
        measure: what the matching of slots with objects maximises, see `match_slots`.
        predictor: of `dci`. "lasso" and "forest_regressor" take numbers as they are (classes by their index, angles as
            cosine and sine); the others take them in bins.
        bins: of equal frequency in the training rows, for numbers, cosines and sines.
        num_train, num_test: images; a sample that is smaller than both is split in proportion.

    Returns:
        "slot_dci.PREDICTOR"; details as `dci`, with the names of the `factors`.

    Raises:
        DataError: arrays that do not fit together, or too few matched objects.
    """
    codes = as_slots(slots)
    slot = match_slots(
        predicted, true, codes.shape[1], backgrounds=backgrounds, least_pixels=least_pixels, measure=measure
    )
    if len(codes) != len(slot):
        raise DataError(f"slots of {len(codes)} images and label maps of {len(slot)}", "the same images in both")
    targets = as_targets(properties, kinds, *slot.shape)
    train, test = split_rows(len(codes), num_train, num_test, rng)
    tables = []
    for rows in (train, test):
        image, entity = np.nonzero(slot[rows] >= 0)
        tables.append(codes[rows][image, slot[rows][image, entity]])
        tables.append(np.concatenate([one.values[rows][image, entity] for one in targets], axis=1))
    if min(len(tables[0]), len(tables[2])) < 2:
        raise DataError("fewer than two objects with a slot in the training or test images", "scenes with objects")
    if predictor not in ("lasso", "forest_regressor"):
        tables[1], tables[3] = _binned(tables[1], tables[3], targets, bins)
    result = dci(tables[0], tables[1], tables[2], tables[3], predictor=predictor, rng=rng)
    return replace(
        result,
        name=f"slot_dci.{predictor}",
        details={**result.details, "factors": factor_names(targets)},
        parameters={**result.parameters, "backgrounds": backgrounds, "measure": measure, "bins": bins},
    )


def factor_names(targets: list[Target]) -> list[str]:
    """A name for every column of the properties' values."""
    endings = {"angle": [".cos", ".sin"]}
    names = []
    for target in targets:
        width = target.values.shape[2]
        ends = endings.get(target.kind, [""] if width == 1 else [f".{number}" for number in range(width)])
        names += [target.name + end for end in ends]
    return names


def _binned(
    train: Float[np.ndarray, "rows factors"],
    test: Float[np.ndarray, "tests factors"],
    targets: list[Target],
    bins: int,
) -> tuple[Float[np.ndarray, "rows factors"], Float[np.ndarray, "tests factors"]]:
    """Numbers as the index of their bin; classes stay."""
    continuous = np.concatenate([np.full(one.values.shape[2], one.kind != "categorical") for one in targets])
    train, test = train.copy(), test.copy()
    for column in np.flatnonzero(continuous):
        edges = np.unique(np.quantile(train[:, column], np.linspace(0, 1, bins + 1)[1:-1]))
        train[:, column] = np.searchsorted(edges, train[:, column], side="right")
        test[:, column] = np.searchsorted(edges, test[:, column], side="right")
    return train, test
