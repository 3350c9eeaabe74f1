"""Studies: claims, results, their page; every preset can be built."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from percepts.core.errors import ConfigError
from percepts.core.runs import Run
from percepts.studies import load_studies, reproduce
from percepts.studies.results import results_page, summarise
from percepts.studies.study import STUDIES, Claim, Results, RunResult, find_scale
from percepts.training.experiment import build_model

load_studies()


def evaluation(mig: float) -> dict:
    return {
        "metrics": {"mig.dlib": {"value": mig}, "sap.dlib": {"value": None}},
        "latents": {"active": [True, True, False], "kl": [2.0, 1.0, 0.0]},
        "reconstruction": {"excess": 4.0, "nll": 10.0},
        "provenance": {"percepts": "1", "commit": "abc", "python": "3", "torch": "2", "platform": "x"},
    }


def results(folder: Path) -> Results:
    run = Run(folder / "run")
    run.path.mkdir()
    run.info_file.write_text(json.dumps({"status": "finished", "seconds": 90.0}))
    arms = [RunResult(seed, run, evaluation(mig), {"own": 7.0}) for seed, mig in ((0, 0.2), (1, 0.4))]
    return Results({"CCI-VAE": arms}, {"note": 1})


def test_scores_of_a_run(tmp_path: Path):
    found = results(tmp_path)
    assert found.scores("CCI-VAE", "mig.dlib") == [0.2, 0.4]
    assert found.mean("CCI-VAE", "mig.dlib") == pytest.approx(0.3)
    run = found.arms["CCI-VAE"][0]
    assert [run.score(name) for name in ("own", "active", "kl", "excess", "elbo")] == [7.0, 2.0, 3.0, 4.0, -13.0]
    assert math.isnan(run.score("sap.dlib"))
    with pytest.raises(KeyError):
        run.score("nosuch")


@pytest.mark.parametrize(
    ("threshold", "at_most", "value", "holds"),
    [
        (0.5, False, 0.5, True),
        (0.5, False, 0.4, False),
        (0.5, True, 0.5, True),
        (0.5, True, 0.6, False),
        (None, False, 0.1, None),
        (0.5, False, math.nan, False),
        (0.5, True, math.nan, False),
    ],
)
def test_a_claim_holds_or_misses_or_is_not_judged(threshold, at_most, value, holds):
    claim = Claim(statement="x", measure=lambda _: value, threshold=threshold, at_most=at_most)
    assert claim.holds(value) is holds


def test_the_page_says_what_was_claimed_and_what_came_out(tmp_path: Path):
    study = STUDIES["demo"]
    summary = summarise(study, "cpu", results_with_scores(tmp_path), ["results/figures/demo-cpu-a.png"])
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "demo-cpu.json").write_text(json.dumps(summary))
    page = results_page(tmp_path / "results")
    assert "| median MIG | not a paper's experiment | 0.300 | 0, 1, 2, 3, 4 | ≥ 0.2 | pass |" in page
    assert "| median FactorVAE score | not a paper's experiment | 0.500 | 0, 1, 2, 3, 4 | ≥ 0.8 | **miss** |" in page
    assert "![demo-cpu-a](results/figures/demo-cpu-a.png)" in page
    assert "| arm | seeds | factor_vae.dlib | mig.dlib | excess | active | minutes |" in page
    assert "| CCI-VAE | 0, 1 | 0.5 (0.5–0.5) | 0.3 (0.2–0.4) | 4 (4–4) | 2 (2–2) | 3.0 |" in page
    assert "`percepts reproduce demo --preset cpu`" in page
    assert "at abc" in page


def results_with_scores(folder: Path) -> Results:
    found = results(folder)
    for run in found.arms["CCI-VAE"]:
        run.evaluation["metrics"]["factor_vae.dlib"] = {"value": 0.5}
    return found


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'beta_vae'"):
        find_scale("beta_vea", "cpu")
    with pytest.raises(ConfigError, match="one of tiny, cpu"):
        find_scale("demo", "huge")


@pytest.mark.parametrize("name", sorted(STUDIES))
def test_every_preset_of_every_study_can_be_built(name: str):
    assert {"tiny", "cpu"} <= set(STUDIES[name].presets)
    if name != "demo":
        assert {"gpu", "paper"} <= set(STUDIES[name].presets)
    for scale in STUDIES[name].presets.values():
        for arm in scale.arms.values():
            experiment, dataset = arm.experiment().resolved()
            build_model(experiment, dataset)
        assert scale.arms or scale.agents
        seeds = {seed for arm in scale.arms.values() for seed in arm.seeds or scale.seeds}
        for claim in scale.claims:
            assert set(claim.seeds or scale.seeds) <= (seeds if scale.agents is None else seeds | set(scale.seeds))


@pytest.mark.parametrize("name", ["beta_vae", "cci_vae", "spatial_broadcast", "udr", "monet", "iodine"])
def test_the_tiny_preset_runs_from_end_to_end(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert reproduce(name, "tiny", tmp_path / "runs", workers=0) == 0
    summary = json.loads((tmp_path / "results" / f"{name}-tiny.json").read_text())
    assert {run["arm"] for run in summary["runs"]} == set(STUDIES[name].presets["tiny"].arms)
    assert len(summary["figures"]) >= 2
    assert all((tmp_path / path).stat().st_size > 5000 for path in summary["figures"])
    assert f"percepts reproduce {name} --preset tiny" in (tmp_path / "RESULTS.md").read_text()
    if name in ("monet", "iodine"):
        check_measures_of_claims(name, summary, tmp_path / "runs")


def check_measures_of_claims(name: str, summary: dict, runs: Path) -> None:
    """Every number that the claims at cpu read is measured at tiny, too (with one seed, and no single slot)."""
    arms: dict[str, list[RunResult]] = {}
    for run in summary["runs"]:
        measured = json.loads((runs / run["run"] / "evaluation.json").read_text())
        arms[run["arm"]] = 3 * [RunResult(run["seed"], Run(runs / run["run"]), measured, run["scores"])]
    arms["single slot"] = arms["MONet" if name == "monet" else "IODINE"]
    found = Results(arms, summary["across"])
    for claim in STUDIES[name].presets["cpu"].claims:
        assert isinstance(claim.measure(found), float), claim.statement
