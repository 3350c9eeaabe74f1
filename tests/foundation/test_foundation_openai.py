"""The client of OpenAI's protocol against servers that fail: every failure has its words, and no key is ever told."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import time
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from failing_server import FailingServer, answers, breaks_off, closes, failing_server, free_port, hangs, says

from percepts.core.config import from_json, to_json
from percepts.core.errors import ConfigError
from percepts.core.optional import available
from percepts.foundation.errors import ModelError, TransientError
from percepts.foundation.model import Message, Picture, Usage
from percepts.foundation.openai_answers import SHOWN
from percepts.foundation.openai_server import Key, OpenAIServer, server_settings

KEY = "sk-very-secret-0123456789"
HELLO = [Message("system", "Be brief."), Message("user", "Hello")]
needs_client = pytest.mark.skipif(not available("openai"), reason="the package openai is not installed (extra llm)")


@pytest.fixture
def server() -> Iterator[FailingServer]:
    with failing_server() as one:
        yield one


def client(server: FailingServer | str, key: str | None = KEY, **settings: Any) -> OpenAIServer:
    url = server if isinstance(server, str) else server.url
    return OpenAIServer(OpenAIServer.Config(model="small", base_url=url, **{"timeout": 10.0, **settings}), key)


@needs_client
def test_an_answer_is_read_with_everything_in_it(server: FailingServer) -> None:
    tokens = {"content": [{"token": "Hi", "logprob": -0.25, "bytes": None}, {"token": "!", "logprob": -1e400}]}
    choice = {
        "finish_reason": "length",
        "message": {"role": "assistant", "content": "Hi!", "reasoning_content": "They greet."},
        "logprobs": tokens,
    }
    server.will(says("", choices=[choice]))
    completion = client(server).complete(HELLO, temperature=0.5, max_tokens=9, seed=3, logprobs=True, stop=["\n"])
    assert (completion.text, completion.finish_reason, completion.reasoning) == ("Hi!", "length", "They greet.")
    assert completion.usage == Usage(7, 3)
    assert completion.tokens is not None
    assert [(one.text, one.log_probability) for one in completion.tokens] == [("Hi", -0.25), ("!", -9999.0)]
    assert server.requests == [
        {
            "model": "small",
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
            "temperature": 0.5,
            "max_tokens": 9,
            "seed": 3,
            "logprobs": True,
            "stop": ["\n"],
        }
    ]
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"


@needs_client
def test_what_is_not_set_is_not_sent_and_what_is_further_is(server: FailingServer) -> None:
    server.will(says("ok"))
    plain = client(server)
    plain.complete(HELLO)
    assert set(server.requests[0]) == {"model", "messages"}
    other = client(server, limit_field="max_completion_tokens", sends_seed=False, extra={"reasoning_effort": "low"})
    other.complete(HELLO, seed=1, max_tokens=5)
    assert set(server.requests[1]) == {"model", "messages", "max_completion_tokens", "reasoning_effort"}
    assert plain.identity != other.identity
    named = client(server, called="known as")
    assert named.complete(HELLO).model == named.name == named.identity["model"] == "known as"
    assert server.requests[2]["model"] == "small"


@needs_client
def test_a_stop_text_is_no_part_of_an_answer_whatever_the_server_does(server: FailingServer) -> None:
    server.will(says("ACTION red\nUser: and now?"))
    assert client(server).complete(HELLO, stop=["\nUser:"]).text == "ACTION red"


@needs_client
def test_pictures_are_sent_as_data(server: FailingServer) -> None:
    server.will(says("a dot"))
    client(server).complete([Message("user", ("What is this?", Picture(b"\x89PNG")))])
    assert server.requests[0]["messages"][0]["content"] == [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}},
    ]


@needs_client
@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, ""),
        ("", ""),
        ("  \n", "  \n"),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "ab"),
        ("lone \ud800 surrogate", "lone ? surrogate"),
        ("x" * 10_000_000, "x" * 10_000_000),
    ],
    ids=["none", "empty", "blank", "parts", "surrogate", "ten megabytes"],
)
def test_any_content_is_a_text(server: FailingServer, content: Any, text: str) -> None:
    server.will(says(content))
    assert client(server).complete(HELLO).text == text


@needs_client
def test_tokens_that_nobody_counted_are_estimated(server: FailingServer) -> None:
    server.will(says("x" * 40, usage=None))
    usage = client(server).complete(HELLO).usage
    assert usage == Usage(5, 10, counted=False)


@needs_client
@pytest.mark.parametrize("count", ["1e999", "-3", '"many"', "null"])
def test_senseless_counts_are_estimates(server: FailingServer, count: str) -> None:
    usage = f'{{"prompt_tokens": 7, "completion_tokens": {count}}}'
    server.will(answers(f'{{"choices": [{{"message": {{"content": "xxxx"}}}}], "usage": {usage}}}'.encode()))
    answer = client(server).complete(HELLO)
    assert (answer.text, answer.usage) == ("xxxx", Usage(5, 1, counted=False))


@needs_client
@pytest.mark.parametrize("value", ["1" + "0" * 400, "NaN", '"low"'])
def test_senseless_log_probabilities_are_none(server: FailingServer, value: str) -> None:
    logprobs = f'{{"content": [{{"token": "a", "logprob": {value}}}]}}'
    server.will(answers(f'{{"choices": [{{"message": {{"content": "a"}}, "logprobs": {logprobs}}}]}}'.encode()))
    answer = client(server).complete(HELLO, logprobs=True)
    assert (answer.text, answer.tokens) == ("a", None)


@needs_client
@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 529])
def test_a_busy_or_broken_server_is_a_transient_error(server: FailingServer, status: int) -> None:
    server.will(answers({"error": {"message": "come back later"}}, status, Retry_After="12.5"))
    with pytest.raises(TransientError, match=f"HTTP {status} .*'come back later'") as caught:
        client(server).complete(HELLO)
    assert caught.value.retry_after == 12.5
    assert len(server.requests) == 1  # The client itself asks once; `retries` asks again.


@needs_client
def test_the_pause_may_be_given_in_milliseconds_or_as_a_date_or_as_nonsense(server: FailingServer) -> None:
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 100))
    server.will(
        answers({}, 429, retry_after_ms="1500", Retry_After="9"),
        answers({}, 503, Retry_After=date),
        answers({}, 503, Retry_After="soon"),
        answers({}, 503, Retry_After="-4"),
        answers({}, 503, Retry_After="Mon, 01 Jan 99999999999999999999 00:00:00 GMT"),
    )
    pauses = []
    for _ in range(5):
        with pytest.raises(TransientError) as caught:
            client(server).complete(HELLO)
        pauses.append(caught.value.retry_after)
    assert pauses[0] == 1.5
    assert pauses[1] == pytest.approx(100, abs=5)
    assert pauses[2:] == [None, None, None]


@needs_client
@pytest.mark.parametrize(
    ("body", "status", "words", "fix"),
    [
        ({"error": {"message": "wrong key"}}, 401, "HTTP 401 .*'wrong key'", "OPENAI_API_KEY"),
        ({"error": {"message": "no such model"}}, 404, "no such model.*ends in /v1", None),
        ({"error": {"message": "use 'max_completion_tokens'"}}, 400, "HTTP 400", "limit_field"),
        ({"detail": "Unsupported fields: {'seed'}"}, 422, "Unsupported fields", "sends_seed=False"),
        (
            {"error": {"message": "pay first", "code": "insufficient_quota"}},
            429,
            "no quota left: 'pay first'",
            "billing",
        ),
        (b"<html>proxy</html>", 403, "<html>proxy", "OPENAI_API_KEY"),
    ],
)
def test_a_refusal_is_final_and_says_what_to_change(
    server: FailingServer, body: Any, status: int, words: str, fix: str | None
) -> None:
    server.will(answers(body, status))
    with pytest.raises(ModelError, match=words) as caught:
        client(server).complete(HELLO)
    assert not isinstance(caught.value, TransientError)
    assert fix is None or fix in str(caught.value.fix)


@needs_client
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>504 Gateway</html>", "no JSON but '<html>504 Gateway</html>'"),
        (b'{"choices": [', "no JSON"),
        (b"", "no JSON but ''"),
        (b"\xff\xfe\x00garbage\x80", "no JSON"),
        (b"[" * 200_000, "no JSON"),
        ([1, 2], r"no choices but '\[1, 2\]'"),
        ({"choices": []}, "no choices"),
        ({"choices": [{"text": "old protocol"}]}, "no choices"),
        ({"choices": [{"message": None}]}, "no choices"),
        ({"error": {"message": "overloaded"}}, "no choices but .*overloaded"),
    ],
)
def test_nonsense_with_status_200_may_be_asked_again(server: FailingServer, body: Any, words: str) -> None:
    server.will(answers(body))
    with pytest.raises(TransientError, match=words):
        client(server).complete(HELLO)


@needs_client
def test_lost_connections_and_silence_are_transient(server: FailingServer) -> None:
    server.will(closes, breaks_off, hangs(1.5))
    impatient = client(server, timeout=0.5)
    for words in ("no connection", "no connection", "no answer .* within 0.5 s"):
        with pytest.raises(TransientError, match=words):
            impatient.complete(HELLO)
    with pytest.raises(TransientError, match=r"no connection to .*Try: start the server"):
        client(f"http://127.0.0.1:{free_port()}/v1").complete(HELLO)


@needs_client
def test_the_key_is_in_no_error_log_configuration_or_representation(
    server: FailingServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    echo = {"error": {"message": f"the key {KEY} is wrong"}}
    server.will(answers(echo, 401), answers(echo, 429), answers(echo), says("fine"))
    for one in (client(server), client(server, key=None)):
        server.requests.clear()
        told = []
        for _ in range(3):
            with pytest.raises(ModelError) as caught:
                one.complete(HELLO)
            told += ["".join(traceback.format_exception(caught.value)), repr(caught.value), repr(vars(caught.value))]
            assert caught.value.__context__ is None  # The client's own exception holds the request and its headers.
        assert one.complete(HELLO).text == "fine"
        assert server.headers[-1]["authorization"] == f"Bearer {KEY}"
        told += [json.dumps(to_json(one.config)), repr(one), repr(one.config), repr(one._key), str(dict(one.identity))]
        assert all(KEY not in text for text in [*told, caplog.text])


@needs_client
def test_answers_that_repeat_the_key_are_told_without_it(server: FailingServer) -> None:
    spoken = {"content": f"You sent {KEY}!", "reasoning_content": f"Bearer {KEY}?"}
    logprobs = {"content": [{"token": KEY, "logprob": -1.0}]}
    server.will(answers({"choices": [{"message": spoken, "logprobs": logprobs}]}), says("none of them"))
    answer = client(server).complete(HELLO)
    assert (answer.text, answer.reasoning, answer.tokens) == ("You sent …!", "Bearer …?", None)
    # What servers of one's own take for a key is a word like others.
    assert client(server, key="none").complete(HELLO).text == "none of them"


@needs_client
def test_no_half_of_a_key_is_told_where_words_are_cut(server: FailingServer) -> None:
    for filling in range(SHOWN - len(KEY) - 20, SHOWN, 6):
        words = "." * filling + KEY
        server.will(answers({"error": {"message": words}}, 401), answers({"error": words}), answers(words.encode()))
        server.requests.clear()
        for _ in range(3):
            with pytest.raises(ModelError) as caught:
                client(server).complete(HELLO)
            assert KEY[:4] not in str(caught.value)


def test_a_key_cannot_be_pickled_or_copied_and_a_malformed_one_is_not_told() -> None:
    for write in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not written"):
            write(Key(KEY))
    assert Key(f"  {KEY}\n").reveal() == KEY
    with pytest.raises(ModelError) as caught:
        Key(f"{KEY} # mine")
    assert KEY not in str(caught.value)


def test_the_address_holds_no_secret() -> None:
    for url in (f"http://me:{KEY}@host/v1", f"https://host/v1?key={KEY}", f"https://{KEY}@host"):
        with pytest.raises(ConfigError, match="user, password or query") as caught:
            OpenAIServer.Config(model="small", base_url=url)
        assert KEY not in str(caught.value)
    for url in ("localhost:8000", "ftp://host/v1", "http://", "http://host:99999/v1", ""):
        with pytest.raises(ConfigError, match="base URL"):
            OpenAIServer.Config(model="small", base_url=url)


def test_settings_come_from_arguments_or_the_environment() -> None:
    environment = {"OPENAI_MODEL": "there", "OPENAI_BASE_URL": "http://there/v1"}
    assert server_settings(environment=environment).model == "there"
    here = server_settings("here", "http://here/v1", environment)
    assert (here.model, here.base_url) == ("here", "http://here/v1")
    assert from_json(to_json(here)) == here
    with pytest.raises(ConfigError, match=r"no model is named.*--model"):
        server_settings(environment={})
    for wrong in ({"model": ""}, {"model": "m", "timeout": 0.0}, {"model": "m", "limit_field": "tokens"}):
        with pytest.raises(ConfigError):
            OpenAIServer.Config(**wrong)


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        *(
            (name, "a setting of its own")
            for name in ("model", "messages", "temperature", "max_tokens", "seed", "stop")
        ),
        *((name, "one at a time, and whole") for name in ("stream", "n")),
        ("max_completion_tokens", "limit_field"),
        *((name, "in the environment") for name in ("api_key", "Authorization")),
    ],
)
def test_further_fields_replace_no_others_and_hold_no_key(name: str, instead: str):
    with pytest.raises(ConfigError, match=f"'{name}' among further fields.*{instead}"):
        OpenAIServer.Config(model="m", extra={name: 1})
