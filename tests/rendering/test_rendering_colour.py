"""Colours against Python's own conversion."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
import torch

from percepts.core.errors import DataError
from percepts.rendering.colour import hsv_bytes, hsv_to_rgb


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bytes_are_those_of_colorsys_in_either_precision(dtype: type) -> None:
    rng = np.random.default_rng(0)
    hsv = rng.random((5000, 3))
    hsv[:500, 1] = 0
    hsv[500:1000, 0] = rng.integers(0, 13, 500) / 6
    hsv[1000:1500] = rng.integers(0, 2, (500, 3))
    hsv = hsv.astype(dtype)
    expected = np.stack([(255 * np.array(colorsys.hsv_to_rgb(*colour))).astype(np.uint8) for colour in hsv])
    assert (hsv_bytes(torch.from_numpy(hsv)).numpy() == expected).all()


def test_the_precisions_differ() -> None:
    """By a level, in few colours: why the precision of the input is kept."""
    hsv = torch.tensor([0.92223060131073, 0.9284662008285522, 0.20976299047470093])
    assert hsv_bytes(hsv).tolist() == [53, 3, 27]
    assert hsv_bytes(hsv.double()).tolist() == [53, 3, 26]


def test_known_bytes() -> None:
    hsv = torch.tensor(
        [[0.2, 0.5, 0.5], [0.0, 0.0, 0.95], [0.0, 1.0, 1.0], [1.0, 1.0, 1.0], [1 / 3, 1.0, 1.0]]
    ).double()
    expected = [[114, 127, 63], [242, 242, 242], [255, 0, 0], [255, 0, 0], [0, 255, 0]]
    assert hsv_bytes(hsv).tolist() == expected


def test_hue_wraps_and_colours_are_clipped() -> None:
    hue = torch.tensor([0.125, 0.5, 0.75], dtype=torch.float64)
    hsv = torch.stack([hue, torch.full_like(hue, 0.7), torch.full_like(hue, 0.9)], -1)
    turned = [hsv + torch.tensor([turns, 0, 0]) for turns in (-2, 0, 1)]
    assert (hsv_bytes(torch.stack(turned)) == hsv_bytes(hsv)).all()
    assert hsv_bytes(torch.tensor([[0.0, 0.0, 1.5], [0.0, 0.0, -1.0]])).tolist() == [[255] * 3, [0] * 3]


def test_bytes_are_the_truncated_colours() -> None:
    hsv = torch.rand(300, 2, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert (hsv_bytes(hsv) - hsv_to_rgb(hsv) * 255).abs().max() <= 1
    assert hsv_bytes(torch.empty(0, 4, 3)).shape == (0, 4, 3)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_bad_colours(bad: float) -> None:
    with pytest.raises(DataError, match="NaN or infinite"):
        hsv_bytes(torch.tensor([0.5, bad, 0.5]))
