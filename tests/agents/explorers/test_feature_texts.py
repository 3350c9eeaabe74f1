"""Feature World in words: programs that read what a model would read, and explorers that do not reason."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from percepts.agents.explorers.feature_learners import Curious, LearnedTester, TesterTraining, learned, object_inputs
from percepts.agents.explorers.feature_policies import RandomTests
from percepts.agents.explorers.feature_scores import Episodes, run_episodes
from percepts.agents.explorers.feature_texts import WordPlayer, episode_of, play_words, spoken
from percepts.agents.explorers.language import Asking
from percepts.core.errors import ConfigError
from percepts.envs.feature_world.observations import observe
from percepts.envs.feature_world.text import FeaturePrompt, TextWorld
from percepts.envs.feature_world.worlds import single, table_top
from percepts.foundation.scripted import Scripted

ASKING = Asking(workers=1)


def played(player: str, episodes: int = 30, memory: Any = "log", **settings: Any) -> Episodes:
    world = single(**settings).build()
    texts = [TextWorld(world, FeaturePrompt(memory=memory)) for _ in range(episodes)]
    return play_words(texts, WordPlayer(texts[0], player), range(episodes), ASKING)


@pytest.mark.parametrize("memory", ["log", "table", "transcript"])
def test_the_optimal_player_reads_any_memory(memory: Any):
    found = played("optimal", memory=memory)
    assert found.tests_taken.mean <= 4.9
    assert found.success.all()
    assert float(found.regret.max()) == pytest.approx(0, abs=1e-12)


def test_random_players_test_more_and_learn_less():
    optimal, random, repeats = (played(name, budget=40) for name in ("optimal", "random", "random-repeats"))
    assert optimal.tests_taken.mean + 1 < min(random.tests_taken.mean, repeats.tests_taken.mean)
    assert random.mean_regret.mean > 0.1
    assert random.success.all()


def test_players_answer_when_they_know():
    found = played("optimal", mode="answer", budget=40)
    assert found.success.all()
    assert found.tests_taken.mean <= 4.9
    # Where some rules cannot be told apart by what is on offer, it answers with one of them.
    world = table_top(mode="answer", objects=3, distinguishing=False, budget=8).build()
    texts = [TextWorld(world) for _ in range(20)]
    assert play_words(texts, WordPlayer(texts[0]), range(20), ASKING).success.all()


def test_an_answer_is_no_test_that_could_be_regretted():
    told, ended = (played("random-repeats", episodes=12, mode=mode, budget=60) for mode in ("answer", "identify"))
    assert told.tests.tolist() == ended.tests.tolist()
    assert told.regret.tolist() == ended.regret.tolist()
    world = single(values=3, mode="answer").build()
    text = TextWorld(world)
    guessed = play_words([text], Scripted(["ANSWER: colour = red"]), [0], ASKING)
    assert (guessed.tests.tolist(), guessed.regret.tolist()) == ([0], [0.0])


def test_a_model_that_says_nothing_loses_its_budget():
    world = single(budget=5).build()
    texts = [TextWorld(world, FeaturePrompt(retries=1)) for _ in range(3)]
    heard: list[Any] = []

    def watch(row: int, exchange: Any, turn: Any) -> None:
        heard.append((row, exchange.facts["stage"]))

    found = play_words(texts, Scripted(lambda _: ""), range(3), ASKING, watch)
    assert found.tests.tolist() == [5, 5, 5]
    assert not found.decided.any()
    assert len(heard) == 3 * 5 * 2
    assert episode_of(texts[0])["failures"] == 10
    assert found.regret.min() > 0.3


def test_what_is_new_is_told_once():
    world = single().build()
    text = TextWorld(world, FeaturePrompt(memory="transcript", self_correction=True))
    told: list[str] = []

    def watch(row: int, exchange: Any, turn: Any) -> None:
        told.extend(message.content for message in exchange.messages)

    play_words([text], WordPlayer(text), [3], ASKING, watch)
    said = [message.text for message in spoken(text) if message.role == "user"]
    assert told == said[: len(told)]
    assert len(told) >= len(said) - 1


def test_unknown_players_and_uneven_numbers_are_refused():
    text = TextWorld(single().build())
    with pytest.raises(ConfigError, match="did you mean 'optimal'"):
        WordPlayer(text, "optimum")
    with pytest.raises(ConfigError, match="2 seeds for 1"):
        play_words([text], WordPlayer(text), [0, 1], ASKING)
    with pytest.raises(ConfigError):
        play_words([], WordPlayer(text), [], ASKING)


def test_the_curious_explorer_tests_what_it_has_seen_least():
    world = single(values=3, budget=40).build()
    agent, memory = Curious(world, seed=0), None
    state = world.reset(range(50))
    seen = []
    for _ in range(3):
        action, memory = agent.act(observe(world, state, agent.keys), memory)
        seen.append(world.tables.features[action])
        # Without a step of the world the agent is told of what it tested here.
        state, _ = world.step(state, action)
        state = type(state)(**{**vars(state), "finished": torch.zeros_like(state.finished)})
    values = torch.stack(seen, 2)
    # Three tests show all three values of every dimension.
    assert (values.sort(2).values == torch.arange(3)).all()


def test_curiosity_alone_is_no_search_for_information():
    world = single(values=3, budget=60).build()
    curious = run_episodes(world, Curious(world), 200, 0)
    assert curious.success.all()
    assert curious.tests_taken.mean > run_episodes(world, RandomTests(world), 200, 0).tests_taken.mean


def test_rewards_teach_to_test_well():
    world = single(values=3, budget=40).build()
    before = run_episodes(world, LearnedTester(world), 200, 0).tests_taken.mean
    policy = learned(single(values=3).build(), TesterTraining(updates=40), seed=0)
    after = run_episodes(world, policy, 200, 0).tests_taken.mean
    assert after < run_episodes(world, RandomTests(world), 200, 0).tests_taken.mean - 0.3
    assert after < before - 0.5


def test_learning_is_a_function_of_its_seed():
    world = single(values=3).build()
    few = TesterTraining(updates=2, batch=8)
    one, same, other = (learned(world, few, seed=seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters()))
    assert not all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters()))
    # What happens in an episode does not depend on the others.
    some, fewer = run_episodes(world, one, 20, 5), run_episodes(world, one, 5, 5)
    assert torch.equal(some.tests[:5], fewer.tests)


def test_what_tests_showed_of_an_object():
    objects = torch.tensor([[[0, 0], [0, 1], [1, 0], [1, 1]]])
    inputs = object_inputs(torch.tensor([[1.0, -1.0, 0.0, 0.0]]), objects, (2, 2))[0]
    # Never tested, only lit, only dark, both; lit, dark, any lit, any lit times only lit.
    assert inputs.tolist() == [
        [0, 1, 0, 1, 1, 0, 1, 1],
        [0, 0, 1, 1, 0, 1, 1, 0],
        [1, 1, 0, 0, 0, 0, 1, 1],
        [1, 0, 1, 0, 0, 0, 1, 0],
    ]


def test_learners_need_worlds_that_end_by_themselves():
    with pytest.raises(ConfigError, match="answers"):
        learned(single(mode="answer").build())
    with pytest.raises(ConfigError):
        TesterTraining(updates=0)
