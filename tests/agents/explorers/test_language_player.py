"""A language model that plays Alchemy in words: what it is shown, what it is asked, and what becomes of its replies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from percepts.agents.explorers.contexts import KEPT, Context, ContextMemory, checked_summary, conversation, new_messages
from percepts.agents.explorers.dialogue import Answer, play_text
from percepts.agents.explorers.language import Asking, LanguagePlayer
from percepts.core.errors import ConfigError
from percepts.envs.alchemy.text import TextAlchemy, TextState, TextTurns, text_table
from percepts.foundation.model import Message
from percepts.foundation.scripted import Scripted

GOOD = "POTIONS: red makes blue.\nBEST STONE: +15 blue"
END = "ACTION: end the trial"


def dip(count: int) -> str:
    """No potion twice in a trial of two steps."""
    return f"REASONING: let us see.\nACTION: stone 0 into potion {count % 12}"


def is_summary(messages: Sequence[Message]) -> bool:
    return "keep notes" in messages[0].text


class Script:
    """Answers turns and summaries by functions of how often it was asked, and remembers what."""

    def __init__(self, turn: Callable[[int], str], summary: Callable[[int], str] = lambda _: GOOD) -> None:
        self.turn, self.summary = turn, summary
        self.turns: list[Sequence[Message]] = []
        self.summaries: list[Sequence[Message]] = []

    def __call__(self, messages: Sequence[Message]) -> str:
        kind, reply = (self.summaries, self.summary) if is_summary(messages) else (self.turns, self.turn)
        kind.append(messages)
        return reply(len(kind) - 1)


def play(script: Script, trials: int = 3, games: int = 1, **settings: Any) -> list[list[Answer]]:
    """What was answered, turn by turn."""
    game = TextAlchemy.Config(table=text_table(trials, steps=2)).build()
    config = LanguagePlayer.Config(asking=Asking(workers=1), **settings)
    answers: list[list[Answer]] = []

    def watch(before: TextState, said: list[Answer], turns: TextTurns, after: TextState) -> None:
        answers.append(said)

    play_text(game, config.build(model=Scripted(script), game=game), range(games), watch)
    return answers


def test_everything_is_shown_again():
    script = Script(dip)
    play(script)
    assert [len(messages) for messages in script.turns] == [2, 4, 6, 8, 10, 12]
    assert script.turns[-1][:3] == script.turns[1][:3]
    assert script.turns[-1][2].text == dip(0)


def test_only_this_trial_is_shown():
    script = Script(dip)
    play(script, memory=ContextMemory(history="trial"))
    assert [len(messages) for messages in script.turns] == [2, 4, 2, 4, 2, 4]


def test_a_log_takes_the_place_of_the_history():
    script = Script(dip)
    play(script, memory=ContextMemory(history="log"))
    assert all(len(messages) == 2 for messages in script.turns)
    last = script.turns[-1][1].text
    assert last.count("into") >= 5
    assert "What happened so far:\nTrial 1: " in last
    assert "let us see" not in last


@pytest.mark.parametrize(("summary", "lengths"), [("replace", [2, 4, 2, 4, 2, 4]), ("augment", [2, 4, 6, 8, 10, 12])])
def test_a_summary_replaces_or_is_added(summary: Any, lengths: list[int]):
    script = Script(dip)
    play(script, memory=ContextMemory(summary=summary))
    assert [len(messages) for messages in script.turns] == lengths
    assert len(script.summaries) == 2
    # It is shown at the beginning of the trial, and stays in the history of the trial.
    assert [GOOD in messages[-1].text for messages in script.turns] == [False, False, True, False, True, False]
    assert GOOD in script.turns[3][-3].text


def test_the_summariser_sees_the_trial_its_end_and_the_summary_so_far():
    script = Script(dip, lambda count: f"{GOOD} {count}")
    play(script, memory=ContextMemory(summary="replace"))
    first, second = (messages[-1].text for messages in script.summaries)
    assert "Trial 1 of 3, step 2 of 2" in first
    assert "The trial is over. Its score: +0" in first
    assert "Trial 2 of 3" not in first
    assert "Your summary so far:" not in first
    assert "Trial 2 of 3, step 2 of 2" in second
    assert "Trial 1 of 3" not in second
    assert f"summary so far:\n{GOOD} 0" in second


def test_a_summary_every_second_trial():
    script = Script(lambda _: END)
    play(script, trials=6, memory=ContextMemory(summary="replace", every=2))
    assert len(script.summaries) == 2
    assert [len(messages) for messages in script.turns] == [2, 4, 2, 4, 2, 4]


def test_a_malformed_summary_leaves_the_last_good_one():
    script = Script(
        lambda _: END, lambda count: GOOD if count == 0 else ("nothing works", "", "BEST STONE: +1")[count % 3]
    )
    play(script, trials=5, memory=ContextMemory(history="trial", summary="replace"))
    assert [GOOD in messages[-1].text for messages in script.turns] == [False, True, True, True, True]


def test_before_any_good_summary_the_history_stays():
    script = Script(lambda _: END, lambda _: "bad")
    play(script, trials=3, memory=ContextMemory(summary="replace"))
    assert [len(messages) for messages in script.turns] == [2, 4, 6]


def test_summaries_are_capped_and_checked():
    memory = ContextMemory(longest=60)
    assert checked_summary(memory, GOOD + "\n" + "x" * 100) == GOOD
    assert checked_summary(memory, "x" * 100) == ""
    assert checked_summary(ContextMemory(style="free", longest=10), "y" * 100) == "y" * 10
    assert checked_summary(ContextMemory(style="free"), "  \n") == ""


def test_summaries_of_somebody_else_are_shown_instead():
    game = TextAlchemy.Config(table=text_table(3)).build()
    script = Script(lambda _: END)
    config = LanguagePlayer.Config(asking=Asking(workers=1), memory=ContextMemory(summary="replace"))
    theirs = GOOD.replace("red", "pink")
    player = config.build(model=Scripted(script), game=game, given={5: [theirs]})
    play_text(game, player, [5, 6])
    assert not script.summaries
    shown = [theirs in messages[-1].text for messages in script.turns]
    assert shown == [False, False, True, False, True, False]


def test_another_model_writes_the_summaries():
    game = TextAlchemy.Config(table=text_table(3)).build()
    actor, writer = Script(lambda _: END), Script(lambda _: END)
    config = LanguagePlayer.Config(asking=Asking(workers=1), memory=ContextMemory(summary="augment"))
    play_text(game, config.build(model=Scripted(actor), game=game, writer=Scripted(writer, "writer")), [0])
    assert (len(actor.turns), len(actor.summaries)) == (3, 0)
    assert (len(writer.turns), len(writer.summaries)) == (0, 2)


def test_a_bad_reply_is_mended_and_the_mending_forgotten():
    script = Script(lambda count: "I think." if count % 2 == 0 else END)
    answers = play(script)
    assert len(script.turns) == 6
    assert "no line that begins with ACTION" in script.turns[1][-1].text
    assert [len(messages) for messages in script.turns] == [2, 4, 4, 6, 6, 8]
    exchanges = answers[0][0].exchanges
    assert [one.facts for one in exchanges] == [{"stage": "act", "failure": "no action"}, {"stage": "retry"}]
    assert answers[0][0].text == END


@pytest.mark.parametrize(("retries", "asked"), [(0, 6), (1, 12), (3, 24)])
def test_who_never_answers_loses_the_steps(retries: int, asked: int):
    script = Script(lambda _: "")
    answers = play(script, retries=retries)
    assert len(script.turns) == asked
    assert len(answers) == 6


@pytest.mark.parametrize("correct", [False, True])
def test_of_a_giant_reply_the_end_is_sent_back(correct: bool):
    giant = "x" * 1_000_000 + ("\n" + dip(0) if correct else "")
    script = Script(lambda count: dip(1) if count % 2 else giant)
    answers = play(script, trials=1, self_correction=correct)
    assert [len(messages) for messages in script.turns][:2] == [2, 4]
    shown = [message.text for messages in script.turns for message in messages]
    assert max(map(len, shown)) == KEPT
    assert answers[0][0].text == dip(1)
    # What the giant reply was is in a turn's transcript once: as an answer.
    told = [message for exchange in answers[0][0].exchanges for message in exchange.messages]
    assert all(message.role == "user" for message in told)


def test_a_reply_is_checked_and_may_be_replaced():
    script = Script(lambda count: (dip(0), END)[count % 2])
    answers = play(script, self_correction=True)
    assert "Check your reply" in script.turns[1][-1].text
    assert [one[0].text for one in answers] == [END] * 3
    # Talk does not undo a good reply.
    script = Script(lambda count: (END, "It is fine.")[count % 2])
    assert [one[0].text for one in play(script, self_correction=True)] == [END] * 3


def test_what_is_new_adds_up_to_what_was_said():
    script = Script(lambda count: "?" if count % 3 == 0 else dip(count))
    answers = play(script, memory=ContextMemory(summary="augment"), self_correction=True)
    turns = [one for said in answers for one in said[0].exchanges if one.facts["stage"] != "summary"]
    assert len(turns) == len(script.turns)
    for exchange, messages in zip(turns, script.turns):
        assert tuple(messages[-len(exchange.messages) :]) == exchange.messages
        assert not any(message.role == "system" for message in exchange.messages)
        assert exchange.messages[-1].role == "user"


def test_games_are_asked_about_together_and_do_not_mix():
    script = Script(dip)
    play(script, games=3, memory=ContextMemory(summary="replace"))
    assert len(script.turns) == 3 * 6
    assert len(script.summaries) == 3 * 2
    firsts = {messages[-1].text for messages in script.turns[:3]}
    assert len(firsts) == 3


def test_seeds_differ_by_game_and_purpose():
    asking = Asking(seed=1)
    seeds = asking.seeds(range(100), "reply") + asking.seeds(range(100), "summary")
    assert len(set(seeds)) == 200
    assert all(seed is not None and 0 <= seed < 1 << 31 for seed in seeds)
    assert asking.seeds([3], "reply") != Asking(seed=2).seeds([3], "reply")


def test_a_summary_without_a_history_is_always_shown():
    memory, context = ContextMemory(history="log", summary="replace"), Context(summary=GOOD)
    assert GOOD in conversation(memory, "rules", context, "turn")[-1].text
    assert new_messages([], [Message("system", "a"), Message("user", "b")]) == (Message("user", "b"),)


@pytest.mark.parametrize("settings", [{"every": 0}, {"longest": 0}])
def test_senseless_memories_are_refused(settings: dict[str, int]):
    with pytest.raises(ConfigError):
        ContextMemory(**settings)  # type: ignore[arg-type]
    with pytest.raises(ConfigError):
        LanguagePlayer.Config(retries=-1)
