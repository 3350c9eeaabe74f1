"""Programs that play Alchemy in words: the curves of three memories, and how much a few facts are worth.

The thresholds are those of 120 games; 60 are played here.
"""

from __future__ import annotations

import functools

import pytest
import torch

from percepts.agents.alchemy.bots import CashOnly, RandomHeuristic
from percepts.agents.alchemy.oracle import oracle_scores
from percepts.agents.alchemy.playing import play
from percepts.agents.alchemy.searching import Thompson
from percepts.agents.explorers.alchemy_scores import (
    Judgement,
    compare,
    improvements,
    judge,
    judgement_from_json,
    judgement_json,
    learns,
)
from percepts.agents.explorers.dialogue import Answer, PlayedText, play_text
from percepts.agents.explorers.notebook import Notebook, NotebookPlayer
from percepts.agents.explorers.text_agents import PLAYERS, ThroughText, symbolic, text_player
from percepts.core.errors import ConfigError, DataError, RunError
from percepts.envs.alchemy.observations import observe
from percepts.envs.alchemy.table import Rewards, Table
from percepts.envs.alchemy.text import TextAlchemy, text_table
from percepts.envs.alchemy.text_scenes import Stone, read_scene

SWITCH = 10


@functools.cache
def played(name: str, memory: str) -> PlayedText:
    """60 games of 20 trials, the rules silently replaced before the eleventh."""
    game = TextAlchemy.Config(table=text_table(20, SWITCH)).build()
    return play_text(game, text_player(name, game, memory), range(60))  # type: ignore[arg-type]


def judged(name: str, memory: str = "reset") -> Judgement:
    return judge(played(name, memory), SWITCH)


def test_who_forgets_every_trial_does_not_improve():
    found = judged("sampling", "forget")
    assert abs(found.improvement.mean) <= 0.12
    assert found.late_after is not None
    assert 0.50 <= found.late_after.mean <= 0.66


def test_who_carries_on_improves_and_never_recovers_from_new_rules():
    found = judged("sampling", "carry")
    assert found.improvement.mean >= 0.25
    assert learns(played("sampling", "carry"), SWITCH).p < 0.01
    assert found.late_after is not None
    assert found.late_after.mean <= 0.40


def test_who_starts_again_on_a_contradiction_recovers():
    found = judged("sampling", "reset")
    assert found.improvement.mean >= 0.25
    assert found.late_after is not None
    assert found.drop is not None
    assert found.recovery is not None
    assert found.late_after.mean >= 0.88
    assert found.drop.mean < -0.2
    assert found.recovery.mean > 0.2
    # Until the rules change there is nothing to contradict.
    assert torch.equal(played("sampling", "reset").scores[:, :SWITCH], played("sampling", "carry").scores[:, :SWITCH])


def test_the_facts_of_a_short_summary_are_nearly_enough():
    notebook, carry = judged("notebook"), judged("sampling", "carry")
    assert notebook.late.mean >= 0.80 * carry.late.mean
    assert notebook.improvement.mean >= 0.2
    assert notebook.late_after is not None
    assert notebook.late_after.mean >= 0.80 * notebook.late.mean


def test_the_oracle_reaches_what_it_is_said_to_reach():
    game = TextAlchemy.Config(table=text_table(4, 2)).build()
    found = play_text(game, text_player("oracle", game), range(40))
    assert torch.equal(found.scores, found.ceiling)
    assert judge(found, 2).performance.mean == 1


def test_no_program_writes_what_cannot_be_understood():
    assert all(played(name, "reset").invalid_rate == 0 for name in ("sampling", "notebook"))


@pytest.mark.parametrize("kind", ["sampling", "random heuristic"])
def test_words_change_nothing(kind: str):
    table = text_table(4)
    game = TextAlchemy.Config(table=table).build()
    player = Thompson(game.table) if kind == "sampling" else RandomHeuristic(game.table)
    seeds = range(24)
    in_words, in_numbers = play_text(game, ThroughText(player, game), seeds), play(player, game.table, seeds=seeds)
    assert torch.equal(in_words.scores.float(), in_numbers.scores)
    assert torch.allclose(in_words.ceiling, oracle_scores(game.table, game.table.episodes(seeds)))


def test_a_text_is_read_as_the_symbolic_observation():
    game = TextAlchemy.Config(table=text_table()).build()
    player = ThroughText(CashOnly(game.table), game)
    state = game.reset(range(30))
    for _ in range(3):
        numbers = [symbolic(read_scene(text or ""), player.shown) for text in game.texts(state)]
        assert torch.allclose(torch.tensor(numbers), observe(state.table), atol=1e-6)
        state, _ = game.step(state, ["ACTION: stone 0 into potion 0", "ACTION: stone 1 into the cauldron"] * 15)


@pytest.mark.parametrize("name", PLAYERS)
def test_every_player_plays_whole_games(name: str):
    game = TextAlchemy.Config(table=text_table(2)).build()
    found = play_text(game, text_player(name, game), range(3))
    assert found.scores.shape == (3, 2)
    assert (found.ceiling >= found.scores).all()
    assert (found.steps >= 1).all()
    again = play_text(game, text_player(name, game), range(3))
    assert torch.equal(found.scores, again.scores)


