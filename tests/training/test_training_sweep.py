"""Grids in words, the runs they stand for, and folders that hold one sweep each."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from tiny import cci_vae, tiny_experiment

from percepts.core.config import digest
from percepts.core.errors import ConfigError, PerceptsError, RunError
from percepts.core.runs import Run
from percepts.training.experiment import PRESETS, Experiment, Preset
from percepts.training.grid import read_grid, read_seeds, setting_name, setting_names, with_setting, with_settings
from percepts.training.job import attempts
from percepts.training.sweep import Sweep, missing_runs, read_sweep, run_sweep


def small() -> Experiment:
    """A small beta-VAE."""
    return tiny_experiment(steps=4)


def capacity() -> Experiment:
    """A small CCI-VAE."""
    return tiny_experiment(cci_vae(), steps=4)


@pytest.fixture(autouse=True)
def presets(monkeypatch: pytest.MonkeyPatch) -> None:
    for make in (small, capacity):
        monkeypatch.setitem(PRESETS, make.__name__, Preset(make.__name__, make))


def sweep(seeds: tuple[int, ...] = (0,), **grid: str) -> Sweep:
    return Sweep(presets=("small",), grid={key: values.split(",") for key, values in grid.items()}, seeds=seeds)


def test_reading_grids():
    assert read_grid(["a.b=1,4", "c=[1,2],[3]", 'd="x,y",z', "e=f=g"]) == {
        "a.b": ["1", "4"],
        "c": ["[1,2]", "[3]"],
        "d": ['"x,y"', "z"],
        "e": ["f=g"],
    }
    assert read_grid([]) == {}


@pytest.mark.parametrize("words", [["beta"], ["=1"], ["beta="], ["beta=1", "beta=2"]])
def test_grids_that_make_no_sense(words):
    with pytest.raises(ConfigError, match="--grid"):
        read_grid(words)


def test_reading_seeds():
    assert read_seeds("0-3,8") == (0, 1, 2, 3, 8)
    assert read_seeds("5") == (5,)


@pytest.mark.parametrize("text", ["", "3-1", "a", "1,,2", "-1", "1-", "0,0", "0-3,2"])
def test_seeds_that_make_no_sense(text):
    with pytest.raises(ConfigError, match="--seeds"):
        read_seeds(text)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("model.beta", "model.beta"),
        ("beta", "model.beta"),
        ("--lr", "training.optimizer.lr"),
        ("steps", "training.steps"),
        ("batch-size", "sampling.batch_size"),
        ("evaluation.batch-size", "evaluation.batch_size"),
        ("optimizer.lr", "training.optimizer.lr"),
    ],
)
def test_names_of_settings(key, name):
    assert setting_name(key, setting_names(small())) == name


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("model.bta", "did you mean 'model.beta'"),
        ("latentsize", "did you mean 'model.latent_size'"),
        ("hidden", "names 2 settings; expected one of model.encoder.hidden, model.decoder.hidden"),
        ("training", "is a group of settings"),
        ("model.type", "unknown setting"),
        ("seed", "unknown setting"),
        ("zzz", "unknown setting 'zzz'"),
    ],
)
def test_names_that_are_none(key, message):
    with pytest.raises(ConfigError, match=message):
        setting_name(key, setting_names(small()))


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("model.beta", "4", 4.0),
        ("training.steps", "7", 7),
        ("training.max_minutes", "none", None),
        ("training.precision", "bf16", "bf16"),
        ("training.compile", "True", True),
        ("model.encoder.hidden", "[8,8]", [8, 8]),
        ("data.folder", "2024", "2024"),
    ],
)
def test_values_take_the_type_of_their_setting(name, text, value):
    changed, found = with_setting(small(), name, text)
    assert found == value
    assert type(found) is type(value)
    assert (changed == small()) == (value is None)
    assert with_settings(small(), {name: found}) == changed


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [("model.beta", "high", "model.beta = 'high'"), ("training.steps", "1.5", "steps = 1.5; expected int")],
)
def test_values_of_another_type(name, text, message):
    with pytest.raises(ConfigError, match=message):
        with_setting(small(), name, text)


def test_every_combination_is_a_run():
    points = sweep((0, 3), beta="1,4", lr="1e-3,1e-2").points()
    assert len({point.name for point in points}) == len(points) == 8
    assert [point.seed for point in points[:2]] == [0, 3]
    assert points[0].settings == {"model.beta": 1.0, "training.optimizer.lr": 1e-3}
    assert points[0].experiment.model.beta == 1.0
    assert points[0].name == digest(points[0].experiment.resolved()[0])


def test_presets_vary_in_what_they_have():
    both = Sweep(presets=("small", "capacity"), grid={"beta": ["1", "4"], "gamma": ["5", "9", "20"]})
    points = both.points()
    assert [point.preset for point in points] == ["small"] * 2 + ["capacity"] * 3
    assert points[2].settings == {"model.gamma": 5.0}
    assert list(both.settled().grid) == ["model.beta", "model.gamma"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (sweep(()), "--seeds has no value"),
        (sweep((1, 1)), "--seeds has 1 twice"),
        (sweep(beta="1,1.0"), "model.beta has 1.0 twice|beta has 1.0 twice"),
        (sweep(bta="1"), "did you mean 'model.beta'"),
        (sweep(steps="4,0"), "training.steps = 0"),
        (sweep(seed="1,2"), "--seeds 0-3"),
        (sweep(beta="1", **{"model.beta": "2"}), "twice"),
        (sweep(hidden="[4]"), "names 2 settings"),
        (dataclasses.replace(sweep(), settings={"seed": 1}), "--seeds 0-3"),
        (Sweep(presets=()), "no value"),
        (Sweep(presets=("small", "small")), "twice"),
        (Sweep(presets=("smal",)), "did you mean 'small'"),
    ],
)
def test_a_sweep_that_makes_no_sense_leaves_no_folder(asked: Sweep, message: str, tmp_path: Path):
    with pytest.raises(ConfigError, match=message):
        run_sweep(asked, tmp_path / "out", workers=0)
    assert not (tmp_path / "out").exists()


def test_a_sweep_is_recorded_resumed_and_extended(tmp_path: Path):
    asked = sweep((0, 1), beta="1,4")
    outcomes = run_sweep(asked, tmp_path, workers=0)
    assert [outcome.status for outcome in outcomes] == ["finished"] * 4
    assert outcomes[0].name == "beta=1.0 seed=0"
    recorded = json.loads((tmp_path / "sweep.json").read_text())
    assert recorded["grid"] == {"model.beta": ["1", "4"]}
    assert [job["name"] for job in recorded["jobs"]] == [outcome.path.name for outcome in outcomes]
    assert recorded["jobs"][3] | {"name": ""} == {
        "name": "",
        "preset": "small",
        "settings": {"model.beta": 4.0},
        "seed": 1,
    }
    assert Run.open(outcomes[0].path).info()["preset"] == "small"
    assert read_sweep(tmp_path).points() == asked.points()
    assert all(one.seconds == 0 for one in run_sweep(read_sweep(tmp_path), tmp_path, workers=0))

    grown: list[int] = []
    larger = sweep((0, 1, 2), **{"model.beta": "4,1"})
    outcomes = run_sweep(larger, tmp_path, workers=0, on_extension=grown.append)
    assert grown == [2]
    assert len(json.loads((tmp_path / "sweep.json").read_text())["jobs"]) == 6
    assert [len(attempts(outcome.path)) for outcome in outcomes] == [1] * 6


def test_a_folder_of_another_sweep_is_refused(tmp_path: Path):
    run_sweep(sweep((0, 1), beta="1"), tmp_path, workers=0)
    before = (tmp_path / "sweep.json").read_text()
    for other, difference in [
        (sweep((0,), beta="1"), "seeds 0, 1 there, 0 here"),
        (sweep((0, 1), beta="2"), "--grid model.beta 1 there, 2 here"),
        (
            dataclasses.replace(sweep((0, 1), beta="1"), settings={"training.steps": 5}),
            "training.steps not given there",
        ),
        (dataclasses.replace(sweep((0, 1)), presets=("capacity",)), "presets small there, capacity here"),
    ]:
        with pytest.raises(RunError, match=difference):
            run_sweep(other, tmp_path, workers=0)
    assert (tmp_path / "sweep.json").read_text() == before


def test_a_preset_that_changed_since_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run_sweep(sweep(beta="1"), tmp_path, workers=0)
    monkeypatch.setitem(PRESETS, "small", Preset("small", lambda: tiny_experiment(steps=5)))
    with pytest.raises(RunError, match="the same words, but"):
        run_sweep(read_sweep(tmp_path), tmp_path, workers=0)


def test_folders_of_something_else(tmp_path: Path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(RunError, match=r"holds no sweep and is not empty \(thesis.tex\)"):
        run_sweep(sweep(), tmp_path, workers=0)
    with pytest.raises(PerceptsError, match="could not write"):
        run_sweep(sweep(), tmp_path / "thesis.tex" / "sweep", workers=0)
    with pytest.raises(RunError, match=r"it has no sweep.json"):
        read_sweep(tmp_path)


@pytest.mark.parametrize("damage", ["", "{", "null", "[1]", "{}", '{"presets": 1}'])
def test_a_damaged_record(tmp_path: Path, damage: str):
    (tmp_path / "sweep.json").write_text(damage)
    with pytest.raises(RunError, match="cannot read") as caught:
        read_sweep(tmp_path)
    assert "\n" not in str(caught.value)


def test_runs_that_have_not_begun_are_counted(tmp_path: Path):
    assert missing_runs(tmp_path) == 0
    outcomes = run_sweep(sweep((0, 1)), tmp_path, workers=0)
    assert missing_runs(tmp_path) == 0
    (outcomes[0].path / "run.json").unlink()
    assert missing_runs(tmp_path) == 1
