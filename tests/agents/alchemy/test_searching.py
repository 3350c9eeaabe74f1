"""Players that infer: they learn what can be known, and it pays."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from percepts.agents.alchemy.bots import Actions, RandomHeuristic
from percepts.agents.alchemy.oracle import OracleAgent, oracle_scores
from percepts.agents.alchemy.playing import look, play
from percepts.agents.alchemy.searching import Believer, Memory, Mind, Qmdp, Thompson, dips
from percepts.core.errors import ConfigError
from percepts.envs.alchemy.chemistry import Chemistry, graph_number
from percepts.envs.alchemy.posterior import PosteriorFilter
from percepts.envs.alchemy.reading import TableView, read
from percepts.envs.alchemy.table import Episodes, Table
from percepts.envs.streams import Streams

SEEDS = range(24)


class Listener(Believer):
    """Acts at random, and learns."""

    def plan(self, seen: TableView, mind: Mind) -> torch.Tensor:
        """Any actions, from the player's own stream, which is not advanced: the step gives the number."""
        numbers, _ = Streams(mind.streams.key, mind.streams.count + 1000 * mind.step).uniform()
        return (numbers * len(self.actions)).long()


@pytest.mark.parametrize("end_trial", [False, True])
@pytest.mark.parametrize("level", ["rotation-random-bottleneck", "random-bottleneck"])
def test_the_belief_is_the_posterior_of_what_is_visible(level: str, end_trial: bool) -> None:
    table = Table.Config(level=level, trials=3, steps=8, end_trial=end_trial).build()
    agent, knowledge = Listener(table, samples=3), PosteriorFilter(table.level)
    state = table.reset(SEEDS)
    mind = agent.start(SEEDS)
    posterior = knowledge.look(knowledge.prior(len(SEEDS)), state)
    hidden = posterior
    while not state.finished.all():
        going = ~state.finished
        action, mind = agent.act(look(state), mind)
        assert torch.equal(mind.posterior.chemistries[going], posterior.chemistries[going])
        assert torch.equal(mind.posterior.stone_maps[going], posterior.stone_maps[going])
        assert knowledge.allows(mind.posterior, mind.supposed, 3).view(-1, 3)[going].all()
        before = state
        state, outcome = table.step(state, action)
        posterior = knowledge.follow(posterior, before, outcome, state, hidden=False)
        hidden = knowledge.follow(hidden, before, outcome, state)
    assert (knowledge.entropy(hidden) <= knowledge.entropy(posterior)).all()
    assert (knowledge.entropy(hidden) < knowledge.entropy(posterior)).any()


def test_inference_pays() -> None:
    """The contrast of the paper: who infers gets better, nearly to the ceiling, who doesn't stays where it is."""
    table = Table.Config(level="random-bottleneck", trials=6, end_trial=True).build()
    ceiling = oracle_scores(table, table.episodes(SEEDS)).sum(1).mean()
    qmdp, thompson = play(Qmdp(table), table, SEEDS), play(Thompson(table), table, SEEDS)
    heuristic = play(RandomHeuristic(table), table, SEEDS)
    assert qmdp.mean >= 0.95 * ceiling
    assert 0.82 * ceiling <= thompson.mean <= qmdp.mean
    assert heuristic.mean < 0.6 * ceiling
    assert qmdp.scores[:, 0].mean() < 0.92 * ceiling / 6
    assert thompson.scores[:, 3:].mean() > thompson.scores[:, 0].mean() + 4


@pytest.mark.parametrize("kind", [Qmdp, Thompson])
def test_knowing_everything_is_the_oracle(kind: type) -> None:
    """On a level without secrets both plan with the truth; QMDP may take another way, never a worse one."""
    table = Table.Config(level="fixed-bottleneck1", trials=4).build()
    played = play(kind(table), table, SEEDS)
    assert torch.equal(played.scores.double(), oracle_scores(table, table.episodes(SEEDS)))
    assert torch.equal(played.scores, play(OracleAgent(table), table, SEEDS).scores)


@pytest.mark.parametrize("kind", [Qmdp, Thompson])
def test_an_episode_does_not_depend_on_the_others(kind: type) -> None:
    table = Table.Config(level="rotation-random-bottleneck", trials=2, end_trial=True).build()
    together = play(kind(table), table, range(6))
    for seed in (0, 5):
        alone = play(kind(table), table, [seed])
        assert together.recording is not None
        assert alone.recording is not None
        steps = alone.recording.action.shape[1]
        assert torch.equal(together.recording.action[seed, :steps], alone.recording.action[0])


def test_forgetting_costs() -> None:
    table = Table.Config(level="random-bottleneck", trials=5, end_trial=True).build()
    kept, lost = play(Thompson(table), table, SEEDS), play(Thompson(table, "forget"), table, SEEDS)
    assert torch.equal(kept.scores[:, 0], lost.scores[:, 0])
    assert kept.scores[:, 2:].mean() > lost.scores[:, 2:].mean() + 3


