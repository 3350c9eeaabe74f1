"""Runs in folders: nothing that was said is lost, or asked twice, however a run ends."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

import pytest

from percepts.agents.explorers.alchemy_runs import AlchemyRun
from percepts.agents.explorers.contexts import ContextMemory
from percepts.agents.explorers.feature_runs import FeatureRun
from percepts.agents.explorers.language import Asking, LanguagePlayer
from percepts.agents.explorers.runs import ExplorerConfig, ExplorerRun, Progress, read_results
from percepts.core.errors import ConfigError, PerceptsError, RunError
from percepts.core.runs import Run
from percepts.envs.alchemy.text import TextAlchemy, text_table
from percepts.envs.feature_world.text import FeaturePrompt
from percepts.envs.feature_world.worlds import single
from percepts.foundation.model import Completion, Message, Settings, Usage
from percepts.foundation.openai_server import OpenAIServer
from percepts.foundation.transcripts import read_transcript
from percepts.report.explorers import report_explorers

SERVER = OpenAIServer.Config(model="a-model")
ASKING = Asking(workers=1, seed=4)


class Crash(Exception):
    pass


class Speaker:
    """A model whose replies are a function of the question; it crashes at a given one, and counts what it is asked."""

    def __init__(self, reply: str = "", crash_at: int | None = None) -> None:
        self.reply, self.crash_at = reply, crash_at
        self.asked: list[str] = []
        self.name = "a-model"

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"model": self.name}

    def complete(self, messages: Sequence[Message], **settings: Unpack[Settings]) -> Completion:
        if self.crash_at is not None and len(self.asked) >= self.crash_at:
            raise Crash
        self.asked.append(repr((settings.get("seed"), [message.text for message in messages])))
        if "keep notes" in messages[0].text:
            return Completion(f"POTIONS: {len(messages[-1].text)}\nBEST STONE: ?", self.name, Usage(5, 5))
        number = sum(map(len, self.asked[-1])) + len(self.asked[-1])
        shown = messages[-1].text
        if "Objects:\n" in shown:
            objects = shown.partition("Objects:\n")[2].splitlines()
            return Completion("TEST: " + objects[number % 20], self.name, Usage(10, 2))
        return Completion(f"I think.\nACTION: stone {number % 3} into potion {number % 12}", self.name, Usage(10, 2))


def alchemy(**settings: Any) -> AlchemyRun:
    player = LanguagePlayer.Config(memory=ContextMemory(summary="augment"), asking=ASKING, self_correction=True)
    game = TextAlchemy.Config(table=text_table(3, steps=3))
    return AlchemyRun(
        agent="model", model=SERVER, game=game, player=player, asking=ASKING, episodes=3, at_once=2, **settings
    )


def feature(**settings: Any) -> FeatureRun:
    given: dict[str, Any] = {
        "agent": "model",
        "model": SERVER,
        "asking": ASKING,
        "episodes": 3,
        "at_once": 2,
        "world": single(values=3, budget=4),
        "prompt": FeaturePrompt(memory="transcript", self_correction=True),
    }
    return FeatureRun(**given | settings)


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "episodes").glob("*.jsonl"))}


@pytest.mark.parametrize("make", [alchemy, feature])
def test_a_crash_at_any_turn_costs_nothing(make: Any, tmp_path: Path):
    whole = Speaker()
    reference = ExplorerRun.start(make(), tmp_path / "whole", whole).play()
    total = len(whole.asked)
    assert len(set(whole.asked)) == total
    for number, crash_at in enumerate((1, total // 2, total - 1)):
        folder = tmp_path / f"broken-{number}"
        first = Speaker(crash_at=crash_at)
        with pytest.raises(Crash):
            ExplorerRun.start(make(), folder, first).play()
        assert Run.open(folder).info()["status"] == "interrupted"
        second = Speaker()
        results = ExplorerRun.open(folder, second).play()
        assert len(first.asked) + len(second.asked) == total
        assert not set(first.asked) & set(second.asked)
        assert results == reference
        assert files_of(folder) == files_of(tmp_path / "whole")
        assert Run.open(folder).info()["status"] == "finished"


@pytest.mark.parametrize("make", [alchemy, feature])
def test_transcripts_alone_are_enough_to_go_on(make: Any, tmp_path: Path):
    whole = Speaker()
    ExplorerRun.start(make(), tmp_path / "whole", whole).play()
    first = Speaker(crash_at=len(whole.asked) // 2)
    with pytest.raises(Crash):
        ExplorerRun.start(make(), tmp_path / "broken", first).play()
    (tmp_path / "broken" / "replies.jsonl").unlink()
    second = Speaker()
    ExplorerRun.open(tmp_path / "broken", second).play()
    # At most the answers of one round were not in a transcript yet.
    assert len(first.asked) + len(second.asked) <= len(whole.asked) + 2 * 3
    assert files_of(tmp_path / "broken") == files_of(tmp_path / "whole")


def test_a_recording_alone_is_enough_to_play_again(tmp_path: Path):
    ExplorerRun.start(alchemy(), tmp_path / "whole", Speaker()).play()
    (tmp_path / "again").mkdir()
    again = ExplorerRun.start(alchemy(), tmp_path / "again", Speaker(crash_at=0))
    (tmp_path / "again" / "replies.jsonl").write_bytes((tmp_path / "whole" / "replies.jsonl").read_bytes())
    again.play()
    assert files_of(tmp_path / "again") == files_of(tmp_path / "whole")


def test_a_finished_run_asks_nothing(tmp_path: Path):
    run = ExplorerRun.start(feature(), tmp_path / "run", Speaker())
    assert (
        run.play() == ExplorerRun.open(tmp_path / "run", Speaker(crash_at=0)).play() == read_results(tmp_path / "run")
    )


def test_a_torn_transcript_and_a_spoiled_recording_are_survived(tmp_path: Path):
    whole = Speaker()
    ExplorerRun.start(alchemy(), tmp_path / "run", whole).play()
    before = files_of(tmp_path / "run")
    file = tmp_path / "run" / "episodes" / "0001.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[: len(lines) // 2]) + lines[len(lines) // 2][:20])
    replies = tmp_path / "run" / "replies.jsonl"
    recorded = replies.read_bytes().splitlines(keepends=True)
    recorded[3] = recorded[3][:-30] + b"x" * 29 + b"\n"
    replies.write_bytes(b"".join(recorded))
    second = Speaker()
    ExplorerRun.open(tmp_path / "run", second).play()
    # What is spoiled in the recording may have been in the lost half of the transcript.
    assert len(second.asked) <= 1
    after = read_transcript(file)
    assert after.complete
    assert len(after.turns) == len(lines) - 2
    assert {name for name, data in files_of(tmp_path / "run").items() if data != before[name]} == {"0001.jsonl"}


@pytest.mark.parametrize("spoil", [lambda data: b"", lambda data: data[:20], lambda data: data[:30] + b"X" + data[31:]])
def test_an_episode_whose_first_line_is_lost_is_begun_again(spoil: Any, tmp_path: Path):
    results = ExplorerRun.start(feature(), tmp_path / "run", Speaker()).play()
    file = tmp_path / "run" / "episodes" / "0001.jsonl"
    before = read_transcript(file)
    file.write_bytes(spoil(file.read_bytes()))
    # All answers are in the recording: nothing is asked.
    assert ExplorerRun.open(tmp_path / "run", Speaker(crash_at=0)).play() == results
    after = read_transcript(file)
    assert (after.system, after.turns, after.end) == (before.system, before.turns, before.end)


def test_a_transcript_of_other_words_is_not_gone_on_with(tmp_path: Path):
    with pytest.raises(Crash):
        ExplorerRun.start(feature(), tmp_path / "run", Speaker(crash_at=5)).play()
    file = tmp_path / "run" / "config.json"
    config = json.loads(file.read_text())
    config["world"]["values"] = 4
    file.write_text(json.dumps(config))
    with pytest.raises(PerceptsError, match="another"):
        ExplorerRun.open(tmp_path / "run", Speaker()).play()


def test_a_bug_in_the_player_says_so_and_keeps_the_folder(tmp_path: Path):
    class Broken(Speaker):
        def complete(self, messages: Sequence[Message], **settings: Unpack[Settings]) -> Completion:
            raise ZeroDivisionError("oh")

    with pytest.raises(ZeroDivisionError):
        ExplorerRun.start(feature(), tmp_path / "run", Broken()).play()
    assert Run.open(tmp_path / "run").info()["error"] == "oh"
    assert ExplorerRun.open(tmp_path / "run", Speaker()).play()["rows"]


@pytest.mark.parametrize(
    "config",
    [
        FeatureRun(agent="optimal", world=single(values=3), episodes=5, at_once=2),
        FeatureRun(agent="random", world=single(values=3, mode="answer"), episodes=3),
        FeatureRun(agent="curious", world=single(values=3), episodes=5, at_once=2),
        AlchemyRun(agent="sampling", game=TextAlchemy.Config(table=text_table(4, 2)), episodes=3, at_once=2),
        AlchemyRun(agent="notebook", game=TextAlchemy.Config(table=text_table(2)), episodes=2),
        AlchemyRun(agent="random", game=TextAlchemy.Config(table=text_table(1)), episodes=2),
    ],
    ids=lambda config: f"{type(config).__name__} {config.agent}",
)
def test_programs_play_whole_runs(config: ExplorerConfig, tmp_path: Path):
    seen: list[Progress] = []
    results = ExplorerRun.start(config, tmp_path / "run").play(seen.append)
    assert len(results["rows"]) == config.episodes
    assert (seen[0].done, seen[-1].done) == (0, config.episodes)
    assert all(one.spent is None for one in seen)
    assert seen[-1].score is not None
    assert ExplorerRun.open(tmp_path / "run").config == config
    # The same whatever is played side by side.
    apart = ExplorerRun.start(replace(config, at_once=1), tmp_path / "apart").play()
    assert apart["rows"] == results["rows"]
    if config.agent != "curious":
        assert files_of(tmp_path / "apart") == files_of(tmp_path / "run")
        transcript = read_transcript(tmp_path / "run" / "episodes" / "0000.jsonl")
        assert transcript.complete
        assert transcript.end == {"result": results["rows"][0]}


def test_progress_counts_tokens(tmp_path: Path):
    seen: list[Progress] = []
    ExplorerRun.start(feature(), tmp_path / "run", Speaker()).play(seen.append)
    spent = seen[-1].spent
    assert spent is not None
    assert spent.answers == seen[-1].turns
    assert spent.prompt_tokens == 10 * spent.answers


def test_summaries_of_another_run_are_shown(tmp_path: Path):
    ExplorerRun.start(alchemy(), tmp_path / "writer", Speaker()).play()
    reader = Speaker()
    ExplorerRun.start(alchemy(summaries=str(tmp_path / "writer")), tmp_path / "reader", reader).play()
    assert not any("keep notes" in asked for asked in reader.asked)
    assert any("Your summary of the trials before:\\nPOTIONS" in asked for asked in reader.asked)
    ExplorerRun.start(FeatureRun(agent="optimal", episodes=1), tmp_path / "silent").play()
    # Nor are games played without any, where the other run has none of them.
    for other in ({"seed": 9}, {"episodes": 4}):
        deaf = replace(alchemy(summaries=str(tmp_path / "writer")), **other)
        with pytest.raises(RunError, match=r"no summaries in .* games"):
            ExplorerRun.start(deaf, tmp_path / str(other), Speaker(crash_at=0)).play()
    with pytest.raises(ConfigError, match="who is shown none"):
        AlchemyRun(agent="random", summaries=str(tmp_path / "writer"))
    with pytest.raises(ConfigError, match="who is shown none"):
        AlchemyRun(agent="model", model=SERVER, summaries=str(tmp_path / "writer"))
    with pytest.raises(RunError, match="no summaries"):
        ExplorerRun.start(alchemy(summaries=str(tmp_path / "silent")), tmp_path / "deaf", Speaker()).play()


@pytest.mark.parametrize(
    ("trials", "switch", "unknown"),
    [
        (1, None, {"late", "improvement", "robust_improvement"}),
        (4, 1, {"late", "improvement", "robust_improvement", "drop"}),
        (4, 3, {"recovery", "late_after"}),
    ],
)
def test_single_trials_of_one_set_of_rules_leave_scores_open(
    trials: int, switch: int | None, unknown: set[str], tmp_path: Path
):
    game = TextAlchemy.Config(table=text_table(trials, switch))
    run = ExplorerRun.start(AlchemyRun(agent="cash-only", game=game, episodes=3), tmp_path / "run")
    summary = run.play()["summary"]
    assert {name for name, value in summary.items() if isinstance(value, list) and value[0] is None} == unknown
    assert summary["first"][2] == summary["performance"][2] == 3
    assert report_explorers([tmp_path / "run"]).is_file()


def test_what_makes_no_sense_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="did you mean 'optimal'"):
        FeatureRun(agent="optimum")
    with pytest.raises(ConfigError, match="did you mean 'sampling'"):
        AlchemyRun(agent="samplin")
    with pytest.raises(ConfigError, match="no model"):
        FeatureRun(agent="model")
    with pytest.raises(ConfigError, match="with a model"):
        FeatureRun(agent="optimal", model=SERVER)
    with pytest.raises(ConfigError, match="episodes"):
        FeatureRun(agent="optimal", episodes=0)
    for asking in ({"temperature": -1.0}, {"max_tokens": 0}, {"stop": ("",)}, {"workers": 0}):
        with pytest.raises(ConfigError, match=next(iter(asking))):
            Asking(**asking)
    with pytest.raises(ConfigError, match="retries"):
        FeaturePrompt(retries=-1)
    with pytest.raises(ConfigError, match="another way"):
        AlchemyRun(agent="model", model=SERVER, asking=ASKING)
    with pytest.raises(RunError, match="no results"):
        read_results(tmp_path)
    run = ExplorerRun.start(FeatureRun(agent="optimal", episodes=1), tmp_path / "run")
    with pytest.raises(RunError, match="already holds a run"):
        ExplorerRun.start(FeatureRun(agent="optimal"), tmp_path / "run")
    with run.run.lock(), pytest.raises(RunError, match="being written"):
        ExplorerRun.open(tmp_path / "run").play()
