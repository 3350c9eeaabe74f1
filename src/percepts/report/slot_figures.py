"""The pictures and films of slot models that a run folder gets."""

from __future__ import annotations

from collections.abc import Callable

import torch
from PIL import Image

from percepts.core.slots import DecodesSlots, Decomposes, Refines, Tracks
from percepts.report.material import Material
from percepts.report.slot_editing import edit_scenes, editing_plate, telling_pair
from percepts.report.slot_refinement import refinement_plate
from percepts.report.slot_traversal import slot_traversal_plate, traverse_image
from percepts.report.slot_usage import telling_image
from percepts.report.slots import decomposition_plate, map_decomposition, part_of, to_cpu
from percepts.report.video import decomposition_frames, gif_bytes

SHOWN, REFINED, HOLD = 6, 3, 6


def decomposition_figure(material: Material) -> Image.Image | None:
    """Images with their masks and every slot by itself."""
    if material.decomposition is None:
        return None
    truth = None if material.truth is None else material.truth[:SHOWN]
    return decomposition_plate(material.images[:SHOWN], part_of(material.decomposition, 0, SHOWN), truth).image


def slot_traversal_figure(material: Material) -> Image.Image | None:
    """The informative latents of the two most telling slots of one image."""
    taken, usage = material.decomposition, material.slots
    if taken is None or usage is None or not isinstance(material.model, DecodesSlots):
        return None
    moved = traverse_image(material.model, taken, usage, telling_image(taken), material.images.device)
    return slot_traversal_plate(moved, usage).image


def refinement_figure(material: Material) -> Image.Image | None:
    """Images after every step of inference."""
    if not isinstance(material.model, Refines) or material.decomposition is None:
        return None
    images = material.images[:REFINED]
    states = [to_cpu(state) for state in material.model.refine(images)]
    truth = None if material.truth is None else material.truth[: len(images)]
    return refinement_plate(images, states, truth, getattr(material.dataset, "backgrounds", 1)).image


def editing_figure(material: Material) -> Image.Image | None:
    """Slots of two images exchanged."""
    taken = material.decomposition
    if taken is None or not isinstance(material.model, DecodesSlots) or taken.mask.shape[1] < 2:
        return None
    pair = torch.tensor(telling_pair(taken))
    images = material.images[pair.to(material.images.device)]
    both = map_decomposition(taken, lambda value: value[pair])
    return editing_plate(edit_scenes(material.model, images, both, material.images.device)).image


def refinement_film(material: Material) -> bytes | None:
    """One image, a frame a step of inference, the last one held."""
    taken = material.decomposition
    if not isinstance(material.model, Refines) or taken is None:
        return None
    number = telling_image(taken)
    image = material.images[number : number + 1]
    states = [to_cpu(state) for state in material.model.refine(image)]
    states += [states[-1]] * HOLD
    truth = None if material.truth is None else material.truth[[number] * len(states)]
    return gif_bytes(decomposition_frames(image.expand(len(states), -1, -1, -1), states, truth), 3.0)


def tracking_film(material: Material) -> bytes | None:
    """One video with its slots over time."""
    if not isinstance(material.model, Tracks) or "video" not in material.batch:
        return None
    if not isinstance(material.model, Decomposes):
        return None
    video = material.batch["video"][:1]
    states = [to_cpu(state) for state in material.model.track(video)]
    known = material.batch.get("segmentation")
    truth = known[0, : len(states)].cpu() if known is not None and known.ndim == 4 else None
    return gif_bytes(decomposition_frames(video[0, : len(states)], states, truth), 6.0)


SLOT_FIGURES: dict[str, Callable[[Material], Image.Image | None]] = {
    "decomposition": decomposition_figure,
    "slot_traversals": slot_traversal_figure,
    "refinement": refinement_figure,
    "slot_editing": editing_figure,
}
SLOT_FILMS: dict[str, Callable[[Material], bytes | None]] = {"refinement": refinement_film, "tracking": tracking_film}
