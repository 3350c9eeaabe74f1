"""Alchemy in words: nothing is lost on the way into words and back, and whatever is written is a step."""

from __future__ import annotations

import dataclasses
import random
import time
from typing import Any

import pytest
import torch

from percepts.core.errors import ConfigError, DataError
from percepts.envs.alchemy.chemistry import chemistry_tables
from percepts.envs.alchemy.table import Rewards, Table
from percepts.envs.alchemy.text import TOLD, TextAlchemy, text_table
from percepts.envs.alchemy.text_replies import Reply, action_text, read_action
from percepts.envs.alchemy.text_scenes import Echo, Scene, Stone, read_scene, scene_text

TABLE = text_table()
NOTHING = 1


def game_of(**settings: Any) -> TextAlchemy:
    table = settings.pop("table", TABLE)
    return TextAlchemy.Config(table=table, **settings).build()


@pytest.mark.parametrize(
    ("table", "count"),
    [
        (text_table(20, 10), 10_000),
        (text_table(10, level="rotation-random-bottleneck", end_trial=False), 3000),
        (Table.Config(level="no-bottleneck", stones=5, potions=3, end_trial=True, rewards=Rewards(bonus=0.37)), 3000),
    ],
    ids=["usual", "rotated", "other sizes and rewards"],
)
def test_ten_thousand_states_and_actions_survive_the_words(table: Table.Config, count: int):
    game = game_of(table=table, announced=bool(table.switch_trials))
    state, seen, kinds = game.reset(range(100)), 0, set()
    generator = torch.Generator().manual_seed(0)
    while seen < count:
        if bool(state.table.finished.all()):
            state = game.reset(range(seen, seen + 100))
        actions = torch.randint(0, table.actions, (100,), generator=generator).tolist()
        words = [action_text(table, action) for action in actions]
        assert [read_action(table, text) for text in words] == [Reply(action) for action in actions]
        # Now and then somebody writes nonsense, which is told, too.
        words[::13] = ["?"] * len(words[::13])
        state, _ = game.step(state, words)
        for scene in state.scenes:
            assert read_scene(scene_text(scene)) == scene
            kinds.add(scene.echo.kind if scene.echo is not None else None)
            seen += 1
    assert kinds >= {"dip", "bank", "nothing", "failed"} | ({"end"} if table.end_trial else set())


def test_a_game_in_words_is_the_game_of_the_table():
    game = game_of(table=text_table(3, 2))
    table, generator = game.table, torch.Generator().manual_seed(1)
    state, plain = game.reset(range(32)), table.reset(range(32))
    while not bool(plain.finished.all()):
        actions = torch.randint(0, table.actions, (32,), generator=generator)
        state, turns = game.step(state, [action_text(table.config, one) for one in actions.tolist()])
        plain, outcome = table.step(plain, actions)
        assert torch.equal(turns.outcome.reward, outcome.reward)
        assert torch.equal(state.table.score, plain.score)
    assert game.texts(state) == [None] * 32
    assert all(scene.over for scene in state.scenes)


def test_what_is_shown_is_what_the_table_holds():
    game = game_of()
    state = game.reset(range(50))
    colours, places = game.table.perceived_potions(state.table), game.table.perceived_stones(state.table)
    shown = chemistry_tables().shown
    for row, scene in enumerate(state.scenes):
        assert list(scene.potions) == colours[row].tolist()
        for slot, stone in enumerate(scene.stones):
            assert stone is not None
            assert list(stone.coordinates) == places[row, slot].tolist()
            reward = int(shown[state.table.stones[row, slot]])
            assert stone.reward == (15 if reward == 3 else reward)


def test_the_last_action_of_a_trial_is_told_with_the_rules_that_it_was_done_under():
    game = game_of(table=text_table(2, 1, steps=1))
    state = game.reset(range(200))
    after, turns = game.step(state, ["ACTION: stone 0 into potion 0"] * 200)
    told = 0
    for row, scene in enumerate(after.scenes):
        assert scene.step == 0
        assert scene.trial == 1
        assert scene.echo is not None
        vertex = int(turns.outcome.after[row])
        old = state.table.chemistry.rows(row)
        place = chemistry_tables().coordinates[old.rotation, old.stone_map, vertex].long().tolist()
        assert scene.echo.after is not None
        assert list(scene.echo.after.coordinates) == place
        before = state.scenes[row].stones[0]
        assert scene.echo.changed == (before is not None and list(before.coordinates) != place)
        told += not scene.echo.changed
    assert 0 < told < 200


