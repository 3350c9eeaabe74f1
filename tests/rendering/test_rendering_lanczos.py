"""The reduction of label canvases against Pillow's resize, bit by bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from pillow_drawing import needs_same_pillow

from percepts.rendering.lanczos import lanczos_weights, reduce_labels, stride_of

UNIT = 2**22
GOLDEN = [841337, 781320, 618288, 397113, 174543, 0, -99278, -123412, -94487, -44124, 0, 23080, 24820, 14634, 3986]
GOLDEN_BORDER = [661987, 836542, 900800, 836542, 661987, 425180, 186880, 0, -106295, -132134, -101165, -47242, 0, 24711,
                 26574, 15668, 4268, 0]  # fmt: skip


def units(cells: int, pixels: int) -> torch.Tensor:
    """The weights in multiples of 2⁻²²."""
    weights = lanczos_weights(cells, pixels) * UNIT
    assert (weights == weights.round()).all()
    return weights.long()


def test_golden_weights() -> None:
    """Of the inner pixels at five cells a pixel: L(t) = sinc(t) sinc(t / 3) at t = 0, 0.2, …, 2.8, normalised."""
    t = np.arange(-14, 15) / 5
    expected = np.sinc(t) * np.sinc(t / 3)
    expected = np.rint(expected / expected.sum() * UNIT).astype(int)
    weights = units(100, 20)
    assert weights[10, 38:67].tolist() == expected.tolist()
    assert weights[10].count_nonzero() == 25, "cells a whole number of pixels away have none"
    assert weights[10, 52:67].tolist() == GOLDEN
    assert weights[0, :18].tolist() == GOLDEN_BORDER


@pytest.mark.parametrize(("cells", "pixels"), [(320, 64), (10, 5), (9, 3), (64, 4), (5, 1), (14, 2), (600, 3)])
def test_weights_are_those_of_pillow(cells: int, pixels: int) -> None:
    """Pillow filters pictures of floats with weights that are not rounded: the answers to single cells."""
    identity = Image.fromarray(np.eye(cells, dtype=np.float32))
    answers = np.array(identity.resize((pixels, cells), Image.Resampling.LANCZOS), dtype=np.float64).T
    weights = units(cells, pixels).numpy()
    assert np.abs(weights - answers * UNIT).max() < 0.5 + 0.1
    assert (np.abs(weights.sum(1) - UNIT) <= 3 * cells / pixels).all()
    assert (weights == weights[::-1, ::-1]).mean() > 0.99


@pytest.mark.parametrize("pixels", [1, 2, 7, 64])
def test_one_cell_a_pixel_is_the_identity(pixels: int) -> None:
    assert (lanczos_weights(pixels, pixels) == torch.eye(pixels)).all()


def canvas(labels: np.ndarray) -> torch.Tensor:
    """Labels [B, rows, columns] as `reduce_labels` wants them."""
    batch, rows, columns = labels.shape
    padded = np.zeros((batch, rows, stride_of(columns)), labels.dtype)
    padded[..., 1 : columns + 1] = labels
    return torch.from_numpy(padded)


@needs_same_pillow
@pytest.mark.parametrize("dtype", [np.uint8, np.int16])
@pytest.mark.parametrize(
    ("height", "width", "supersampling"),
    [(9, 12, 5), (8, 8, 1), (16, 8, 2), (17, 8, 2), (5, 5, 17), (1, 1, 3), (1, 30, 4), (130, 1, 2), (130, 1, 1)],
)
def test_noise_is_reduced_as_pillow_reduces_it(height: int, width: int, supersampling: int, dtype: type) -> None:
    """Every cell another colour, extreme ones, so that sums are clipped. Tall ones are filtered by columns first."""
    rng = np.random.default_rng(height)
    size = (height * supersampling, width * supersampling)
    labels = rng.integers(0, 6, (3, *size)).astype(dtype)
    labels[1] = np.repeat(labels[1, :, ::2], 2, 1)[:, : size[1]]
    palette = rng.integers(0, 256, (3, 6, 3), dtype=np.uint8)
    palette[:, 1:3] = [[[0, 255, 0]], [[255, 0, 255]], [[255, 255, 0]]]
    got = reduce_labels(canvas(labels), torch.from_numpy(palette), height, width, supersampling)
    for index in range(3):
        picture = Image.fromarray(palette[index][labels[index]])
        expected = np.array(picture.resize((width, height), Image.Resampling.LANCZOS))
        assert (got[index].numpy() == expected).all()


def test_a_blank_canvas_is_the_background() -> None:
    palette = torch.tensor([[[3, 140, 255], [9, 9, 9]]], dtype=torch.uint8)
    got = reduce_labels(canvas(np.zeros((1, 20, 30), np.uint8)), palette, 4, 6, 5)
    assert (got == palette[:, :1, None]).all()


def test_one_channel() -> None:
    labels = np.zeros((1, 20, 20), np.uint8)
    labels[:, 5:15, 5:15] = 1
    grey = reduce_labels(canvas(labels), torch.tensor([[[0], [255]]], dtype=torch.uint8), 4, 4, 5)
    expected = np.array(Image.fromarray(labels[0] * np.uint8(255)).resize((4, 4), Image.Resampling.LANCZOS))
    assert (grey[0, ..., 0].numpy() == expected).all()
