"""How good a transition model is, on trajectories that are the same for all models.

    probe = collect(world, RandomObject.Config().build(latents=9), arenas=64, steps=10, seed=0)
    measure(probe, transition, loss, world.encoder)["relative_error"]

Errors are relative to the prediction that nothing moves: 1 is no better than that, 0 is perfect.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from percepts.agents.cobra.exploration import Explorer
from percepts.agents.cobra.slots import SlotEncoder, SlotState, as_images
from percepts.agents.cobra.transition import SlotTransition
from percepts.agents.cobra.transition_losses import TransitionLoss, slot_errors
from percepts.agents.cobra.world import World
from percepts.core.random import derive_seed, torch_generator

HORIZONS = (1, 3, 5, 10)
_CHUNK = 256


@dataclass(frozen=True)
class Probe:
    """B trajectories of T steps each.

    Attributes:
        latents, weight: of the slots, before every step and after the last one.
        action: of every step.
        hit: which actions found a sprite.
        valid: which steps belong to the trajectory; false once its episode has ended.
        image: before every step and after the last one, where it was asked for.
    """

    latents: Float[Tensor, "batch times slots latents"]
    weight: Float[Tensor, "batch times slots"]
    action: Float[Tensor, "batch steps action"]
    hit: Bool[Tensor, "batch steps"]
    valid: Bool[Tensor, "batch steps"]
    image: UInt8[Tensor, "batch times height width 3"] | None = None

    def at(self, time: int, rows: Bool[Tensor, " batch"]) -> SlotState:
        """The slots of some trajectories at one time."""
        return SlotState(self.latents[rows, time], self.weight[rows, time])

    def to(self, device: torch.device | str) -> Probe:
        """On another device; the pictures stay."""
        names = ("latents", "weight", "action", "hit", "valid")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})

    @property
    def hit_fraction(self) -> float:
        """How many of the actions found a sprite."""
        return float(self.hit[self.valid].double().mean())


def collect(world: World, explorer: Explorer, *, arenas: int, steps: int, seed: int, image: bool = False) -> Probe:
    """Trajectories of `explorer` in fresh arenas of their own: collecting changes nothing else.

    Args:
        world: where.
        explorer: who acts.
        arenas: B.
        steps: T.
        seed: of scenes, noise and actions.
        image: whether the pictures are kept.
    """
    state = world.arena.reset([derive_seed(seed, "probe arena", row) for row in range(arenas)])
    seen, going = world.look(state.sprites), ~state.finished
    times, taken = [seen], []
    for step in range(steps):
        generator = torch_generator(seed, "probe action", step)
        slots = seen.slots.to(explorer.device)
        action = explorer.propose(slots, 1, generator, seen.observation)[:, 0]
        state, outcome, ended = world.step(state, action)
        taken.append((action, outcome.hit >= 0, going))
        seen = world.look(state.sprites)
        times.append(seen)
        going = going & ~ended
        state, seen = world.go_on(state, seen, ended)
    action, hit, valid = (torch.stack(column, 1) for column in zip(*taken))
    return Probe(
        torch.stack([seen.slots.latents for seen in times], 1),
        torch.stack([seen.slots.weight for seen in times], 1),
        action,
        hit,
        valid,
        torch.stack([seen.observation["image"] for seen in times], 1) if image else None,
    )


@torch.no_grad()
def measure(probe: Probe, transition: SlotTransition, loss: TransitionLoss, encoder: SlotEncoder) -> dict[str, float]:
    """What the model makes of a probe; NaN where there is nothing to measure.

    Returns:
        `hit_fraction`: of the probe's actions.
        `error`: of all steps, in the units of the loss.
        `relative_error`: of the steps with a hit, to the error of "nothing moves".
        `relative_error_moved`: the same over the slots alone that changed (not with pixels).
        `stray`: how far, in the latents, slots are predicted to move that do not (not with pixels).
        `changed_pixels`: squared error of the pixels that changed, to that of the picture before (pixels only).
        `rollout_1`, `rollout_3`, …: error after so many steps of prediction, to that of "nothing ever moves".
    """
    found = {"hit_fraction": probe.hit_fraction, **_one_step(probe, transition, loss, encoder)}
    for horizon in HORIZONS:
        if horizon <= probe.action.shape[1]:
            found[f"rollout_{horizon}"] = _rollout(probe, transition, loss, encoder, horizon)
    return found


def _one_step(probe: Probe, transition: SlotTransition, loss: TransitionLoss, encoder: SlotEncoder) -> dict[str, float]:
    totals: dict[str, Tensor] = {}
    for step in range(probe.action.shape[1]):
        rows = probe.valid[:, step]
        before, following = probe.at(step, rows), probe.at(step + 1, rows)
        predicted, hit = transition.after(before, probe.action[rows, step]), probe.hit[rows, step]
        pictures = None
        if probe.image is not None:
            kept = rows.to(probe.image.device)
            pictures = (probe.image[kept, step], probe.image[kept, step + 1])
        picture = None if pictures is None else pictures[1]
        error = _error(loss, predicted, following, picture, encoder)
        still = _error(loss, before, following, picture, encoder)
        parts = {"error": error.sum(), "steps": rows.sum(), "hit": error[hit].sum(), "still": still[hit].sum()}
        if loss.needs_image and pictures is not None:
            parts |= _changed_pixels(pictures, predicted, loss, encoder)
        else:
            parts |= _moved_slots(before, predicted, following, loss)
        for name, value in parts.items():
            totals[name] = totals.get(name, torch.zeros(())) + value.double().cpu()
    found = {"error": _ratio(totals, "error", "steps"), "relative_error": _ratio(totals, "hit", "still")}
    if loss.needs_image:
        return {**found, "changed_pixels": _ratio(totals, "changed", "copied")}
    moved = {"relative_error_moved": _ratio(totals, "moved", "moved_still"), "stray": _ratio(totals, "stray", "slots")}
    return {**found, **moved}


def _moved_slots(
    before: SlotState, predicted: SlotState, following: SlotState, loss: TransitionLoss
) -> dict[str, Tensor]:
    pairing = loss.pairing(before, following)
    error, still = slot_errors(predicted, following, pairing), slot_errors(before, following, pairing)
    moved = still > loss.change_threshold**2
    stray = ((predicted.latents - before.latents).square().sum(2).sqrt() * before.weight)[~moved].sum()
    return {
        "moved": error[moved].sum(),
        "moved_still": still[moved].sum(),
        "stray": stray,
        "slots": before.weight[~moved].sum(),
    }


def _changed_pixels(
    pictures: tuple[Tensor, Tensor], predicted: SlotState, loss: TransitionLoss, encoder: SlotEncoder
) -> dict[str, Tensor]:
    first, second = (as_images(picture) for picture in pictures)
    changed = (second - first).abs().amax(1, keepdim=True) > loss.change_threshold
    drawn = torch.cat([encoder.decode(part) for part in predicted.latents.split(_CHUNK)])
    return {
        "changed": ((drawn - second.to(drawn.device)).square().cpu() * changed.cpu()).sum(),
        "copied": ((first - second).square() * changed).sum(),
    }


def _rollout(
    probe: Probe, transition: SlotTransition, loss: TransitionLoss, encoder: SlotEncoder, horizon: int
) -> float:
    rows = probe.valid[:, :horizon].all(1)
    start, end = probe.at(0, rows), probe.at(horizon, rows)
    latents = transition.rollout(start.latents, probe.action[rows, :horizon], start.weight)[:, -1]
    picture = None if probe.image is None else probe.image[rows.to(probe.image.device), horizon]
    error = _error(loss, replace(start, latents=latents), end, picture, encoder).sum()
    still = _error(loss, start, end, picture, encoder).sum()
    return _divided(float(error), float(still))


def _error(
    loss: TransitionLoss, predicted: SlotState, following: SlotState, image: Tensor | None, encoder: SlotEncoder
) -> Float[Tensor, " batch"]:
    """The error of every row, a chunk at a time: pictures are large."""
    parts = []
    for rows in torch.arange(len(predicted)).split(_CHUNK):
        picture = None if image is None else image[rows].to(predicted.latents.device)
        parts.append(loss.error(predicted.rows(rows), following.rows(rows), picture, encoder))
    return torch.cat(parts) if parts else predicted.latents.new_zeros(0)


def _ratio(totals: dict[str, Tensor], above: str, below: str) -> float:
    return _divided(float(totals.get(above, torch.zeros(()))), float(totals.get(below, torch.zeros(()))))


def _divided(above: float, below: float) -> float:
    return above / below if below > 0 else math.nan
