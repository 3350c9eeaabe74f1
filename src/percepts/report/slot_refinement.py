"""Refinement strips: what a model that infers its slots step by step believes after every step.

Greff et al. (2019, figure 2) show that a decomposition comes up over the first few steps: symmetry breaks, then the
masks become decided. The numbers below a step are of the images shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from percepts.core.errors import PerceptsError
from percepts.core.slots import Decomposition, labels
from percepts.metrics.segmentation_ari import adjusted_rand_index
from percepts.report.images import LARGEST_SIDE, to_pixels
from percepts.report.plates import Plate, plate_of
from percepts.report.slot_palette import blend_masks
from percepts.report.slot_sheet import Tile, sheet
from percepts.report.slots import Pixels, part_of
from percepts.report.svg import short

MOST_STEPS = 13
"""Columns of a strip; of more steps it shows the first, the last and evenly spaced ones between."""


@dataclass(frozen=True)
class StepNumbers:
    """Means over the images after one step.

    Attributes:
        step: 0 is before the first one.
        error: squared error of the reconstruction a number of the image.
        entropy: of the masks, in nats a pixel.
        ari: adjusted Rand index of the foreground, where the truth is known and holds two objects or more.
    """

    step: int
    error: float
    entropy: float
    ari: float | None


def step_numbers(
    images: Float[Tensor, "batch channels height width"],
    states: Sequence[Decomposition],
    truth: Int[Tensor, "batch height width"] | None = None,
    backgrounds: int = 1,
) -> list[StepNumbers]:
    """The numbers of every step.

    Args:
        states: before the first step and after each one, as `core.slots.Refines.refine` gives them.
        backgrounds: how many entities, the first, are background.

    Raises:
        PerceptsError: there is no state.
    """
    if not states:
        raise PerceptsError("no state of a refinement", "what the model believes before the first step and after each")
    found = []
    for step, state in enumerate(states):
        error = float((state.reconstruction.cpu() - images.cpu()).square().mean())
        entropy = float(torch.special.entr(state.mask.float()).sum(1).mean())
        ari = None
        if truth is not None:
            value = adjusted_rand_index(truth.cpu(), labels(state.mask.cpu()), backgrounds=backgrounds).value
            ari = None if value != value else value
        found.append(StepNumbers(step, error, entropy, ari))
    return found


def refinement_pixels(
    states: Sequence[Decomposition], number: int, largest: int = LARGEST_SIDE
) -> tuple[list[int], list[Pixels], list[Pixels]]:
    """Of image `number`: the steps shown, the reconstruction after each, and the masks in mixed colours."""
    last = len(states) - 1
    count = min(len(states), MOST_STEPS)
    steps = [round(place * last / max(count - 1, 1)) for place in range(count)]
    shown = [part_of(states[step], number, number + 1) for step in steps]
    drawn = [to_pixels(state.reconstruction, largest)[0] for state in shown]
    soft = [torch.from_numpy(blend_masks(state.mask[0]) / 255.0).permute(2, 0, 1)[None] for state in shown]
    return steps, drawn, [to_pixels(one, largest)[0] for one in soft]


def refinement_plate(
    images: Float[Tensor, "batch channels height width"],
    states: Sequence[Decomposition],
    truth: Int[Tensor, "batch height width"] | None = None,
    backgrounds: int = 1,
) -> Plate:
    """Two rows an image, a column a step: the reconstruction, and the masks; below, the mean numbers of the steps.

    Raises:
        PerceptsError: there is no state.
    """
    numbers = step_numbers(images, states, truth, backgrounds)
    rows: list[list[Tile | None]] = []
    before = to_pixels(images)
    for place in range(len(images)):
        steps, drawn, masks = refinement_pixels(states, place)
        last = place == len(images) - 1
        rows.append([Tile(before[place]), *(Tile(one) for one in drawn)])
        notes = [step_words(numbers[step]) if last else "" for step in steps]
        rows.append([None, *(Tile(one, note) for one, note in zip(masks, notes))])
    names = [f"step {step}" if step else "start" for step in steps]
    measured = "squared error" + (" and ARI-FG" if numbers[-1].ari is not None else "")
    caption = (
        f"Every column is a step of inference: above the reconstruction, below the masks, undecided pixels in mixed "
        f"colours. Below the last row the {measured}, mean over these images: it should fall step by step."
    )
    picture = sheet(rows, columns=["image", *names], breaks=range(2, len(rows), 2))
    return plate_of(picture, caption, f"{len(images)} images over {len(states) - 1} steps of refinement")


def step_words(numbers: StepNumbers) -> str:
    """A step's numbers, short enough to stand below a tile."""
    ari = "" if numbers.ari is None else f" · {numbers.ari:.2f}".replace("-", "−")
    return f"{short(numbers.error, 2)}{ari}"
