"""Selecting among runs: who takes part, who wins and why, what is written, and bad input."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import Bars, Critic, beta_vae, tiny_experiment

from percepts.core.config import to_json
from percepts.core.errors import ConfigError, DataError, RunError
from percepts.core.files import write_json
from percepts.core.runs import Run, find_runs
from percepts.data.sprites import Sprites
from percepts.metrics import udr_scores
from percepts.training import experiment as experiments
from percepts.training import selection_encoding
from percepts.training.selection import (
    CHOSEN,
    SELECTION,
    Selection,
    SelectionSettings,
    label_efficiency,
    select,
    selection_from_codes,
    write_selection,
)
from percepts.training.selection_encoding import hyperparameters
from percepts.training.selection_evidence import rank_correlation, stability

QUICK = SelectionSettings(images=64, bootstrap=20, stability=False)
Models = dict[str, tuple[np.ndarray, np.ndarray]]


def train(folder: Path, beta: float, seed: int, model: Any = None, dataset: Any = None, **training: Any) -> Run:
    config = model or dataclasses.replace(beta_vae(), beta=beta)
    experiment = dataclasses.replace(tiny_experiment(config, dataset, **training), seed=seed)
    run, experiment = experiments.start(experiment, folder / f"b{beta}-s{seed}")
    experiments.train(run, experiment)
    return run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two settings with three seeds each; made-up supervised scores, higher for smaller β and larger seeds."""
    folder = tmp_path_factory.mktemp("sweep")
    for beta in (0.2, 4.0):
        for seed in range(3):
            run = train(folder, beta, seed)
            scores = {"mig.dlib": 1 / (1 + beta) + 0.01 * seed, "mutual_information_score.dlib": beta + 0.01 * seed}
            metrics = {name: {"value": value} for name, value in scores.items()}
            write_json(run.path / "evaluation.json", {"step": 30, "metrics": metrics})
    return folder


@pytest.fixture
def sweep(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "sweep"))


def table(sharpness: dict[str, float], seeds: int = 5, latents: int = 4) -> tuple[Models, dict[str, str]]:
    """Models that see common factors through noise: the less, the more they agree."""
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(500, latents))
    models, groups = {}, {}
    for group, noise in sharpness.items():
        for seed in range(seeds):
            codes = factors[:, rng.permutation(latents)] + noise * rng.normal(size=factors.shape)
            models[f"{group}-{seed}"], groups[f"{group}-{seed}"] = (codes, np.ones(latents)), group
    return models, groups


def test_runs_are_ranked_and_the_choice_is_written(sweep: Path) -> None:
    selection = select(find_runs(sweep), QUICK, out=sweep, tasks={"spread": lambda codes, factors: codes.std()})
    assert [candidate.name for candidate in selection.candidates] == [run.path.name for run in find_runs(sweep)]
    assert len(selection.groups) == 2
    assert selection.varied == ["model.beta"]
    assert [sorted(group.members) for group in sorted(selection.groups, key=lambda g: g.settings["model.beta"])] == [
        [0, 1, 2],
        [3, 4, 5],
    ]
    best = selection.best
    assert best is not None
    assert best.group == selection.groups[0].name
    assert best.score == max(selection.candidates[member].score for member in selection.groups[0].members)
    assert (sweep / CHOSEN).read_text() == f"{best.path}\n"
    assert Run.open(best.path).info()["status"] == "finished"
    assert {row.second for row in selection.correlations} >= {"mig.dlib", "spread"}
    assert selection.images == 64


def test_the_numbers_are_those_of_the_models(sweep: Path) -> None:
    selection = select(find_runs(sweep), QUICK)
    images = Bars(Bars.Config()).gather(torch.arange(64))["image"]
    models, kl = [], []
    for run in find_runs(sweep):
        model, _, _ = experiments.load(run)
        with torch.no_grad():
            posterior = model.encode(images)
            kl.append(posterior.kl_to_standard().mean(0))
            models.append((posterior.mean, kl[-1]))
            nll = model.likelihood.nll(model.decode_output(posterior.mean), images)
            excess = float((nll - model.likelihood.data_entropy(images)).mean())
        candidate = selection.candidates[len(models) - 1]
        assert candidate.excess == pytest.approx(excess, rel=1e-4)
        assert candidate.kl == pytest.approx(kl[-1].tolist(), rel=1e-4, abs=1e-6)
        # One sample instead of the mean costs a little; the rest of the ELBO is the KL.
        assert candidate.elbo == pytest.approx(-float(nll.mean() + kl[-1].sum()), abs=2.0)
        assert candidate.elbo < -float(kl[-1].sum())
    expected = udr_scores(models, groups=[0, 0, 0, 1, 1, 1], kind="spearman").scores
    # The images come in a random order, which no rank correlation notices.
    assert [candidate.udr["spearman"] for candidate in selection.candidates] == pytest.approx(expected, abs=1e-4)


