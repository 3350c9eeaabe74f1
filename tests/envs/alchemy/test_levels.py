"""Levels by name and what is drawn in them."""

from __future__ import annotations

import pytest
import torch

from percepts.core.config import from_json, to_json
from percepts.core.errors import ConfigError
from percepts.envs.alchemy.chemistry import BOTTLENECKS, FREE, NO_BOTTLENECK, chemistry_tables, graph_number
from percepts.envs.alchemy.levels import IDENTITY, LEVELS, MAIN_LEVEL, NARROW, OPEN, Level, level


def test_numbers_that_are_written_out() -> None:
    assert graph_number(NO_BOTTLENECK) == OPEN
    assert {name: graph_number(constraints) for name, constraints in BOTTLENECKS.items()} == NARROW
    tables = chemistry_tables()
    assert tables.latent_potion[IDENTITY].tolist() == list(range(6))
    assert tables.aligned[IDENTITY].tolist() == list(range(8))


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("alchemy/perceptual_mapping_randomized_with_rotation_and_random_bottleneck", MAIN_LEVEL),
        ("perceptual_mapping_randomized_with_random_bottleneck", "random-bottleneck"),
        ("perceptual_mapping_randomized", "no-bottleneck"),
        ("perceptual_mapping_randomized_with_rotation", "rotation-no-bottleneck"),
        ("alchemy/all_fixed", "fixed"),
        ("alchemy/all_fixed_w_shaping", "fixed"),
        ("all_fixed_bottleneck2", "fixed-bottleneck2"),
    ],
)
def test_names_of_the_original(name: str, short: str) -> None:
    assert level(name) is LEVELS[short]


def test_a_mixture_without_a_short_name() -> None:
    found = level("perceptual_mapping_randomized_with_rotation_and_bottleneck3")
    assert (found.random_maps, found.rotation, found.graphs) == (True, True, (NARROW["bottleneck3"],))
    assert level(found) is found


@pytest.mark.parametrize(
    ("name", "close"),
    [
        ("random-botleneck", "random-bottleneck"),
        ("all_fixd", "alchemy/all_fixed"),
        ("perceptual_mapping_randomised", "alchemy/perceptual_mapping_randomized"),
    ],
)
def test_unknown_names(name: str, close: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown level '{name}', did you mean '{close}'"):
        level(name)
    with pytest.raises(ConfigError, match="one of rotation-random-bottleneck"):
        level("")


def test_levels_that_are_no_names(unchecked_shapes: None) -> None:
    with pytest.raises(ConfigError, match="the level 3; expected a name"):
        level(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("graphs", [(), (3, 3), (109,), (-1,), (1.5,)])
def test_graphs_that_do_not_fit(graphs: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="different numbers from 0 to 108"):
        Level(graphs=graphs)


def test_levels_have_chemistries() -> None:
    narrow = Level(graphs=(3, 50), random_maps=False, rotation=True)
    assert narrow.has((50, IDENTITY, IDENTITY, 3))
    others = ((4, 7, 7, 0), (3, 6, 7, 0), (3, 7, 6, 0))
    assert not any(narrow.has(one) for one in others)
    assert all(LEVELS[MAIN_LEVEL].has(one) for one in others)
    assert not LEVELS["random-bottleneck"].has((3, 7, 6, 1))


def test_priors() -> None:
    assert torch.equal(LEVELS[MAIN_LEVEL].prior(), chemistry_tables().prior)
    assert LEVELS["fixed-bottleneck1"].prior()[9] == 1
    numbers = (chemistry_tables().constraints != FREE).sum((1, 2))
    two, three = ((numbers == count).nonzero()[:, 0].tolist() for count in (2, 3))
    mixed = Level(graphs=(three[0], two[0], three[1])).prior()
    assert mixed[[two[0], three[0], three[1]]].tolist() == [0.5, 0.25, 0.25]
    assert mixed.sum() == 1


@pytest.mark.parametrize("name", LEVELS)
def test_counts_and_json(name: str) -> None:
    each = LEVELS[name]
    assert each.counts == (len(each.choices), len(each.potion_maps), len(each.stone_maps), len(each.rotations))
    assert from_json(to_json(each), Level) == each


def test_the_number_of_chemistries() -> None:
    graphs, potion_maps, stone_maps, rotations = LEVELS[MAIN_LEVEL].counts
    assert graphs * potion_maps * stone_maps * rotations == 167_424
