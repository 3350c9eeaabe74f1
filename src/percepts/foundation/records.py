"""Messages and completions as JSON data, and the key under which an answer is recorded."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Unpack, get_args

from percepts.core.errors import DataError
from percepts.foundation.model import (
    Completion,
    LanguageModel,
    Message,
    Part,
    Picture,
    Role,
    Settings,
    Token,
    Usage,
    resolved,
)


def message_to_json(message: Message) -> dict[str, Any]:
    """A message; pictures become base64."""
    return {"role": message.role, "content": _content(message)}


def message_from_json(data: Any) -> Message:
    """What `message_to_json` wrote.

    Raises:
        DataError: it is something else.
    """
    if not isinstance(data, Mapping) or data.get("role") not in get_args(Role):
        raise DataError(f"no message: {_short(data)}", "an object with a role and a content")
    content = data.get("content")
    if isinstance(content, str):
        return Message(data["role"], content)
    if not isinstance(content, list):
        raise DataError(f"no content of a message: {_short(content)}", "a text or a list of parts")
    return Message(data["role"], tuple(map(_part, content)))


def completion_to_json(completion: Completion) -> dict[str, Any]:
    """A completion, without whether it was replayed: a recording's answer is written as the first one was."""
    data: dict[str, Any] = {
        "text": completion.text,
        "model": completion.model,
        "finish_reason": completion.finish_reason,
        "seconds": completion.seconds,
        "usage": {
            "prompt_tokens": completion.usage.prompt_tokens,
            "completion_tokens": completion.usage.completion_tokens,
            "counted": completion.usage.counted,
        },
    }
    if completion.reasoning:
        data["reasoning"] = completion.reasoning
    if completion.tokens is not None:
        data["tokens"] = [[token.text, token.log_probability] for token in completion.tokens]
    return data


def completion_from_json(data: Any) -> Completion:
    """What `completion_to_json` wrote.

    Raises:
        DataError: it is something else.
    """
    try:
        usage, tokens = data["usage"], data.get("tokens")
        return Completion(
            text=_kind(data["text"], str),
            model=_kind(data["model"], str),
            usage=Usage(
                _kind(usage["prompt_tokens"], int),
                _kind(usage["completion_tokens"], int),
                _kind(usage["counted"], bool),
            ),
            finish_reason=_kind(data["finish_reason"], str),
            seconds=float(data["seconds"]),
            tokens=None if tokens is None else tuple(Token(_kind(text, str), float(value)) for text, value in tokens),
            reasoning=_kind(data.get("reasoning", ""), str),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"no completion: {_short(data)}", "the object that percepts writes") from error


def request_key(model: LanguageModel, messages: Sequence[Message], **settings: Unpack[Settings]) -> str:
    """Thirty-two hexadecimal digits that name a question to a model: equal questions, equal keys.

    Raises:
        ModelError: the question makes no sense.
    """
    question = {"model": dict(model.identity), "messages": messages_key(messages), **resolved(messages, settings)}
    return _digest(question)


def messages_key(messages: Sequence[Message]) -> str:
    """Thirty-two hexadecimal digits that name a conversation."""
    return _digest([message_to_json(message) for message in messages])


def _digest(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:32]


def _content(message: Message) -> Any:
    if isinstance(message.content, str):
        return message.content
    return [
        part if isinstance(part, str) else {"media": part.media, "data": base64.b64encode(part.data).decode()}
        for part in message.content
    ]


def _part(data: Any) -> Part:
    if isinstance(data, str):
        return data
    try:
        return Picture(base64.b64decode(data["data"], validate=True), _kind(data["media"], str))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"no part of a message: {_short(data)}", "a text or a picture in base64") from error


def _kind(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value


def _short(data: Any) -> str:
    text = repr(data)
    return text if len(text) <= 80 else f"{text[:79]}…"
