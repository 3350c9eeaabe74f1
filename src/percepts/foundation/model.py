"""What a language model is to this library: messages go in, a text comes out.

    model.complete([Message("system", "You play a game."), Message("user", "Your move?")], temperature=0.0).text

Back ends (`openai_server`, `transformers_local`, `scripted`) answer; wrappers (`cache`, `ledger`, `retries`, `limits`)
are language models around another one. `service.dependable` puts them together in the right order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypedDict, TypeGuard, Unpack, get_args, runtime_checkable

from percepts.foundation.errors import ModelError

Role = Literal["system", "user", "assistant"]
WORKERS = 8
"""Questions that are open at once, where nobody says otherwise."""
CHARACTERS_PER_TOKEN = 4.0
"""A rule of thumb for English text; used only where nobody counted the tokens."""


@dataclass(frozen=True)
class Picture:
    """An image in a message, as an encoded file.

    Attributes:
        data: the bytes of the file.
        media: what kind of file it is, as a MIME type.
    """

    data: bytes = field(repr=False)
    media: str = "image/png"


Part = str | Picture


@dataclass(frozen=True)
class Message:
    """One message of a conversation.

    Attributes:
        role: who speaks: "system" (the instructions), "user" (the environment) or "assistant" (the model).
        content: a text, or texts and pictures in order.
    """

    role: Role
    content: str | tuple[Part, ...]

    @property
    def parts(self) -> tuple[Part, ...]:
        """The content as parts."""
        return (self.content,) if isinstance(self.content, str) else self.content

    @property
    def text(self) -> str:
        """The texts, a line apart; pictures are left out."""
        return "\n".join(part for part in self.parts if isinstance(part, str))


@dataclass(frozen=True)
class Usage:
    """What an answer took.

    Attributes:
        prompt_tokens: tokens read.
        completion_tokens: tokens written.
        counted: whether the model counted them; otherwise they are estimated from the characters.
    """

    prompt_tokens: int
    completion_tokens: int
    counted: bool = True


@dataclass(frozen=True)
class Token:
    """A token of an answer and its log-probability, in nats."""

    text: str
    log_probability: float


@dataclass(frozen=True)
class Completion:
    """An answer.

    Attributes:
        text: what the model said; may be empty.
        model: its name, as it was asked for.
        usage: tokens read and written.
        finish_reason: why it ended: "stop", "length" (the token limit), or what the server said.
        seconds: how long it took when it was made.
        tokens: the tokens with their log-probabilities where they were asked for and the model gives them.
        reasoning: what a thinking model thought, where the server tells it apart from the text.
        replayed: whether it comes from a recording and cost nothing; two answers that differ only in this are equal.
    """

    text: str
    model: str
    usage: Usage
    finish_reason: str = "stop"
    seconds: float = 0.0
    tokens: tuple[Token, ...] | None = None
    reasoning: str = ""
    replayed: bool = field(default=False, compare=False)


class Settings(TypedDict, total=False):
    """How to answer. What is left out is the model's own default.

    Attributes:
        temperature: of sampling; 0 takes the most probable token.
        max_tokens: how long an answer may become.
        seed: of sampling, where the model can be seeded. It also tells apart repeated questions in a recording.
        logprobs: whether to give the log-probability of each token.
        stop: texts at which an answer ends; they are not part of it.
    """

    temperature: float | None
    max_tokens: int | None
    seed: int | None
    logprobs: bool
    stop: Sequence[str]


@runtime_checkable
class LanguageModel(Protocol):
    """Answers a conversation."""

    @property
    def name(self) -> str:
        """What the model is called, as in price tables."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """JSON data on which its answers depend besides messages and settings: the key of recordings. Not where it
        runs: a recording is good for another machine."""

    def complete(self, messages: Sequence[Message], **settings: Unpack[Settings]) -> Completion:
        """The answer to `messages`.

        Raises:
            TransientError: not this time; asking again may help.
            ModelError: not at all.
        """


@runtime_checkable
class CompletesMany(LanguageModel, Protocol):
    """A language model that can answer many conversations faster together than one by one."""

    @property
    def batches(self) -> bool:
        """Whether it does: a wrapper does what its model does."""

    def complete_all(
        self, conversations: Sequence[Sequence[Message]], seeds: Sequence[int | None], **settings: Unpack[Settings]
    ) -> list[Completion]:
        """The answers, in order; conversation i is answered with seed i."""


def answers_many(model: LanguageModel) -> TypeGuard[CompletesMany]:
    """Whether a model answers many conversations faster together."""
    return isinstance(model, CompletesMany) and model.batches


class Wrapper:
    """What is called as the model that it asks, and whose answers depend on what that model's depend on.

    Attributes:
        model: what is asked.
    """

    model: LanguageModel

    @property
    def name(self) -> str:
        """That of the model."""
        return self.model.name

    @property
    def identity(self) -> Mapping[str, Any]:
        """That of the model."""
        return self.model.identity


class WrapperOfMany(Wrapper):
    """The same, of many conversations together where the model does so."""

    @property
    def batches(self) -> bool:
        """Whether the model does."""
        return answers_many(self.model)


def complete_all(
    model: LanguageModel,
    conversations: Sequence[Sequence[Message]],
    *,
    seeds: Sequence[int | None] | None = None,
    workers: int = WORKERS,
    **settings: Unpack[Settings],
) -> list[Completion]:
    """The answers to many conversations: in a batch where the model can, otherwise `workers` at a time.

    Args:
        seeds: one a conversation; without them `settings["seed"]` is that of every conversation.

    Raises:
        ModelError: the first failure, by conversation, after all others were answered (and recorded, if they are).
    """
    seeds = [settings.get("seed")] * len(conversations) if seeds is None else list(seeds)
    if len(seeds) != len(conversations):
        raise ModelError(f"{len(seeds)} seeds for {len(conversations)} conversations", "one a conversation")
    if answers_many(model):
        return model.complete_all(conversations, seeds, **settings)
    return in_threads(model.complete, conversations, seeds, workers, settings)


def in_threads(
    complete: Callable[..., Completion],
    conversations: Sequence[Sequence[Message]],
    seeds: Sequence[int | None],
    workers: int,
    settings: Settings,
) -> list[Completion]:
    """`complete` for every conversation, `workers` at a time; a failure is raised when all are through."""
    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        futures = [
            pool.submit(complete, messages, **{**settings, "seed": seed})
            for messages, seed in zip(conversations, seeds)
        ]
    return [future.result() for future in futures]


def resolved(messages: Sequence[Message], settings: Settings) -> dict[str, Any]:
    """Every setting by name, with None (or False, or ()) for what was left out: equal questions, equal values.

    Raises:
        ModelError: nothing was asked, or a setting makes no sense.
    """
    if not messages:
        raise ModelError("no messages", "at least one", 'Message("user", "…")')
    roles = sorted({str(message.role) for message in messages} - set(get_args(Role)))
    if roles:
        raise ModelError(f"a message of the role {roles[0]!r}", "one of " + ", ".join(get_args(Role)))
    unknown = sorted(set(settings) - set(Settings.__annotations__))
    if unknown:
        raise ModelError(f"unknown setting '{unknown[0]}'", "one of " + ", ".join(Settings.__annotations__))
    temperature, limit, stop = settings.get("temperature"), settings.get("max_tokens"), settings.get("stop") or ()
    if temperature is not None and not (math.isfinite(temperature) and temperature >= 0):
        raise ModelError(f"temperature = {temperature}", "None, or a finite number of 0 or more")
    if limit is not None and limit < 1:
        raise ModelError(f"max_tokens = {limit}", "None, or at least 1")
    if isinstance(stop, str) or "" in stop:
        raise ModelError(f"stop = {stop!r}", "a sequence of texts that are not empty", 'stop=["\\n"]')
    return {
        "temperature": None if temperature is None else float(temperature),
        "max_tokens": limit,
        "seed": settings.get("seed"),
        "logprobs": bool(settings.get("logprobs", False)),
        "stop": list(stop),
    }


def estimate_tokens(messages: Sequence[Message]) -> int:
    """About how many tokens `messages` are (English text; pictures are not counted)."""
    return sum(estimate_text(message.text) for message in messages)


def estimate_text(text: str) -> int:
    """About how many tokens `text` is."""
    return math.ceil(len(text) / CHARACTERS_PER_TOKEN)


def cut(text: str, stop: Sequence[str]) -> tuple[str, bool]:
    """`text` up to the first of the `stop` texts in it, and whether there was one."""
    places = [place for one in stop if (place := text.find(one)) >= 0]
    return (text[: min(places)], True) if places else (text, False)


def clean(text: str) -> str:
    """`text` without the lone surrogates that JSON can spell but no file can hold."""
    return text.encode("utf-8", "replace").decode()
