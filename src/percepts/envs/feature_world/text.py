"""Feature World in words: what a language model is told, what it answers, and one episode of it.

    text = TextWorld(world, FeaturePrompt(reasoning="guided", memory="table"))
    messages = text.reset(seed=0)                       # [{"role": "system", …}, {"role": "user", …}]
    turn = text.reply("TEST: small red cube")
    turn.finished, turn.failure, text.messages

The paper's prompts could not be read; these are this library's own. Conditions are those that it names (Ke et al.
2024): plain, step by step, guided, self-correction, and aids for the memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from percepts.core.config import Config
from percepts.core.errors import ConfigError, DataError
from percepts.core.random import numpy_generator
from percepts.envs.feature_world.light import LightWorld
from percepts.envs.feature_world.replies import Failure, Reply, read_reply
from percepts.envs.feature_world.words import Memory, Test, Words
from percepts.envs.feature_world.world import WASTED, FeatureWorld

Message = dict[str, str]
"""Of a chat: "role" (system, user or assistant) and "content"."""

_KEPT = 20_000
"""Characters of a reply that stay in the history: the last ones, as the decision comes at the end."""
_REASONING = {
    "plain": "Reply with that one line and nothing else.",
    "steps": "Think step by step first, then end your reply with that line.",
    "guided": (
        "First list which candidate rules the results so far have ruled out and which are left. Then, for a few "
        "objects that you could test, say how many of the candidates left predict that it lights up and how many that "
        "it stays dark. Choose the object that splits them most evenly, and end your reply with that line."
    ),
}
_HINTS: dict[Failure, str] = {
    "empty": "Your reply was empty.",
    "too long": "Your reply was too long to be read.",
    "invalid": "Your reply has no line that begins with the word it has to begin with.",
    "unknown object": "The object that you named is not on the list.",
    "ambiguous object": "Several objects on the list fit what you named.",
    "unknown answer": "What you answered is not one of the possible rules.",
    "no answers": "There is nothing to answer here: name objects to test only.",
}


@dataclass(frozen=True, kw_only=True)
class FeaturePrompt(Config):
    """How a model is asked.

    Attributes:
        reasoning: the reply alone, thinking step by step, or guided by what to think about.
        memory: how past tests are shown; see `words.Memory`.
        self_correction: every reply is shown to the model again, to check whether the test tells anything new.
        retries: how often a reply that cannot be understood may be mended before it costs a step.
        shuffle: whether the objects are listed in another order at every turn.
    """

    reasoning: Literal["plain", "steps", "guided"] = "plain"
    memory: Memory = "log"
    self_correction: bool = False
    retries: int = 1
    shuffle: bool = True

    def __post_init__(self) -> None:
        if self.retries < 0:
            raise ConfigError(f"retries = {self.retries}", "0 or more")


@dataclass(frozen=True)
class Turn:
    """What became of a reply.

    Attributes:
        reply: what was understood.
        stage: "act" was a step of the world; "check" waits for the corrected reply, "retry" for one that can be
            understood. Of both the next message is in `TextWorld.messages`.
        lit: whether the object lit up.
        finished: whether the episode is over.
        success: whether it ended well; see `world.Outcome`.
    """

    reply: Reply
    stage: Literal["act", "check", "retry"]
    lit: bool = False
    finished: bool = False
    success: bool = False

    @property
    def failure(self) -> Failure | None:
        """Why nothing was understood."""
        return self.reply.failure


class TextWorld:
    """Episodes of one world in words. With the same seed it is the world of `LightWorld`, `FeatureWorldEnv` and
    `FeatureWorld`.

    Args:
        world: the rules.
        prompt: how the model is asked.
    """

    def __init__(self, world: FeatureWorld, prompt: FeaturePrompt | None = None) -> None:
        self.world, self.prompt = world, prompt or FeaturePrompt()
        self.words, self.light = Words(world), LightWorld(world)
        self.tests: list[Test] = []
        self.messages: list[Message] = []
        self.failures: list[Failure] = []
        self._tried = 0
        self._checked: Reply | None = None  # The choice that the model was asked to check.

    @property
    def offered(self) -> list[int]:
        """The numbers of the objects on offer, in the order of their places."""
        found: list[int] = self.world.sets.objects[self.light.object_set].tolist()
        return found

    def reset(self, seed: int) -> list[Message]:
        """Begin the first episode of a seed; the messages to send."""
        self.light.reset(seed)
        self.tests, self.failures = [], []
        self._tried, self._checked = 0, None
        self.messages = [_message("system", instructions(self.words, self.prompt)), _message("user", self._turn())]
        return self.messages

    def reply(self, text: str) -> Turn:
        """Take a reply; afterwards `messages` are what to send next, unless the episode is over.

        Raises:
            DataError: before the first reset, or after the end.
        """
        if not self.messages or self.light.finished:
            raise DataError("a reply where none is waited for", "a reset before it", "reset(seed=0)")
        reply = read_reply(text, self.words, self.offered)
        if reply.failure is not None:
            self.failures.append(reply.failure)
            if self._tried < self.prompt.retries:
                self._tried += 1
                self._say(text, f"{_HINTS[reply.failure]} Once more, please. {_format(self.words)}")
                return Turn(reply, "retry")
            # Talk about a good choice does not undo it.
            reply = self._checked or reply
        elif self.prompt.self_correction and reply.kind == "test" and self._checked is None:
            self._checked = reply
            self._say(text, self._check(reply))
            return Turn(reply, "check")
        return self._act(text, reply)

    def _act(self, text: str, reply: Reply) -> Turn:
        light = self.light
        light.step(reply.action(self.world.choices))
        number = self.offered[light.tested] if light.tested != WASTED else WASTED
        self.tests.append(Test(number, light.lit, kept(text)))
        self._tried, self._checked = 0, None
        if not light.finished:
            if self.prompt.memory == "transcript":
                self._say(text, self._turn())
            else:
                self.messages = [self.messages[0], _message("user", self._turn())]
        return Turn(reply, "act", light.lit, light.finished, light.success)

    def _say(self, text: str, answer: str) -> None:
        self.messages = [*self.messages, _message("assistant", kept(text)), _message("user", answer)]

    def _check(self, reply: Reply) -> str:
        name = self.words.object(self.offered[reply.place])
        return (
            f"You chose to test the {name}. Check this against the results so far: can it rule out a rule that is "
            "still possible, or would its result be known beforehand? Keep it or choose another object. "
            + _format(self.words)
        )

    def _turn(self) -> str:
        parts = []
        if self.tests and self.prompt.memory == "transcript":
            last = self.tests[-1]
            if last.number < 0:
                parts.append("That step was wasted.")
            else:
                parts.append(f"The {self.words.object(last.number)} {'lit up' if last.lit else 'stayed dark'}.")
        elif self.prompt.memory != "transcript":
            log = self.words.log(self.tests, self.prompt.memory)
            some = any(test.number >= 0 for test in self.tests)
            parts.append("Results so far:\n" + (log if some else "none yet"))
        left = self.world.budget - self.light.steps
        parts.append(f"Steps left: {left}.")
        parts.append("Objects:\n" + "\n".join(f"- {self.words.object(number)}" for number in self._listed()))
        parts.append(_format(self.words))
        return "\n\n".join(parts)

    def _listed(self) -> list[int]:
        offered = self.offered
        if not self.prompt.shuffle:
            return offered
        order = numpy_generator(self.light.scene, "order", self.light.steps).permutation(len(offered))
        return [offered[place] for place in order.tolist()]


def instructions(words: Words, prompt: FeaturePrompt) -> str:
    """What a model is told at first."""
    config = words.world.config
    features = "\n".join(f"- {name}: {', '.join(words.values[n])}" for n, name in enumerate(config.dimensions))
    if config.n == 1:
        rule = "one value of one property: every object with this value lights up, and no other does"
    elif config.k == config.n:
        rule = (
            f"{config.n} values of {config.n} different properties: an object lights up if it has all of them, and no "
            "other does"
        )
    else:
        rule = (
            f"{config.n} values of {config.n} different properties: an object lights up if it has {config.k} of them "
            "or more, and no other does"
        )
    decoys = f" The {' and the '.join(config.decoys)} of an object never matters." if config.decoys else ""
    goal = (
        "As soon as you are sure, answer with the rule; a wrong answer ends the game."
        if config.mode == "answer"
        else "The game ends by itself as soon as your tests leave one rule."
    )
    # Where tests err nobody is told, but nothing untrue is said either.
    again = "" if config.noise else ", and testing the same one again tells nothing new"
    return (
        "You do experiments. A lamp lights up for some objects and stays dark for the others, by a hidden rule that "
        f"does not change. The rule is {rule}. The properties and their values are:\n{features}\n"
        f"All such rules are equally likely.{decoys} At each turn you name one object from a list, and are told "
        f"whether it lit up. Testing changes no object{again}. Find the rule in as few tests as possible. {goal}\n"
        f"{_format(words)}\n{_REASONING[prompt.reasoning]}"
    )


def answer_line(words: Words, hypothesis: int) -> str:
    """How a hypothesis is answered."""
    return "ANSWER: " + words.hypothesis(hypothesis)


def read_objects(text: str, words: Words) -> list[int]:
    """The numbers of the objects that a turn's message lists, in its order.

    Raises:
        DataError: it lists none, or something that is no object of this world.
    """
    _, found, rest = text.partition("Objects:\n")
    lines = rest.split("\n\n")[0].splitlines()
    numbers = [words.find_object(line) for line in lines]
    if not found or not numbers or any(number is None for number in numbers):
        raise DataError("a message without a list of this world's objects", "one of `TextWorld.messages`")
    return [number for number in numbers if number is not None]


def kept(text: object) -> str:
    """What stays of a reply in the history."""
    return text[-_KEPT:] if isinstance(text, str) else ""


def _format(words: Words) -> str:
    # The example is an object that need not be on the list.
    test = f'To test, write a line "TEST: " and the object, such as "TEST: {words.object(0)}".'
    if words.world.config.mode != "answer":
        return test
    return f'{test} To answer, write a line such as "{answer_line(words, 0)}".'


def _message(role: str, content: str) -> Message:
    return {"role": role, "content": content}