def test_a_selection_survives_the_disk(sweep: Path) -> None:
    selection = select(find_runs(sweep), QUICK, out=sweep)
    again = Selection.read(sweep)
    assert again.to_json() == selection.to_json()
    assert again.candidates == selection.candidates
    assert again.groups == selection.groups
    assert np.array_equal(again.udr["lasso"].pairwise, selection.udr["lasso"].pairwise, equal_nan=True)
    with pytest.raises(RunError, match="percepts select"):
        Selection.read(sweep / "nowhere")
    (sweep / SELECTION).write_text("{")
    with pytest.raises(RunError, match="cannot read"):
        Selection.read(sweep)


def test_the_same_seed_gives_the_same_selection(sweep: Path) -> None:
    settings = dataclasses.replace(QUICK, pairs=1, images=32)
    one, two = (select(find_runs(sweep), settings).to_json() for _ in range(2))
    assert {**one, "provenance": 0} == {**two, "provenance": 0}
    assert (np.array(one["udr"]["lasso"]["compared"]).sum(axis=0) == 1).all()
    assert one["udr"]["lasso"]["compared"] == one["udr"]["spearman"]["compared"]


def test_unusable_runs_are_named_and_left_out(sweep: Path) -> None:
    runs = find_runs(sweep)
    runs[0].update(status="failed")
    runs[1].update(status="interrupted")
    for file in runs[2].checkpoints.rglob("*.safetensors"):
        file.write_bytes(b"damaged")
    selection = select([*runs, Run(sweep / "gone")], QUICK)
    assert len(selection.candidates) == 3
    assert [row.name for row in selection.left_out] == ["b0.2-s0", "b0.2-s1", "b0.2-s2", "gone"]
    assert "failed" in selection.left_out[0].reason
    assert "interrupted" in selection.left_out[1].reason


