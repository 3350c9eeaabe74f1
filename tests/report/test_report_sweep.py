"""The page of a selection: what is chosen, what to doubt, and what happens with gaps, dead models and hostile names."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from report_fakes import CentreOfMass, Dots, OnlyLosses, make_run

from percepts.core.errors import CheckpointError, PerceptsError
from percepts.report import sweep, write_report
from percepts.report.sections.sweep import candidate_name, plain_name, score_names, settings_order
from percepts.report.sweep import collapsed_models, extremes, render_sweep, warnings, write_sweep_report
from percepts.training.selection import SelectionSettings, selection_from_codes
from percepts.training.selection_tables import Selection

SETTINGS = SelectionSettings(bootstrap=0)
HOSTILE = "</style><script>alert('x')</script>{{ 7*7 }}"


def selection_of(noise: dict[float, float], seeds: int = 3, latents: int = 3, labelled: bool = True) -> Selection:
    """Models of several β whose codes see the same factors through noise: the less, the more they agree."""
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(200, latents))
    models, groups, supervised = {}, {}, {}
    for beta, deviation in noise.items():
        for seed in range(seeds):
            name = f"b{beta:g}-s{seed}"
            codes = factors[:, rng.permutation(latents)] + deviation * rng.normal(size=factors.shape)
            models[name], groups[name] = (codes, np.ones(latents)), f"group {beta:g}"
            supervised[name] = {"mig.dlib": 1 / (1 + deviation) + 0.01 * seed, "sap": math.nan, "active_units": 3.0}
    found = selection_from_codes(models, groups=groups, supervised=supervised if labelled else None, settings=SETTINGS)
    betas = [float(one.name[1:].split("-")[0]) for one in found.candidates]
    candidates = [
        dataclasses.replace(one, settings={"model.beta": beta}, seed=int(one.name[-1]))
        for one, beta in zip(found.candidates, betas)
    ]
    named = [dataclasses.replace(one, settings=candidates[one.members[0]].settings) for one in found.groups]
    return dataclasses.replace(found, candidates=tuple(candidates), groups=tuple(named))


def with_paths(selection: Selection, folder: Path) -> Selection:
    """The same with a run folder for every candidate."""
    found = [dataclasses.replace(one, path=str(folder / one.name)) for one in selection.candidates]
    for one in found:
        make_run(Path(str(one.path)), lines=2)
    return dataclasses.replace(selection, candidates=tuple(found))


def change(selection: Selection, place: int, **values: Any) -> Selection:
    candidates = list(selection.candidates)
    candidates[place] = dataclasses.replace(candidates[place], **values)
    return dataclasses.replace(selection, candidates=tuple(candidates))


def text_of(page: str) -> str:
    """The page without its style and script."""
    return page[page.index("<body>") : page.rindex("<script>")]


def test_the_page_names_the_chosen_run_and_shows_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    selection = with_paths(selection_of({1: 2.0, 8: 0.1}), tmp_path)
    monkeypatch.setattr(sweep, "load", lambda run: (CentreOfMass(), Dots.Config().build(), SimpleNamespace(step=1)))
    path = write_sweep_report(tmp_path, selection)
    assert path == tmp_path / "report.html"
    page = text_of(path.read_text())
    assert page.count('<tr class="chosen">') == 2, "in the ranking and among the settings"
    best = selection.best
    assert best is not None
    assert best.settings == {"model.beta": 8.0}
    assert f"chosen: {candidate_name(selection, best)}" in page
    assert all(f"<code>{one.name}</code>" in page for one in selection.candidates)
    assert [part.split('"')[0] for part in page.split('<section id="')[1:]] == [
        "ranking", "agreement", "extremes", "evidence", "record",
    ]  # fmt: skip
    assert "Mutual information gap" in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    assert page.count("<img ") == 5, "boxes, pairs, best and worst pair, traversals, correlation"


def test_without_labels_there_is_no_evidence(tmp_path: Path) -> None:
    page = text_of(render_sweep(selection_of({1: 0.5}, labelled=False), "sweep"))
    assert 'id="evidence"' not in page
    assert 'id="extremes"' not in page, "encoders without a run folder have no traversals"
    assert 'id="agreement"' in page


def test_a_run_that_is_gone_costs_only_its_traversals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    selection = with_paths(selection_of({1: 2.0, 8: 0.1}), tmp_path / "runs")

    def gone(run: object) -> None:
        raise CheckpointError("no checkpoint is intact")

    monkeypatch.setattr(sweep, "load", gone)
    assert reason(selection) == "No traversals: no checkpoint is intact"
    monkeypatch.setattr(sweep, "load", lambda run: (OnlyLosses(), Dots.Config().build(), None))
    assert "OnlyLosses" in reason(selection)


def reason(selection: Selection) -> str:
    section = extremes(selection)
    assert section is not None
    return str(section.content["plate"].caption)


def test_collapsed_models_that_agree_are_warned_of() -> None:
    selection = change(selection_of({1: 0.5, 8: 0.1}), 4, active=1, udr={"lasso": 0.9, "spearman": 0.9})
    assert [one.name for one in collapsed_models(selection)] == [selection.candidates[4].name]
    assert (
        "at most 1 informative latent and a UDR of 0.5 or more (β 8, seed 1)"
        in dict(warnings(selection))["collapsed models"]
    )
    assert collapsed_models(selection_of({1: 0.5, 8: 0.1})) == []


def test_a_selection_without_a_choice_says_why() -> None:
    rng = np.random.default_rng(0)
    dead = {name: (rng.normal(size=(50, 3)), np.zeros(3)) for name in ("a", "b", "c")}
    selection = selection_from_codes(dead, settings=SETTINGS)
    assert selection.best is None
    page = text_of(render_sweep(selection, "sweep"))
    assert "none chosen" in page
    assert "No model may be chosen" in page
    assert "No informative latent, so a score of 0: a, b, c" in page


def test_scores_that_are_not_finite_are_not_available() -> None:
    selection = selection_of({1: 0.5, 8: 0.1})
    assert score_names(selection) == ["mig.dlib"], "neither NaN everywhere nor on an open scale"
    broken = change(selection, 0, excess=math.nan, supervised={"mig.dlib": math.nan}, udr={"lasso": math.nan})
    assert "n/a" in text_of(render_sweep(broken, "sweep"))


def test_words_stay_words_on_the_page() -> None:
    selection = change(selection_of({1: 0.5, 8: 0.1}), 0, name=HOSTILE, obstacles=(HOSTILE,))
    selection = dataclasses.replace(selection, warnings=(HOSTILE,), provenance={"command": HOSTILE})
    page = render_sweep(selection, HOSTILE)
    assert page.count("<script>") == 1
    assert "{{ 7*7 }}" in page
    assert "&lt;script&gt;alert" in page


def test_a_page_that_cannot_be_written_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "report.html" / "mine").mkdir(parents=True)
    monkeypatch.setattr(sweep, "render_sweep", lambda selection, title: title)
    with pytest.raises(PerceptsError, match="could not write"):
        write_sweep_report(tmp_path, selection_of({1: 0.5}))


@pytest.mark.parametrize(
    ("setting", "plain"),
    [("model.beta", "β"), ("model.latent_size", "latent size"), ("model.decoder.type", "decoder"), ("group", "group")],
)
def test_settings_have_plain_names(setting: str, plain: str) -> None:
    assert plain_name(setting) == plain


def test_settings_are_in_order_of_their_size() -> None:
    selection = selection_of({16: 0.4, 2: 0.6, 100: 0.2}, seeds=2)
    betas = [selection.candidates[place].settings["model.beta"] for place in settings_order(selection)]
    assert betas == [2.0, 2.0, 16.0, 16.0, 100.0, 100.0]


def test_the_page_of_a_run_shows_its_warnings(tmp_path: Path) -> None:
    text = "ΣKL stayed below 0.1 nats for 500 steps <b>: lower β"
    run = make_run(tmp_path / "dots", warnings={"posterior_collapse": text})
    page = text_of(write_report(run, CentreOfMass(), Dots.Config().build(), None).read_text())
    assert "<b>posterior collapse</b> ΣKL stayed below 0.1 nats for 500 steps &lt;b&gt;: lower β" in page
    assert page.index("posterior collapse") < page.index('<section id="')
    run = make_run(tmp_path / "calm", warnings="nonsense")
    assert 'class="warnings"' not in write_report(run, CentreOfMass(), Dots.Config().build(), None).read_text()
