"""Scenes edited by their slots: swap, delete and insert objects between images, then draw (MONet, IODINE, ...).

    a, b = (model.encode(image).mean for image in (first, second))
    model.decode(swap(a, 2, b, 1)[0])            # the first scene with object 1 of the second in the place of its own
    model.decode(delete(a, 2))                   # the rest closes over it: masks are shared out among what is left
    model.decode(insert(a, b, 1))                # both in one scene

A slot is named by its number, one for all images or one for each. Latents [B,K,D] go in and come out, so edits chain;
any model that `DecodesSlots` draws them, whatever K has become.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from percepts.core.errors import DataError

Which = int | Tensor
"""A slot's number, for all images or [B] for each."""


def swap(
    latents: Float[Tensor, "batch slots latents"],
    slot: Which,
    others: Float[Tensor, "batch other_slots latents"],
    other_slot: Which,
) -> tuple[Float[Tensor, "batch slots latents"], Float[Tensor, "batch other_slots latents"]]:
    """Both sets of slots, with `slot` of the one and `other_slot` of the other exchanged image by image.

    Raises:
        DataError: no such slot, or sets that do not fit.
    """
    _fit(latents, others)
    return (
        replace(latents, slot, take(others, other_slot)),
        replace(others, other_slot, take(latents, slot)),
    )


def delete(latents: Float[Tensor, "batch slots latents"], slot: Which) -> Float[Tensor, "batch fewer_slots latents"]:
    """The slots without `slot`.

    Raises:
        DataError: no such slot, or it is the only one.
    """
    batch, slots = latents.shape[:2]
    if slots < 2:
        raise DataError("deleting the only slot", "a scene of two slots or more")
    numbers = torch.arange(slots, device=latents.device).expand(batch, slots)
    return latents[numbers != _rows(latents, slot)[:, None]].unflatten(0, (batch, slots - 1))


def insert(
    latents: Float[Tensor, "batch slots latents"],
    others: Float[Tensor, "batch other_slots latents"],
    other_slot: Which,
) -> Float[Tensor, "batch more_slots latents"]:
    """The slots and, after them, `other_slot` of the other scenes.

    Raises:
        DataError: no such slot, or sets that do not fit.
    """
    _fit(latents, others)
    return torch.cat([latents, take(others, other_slot)[:, None]], dim=1)


def replace(
    latents: Float[Tensor, "batch slots latents"], slot: Which, by: Float[Tensor, "batch latents"]
) -> Float[Tensor, "batch slots latents"]:
    """The slots with `by` in the place of `slot`.

    Raises:
        DataError: no such slot.
    """
    edited = latents.clone()
    edited[torch.arange(len(latents), device=latents.device), _rows(latents, slot)] = by
    return edited


def take(latents: Float[Tensor, "batch slots latents"], slot: Which) -> Float[Tensor, "batch latents"]:
    """One slot of every image.

    Raises:
        DataError: no such slot.
    """
    return latents[torch.arange(len(latents), device=latents.device), _rows(latents, slot)]


def _rows(latents: Tensor, slot: Which) -> Tensor:
    """The slot's number for every image, [B]."""
    batch, slots = latents.shape[:2]
    rows = torch.as_tensor(slot, device=latents.device, dtype=torch.int64)
    if rows.dim() > 1 or (rows.dim() == 1 and len(rows) != batch):
        raise DataError(f"slot numbers of shape {tuple(rows.shape)}", f"one number, or one for each of {batch} images")
    if bool(((rows < 0) | (rows >= slots)).any()):
        raise DataError(f"slot {rows.tolist()}", f"numbers from 0 to {slots - 1}")
    return rows.expand(batch)


def _fit(latents: Tensor, others: Tensor) -> None:
    if len(latents) != len(others) or latents.shape[2] != others.shape[2]:
        raise DataError(
            f"latents {tuple(latents.shape)} and {tuple(others.shape)}", "as many images, and slots of one model"
        )