def test_a_change_is_noticed_and_learned_anew() -> None:
    """Without a reset a silent switch of the chemistry leaves beliefs empty, which play as if nothing were known."""
    table = Table.Config(level="random-bottleneck", trials=6, switch_trials=(3,), end_trial=True).build()
    knowledge = PosteriorFilter(table.level)
    empty, scores, seeds = {}, {}, range(12)
    for memory in ("carry", "reset"):
        agent, state = Qmdp(table, 8, memory), table.reset(seeds)  # type: ignore[arg-type]
        mind: Any = agent.start(seeds)
        scores[memory] = torch.zeros(6)
        while not state.finished.all():
            action, mind = agent.act(look(state), mind)
            before = state
            state, outcome = table.step(state, action)
            scores[memory].index_add_(0, before.trial, outcome.reward)
        empty[memory] = knowledge.empty(mind.posterior)
    assert torch.equal(scores["carry"][:3], scores["reset"][:3])
    assert empty["carry"].float().mean() > 0.5
    assert not empty["reset"].any()
    assert scores["reset"][4:].sum() > 1.2 * scores["carry"][4:].sum()


class Restless(Qmdp):
    """Plans in every step."""

    def _settled(self, seen: TableView, mind: Mind, steps: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(seen.here[:, 0])


@pytest.mark.parametrize("memory", ["carry", "reset"])
@pytest.mark.parametrize("settings", [{}, {"steps": 5}, {"steps": 3, "stones": 4}, {"switch_trials": (1,)}])
def test_what_is_settled_need_not_be_planned_again(settings: dict[str, Any], memory: Memory) -> None:
    table = Table.Config(trials=2, **{"steps": 14, **settings}).build()
    fast, slow = (play(make(table, 5, memory), table, SEEDS).recording for make in (Qmdp, Restless))
    assert fast is not None
    assert slow is not None
    assert torch.equal(fast.action, slow.action)


@pytest.mark.parametrize("seed", [0, 4])
def test_choices_stay_what_they_are(seed: int) -> None:
    """Scores of a seed, and a number that says which actions were taken: as recorded when there was no short cut."""
    played = play(Qmdp(table := Table.Config().build()), table, [seed])
    assert played.recording is not None
    taken = int((played.recording.action[0] * torch.arange(1, 201)).sum())
    assert (float(played.totals[0]), taken) == {0: (309.0, 120785), 4: (240.0, 103946)}[seed]


@pytest.mark.parametrize(
    "settings", [{"stones": 1, "potions": 3, "steps": 5}, {"steps": 4}, {"potions": 0}, {"stones": 4, "potions": 4}]
)
def test_other_tables(settings: dict[str, int]) -> None:
    table = Table.Config(level="rotation-random-bottleneck", trials=2, **settings).build()  # type: ignore[arg-type]
    promised = oracle_scores(table, table.episodes(range(6)))
    for agent in (Qmdp(table, 4), Thompson(table)):
        assert (play(agent, table, range(6)).scores.double() <= promised).all()


def test_time_is_left_for_the_cauldron() -> None:
    """Of four steps with three stones that pay, none is spent on a potion that would leave one of them on the table."""
    table = Table.Config(
        level="fixed", trials=1, steps=4, items=(((7, 7, 6), (1,) * 12),), chemistry=(108, 7, 7, 0)
    ).build()
    assert play(Qmdp(table), table, [0]).scores.tolist() == [[45.0]]
    table = Table.Config(
        level="fixed", trials=1, steps=3, items=(((7, 7, 6), (1,) * 12),), chemistry=(108, 7, 7, 0)
    ).build()
    assert play(Qmdp(table), table, [0]).scores.tolist() == [[31.0]]


def test_the_detour_round_a_bottleneck_is_planned() -> None:
    """Microprobe 9 of the paper: with what two trials can teach, the third is worth 45."""
    chemistry = Chemistry.of(graph_number(((1, -1), (0, -1), (0, 0))), 7, 7, 0)
    stones = torch.tensor([[[5, 5, 1], [3, 3, 3], [5, 5, 5]]])
    potions = torch.tensor([[[4] * 6 + [3] * 6, [5] * 12, [4] * 4 + [3] * 3 + [5] * 5]])
    table = Table.Config(level="random-bottleneck", trials=3).build()
    several = Episodes(
        Chemistry(*(part.expand(10) for part in vars(chemistry).values())),
        stones.expand(10, -1, -1),
        potions.expand(10, -1, -1),
    )
    scores = play(Qmdp(table), table, episodes=several).scores[:, 2]
    assert (scores == 45).float().mean() >= 0.8


def test_dips_are_read_back() -> None:
    actions = Actions(3, 12)
    table = Table.Config(level="fixed").build()
    state, _ = table.step(table.reset([0] * 5), torch.full((5,), int(actions.dip(torch.tensor(0), torch.tensor(0)))))
    chosen = torch.tensor([0, 1, 2, 1 + 13 + 1 + 4, 1 + 26])
    stone, potion, dipped = dips(read(look(state)), chosen, actions)
    # Nothing; the cauldron; a potion that is gone; stone 1 and potion 4; the cauldron.
    assert dipped.tolist() == [False, False, False, True, False]
    assert (int(stone[3]), int(potion[3])) == (1, 4)


def test_bad_settings() -> None:
    table = Table.Config().build()
    with pytest.raises(ConfigError, match="samples = 0"):
        Qmdp(table, 0)
    memory: Memory = "elephant"  # type: ignore[assignment]
    with pytest.raises(ConfigError, match="'forget', 'carry' or 'reset'"):
        Thompson(table, memory)
