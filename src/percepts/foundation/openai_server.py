"""Any server that speaks OpenAI's chat-completions protocol (extra `llm`): hosted models, vLLM, llama.cpp, Ollama,
`transformers serve`.

    server = OpenAIServer.Config(model="gpt-4o").build()                                     # key in OPENAI_API_KEY
    server = OpenAIServer.Config(model="gemma-3", base_url="http://localhost:8000/v1").build()

The key stays in memory: it is in no configuration, file, log, representation or error of this library.
"""

from __future__ import annotations

import base64
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, Unpack
from urllib.parse import urlsplit

from percepts.core.config import Config as BaseConfig
from percepts.core.config import Configurable
from percepts.core.errors import ConfigError
from percepts.core.optional import require_package
from percepts.foundation.errors import ModelError
from percepts.foundation.model import Completion, Message, Settings, clean, cut, resolved
from percepts.foundation.openai_answers import Failure, failure, read_answer

DEFAULT_BASE_URL = "https://api.openai.com/v1"
_LEAST_SECRET = 12
"""Characters of a key that could not be a word as well."""
_OWN = "without it: it has a setting of its own (percepts explore --help)"
_WHOLE = "without it: answers are read one at a time, and whole"
_NOT_EXTRA = {
    **dict.fromkeys(("model", "messages", "temperature", "max_tokens", "seed", "stop", "logprobs"), _OWN),
    "max_completion_tokens": "max_tokens, and limit_field='max_completion_tokens'",
    **dict.fromkeys(("stream", "stream_options", "n"), _WHOLE),
    **dict.fromkeys(("api_key", "key", "authorization"), "the key in the environment, which no file holds"),
}
"""Fields that a request has already, that its answer could not be read with, or that are secrets; and what to do."""


class OpenAIServer(Configurable):
    """A model behind an HTTP endpoint. Nothing is asked twice here; see `retries`.

    Args:
        key: of the server; without one, what the environment variable `config.key_variable` holds. Servers on one's own
            machine need none.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Which model, and how to talk to it.

        Attributes:
            model: its name, as the server knows it.
            called: its name in recordings, price tables and reports, where the server knows it by a path.
            base_url: of the server, up to and with "/v1".
            key_variable: the environment variable with the server's key.
            timeout: seconds without a byte after which a question counts as lost.
            limit_field: the server's name for the limit of an answer's length; newer hosted models know only
                the second.
            sends_seed: whether to send the seed; some servers refuse it. It is in the key of recordings all the same.
            extra: further fields of the request, such as {"reasoning_effort": "low"}.
        """

        model: str
        called: str | None = None
        base_url: str = DEFAULT_BASE_URL
        key_variable: str = "OPENAI_API_KEY"
        timeout: float = 120.0
        limit_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
        sends_seed: bool = True
        extra: dict[str, Any] = field(default_factory=dict)

        def __post_init__(self) -> None:
            if not self.model:
                raise ConfigError("a server without the name of a model", "the name that the server knows it by")
            _check_url(self.base_url)
            if not 0 < self.timeout < float("inf"):
                raise ConfigError(f"timeout = {self.timeout}", "a number of seconds above 0")
            for name in self.extra:
                if (instead := _NOT_EXTRA.get(name.lower())) is not None:
                    raise ConfigError(f"'{name}' among further fields of the request", fix=instead)

    def __init__(self, config: Config, key: str | None = None) -> None:
        self.config = config
        self._given = None if key is None else Key(key)

    @property
    def name(self) -> str:
        """The model's."""
        return self.config.called or self.config.model

    @property
    def identity(self) -> Mapping[str, Any]:
        """The model and the further fields of the request; not the server, which may move."""
        return {"model": self.name, **({"extra": self.config.extra} if self.config.extra else {})}

    def complete(self, messages: Sequence[Message], **settings: Unpack[Settings]) -> Completion:
        """The server's answer; an empty text where it has none.

        Raises:
            TransientError: HTTP 408, 409, 425, 429 or 5xx, no connection, a time-out, or an answer that makes no sense.
            ModelError: the server refuses the question; nothing that waiting would change.
            MissingPackageError: the package `openai` is not installed.
        """
        request = self._request(messages, settings)
        started = time.monotonic()
        answer = self._ask(request)
        # Raised here, where the client's own exception is gone: that one holds the request with its headers.
        if isinstance(answer, Failure):
            raise answer.error(self._key.hidden_in)
        seconds = round(time.monotonic() - started, 3)
        completion = read_answer(answer, self.name, messages, seconds, self._key.hidden_in)
        if isinstance(completion, Failure):
            raise completion.error(self._key.hidden_in)
        completion = self._key.kept_out_of(completion)
        # Some servers leave the stop text in, and some know none.
        text, stopped = cut(completion.text, settings.get("stop") or ())
        return replace(completion, text=text, finish_reason="stop") if stopped else completion

    def _ask(self, request: dict[str, Any]) -> bytes | Failure:
        """The body of the answer, or why there is none."""
        openai: Any = require_package("openai", extra="llm")
        try:
            return self._client.chat.completions.with_raw_response.create(**request).content
        except openai.OpenAIError as error:
            config = self.config
            return failure(error, config.base_url, config.timeout, config.key_variable, self._key.hidden_in)

    @cached_property
    def _key(self) -> Key:
        return self._given if self._given is not None else Key(os.environ.get(self.config.key_variable, ""))

    @cached_property
    def _client(self) -> Any:
        openai: Any = require_package("openai", extra="llm")
        # The client insists on a key; servers that need none ignore it.
        key = self._key.reveal() or "none"
        return openai.OpenAI(api_key=key, base_url=self.config.base_url, timeout=self.config.timeout, max_retries=0)

    def _request(self, messages: Sequence[Message], settings: Settings) -> dict[str, Any]:
        """The fields of the request. What is left to the server is not sent: some servers refuse what they do not
        know."""
        asked = resolved(messages, settings)
        fields = {
            "temperature": asked["temperature"],
            self.config.limit_field: asked["max_tokens"],
            "seed": asked["seed"] if self.config.sends_seed else None,
            "logprobs": asked["logprobs"] or None,
            "stop": asked["stop"] or None,
            "extra_body": self.config.extra or None,
        }
        sent = {name: value for name, value in fields.items() if value is not None}
        return {"model": self.config.model, "messages": [_spoken(message) for message in messages], **sent}


