"""The page of explorers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from percepts.agents.explorers.alchemy_runs import AlchemyRun
from percepts.agents.explorers.feature_runs import FeatureRun
from percepts.agents.explorers.runs import ExplorerRun
from percepts.core.errors import ConfigError, DataError, RunError
from percepts.envs.alchemy.text import TextAlchemy, text_table
from percepts.envs.feature_world.worlds import single
from percepts.report.explorers import report_explorers


def feature(folder: Path, agent: str, seed: int = 0, values: int = 3) -> Path:
    config = FeatureRun(agent=agent, world=single(values=values, budget=12), episodes=8, seed=seed)
    ExplorerRun.start(config, folder).play()
    return folder


def alchemy(folder: Path, agent: str, switch: int | None = None) -> Path:
    config = AlchemyRun(agent=agent, game=TextAlchemy.Config(table=text_table(4, switch)), episodes=4, at_once=4)
    ExplorerRun.start(config, folder).play()
    return folder


def cells_of(page: str, agent: str) -> list[str]:
    row = re.search(rf'<th scope="row">{re.escape(agent)}</th>(.*?)</tr>', page, re.DOTALL)
    assert row is not None
    return re.findall(r'<td class="number">(.*?)</td>', row[1])


def test_feature_worlds_side_by_side(tmp_path: Path):
    runs = [feature(tmp_path / name, name) for name in ("optimal", "random", "curious")]
    again = feature(tmp_path / "elsewhere", "random", seed=1)
    page = report_explorers([*runs, again], tmp_path / "page").read_text()
    assert "<img" in page
    heads = re.findall(r'<th scope="col"[^>]*>(.*?)</th>', page)
    assert heads[:4] == ["Agent", "transcripts", "episodes", "steps to identify"]
    assert heads[-3:] == ["world", "less optimal", "p"]
    assert cells_of(page, "optimal")[-3] == "1 of 1 feature of colour, shape, texture; 3 values; identify; budget 12"
    assert cells_of(page, "optimal")[0] == "8"
    assert cells_of(page, "optimal")[-2:] == ["–", "–"]
    assert 0 < float(cells_of(page, "random (random)")[-1]) <= 1
    # Other seeds are other worlds, which are not compared in pairs.
    assert cells_of(page, "random (elsewhere)")[-2:] == ["–", "–"]
    assert 'href="../optimal/transcripts.html"' in page
    assert (tmp_path / "optimal" / "transcripts.html").is_file()
    assert not (tmp_path / "curious" / "transcripts.html").exists()


def test_other_worlds_are_named_and_not_paired(tmp_path: Path):
    runs = [feature(tmp_path / "one", "optimal"), feature(tmp_path / "other", "random", values=4)]
    page = report_explorers(runs, tmp_path / "page").read_text()
    assert "4 values" in cells_of(page, "random")[-3]
    assert cells_of(page, "random")[-2:] == ["–", "–"]
    assert "are not paired" in page


def test_text_alchemy_with_and_without_a_switch(tmp_path: Path):
    plain = alchemy(tmp_path / "plain", "sampling")
    page = report_explorers([plain]).read_text()
    assert (plain / "report.html").is_file()
    assert "recovery" not in re.findall(r'<th scope="col"[^>]*>(.*?)</th>', page)
    assert 'href="transcripts.html"' in page
    runs = [alchemy(tmp_path / name, name, 2) for name in ("sampling", "cash-only")]
    page = report_explorers([*runs, plain], tmp_path / "page").read_text()
    assert "recovery" in page
    assert len(cells_of(page, "cash-only")) == 9 + 3 + 2
    assert "random-bottleneck; 4 trials of 20 steps, new rules after 2" in cells_of(page, "cash-only")
    assert cells_of(page, "cash-only")[-1] != "–"
    assert cells_of(page, "sampling (plain)")[-5:] == ["–"] * 5


def test_what_cannot_be_shown_is_refused(tmp_path: Path):
    one, other = feature(tmp_path / "one", "optimal"), alchemy(tmp_path / "other", "cash-only")
    with pytest.raises(DataError, match="one kind"):
        report_explorers([one, other], tmp_path / "page")
    for folders in ([], [one, one]):
        with pytest.raises(ConfigError, match="--out"):
            report_explorers(folders)
    begun = ExplorerRun.start(FeatureRun(agent="optimal"), tmp_path / "begun")
    with pytest.raises(RunError, match="no results"):
        report_explorers([begun.path])
    assert not (tmp_path / "page").exists()