def test_diverged_and_codeless_models_are_left_out(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(sweep, 9.0, 0, model=Critic.Config())

    def diverged(run: Run) -> Any:
        model, dataset, checkpoint = experiments.load(run)
        if run.path.name == "b4.0-s1":
            next(model.parameters()).data.fill_(torch.nan)
        return model, dataset, checkpoint

    monkeypatch.setattr(selection_encoding, "load", diverged)
    selection = select(find_runs(sweep), QUICK)
    assert [row.name for row in selection.left_out] == ["b4.0-s1", "b9.0-s0"]
    assert "not finite" in selection.left_out[0].reason
    assert "Critic" in selection.left_out[1].reason


def test_supervised_scores_of_another_checkpoint_do_not_count(sweep: Path) -> None:
    write_json(sweep / "b0.2-s0" / "evaluation.json", {"step": 10, "metrics": {"mig.dlib": {"value": 1.0}}})
    selection = select(find_runs(sweep), QUICK)
    assert selection.candidates[0].supervised == {}
    assert any("step 10, not 30" in line for line in selection.warnings)
    assert {row.models for row in selection.correlations if row.second == "mig.dlib"} == {5}


def test_supervised_criteria_know_their_direction(sweep: Path) -> None:
    by_mig = select(find_runs(sweep), dataclasses.replace(QUICK, criterion="mig.dlib")).best
    assert by_mig is not None
    assert by_mig.name == "b0.2-s2"
    lower = dataclasses.replace(QUICK, criterion="mutual_information_score.dlib")
    by_dependence = select(find_runs(sweep), lower).best
    assert by_dependence is not None
    assert by_dependence.name == "b0.2-s0"
    by_elbo = select(find_runs(sweep), dataclasses.replace(QUICK, criterion="elbo"))
    assert by_elbo.best is not None
    assert by_elbo.best.score == max(by_elbo.candidates[member].elbo for member in by_elbo.groups[0].members)


def test_runs_on_other_data_are_refused(sweep: Path) -> None:
    train(sweep, 5.0, 0, dataset=Bars.Config(length=32))
    with pytest.raises(RunError, match="different images"):
        select(find_runs(sweep), QUICK)


def test_settings_that_change_no_step_do_not_split_a_group(sweep: Path) -> None:
    train(sweep, 4.0, 3, log_every=5, checkpoint_every=15)
    train(sweep, 4.0, 4, steps=20)
    selection = select(find_runs(sweep), QUICK)
    assert sorted(len(group.members) for group in selection.groups) == [1, 3, 4]
    lonely = next(group for group in selection.groups if len(group.members) == 1)
    assert math.isnan(lonely.score)
    assert not lonely.eligible or not selection.candidates[lonely.members[0]].eligible
    assert any("alone" in line for line in selection.warnings)
    assert selection.varied == ["model.beta", "training.steps"]


def test_hyperparameters_leave_out_the_seed() -> None:
    names = hyperparameters(to_json(tiny_experiment()))
    assert "model.beta" in names
    assert "training.steps" in names
    assert not {"seed", "training.device", "evaluation.images"} & names.keys()


def test_too_few_runs_are_refused(sweep: Path) -> None:
    runs = find_runs(sweep)
    with pytest.raises(RunError, match="no runs"):
        select([], QUICK)
    with pytest.raises(RunError, match="at least two"):
        select(runs[:1], QUICK)
    with pytest.raises(DataError, match="more seeds"):
        select([runs[0], runs[3]], QUICK)
    with pytest.raises(RunError, match="twice"):
        select([runs[0], runs[0]], QUICK)
    assert select([runs[0], runs[3]], dataclasses.replace(QUICK, compare="all")).best is not None


def test_unknown_criteria_name_the_nearest(sweep: Path) -> None:
    for criterion, message in (("mig.dlip", "did you mean 'mig.dlib'"), ("udr-laso", "udr-lasso")):
        with pytest.raises(RunError, match=message):
            select(find_runs(sweep), dataclasses.replace(QUICK, criterion=criterion))


@pytest.mark.parametrize(
    "values",
    [{"images": 1}, {"pairs": 0}, {"alpha": 0.0}, {"bootstrap": -1}, {"coverage": "penalty", "criterion": "elbo"}],
)
def test_impossible_settings_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        SelectionSettings(**values)


def test_the_group_that_agrees_wins() -> None:
    models, groups = table({"sharp": 0.2, "blurred": 1.5})
    for criterion in ("udr", "udr-spearman"):
        selection = selection_from_codes(models, groups=groups, settings=SelectionSettings(criterion=criterion))
        assert selection.best is not None
        assert selection.best.group == "sharp"
        assert [group.name for group in selection.groups] == ["sharp", "blurred"]
        assert selection.ranked[0] == selection.best


def test_a_collapsed_group_wins_unless_coverage_counts() -> None:
    models, groups = table({"full": 0.5})
    collapsed, more = table({"collapsed": 0.2})
    dead = {name: (codes, np.array([1.0, 0, 0, 0])) for name, (codes, _) in collapsed.items()}
    first = {name: (codes[:, np.argsort(-np.abs(codes.T @ codes[:, 0]))], kl) for name, (codes, kl) in dead.items()}
    # All collapsed models keep the same factor, as they do where one factor dominates.
    shared = next(iter(first.values()))[0]
    models |= {name: (shared + 0.01 * i, kl) for i, (name, (_, kl)) in enumerate(first.items())}
    groups |= more
    naive = selection_from_codes(models, groups=groups)
    assert naive.best is not None
    assert naive.best.group == "collapsed"
    assert any("informative latents" in line for line in naive.warnings)
    for settings in (SelectionSettings(coverage="penalty"), SelectionSettings(min_active=2)):
        careful = selection_from_codes(models, groups=groups, settings=settings)
        assert careful.best is not None
        assert careful.best.group == "full"


@pytest.mark.filterwarnings("ignore:.*β scale")
def test_the_guard_leaves_out_the_worst_reconstruction(sweep: Path) -> None:
    for seed in range(3):
        train(sweep, 300.0, seed)
    selection = select(find_runs(sweep), dataclasses.replace(QUICK, coverage="guard", min_active=0))
    refused = [group.settings["model.beta"] for group in selection.groups if not group.eligible]
    assert refused == [max(selection.groups, key=lambda group: group.excess).settings["model.beta"]]
    assert all(
        not selection.candidates[member].eligible
        for group in selection.groups
        if not group.eligible
        for member in group.members
    )


def test_all_dead_models_give_no_choice_and_say_why(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    models = {str(i): (rng.normal(size=(50, 3)), np.zeros(3)) for i in range(4)}
    selection = selection_from_codes(models)
    assert selection.best is None
    assert all(candidate.udr["lasso"] == 0 for candidate in selection.candidates)
    assert any("no model may be chosen" in line for line in selection.warnings)
    (tmp_path / CHOSEN).write_text("an older choice\n")
    write_selection(selection, tmp_path)
    assert not (tmp_path / CHOSEN).exists()
    assert json.loads((tmp_path / SELECTION).read_text())["chosen"] is None


def test_encoders_without_kl_and_nan_codes() -> None:
    models, groups = table({"a": 0.3})
    free: Any = {name: (codes, None) for name, (codes, _) in models.items()}
    selection = selection_from_codes(free, groups=groups)
    assert selection.candidates[0].kl is None
    assert selection.candidates[0].active == 4
    free["a-0"] = (np.full((500, 4), np.nan), None)
    with pytest.raises(DataError, match="a-0"):
        selection_from_codes(free, groups=groups)


def test_correlation_with_supervised_scores() -> None:
    models, groups = table({str(noise): noise for noise in (0.1, 0.5, 1.0, 2.0)})
    scores = {name: {"good": -float(group), "constant": 1.0} for name, group in groups.items()}
    selection = selection_from_codes(models, groups=groups, supervised=scores)
    found = {(row.first, row.second): row for row in selection.correlations}
    good = found["udr.lasso", "good"]
    assert good.value > 0.9
    assert good.models == 20
    assert good.interval is not None
    assert good.interval[0] <= good.value <= good.interval[1] + 0.05
    assert math.isnan(found["udr.lasso", "constant"].value)
    assert {row.second for row in selection.correlations} == {"good", "constant"}
    rows = [row for row in selection.stability if row.kind == "lasso" and row.score == "good"]
    assert [row.pairs for row in rows] == [1, 2, 3]
    assert not [row for row in selection.stability if row.score == "constant"]


def test_more_pairs_make_the_correlation_steadier() -> None:
    rng = np.random.default_rng(1)
    models, groups = table({str(noise): noise for noise in (0.8, 0.9, 1.0, 1.1)}, seeds=8)
    result = udr_scores(list(models.values()), groups=list(groups.values()))
    score = np.array([-float(group) for group in groups.values()])
    rows = stability(result, {"s": score}, rng=rng, pairs=(1, 6, 7, 99), draws=60)
    assert [row.pairs for row in rows] == [1, 6]
    assert rows[0].deviation > rows[1].deviation > 0


def test_rank_correlation_by_hand() -> None:
    first = np.array([1.0, 2.0, 2.0, 4.0, np.nan])
    second = np.array([10.0, 30.0, 20.0, 40.0, 0.0])
    ranks, others = np.array([1, 2.5, 2.5, 4]), np.array([1, 3, 2, 4.0])
    value, both = rank_correlation(first, second)
    assert value == pytest.approx(np.corrcoef(ranks, others)[0, 1])
    assert both.tolist() == [True] * 4 + [False]
    assert math.isnan(rank_correlation(first[:2], second[:2])[0])


def test_label_efficiency_grows_with_labels_and_needs_them() -> None:
    rng = np.random.default_rng(0)
    factors = rng.integers(0, 5, size=(900, 2))
    codes = factors + 0.3 * rng.normal(size=factors.shape)
    tasks = label_efficiency((10, 500))
    few, many = (tasks[f"probe_accuracy.{labels}"](codes, factors) for labels in (10, 500))
    assert 0.2 < few < many <= 1
    assert tasks["probe_accuracy.500"](rng.normal(size=(900, 2)), factors) < 0.3
    with pytest.raises(DataError, match="without labels"):
        tasks["probe_accuracy.10"](codes, None)
    with pytest.raises(DataError, match="task_images"):
        label_efficiency((800,))["probe_accuracy.800"](codes, factors)


def test_runs_with_factors_give_them_to_the_tasks(tmp_path: Path) -> None:
    from percepts.factors.beta_vae import BetaVAE
    from percepts.nn.mlp import MLPDecoder, MLPEncoder

    data = Sprites.Config(size=16) if hasattr(Sprites, "Config") else None
    model = BetaVAE.Config(
        latent_size=3, encoder=MLPEncoder.Config(hidden=(8,)), decoder=MLPDecoder.Config(hidden=(8,))
    )
    for seed in range(2):
        train(tmp_path, 1.0, seed, model=model, dataset=data, steps=3)
    settings = dataclasses.replace(QUICK, task_images=90, min_active=0)
    selection = select(find_runs(tmp_path), settings, tasks=label_efficiency((20,)))
    assert selection.images == 64
    assert all(0 <= candidate.downstream["probe_accuracy.20"] <= 1 for candidate in selection.candidates)
