"""A language model that plays text Alchemy.

    player = LanguagePlayer.Config(memory=ContextMemory(summary="augment")).build(model=model, game=game)
    played = play_text(game, player, seeds=range(10))

All games are asked about at once, in a batch or in threads, as the model can. Whatever is asked is told in the answers'
exchanges, so that a transcript can hold it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from percepts.agents.explorers.contexts import (
    KEPT,
    Context,
    ContextMemory,
    checked_summary,
    conversation,
    new_messages,
    summary_question,
)
from percepts.agents.explorers.demonstrations import Demonstrations, system_texts
from percepts.agents.explorers.dialogue import SEEDS, Answer, Exchange
from percepts.core.config import Config, Configurable
from percepts.core.errors import ConfigError
from percepts.core.random import derive_seed
from percepts.envs.alchemy.text import TextAlchemy
from percepts.envs.alchemy.text_scenes import Failure, Scene, read_scene
from percepts.foundation.errors import ModelError
from percepts.foundation.model import Completion, LanguageModel, Message, Settings, Usage, complete_all, resolved
from percepts.foundation.transcripts import Transcript


@dataclass(frozen=True, kw_only=True)
class Asking(Config):
    """How a model is asked.

    Attributes:
        temperature: of sampling; the model's own if None, as in the paper.
        max_tokens: of an answer; the model's own limit if None.
        stop: texts at which an answer ends.
        seed: of sampling, together with that of the episode.
        workers: questions that are open at once.
    """

    temperature: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int = 0
    workers: int = 8

    def __post_init__(self) -> None:
        # What no model could be asked is said before there is a run.
        try:
            resolved([Message("user", "")], self.settings())
        except ModelError as error:
            raise ConfigError(error.got, error.expected, error.fix) from error
        if self.workers < 1:
            raise ConfigError(f"workers = {self.workers}", "1 or more")

    def settings(self) -> Settings:
        """For `complete`, without the seed."""
        return {"temperature": self.temperature, "max_tokens": self.max_tokens, "stop": self.stop}

    def seeds(self, episodes: Sequence[int], *keys: str) -> list[int | None]:
        """One for each episode."""
        return [derive_seed(self.seed, *keys, episode) % SEEDS for episode in episodes]

    def complete(
        self, model: LanguageModel, conversations: Sequence[Sequence[Message]], seeds: Sequence[int | None]
    ) -> list[Completion]:
        """The answers to some conversations.

        Raises:
            ModelError: there is none to one of them; the others are recorded, if they are at all.
        """
        if not conversations:
            return []
        settings: Settings = self.settings()
        return complete_all(model, conversations, seeds=seeds, workers=self.workers, **settings)


@dataclass(frozen=True)
class Sitting:
    """One game from the player's side.

    Attributes:
        seed: of the game.
        system: the instructions, with what is demonstrated.
        context: what the model is shown of the past.
        scene: the last turn; None at the beginning.
        written: summaries so far.
    """

    seed: int
    system: str
    context: Context = field(default_factory=Context)
    scene: Scene | None = None
    written: int = 0


class LanguagePlayer(Configurable):
    """See `dialogue.TextAgent`.

    Args:
        model: who plays.
        game: that is played; its instructions are the system message, with demonstrations if there are any.
        writer: who writes the summaries; the model itself if None.
        given: summaries by seed of the game, in their order, that are shown instead of any that would be written.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(Config):
        """Conditions.

        Attributes:
            memory: what is kept of the past.
            demonstrations: what the model watches before it plays; None for nothing.
            asking: how the model is asked.
            self_correction: every reply is shown to the model again, to check it.
            retries: how often a reply that comes to nothing may be mended before it costs a step.
        """

        memory: ContextMemory = field(default_factory=ContextMemory)
        demonstrations: Demonstrations | None = None
        asking: Asking = field(default_factory=Asking)
        self_correction: bool = False
        retries: int = 1

        def __post_init__(self) -> None:
            if self.retries < 0:
                raise ConfigError(f"retries = {self.retries}", "0 or more")

    config: Config

    def __init__(
        self,
        config: Config,
        model: LanguageModel,
        game: TextAlchemy,
        writer: LanguageModel | None = None,
        given: Mapping[int, Sequence[str]] | None = None,
    ) -> None:
        self.config, self.model, self.game, self.given = config, model, game, given
        self.writer = model if writer is None else writer

    def start(self, seeds: Sequence[int]) -> list[Sitting]:
        """See `dialogue.TextAgent`."""
        systems = system_texts(self.game, self.config.demonstrations, seeds)
        return [Sitting(seed, text) for seed, text in zip(seeds, systems)]

    def act(self, texts: Sequence[str | None], state: list[Sitting]) -> tuple[list[Answer], list[Sitting]]:
        """See `dialogue.TextAgent`.

        Raises:
            ModelError: the model does not answer.
        """
        turns = [_Turn(sitting, text, read_scene(text)) for text, sitting in zip(texts, state) if text is not None]
        memory = self.config.memory
        for turn in turns:
            turn.context = turn.sitting.context.with_scene(memory, turn.scene, turn.sitting.scene)
        self._summarise([turn for turn in turns if turn.context.due(memory)])
        for turn in turns:
            turn.messages = conversation(memory, turn.sitting.system, turn.context, turn.text)
        self._ask(turns, "act")
        if self.config.self_correction:
            self._check(turns)
        for _ in range(self.config.retries):
            failed = [turn for turn in turns if turn.failure is not None]
            for turn in failed:
                turn.say(f"{_HINTS[turn.failure]} {_AGAIN}" if turn.failure else _AGAIN)
            self._ask(failed, "retry")
        played = iter(turns)
        answers, sittings = [], []
        for text, sitting in zip(texts, state):
            if text is None:
                answers.append(Answer(""))
                sittings.append(sitting)
                continue
            turn = next(played)
            answers.append(Answer(turn.reply, tuple(turn.exchanges)))
            sittings.append(turn.after(memory))
        return answers, sittings

    def _ask(self, turns: list[_Turn], stage: str) -> None:
        asking = self.config.asking
        seeds = asking.seeds([turn.sitting.seed for turn in turns], "reply")
        for turn, completion in zip(turns, asking.complete(self.model, [turn.messages for turn in turns], seeds)):
            turn.reply, turn.failure = completion.text, self.game.read(turn.scene, completion.text).failure
            facts = {"stage": stage} | ({} if turn.failure is None else {"failure": turn.failure})
            turn.exchanges.append(Exchange(new_messages(turn.sent, turn.messages), completion, facts))
            turn.sent = [*turn.messages, Message("assistant", completion.text[-KEPT:])]

    def _check(self, turns: list[_Turn]) -> None:
        first = [(turn.reply, turn.failure) for turn in turns]
        for turn in turns:
            turn.say(_CHECK)
        self._ask(turns, "check")
        for turn, (reply, failure) in zip(turns, first):
            if failure is None and turn.failure is not None:
                # Talk about a good reply does not undo it.
                turn.reply, turn.failure = reply, None

    def _summarise(self, turns: list[_Turn]) -> None:
        memory, asking = self.config.memory, self.config.asking
        questions = [summary_question(memory, turn.context, turn.text) for turn in turns]
        if self.given is None:
            seeds = asking.seeds([turn.sitting.seed for turn in turns], "summary")
            written = asking.complete(self.writer, questions, seeds)
        else:
            written = [self._given(turn) for turn in turns]
        for turn, question, completion in zip(turns, questions, written):
            good = bool(checked_summary(memory, completion.text))
            if self.given is None:
                facts = {"stage": "summary", "kept": good}
                turn.exchanges.append(Exchange(tuple(question), completion, facts))
            turn.context = turn.context.with_summary(memory, completion.text)
            turn.written += 1

    def _given(self, turn: _Turn) -> Completion:
        assert self.given is not None
        texts = self.given.get(turn.sitting.seed, ())
        text = texts[turn.written] if turn.written < len(texts) else ""
        return Completion(text, "given", Usage(0, 0))