def test_a_change_of_rules_is_told_only_if_it_is_to_be():
    for announced in (False, True):
        game = game_of(table=text_table(4, 2), announced=announced)
        state, changed = game.reset([0]), []
        for _ in range(3):
            state, _ = game.step(state, ["ACTION: end the trial"])
            changed.append("rules have changed" in (game.texts(state)[0] or ""))
        assert changed == [False, announced, False]


def test_a_turn_reads_as_expected():
    scene = Scene(
        2, 10, 4, 20, 14.0, (Stone((1, 1, 1), 15.0), None), (0, None, 5),
        Echo("dip", 0, 1, 3, Stone((1, 1, 1), 15.0), True),
    )  # fmt: skip
    assert scene_text(scene) == (
        "Last action: stone 0 into potion 1 (yellow). The stone is now blue large round with reward +15.\n"
        "Trial 3 of 10, step 5 of 20\n"
        "Stones:\n0: blue large round with reward +15\n1: none\n"
        "Potions:\n0: red\n1: none\n2: turquoise\n"
        "Score of this trial: +14"
    )
    assert read_scene("Your summary:\nred does this\n\n" + scene_text(scene) + "\n\nthanks") == scene


@pytest.mark.parametrize("text", ["", "hello", "Trial 1 of 2, step 1 of 3\nStones:", "Trial 1 of 2, step 1 of 3\nx"])
def test_a_text_that_shows_no_turn_is_refused(text: str):
    with pytest.raises(DataError):
        read_scene(text)


def test_a_damaged_turn_is_refused():
    text = scene_text(game_of().reset([3]).scenes[0])
    for old, new in (("Potions:", "Bottles:"), ("reward", "price"), ("Score of this trial: +0", "Score: much")):
        with pytest.raises(DataError):
            read_scene(text.replace(old, new))


DIP, BANK = 2 + 13 + 1 + 3, 2 + 13 * 2


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("ACTION: stone 1 into potion 3", DIP),
        ("action: <1> <3>", DIP),
        ("**ACTION:** put #1 into #3.", DIP),
        ("> Action - stone <1>, potion <3>", DIP),
        ("ACTION: potion 3 for stone 1", DIP),
        ("ACTION: use potion #3 on 1", DIP),
        ("ACTION: stone 1 (blue small round, reward +1) into potion 3 (red)", DIP),
        ("ACTION:\n\nstone 1 into potion 3", DIP),
        ("The action is to put stone 0 into potion 0.\nACTION: 1, 3", DIP),
        ("ACTION: stone 0 into potion 0\nNo, better:\nACTION: stone 1 into potion 3\nThat is it.", DIP),
        ("ACTION: stone 2 into the cauldron", BANK),
        ("ACTION: CAULDRON <2>", BANK),
        ("ACTION: end the trial", 0),
        ("ACTION: END", 0),
        ("ACTION: end trial 3", 0),
        ("ACTION: do not end the trial, stone 1 into potion 3", DIP),
        ("ACTION: nothing", NOTHING),
        ("ACTION: no-op", NOTHING),
    ],
)
def test_what_can_be_understood(text: str, action: int):
    assert read_action(TABLE, text) == Reply(action)


@pytest.mark.parametrize(
    ("text", "failure"),
    [
        (None, "empty"),
        ("", "empty"),
        (" \n\t ", "empty"),
        (b"ACTION: end", "empty"),
        ("I put stone 1 into potion 3", "no action"),
        ("my ACTION: stone 1 into potion 3", "no action"),
        ("ACTIONS speak louder: 1 3", "no action"),
        ("ACTION:", "not understood"),
        ("ACTION: stone", "not understood"),
        ("ACTION: 1", "not understood"),
        ("ACTION: 1 2 3", "not understood"),
        ("ACTION: stone 1 to end the trial", "not understood"),
        ("ACTION: 1 in the end", "not understood"),
        ("ACTION: the cauldron", "not understood"),
        ("ACTION: stone 1 into potion 3 over the cauldron", "not understood"),
        ("ACTION: stone ١ into potion ٣", "not understood"),
        ("ACTION: stone 3 into potion 0", "no such stone"),
        ("ACTION: stone 1 into potion 12", "no such potion"),
        ("ACTION: stone 1 into potion " + "9" * 5000, "no such potion"),
        ("ACTION: end the trial", "no ending"),
    ],
)
def test_what_cannot_be_understood_says_why(text: Any, failure: str):
    table = text_table(end_trial=failure != "no ending")
    assert read_action(table, text) == Reply(int(table.end_trial), failure)  # type: ignore[arg-type]


