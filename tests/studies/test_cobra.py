"""The study of COBRA: what its claims judge."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from percepts.agents.cobra.presets import PIPELINES
from percepts.envs.spriteworld import configs
from percepts.studies.cobra import GOALS, MODES, STUDY
from percepts.studies.study import reproduce

GOOD = {"ari": 0.85, "position": 0.95, "changed": 0.35, "hits": 0.3}
GOOD |= {"train": 0.80, "test": 0.70, "far": 0.6, "random": 0.05}
"""What pictures on a GPU must reach, to the point."""


def seen(**numbers: float) -> SimpleNamespace:
    """Results of a pipeline that sees, with these numbers."""
    of = {**GOOD, **numbers}
    run = {
        "vision": {"ari_fg": of["ari"], "position_r2": of["position"], "purity.alike": 0.5},
        "probes": {"objects/changed_pixels": of["changed"]},
        "exploration": [{"hit_fraction": 0.0}] * 3 + [{"hit_fraction": of["hits"]}],
        "scores": {
            GOALS[0]: {mode: {"success": of[mode]} for mode in ("train", "test")},
            GOALS[2]: {"train": {"success": 1.0}, "test": {"success": of["far"]}},
        },
    }
    policies = {GOALS[0]: {"random.train": 0.0, "random.test": of["random"]}}
    return SimpleNamespace(across={"pipelines": {"COBRA": {"0": run}}, "policies": policies})


def verdicts(preset: str, **numbers: float) -> list[bool | None]:
    return [claim.holds(claim.measure(seen(**numbers))) for claim in STUDY.presets[preset].claims]


@pytest.mark.parametrize("preset", ["gpu", "paper"])
def test_pictures_on_a_gpu_are_judged_and_can_fail(preset: str) -> None:
    assert verdicts(preset).count(None) == 1  # The purity is reported.
    assert False not in verdicts(preset)
    for name, wanted in GOOD.items():
        worse = wanted + 0.01 if name in ("changed", "random") else wanted - 0.01
        assert verdicts(preset, **{name: worse}).count(False) == 1, name
    assert {GOALS[0], GOALS[2]} <= PIPELINES["gpu"]().tasks.keys()


def test_pictures_on_a_cpu_are_judged_by_vision_and_dynamics_only() -> None:
    told = [None, None], [None, None, None]
    assert verdicts("pixels", ari=0.80, changed=0.5, position=0.0, train=0.0) == [True, *told[0], True, *told[1]]
    assert verdicts("pixels", ari=0.79, changed=0.51) == [False, *told[0], False, *told[1]]


@pytest.mark.parametrize("preset", ["cpu", "pixels", "gpu"])
def test_statements_are_told_apart(preset: str) -> None:
    statements = [claim.statement for claim in STUDY.presets[preset].claims]
    assert len(set(statements)) == len(statements)


def test_the_tiny_preset_runs_from_pictures_to_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert reproduce("cobra", "tiny", tmp_path / "runs") == 0
    summary = json.loads((tmp_path / "results" / "cobra-tiny.json").read_text())
    (run,) = summary["across"]["pipelines"]["COBRA"].values()
    assert {"ari_fg", "mse", "position_r2", "purity.alike"} <= run["vision"].keys()
    assert run["vision"]["position_r2"] == min(run["vision"]["position_r2.x"], run["vision"]["position_r2.y"]) <= 1
    assert all({"train", "test"} == modes.keys() for modes in run["scores"].values())
    assert run["scores"]
    assert "percepts reproduce cobra --preset tiny" in (tmp_path / "RESULTS.md").read_text()


def test_the_modes_are_those_of_the_tasks() -> None:
    """Written again, so that a list of the studies needs no torch."""
    assert configs.MODES == MODES