@dataclass
class _Turn:
    """A turn of one game while it is being played."""

    sitting: Sitting
    text: str
    scene: Scene

    def __post_init__(self) -> None:
        self.context = self.sitting.context
        self.messages: list[Message] = []
        self.sent: Sequence[Message] = self.sitting.context.sent
        self.exchanges: list[Exchange] = []
        self.reply, self.written = "", self.sitting.written
        self.failure: Failure | None = None

    def say(self, text: str) -> None:
        """Answer the model's reply, of which the end is sent back: a whole one may be longer than a model reads."""
        self.messages = [*self.messages, Message("assistant", self.reply[-KEPT:]), Message("user", text)]

    def after(self, memory: ContextMemory) -> Sitting:
        """The game from the player's side once the reply is given. What was said to mend it is forgotten."""
        shown = self.messages[1 + len(self.context.history)]
        context = self.context.with_turn(memory, shown, self.reply)
        return replace(
            self.sitting, context=replace(context, sent=tuple(self.sent)), scene=self.scene, written=self.written
        )


def summaries_of(transcript: Transcript) -> list[str]:
    """The summaries that were written in a game, in their order: to be given to another player."""
    return [
        turn.completion.text
        for turn in transcript.turns
        if turn.completion is not None and turn.facts.get("stage") == "summary"
    ]


_AGAIN = (
    "Once more, please: end your reply with a line that begins with ACTION, in one of the forms that you were told."
)
_CHECK = (
    "Check your reply: is it possible with what is left on the table, does it agree with what you have seen so far, "
    "and does it raise your score or tell you something new? Then write your reply again, mended where it has to be."
)
_HINTS: dict[Failure, str] = {
    "empty": "Your reply was empty.",
    "no action": "Your reply has no line that begins with ACTION.",
    "not understood": "Your action could not be understood.",
    "no such stone": "There is no stone of that number.",
    "no such potion": "There is no potion of that number.",
    "no ending": "Trials cannot be ended here.",
    "stone gone": "The stone that you named is gone.",
    "potion used": "The potion that you named is used up.",
}
