"""Feature World played in words: whole episodes with a language model, and programs in its place.

    texts = [TextWorld(world, FeaturePrompt(memory="table")) for _ in range(20)]
    played = play_words(texts, model, seeds=range(20), asking=Asking(temperature=0.0))
    play_words(texts, WordPlayer(texts[0], "optimal"), seeds=range(20), asking=Asking())

A program reads the message that a model would be sent and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Unpack

import torch

from percepts.agents.explorers.contexts import new_messages
from percepts.agents.explorers.dialogue import Exchange
from percepts.agents.explorers.feature_scores import Episodes
from percepts.agents.explorers.language import Asking
from percepts.core.errors import ConfigError, nearest
from percepts.core.random import numpy_generator
from percepts.envs.feature_world.text import TextWorld, Turn, answer_line, kept, read_objects
from percepts.envs.feature_world.words import Test
from percepts.foundation.model import Completion, LanguageModel, Message, Settings, Usage, resolved

WORD_PLAYERS = ("optimal", "random", "random-repeats")
"""Programs that play, by name: tests of most expected information, random ones, random ones that may be repeated."""
_LAST = re.compile(r"^The (.*) (lit up|stayed dark)\.$", re.MULTILINE)

Watch = Callable[[int, Exchange, Turn], None]
"""Told of every reply: the number of the episode, what was said, and what came of it."""


def play_words(
    texts: Sequence[TextWorld],
    model: LanguageModel,
    seeds: Sequence[int],
    asking: Asking,
    watch: Watch | None = None,
) -> Episodes:
    """Play the first episode of each seed, side by side.

    Args:
        texts: one for each.
        model: who plays.
        seeds: of the episodes.
        asking: how the model is asked.
        watch: is told of every reply.

    Raises:
        ConfigError: no seeds, or not one text for each.
        ModelError: the model does not answer.
    """
    if not len(seeds) or len(seeds) != len(texts):
        raise ConfigError(f"{len(seeds)} seeds for {len(texts)} episodes", "one each, 1 or more")
    for text, seed in zip(texts, seeds):
        text.reset(seed)
    sent: list[Sequence[Message]] = [()] * len(texts)
    going = list(range(len(texts)))
    while going:
        conversations = [spoken(texts[row]) for row in going]
        made = asking.complete(model, conversations, asking.seeds([seeds[row] for row in going], "reply"))
        for row, messages, completion in zip(going, conversations, made):
            turn = texts[row].reply(completion.text)
            exchange = Exchange(new_messages(sent[row], messages), completion, facts_of(texts[row], turn))
            sent[row] = [*messages, Message("assistant", kept(completion.text))]
            if watch is not None:
                watch(row, exchange, turn)
        going = [row for row in going if not texts[row].light.finished]
    return played_words(texts)


def played_words(texts: Sequence[TextWorld]) -> Episodes:
    """How finished episodes went; their regret is that of the tests as they were made."""
    rows = [episode_of(text) for text in texts]
    return episodes_of(rows)


def episode_of(text: TextWorld) -> dict[str, Any]:
    """How a finished episode went, as JSON data."""
    light = text.light
    answered = light.terminated and light.answer >= 0
    return {
        "tests": light.steps - answered,
        "decided": light.terminated,
        "success": light.success,
        "erred": light.erred,
        "regret": _regret(text),
        "failures": len(text.failures),
    }


def episodes_of(rows: Sequence[Mapping[str, Any]]) -> Episodes:
    """Episodes from what `episode_of` gave of each."""
    return Episodes(
        tests=torch.tensor([int(row["tests"]) for row in rows]),
        decided=torch.tensor([bool(row["decided"]) for row in rows]),
        success=torch.tensor([bool(row["success"]) for row in rows]),
        erred=torch.tensor([bool(row["erred"]) for row in rows]),
        regret=torch.tensor([float(row["regret"]) for row in rows], dtype=torch.float64),
    )


def spoken(text: TextWorld) -> list[Message]:
    """The messages to send."""
    roles: dict[str, Any] = {"system": "system", "user": "user", "assistant": "assistant"}
    return [Message(roles[message["role"]], message["content"]) for message in text.messages]


def facts_of(text: TextWorld, turn: Turn) -> dict[str, Any]:
    """What came of a reply, for its transcript."""
    facts: dict[str, Any] = {"stage": turn.stage}
    if turn.failure is not None:
        facts["failure"] = turn.failure
    if turn.stage == "act":
        light = text.light
        tested = text.words.object(text.tests[-1].number) if text.tests[-1].number >= 0 else None
        facts |= {"step": light.steps, "tested": tested, "lit": turn.lit, "left": light.live, "finished": turn.finished}
    return facts


class WordPlayer:
    """A program that plays Feature World in words, as a language model would be asked to.

    Args:
        text: of the world that is played; only its rules and its vocabulary are used.
        player: one of `WORD_PLAYERS`.

    Raises:
        ConfigError: an unknown player.
    """

    def __init__(self, text: TextWorld, player: str = "optimal") -> None:
        if player not in WORD_PLAYERS:
            close = nearest(player, WORD_PLAYERS)
            hint = f", did you mean '{close}'?" if close else ""
            raise ConfigError(f"no player is called '{player}'{hint}", "one of " + ", ".join(WORD_PLAYERS))
        self.player, self.world, self.words = player, text.world, text.words

    @property
    def name(self) -> str:
        """Its name."""
        return self.player

    @property
    def identity(self) -> Mapping[str, Any]:
        """Its name."""
        return {"model": self.player}

    def complete(self, messages: Sequence[Message], **settings: Unpack[Settings]) -> Completion:
        """The reply to a turn of `TextWorld`.

        Raises:
            DataError: the messages show none.
        """
        asked = resolved(messages, settings)
        shown = next(message.text for message in reversed(messages) if "Objects:\n" in message.text)
        offered, tests = read_objects(shown, self.words), self._tests(messages, shown)
        generator = numpy_generator(int(asked["seed"] or 0), "words", self.player, len(tests), len(messages))
        alive = self._alive(tests)
        left = alive.nonzero()[:, 0].tolist()
        if self.world.config.mode == "answer" and self._decided(left, offered):
            reply = answer_line(self.words, left[int(generator.integers(len(left)))] if left else 0)
        else:
            wanted = self._wanted(alive, offered, {test.number for test in tests})
            reply = "TEST: " + self.words.object(wanted[int(generator.integers(len(wanted)))])
        return Completion(reply, self.name, Usage(0, 0))

    def _tests(self, messages: Sequence[Message], shown: str) -> list[Test]:
        """Past tests, from the log in the last turn or from all turns of a transcript."""
        logged = self.words.read_log(shown)
        if logged:
            return logged
        found = []
        for message in messages:
            match = _LAST.match(message.text) if message.role == "user" else None
            number = self.words.find_object(match[1]) if match is not None else None
            if match is not None and number is not None:
                found.append(Test(number, match[2] == "lit up"))
        return found

    def _alive(self, tests: Sequence[Test]) -> torch.Tensor:
        """Hypotheses that explain these tests."""
        predicted = self.world.knowledge().predicted
        alive = torch.ones(predicted.shape[1], dtype=torch.bool)
        for test in tests:
            alive &= predicted[test.number] == test.lit
        return alive

    def _decided(self, left: Sequence[int], offered: Sequence[int]) -> bool:
        """Whether no object on offer tells apart what is left."""
        rows = self.world.knowledge().predicted[list(offered)][:, list(left)]
        return bool((rows == rows[:, :1]).all()) if left else True

    def _wanted(self, alive: torch.Tensor, offered: Sequence[int], tested: set[int]) -> list[int]:
        if self.player == "random-repeats":
            return list(offered)
        if self.player == "random":
            return [number for number in offered if number not in tested] or list(offered)
        counts = self.world.knowledge().predicted[list(offered)][:, alive].sum(1)
        part = torch.minimum(counts, alive.sum() - counts)
        return [number for number, one in zip(offered, (part == part.max()).tolist()) if one]


def _regret(text: TextWorld) -> float:
    """Bits a test by which the tests of an episode were expected to bring less than the best ones. As in
    `run_episodes`, a wasted step is a test that brings nothing, and an answer is none."""
    know, light = text.world.knowledge(), text.light
    alive, object_set = know.prior(1), torch.tensor([light.object_set])
    places = {number: place for place, number in enumerate(text.offered)}
    total = 0.0
    tests = text.tests[:-1] if light.terminated and light.answer >= 0 else text.tests
    for test in tests:
        place = torch.tensor([places.get(test.number, -1)])
        total += float(know.regret(alive, object_set, place))
        alive = know.update(alive, object_set, place, torch.tensor([test.lit]))
    return total / max(1, len(tests))
