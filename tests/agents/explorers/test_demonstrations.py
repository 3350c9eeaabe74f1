"""Trials that a language model watches before it plays: by whom, under which rules, in which form, and where they
stand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from percepts.agents.explorers.alchemy_runs import AlchemyRun
from percepts.agents.explorers.contexts import ContextMemory
from percepts.agents.explorers.demonstrations import Demonstrations, Lesson, system_texts
from percepts.agents.explorers.dialogue import play_text
from percepts.agents.explorers.language import LanguagePlayer
from percepts.agents.explorers.runs import ExplorerRun
from percepts.core.errors import ConfigError
from percepts.envs.alchemy.chemistry import POTION_COLOURS, chemistry_tables
from percepts.envs.alchemy.levels import Level
from percepts.envs.alchemy.text import TextAlchemy, text_table
from percepts.envs.alchemy.text_scenes import properties_text, read_scene
from percepts.foundation.model import Message
from percepts.foundation.openai_server import OpenAIServer
from percepts.foundation.scripted import Scripted
from percepts.foundation.transcripts import read_transcript

SEEDS = range(40)
GAME = TextAlchemy.Config(table=text_table(trials=4, steps=12, switch=2)).build()
DIP = re.compile(r"Trial \d+: (.+) stone \(.+\) into (\w+) potion: (?:became (.+) \(|no change)")


def below(settings: Demonstrations, seeds: Sequence[int] = SEEDS, game: TextAlchemy = GAME) -> list[str]:
    """What stands below the instructions."""
    texts = system_texts(game, settings, seeds)
    assert all(text.startswith(game.instructions() + "\n\nRead first how another player played") for text in texts)
    return [text.removeprefix(game.instructions()) for text in texts]


def agrees(text: str, row: int) -> bool:
    """Whether what a log tells of potions is what they do in the first trials of game number `row`."""
    tables, table = chemistry_tables(), GAME.table.reset(SEEDS)
    graph, potions, stones, rotation = (int(part[row]) for part in vars(table.chemistry).values())
    places = [(a, b, c) for a, b, c in tables.coordinates[rotation, stones].long().tolist()]
    looks = [properties_text(place) for place in places]
    found = DIP.findall(text)
    assert found
    for before, colour, after in found:
        latent = int(tables.latent_potion[potions, POTION_COLOURS.index(colour)])
        becomes = looks[int(tables.transition[graph, looks.index(before), latent])]
        if becomes != (after or before):
            return False
    return True


def model_run(**settings: Any) -> AlchemyRun:
    server = OpenAIServer.Config(model="m", base_url="http://localhost:1/v1")
    return AlchemyRun(agent="model", model=server, episodes=2, **settings)


def test_rules_are_those_of_the_game_or_others():
    logs = below(Demonstrations(trials=2, rules="same", form="log"))
    assert all(agrees(text, row) for row, text in enumerate(logs))
    others = below(Demonstrations(trials=2, rules="other", form="log"))
    assert sum(agrees(text, row) for row, text in enumerate(others)) < 10
    assert all("under the rules of your game" in text for text in logs)
    assert all("says nothing about yours" in text for text in others)


@pytest.mark.parametrize("level", ["fixed", "fixed-bottleneck2"])
def test_where_rules_are_always_the_same_no_others_can_be_shown(level: str):
    game = TextAlchemy.Config(table=replace(GAME.config.table, level=level)).build()
    assert below(Demonstrations(rules="same"), range(3), game)
    with pytest.raises(ConfigError, match=rf"no others on the level '{level}'.*rules='same'"):
        system_texts(game, Demonstrations(rules="other"), range(3))
    with pytest.raises(ConfigError, match="no others"):
        model_run(game=game.config, player=LanguagePlayer.Config(demonstrations=Demonstrations()))


def test_other_rules_are_drawn_until_they_are_others():
    level = Level(graphs=(3,), random_maps=False, rotation=True)
    game = TextAlchemy.Config(table=replace(GAME.config.table, level=level)).build()
    seeds = range(200)
    lesson = Lesson(Demonstrations(), game)
    theirs, ours = game.table.reset(seeds).chemistry.rotation, lesson.reset(seeds).table.chemistry.rotation
    assert not (theirs == ours).any()
    assert len(set(ours.tolist())) == 4
    alone = [int(lesson.reset([seed]).table.chemistry.rotation) for seed in seeds[:40]]
    assert alone == ours[:40].tolist()


def test_what_a_game_fixes_is_not_what_is_shown():
    items = tuple(((0, 1, 2), tuple(n % 6 for n in range(12))) for _ in range(4))
    table = replace(GAME.config.table, items=items, chemistry=(5, 6, 7, 0), switch_trials=())
    game = TextAlchemy.Config(table=table).build()
    for rules in ("same", "other"):
        state = Lesson(Demonstrations(trials=4, rules=rules), game).reset(SEEDS).table
        assert (state.stones == torch.tensor([0, 1, 2])).all(1).sum() < 4
        chemistry = torch.stack(list(vars(state.chemistry).values()), 1)
        assert (chemistry == torch.tensor([5, 6, 7, 0])).all(1).float().mean() == (rules == "same")


def test_the_same_rules_come_with_other_stones_and_potions():
    first = [read_scene(text).stones for text in GAME.texts(GAME.reset(SEEDS)) if text is not None]
    shown = [
        read_scene(text.partition("\n\nACTION: ")[0]).stones
        for text in below(Demonstrations(rules="same", by="random"))
    ]
    assert sum(one == other for one, other in zip(first, shown)) < 10


def test_turns_are_what_a_player_reads_and_writes():
    for text in below(Demonstrations(trials=2)):
        turns = re.split(r"\n\n(?=ACTION: )", text)[:-1]
        scenes = [read_scene(turn) for turn in turns]
        assert (scenes[0].trial, scenes[0].step, scenes[0].trials) == (0, 0, 2)
        assert [(scene.trial, scene.step) for scene in scenes] == sorted({(one.trial, one.step) for one in scenes})
        # The last action has no further turn that tells what came of it.
        end = text.rpartition("ACTION: ")[2].split("\n\n")
        assert end[1].startswith("Last action: ")
        assert "The trial is over. Its score: +" in end[1]
        assert end[2] == "That was the other player. Your own game begins now."


def test_the_demonstrator_matters():
    def paid(by: str) -> float:
        found = (re.findall(r"is over. Its score: (.+)", text) for text in below(Demonstrations(by=by, form="log")))
        return sum(float(score) for scores in found for score in scores)

    assert paid("oracle") > paid("sampling") > paid("random")


def test_demonstrators_that_infer_remember():
    texts = below(Demonstrations(trials=6, by="sampling", form="log"))
    scores = [[float(score) for score in re.findall(r"is over. Its score: (.+)", text)] for text in texts]
    first, *_, last = (sum(trial) for trial in zip(*scores))
    assert last > 1.3 * first


def test_equal_seeds_are_shown_equal_trials_whoever_else_plays():
    for settings in (Demonstrations(by="sampling"), Demonstrations(by="random", rules="same", form="log")):
        alone = [below(settings, [seed])[0] for seed in SEEDS[:5]]
        assert below(settings, SEEDS[:5]) == alone
        assert len(set(alone)) == 5


def test_the_model_reads_them_before_its_game_and_keeps_them():
    asked: list[Sequence[Message]] = []

    def reply(messages: Sequence[Message]) -> str:
        if "keep notes" in messages[0].text:
            return "POTIONS: none.\nBEST STONE: none."
        asked.append(messages)
        return "ACTION: end the trial"

    settings = Demonstrations(form="log", rules="same")
    memory = ContextMemory(history="trial", summary="replace")
    player = LanguagePlayer.Config(memory=memory, demonstrations=settings).build(model=Scripted(reply), game=GAME)
    play_text(GAME, player, [3])
    assert [messages[0].text for messages in asked] == system_texts(GAME, settings, [3]) * 4
    assert all(message.role != "system" for messages in asked for message in messages[1:])


def test_runs_write_down_what_was_demonstrated_and_go_on(tmp_path: Path):
    config = model_run(game=GAME.config, player=LanguagePlayer.Config(demonstrations=Demonstrations(form="log")))
    calls = 0

    def reply(messages: Sequence[Message]) -> str:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise KeyboardInterrupt
        return "ACTION: end the trial"

    run = ExplorerRun.start(config, tmp_path / "run", Scripted(reply))
    with pytest.raises(KeyboardInterrupt):
        run.play()
    again = ExplorerRun.open(tmp_path / "run", Scripted(reply))
    assert again.config == config
    rows = again.play()["rows"]
    assert len(rows) == 2
    assert calls == 1 + 2 * 4
    seeds = [again.seed_of(number) for number in range(2)]
    systems = [read_transcript(again.transcript_file(number)).system for number in range(2)]
    assert systems == system_texts(GAME, Demonstrations(form="log"), seeds)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Demonstrations(trials=0), "trials = 0"),
        (lambda: Demonstrations(by="orakle"), "did you mean 'oracle'"),  # type: ignore[arg-type]
        (lambda: Demonstrations(by=None), "Demonstrations.by = None"),  # type: ignore[arg-type]
        (
            lambda: AlchemyRun(agent="sampling", player=LanguagePlayer.Config(demonstrations=Demonstrations())),
            "a program",
        ),
        (lambda: Demonstrations(rules="equal"), "rules"),  # type: ignore[arg-type]
        (lambda: Demonstrations(form="film"), "form"),  # type: ignore[arg-type]
        (
            lambda: system_texts(
                TextAlchemy.Config(table=replace(GAME.config.table, level="rotation-no-bottleneck")).build(),
                Demonstrations(by="notebook"), [0],
            ),
            "rotates",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_demonstrated_is_refused(make, said: str):
    with pytest.raises(ConfigError, match=said):
        make()
