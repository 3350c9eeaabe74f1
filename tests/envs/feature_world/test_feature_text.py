"""Feature World in words: names, logs, replies and whole episodes."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from percepts.core.errors import ConfigError, DataError
from percepts.envs.feature_world.light import LightWorld
from percepts.envs.feature_world.replies import LONGEST, read_reply
from percepts.envs.feature_world.text import FeaturePrompt, TextWorld, answer_line, instructions, read_objects
from percepts.envs.feature_world.words import Memory, Test, Words
from percepts.envs.feature_world.worlds import conjunction, k_of_n, single, table_top

WORLDS = [
    single(values=8, mode="answer"),
    conjunction(dimensions=("colour", "shape", "texture", "size"), values=(5, 4, 3, 3), mode="answer"),
    k_of_n(2, 3, values=3, decoys=("size",), mode="answer"),
    table_top(dimensions=("colour", "texture"), objects=10, mode="answer"),
]


@pytest.fixture(params=WORLDS, ids=range(len(WORLDS)))
def words(request: pytest.FixtureRequest) -> Words:
    """The vocabulary of a world of every kind."""
    return Words(request.param.build())


def test_names(words: Words) -> None:
    assert len(set(words.objects)) == len(words.objects)
    assert len(set(words.hypotheses)) == len(words.hypotheses)
    world = words.world
    if world.dimensions == ("colour", "shape", "texture", "size"):
        assert words.object(0) == "small smooth red cube"
    if world.config.k == world.config.n == 2:
        assert words.hypothesis(0) == "colour = red and shape = cube"
    if "shape" not in world.dimensions:
        assert words.object(0) == "smooth red object"
    if world.config.k < world.config.n:
        assert words.hypothesis(0) == "at least 2 of colour = red, shape = cube, texture = smooth"
    for find in (words.object, words.hypothesis):
        with pytest.raises(DataError, match="0 to"):
            find(-1)
        with pytest.raises(DataError, match="0 to"):
            find(100_000)


def test_ten_thousand_actions_round_trip() -> None:
    """Rendered and parsed without loss, dressed up as models do."""
    chance = random.Random(0)
    dress = [
        "TEST: {}",
        "**TEST: {}**",
        "test: <{}>",
        "> Test = the {}s.",
        "- TEST: {}, please",
        "`TEST: {}`",
        "I take:\n{}",
    ]
    for config in WORLDS:
        world = config.build()
        words = Words(world)
        offered = world.sets.objects[0].tolist()
        for _ in range(2500):
            if chance.random() < 0.5:
                place = chance.randrange(len(offered))
                name = words.object(offered[place])
                if chance.random() < 0.5:
                    parts = name.split()
                    chance.shuffle(parts)
                    name = " ".join(parts).upper()
                reply = read_reply(
                    "I could test what is\nblue. So:\n" + chance.choice(dress).format(name), words, offered
                )
                assert (reply.kind, reply.place) == ("test", place)
                assert reply.action(world.choices) == place
            else:
                number = chance.randrange(world.hypotheses)
                reply = read_reply(answer_line(words, number), words, offered)
                assert (reply.kind, reply.hypothesis) == ("answer", number)
                assert reply.action(world.choices) == world.choices + number


@pytest.mark.parametrize("memory", ["log", "table"])
def test_logs_round_trip(words: Words, memory: Memory) -> None:
    chance = random.Random(1)
    for length in range(40):
        tests = [Test(chance.randrange(len(words.objects)), chance.random() < 0.5) for _ in range(length)]
        wasted = [*tests, Test(-1, False)]
        chance.shuffle(wasted)
        kept = [test for test in wasted if test.number >= 0]
        assert words.read_log(words.log(wasted, memory)) == kept


def test_logs_of_others() -> None:
    words = Words(single(values=3).build())
    with pytest.raises(DataError, match="pink cube"):
        words.read_log("1. pink cube: lit up")
    with pytest.raises(ConfigError, match="transcript"):
        words.log([], "transcript")
    assert words.read_log("nothing at all") == []


REPLIES: list[tuple[Any, str, str | None]] = [
    ("TEST: red cube smooth", "test", None),
    ("TEST red smooth cubes", "test", None),
    ("test - the Smooth, RED (cube)!", "test", None),
    ("I would TEST the blue one.\nTEST: smooth red cube\nThat splits best.", "test", None),
    ("TEST: rough blue ball\nNo, wait.\nTEST: smooth red cube", "test", None),
    ("smooth red cube", "test", None),
    ("**TEST:**\n\nsmooth red cube", "test", None),
    ("TEST:\n```\nsmooth red cube\n```\nThat is it.", "test", None),
    ("TEST:\nThat is it.\nsmooth red cube", "nothing", "unknown object"),
    ("<think>TEST: blue</think>\n\n  * TEST: <smooth red cube>", "test", None),
    ("ANSWER: colour = red", "answer", None),
    ("**Answer:** it is the colour: red!", "answer", None),
    ("", "nothing", "empty"),
    (" \n\t\n", "nothing", "empty"),
    (None, "nothing", "empty"),
    (b"TEST: red", "nothing", "invalid"),
    ("I do not know.", "nothing", "invalid"),
    ("TEST: the moon", "nothing", "unknown object"),
    ("TEST:", "nothing", "unknown object"),
    ("TEST: smooth red blue cube", "nothing", "unknown object"),
    ("TEST: smooth white cube", "nothing", "unknown object"),  # A colour that this world does not have.
    ("TEST: small smooth red cube", "nothing", "unknown object"),  # A dimension that it does not have.
    ("TEST: red cube", "nothing", "ambiguous object"),
    ("ANSWER: red and cube", "nothing", "unknown answer"),
    ("ANSWER: I give up", "nothing", "unknown answer"),
    ("TEST: red" * (LONGEST // 9 + 1), "nothing", "too long"),
    ("\x00\ud800\u202e", "nothing", "invalid"),
]


@pytest.mark.parametrize(("text", "kind", "failure"), REPLIES)
def test_replies(text: Any, kind: str, failure: str | None) -> None:
    words = Words(single(values=3, mode="answer").build())
    reply = read_reply(text, words, range(27))
    assert (reply.kind, reply.failure) == (kind, failure)
    if kind == "test":
        assert reply.place == 0
    if kind == "nothing":
        assert reply.action(27) == -1


def test_what_a_part_of_the_name_is_enough_for() -> None:
    words = Words(single(values=3).build())
    assert read_reply("TEST: red cube", words, [0, 13, 26]).place == 0
    assert read_reply("TEST: smooth red cube", words, [13, 26]).failure == "unknown object"
    assert read_reply("ANSWER: red", words, [0]).failure == "no answers"


@pytest.mark.parametrize(
    "text",
    [
        "x" * 10_000_000,
        "TEST: " * 33_000,
        "\n" * LONGEST,
        " " * LONGEST,
        "-" * LONGEST,
        "TEST: red\n" * 19_000,
        "**" * 99_000,
    ],
)
def test_long_nonsense_is_read_fast(text: str) -> None:
    words = Words(conjunction(values=5).build())
    began = time.process_time()
    assert read_reply(text, words, range(125)).kind == "nothing"
    assert time.process_time() - began < 2


@given(st.text(max_size=200))
def test_any_text_is_understood_or_not(text: str) -> None:
    words = Words(single(values=2, mode="answer").build())
    reply = read_reply(text, words, range(8))
    assert (reply.kind == "nothing") == (reply.failure is not None)
    assert -1 <= reply.action(8) < 14


@pytest.mark.parametrize("reasoning", ["plain", "steps", "guided"])
@pytest.mark.parametrize("memory", ["transcript", "log", "table"])
def test_an_episode_is_that_of_the_light_world(reasoning: Any, memory: Memory) -> None:
    world = conjunction(values=3, budget=12).build()
    text = TextWorld(world, FeaturePrompt(reasoning=reasoning, memory=memory))
    light = LightWorld(world)
    messages = text.reset(seed=3)
    light.reset(3)
    assert [message["role"] for message in messages] == ["system", "user"]
    chance, steps = random.Random(0), 0
    while not light.finished:
        listed = read_objects(text.messages[-1]["content"], text.words)
        assert sorted(listed) == text.offered
        number = chance.choice(listed)
        turn = text.reply(f"TEST: {text.words.object(number)}")
        light.step(number)
        steps += 1
        assert (turn.stage, turn.lit, turn.finished, turn.success) == ("act", light.lit, light.finished, light.success)
        if turn.finished:
            break
        if memory == "transcript":
            assert len(text.messages) == 2 + 2 * steps
            said = "lit up" if light.lit else "stayed dark"
            assert f"The {text.words.object(number)} {said}." in text.messages[-1]["content"]
        else:
            assert len(text.messages) == 2
            shown = text.words.read_log(text.messages[-1]["content"])
            assert [(test.number, test.lit) for test in shown] == [(test.number, test.lit) for test in text.tests]
    with pytest.raises(DataError, match="a reply where none"):
        text.reply("TEST: red")


def test_one_retry_then_a_wasted_step() -> None:
    world = single(values=3, budget=3).build()
    text = TextWorld(world, FeaturePrompt())
    text.reset(0)
    turn = text.reply("hm")
    assert (turn.stage, turn.failure, text.light.steps) == ("retry", "invalid", 0)
    assert text.messages[-2] == {"role": "assistant", "content": "hm"}
    assert "begins with" in text.messages[-1]["content"]
    turn = text.reply("TEST: the moon")
    assert (turn.stage, turn.failure, text.light.steps) == ("act", "unknown object", 1)
    assert text.failures == ["invalid", "unknown object"]
    assert "none yet" in text.messages[-1]["content"]
    assert text.reply("").stage == "retry"
    assert text.reply("TEST: smooth red cube").stage == "act"
    assert text.light.tested == 0


def test_self_correction_asks_once() -> None:
    world = single(values=3, budget=9).build()
    text = TextWorld(world, FeaturePrompt(self_correction=True))
    text.reset(0)
    turn = text.reply("TEST: smooth red cube")
    assert (turn.stage, text.light.steps) == ("check", 0)
    assert "smooth red cube" in text.messages[-1]["content"]
    turn = text.reply("TEST: rough green ball")
    assert (turn.stage, text.light.steps, text.light.tested) == ("act", 1, 13)
    assert text.reply("TEST: rough green cube").stage == "check"


def test_talk_about_a_choice_does_not_undo_it() -> None:
    text = TextWorld(single(values=3, budget=9).build(), FeaturePrompt(self_correction=True, retries=1))
    text.reset(0)
    stages = [text.reply(said).stage for said in ("TEST: smooth red cube", "Yes, I keep it.", "I said so.")]
    assert (stages, text.light.tested, len(text.failures)) == (["check", "retry", "act"], 0, 2)
    # Where nothing was chosen, the step is wasted as ever.
    stages = [text.reply(said).stage for said in ("Well.", "Well.")]
    assert (stages, text.light.tested, text.light.steps) == (["retry", "act"], -1, 2)


def test_answers_end_it() -> None:
    world = single(values=3, mode="answer", budget=9).build()
    for right in (True, False):
        text = TextWorld(world)
        text.reset(5)
        truth = text.light.truth
        turn = text.reply(answer_line(text.words, truth if right else (truth + 1) % 9))
        assert (turn.finished, turn.success) == (True, right)


def test_the_list_is_shuffled_unless_told_otherwise() -> None:
    world = single(values=3).build()
    text = TextWorld(world)
    text.reset(0)
    first = read_objects(text.messages[-1]["content"], text.words)
    text.reply("TEST: smooth red cube")
    second = read_objects(text.messages[-1]["content"], text.words)
    assert first != second
    text.reset(0)
    assert read_objects(text.messages[-1]["content"], text.words) == first
    text = TextWorld(world, FeaturePrompt(shuffle=False))
    text.reset(0)
    assert read_objects(text.messages[-1]["content"], text.words) == list(range(27))
    with pytest.raises(DataError, match="without a list"):
        read_objects("Objects:\n- a moon", text.words)


def test_instructions_say_what_there_is_and_not_the_truth() -> None:
    for config in WORLDS:
        world = config.build()
        texts = {
            instructions(Words(world), FeaturePrompt(reasoning=reasoning)) for reasoning in ("plain", "steps", "guided")
        }
        assert len(texts) == 3
        for text in texts:
            assert all(value in text for values in Words(world).values[: len(config.dimensions)] for value in values)
            assert "ANSWER:" in text
    assert "size of an object never matters" in instructions(Words(WORLDS[2].build()), FeaturePrompt())
    assert "2 of them or more" in instructions(Words(WORLDS[2].build()), FeaturePrompt())
    assert "ANSWER" not in instructions(Words(single().build()), FeaturePrompt())
    # Where tests may err, that one tells all is not said.
    exact, noisy = (instructions(Words(single(noise=noise).build()), FeaturePrompt()) for noise in (0.0, 0.1))
    assert "testing the same one again tells nothing new" in exact
    assert noisy == exact.replace(", and testing the same one again tells nothing new", "")


def test_long_replies_stay_with_their_ends() -> None:
    text = TextWorld(single(values=3).build(), FeaturePrompt(memory="transcript"))
    text.reset(0)
    text.reply("x" * 50_000 + "\nTEST: smooth red cube")
    assert len(text.messages[-2]["content"]) == 20_000
    assert text.messages[-2]["content"].endswith("TEST: smooth red cube")
