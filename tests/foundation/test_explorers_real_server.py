"""Feature World and text Alchemy played to their ends by a real model behind a real server; see
`test_foundation_real_server.py`, whose server it uses, for what it needs. The model is tiny: that it plays at all is
tested, not how well."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_foundation_real_server import MISSING, folder, gguf, server  # noqa: F401  # Fixtures.

from percepts.agents.explorers.alchemy_runs import AlchemyRun
from percepts.agents.explorers.contexts import ContextMemory
from percepts.agents.explorers.feature_runs import FeatureRun
from percepts.agents.explorers.language import Asking, LanguagePlayer
from percepts.agents.explorers.runs import ExplorerConfig, ExplorerRun
from percepts.envs.alchemy.text import TextAlchemy, text_table
from percepts.envs.feature_world.text import FeaturePrompt
from percepts.envs.feature_world.worlds import single
from percepts.foundation.openai_server import OpenAIServer
from percepts.foundation.transcripts import read_transcript
from percepts.report.explorers import report_explorers

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"{', '.join(MISSING)} not installed (extras llm, hf and llm-test)"),
]
ASKING = Asking(temperature=0.0, max_tokens=16, workers=1)


def played(config: ExplorerConfig, out: Path) -> int:
    """Play, report, and play the same again from the recording; how many turns it took."""
    results = ExplorerRun.start(config, out).play()
    assert len(results["rows"]) == 1
    page = report_explorers([out]).read_text()
    assert 'href="transcripts.html"' in page
    transcript = read_transcript(out / "episodes" / "0000.jsonl")
    assert transcript.complete
    answers = [turn.completion for turn in transcript.turns]
    assert all(one is not None and one.usage.counted for one in answers)
    (out / "episodes" / "0000.jsonl").rename(out / "first.jsonl")
    again = ExplorerRun.open(out).play()
    assert again == results
    assert (out / "episodes" / "0000.jsonl").read_bytes() == (out / "first.jsonl").read_bytes()
    return len(answers)


def test_a_real_model_plays_feature_world(server: OpenAIServer.Config, tmp_path: Path):  # noqa: F811
    config = FeatureRun(
        agent="model", model=server, asking=ASKING, episodes=1, world=single(values=3, budget=2),
        prompt=FeaturePrompt(retries=0),
    )  # fmt: skip
    assert played(config, tmp_path / "run") == 2


def test_a_real_model_plays_text_alchemy(server: OpenAIServer.Config, tmp_path: Path):  # noqa: F811
    memory = ContextMemory(history="trial", summary="replace", style="free")
    game = TextAlchemy.Config(table=text_table(2, steps=2), reasoning="plain")
    config = AlchemyRun(
        agent="model", model=server, asking=ASKING, episodes=1, game=game,
        player=LanguagePlayer.Config(memory=memory, asking=ASKING, retries=0),
    )  # fmt: skip
    # Up to two turns a trial, and a summary between the trials.
    assert 3 <= played(config, tmp_path / "run") <= 5
