"""`percepts explore`: what it plays, what it shows, and what it refuses; a server that fails in mid-episode."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from foundation.failing_server import FailingServer, answers, closes, failing_server, free_port, says

from percepts.agents.explorers.feature_runs import FeatureRun
from percepts.agents.explorers.runs import ExplorerRun, Progress
from percepts.cli import main
from percepts.cli.live import LiveTable, progress_table
from percepts.core import optional
from percepts.core.errors import MissingPackageError
from percepts.envs.feature_world.worlds import single
from percepts.foundation.ledger import Spent
from percepts.foundation.openai_server import OpenAIServer
from percepts.foundation.transcripts import read_transcript

KEY = "sk-quite-secret"
RESUME = "percepts explore text-alchemy --resume"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FailingServer]:
    pytest.importorskip("openai")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for name in ("OPENAI_MODEL", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    with failing_server() as one:
        yield one


def test_help_says_what_there_is(capsys: pytest.CaptureFixture[str]):
    for words, said in (
        (["--help"], "percepts explore report runs/optimal runs/guided"),
        (["--help"], "optimal and sampling by default"),
        (["feature-world", "--help"], "learner (has"),
        (["feature-world", "--help"], "optimal by default"),
        (["text-alchemy", "--help"], "--summary {none,replace,augment}"),
        (["text-alchemy", "--help"], "of earlier trials; none by default"),
        (["feature-world", "--help"], "how many; 20 by default"),
        (["feature-world", "--help"], "; 120.0 by default"),
        (["report", "--help"], "compared with the first in"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(["explore", *words])
        assert stopped.value.code == 0
        assert said in capsys.readouterr().out


def test_programs_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for agent in ("optimal", "random"):
        words = ["explore", "feature-world", "--agent", agent, "--values", "3", "--episodes", "4"]
        assert main([*words, "--out", str(tmp_path / agent)]) == 0
        out = capsys.readouterr().out
        assert "tests" in out
        assert f"report: {tmp_path / agent / 'report.html'}" in out
        assert (tmp_path / agent / "transcripts.html").is_file()
    assert main(["explore", "report", str(tmp_path / "optimal"), str(tmp_path / "random"), "--out", str(tmp_path)]) == 0
    assert "less optimal" in (tmp_path / "report.html").read_text()
    assert main(["explore", "feature-world", "--resume", str(tmp_path / "optimal")]) == 0
    (tmp_path / "optimal" / "report.html").unlink()
    assert main(["report", str(tmp_path / "optimal")]) == 0
    assert (tmp_path / "optimal" / "report.html").is_file()
    assert main(["evaluate", str(tmp_path / "optimal")]) == 1
    said = capsys.readouterr().err
    assert "holds a run of an explorer" in said
    assert f"Try: percepts explore feature-world --resume {tmp_path / 'optimal'}" in said


def test_text_alchemy_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = ["--recall", "carry", "--trials", "4", "--switch", "2", "--told", "pairs,rewards", "--announced"]
    assert main(["explore", "text-alchemy", *words, "--episodes", "2", "--out", str(tmp_path / "run")]) == 0
    out = capsys.readouterr().out
    assert "recovery" in out
    assert "p(improvement > 0)" in out
    config = ExplorerRun.open(tmp_path / "run").config
    assert config.agent == "sampling"
    assert (config.memory, config.switch, config.game.announced) == ("carry", 2, True)
    system = read_transcript(tmp_path / "run" / "episodes" / "0000.jsonl").system
    assert "red and green" in system
    assert "+15" in system


def test_a_server_that_fails_now_and_then_is_asked_again(server: FailingServer, tmp_path: Path):
    nonsense = says('{"tool": ')
    # Between two failures there is an answer, so that no wait is longer than a second.
    server.will(
        answers({"error": {"message": "slow down"}}, 429), nonsense, answers(b"oops", 500), says(None),
        closes, says("TEST: red cube smooth"), answers(b"{no json", 200), says("TEST: the red one"),
    )  # fmt: skip
    out = tmp_path / "run"
    words = ["--values", "3", "--episodes", "2", "--budget", "3", "--at-once", "1", "--price", "1,2"]
    assert main(["explore", "feature-world", "--model", "m", "--base-url", server.url, *words, "--out", str(out)]) == 0
    rows = json.loads((out / "results.json").read_text())["rows"]
    assert len(rows) == 2
    assert all(row["failures"] > 0 for row in rows)
    assert {headers["authorization"] for headers in server.headers} == {f"Bearer {KEY}"}
    for file in out.rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes()


def test_a_server_that_dies_costs_nothing_that_was_paid(
    server: FailingServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    replies = [says(f"ACTION: stone 0 into potion {number}") for number in range(4)]
    server.will(*replies, answers({"error": {"message": "no such model"}}, 404))
    out = tmp_path / "run"
    words = ["--trials", "2", "--steps", "4", "--episodes", "1", "--out", str(out)]
    assert main(["explore", "text-alchemy", "--model", "m", "--base-url", server.url, *words]) == 1
    said = capsys.readouterr()
    assert f"Continue: percepts explore text-alchemy --resume {out}" in said.out
    assert said.err.startswith("error: ")
    assert said.err.endswith(f": percepts explore text-alchemy --resume {out}\n")
    assert main(["explore", "report", str(out)]) == 1
    assert f"no results yet; expected a finished run of explorers. Try: {RESUME} {out}" in capsys.readouterr().err
    assert main(["explore", "text-alchemy", "--agent", "random", "--out", str(out)]) == 1
    assert f"Try: {RESUME} {out}, or another --out" in capsys.readouterr().err
    assert main(["train", "--resume", str(out)]) == 1
    assert f"Try: {RESUME} {out}" in capsys.readouterr().err
    paid = len(server.requests) - 1
    assert len(read_transcript(out / "episodes" / "0000.jsonl").turns) == paid == 4
    server.will(*[says("?")] * 5, *replies, says("ACTION: end the trial"))
    assert main(["explore", "text-alchemy", "--resume", str(out)]) == 0
    turns = read_transcript(out / "episodes" / "0000.jsonl").turns
    assert len(server.requests) - 1 == len(turns)
    assert KEY not in said.out + said.err


def test_nobody_listens(server: FailingServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = ["--model", "m", "--base-url", f"http://127.0.0.1:{free_port()}/v1", "--episodes", "1", "--tries", "1"]
    assert main(["explore", "feature-world", *words, "--out", str(tmp_path / "run")]) == 1
    assert "error: " in capsys.readouterr().err


def test_a_budget_is_kept(server: FailingServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    server.will(says("TEST: red cube"))
    words = ["--episodes", "3", "--price", "1000,1000", "--spend", "0.9", "--max-tokens", "10"]
    out = str(tmp_path / "run")
    assert main(["explore", "feature-world", "--model", "m", "--base-url", server.url, *words, "--out", out]) == 1
    assert "budget" in capsys.readouterr().err


def test_a_run_goes_on_with_a_larger_budget(server: FailingServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    server.will(says("TEST: red cube"))
    run = str(tmp_path / "run")
    words = ["explore", "feature-world", "--values", "3", "--episodes", "1", "--budget", "2", "--retries", "0"]
    words += ["--model", "m", "--base-url", server.url, "--max-tokens", "10", "--price", "1000,1000", "--spend", "0.3"]
    assert main([*words, "--out", run]) == 1
    assert "--resume RUN --spend COST" in capsys.readouterr().err
    asked = len(server.requests)
    go_on = ["explore", "feature-world", "--resume", run]
    assert main([*go_on, "--price", "0.01,0.01", "--spend", "5", "--tries", "2", "--timeout", "9"]) == 0
    config = ExplorerRun.open(run).config
    assert (config.service.ledger.budget, config.service.retries.tries, config.model.timeout) == (5, 2, 9)
    assert config.model.base_url == server.url
    assert len(server.requests) > asked
    for refused in (["--seed", "1"], ["--model", "n"], ["--extra", "a=1"]):
        assert main([*go_on, *refused]) == 1
        assert f"without {refused[0]}" in capsys.readouterr().err


def test_a_run_goes_on_with_what_the_server_asks_for(
    server: FailingServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    server.will(answers({"error": {"message": "Unsupported parameter: 'max_tokens'"}}, 400), says("TEST: red cube"))
    run = str(tmp_path / "run")
    words = ["--values", "3", "--episodes", "1", "--budget", "1", "--model", "m", "--max-tokens", "10", "--out", run]
    assert main(["explore", "feature-world", "--base-url", server.url, *words]) == 1
    assert "--limit-field max_completion_tokens" in capsys.readouterr().err
    go_on = ["--resume", run, "--limit-field", "max_completion_tokens", "--no-seed", "--requests-per-minute", "9000"]
    assert main(["explore", "feature-world", *go_on]) == 0
    assert server.requests[-1]["max_completion_tokens"] == 10
    assert not {"seed", "max_tokens"} & set(server.requests[-1])


def test_programs_and_other_worlds_go_on_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = str(tmp_path / "run")
    assert main(["explore", "feature-world", "--values", "3", "--episodes", "1", "--out", run]) == 0
    assert main(["explore", "feature-world", "--resume", run, "--spend", "3"]) == 1
    assert "--spend for a run without an HTTP endpoint" in capsys.readouterr().err
    assert main(["explore", "text-alchemy", "--resume", run]) == 1
    assert f"is a run of feature-world. Try: percepts explore feature-world --resume {run}" in capsys.readouterr().err


def test_trainings_have_no_page_beside_explorers(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = str(tmp_path / "run")
    assert main(["train", "alchemy", "--preset", "tiny", "--out", run]) == 0
    assert main(["explore", "report", run]) == 1
    said = capsys.readouterr().err
    assert "unknown type" not in said
    assert run in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["feature-world", "--agent", "optimum"], "did you mean 'optimal'"),
        (["feature-world", "--world", "singel"], "did you mean 'single'"),
        (["feature-world", "--agent", "model"], "no model is named"),
        (["feature-world", "--agent", "random", "--model", "m"], "beside a model"),
        (["feature-world", "--model", "m", "--local", "here"], "--local beside"),
        (["feature-world", "--model", "m", "--spend", "1"], "--price READ,WRITTEN"),
        (["feature-world", "--model", "m", "--base-url", "nowhere"], "http://localhost"),
        (["feature-world", "--resume", "somewhere", "--seed", "3"], "without --seed"),
        (
            ["feature-world", "--resume", "somewhere", "--seed", "3"],
            "Try: percepts explore feature-world --resume some",
        ),
        (["text-alchemy", "--resume", "no-such-run"], "not a run folder (it does not exist)"),
        (["text-alchemy", "--told", "everything"], "everything"),
        (["text-alchemy", "--agent", "random", "--recall", "carry"], "--recall for the agent 'random'"),
        (["text-alchemy", "--agent", "notebook", "--summary=replace"], "--summary is for language models"),
        (["text-alchemy", "--condition", "plain"], "the agent 'sampling' is a program"),
        (["feature-world", "--condition", "guided"], "Try: --model NAME or --local MODEL, or no --condition"),
        (["feature-world", "--price", "1,2"], "--price is for language models"),
        (["feature-world", "--model", "m", "--price", "1"], "Try: --price READ,WRITTEN"),
        (["feature-world", "--model", "m", "--price", "dear,1"], "--price dear,1"),
        (["feature-world", "--model", "m", "--price=-1,1"], "--price -1,1"),
        (["feature-world", "--model", "m"], "OPENAI_API_KEY is not set"),
        (["feature-world", "--model", "m"], "--base-url URL"),
        (["text-alchemy", "--model", "m", "--summary", "replace", "--summaries", "nowhere"], "no folder 'nowhere'"),
        (
            ["text-alchemy", "--model", "m", "--summaries", "nowhere"],
            "--summaries without --summary. Try: --summary rep",
        ),
        (["text-alchemy", "--model", "m", "--every=2"], "--every without --summary"),
        (["text-alchemy", "--announced"], "--announced without --switch. Try: --switch N, or no --announced"),
        (["feature-world", "--agent", "learner", "--mode", "answer"], "which only tests"),
        (["feature-world", "--at-once", "0"], "--at-once 0"),
        (
            ["feature-world", "--object", "5"],
            "'--object' is nothing that percepts explore feature-world knows. Try: --obj",
        ),
        (["feature-world", "stray"], "Try: percepts explore feature-world --help"),
        (["feature-world", "--values", "1"], "values = (1, 1, 1)"),
        (["feature-world", "--values", "3", "--objects", "2"], "more objects"),
        (["feature-world", "--values", "3", "--objects", "2"], "--any-objects"),
        (["feature-world", "--objects", "9", "--object-sets", "0"], "0 sets"),
        (["feature-world", "--objects", "20", "--object-sets", "50000000"], "1 to 10000 sets of 1 to 125 objects"),
        (["feature-world", "--model", "m", "--extra", "a=1", "--extra", "a=2"], "--extra a=… twice"),
        (["feature-world", "--model", "m", "--extra", "stream=true"], "read one at a time, and whole"),
        (
            ["text-alchemy", "--model", "m", "--level", "fixed", "--demonstrations", "1"],
            "--demonstrated-rules same",
        ),
        (["feature-world", "--noise", "1.5"], "noise = 1.5"),
        (["feature-world", "--object-sets", "4"], "object_sets = 4 of all objects"),
        (["feature-world", "--model", "m", "--extra", "low"], "--extra NAME=VALUE"),
        (["feature-world", "--local", "here", "--extra", "a=1"], "--extra for a model in this process"),
        (["feature-world", "--extra", "a=1"], "--extra is for language models"),
        (["text-alchemy", "--demonstrations", "2"], "--demonstrations is for language models"),
        (["text-alchemy", "--model", "m", "--demonstrated-as", "log"], "Try: --demonstrations N"),
        (["text-alchemy", "--model", "m", "--demonstrations", "0"], "trials = 0"),
        (["text-alchemy", "--model", "m", "--demonstrations", "1", "--demonstrator", "orcle"], "did you mean 'oracle'"),
        (["text-alchemy", "--level", "no-botleneck"], "did you mean 'no-bottleneck'"),
        (["text-alchemy", "--switch", "10"], "a switch after 10"),
        (["text-alchemy", "--agent", "notebook", "--level", "rotation-no-bottleneck"], "rotates"),
        (["report", "no-such-run"], "not a run folder"),
    ],
)
def test_what_cannot_be_meant_so_is_refused(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_MODEL", "OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert main(["explore", *words]) == 1
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_servers_that_differ_can_be_asked(server: FailingServer, tmp_path: Path):
    server.will(says("TEST: red cube smooth"))
    words = ["feature-world", "--values", "3", "--episodes", "1", "--budget", "1", "--model", "m", "--max-tokens", "9"]
    plain = ["explore", *words, "--base-url", server.url]
    assert main([*plain, "--out", str(tmp_path / "plain")]) == 0
    assert server.requests[-1]["max_tokens"] == 9
    assert "seed" in server.requests[-1]
    differs = ["--no-seed", "--limit-field", "max_completion_tokens", "--tokens-per-minute", "90000"]
    assert main([*plain, *differs, "--out", str(tmp_path / "other")]) == 0
    assert server.requests[-1]["max_completion_tokens"] == 9
    assert not {"seed", "max_tokens"} & set(server.requests[-1])
    assert ExplorerRun.open(tmp_path / "other").config.service.limits.tokens_per_minute == 90000


def test_further_fields_of_requests_are_json_or_texts(server: FailingServer, tmp_path: Path):
    server.will(says("TEST: red cube smooth"))
    words = ["--values", "3", "--episodes", "1", "--budget", "1", "--out", str(tmp_path / "run")]
    extra = ["reasoning_effort=low", 'chat_template_kwargs={"enable_thinking": false}', "top_k=20", "note=a=b"]
    given = [word for one in extra for word in ("--extra", one)]
    assert main(["explore", "feature-world", "--model", "m", "--base-url", server.url, *words, *given]) == 0
    sent = server.requests[-1]
    assert (sent["reasoning_effort"], sent["top_k"], sent["note"]) == ("low", 20, "a=b")
    assert sent["chat_template_kwargs"] == {"enable_thinking": False}


def test_feature_worlds_with_few_objects_and_errors(tmp_path: Path):
    words = ["--objects", "20", "--object-sets", "7", "--noise", "0.25", "--mode", "answer", "--any-objects"]
    words += ["--episodes", "6"]
    assert main(["explore", "feature-world", *words, "--out", str(tmp_path / "run")]) == 0
    world = ExplorerRun.open(tmp_path / "run").config.world
    assert (world.objects, world.object_sets, world.noise, world.distinguishing) == (20, 7, 0.25, False)
    system = read_transcript(tmp_path / "run" / "episodes" / "0000.jsonl").turns[0].messages[0].text
    assert system.count("\n") >= 20
    page = (tmp_path / "run" / "report.html").read_text()
    assert "20 objects; 0.25 of tests err; answer" in page


def test_demonstrations_from_the_command_line(server: FailingServer, tmp_path: Path):
    server.will(says("ACTION: end the trial"))
    words = ["--trials", "1", "--episodes", "1", "--demonstrations", "2", "--demonstrator", "sampling"]
    words += ["--demonstrated-rules", "same", "--demonstrated-as", "log", "--out", str(tmp_path / "run")]
    assert main(["explore", "text-alchemy", "--model", "m", "--base-url", server.url, *words]) == 0
    told = server.requests[-1]["messages"][0]
    assert told["role"] == "system"
    assert "how another player played 2 trials under the rules of your game" in told["content"]
    assert "Trial 2 is over." in told["content"]


@pytest.mark.parametrize(
    ("words", "package", "extra"),
    [
        (["--local", "some.gguf"], "gguf", "hf"),
        (["--local", "some"], "transformers", "hf"),
        (["--model", "m", "--base-url", "http://localhost:1/v1"], "openai", "llm"),
    ],
)
def test_a_missing_package_is_noticed_before_there_is_a_folder(
    words: list[str],
    package: str,
    extra: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    def require(name: str, extra: str) -> None:
        if name == package:
            raise MissingPackageError(f"the package '{name}' is not installed", fix=f"pip install 'percepts[{extra}]'")

    monkeypatch.setattr(optional, "require_package", require)
    assert main(["explore", "feature-world", *words, "--out", str(tmp_path / "run")]) == 1
    assert f"percepts[{extra}]" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_live_table_says_how_far_it_is():
    progress = Progress(
        done=5, episodes=20, turns=1234, score=4.5, spent=Spent(9, 1000, 234, 0.25), seconds=60.0, fresh=3
    )
    text = progress_table("a-model", progress)
    for part in ("a-model", "5/20", "4.500", "1,234", "0.25", "3.0 a minute", "5:00"):
        assert part in text
    assert "?" in progress_table("m", Progress(0, 20, 0, None, Spent(unpriced=1), 0.0, 0))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_question_that_waits_is_shown_until_it_is_answered():
    terminal = Terminal()
    table = LiveTable("m", terminal)
    table.show(Progress(1, 20, 1, 1.0, None, 1.0, 1))
    table.show(Progress(1, 20, 1, 1.0, None, 1.0, 1, waiting="asking again in 3 s: " + "HTTP 503 " * 50))
    *_, last = terminal.getvalue().splitlines()
    assert last.startswith("asking again in 3 s: HTTP 503")
    assert len(last) < 450


def test_waits_are_told(server: FailingServer, tmp_path: Path):
    server.will(answers(b"oops", 500), says("TEST: red cube smooth"))
    told: list[Progress] = []
    model = OpenAIServer.Config(model="m", base_url=server.url)
    config = FeatureRun(agent="model", model=model, world=single(values=3, budget=1), episodes=1)
    run = ExplorerRun.start(config, tmp_path / "run")
    run.play(told.append)
    waits = [one.waiting for one in told if one.waiting is not None]
    assert any(wait.startswith("asking again in 1 s: HTTP 500") for wait in waits)
    assert told[-1].waiting is None


def test_the_table_is_drawn_over_itself_on_terminals_only():
    progress = Progress(20, 20, 1, 1.0, None, 1.0, 20)
    terminal, plain = Terminal(), io.StringIO()
    for stream in (terminal, plain):
        table = LiveTable("m", stream)
        table.show(progress)
        table.show(progress)
        table.close()
    assert plain.getvalue() == ""
    assert terminal.getvalue().count("\x1b[3F\x1b[J") == 1