class Key:
    """A secret that does not show itself.

    Raises:
        ModelError: it cannot be sent in a header; the message does not tell it.
    """

    __slots__ = ("_secret",)

    def __init__(self, secret: str) -> None:
        self._secret = secret.strip()
        if not re.fullmatch(r"[\x21-\x7e]*", self._secret):
            raise ModelError("a key with blanks or letters that no key has", "the key alone, without quotes or spaces")

    def __repr__(self) -> str:
        return "Key(…)"

    def __reduce__(self) -> Any:
        raise TypeError("a key is not written to files")

    def reveal(self) -> str:
        """The secret itself."""
        return self._secret

    def hidden_in(self, text: str) -> str:
        """`text` without the secret."""
        return text.replace(self._secret, "…") if self._secret else text

    def kept_out_of(self, completion: Completion) -> Completion:
        """An answer without the secret, should a server repeat it: answers are written to files. A short secret is
        none, such as servers of one's own take, and may be a word of any answer."""
        if len(self._secret) < _LEAST_SECRET or self._secret not in completion.text + completion.reasoning:
            return completion
        text, reasoning = self.hidden_in(completion.text), self.hidden_in(completion.reasoning)
        return replace(completion, text=text, reasoning=reasoning, tokens=None)


def server_settings(
    model: str | None = None, base_url: str | None = None, environment: Mapping[str, str] = os.environ
) -> OpenAIServer.Config:
    """The settings of a server from arguments, or else from the environment: OPENAI_MODEL, OPENAI_BASE_URL.

    Raises:
        ConfigError: no model is named, or the address is none.
    """
    model = model or environment.get("OPENAI_MODEL")
    if not model:
        raise ConfigError("no model is named", fix="--model NAME, or the environment variable OPENAI_MODEL")
    return OpenAIServer.Config(model=model, base_url=base_url or environment.get("OPENAI_BASE_URL") or DEFAULT_BASE_URL)


def _spoken(message: Message) -> dict[str, Any]:
    """A message as the protocol has it."""
    if isinstance(message.content, str):
        return {"role": message.role, "content": clean(message.content)}
    parts: list[dict[str, Any]] = []
    for part in message.content:
        if isinstance(part, str):
            parts.append({"type": "text", "text": clean(part)})
        else:
            data = f"data:{part.media};base64,{base64.b64encode(part.data).decode()}"
            parts.append({"type": "image_url", "image_url": {"url": data}})
    return {"role": message.role, "content": parts}


def _check_url(url: str) -> None:
    try:
        address = urlsplit(url)
        usable = address.scheme in ("http", "https") and bool(address.hostname) and (address.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(f"the base URL {url.partition('@')[0]!r}", "such as http://localhost:8000/v1")
    if address.username or address.password or address.query:
        # It may hold a secret, so it is not repeated.
        raise ConfigError(
            "a base URL with a user, password or query", "the address alone", "the key in the environment variable"
        )
