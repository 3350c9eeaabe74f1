"""A transition model that needs no training: clicks near a slot move it, as they move Spriteworld's squares."""

from __future__ import annotations

import torch
from torch import Tensor

from percepts.agents.cobra.exploration import CriticPolicy, RandomObject
from percepts.agents.cobra.slots import OracleFactors
from percepts.agents.cobra.transition import SlotTransition
from percepts.envs.spriteworld.configs import cobra_task

HALF = 0.065


class ExactTransition(SlotTransition):
    """Right for upright squares of side 0.13 that do not hide each other, under SelectMove(scale=0.25)."""

    def predict(self, latents: Tensor, action: Tensor, weight: Tensor | None = None) -> Tensor:
        click, motion = action[..., None, :2], 0.25 * (action[..., None, 2:] - 0.5)
        away = click - latents[..., :2]
        inside = ((away >= -HALF) & (away < HALF)).all(-1, keepdim=True)
        place = (latents[..., :2] + motion * inside).clamp(0, 1)
        rest = latents[..., 2:].expand(*place.shape[:-1], -1)
        return torch.cat([place, rest], -1)


def parts(task: str = "goal-finding-new-shape", mode: str = "train", policy: str = "critic") -> dict:
    """What a task phase is made of, beside its configuration and seed."""
    config = cobra_task(task, mode)
    encoder = OracleFactors.Config().build()
    torch.manual_seed(0)
    explorer = (CriticPolicy if policy == "critic" else RandomObject).Config().build(latents=encoder.latents)
    return {
        "arena": config.arena.build(),
        "observer": config.observer,
        "encoder": encoder,
        "transition": ExactTransition(SlotTransition.Config(hidden=(4,)), encoder.latents),
        "explorer": explorer,
    }
