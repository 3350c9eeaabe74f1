"""The study of Alchemy: what its claims judge."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from percepts.agents.alchemy.microprobes import PROBES, PUBLISHED_PASSES
from percepts.studies.alchemy import CEILING, FLOOR, PLAIN, PRIVILEGED, QMDP, SEEDS, STUDY
from percepts.studies.study import reproduce

PLAYERS: dict[str, dict[str, Any]] = {
    FLOOR: {"mean": 145.0, "adaptation": -0.3, "entropy": [3.3, 1.6, 0.9]},
    "cash only": {"mean": 67.4, "adaptation": 0.0},
    "uniform random": {"mean": 18.0, "adaptation": 0.0},
    CEILING: {"mean": 288.0, "adaptation": 0.0, "same_few": 284.0, "per_trial": [29.0, 28.0]},
    "Thompson": {"mean": 262.0, "adaptation": 6.6},
    QMDP: {"mean": 280.0, "adaptation": 2.0},
    **{f"{PRIVILEGED}, seed {seed}": {"mean": 240.0, "adaptation": 0.0} for seed in SEEDS},
    **{f"{PLAIN}, seed {seed}": {"mean": 150.0, "adaptation": 0.1} for seed in SEEDS},
}


def results(**changes: float) -> SimpleNamespace:
    """What the notes say, with some numbers changed: "player: name" or "model: probe" as keys."""
    players = {name: {"episodes": 1000, "per_trial": [14.0, 14.0], **one} for name, one in PLAYERS.items()}
    for name in ("Thompson", QMDP):
        players[name]["episodes"] = 200
    probes = {
        model: {probe: {"passed": 20, "p": 0.01 if probe in wanted else 0.5} for probe in PROBES}
        for model, wanted in PUBLISHED_PASSES.items()
    }
    for agent in (QMDP, "Thompson"):
        probes[agent] = {probe: {"passed": 20, "p": 0.01} for probe in PROBES}
    for key, value in changes.items():
        who, what = key.split(": ")
        if what in PROBES:
            probes[who][what] = {"passed": int(value), "p": 0.5 if value < 10 else 0.01}
        else:
            players[who][what] = value
    return SimpleNamespace(across={"players": players, "probes": probes})


def missed(**changes: float) -> int:
    verdicts = [claim.holds(claim.measure(results(**changes))) for claim in STUDY.presets["cpu"].claims]
    return verdicts.count(False)


def test_the_figures_of_the_notes_hold() -> None:
    assert missed() == 0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (f"{FLOOR}: mean", 139.0),
        (f"{FLOOR}: mean", 153.0),
        ("cash only: mean", 71.0),
        ("uniform random: mean", 14.0),
        (f"{CEILING}: mean", 294.0),
        ("Thompson: mean", 249.0),
        ("Thompson: adaptation", 4.9),
        (f"{FLOOR}: adaptation", -1.1),
        ("level 2: deduce-pairs", 20),
        ("level 3: deduce-pairs", 3),
        (f"{QMDP}: plan-around-bottleneck", 17),
        (f"{PRIVILEGED}, seed 1: mean", 184.0),
        (f"{PLAIN}, seed 2: adaptation", 1.1),
    ],
)
def test_every_figure_can_fail(key: str, value: float) -> None:
    assert missed(**{key: value}) == 1


def test_an_oracle_that_is_beaten_in_one_trial_is_noticed() -> None:
    assert missed(**{f"{CEILING}: per_trial": [29.0, 13.9]}) == 1  # type: ignore[arg-type]


def test_statements_are_told_apart() -> None:
    statements = [claim.statement for claim in STUDY.presets["cpu"].claims]
    assert len(set(statements)) == len(statements)


def test_the_tiny_preset_runs_to_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert reproduce("alchemy", "tiny", tmp_path / "runs") == 0
    written = json.loads((tmp_path / "results" / "alchemy-tiny.json").read_text())
    assert {FLOOR, CEILING, QMDP} <= written["across"]["players"].keys()
    assert set(written["across"]["probes"]["level 3"]) == set(PROBES)
    assert written["across"]["players"][CEILING]["mean"] > written["across"]["players"][FLOOR]["mean"]
