"""The tables of Alchemy against the specification's counts and against rules written out in another way."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from percepts.core.errors import ConfigError
from percepts.envs.alchemy.chemistry import (
    BOTTLENECKS,
    EDGES,
    GRAPHS,
    NO_BOTTLENECK,
    PERMUTATIONS,
    Chemistry,
    chemistry_tables,
    graph_number,
)

TABLES = chemistry_tables()


def test_there_are_109_graphs_with_the_known_numbers_of_edges():
    counts = (TABLES.constraints != 0).sum((1, 2)).bincount()
    assert counts.tolist() == [1, 12, 48, 48]
    assert TABLES.edges.sum(1).bincount().tolist() == [0, 0, 0, 0, 0, 0, 0, 48, 36, 12, 12, 0, 1]


def test_the_first_graph_is_the_one_that_dm_alchemy_enumerates_first():
    assert TABLES.constraints[0].tolist() == [[-1, -1], [0, -1], [0, 0]]


def test_the_prior_gives_every_number_of_constraints_a_quarter():
    numbers = (TABLES.constraints != 0).sum((1, 2))
    for number in range(4):
        assert TABLES.prior[numbers == number].sum() == pytest.approx(0.25, abs=1e-12)
    entropy = -(TABLES.prior * TABLES.prior.log2()).sum() + math.log2(48 * 8)
    assert entropy == pytest.approx(14.27, abs=0.005)


def test_moves_follow_the_constraints_and_go_both_ways():
    for graph in range(GRAPHS):
        rule, moves = TABLES.constraints[graph].tolist(), TABLES.transition[graph].tolist()
        for vertex, axis in itertools.product(range(8), range(3)):
            at = TABLES.sign[vertex].tolist()
            others = [k for k in range(3) if k != axis]
            open_ = all(need in (0, at[k]) for k, need in zip(others, rule[axis]))
            for direction in (-1, 1):
                after = moves[vertex][2 * axis + (direction + 1) // 2]
                if open_ and at[axis] != direction:
                    assert after == vertex ^ (1 << axis)
                    assert moves[after][2 * axis + (1 - direction) // 2] == vertex
                else:
                    assert after == vertex


def test_edges_are_those_of_the_moves():
    for graph in (0, 17, 108):
        for known, (i, j) in zip(TABLES.edges[graph].tolist(), EDGES):
            assert known == (j in TABLES.transition[graph, i].tolist())


def test_potion_maps_are_signed_permutations_and_the_two_tables_are_inverse():
    assert TABLES.latent_potion[0].tolist() == [1, 0, 3, 2, 5, 4]  # identity permutation, all signs -1
    assert TABLES.latent_potion[7].tolist() == [0, 1, 2, 3, 4, 5]
    assert len({tuple(row) for row in TABLES.latent_potion.tolist()}) == 48
    composed = TABLES.latent_potion.gather(1, TABLES.perceived_potion)
    assert torch.equal(composed, torch.arange(6).expand(48, 6))
    for number, dims in enumerate(PERMUTATIONS):
        axes = TABLES.latent_potion[8 * number : 8 * number + 8, ::2] // 2
        assert (axes == torch.tensor(dims)).all()


def test_opposite_colours_are_opposite_potions():
    assert torch.equal(TABLES.latent_potion[:, 0::2] ^ 1, TABLES.latent_potion[:, 1::2])


def test_the_stone_map_is_its_own_inverse():
    for signs in range(8):
        once = TABLES.aligned[signs]
        assert torch.equal(once[once], torch.arange(8))


def test_a_rotation_brings_perceived_coordinates_back_to_the_aligned_corner():
    turns = [
        np.eye(3),
        [[1, 1, 0], [-1, 1, 0], [0, 0, 1]],
        [[1, 0, -1], [0, 1, 0], [1, 0, 1]],
        [[1, 0, 0], [0, 1, 1], [0, -1, 1]],
    ]
    for rotation, turn in enumerate(turns):
        perceived = TABLES.coordinates[rotation].numpy()
        assert set(np.unique(perceived).tolist()) <= {-1.0, 0.0, 1.0}
        aligned = perceived @ np.array(turn, float).T
        assert np.array_equal(aligned, TABLES.sign.numpy()[TABLES.aligned.numpy()])
        assert not np.signbit(perceived[perceived == 0]).any()


def test_stones_show_the_sum_of_their_latent_coordinates():
    assert TABLES.shown.tolist() == [-3, -1, -1, 1, -1, 1, 1, 3]


def test_named_bottlenecks_are_among_the_graphs():
    assert TABLES.edges[graph_number(NO_BOTTLENECK)].all()
    lost = {name: int((~TABLES.edges[graph_number(rule)]).sum()) for name, rule in BOTTLENECKS.items()}
    assert lost == {"bottleneck1": 3, "bottleneck2": 2, "bottleneck3": 5}


def test_constraints_that_cut_the_graph_are_refused():
    with pytest.raises(ConfigError, match="connected"):
        graph_number(((1, 1), (-1, -1), (1, -1)))


def test_chemistries_of_numbers_share_a_single_number():
    some = Chemistry.of(graph=[3, 4, 5], potion_map=7, stone_map=0)
    assert len(some) == 3
    assert some.potion_map.tolist() == [7, 7, 7]
    assert some.rows(torch.tensor([2])).graph.tolist() == [5]


@pytest.mark.parametrize("bad", [{"graph": 109}, {"potion_map": -1}, {"stone_map": 8}, {"rotation": [0, 4]}])
def test_numbers_that_no_chemistry_has_are_refused(bad):
    with pytest.raises(ConfigError, match="numbers from 0"):
        Chemistry.of(**{"graph": 0, "potion_map": 0, "stone_map": 0, **bad})
