"""What comes back from a server that speaks OpenAI's protocol: an answer to read, or a failure to explain."""

from __future__ import annotations

import email.utils
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from percepts.foundation.errors import ModelError, TransientError
from percepts.foundation.model import Completion, Message, Token, Usage, clean, estimate_text, estimate_tokens

TRANSIENT = {408, 409, 425, 429}
LEAST = -9999.0
"""The log-probability that is recorded for an impossible token, as OpenAI's servers have it: no JSON holds -inf."""
SHOWN = 200
"""Characters of a server's own words that an error repeats."""
Hidden = Callable[[str], str]
"""Takes the key out of a text."""


@dataclass(frozen=True)
class Failure:
    """Why there is no answer.

    Attributes:
        transient: whether asking again may help.
        retry_after: seconds after which the server wants to be asked again.
    """

    got: str
    expected: str | None = None
    fix: str | None = None
    transient: bool = False
    retry_after: float | None = None

    def error(self, hidden: Hidden) -> ModelError:
        """The error to raise; `hidden` takes the key out of what the server said."""
        got = hidden(self.got)
        if self.transient:
            return TransientError(got, self.expected, self.fix, retry_after=self.retry_after)
        return ModelError(got, self.expected, self.fix)


def failure(error: Exception, url: str, timeout: float, key_variable: str, hidden: Hidden) -> Failure:
    """What an exception of the client means. `hidden` takes the key out of a text."""
    status = getattr(error, "status_code", None)
    if status is not None:
        return _refused(error, int(status), url, key_variable, hidden)
    kind = type(error).__name__
    if kind == "APITimeoutError":
        return Failure(f"no answer from {url} within {timeout:g} s", fix="a longer timeout", transient=True)
    if kind == "APIConnectionError":
        reason = type(error.__cause__).__name__ if error.__cause__ is not None else "unknown reason"
        return Failure(
            f"no connection to {url} ({reason})", fix="start the server, or another base URL", transient=True
        )
    return Failure(f"the client cannot ask {url} ({kind})", fix="look at the base URL and the key")


def read_answer(
    body: bytes, model: str, messages: Sequence[Message], seconds: float, hidden: Hidden
) -> Completion | Failure:
    """The answer in the body of a response with status 200. `hidden` takes the key out of a text."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return _nonsense(f"no JSON but {_words(body.decode('utf-8', 'replace'), hidden)}")
    try:
        choice = data["choices"][0]
        said = choice["message"]
        text, reasoning = _text(said.get("content")), _text(said.get("reasoning_content") or said.get("reasoning"))
    except (AttributeError, IndexError, KeyError, TypeError):
        words = data.get("error") if isinstance(data, Mapping) and data.get("error") else data
        return _nonsense(f"no choices but {_words(json.dumps(words), hidden)}")
    completion = Completion(
        text=text,
        model=model,
        usage=_usage(data.get("usage"), messages, text + reasoning),
        finish_reason=clean(str(choice.get("finish_reason") or "unknown")),
        seconds=seconds,
        reasoning=reasoning,
    )
    return replace(completion, tokens=_tokens(choice.get("logprobs")))


def _refused(error: Any, status: int, url: str, key_variable: str, hidden: Hidden) -> Failure:
    words = _words(_server_words(error), hidden)
    if status in TRANSIENT or status >= 500:
        if status == 429 and getattr(error, "code", None) == "insufficient_quota":
            return Failure(f"HTTP 429 from {url}, the account has no quota left: {words}", fix="the provider's billing")
        pause = _pause(getattr(getattr(error, "response", None), "headers", {}))
        return Failure(f"HTTP {status} from {url}: {words}", fix="wait a while", transient=True, retry_after=pause)
    if status in (401, 403):
        return Failure(
            f"HTTP {status} from {url}: {words}",
            fix=f"the environment variable {key_variable} with a key of that server",
        )
    if status == 404:
        return Failure(f"HTTP 404 from {url}: {words}", "a base URL that ends in /v1 and a model that the server has")
    fix = None
    if "max_completion_tokens" in words or ("max_tokens" in words and "support" in words.lower()):
        fix = "limit_field='max_completion_tokens' (percepts explore: --limit-field max_completion_tokens)"
    elif "seed" in words:
        fix = "sends_seed=False (percepts explore: --no-seed)"
    return Failure(f"HTTP {status} from {url}: {words}", fix=fix)


def _server_words(error: Any) -> str:
    """What the server said about an error, in whichever of the usual places."""
    body = getattr(error, "body", None)
    for _ in range(3):
        if not isinstance(body, Mapping):
            break
        body = next((body[name] for name in ("error", "message", "detail") if body.get(name)), json.dumps(dict(body)))
    return str(body if body not in (None, "") else getattr(error, "message", ""))


def _pause(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks for: `retry-after-ms`, or `retry-after` as seconds or as a date (RFC 9110)."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) / unit
        except ValueError:
            try:
                seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
            except (ValueError, TypeError, OverflowError):
                continue
        if 0 <= seconds < float("inf"):
            return seconds
    return None


def _nonsense(what: str) -> Failure:
    return Failure(
        f"the server answered {what}", "a chat completion", "look at what the base URL leads to", transient=True
    )


def _words(text: str, hidden: Hidden) -> str:
    """The beginning of a server's words, in one line and in quotation marks."""
    # Hidden before it is cut: half a key would not be recognised any more.
    line = " ".join(hidden(clean(text)).split())
    return f"'{line if len(line) <= SHOWN else line[: SHOWN - 1] + '…'}'"


def _text(content: Any) -> str:
    """A content that may be missing, a text, or parts of which some are texts."""
    if content is None:
        return ""
    if isinstance(content, str):
        return clean(content)
    return clean("".join(part["text"] for part in content if isinstance(part, Mapping) and "text" in part))


def _usage(data: Any, messages: Sequence[Message], text: str) -> Usage:
    """What the server counted; an estimate where it counted nothing, or nothing that makes sense."""
    try:
        read, written = int(data["prompt_tokens"]), int(data["completion_tokens"])
    except (KeyError, TypeError, ValueError, OverflowError):
        read = written = -1
    if read < 0 or written < 0:
        return Usage(estimate_tokens(messages), estimate_text(text), counted=False)
    return Usage(read, written)


def _tokens(data: Any) -> tuple[Token, ...] | None:
    """The log-probabilities of the tokens; None where there are none or they make no sense."""
    try:
        tokens = tuple(Token(clean(one["token"]), max(float(one["logprob"]), LEAST)) for one in data["content"])
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
        return None
    return tokens if all(math.isfinite(token.log_probability) for token in tokens) else None
