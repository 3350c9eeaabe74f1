"""Symptoms of slots that do not bind: each comes where it is, and only there."""

from __future__ import annotations

import math
from typing import Any

import pytest
from small_monet import built

from percepts.objects import symptoms

HEALTHY = {
    "reconstruction": -1000.0,
    "kl": 40.0,
    "mse": 0.01,
    "mask_entropy": 0.2,
    "largest_slot": 0.7,
    "active_slots": 3.0,
    "share_per_slot": [0.7, 0.2, 0.1, 0.0],
}


def log(lines: int = 60, every: int = 50, **changes: Any) -> list[dict[str, Any]]:
    """A log of equal lines; a list in `changes` whose length is `lines` changes line by line."""

    def value(name: str, line: int) -> Any:
        change = changes.get(name, HEALTHY.get(name))
        return change[line] if isinstance(change, list) and len(change) == lines else change

    return [{"step": every * (n + 1), **{name: value(name, n) for name in HEALTHY}} for n in range(lines)]


def found(entries: list[dict[str, Any]], slots: int = 4, scale: float = 0.1) -> set[str]:
    return set(symptoms.binding(entries, slots, scale))


def test_a_healthy_log_has_none():
    assert found(log()) == set()
    assert found([]) == set()


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"largest_slot": 0.99}, "one_slot"),
        ({"mask_entropy": 0.9 * math.log(4)}, "undecided_masks"),
        ({"active_slots": 1.2}, "unused_slots"),
        ({"kl": 0.1}, "collapse"),
        ({"mse": 0.2}, "scale"),
        ({"mse": 1e-4}, "scale"),
        ({"reconstruction": [-1000.0 - n for n in range(50)] + [800.0] * 10}, "divergence"),
        ({"reconstruction": [-1000.0] * 59 + [math.nan]}, "divergence"),
        ({"reconstruction": [-1000.0] * 59 + [None]}, "divergence"),
    ],
)
def test_each_symptom(changes: dict[str, Any], name: str):
    assert found(log(**changes)) == {name}


@pytest.mark.parametrize("name", ["one_slot", "undecided_masks", "collapse", "scale", "unused_slots"])
def test_a_symptom_has_to_last(name: str):
    ill = {"largest_slot": 0.99, "mask_entropy": 1.38, "kl": 0.1, "mse": 0.2, "active_slots": 1.0}
    assert name in found(log(**ill))
    assert name not in found(log(lines=15, **ill))
    healed = {key: [value] * 55 + [HEALTHY[key]] * 5 for key, value in ill.items()}
    healed["active_slots"] = [1.0] * 20 + [3.0] * 40
    if name != "scale":  # a mean over the time
        assert name not in found(log(**healed))


def test_texts_say_what_to_try():
    text = symptoms.one_slot(log(largest_slot=0.99), 4) or ""
    assert "99.0%" in text
    assert "Lower the pixels' scale" in text
    assert "too small" in (symptoms.wrong_scale(log(mse=0.2), 0.1) or "")
    assert "too large" in (symptoms.wrong_scale(log(mse=1e-4), 0.1) or "")
    assert "3 of 4" in (symptoms.unused(log(active_slots=1.0), 4) or "")


def test_one_slot_cannot_fail_to_share():
    assert found(log(largest_slot=1.0, mask_entropy=0.0, active_slots=1.0, share_per_slot=[1.0]), slots=1) == set()


def test_loss_that_falls_late_or_jumps_once_is_no_divergence():
    assert "divergence" not in found(log(reconstruction=[-float(n) for n in range(60)]))
    assert "divergence" not in found(log(reconstruction=[0.0, 900.0] + [-1000.0] * 58))
    assert "divergence" not in found(log(reconstruction=[-1000.0 - n for n in range(58)] + [500.0, -1060.0]))


def test_monet_names_its_own():
    model = built()
    flat = log(mask_entropy=math.log(3), share_per_slot=[0.4, 0.3, 0.3])
    assert set(model.diagnose(flat)) == {"undecided_masks"}
