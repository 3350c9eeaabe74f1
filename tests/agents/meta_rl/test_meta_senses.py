"""What learners see is what the environment's encodings, views and filters say, and comes of observations alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from percepts.agents.meta_rl.predictions import Predictions, feature_counts
from percepts.agents.meta_rl.senses import NOTHING, ROW, Mind, Senses, view_of
from percepts.agents.meta_rl.shaping import Shaping
from percepts.core.errors import ConfigError
from percepts.envs.alchemy.chemistry_view import true_chemistry
from percepts.envs.alchemy.codecs import CAULDRON, Encoding, encode
from percepts.envs.alchemy.levels import level
from percepts.envs.alchemy.observations import observe
from percepts.envs.alchemy.posterior import PosteriorFilter
from percepts.envs.alchemy.reading import read
from percepts.envs.alchemy.relaxed import RelaxedFilter
from percepts.envs.alchemy.table import Outcome, Table, TableState
from percepts.envs.alchemy.table_state import Rewards

BATCH = 24
ENCODINGS = [
    Encoding(frame=frame, potions=potions, used=used)
    for frame in ("perceived", "latent")
    for potions in ("colour", "axes", "counts")
    for used in (True, False)
]


def short(**settings: object) -> Table.Config:
    return Table.Config(trials=3, steps=6, **settings)


def episodes(
    senses: Senses, seed: int = 0
) -> Iterator[tuple[TableState, Mind, Tensor, Tensor, Outcome, TableState, Mind]]:
    """Random play of one episode: before, action, slot, outcome, after."""
    table, generator = Table(senses.table), torch.Generator().manual_seed(seed)
    state = table.reset(range(BATCH))
    mind = senses.begin(view_of(state))
    for _ in range(senses.table.trials * senses.table.steps - 1):
        action = torch.randint(0, senses.actions, (BATCH,), generator=generator)
        slot = senses.slots(mind, action, state.chemistry)
        after, outcome = table.step(state, slot)
        following = senses.follow(mind, action, slot, view_of(after))
        yield state, mind, action, slot, outcome, after, following
        state, mind = after, following


def test_a_view_of_tables_is_what_is_read_from_their_observations() -> None:
    for *_, after, _ in episodes(Senses.Config().build(table=short())):
        for part in dataclasses.fields(view_of(after)):
            seen = getattr(read(observe(after)), part.name)
            torch.testing.assert_close(getattr(view_of(after), part.name), seen)


@pytest.mark.parametrize("encoding", ENCODINGS, ids=lambda one: f"{one.frame}-{one.potions}-{one.used}")
def test_observations_are_those_of_the_environment_s_encodings(encoding: Encoding) -> None:
    senses = Senses.Config(encoding=encoding, previous=False, clock=False).build(table=short())
    for *_, after, mind in episodes(senses):
        seen = senses.inputs(mind, after.chemistry)
        torch.testing.assert_close(seen, encode(after, encoding))
        assert senses.sizes == {"observation": seen.shape[1]}


@pytest.mark.parametrize("chemistry", ["nothing", "truth", "exact", "relaxed"])
def test_sizes_are_those_of_the_inputs(chemistry: str) -> None:
    senses = Senses.Config(chemistry=chemistry, parts=("graph", "rotation"), row=True).build(table=short())
    state = Table(senses.table).reset(range(BATCH))
    inputs = senses.inputs(senses.begin(view_of(state)), state.chemistry)
    assert inputs.shape == (BATCH, sum(senses.sizes.values()))
    assert list(senses.sizes)[-1] == "row"
    assert senses.sizes.get("chemistry", 16) == 16
    assert senses.actions == 22


def test_the_truth_is_that_of_the_environment() -> None:
    senses = Senses.Config(chemistry="truth", previous=False, clock=False).build(table=short())
    state = Table(senses.table).reset(range(BATCH))
    seen = senses.inputs(senses.begin(view_of(state)), state.chemistry)[:, -28:]
    torch.testing.assert_close(seen, true_chemistry(state.chemistry))


@pytest.mark.parametrize(("chemistry", "kind"), [("exact", PosteriorFilter), ("relaxed", RelaxedFilter)])
def test_beliefs_are_those_of_the_filters_without_what_is_hidden(chemistry: str, kind: type) -> None:
    senses = Senses.Config(chemistry=chemistry, previous=False, clock=False, only_legal=False).build(table=short())
    filter = kind(level(senses.table.level))
    belief, changed = None, 0
    for before, _, _, _, outcome, after, mind in episodes(senses):
        if belief is None:
            belief = filter.look(filter.prior(BATCH), before)
        # An outcome at the end of a trial is not seen: as if it had not been.
        blank = torch.where(outcome.new_trial, -1, outcome.potion)
        belief = filter.follow(belief, before, dataclasses.replace(outcome, potion=blank), after)
        seen = senses.inputs(mind, after.chemistry)[:, -28:]
        torch.testing.assert_close(seen, filter.view(belief))
        changed += int((seen != 0.5).sum())
    assert changed > 0


@pytest.mark.parametrize("settings", [{}, {"end_trial": True}, {"rewards": Rewards(offset=0.5, potion=0.25, bonus=2)}])
def test_rewards_and_clocks_are_those_of_the_table(settings: dict[str, object]) -> None:
    senses = Senses.Config(only_legal=False).build(table=short(**settings))
    for _, _, action, _, outcome, after, mind in episodes(senses):
        going = ~after.finished
        torch.testing.assert_close(mind.reward, outcome.reward)
        assert torch.equal(mind.trial[going], after.trial[going])
        assert torch.equal(mind.step[going], after.step[going])
        assert torch.equal(mind.action, action)
        if bool((~going).any()):
            break


@pytest.mark.parametrize("colour_actions", [True, False])
@pytest.mark.parametrize("frame", ["perceived", "latent"])
def test_legal_actions_are_those_that_do_something(colour_actions: bool, frame: str) -> None:
    encoding = Encoding(frame=frame, potions="counts")
    senses = Senses.Config(encoding=encoding, colour_actions=colour_actions).build(table=short(end_trial=True))
    table = Table(senses.table)
    assert senses.actions == (23 if colour_actions else 41)
    for state, mind, *_ in episodes(senses):
        legal = senses.legal(mind, state.chemistry)
        assert legal[:, :2].all()
        for action in range(2, senses.actions):
            tried = torch.full((BATCH,), action)
            _, outcome = table.step(state, senses.slots(mind, tried, state.chemistry))
            assert torch.equal(legal[:, action] & ~state.finished, outcome.stone >= 0)
        break
    everything = Senses.Config(only_legal=False, colour_actions=colour_actions).build(table=short())
    state = Table(everything.table).reset([0])
    assert everything.legal(everything.begin(view_of(state)), state.chemistry).all()


def test_rows_tell_what_an_action_did_but_not_at_the_end_of_a_trial() -> None:
    senses = Senses.Config(row=True, only_legal=False).build(table=short())
    kinds = set()
    for before, _, _, _, outcome, after, mind in episodes(senses):
        row = mind.row
        assert row.shape == (BATCH, ROW + 1)
        assert not row[outcome.new_trial].any()
        seen = ~outcome.new_trial
        kind = row[:, 6:14].argmax(1)
        expected = torch.where(outcome.banked, CAULDRON, NOTHING)
        potion = outcome.potion.clamp(min=0)[:, None]
        colour = read(observe(before)).colour.gather(1, potion)[:, 0]
        expected = torch.where(outcome.potion >= 0, colour, expected)
        assert torch.equal(kind[seen], expected[seen])
        assert (row[seen, -1] == 1).all()
        torch.testing.assert_close(row[seen, -2] * 15, outcome.reward[seen])
        acted = seen & (outcome.stone >= 0)
        slot = outcome.stone.clamp(min=0)
        for numbers, state in ((row[:, 1:6], before), (row[:, 14:19], after)):
            stones = observe(state)[:, :15].unflatten(1, (3, 5))
            torch.testing.assert_close(numbers[acted], stones[torch.arange(BATCH), slot][acted])
        kinds |= set(kind[seen].tolist())
    assert {CAULDRON, NOTHING} < kinds


def test_targets_count_what_is_on_the_table() -> None:
    state = Table(short()).reset(range(BATCH))
    state = Table(short()).step(state, torch.full((BATCH,), 1))[0]
    counts = feature_counts(view_of(state))
    assert counts.shape == (BATCH, 33)
    assert (counts[:, :27].sum(1) == 2).all()
    assert (counts[:, 27:].sum(1) == 12).all()
    colour = Table(short()).perceived_potions(state)
    torch.testing.assert_close(counts[:, 27:], torch.stack([(colour == one).sum(1) for one in range(6)], 1).float())
    both = Predictions(features=1.0, chemistry=0.5)
    assert both.sizes == {"features": 33, "chemistry": 28}
    assert Predictions().sizes == {}
    for weight in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="not negative"):
            Predictions(features=weight)
    targets = both.targets(view_of(state), state.chemistry)
    logits = {"features": targets["features"] + 2.0, "chemistry": torch.zeros(BATCH, 28)}
    assert float(both.loss(logits, targets)) == pytest.approx(4.0 + 0.5 * 0.6931472, rel=1e-5)
    assert float(Predictions().loss({}, {})) == 0.0


def test_shaping_punishes_what_changes_nothing() -> None:
    outcome = Outcome(
        reward=torch.zeros(5), terminated=torch.zeros(5, dtype=torch.bool), new_trial=torch.zeros(5, dtype=torch.bool),
        stone=torch.tensor([0, 0, -1, -1, 1]), potion=torch.tensor([2, 3, -1, -1, -1]),
        banked=torch.tensor([False, False, False, False, True]),
        before=torch.tensor([1, 1, -1, -1, 7]), after=torch.tensor([1, 3, -1, -1, -1]),
    )  # fmt: skip
    action, previous = torch.tensor([3, 4, 5, 0, 7]), torch.tensor([3, 4, 5, 0, 7])
    found = Shaping().of(outcome, action, previous, torch.tensor([1, 0, 1, 1, 1]))
    torch.testing.assert_close(found, torch.tensor([-1.2, 0.0, -2.0, 0.0, 0.0]))


def test_a_belief_begins_anew_where_the_chemistry_has_changed() -> None:
    senses = Senses.Config(chemistry="exact", only_legal=False).build(table=short(switch_trials=(1, 2)))
    for *_, mind in episodes(senses):
        assert not senses.filter.empty(mind.belief).any()


def test_doing_nothing_is_not_punished_where_trials_can_be_ended() -> None:
    outcome = Table(short(end_trial=True)).step(Table(short(end_trial=True)).reset([0, 1]), torch.tensor([1, 0]))[1]
    found = Shaping().of(outcome, torch.tensor([1, 0]), torch.tensor([1, 0]), torch.tensor([1, 1]), nothing=1)
    assert not found.any()


def test_stones_that_do_not_show_what_they_pay_are_refused() -> None:
    with pytest.raises(ConfigError, match="whose sum the stones show"):
        Senses.Config().build(table=Table.Config(rewards=Rewards(weights=(2.0, 1.0, 1.0))))
    with pytest.raises(ConfigError, match="parts"):
        Senses.Config(parts=())
    with pytest.raises(ConfigError, match="negative"):
        Predictions(features=-1.0)
