"""Colours of slots and entities: twelve that no kind of colour vision confuses, the same all over a report.

They were found by a search for the largest smallest distance (CIE 1976, ≥ 27, for blue-yellow blindness ≥ 22) between
any two as seen with usual vision and without red, green or blue cones (Machado et al. 2009), among colours that stand
out from white and from black paper. The first few differ most.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from percepts.core.errors import PerceptsError

NAMES = (
    "#a090ff", "#f05000", "#00ffc0", "#704040", "#4030c0", "#ffe000",
    "#900080", "#902000", "#e060a0", "#b08060", "#a0d0ff", "#c0e070",
)  # fmt: skip
"""As a page writes them."""
SLOT_COLOURS = np.array([[int(name[place : place + 2], 16) for place in (1, 3, 5)] for name in NAMES], np.uint8)
UNKNOWN = np.array([128, 128, 128], np.uint8)
"""Of pixels that belong to nothing: negative labels."""


def colour_masks(labels: Any) -> UInt8[np.ndarray, "*batch height width 3"]:
    """A segmentation, integers [..., H, W] (an array or a tensor of any device), as RGB: a colour for every number.

    From 12 on colours repeat, darker every time; negative numbers are grey.

    Raises:
        PerceptsError: the numbers are not integers.
    """
    array = np.asarray(labels.detach().cpu() if isinstance(labels, Tensor) else labels)
    if array.dtype.kind not in "iu":
        raise PerceptsError(f"a segmentation of type {array.dtype}", "integers", "masks.argmax over the slots first")
    largest = max(int(array.max(initial=0)), 0)
    colours = np.stack([_colour(number) for number in range(largest + 1)])
    return np.where((array < 0)[..., None], UNKNOWN, colours[np.clip(array, 0, None)])


def blend_masks(
    mask: Float[Tensor, "*batch slots height width"], numbers: Sequence[int] | None = None
) -> UInt8[np.ndarray, "*batch height width 3"]:
    """Soft masks that sum to 1 over the slots as RGB: undecided pixels show a mixture of their slots' colours.

    Args:
        numbers: of the slots, by which they are coloured; by default 0, 1, …
    """
    chosen = range(mask.shape[-3]) if numbers is None else numbers
    colours = torch.from_numpy(np.stack([_colour(number) for number in chosen])).float()
    mixed = torch.einsum("...khw,kc->...hwc", mask.detach().float().cpu().nan_to_num(0.0), colours)
    return mixed.clamp(0, 255).round().to(torch.uint8).numpy()


def slot_colour(number: int) -> str:
    """The colour of slot `number` (from 0) as a page writes it, such as "#a090ff"."""
    return "#" + "".join(f"{channel:02x}" for channel in _colour(number))


def _colour(number: int) -> np.ndarray:
    darker = 0.72 ** (number // len(SLOT_COLOURS))
    return (SLOT_COLOURS[number % len(SLOT_COLOURS)] * darker).round().astype(np.uint8)
