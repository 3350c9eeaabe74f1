"""Messages, settings, scripted answers, and many questions at once."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from percepts.core.errors import DataError
from percepts.foundation.errors import ModelError
from percepts.foundation.model import (
    Completion,
    LanguageModel,
    Message,
    Picture,
    Token,
    Usage,
    clean,
    complete_all,
    cut,
    resolved,
)
from percepts.foundation.records import (
    completion_from_json,
    completion_to_json,
    message_from_json,
    message_to_json,
    request_key,
)
from percepts.foundation.scripted import Scripted

HELLO = [Message("user", "Hello")]
texts = st.text(st.characters(codec="utf-8"))


def test_a_script_is_a_language_model_and_ends() -> None:
    model = Scripted(["one", "two"])
    assert isinstance(model, LanguageModel)
    assert [model.complete(HELLO).text for _ in range(2)] == ["one", "two"]
    with pytest.raises(ModelError, match="has given all of its 2 replies"):
        model.complete(HELLO)


def test_a_script_may_be_a_function_and_keeps_to_the_settings() -> None:
    model = Scripted(lambda messages: f"{messages[-1].text}, world. Bye")
    assert model.complete(HELLO).text == "Hello, world. Bye"
    assert model.complete(HELLO, stop=["world", "."]).text == "Hello, "
    short = model.complete(HELLO, max_tokens=2)
    assert (short.text, short.finish_reason) == ("Hello, w", "length")


@pytest.mark.parametrize(
    ("messages", "settings", "words"),
    [
        ([], {}, "no messages"),
        ([Message("tool", "x")], {}, "role 'tool'"),  # type: ignore[arg-type]
        (HELLO, {"temperature": -1.0}, "temperature"),
        (HELLO, {"temperature": float("nan")}, "temperature"),
        (HELLO, {"max_tokens": 0}, "max_tokens"),
        (HELLO, {"stop": "text"}, "a sequence of texts"),
        (HELLO, {"stop": [""]}, "not empty"),
        (HELLO, {"temprature": 1.0}, "unknown setting 'temprature'"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(messages: Any, settings: Any, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        Scripted(["never"]).complete(messages, **settings)


@given(st.lists(texts, max_size=4), st.binary(max_size=20), st.sampled_from(["system", "user", "assistant"]))
def test_messages_survive_json(parts: list[str], picture: bytes, role: Any) -> None:
    for message in (Message(role, "".join(parts)), Message(role, (*parts, Picture(picture, "image/jpeg")))):
        assert message_from_json(json.loads(json.dumps(message_to_json(message)))) == message


@given(texts, texts, st.lists(st.tuples(texts, st.floats(-100, 0)), max_size=3) | st.none(), st.booleans())
def test_completions_survive_json(text: str, reasoning: str, tokens: Any, counted: bool) -> None:
    made = Completion(
        text,
        "small",
        Usage(3, 4, counted),
        "length",
        0.125,
        None if tokens is None else tuple(Token(*one) for one in tokens),
        reasoning,
    )
    assert completion_from_json(json.loads(json.dumps(completion_to_json(made)))) == made


@pytest.mark.parametrize(
    "data", [None, 3, {}, {"role": "tool", "content": ""}, {"role": "user", "content": [{"x": 1}]}]
)
def test_what_is_no_message_is_told(data: Any) -> None:
    with pytest.raises(DataError, match="no "):
        message_from_json(data)
    with pytest.raises(DataError, match="no completion"):
        completion_from_json(data)


def test_equal_questions_have_equal_keys_and_others_have_others() -> None:
    model = Scripted([])
    base = request_key(model, HELLO)
    assert base == request_key(model, [Message("user", "Hello")], temperature=None, stop=[], logprobs=False)
    assert request_key(model, HELLO, temperature=0) == request_key(model, HELLO, temperature=0.0)
    others = {
        base,
        request_key(Scripted([], "other"), HELLO),
        request_key(model, [Message("system", "Hello")]),
        request_key(model, [*HELLO, *HELLO]),
        request_key(model, HELLO, temperature=0.0),
        request_key(model, HELLO, max_tokens=5),
        request_key(model, HELLO, seed=0),
        request_key(model, HELLO, seed=1),
        request_key(model, HELLO, logprobs=True),
        request_key(model, HELLO, stop=["a"]),
        request_key(model, HELLO, stop=["a", "b"]),
        request_key(model, [Message("user", ("Hello", Picture(b"a")))]),
        request_key(model, [Message("user", ("Hello", Picture(b"b")))]),
    }
    assert len(others) == 13


def test_many_questions_run_together_and_come_back_in_order() -> None:
    together = threading.Barrier(4, timeout=10)

    def reply(messages: Sequence[Message]) -> str:
        together.wait()  # Passes only if four questions are open at once.
        return messages[0].text.upper()

    asked = [[Message("user", letter)] for letter in "abcdefgh"]
    assert [one.text for one in complete_all(Scripted(reply), asked, workers=4)] == list("ABCDEFGH")


def test_a_failure_among_many_is_raised_after_all_were_asked() -> None:
    seen = []

    def reply(messages: Sequence[Message]) -> str:
        if messages[0].text == "b":
            raise ModelError("b is refused")
        seen.append(messages[0].text)
        return ""

    with pytest.raises(ModelError, match="b is refused"):
        complete_all(Scripted(reply), [[Message("user", letter)] for letter in "abcd"], workers=1)
    assert seen == ["a", "c", "d"]
    with pytest.raises(ModelError, match="1 seeds for 2 conversations"):
        complete_all(Scripted(reply), [HELLO, HELLO], seeds=[1])


def test_small_helpers() -> None:
    assert cut("abcab", ["ca", "b"]) == ("a", True)
    assert cut("abc", ["x"]) == ("abc", False)
    assert clean("a\ud800b") == "a?b"
    assert resolved(HELLO, {}) == {"temperature": None, "max_tokens": None, "seed": None, "logprobs": False, "stop": []}
