"""The study of information gathering: what its claims judge."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from percepts.studies.info_gathering import STUDY, key
from percepts.studies.study import reproduce

WORLDS = {
    key("single", 3, 5): (4.42, 7.37),
    key("conjunction", 3, 5): (14.6, 30.4),
    key("conjunction", 2, 5): (12.9, 13.0),
}
ACCURACY = {
    "single, 0": (1.0, 1.0), "single, 0.2": (0.83, 1.0), "conjunction, 0": (1.0, 1.0), "conjunction, 0.2": (0.697, 1.0),
}  # fmt: skip


def missed(**changes: tuple[float, float]) -> list[str]:
    """The claims that fail with the notes' figures, some of them changed."""
    numbers = {**WORLDS, **ACCURACY, **changes}
    across = {
        "worlds": {
            name: {"information gain": [numbers[name][0], 0.1], "random": [numbers[name][1], 0.1]} for name in WORLDS
        },
        "perception": {
            name: {"accuracy": numbers[name][0], "without_error": numbers[name][1]} for name in ACCURACY
        },
    }  # fmt: skip
    claims = STUDY.presets["cpu"].claims[:14]
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
    ],
)
def test_every_figure_can_fail(name: str, values: tuple[float, float]) -> None:
    assert len(missed(**{name: values})) == 1


def test_a_random_policy_that_is_too_good_fails_twice() -> None:
    assert len(missed(**{key("single", 3, 5): (4.6, 6.4)})) == 2


def test_the_tiny_preset_runs_to_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert reproduce("info_gathering", "tiny", tmp_path / "runs") == 0
    written = json.loads((tmp_path / "results" / "info_gathering-tiny.json").read_text())
    assert set(written["across"]["worlds"]) >= set(WORLDS)
