"""Models of several objects: images taken apart, what the latents of a slot do, refinement, tracking, editing."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from percepts.core.slots import DecodesSlots, Refines, Tracks
from percepts.report.curves import Line, line_chart
from percepts.report.grids import grid
from percepts.report.images import Picture, picture, to_pixels
from percepts.report.material import Material, as_number
from percepts.report.sections.code import gap_of
from percepts.report.sections.section import Chart, Section
from percepts.report.slot_editing import edit_scenes, telling_pair
from percepts.report.slot_palette import colour_masks, slot_colour
from percepts.report.slot_refinement import StepNumbers, refinement_pixels, step_numbers
from percepts.report.slot_sheet import shrink_labels
from percepts.report.slot_traversal import REACH, SlotTraversal, strip_pixels, traverse_image
from percepts.report.slot_usage import SlotUsage, telling_image
from percepts.report.slots import TakenApart, alike, map_decomposition, part_of, percent, take_pixels, to_cpu
from percepts.report.svg import nats, share, short

SHOWN, REFINED = 8, 4
MOST_COLUMNS, MOST_FRAMES = 16, 12


def decomposition(material: Material) -> Section | None:
    """Some images with their masks and every slot by itself, and how much of the images each slot has."""
    taken, usage = material.decomposition, material.slots
    if taken is None or usage is None:
        return None
    truth = None if material.truth is None else material.truth[:SHOWN]
    shown = take_pixels(material.images[:SHOWN], part_of(taken, 0, SHOWN), truth)
    return Section(
        "decomposition",
        "Images taken apart",
        {
            "scenes": [_scene(one, number) for number, one in enumerate(shown)],
            "rows": _slot_rows(usage),
            "active": short(usage.active, 2),
            "count": taken.mask.shape[1],
            "images": taken.mask.shape[0],
            "truth": truth is not None,
        },
    )


def slots(material: Material) -> Section | None:
    """Every informative latent of two slots varied, and which latents each slot uses."""
    taken, usage = material.decomposition, material.slots
    if taken is None or usage is None:
        return None
    number = telling_image(taken)
    moved: list[SlotTraversal] = []
    if isinstance(material.model, DecodesSlots):
        moved = traverse_image(material.model, taken, usage, number, material.images.device)
    before = to_pixels(material.images[number : number + 1])[0]
    return Section(
        "slots",
        "What the latents of a slot do",
        {
            "slots": [_traversal(one, usage) for one in moved],
            "start": picture(before, "The image whose slots are varied"),
            "reach": f"{REACH:g}",
            "latents": (columns := usage.order[:MOST_COLUMNS]),
            "hidden": len(usage.order) - len(columns),
            "matrix": _usage_matrix(usage, columns),
            "held": [(share(float(usage.variance[z])), share(float(usage.spread[z]))) for z in columns],
        },
    )


def refinement(material: Material) -> Section | None:
    """Some images after every step of inference, and what improves."""
    if material.decomposition is None or not isinstance(material.model, Refines):
        return None
    images = material.images[:REFINED]
    states = [to_cpu(state) for state in material.model.refine(images)]
    truth = None if material.truth is None else material.truth[: len(images)]
    numbers = step_numbers(images, states, truth, getattr(material.dataset, "backgrounds", 1))
    strips = []
    before = to_pixels(images)
    for place in range(len(images)):
        steps, drawn, masks = refinement_pixels(states, place)
        tiles = np.concatenate([_rgb(np.stack(drawn)), np.stack(masks)])
        words = f"Image {place + 1} over the steps: the reconstruction above the masks"
        strips.append((picture(before[place], f"Image {place + 1}"), _strip(tiles, len(steps), words)))
    charts = _step_charts(numbers, material)
    content = {"strips": strips, "steps": len(states) - 1, "columns": len(steps), "charts": charts}
    return Section("refinement", "Inference, step by step", content)


def tracking(material: Material) -> Section | None:
    """One video, its reconstruction and its masks, frame by frame."""
    if material.decomposition is None or not isinstance(material.model, Tracks) or "video" not in material.batch:
        return None
    video = material.batch["video"][:1]
    states = [to_cpu(state) for state in material.model.track(video)]
    frames = sorted({round(place) for place in np.linspace(0, len(states) - 1, min(MOST_FRAMES, len(states)))})
    rows = [to_pixels(video[0, frames])]
    rows.append(to_pixels(torch.cat([states[frame].reconstruction for frame in frames])))
    names = ["video", "model", "slots"]
    found = torch.cat([states[frame].mask.argmax(1) for frame in frames])
    rows.append(_small_labels(found))
    if "segmentation" in material.batch and material.batch["segmentation"].ndim == 4:
        true = material.batch["segmentation"][0, frames].cpu()
        # One numbering for all frames: an entity keeps its colour, so that a slot that changes hands is seen.
        both = alike(true.reshape(1, -1, true.shape[-1]), found.reshape(1, -1, found.shape[-1]))
        rows.append(_small_labels(both.reshape(true.shape)))
        names.append("truth")
    strips = [(name, _strip(_rgb(row), len(frames), f"{name}, frame by frame")) for name, row in zip(names, rows)]
    return Section("tracking", "Slots over time", {"strips": strips, "frames": [frame + 1 for frame in frames]})


def editing(material: Material) -> Section | None:
    """Slots taken out of one image and put into another."""
    taken = material.decomposition
    if taken is None or not isinstance(material.model, DecodesSlots) or taken.mask.shape[1] < 2:
        return None
    pair = torch.tensor(telling_pair(taken))
    both = map_decomposition(taken, lambda value: value[pair])
    images = material.images[pair.to(material.images.device)]
    edits = edit_scenes(material.model, images, both, material.images.device)
    half = len(edits.edits) // 2
    rows = [
        {
            "image": picture(edits.images[place], f"Image {place + 1}"),
            "slot": edits.slots[place],
            "hue": slot_colour(edits.slots[place]),
            "cut": picture(edits.cut[place], f"Slot {edits.slots[place]} of image {place + 1} by itself"),
            "edits": [
                {"name": one.name, "remark": one.remark, "picture": picture(one.image, f"{one.name}: {one.remark}"),
                 "masks": picture(one.soft, f"{one.name}: decoded masks")}
                for one in edits.edits[place * half : (place + 1) * half]
            ],
        }
        for place in range(2)
    ]  # fmt: skip
    return Section("editing", "Scenes edited by their slots", {"rows": rows})


def _scene(one: TakenApart, number: int) -> dict[str, Any]:
    tiles = [
        {
            "slot": slot,
            "hue": slot_colour(slot),
            "present": present,
            "share": percent(part),
            "masked": picture(masked, f"Slot {slot} of image {number + 1} behind its mask"),
            "whole": picture(whole, f"Slot {slot} of image {number + 1}, whole"),
        }
        for slot, present, part, masked, whole in zip(one.slots, one.present, one.share, one.masked, one.unmasked)
    ]
    first = [("image", one.image), ("model", one.reconstruction), ("slots", one.segmentation), ("masks", one.soft)]
    first += [] if one.truth is None else [("truth", one.truth)]
    pictures = [(name, picture(pixels, f"Image {number + 1}: {name}")) for name, pixels in first]
    return {"pictures": pictures, "tiles": tiles, "hidden": one.hidden}


def _slot_rows(usage: SlotUsage) -> list[dict[str, Any]]:
    total = usage.kl.sum(1)
    return [
        {
            "slot": slot,
            "hue": slot_colour(slot),
            "share": percent(float(usage.share[slot])),
            "width": 100 * float(usage.share[slot]),
            "present": percent(float(usage.presence[slot])),
            "kl": nats(float(total[slot])),
        }
        for slot in range(len(total))
    ]


def _traversal(one: SlotTraversal, usage: SlotUsage) -> dict[str, Any]:
    rows = []
    for place, latent in enumerate(one.latents):
        tiles = np.concatenate([_rgb(strip) for strip in strip_pixels(one, place)])
        words = f"Latent {latent} of slot {one.slot} varied: the slot whole, behind its mask, and the whole image"
        rows.append(
            {
                "latent": latent,
                "kl": nats(float(usage.held_kl[latent])),
                "variance": share(float(usage.variance[latent])),
                "strip": _strip(tiles, len(one.values), words),
            }
        )
    return {"slot": one.slot, "hue": slot_colour(one.slot), "rows": rows}


def _usage_matrix(usage: SlotUsage, columns: list[int]) -> list[tuple[int, str, list[tuple[str, float]]]]:
    """For every slot its number, its colour, and the KL of every latent as text and as a share of the largest."""
    top = max(float(usage.kl[:, columns].max()), 1e-9)
    return [
        (slot, slot_colour(slot), [(nats(float(row[z])), 100 * float(row[z]) / top) for z in columns])
        for slot, row in enumerate(usage.kl)
    ]


def _step_charts(numbers: list[StepNumbers], material: Material) -> list[Chart]:
    steps = [one.step for one in numbers]
    ticks = {float(step): str(step) for step in steps[:: max(1, len(steps) // 8)]}

    def chart(title: str, values: list[float], unit: str, caption: str, key: str) -> Chart:
        line = Line(title, steps[: len(values)], values)
        label = f"{title} after every step of inference"
        svg = line_chart(
            [line], label=label, x_label="step of inference", y_label=unit, points=True, x_ticks=ticks, key=key
        )
        return Chart(title, svg, caption)

    found = [chart("Squared error", [one.error for one in numbers], "a number", "Of the images above.", "steps-error")]
    known = [one.ari for one in numbers if one.ari is not None]
    if len(known) == len(numbers):
        caption = "Adjusted Rand index of the foreground, of the images above."
        found.append(chart("ARI-FG", known, "", caption, "steps-ari"))
    logged = [line["nll_t"] for line in material.log if isinstance(line.get("nll_t"), list) and line["nll_t"]]
    if logged:
        values = [as_number(value) for value in logged[-1]]
        caption = "−ln p(x) before the first step and after each, at the last logged step of training."
        steps = list(range(len(values)))
        ticks = {float(step): str(step) for step in steps[:: max(1, len(steps) // 8)]}
        found.append(chart("Likelihood", values, "nats an image", caption, "steps-nll"))
    return found


def _strip(tiles: UInt8[np.ndarray, "tiles height width channels"], columns: int, words: str) -> Picture:
    return picture(grid(tiles, columns, gap_of(tiles.shape[2])), words)


def _small_labels(labels: torch.Tensor) -> UInt8[np.ndarray, "frames height width 3"]:
    return colour_masks(shrink_labels(labels))


def _rgb(pixels: UInt8[np.ndarray, "*batch channels"]) -> UInt8[np.ndarray, "*batch 3"]:
    return np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] == 1 else pixels
