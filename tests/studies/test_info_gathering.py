"""The study of information gathering: what its claims judge."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from percepts.studies.info_gathering import MEMORIES, NOTEBOOK, STUDY, key
from percepts.studies.study import reproduce

WORLDS = {
    key("single", 3, 5): (4.42, 7.37),
    key("conjunction", 3, 5): (14.6, 30.4),
    key("conjunction", 2, 5): (12.9, 13.0),
}
ACCURACY = {
    "single, 0": (1.0, 1.0), "single, 0.2": (0.83, 1.0), "conjunction, 0": (1.0, 1.0), "conjunction, 0.2": (0.697, 1.0),
}  # fmt: skip


FORGET, RESET, CARRY = MEMORIES
TEXT = {
    f"{FORGET}: improvement": -0.005,
    f"{FORGET}: late_after": 0.585,
    f"{RESET}: late_after": 0.953,
    f"{CARRY}: improvement": 0.377,
    f"{CARRY}: late_after": 0.25,
    f"{CARRY}: late": 0.95,
    f"{NOTEBOOK}: late": 0.77,
}


def missed(**changes: Any) -> list[str]:
    """The claims that fail with the notes' figures, some of them changed."""
    numbers = {**WORLDS, **ACCURACY, **changes}
    text: dict[str, dict[str, list[float]]] = {name: {} for name in (*MEMORIES, NOTEBOOK)}
    for name, value in {**TEXT, **changes}.items():
        if name in TEXT:
            text[name.split(": ")[0]][name.split(": ")[1]] = [value, 0.01]
    across = {
        "worlds": {
            name: {"information gain": [numbers[name][0], 0.1], "random": [numbers[name][1], 0.1]} for name in WORLDS
        },
        "perception": {
            name: {"accuracy": numbers[name][0], "without_error": numbers[name][1]} for name in ACCURACY
        },
        "text": text,
    }  # fmt: skip
    claims = STUDY.presets["cpu"].claims
    return [claim.statement for claim in claims if claim.holds(claim.measure(SimpleNamespace(across=across))) is False]


def test_the_figures_of_the_notes_hold() -> None:
    assert missed() == []


@pytest.mark.parametrize(
    ("name", "values"),
    [
        (key("single", 3, 5), (4.8, 7.37)),
        (key("conjunction", 3, 5), (16.6, 30.4)),
        (key("conjunction", 2, 5), (10.0, 13.0)),
        (key("conjunction", 2, 5), (13.0, 10.0)),
        ("single, 0", (0.99, 1.0)),
        ("single, 0.2", (0.89, 1.0)),
        ("conjunction, 0.2", (0.79, 1.0)),
        ("conjunction, 0.2", (0.7, 0.99)),
        (f"{FORGET}: improvement", 0.13),
        (f"{FORGET}: improvement", -0.13),
        (f"{FORGET}: late_after", 0.49),
        (f"{FORGET}: late_after", 0.67),
        (f"{RESET}: late_after", 0.87),
        (f"{CARRY}: improvement", 0.24),
        (f"{CARRY}: late_after", 0.41),
        (f"{NOTEBOOK}: late", 0.75),
    ],
)
def test_every_figure_can_fail(name: str, values: Any) -> None:
    assert len(missed(**{name: values})) == 1


def test_a_random_policy_that_is_too_good_fails_twice() -> None:
    assert len(missed(**{key("single", 3, 5): (4.6, 6.4)})) == 2


def test_the_tiny_preset_runs_to_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert reproduce("info_gathering", "tiny", tmp_path / "runs") == 0
    written = json.loads((tmp_path / "results" / "info_gathering-tiny.json").read_text())
    assert set(written["across"]["worlds"]) >= set(WORLDS)
    assert set(written["across"]["text"]) > {*MEMORIES, NOTEBOOK}