def test_ten_megabytes_are_read_in_no_time():
    megabytes = 10_000_000
    began = time.process_time()
    assert read_action(TABLE, "x" * megabytes).failure == "no action"
    assert read_action(TABLE, "\n" * megabytes + "ACTION: 1 3") == Reply(DIP)
    assert read_action(TABLE, "ACTION: 1 3\n" * (megabytes // 12)) == Reply(DIP)
    assert read_action(TABLE, "ACTION: " + "*" * megabytes).failure is not None
    assert read_action(TABLE, "ACTION: " + "<" * 90_000).failure == "not understood"
    assert read_action(TABLE, " " * 90_000 + "action").failure == "no action"
    assert time.process_time() - began < 2


def test_random_text_is_never_an_exception():
    letters, chance = "ACTION: stone potion cauldron\n<>#0123456789 end nothing*\u2028ß", random.Random(0)
    for _ in range(3000):
        text = "".join(chance.choice(letters) for _ in range(chance.randrange(60)))
        reply = read_action(TABLE, "ACTION" + text)
        assert 0 <= reply.action < TABLE.actions


def test_bad_replies_cost_a_step_and_nothing_else():
    game = game_of()
    state = game.reset([0] * 5)
    replies = ["ACTION: stone 0 into the cauldron", None, "hm", "ACTION: stone 0 into potion 0", "ACTION: nothing"]
    state, turns = game.step(state, replies)
    assert turns.failures == (None, "empty", "no action", None, None)
    assert state.table.step.tolist() == [1] * 5
    again = ["ACTION: stone 0 into potion 1", "", "x", "ACTION: stone 1 into potion 0", "ACTION: nothing"]
    after, turns = game.step(state, again)
    assert turns.failures == ("stone gone", "empty", "no action", "potion used", None)
    assert torch.equal(after.table.stones[0], state.table.stones[0])
    assert torch.equal(after.table.potion_here[0], state.table.potion_here[0])
    assert "came to nothing (stone gone)" in (game.texts(after)[0] or "")
    with pytest.raises(DataError, match="4 replies"):
        game.step(after, ["x"] * 4)


def test_a_game_that_is_over_stands_still():
    game = game_of(table=text_table(1))
    state, _ = game.step(game.reset([0, 1]), ["ACTION: end the trial", "ACTION: nothing"])
    assert [text is None for text in game.texts(state)] == [True, False]
    after, turns = game.step(state, ["nonsense", "ACTION: nothing"])
    assert after.scenes[0] == state.scenes[0]
    assert turns.outcome.reward[0] == 0


def test_every_block_of_prior_knowledge_is_its_own_switch():
    plain = game_of().instructions()
    texts = {block: game_of(told=(block,)).instructions() for block in TOLD}
    marks = {"rewards": "+15", "pairs": "red and green", "determinism": "always does the same"}
    for block, text in texts.items():
        assert [mark in text for mark in marks.values()] == [name == block for name in marks]
    assert not any(mark in plain for mark in marks.values())
    assert all(mark in game_of(told=TOLD).instructions() for mark in marks.values())
    # Nothing says that the rules outlast a trial.
    assert "same rules" not in plain
    assert len({game_of(reasoning=one).instructions() for one in ("plain", "steps", "guided")}) == 3
    assert "end the trial" not in game_of(table=text_table(end_trial=False)).instructions()


@pytest.mark.parametrize("told", [("rules",), ("pairs", "pairs")])
def test_unknown_blocks_are_refused(told: tuple[Any, ...]):
    with pytest.raises(ConfigError):
        TextAlchemy.Config(told=told)


@pytest.mark.parametrize("switch", [0, 10, 11])
def test_a_switch_outside_of_the_game_is_refused(switch: int):
    with pytest.raises(ConfigError):
        text_table(10, switch)


def test_scenes_of_the_same_state_are_equal():
    game = game_of()
    assert game.reset([7]).scenes == game.reset([7]).scenes
    assert dataclasses.replace(game.reset([7]).scenes[0], step=1) != game.reset([7]).scenes[0]
