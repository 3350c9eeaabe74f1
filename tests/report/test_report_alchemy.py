"""The report of Alchemy: the page says what was played, and its figures what happened."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from browser import browser, found

from percepts.agents.alchemy.bots import RandomHeuristic, UniformRandom
from percepts.agents.alchemy.microprobes import PROBES, ProbeResult
from percepts.agents.alchemy.playing import Played, play
from percepts.core.errors import ConfigError
from percepts.core.runs import Run
from percepts.envs.alchemy.chemistry import EDGES, chemistry_tables
from percepts.envs.alchemy.evaluation_set import generated_episodes
from percepts.envs.alchemy.levels import level
from percepts.envs.alchemy.posterior import PosteriorFilter
from percepts.envs.alchemy.table import Table
from percepts.envs.alchemy.trackers import posterior_after
from percepts.report.alchemy import report_alchemy
from percepts.report.alchemy_figures import (
    adaptation_plate,
    edge_probabilities,
    entropy_plate,
    episode_plate,
    histogram_plate,
    moves_of,
    trials_plate,
)
from percepts.report.alchemy_paper import BEHAVIOUR, ENTROPY_TRIALS, PUBLISHED

LEVEL = "random-bottleneck"


@pytest.fixture(scope="module")
def played() -> dict[str, Played]:
    table = Table.Config(level=LEVEL).build()
    episodes = generated_episodes(12)
    return {
        "uniform random": play(UniformRandom(table), table, episodes=episodes, record=False),
        "random heuristic": play(RandomHeuristic(table), table, episodes=episodes, beliefs=True),
    }


@pytest.fixture(scope="module")
def page(played: dict[str, Played], tmp_path_factory: pytest.TempPathFactory) -> Path:
    probes = {"level 3": {"one-shot": ProbeResult(20, 20, 12, 20), "deduce-pairs": ProbeResult(5, 20, 4, 20)}}
    folder = tmp_path_factory.mktemp("alchemy")
    return report_alchemy(
        folder, played, level=LEVEL, probes=probes, title="A <b> & table", watched=("random heuristic", 3)
    )


def test_the_page_has_every_section_and_names_its_sources(page: Path, played: dict[str, Played]) -> None:
    text = page.read_text(encoding="utf-8")
    for name in ("scores", "learning", "behaviour", "probes", "episode"):
        assert f'<section id="alchemy_{name}"' in text
    assert "A &lt;b&gt; &amp; table" in text
    assert "<script src" not in text
    assert "http://" not in re.sub(r"http://www\.w3\.org", "", text)
    assert f"{played['random heuristic'].mean:.2f}" in text
    assert "digest" in text
    assert "284.4 ± 1.6" in text
    assert "oracle, so that scores are not normalised" in text


def test_probes_say_where_they_differ_from_what_was_published(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "<b>100 %</b>" in text
    assert text.count("published: passes") == 1  # deducing pairs, which level 3 should pass


def test_figures_are_files(page: Path) -> None:
    names = {path.stem for path in (page.parent / "figures").iterdir()}
    assert names == {"histograms", "trials", "adaptation", "entropy", "episode-trial-1", "episode-trial-10"}


def test_scores_are_normalised_between_floor_and_ceiling(tmp_path: Path) -> None:
    made = {"random heuristic": 10.0, "mine": 15.0, "oracle": 30.0}
    played = {name: Played(torch.full((4, 10), value / 10)) for name, value in made.items()}
    text = report_alchemy(tmp_path, played, level=LEVEL).read_text(encoding="utf-8")
    row = text[text.index('<th scope="row">mine</th>') :]
    assert ">0.25<" in row[: row.index("</tr>")]
    assert "not normalised" not in text
    for name in ("behaviour", "probes", "episode"):
        assert f'<section id="alchemy_{name}"' not in text  # nothing was recorded


def test_a_page_in_the_folder_of_a_training_shows_how_it_went(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "learner", Table.Config(level=LEVEL), stage="alchemy", step=2000)
    for step in (1000, 2000):
        line = {"step": step, "policy_loss": 1 / step, "score": step / 10, "clipped": 0.0, "adaptation": None}
        run.log({**line, "per_trial": [None, 1.5], "steps_per_second": step})
    text = report_alchemy(run.path, {"mine": Played(torch.ones(4, 10))}, level=LEVEL).read_text(encoding="utf-8")
    for name in ("training", "configuration", "reproduction"):
        assert f'<section id="{name}"' in text
    # The score comes first; what does not move, or says how fast it went, is left out.
    assert re.findall(r'<figure class="chart-box">\s*<h3>(.*?)</h3>', text) == ["Score", "policy loss"]
    assert "environment steps" in text
    assert "points an episode" in text
    assert str(run.info()["command"]).split()[0] in text
    assert ">2,000</dd>" in text
    elsewhere = report_alchemy(tmp_path / "page", {"mine": Played(torch.ones(4, 10))}, level=LEVEL)
    assert '<section id="training"' not in elsewhere.read_text(encoding="utf-8")


@pytest.mark.skipif(None in found(), reason="no browser on this machine")
def test_all_microprobes_are_in_sight(played: dict[str, Played], tmp_path: Path) -> None:
    probes = {"level 3": {name: ProbeResult(5, 20, 4, 20) for name in PROBES}}
    path = report_alchemy(tmp_path, played, level=LEVEL, probes=probes)
    with browser() as one:
        for width in (1200, 1440, 1920):
            one.size(width, 900)
            one.open(path)
            assert one.hidden(".roomy") == [0, 0, 0], width


def test_scores_of_other_episodes_are_not_normalised(tmp_path: Path) -> None:
    made = {"random heuristic": (10.0, 4), "fewer": (15.0, 3), "as many": (15.0, 4), "oracle": (30.0, 4)}
    played = {name: Played(torch.full((count, 10), value / 10)) for name, (value, count) in made.items()}
    text = report_alchemy(tmp_path, played, level=LEVEL).read_text(encoding="utf-8")
    rows = {name: text[text.index(f'<th scope="row">{name}</th>') :].split("</tr>")[0] for name in made}
    assert ">0.25<" in rows["as many"]
    assert ">0.25<" not in rows["fewer"]
    assert "where there are other ones, scores are not normalised" in text


def test_bad_input_is_refused_before_anything_is_written(played: dict[str, Played], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nobody"):
        report_alchemy(tmp_path, {}, level=LEVEL)
    with pytest.raises(ConfigError, match="references"):
        report_alchemy(tmp_path, played, level=LEVEL, references=("nobody",))
    for watched in (("uniform random", 0), ("nobody", 0), ("random heuristic", 12)):
        with pytest.raises(ConfigError):
            report_alchemy(tmp_path, played, level=LEVEL, watched=watched)
    assert not list(tmp_path.iterdir())


def test_plates_of_nothing_say_so() -> None:
    for plate in (trials_plate({}), histogram_plate({}), adaptation_plate({}), entropy_plate({})):
        assert plate.png.startswith(b"\x89PNG")
        assert plate.alt


def test_one_episode_is_enough_to_draw() -> None:
    one = {"mine": Played(torch.arange(10.0)[None])}
    for plate in (trials_plate(one, ("oracle",)), histogram_plate(one), adaptation_plate(one)):
        assert "mine" in plate.alt


def test_moves_are_what_potions_did(played: dict[str, Played]) -> None:
    recording = played["random heuristic"].recording
    assert recording is not None
    for trial in (0, 9):
        moves = moves_of(recording, 5, trial)
        assert len(moves) == int(played["random heuristic"].tracked["potions_used"].per_trial[5, trial])
        assert [move.order for move in moves] == sorted(move.order for move in moves)
        edges = chemistry_tables().edges[recording.chemistry.graph[50 + trial]].tolist()
        for move in moves:
            pair = tuple(sorted((move.before, move.after)))
            assert move.before == move.after or edges[EDGES.index(pair)]  # type: ignore[arg-type]
        stones = recording.stones[5, trial].tolist()
        for move in moves:  # every stone goes on from where it was
            assert stones[move.stone] == move.before
            stones[move.stone] = move.after
    with pytest.raises(ConfigError, match="trial 10"):
        moves_of(recording, 0, 10)


def test_edges_are_as_probable_as_the_prior_says_at_first() -> None:
    filter = PosteriorFilter(level(LEVEL))
    tables = chemistry_tables()
    expected = filter.level.prior() @ tables.edges.double()
    for stone_map in (0, 5):
        found = edge_probabilities(filter, filter.prior(1), 0, stone_map)
        torch.testing.assert_close(found, expected.mean().expand(12))
    torch.testing.assert_close(expected, expected.mean().expand(12))


def test_edges_that_were_seen_are_certain(played: dict[str, Played]) -> None:
    recording = played["random heuristic"].recording
    assert recording is not None
    for episode in range(4):
        one = recording.rows([episode])
        filter, posterior = posterior_after(one, LEVEL, 9)
        chemistry = one.chemistry
        found = edge_probabilities(filter, posterior, int(chemistry.rotation[0]), int(chemistry.stone_map[0]))
        truth = chemistry_tables().edges[chemistry.graph[0]]
        used = {
            tuple(sorted((move.before, move.after)))
            for trial in range(10)
            for move in moves_of(recording, episode, trial)
            if move.before != move.after
        }
        assert used
        for place, edge in enumerate(EDGES):
            if edge in used:
                assert float(found[place]) == pytest.approx(1.0)
        # What is true is never ruled out, and after ten trials nearly all is known.
        assert (found[truth] > 0).all()
        assert (found[~truth] < 1).all()
        assert float((found - truth.double()).abs().mean()) < 0.15


def test_an_episode_is_drawn(played: dict[str, Played]) -> None:
    recording = played["random heuristic"].recording
    assert recording is not None
    plate = episode_plate(recording, 2, 1, LEVEL, "Caption")
    assert plate.caption == "Caption"
    assert "trial 2" in plate.alt
    assert plate.size[0] > plate.size[1]


def test_published_numbers_are_consistent() -> None:
    for name, known in PUBLISHED.items():
        if known.measured is not None and known.trials is not None:
            assert abs(sum(known.trials) - known.measured[0]) < 0.6, name
        if known.behaviour is not None:
            assert len(known.behaviour) == len(BEHAVIOUR)
        if known.entropy is not None:
            assert len(known.entropy) == len(ENTROPY_TRIALS)
            assert sorted(known.entropy, reverse=True) == list(known.entropy)
