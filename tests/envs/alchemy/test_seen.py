"""What is seen of a table, read back, encoded otherwise, drawn; and actions under other names."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from percepts.core.errors import ConfigError, DataError
from percepts.envs.alchemy.chemistry import chemistry_tables
from percepts.envs.alchemy.chemistry_view import (
    ChemistryView,
    ChemistryViews,
    Group,
    see_chemistry,
    true_chemistry,
)
from percepts.envs.alchemy.codecs import STONE_TYPES, Encoding, encode, slots_of_colours, slots_of_types, stone_types
from percepts.envs.alchemy.light import LightTable
from percepts.envs.alchemy.observations import observation_size, observe
from percepts.envs.alchemy.picture import draw_tables
from percepts.envs.alchemy.reading import read
from percepts.envs.alchemy.table import Table, TableState


def played(table: Table, batch: int = 64, steps: int = 9) -> TableState:
    """Some tables with items gone."""
    state = table.reset(range(batch))
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        state, _ = table.step(state, torch.randint(0, table.actions, (batch,), generator=generator))
    return state


def test_an_observation_by_hand() -> None:
    items = (((7, 0), (0, 5)),)
    table = Table.Config(level="fixed", trials=1, stones=3, potions=3, items=items).build()
    third = torch.tensor(2 / 3).item()
    stones = [1, 1, 1, 1, 0, -1, -1, -1, -1, 0, 2, 2, 2, 2, 1]
    assert observe(table.reset([0]))[0].tolist() == [*stones, -1, 0, third, 0, 1, 1]
    without = [1, 1, 1, 1, -1, -1, -1, -1, 2, 2, 2, 2]
    assert observe(table.reset([0]), used=False)[0].tolist() == [*without, -1, third, 1]


@pytest.mark.parametrize("used", [True, False])
@pytest.mark.parametrize(("stones", "potions"), [(3, 12), (1, 0), (5, 7)])
def test_what_is_shown_is_read(used: bool, stones: int, potions: int) -> None:
    table = Table.Config(stones=stones, potions=potions).build()
    state = played(table)
    seen = observe(state, used)
    assert seen.shape == (64, observation_size(stones, potions, used))
    assert seen.dtype == torch.float32
    for view in (read(seen, stones, potions), read({"symbolic": seen}, stones, potions)):
        assert torch.equal(view.here, state.stone_here)
        assert torch.equal(view.potion_here, state.potion_here)
        assert torch.equal(view.coordinates, table.perceived_stones(state) * state.stone_here[..., None])
        assert torch.equal(view.reward, chemistry_tables().shown[state.stones] * state.stone_here)
        assert torch.equal(view.colour, table.perceived_potions(state) * state.potion_here)


def test_what_cannot_be_read() -> None:
    with pytest.raises(DataError, match=r"\[B, 39 or 24\] of 3 stones and 12 potions"):
        read(torch.zeros(2, 38))
    with pytest.raises(DataError, match="observations"):
        read(torch.zeros(39))


def test_the_latent_frame_is_the_same_under_all_maps() -> None:
    items = (((6, 1, 4), (0, 3, 5)),)
    table = Table.Config(trials=1, potions=3, items=items).build()
    state = table.reset(range(50))
    encoded = encode(state, Encoding(frame="latent"))
    assert (encoded == encoded[0]).all()
    assert encoded[0, :4].tolist() == [-1, 1, 1, torch.tensor(1 / 3).item()]
    assert len(observe(state).unique(dim=0)) > 20


def test_potions_as_axes_and_as_counts() -> None:
    table = Table.Config(level="fixed", trials=1, stones=1, potions=5, items=(((0,), (1, 4, 4, 0)),)).build()
    state = table.reset([0])
    state, _ = table.step(state, torch.tensor([4]))
    axes = encode(state, Encoding(potions="axes"))[0, 5:].view(5, 5).tolist()
    assert axes == [[1, 0, 0, 1, 0], [0, 0, 1, -1, 0], [0, 0, 0, 0, 1], [1, 0, 0, -1, 0], [0, 0, 0, 0, 1]]
    assert encode(state, Encoding(potions="counts"))[0, 5:].tolist() == [1, 1, 0, 0, 1, 0]
    assert encode(Table.Config().build().reset([0]), Encoding(potions="counts")).shape == (1, 21)


@pytest.mark.parametrize("used", [True, False])
@pytest.mark.parametrize("potions", ["colour", "axes", "counts"])
@pytest.mark.parametrize("frame", ["perceived", "latent"])
def test_sizes_and_bounds(frame: Any, potions: Any, used: bool) -> None:
    encoding = Encoding(frame=frame, potions=potions, used=used)
    state = played(Table.Config(potions=9).build())
    seen = encode(state, encoding)
    least, most = encoding.bounds(9)
    assert seen.shape == (64, encoding.size(3, 9))
    assert seen.dtype == torch.float32
    assert seen.min() >= least
    assert seen.max() <= most
    assert encoding.plain == (encoding.frame == "perceived" and encoding.potions == "colour")


@pytest.mark.parametrize("end_trial", [False, True])
def test_actions_by_colour(end_trial: bool) -> None:
    """Against a search in Python, for all actions."""
    table = Table.Config(end_trial=end_trial).build()
    state = played(table, 40)
    colour, special = table.perceived_potions(state), 1 + end_trial
    for action in range(special + 21):
        slots = slots_of_colours(torch.full((40,), action), colour, state.potion_here, 3, end_trial)
        for row, slot in enumerate(slots.tolist()):
            stone, wanted = divmod(action - special, 7)
            there = [p for p in range(12) if state.potion_here[row, p] and colour[row, p] == wanted]
            by_hand = special - 1 if not there else special + 13 * stone + 1 + there[0]
            by_hand = special + 13 * stone if wanted == 6 else by_hand
            assert slot == (action if action < special else by_hand)


def test_actions_by_colour_of_the_light_table() -> None:
    table = Table.Config(potions=6).build()
    light = LightTable(table)
    light.seed(4)
    light.begin()
    rng = np.random.default_rng(0)
    for _ in range(300):
        action, state = int(rng.integers(22)), light.state()
        slot = slots_of_colours(torch.tensor([action]), table.perceived_potions(state), state.potion_here, 3)
        assert light.slot_of(action) == slot.item()
        light.act(slot.item())
        if light.finished:
            light.begin()


def test_actions_by_type() -> None:
    table = Table.Config().build()
    state = played(table, 50, 4)
    coordinates, reward = table.perceived_stones(state), chemistry_tables().shown[state.stones]
    types, colour = stone_types(coordinates, reward, state.stone_here), table.perceived_potions(state)
    assert types.max() < STONE_TYPES
    assert (types[~state.stone_here] == -1).all()
    for stone, potion in itertools.product(range(3), (0, 5, 11)):
        row = state.stone_here[:, stone] & state.potion_here[:, potion]
        action = 1 + 7 * types[:, stone].clamp(min=0)
        banked = slots_of_types(action, types, colour, state.potion_here)
        dipped = slots_of_types(action + 1 + colour[:, potion], types, colour, state.potion_here)
        first, place = torch.div(banked - 1, 13, rounding_mode="floor")[row], (banked - 1)[row] % 13
        assert (place == 0).all()
        assert (types[row].gather(1, first[:, None])[:, 0] == types[row, stone]).all()
        assert (first <= stone).all()
        chosen = ((dipped - 1)[row] % 13 - 1)[:, None]
        assert (colour[row].gather(1, chosen)[:, 0] == colour[row, potion]).all()
        assert (chosen <= potion).all()
    nowhere = slots_of_types(torch.full((50,), 1 + 7 * 54), types, colour, state.potion_here, True)
    # The middle of the cube is no stone.
    assert (slots_of_types(torch.full((50,), 1 + 7 * 54), types, colour, state.potion_here) == 0).all()
    assert (nowhere[(types != 53).all(1)] == 1).all()
    assert slots_of_types(torch.zeros(50, dtype=torch.int64), types, colour, state.potion_here, True).sum() == 0


def test_names_of_actions_that_are_none() -> None:
    state = Table.Config().build().reset([0])
    with pytest.raises(DataError, match="the action 22; expected 0 to 21"):
        slots_of_colours(torch.tensor([22]), state.potions, state.potion_here, 3)
    with pytest.raises(DataError, match="float32"):
        slots_of_colours(torch.tensor([1.0]), state.potions, state.potion_here, 3)


def test_the_truth_in_numbers() -> None:
    table = Table.Config(chemistry=(9, 8 * 3 + 5, 6, 2), level="fixed").build()
    truth = true_chemistry(table.reset([0]).chemistry)[0]
    # Bottleneck 1: of axis 0 there is the edge (4, 5) alone.
    assert truth[:12].tolist() == [0, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 0]
    assert truth[12:21].tolist() == [0, 0, 0, 1, 0, 0, 1, 0, 1]
    assert truth[21:].tolist() == [0, 1, 1, 0, 0, 1, 0]


def test_views_leave_parts_out_and_mix_contents() -> None:
    table = Table.Config(level="random-bottleneck").build()
    half = Group(numbers=tuple(range(12)), chances=(0.5, 0.0, 0.0, 0.5))
    views = ChemistryViews(
        {
            "mixed": ChemistryView(groups=(half, Group(numbers=(24, 25, 26, 27)))),
            "graph": see_chemistry("truth", ("rotation", "graph")),
            "nothing": see_chemistry("unknown", ("stone_map",)),
        },
        table,
    )
    assert not views.believes
    assert views.sizes() == {"mixed": 28, "graph": 16, "nothing": 3}
    state = table.reset(range(200))
    viewed = views.begin(state, range(200))
    seen, truth = views.observe(viewed, state), true_chemistry(state.chemistry)
    assert torch.equal(seen["graph"], truth[:, [*range(12), *range(24, 28)]])
    assert (seen["nothing"] == 0.5).all()
    told = (seen["mixed"][:, :12] == truth[:, :12]).all(1)
    assert (told | (seen["mixed"][:, :12] == 0.5).all(1)).all()
    assert 0.35 < told.float().mean() < 0.65
    assert (seen["mixed"][:, 12:24] == 0.5).all()
    assert torch.equal(seen["mixed"][:, 24:], truth[:, 24:])
    # What a group holds is drawn anew where an episode begins, and there only.
    rows = torch.arange(200) < 100
    again = views.restart(viewed, state, rows)
    assert torch.equal(again.contents[100:], viewed.contents[100:])
    changed = (again.contents[:100] != viewed.contents[:100]).any(1).float().mean()
    assert 0.3 < changed < 0.7


@pytest.mark.parametrize("content", ["exact", "relaxed"])
def test_beliefs_come_true(content: str) -> None:
    """What is believed of the maps is never wrong, and becomes more."""
    table = Table.Config(level="random-bottleneck", end_trial=False).build()
    views = ChemistryViews({"belief": see_chemistry(content)}, table)  # type: ignore[arg-type]
    assert views.believes
    state = table.reset(range(30))
    viewed = views.begin(state, range(30))
    first = views.observe(viewed, state)["belief"]
    generator = torch.Generator().manual_seed(0)
    for _ in range(100):
        after, outcome = table.step(state, torch.randint(0, 40, (30,), generator=generator))
        viewed = views.follow(viewed, state, outcome, after)
        state = after
    belief, truth = views.observe(viewed, state)["belief"], true_chemistry(state.chemistry)
    known = (belief == 0) | (belief == 1)
    assert torch.equal(belief[:, 12:][known[:, 12:]], truth[:, 12:][known[:, 12:]])
    assert known.sum() > 1.5 * ((first == 0) | (first == 1)).sum()


def test_a_belief_that_cannot_be_begins_anew() -> None:
    table = Table.Config(level="no-bottleneck", switch_trials=(5,), end_trial=False).build()
    views = ChemistryViews({"belief": see_chemistry("exact")}, table)
    state = table.reset(range(30))
    viewed = views.begin(state, range(30))
    generator = torch.Generator().manual_seed(0)
    for _ in range(190):
        after, outcome = table.step(state, torch.randint(0, 40, (30,), generator=generator))
        viewed = views.follow(viewed, state, outcome, after)
        state = after
    belief, truth = views.observe(viewed, state)["belief"], true_chemistry(state.chemistry)
    known = (belief[:, 12:] == 0) | (belief[:, 12:] == 1)
    right = (belief[:, 12:] == truth[:, 12:]) | ~known
    assert known.float().mean() > 0.8
    assert right.all(1).float().mean() > 0.8


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Group(numbers=(28,)), "0 to 27"),
        (lambda: Group(chances=(0.5, 0.0, 0.0, 0.0)), "sum to 1"),
        (lambda: Group(chances=(1.5, -0.5, 0.0, 0.0)), "sum to 1"),
        (lambda: Group(chances=(float("nan"), 0.0, 0.0, 0.0)), "sum to 1"),
        (lambda: ChemistryView(parts=()), "some of graph"),
        (lambda: see_chemistry("true"), "one of truth"),  # type: ignore[arg-type]
    ],
)
def test_views_that_do_not_fit(make: object, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make()  # type: ignore[operator]


def test_no_belief_about_a_chemistry_that_cannot_be() -> None:
    turned = Table.Config(level="random-bottleneck", chemistry=(0, 3, 4, 2)).build()
    for content in ("exact", "relaxed"):
        with pytest.raises(ConfigError, match="none of level 'random-bottleneck'"):
            ChemistryViews({"belief": see_chemistry(content)}, turned)  # type: ignore[arg-type]
    ChemistryViews({"truth": see_chemistry("truth")}, turned)
    ChemistryViews({"belief": see_chemistry("exact")}, Table.Config(chemistry=(0, 3, 4, 2)).build())


def test_views_of_tables_without_potions() -> None:
    table = Table.Config(potions=0, trials=2, steps=2).build()
    views = ChemistryViews({"exact": see_chemistry("exact"), "relaxed": see_chemistry("relaxed")}, table)
    state = table.reset(range(20))
    viewed = views.begin(state, range(20))
    for _ in range(3):
        after, outcome = table.step(state, torch.ones(20, dtype=torch.int64))
        viewed, state = views.follow(viewed, state, outcome, after), after
    seen = views.observe(viewed, state)["exact"]
    assert (seen[:, :21] == 0.5).all()
    assert (seen[:, 21:24] == true_chemistry(state.chemistry)[:, 21:24]).any()


def test_pictures_show_the_items() -> None:
    table = Table.Config(level="fixed", trials=1, items=(((7, 0), (0, 3)),)).build()
    state = table.reset([0, 1])
    state, _ = table.step(state, torch.tensor([0, 1]))
    assert draw_tables(state).shape == (2, 72, 96, 3)
    pictures = draw_tables(state, 144, 192)
    assert pictures.shape == (2, 144, 192, 3)
    assert pictures.dtype == np.uint8
    colours = [tuple(pixel) for pixel in pictures[0].reshape(-1, 3).tolist()]
    for part in ((0.96, 0.02, 0.07), (0.94, 0.85, 0.08), (0.0, 0.31, 0.56), (0.52, 0.23, 0.63)):
        assert tuple(round(255 * value) for value in part) in colours
    # Red is to the left of yellow, and the stone in the cauldron is not drawn.
    blue = (pictures == np.array([0, 79, 143])).all(3).sum((1, 2))
    assert blue[0] > 10
    assert blue[1] == 0
    assert draw_tables(Table.Config(stones=8, potions=0).build().reset([0])).shape == (1, 72, 96, 3)
