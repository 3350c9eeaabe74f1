"""Figures that compare runs: plates, UDR, heat maps, traversals: what is drawn is what the numbers say."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from report_fakes import CentreOfMass, Dots, OnlyLosses
from torch import Tensor

from percepts.core.errors import CapabilityError, PerceptsError
from percepts.metrics.udr_result import UDRGroup, UDRResult
from percepts.nn.distributions import DiagonalGaussian
from percepts.report.comparison import Compared, match_latents, matched_traversals, side_by_side_traversals
from percepts.report.heatmaps import factor_heat_map
from percepts.report.interventional import group_deviations, interventional_plate
from percepts.report.plates import DPI, Plate, empty_plate, finite, spread_out
from percepts.report.udr import (
    ModelPair,
    box_plate,
    correlation_plate,
    extreme_pairs,
    pair_of,
    pairwise_plate,
    similarity_plate,
    similarity_plates,
)

NAN = math.nan


class Swapped(CentreOfMass):
    """The same code with its latents in another order, and x reversed."""

    def encode(self, image: Tensor) -> DiagonalGaussian:
        mean = super().encode(image).mean[:, [2, 1, 0]] * torch.tensor([1.0, -1.0, 1.0])
        return DiagonalGaussian(mean, torch.tensor([-3.0, -4.0, 0.0]).expand_as(mean))

    def decode(self, latents: Tensor) -> Tensor:
        return super().decode((latents * torch.tensor([1.0, -1.0, 1.0]))[:, [2, 1, 0]])


class Dead(CentreOfMass):
    """Says nothing about any image."""

    def encode(self, image: Tensor) -> DiagonalGaussian:
        return DiagonalGaussian(torch.zeros(len(image), 3), torch.zeros(len(image), 3))


@pytest.fixture
def images() -> Tensor:
    return Dots.Config().build().gather(torch.arange(0, 128, 3))["image"]


def dark(plate: Plate) -> float:
    """How much of a plate is blue ink, as a share."""
    pixels = np.asarray(plate.image, np.int64)
    return float(((pixels[..., 2] - pixels[..., 0]) > 60).mean())


def is_empty(plate: Plate) -> bool:
    return plate.size == empty_plate("nothing").size


def test_a_plate_is_saved_with_its_caption_below(tmp_path: Path) -> None:
    plate = similarity_plate(ModelPair(("a", "b"), np.eye(3)))
    path = plate.save(tmp_path / "new" / "one.png")
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.width == plate.size[0]
        assert image.height > plate.size[1]
        below = np.asarray(image.convert("L"))[plate.size[1] :]
    assert (below < 150).any(), "the caption is written"


def test_a_plate_on_a_page_is_half_its_size_and_says_what_it_shows() -> None:
    plate = empty_plate("Nothing to see.")
    picture = plate.picture()
    assert (picture.width * 2, picture.height * 2) == plate.size
    assert picture.source.startswith("data:image/webp;base64,")
    assert picture.alt == "Nothing to see."
    assert plate.size == (round(5.2 * DPI), round(1.6 * DPI))


def test_dots_of_equal_values_are_spread_and_stay_within_reach() -> None:
    places = spread_out([1.0] * 20, 0.2)
    assert len(set(places.tolist())) == 20
    assert np.abs(places).max() <= 0.2
    assert spread_out([1.0], 0.2).tolist() == [0.0]
    assert finite([1.0, NAN, math.inf, 2.0]).tolist() == [1.0, 2.0]


def test_similarity_shows_only_informative_latents_in_order_of_kl() -> None:
    similarity = np.zeros((3, 3))
    similarity[0] = 1.0  # The row of a latent without information: it must not be seen.
    shown = similarity_plate(ModelPair(("a", "b"), similarity, ([0.001, 2.0, 1.0], [1.0, 1.0, 1.0])))
    everything = similarity_plate(ModelPair(("a", "b"), similarity, (None, None)))
    assert dark(everything) > dark(shown) + 0.03


@pytest.mark.parametrize("kl", [([0.0, 0.0], [1.0, 1.0]), ([1.0, 1.0], [0.0, 0.001])])
def test_a_pair_with_a_dead_model_has_a_picture(kl: tuple[list[float], list[float]]) -> None:
    plate = similarity_plates([ModelPair(("a", "b"), np.eye(2), kl, 0.0), ModelPair(("c", "d"), np.eye(2))])
    assert plate.size[0] > plate.size[1]
    assert "a and b, UDR 0" in plate.alt
    assert is_empty(similarity_plates([]))


def test_a_pair_of_other_sizes_is_refused() -> None:
    with pytest.raises(PerceptsError, match="3 KL values for 2 latents"):
        ModelPair(("a", "b"), np.eye(2), ([1.0, 1.0, 1.0], None))


def test_the_extreme_pairs_are_found_among_those_that_were_compared() -> None:
    pairwise = np.array([[9.0, 0.3, NAN], [0.8, 9.0, 0.1], [NAN, 0.5, 9.0]])
    assert extreme_pairs(pairwise) == ((1, 0), (1, 2))
    assert extreme_pairs(np.full((2, 2), NAN)) is None
    assert extreme_pairs(np.ones((1, 1))) is None


def test_pairwise_puts_settings_together_and_refuses_other_shapes() -> None:
    pairwise = np.where(np.eye(4)[:, ::-1] > 0, 1.0, 0.0)
    together = pairwise_plate(pairwise, ["a", "b", "b", "a"])
    assert dark(together) > 0.01
    assert is_empty(pairwise_plate(np.full((3, 3), NAN), ["a", "b", "c"]))
    assert is_empty(pairwise_plate(np.ones((1, 1)), ["a"]))
    with pytest.raises(PerceptsError, match="3 models"):
        pairwise_plate(pairwise, ["a", "b", "c"])


def test_the_pair_of_a_ranking_is_found_in_either_direction() -> None:
    matrix = np.array([[0.9, 0.1], [0.2, 0.8]])
    result = UDRResult(
        kind="lasso", scores=np.ones(2), intervals=None, pairwise=np.array([[NAN, 0.7], [0.6, NAN]]),
        compared=np.ones((2, 2), bool), active=np.ones((2, 3), bool), kl=np.array([[1.0, 2.0, NAN], [NAN] * 3]),
        groups=(UDRGroup(name="all", models=(0, 1), score=0.7, quartiles=(0.6, 0.7)),), similarity={(0, 1): matrix},
    )  # fmt: skip
    found, turned = pair_of(result, 0, 1, ["a", "b"]), pair_of(result, 1, 0, ["a", "b"])
    assert found is not None
    assert turned is not None
    assert found.kl == ([1.0, 2.0], None), "padding is no latent, and an encoder may have no KL"
    assert (found.score, turned.names) == (0.7, ("b", "a"))
    assert (turned.similarity == matrix.T).all()
    assert pair_of(result, 0, 0, ["a", "b"]) is None


def test_boxes_leave_out_what_is_not_finite() -> None:
    plate = box_plate(["1", "1", "4", "4"], {"UDR": [0.1, NAN, 0.5, 0.6], "MIG": [NAN] * 4}, setting="β")
    assert plate.alt == "Box plots of UDR by β"
    assert is_empty(box_plate(["1"], {"UDR": [NAN]}))
    with pytest.raises(PerceptsError, match="2 values of UDR for 1 models"):
        box_plate(["1"], {"UDR": [0.1, 0.2]})


def test_correlation_needs_two_models_with_both_scores() -> None:
    plate = correlation_plate(("UDR", [0.1, 0.5, NAN]), {"MIG": [0.1, 0.2, 0.3]}, {"MIG": 1.0}, ["a", "b", "b"])
    assert plate.alt == "UDR against MIG"
    assert is_empty(correlation_plate(("UDR", [0.1, NAN]), {"MIG": [0.1, 0.2]}, {}))
    with pytest.raises(PerceptsError, match="other models"):
        correlation_plate(("UDR", [0.1]), {"MIG": [0.1, 0.2]}, {})


def test_the_best_code_of_a_factor_is_framed_unless_it_is_dead() -> None:
    def orange(plate: Plate) -> int:
        pixels = np.asarray(plate.image, np.int64)
        return int(((pixels[..., 0] - pixels[..., 2]) > 120).sum())

    matrix = np.array([[1.0], [0.0]])
    options = {"factors": ["x"], "title": "Information", "unit": "nats"}
    assert orange(factor_heat_map(matrix, **options)) > 100
    assert orange(factor_heat_map(matrix, active=[False, True], **options)) == 0
    assert is_empty(factor_heat_map(np.full((2, 1), NAN), **options))
    with pytest.raises(PerceptsError, match="2 row and 1 column"):
        factor_heat_map(np.zeros((2, 2)), **options)


def test_latents_are_matched_whatever_their_order_and_sign() -> None:
    one = np.random.default_rng(0).normal(size=(200, 3))
    other = np.stack([np.zeros(200), -one[:, 2], one[:, 0] + 0.1 * one[:, 1]], axis=1)
    found = match_latents(one, other, [2, 0, 1], [0, 1, 2])
    assert {place: (latent, sign) for place, (latent, sign, _) in found.items()} == {0: (1, -1), 1: (2, 1)}
    assert match_latents(one, other, [], [1]) == {}
    assert match_latents(one, np.zeros_like(other), [0], [0, 1]) == {}, "constant latents match nothing"


def test_matched_rows_of_a_relabelled_model_are_the_same_pictures(images: Tensor) -> None:
    same = matched_traversals([Compared("one", CentreOfMass()), Compared("one", CentreOfMass())], images)
    swapped = matched_traversals([Compared("one", CentreOfMass()), Compared("one", Swapped())], images)
    a, b = (np.asarray(plate.image, np.int64) for plate in (same, swapped))
    assert a.shape[0] == b.shape[0]
    pictures = 9 * 48  # The rows of pictures end at the right margin; the labels at the left differ.
    assert np.abs(a[:, -pictures:] - b[:, -pictures:]).max() <= 2


def test_traversals_of_dead_models_have_a_defined_picture(images: Tensor) -> None:
    assert is_empty(matched_traversals([Compared("dead", Dead()), Compared("alive", CentreOfMass())], images))
    assert side_by_side_traversals([Compared("dead", Dead()), Compared("alive", CentreOfMass())], images).size[0] > 600


def test_traversals_need_models_an_image_and_a_decoder(images: Tensor) -> None:
    with pytest.raises(PerceptsError, match="no model"):
        side_by_side_traversals([], images)
    with pytest.raises(PerceptsError, match="start = 99"):
        side_by_side_traversals([Compared("one", CentreOfMass())], images, start=99)
    with pytest.raises(CapabilityError):
        side_by_side_traversals([Compared("blind", OnlyLosses())], images)


def test_bands_are_the_deviations_inside_a_factor_value() -> None:
    code, factor = np.array([0.0, 2.0, 10.0, 10.0]), np.array([3, 3, 5, 5])
    values, means, bands = group_deviations(code, factor, 1.0)
    assert (values.tolist(), means.tolist(), bands.tolist()) == ([3.0, 5.0], [1.0, 10.0], [1.0, 0.0])


def test_interventional_plots_leave_out_what_does_not_move() -> None:
    rng = np.random.default_rng(0)
    factors = np.stack([rng.integers(0, 4, 100), np.zeros(100, np.int64)], axis=1)
    codes = np.stack([factors[:, 0] + 0.1 * rng.normal(size=100), np.zeros(100), np.full(100, NAN)], axis=1)
    plate = interventional_plate(codes, factors, ["x", "still"], scores=np.ones((3, 2)))
    assert plate.alt == "1 codes over x"
    assert is_empty(interventional_plate(np.zeros((100, 2)), factors, ["x", "still"]))
    with pytest.raises(PerceptsError, match="1 names"):
        interventional_plate(codes, factors, ["x"])
