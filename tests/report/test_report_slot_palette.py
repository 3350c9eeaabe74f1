"""The palette: what it promises to every kind of colour vision, and what it does with odd numbers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from percepts.core.errors import PerceptsError
from percepts.report.slot_palette import NAMES, SLOT_COLOURS, UNKNOWN, blend_masks, colour_masks, slot_colour

# Machado, Oliveira & Fernandes 2009, severity 1, on linear RGB.
VISION = {
    "usual": np.eye(3),
    "no red": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "no green": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]
    ),
    "no blue": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]]
    ),
}


def cie_lab(colours: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    values = colours / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ matrix.T, 0, 1)
    white = np.array([0.95047, 1, 1.08883])
    xyz = seen @ np.array([[0.4125, 0.3576, 0.1804], [0.2127, 0.7152, 0.0722], [0.0193, 0.1192, 0.9503]]).T / white
    root = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = root.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


@pytest.mark.parametrize("vision", VISION)
def test_no_two_colours_are_confused(vision: str) -> None:
    seen = cie_lab(SLOT_COLOURS.astype(float), VISION[vision])
    nearest = min(np.linalg.norm(one - two) for one, two in itertools.combinations(seen, 2))
    assert nearest > (22 if vision == "no blue" else 27)


def test_colours_stand_out_from_light_and_dark_paper() -> None:
    seen = cie_lab(SLOT_COLOURS.astype(float), VISION["usual"])
    for paper in ([252, 252, 250], [19, 21, 25]):
        far = np.linalg.norm(seen - cie_lab(np.array([paper], float), VISION["usual"]), axis=1)
        assert far.min() > 25


def test_labels_become_colours_whatever_they_are_kept_in() -> None:
    labels = torch.tensor([[[0, 1], [11, 2]]])
    image = colour_masks(labels)
    assert image.shape == (1, 2, 2, 3)
    assert image.dtype == np.uint8
    assert np.array_equal(image[0, 1, 0], SLOT_COLOURS[11])
    assert np.array_equal(image, colour_masks(labels.numpy().astype(np.uint8)))
    assert np.array_equal(colour_masks(labels[0]), image[0])
    assert colour_masks(torch.zeros(2, 3, 4, 5, dtype=torch.long)).shape == (2, 3, 4, 5, 3)
    assert colour_masks(np.zeros((0, 4, 4), np.int64)).shape == (0, 4, 4, 3)


def test_more_numbers_than_colours_and_negative_numbers() -> None:
    image = colour_masks(np.array([[0, 12, 24, -1]]))[0]
    assert len({tuple(pixel) for pixel in image}) == 4
    assert np.array_equal(image[3], UNKNOWN)
    assert image[0].sum() > image[1].sum() > image[2].sum()


def test_masks_that_are_not_labels_are_refused() -> None:
    with pytest.raises(PerceptsError, match=r"float32.*argmax"):
        colour_masks(torch.rand(2, 4, 4))


def test_decided_masks_blend_to_their_colours_and_undecided_ones_to_the_mean() -> None:
    labels = torch.tensor([[0, 1], [2, 3]])
    hard = torch.nn.functional.one_hot(labels, 4).permute(2, 0, 1).float()
    assert np.array_equal(blend_masks(hard[None])[0], colour_masks(labels))
    flat = blend_masks(torch.full((4, 1, 1), 0.25))[0, 0]
    assert np.abs(flat - SLOT_COLOURS[:4].mean(0)).max() <= 0.51


def test_names_and_colours_are_the_same() -> None:
    assert [slot_colour(number) for number in range(12)] == list(NAMES)
    assert slot_colour(12) not in NAMES