def test_unknown_players_and_bad_games_are_refused():
    game = TextAlchemy.Config(table=text_table(2)).build()
    with pytest.raises(ConfigError, match="did you mean 'sampling'"):
        text_player("samplin", game)
    with pytest.raises(ConfigError, match="memory"):
        text_player("sampling", game, memory="keep")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="no seeds"):
        play_text(game, text_player("cash-only", game), [])
    rotated = TextAlchemy.Config(table=text_table(level="rotation-random-bottleneck")).build()
    with pytest.raises(ConfigError, match="rotates"):
        NotebookPlayer(rotated)
    # With these two stones that show other rewards pay alike, so that a reader cannot tell them apart.
    table = Table.Config(level="random-bottleneck", rewards=Rewards(weights=(1.0, 0.0, 0.0), bonus=0.0))
    with pytest.raises(ConfigError, match="differently rewarding"):
        text_player("cash-only", TextAlchemy.Config(table=table).build())


def test_a_player_that_does_not_answer_everybody_is_refused():
    class Silent:
        def start(self, seeds: object) -> None:
            return None

        def act(self, texts: object, state: None) -> tuple[list[Answer], None]:
            return [Answer("ACTION: nothing")], None

    with pytest.raises(RunError, match="1 replies"):
        play_text(TextAlchemy.Config(table=text_table(2)).build(), Silent(), [0, 1])


def test_a_notebook_learns_facts_and_their_opposites():
    low, high = (-1, -1, 1), (1, -1, 1)
    book = Notebook().with_stones([Stone(low, -1.0), None, Stone(high, 1.0)]).with_effect(0, low, high)
    assert book.effects == ((0, 1), (0, -1), None, None, None, None)
    assert book.best == Stone(high, 1.0)
    assert "red potion: makes stones blue" in book.text()
    assert "green potion: makes stones purple" in book.text()
    assert "best stone: blue small round with reward +1" in book.text()
    assert Notebook.read(book.text()) == book
    assert Notebook.read(Notebook().text()) == Notebook()


def test_a_notebook_forgets_what_new_rules_contradict():
    low, high = (-1, -1, 1), (1, -1, 1)
    book = Notebook().with_stones([Stone(high, 15.0)]).with_effect(0, low, high)
    # Another pair is seen to move the same property: the older fact must be wrong.
    assert book.with_effect(2, low, high).effects == (None, None, (0, 1), (0, -1), None, None)
    assert book.with_stones([Stone(high, -1.0)]) == Notebook(best=Stone(high, -1.0))


@pytest.mark.parametrize("text", ["", "red potion: unknown", "best stone: unknown"])
def test_a_notebook_that_lacks_facts_is_refused(text: str):
    with pytest.raises(DataError):
        Notebook.read(text)


def by_hand() -> PlayedText:
    """Two games of four trials; the oracle reaches nothing in one of them."""
    ceiling = torch.tensor([[10.0, 10, 10, 10], [10, 0, 20, 20]], dtype=torch.float64)
    scores = torch.tensor([[2.0, 4, 6, 8], [5, 0, 10, 20]], dtype=torch.float64)
    ones = torch.ones(2, 4, dtype=torch.int64)
    return PlayedText(scores, ceiling, 5 * ones, 2 * ones, ones, torch.tensor([[0, 1, 0, 0], [0, 0, 1, 0]]))


def test_scores_by_hand():
    found = judge(by_hand())
    assert found.first.mean == pytest.approx(0.35)
    assert found.curve[1].count == 1
    assert found.curve[1].mean == pytest.approx(0.4)
    assert found.late.mean == pytest.approx((0.7 + 0.75) / 2)
    assert found.improvement.mean == pytest.approx((0.5 + 0.25) / 2)
    assert found.robust_improvement.mean == pytest.approx((0.4 + 0.25) / 2)
    assert found.performance.mean == pytest.approx((0.5 + 2 / 3) / 2)
    assert found.invalid_rate == pytest.approx(2 / 40)
    assert found.vain_rate == 0.5
    assert found.drop is None
    assert improvements(by_hand()).tolist() == pytest.approx([0.5, 0.25])


def test_a_switch_by_hand():
    found = judge(by_hand(), 2)
    # Before: trials 1 and 2, of which the second is late; after: 3 and 4.
    assert found.late.mean == pytest.approx(0.4)
    assert found.drop is not None
    assert found.drop.mean == pytest.approx(0.6 - 0.4)
    assert found.recovery is not None
    assert found.recovery.mean == pytest.approx((0.2 + 0.5) / 2)


def test_judgements_survive_json():
    for switch in (None, 2):
        data = judgement_json(judge(by_hand(), switch))
        assert judgement_json(judgement_from_json(data)) == data
    with pytest.raises(DataError):
        judgement_from_json({})


def test_players_are_compared_in_the_same_games():
    assert compare(played("sampling", "carry"), played("notebook", "reset")).difference.mean != 0
    assert compare(played("notebook", "reset"), played("notebook", "reset")).difference.mean == 0
    with pytest.raises(DataError):
        compare(by_hand(), played("notebook", "reset"))
    # One trial before the switch has no later half.
    assert (judge(by_hand(), 1).improvement.count, judge(by_hand(), 1).late.count) == (0, 0)
    assert judge(by_hand(), 1).first.count > 0
