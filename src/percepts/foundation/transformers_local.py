"""A language model in this process, by Hugging Face `transformers` (extra `hf`): a folder, a model of the Hub, or GGUF.

    model = LocalModel.Config(model="models/gemma-3-270m-q4_k_m.gguf", template=PLAIN_TEMPLATE).build()

Answers are drawn here, token by token, from explicit generators: a seed gives the same answer whatever was asked
before.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Unpack

import torch

from percepts.core.config import Config, Configurable
from percepts.core.errors import ConfigError
from percepts.core.optional import require_package
from percepts.core.random import torch_generator
from percepts.foundation.drawing import Drawing, Sampling
from percepts.foundation.errors import ModelError
from percepts.foundation.model import Completion, Message, Settings, Token, Usage, clean, cut, resolved

PLAIN_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ message['role'] | capitalize }}: {{ message['content'] }}\n\n"
    "{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)
"""For models that only continue texts and bring no template; ask them with stop=["\\nUser:"]."""
LEAST = -9999.0
"""The log-probability that is given for an impossible token."""


class LocalModel(Configurable):
    """A causal language model and its tokenizer, loaded when the first question comes."""

    @dataclass(frozen=True, kw_only=True)
    class Config(Config):
        """Which model, and how it answers.

        Attributes:
            model: a folder, a name on the Hub, a .gguf file, or "folder-or-name:file.gguf".
            revision: of a model on the Hub.
            device: where it runs.
            dtype: of its weights; "auto" as they were saved.
            template: a Jinja chat template; without one the tokenizer's own.
            top_k: draw from so many most probable tokens only; without it as the model's files say.
            top_p: draw from the most probable tokens that make up so much; without it as the model's files say.
            longest: tokens of an answer where a question sets no `max_tokens`.
            batch: conversations that are answered together.
        """

        model: str
        revision: str | None = None
        device: str = "cpu"
        dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
        template: str | None = None
        top_k: int | None = None
        top_p: float | None = None
        longest: int = 1024
        batch: int = 8

        def __post_init__(self) -> None:
            if not self.model:
                raise ConfigError("no model is named", "a folder, a name on the Hub or a .gguf file")
            for name in ("top_k", "longest", "batch"):
                value = getattr(self, name)
                if value is not None and value < 1:
                    raise ConfigError(f"{name} = {value}", "at least 1")
            if self.top_p is not None and not 0 < self.top_p <= 1:
                raise ConfigError(f"top_p = {self.top_p}", "above 0, at most 1")

    def __init__(self, config: Config) -> None:
        self.config = config
        self._loaded: tuple[Any, Any] | None = None
        self._mutex = threading.Lock()

    @property
    def name(self) -> str:
        """The last part of a path, or the name on the Hub."""
        return Path(self.config.model).name if os.path.exists(self.config.model) else self.config.model

    @property
    def identity(self) -> Mapping[str, Any]:
        """The name and every setting that changes answers."""
        settings = {name: getattr(self.config, name) for name in ("revision", "dtype", "template", "top_k", "top_p")}
        return {"model": self.name, **{name: value for name, value in settings.items() if value is not None}}

    def complete(self, messages: Sequence[Message], **settings: Unpack[Settings]) -> Completion:
        """The model's answer. Without a seed it is that of seed 0.

        Raises:
            ModelError: the model cannot be loaded, has no template, or reads no conversation as long as this one.
            MissingPackageError: `transformers` (or, for GGUF, `gguf`) is not installed.
        """
        return self.complete_all([messages], [settings.get("seed")], **settings)[0]

    @property
    def batches(self) -> bool:
        """It does."""
        return True

    def complete_all(
        self, conversations: Sequence[Sequence[Message]], seeds: Sequence[int | None], **settings: Unpack[Settings]
    ) -> list[Completion]:
        """The answers, `batch` at a time. Rounding may differ with the company that a conversation has in its batch."""
        done: list[Completion] = []
        with self._mutex:
            for start in range(0, len(conversations), self.config.batch):
                stop = start + self.config.batch
                done += self._answer(conversations[start:stop], seeds[start:stop], settings)
        return done

    def _answer(
        self, conversations: Sequence[Sequence[Message]], seeds: Sequence[int | None], settings: Settings
    ) -> list[Completion]:
        model, tokenizer = self._load()
        started = time.monotonic()
        asked = [resolved(messages, {**settings, "seed": seed}) for messages, seed in zip(conversations, seeds)]
        prompts = [self._prompt(tokenizer, messages) for messages in conversations]
        inputs = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left", add_special_tokens=False)
        ids, mask = inputs["input_ids"].to(model.device), inputs["attention_mask"].to(model.device)
        limit = self._limit(model, ids.shape[1], asked[0]["max_tokens"])
        numbers = [
            torch.rand(limit, generator=torch_generator(one["seed"] or 0, "tokens"), dtype=torch.float64)
            for one in asked
        ]
        sampling = self._sampling(model, asked[0]["temperature"])
        drawing = Drawing(model, tokenizer, sampling, asked[0]["stop"])
        rows, values = drawing.run(ids, mask, torch.stack(numbers).to(model.device))
        seconds = round(time.monotonic() - started, 3)
        return [
            self._completion(drawing, row, found, Usage(read, len(row)), asked[0], seconds)
            for row, found, read in zip(rows, values, mask.sum(dim=1).tolist())
        ]

    def _completion(
        self,
        drawing: Drawing,
        row: list[int],
        values: list[float],
        usage: Usage,
        asked: Mapping[str, Any],
        seconds: float,
    ) -> Completion:
        ended = bool(row) and row[-1] in drawing.ends
        text, stopped = cut(drawing.text(row), asked["stop"])
        tokens = None
        if asked["logprobs"]:
            tokens = tuple(Token(drawing.text([one]), max(value, LEAST)) for one, value in zip(row, values))
        finish = "stop" if ended or stopped else "length"
        return Completion(text, self.name, usage, finish, seconds, tokens)

    def _load(self) -> tuple[Any, Any]:
        """The model and its tokenizer."""
        if self._loaded is None:
            transformers: Any = require_package("transformers", extra="hf")
            place, file = _gguf(self.config.model)
            options: dict[str, Any] = {"revision": self.config.revision} if self.config.revision else {}
            if file is not None:
                require_package("gguf", extra="hf")
                options["gguf_file"] = file
            try:
                tokenizer = transformers.AutoTokenizer.from_pretrained(place, **options)
                model = transformers.AutoModelForCausalLM.from_pretrained(place, dtype=self.config.dtype, **options)
            except (OSError, ValueError, KeyError, RuntimeError) as error:
                first = (str(error).strip().splitlines() or [type(error).__name__])[0]
                raise ModelError(
                    f"cannot load the language model '{self.config.model}' ({first})",
                    "a folder with a causal language model, a name on the Hub or a .gguf file",
                ) from error
            if tokenizer.pad_token is None:
                tokenizer.pad_token = tokenizer.eos_token
            self._loaded = model.to(self.config.device).eval(), tokenizer
        return self._loaded

    def _prompt(self, tokenizer: Any, messages: Sequence[Message]) -> str:
        if any(not isinstance(part, str) for message in messages for part in message.parts):
            raise ModelError(f"a picture for '{self.name}'", "texts: this back end shows no pictures")
        template = self.config.template or tokenizer.chat_template
        if template is None:
            raise ModelError(
                f"'{self.name}' has no chat template", fix="template=transformers_local.PLAIN_TEMPLATE, or its own"
            )
        spoken = [{"role": message.role, "content": clean(message.text)} for message in messages]
        try:
            return str(
                tokenizer.apply_chat_template(
                    spoken, chat_template=template, tokenize=False, add_generation_prompt=True
                )
            )
        except Exception as error:  # templates raise what they like: Jinja's errors, and their own
            raise ModelError(
                f"the chat template of '{self.name}' refuses these messages ({error})",
                "roles in the order that the model knows",
            ) from error

    def _limit(self, model: Any, prompt: int, asked: int | None) -> int:
        """How long the answer to a prompt of so many tokens may become."""
        longest = getattr(model.config, "max_position_embeddings", None) or prompt + (asked or self.config.longest)
        if prompt + (asked or 1) > longest:
            raise ModelError(
                f"a conversation of {prompt} tokens and an answer of up to {asked or 1} for '{self.name}'",
                f"at most {longest} together",
                "a summary instead of the history, or a smaller max_tokens",
            )
        return asked or min(self.config.longest, longest - prompt)

    def _sampling(self, model: Any, temperature: float | None) -> Sampling:
        own = model.generation_config
        if temperature is None:
            temperature = float(getattr(own, "temperature", None) or 1.0) if getattr(own, "do_sample", False) else 0.0
        return Sampling(
            temperature,
            self.config.top_k or getattr(own, "top_k", None),
            self.config.top_p or getattr(own, "top_p", None),
        )


def _gguf(model: str) -> tuple[str, str | None]:
    """The folder or name, and the GGUF file in it where there is one."""
    if not model.endswith(".gguf"):
        return model, None
    name, colon, file = model.rpartition(":")
    if colon and not os.path.exists(model):
        return name, file
    return str(Path(model).parent), Path(model).name
