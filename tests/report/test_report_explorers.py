"""The page of explorers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from browser import browser, found

from percepts.agents.explorers.alchemy_runs import AlchemyRun
from percepts.agents.explorers.contexts import ContextMemory
from percepts.agents.explorers.demonstrations import Demonstrations
from percepts.agents.explorers.feature_runs import FeatureRun
from percepts.agents.explorers.language import LanguagePlayer
from percepts.agents.explorers.runs import ExplorerRun
from percepts.cli import main
from percepts.core.errors import ConfigError, DataError, RunError
from percepts.envs.alchemy.text import TextAlchemy, text_table
from percepts.envs.feature_world.worlds import single
from percepts.foundation.openai_server import OpenAIServer
from percepts.report.explorer_settings import WORDS, differences
from percepts.report.explorers import _count, _p, report_explorers


def feature(folder: Path, agent: str, seed: int = 0, values: int = 3) -> Path:
    config = FeatureRun(agent=agent, world=single(values=values, budget=12), episodes=8, seed=seed)
    ExplorerRun.start(config, folder).play()
    return folder


def alchemy(folder: Path, agent: str, switch: int | None = None) -> Path:
    config = AlchemyRun(agent=agent, game=TextAlchemy.Config(table=text_table(4, switch)), episodes=4, at_once=4)
    ExplorerRun.start(config, folder).play()
    return folder


def row_of(page: str, agent: str) -> str:
    row = re.search(rf'<th scope="row"><span>{re.escape(agent)}</span>.*?</tr>', page, re.DOTALL)
    assert row is not None
    return row[0]


def differing(page: str) -> dict[str, dict[str, str]]:
    """The table of what differs: cells by run and option."""
    section = re.search(r'<section id="differences".*?</section>', page, re.DOTALL)
    assert section is not None
    heads = re.findall(r"<code>(.*?)</code></th>", section[0])
    rows = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', section[0])
    return {name: dict(zip(heads, re.findall(r"<td>(.*?)</td>", cells), strict=True)) for name, cells in rows}


def cells_of(page: str, agent: str) -> list[str]:
    return re.findall(r'<td class="number">(.*?)</td>', row_of(page, agent))


def test_feature_worlds_side_by_side(tmp_path: Path):
    runs = [feature(tmp_path / name, name) for name in ("optimal", "random", "curious")]
    again = feature(tmp_path / "elsewhere", "random", seed=1)
    page = report_explorers([*runs, again], tmp_path / "page").read_text()
    assert "<img" in page
    heads = re.findall(r'<th scope="col"[^>]*>(.*?)</th>', page)
    assert heads[:3] == ["Agent", "episodes", "steps to identify"]
    assert "less optimal" in heads
    assert page.count("1 of 1 feature of colour, shape, texture; 3 values; identify; budget 12") == 1
    assert cells_of(page, "optimal")[0] == "8"
    assert cells_of(page, "optimal")[-2:] == ["–", "–"]
    assert cells_of(page, "random (random)")[-1] != "–"
    assert differing(page)["random (elsewhere)"] == {"--seed": "1"}
    # Other seeds are other worlds, which are not compared in pairs.
    assert cells_of(page, "random (elsewhere)")[-2:] == ["–", "–"]
    assert 'href="../optimal/transcripts.html"' in page
    assert (tmp_path / "optimal" / "transcripts.html").is_file()
    assert not (tmp_path / "curious" / "transcripts.html").exists()


def test_other_worlds_are_named_and_not_paired(tmp_path: Path):
    runs = [feature(tmp_path / "one", "optimal"), feature(tmp_path / "other", "random", values=4)]
    page = report_explorers(runs, tmp_path / "page").read_text()
    assert "<small>1 of 1 feature of colour, shape, texture; 4 values;" in row_of(page, "random")
    assert differing(page) == {"optimal": {"--values": "3"}, "random": {"--values": "4"}}
    assert cells_of(page, "random")[-2:] == ["–", "–"]
    assert "are not paired" in page


def test_text_alchemy_with_and_without_a_switch(tmp_path: Path):
    plain = alchemy(tmp_path / "plain", "sampling")
    page = report_explorers([plain]).read_text()
    assert (plain / "report.html").is_file()
    assert "dotted line" not in page
    assert '<section id="differences"' not in page
    assert "recovery" not in re.findall(r'<th scope="col"[^>]*>(.*?)</th>', page)
    assert 'href="transcripts.html"' in page
    runs = [alchemy(tmp_path / name, name, 2) for name in ("sampling", "cash-only")]
    page = report_explorers([*runs, plain], tmp_path / "page").read_text()
    assert "recovery" in page
    assert "dotted line" in page
    assert len(cells_of(page, "cash-only")) == 8 + 3 + 2
    assert "random-bottleneck; 4 trials of 20 steps, new rules after 2" in row_of(page, "cash-only")
    assert differing(page)["sampling (plain)"] == {"--switch": "none"}
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


def test_conditions_of_a_model_are_told_in_the_words_of_the_command_line(capsys: pytest.CaptureFixture[str]):
    models = [OpenAIServer.Config(model=name, base_url="http://localhost/v1") for name in ("small", "large")]
    watched = Demonstrations(trials=2)
    plain, other = LanguagePlayer.Config(), LanguagePlayer.Config(
        memory=ContextMemory(summary="replace", style="free"), demonstrations=watched, self_correction=True
    )  # fmt: skip
    told = TextAlchemy.Config(table=text_table(4, None), told=("rewards", "pairs"))
    runs = {
        "a": AlchemyRun(agent="model", model=models[0], player=plain),
        "b": AlchemyRun(agent="model", model=models[1], player=other, game=told, at_once=2),
        "c": AlchemyRun(agent="sampling", memory="carry"),
        "d": AlchemyRun(agent="qmdp", memory="forget"),
    }
    section = differences(runs)
    assert section is not None
    rows = {
        row["title"]: dict(zip(section.content["heads"], row["cells"], strict=True)) for row in section.content["rows"]
    }
    assert rows["a"] == {
        "--model": "small", "--trials": "10", "--told": "none", "--summary": "none", "--style": "structured",
        "--self-correction": "no", "--demonstrations": "0", "--recall": "–",
    }  # fmt: skip
    assert rows["b"]["--demonstrations"] == "2"
    assert rows["b"]["--told"] == "rewards, pairs"
    # How models are asked means nothing to a program.
    assert {name for name, cell in rows["c"].items() if cell != "–"} == {"--trials", "--recall"}
    assert (rows["c"]["--recall"], rows["d"]["--recall"]) == ("carry", "forget")
    assert differences({"a": runs["a"]}) is None
    same = differences({"a": AlchemyRun(agent="cash-only"), "b": AlchemyRun(agent="sampling")})
    assert same is not None
    assert same.content["heads"] == []
    for command in ("feature-world", "text-alchemy"):
        with pytest.raises(SystemExit):
            main(["explore", command, "--help"])
    known = capsys.readouterr().out
    assert all(f"{word} " in known for word in WORDS.values())


def test_the_page_says_how_it_was_made(tmp_path: Path):
    runs = [feature(tmp_path / name, name) for name in ("optimal", "random")]
    page = report_explorers(runs, tmp_path / "page").read_text()
    assert "Nothing but who plays" in page
    for name in ("configuration", "reproduction"):
        assert f'<section id="{name}"' in page
    made = re.search(r'<code id="command">(.*?)</code>', page, re.DOTALL)
    assert made is not None
    assert made[1].splitlines()[-1] == f"percepts explore report {runs[0]} {runs[1]} --out {tmp_path / 'page'}"
    assert len(made[1].splitlines()) == 3


def test_runs_in_folders_of_one_name_are_told_apart(tmp_path: Path):
    runs = [feature(tmp_path / name / "run", "random", seed) for seed, name in enumerate(("a", "b"))]
    page = report_explorers(runs, tmp_path / "page").read_text()
    assert list(differing(page)) == [f"random ({run})" for run in runs]


def test_small_numbers_and_single_things():
    assert [_p(value) for value in (None, 0.0, 0.00099, 0.001, 0.25)] == ["–", "< 0.001", "< 0.001", "0.001", "0.250"]
    assert [_count(number, "trial") for number in (1, 4)] == ["1 trial", "4 trials"]


def test_transcripts_of_programs_say_nothing_of_tokens(tmp_path: Path):
    report_explorers([alchemy(tmp_path / "run", "cash-only")])
    page = (tmp_path / "run" / "transcripts.html").read_text()
    assert "<h1>cash-only: transcripts</h1>" in page
    assert "a program" in page
    assert not re.search(r"tokens read|Tokens read|models</dt>", page)


@pytest.mark.skipif(None in found(), reason="no browser on this machine")
def test_the_whole_table_is_in_sight(tmp_path: Path):
    runs = [alchemy(tmp_path / f"a-rather-long-name-{name}-{switch}", name, switch) for name in ("sampling", "qmdp")
            for switch in (2, None)]  # fmt: skip
    page = report_explorers(runs, tmp_path / "page")
    with browser() as one:
        for width in (1200, 1440, 1920):
            one.size(width, 900)
            one.open(page)
            assert one.hidden(".roomy") == [0, 0], width
            assert one.run("return document.documentElement.scrollWidth") <= width
