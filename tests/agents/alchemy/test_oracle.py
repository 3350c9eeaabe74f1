"""The oracle: what it promises is what it gets, and what was published is what it promises."""

from __future__ import annotations

import pytest
import torch

from percepts.agents.alchemy.bots import CashOnly, RandomHeuristic
from percepts.agents.alchemy.oracle import OracleAgent, known_of, oracle_scores
from percepts.agents.alchemy.playing import look, play
from percepts.core.errors import CapabilityError
from percepts.envs.alchemy.chemistry import POTIONS
from percepts.envs.alchemy.reading import read
from percepts.envs.alchemy.table import Rewards, Table

SEEDS = range(60)


@pytest.mark.parametrize("level", ["rotation-random-bottleneck", "random-bottleneck", "fixed-bottleneck3"])
def test_plays_what_it_promises(level: str) -> None:
    table = Table.Config(level=level, trials=3).build()
    promised = oracle_scores(table, table.episodes(SEEDS))
    played = play(OracleAgent(table), table, SEEDS)
    assert torch.equal(played.scores.double(), promised)
    assert played.tracked["no_change"].per_trial.sum() == 0
    for bot in (RandomHeuristic(table), CashOnly(table)):
        assert (play(bot, table, SEEDS).scores.double() <= promised).all()


@pytest.mark.parametrize(
    "settings",
    [
        {"stones": 2, "potions": 5},
        {"steps": 4},
        {"end_trial": True},
        {"rewards": Rewards(weights=(2.0, 1.0, -3.0), offset=1.0, bonus=5.0)},
        {"potions": 0},
    ],
)
def test_plays_what_it_promises_on_other_tables(settings: dict[str, object]) -> None:
    table = Table.Config(level="rotation-random-bottleneck", trials=3, **settings).build()  # type: ignore[arg-type]
    promised = oracle_scores(table, table.episodes(SEEDS))
    torch.testing.assert_close(play(OracleAgent(table), table, SEEDS).scores.double(), promised)


def test_scores_are_those_of_the_level() -> None:
    """288.5 +- 1.5 on the paper's 1000 episodes; that no bottlenecks are easier, 315, was measured by others."""
    table = Table.Config(level="random-bottleneck").build()
    scores = oracle_scores(table, table.episodes(range(1000))).sum(1)
    assert 282.5 <= scores.mean() <= 293
    table = Table.Config(level="no-bottleneck").build()
    assert oracle_scores(table, table.episodes(range(200))).sum(1).mean() == pytest.approx(315, abs=10)


def test_knows_the_table_from_what_is_seen() -> None:
    table = Table.Config(level="rotation-random-bottleneck").build()
    state = table.reset(range(40))
    known = known_of(read(look(state)), state.chemistry)
    assert torch.equal(known.stones, state.stones)
    assert torch.equal(known.counts, torch.nn.functional.one_hot(state.potions, POTIONS).sum(1))


def test_needs_to_be_told() -> None:
    table = Table.Config().build()
    with pytest.raises(CapabilityError, match=r"'chemistry'.*Try: play"):
        OracleAgent(table).act({"symbolic": torch.zeros(1, 39)})
