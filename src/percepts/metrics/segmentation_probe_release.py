"""The factor probe as the code published with IODINE scores it, for comparing with numbers that were made that way.

Not a fair score: `slot_probe` is. The background counts as an entity whose classes are always right, entities that
cannot be seen count as perfectly predicted numbers, several entities may share a slot, and there one property reads the
values of another (`reads`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float, Int

from percepts.core.errors import DataError
from percepts.core.results import MetricResult
from percepts.metrics.arrays import split_rows
from percepts.metrics.segmentation_matching import (
    Maps,
    Predicted,
    PropertyKind,
    SlotCodes,
    Target,
    Values,
    as_slots,
    as_targets,
    shared_mass,
)
from percepts.metrics.segmentation_probe import solve_probe


def release_slot_probe(
    slots: SlotCodes,
    predicted: Predicted,
    true: Maps,
    properties: Mapping[str, Values],
    kinds: Mapping[str, PropertyKind],
    *,
    rng: np.random.Generator,
    backgrounds: int = 1,
    reads: Mapping[str, str] | None = None,
    num_train: int = 10000,
    num_test: int = 2000,
) -> dict[str, MetricResult]:
    """Scores of a linear probe with the conventions of IODINE's released code.

    Every visible entity, background included, is read from the slot with the largest overlap Σ m_true · m. Accuracy is
    over these; R² is the mean over all entities of 1 - error² / variance, where an invisible one has no error and the
    variance is that of visible ones. The release trains its linear layer beside the model; this one is solved.

    Args:
        slots, predicted, true, properties, kinds, rng, num_train, num_test: as in `slot_probe`.
        backgrounds: how many entities, the first, are background; they are a class of their own.
        reads: properties that are given the values of another one; {"size": "color"} is the release's mistake on CLEVR.

    Returns:
        By name "slot_probe.release.PROPERTY"; details: `entities` that were visible, `invisible` ones.

    Raises:
        DataError: arrays that do not fit together, or a property that is read but has no values.
    """
    codes = as_slots(slots)
    shared, _, _ = shared_mass(predicted, true, codes.shape[1])
    if len(shared) != len(codes):
        raise DataError(f"slots of {len(codes)} images and label maps of {len(shared)}", "the same images in both")
    visible = shared.sum(axis=2) > 0
    slot = np.where(visible, shared.argmax(axis=2), -1)
    targets = {one.name: _with_background(one, backgrounds) for one in as_targets(properties, kinds, *slot.shape)}
    for name, other in (reads or {}).items():
        if name not in targets or other not in targets:
            raise DataError(f"'{name}' that reads '{other}'", "two of " + ", ".join(targets))
    train, test = split_rows(len(codes), num_train, num_test, rng)
    parameters = {
        "backgrounds": backgrounds,
        "reads": dict(reads or {}),
        "num_train": len(train),
        "num_test": len(test),
    }
    results = {}
    for name, target in targets.items():
        read = targets[(reads or {}).get(name, name)]
        value = _score(Target(name, target.kind, read.values, target.outputs), codes, slot, train, test)
        full = f"slot_probe.release.{name}"
        details = {"entities": int(visible[test].sum()), "invisible": int((~visible[test]).sum())}
        results[full] = MetricResult(name=full, value=value, details=details, parameters=parameters)
    return results


def _with_background(target: Target, backgrounds: int) -> Target:
    """Classes from 1, with 0 for the background."""
    if target.kind != "categorical":
        return target
    values = target.values + 1
    values[:, :backgrounds] = 0
    return Target(target.name, target.kind, values, target.outputs + 1)


def _score(
    target: Target,
    codes: Float[np.ndarray, "images slots latents"],
    slot: Int[np.ndarray, "images entities"],
    train: Int[np.ndarray, " train"],
    test: Int[np.ndarray, " test"],
) -> float:
    image, entity = np.nonzero(slot[train] >= 0)
    rows, values = codes[train][image, slot[train][image, entity]], target.values[train][image, entity]
    if target.kind == "categorical":
        # Classes of another property that this one has not are not trained on, and never right.
        known = values[:, 0] < target.outputs
        rows, values = rows[known], values[known]
    said = solve_probe(rows, values, codes[test], target)
    seen: Bool[np.ndarray, "tests entities"] = slot[test] >= 0
    answer = np.take_along_axis(said, np.maximum(slot[test], 0)[..., None], axis=1)
    truth = target.values[test]
    if target.kind == "categorical":
        return float((answer.argmax(axis=2) == truth[..., 0])[seen].mean())
    error = np.where(seen[..., None], (answer - truth) ** 2, 0.0)
    variance = truth[seen].var(axis=0)
    return float((1.0 - error / np.maximum(variance, 1e-12)).mean())
