"""What the report of a COBRA pipeline tries out: where policies click, what the transition model predicts, and what the
reward predictor says. Scenes and noise come from streams of the report's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from percepts.agents.cobra.exploration import Explorer, RandomObject
from percepts.agents.cobra.planning import SearchAgent
from percepts.agents.cobra.simulation import LearnedSimulation
from percepts.agents.cobra.slots import OracleFactors, SlotEncoder, SlotState, as_images
from percepts.agents.cobra.world import Seen, World
from percepts.core.errors import CapabilityError
from percepts.envs.spriteworld.observations import Observer
from percepts.envs.spriteworld.state import Sprites
from percepts.report.arena_figures import Arrows, action_arrows, draw_arenas, enlarged, join_sprites
from percepts.report.cobra_material import PipelineMaterial
from percepts.report.images import to_pixels

CLICKS, CHUNK = 4096, 256
LEAST_SPRITES = 3
"""Scenes with fewer are passed over: they tell less."""
REWARD_ARENAS, REWARD_STEPS = 32, 8
SIDE = 120
"""Of the pictures of predictions: seven of them fit on a page."""

Films = UInt8[np.ndarray, "rows height width 3"]


@dataclass(frozen=True)
class SceneClicks:
    """One scene and what policies would do in it.

    Attributes:
        sprites: of the one arena.
        image: of it.
        actions: `CLICKS` of every policy, by its name, each drawn as a single action is.
        arrows: the same as they are drawn.
    """

    sprites: Sprites
    image: UInt8[np.ndarray, "height width 3"]
    actions: dict[str, Float[Tensor, "clicks 4"]]
    arrows: dict[str, Arrows]


@dataclass(frozen=True)
class Predicted:
    """Some steps: what was, what happened, and what the transition model says would happen.

    Attributes:
        before, after, predicted: pictures.
        redrawn: what the encoder draws of the true outcome, where it draws: no prediction can be better; None where the
            pictures are drawn from predicted positions.
        arrows: the actions.
        remarks: how far off each prediction is, in words.
    """

    before: Films
    after: Films
    predicted: Films
    redrawn: Films | None
    arrows: Arrows
    remarks: list[str]


@dataclass(frozen=True)
class RewardPairs:
    """True rewards and what was predicted, over steps of several episodes.

    Attributes:
        true: clipped as the predictor's targets are.
        seen: predicted from what the agent saw after the step.
        imagined: predicted before the step, from the outcome that the transition model predicted: what a search sees.
    """

    true: Float[Tensor, " steps"]
    seen: Float[Tensor, " steps"]
    imagined: Float[Tensor, " steps"]


def scene_clicks(material: PipelineMaterial, policies: Sequence[str], scenes: int = 3) -> list[SceneClicks]:
    """What some of `PipelineMaterial.policies` do in scenes of the exploration."""
    world = _exploration(material)
    state = world.arena.reset(material.seeds(32, "clicks"))
    many = state.sprites.present.sum(1) >= LEAST_SPRITES
    rows = torch.cat([many.nonzero()[:, 0], (~many).nonzero()[:, 0]])[:scenes]
    found = []
    for row in rows.tolist():
        sprites = state.sprites.rows([row])
        seen = world.look(sprites)
        actions = {
            name: _many(policy, seen, CLICKS, material.generator("clicks", row, name))
            for name, policy in material.policies().items()
            if name in policies
        }
        arrows = {name: action_arrows(world.arena.config.actions, one, sprites) for name, one in actions.items()}
        found.append(SceneClicks(sprites, draw_arenas(world.observer, sprites)[0], actions, arrows))
    return found


def predicted_steps(material: PipelineMaterial, count: int = 7) -> Predicted:
    """Steps in which a click moved a sprite, and the model's prediction of each.

    Raises:
        CapabilityError: the encoder can neither draw nor say where sprites are.
    """
    encoder, transition, _ = material.frozen
    world = _exploration(material)
    state = world.arena.reset(material.seeds(4 * count, "predictions"))
    seen = world.look(state.sprites)
    action = _object_clicks(material, world, seen, "predictions")
    arrows = action_arrows(world.arena.config.actions, action, state.sprites)
    following, outcome, _ = world.step(state, action)
    rows = outcome.moved.any(1).nonzero()[:count, 0]
    rows = rows if len(rows) else torch.arange(count)
    slots = transition.after(seen.slots.rows(rows).to(material.device), action[rows].to(material.device))
    after = following.sprites.rows(rows)
    drawn = drawn_slots(world, encoder, slots, state.sprites.rows(rows))
    redrawn = None
    if not isinstance(encoder, OracleFactors):
        redrawn = drawn_slots(world, encoder, world.look(after).slots, after)
    return Predicted(
        before=draw_arenas(world.observer, state.sprites.rows(rows), SIDE),
        after=draw_arenas(world.observer, after, SIDE),
        predicted=drawn,
        redrawn=redrawn,
        arrows=replace(arrows.rows(rows), hit=outcome.hit[rows] >= 0),
        remarks=_remarks(world, encoder, slots, after),
    )


def predicted_rollout(material: PipelineMaterial, steps: int = 10) -> Predicted:
    """One episode of clicks into sprites, and the model's prediction of all of it from the first scene alone."""
    encoder, transition, _ = material.frozen
    world = _exploration(material)
    state = world.arena.reset(material.seeds(32, "rollout"))
    number = int((state.sprites.present.sum(1) >= LEAST_SPRITES).long().argmax())
    state = state.rows([number])
    start = world.look(state.sprites).slots
    sprites, actions, arrows = [state.sprites], [], []
    for step in range(min(steps, world.arena.config.max_episode_length)):
        action = _object_clicks(material, world, world.look(state.sprites), "rollout", step)
        arrows.append(action_arrows(world.arena.config.actions, action, state.sprites))
        state, _, ended = world.step(state, action)
        sprites.append(state.sprites)
        actions.append(action)
        if bool(ended.any()):
            break
    whole = join_sprites(sprites)
    start = start.to(material.device)
    latents = transition.rollout(start.latents, torch.stack(actions, 1).to(material.device), start.weight)
    states = SlotState(torch.cat([start.latents, latents[0]]), start.weight.expand(len(actions) + 1, -1))
    first = join_sprites([sprites[0]] * len(sprites))
    pictures = draw_arenas(world.observer, whole, SIDE)
    return Predicted(
        before=pictures,
        after=pictures,
        predicted=drawn_slots(world, encoder, states, first),
        redrawn=None
        if isinstance(encoder, OracleFactors)
        else drawn_slots(world, encoder, _slots(world, whole), whole),
        arrows=Arrows(*(torch.cat([getattr(one, name) for one in arrows]) for name in ("start", "motion", "hit"))),
        remarks=_remarks(world, encoder, states, whole),
    )


def reward_pairs(material: PipelineMaterial, task: str, mode: str) -> RewardPairs:
    """Rewards of a learned task over steps that its agent chose and steps that clicked on sprites, half of each.

    Raises:
        CapabilityError: the agent's simulation is not the learned one.
    """
    agent, environment = material.agents[task], material.environment(task, mode)
    simulation = _learned(agent)
    world = material.world(environment, *agent.observes, *RandomObject.observes)
    state = world.arena.reset(material.seeds(REWARD_ARENAS, "rewards", task, mode))
    seen, rows, memory = world.look(state.sprites), [], None
    for step in range(REWARD_STEPS):
        action, memory = agent.act(seen.observation, memory)
        clicks = _object_clicks(material, world, seen, "rewards", task, mode, step)
        action = torch.where((torch.arange(len(action)) % 2 == 0)[:, None], action.cpu().float(), clicks)
        imagined = simulation.transition.after(seen.slots.to(material.device), action.to(material.device))
        state, outcome, ended = world.step(state, action)
        seen = world.look(state.sprites)
        there = seen.slots.to(material.device)
        said = [simulation.reward.predict(one.latents, one.weight).mean.cpu() for one in (there, imagined)]
        rows.append(torch.stack([outcome.reward.float().cpu(), *said]))
        state, seen = world.go_on(state, seen, ended)
    limits = simulation.reward.config
    true, after, before = torch.cat(rows, 1)
    return RewardPairs(true.clamp(limits.lowest, limits.highest), after, before)


def drawn_slots(world: World, encoder: SlotEncoder, slots: SlotState, sprites: Sprites) -> Films:
    """Slots as pictures: as the encoder draws them, or, of true factors, the sprites where the slots say that they are.

    Raises:
        CapabilityError: neither is possible.
    """
    if isinstance(encoder, OracleFactors):
        place = slots.latents[:, : sprites.present.shape[1], :2].double().cpu()
        moved = replace(sprites, position=torch.where(sprites.present[..., None], place, sprites.position))
        return draw_arenas(world.observer, moved, SIDE)
    images = torch.cat([encoder.decode(part).cpu() for part in slots.latents.split(CHUNK)])
    pixels = to_pixels(images, largest=max(images.shape[-2:]))
    if pixels.shape[-1] == 1:
        pixels = pixels.repeat(3, -1)
    return np.stack([enlarged(one, SIDE) for one in pixels])


def _exploration(material: PipelineMaterial) -> World:
    """The exploration's arenas, with all that its policies look at."""
    keys = dict.fromkeys(key for policy in material.policies().values() for key in policy.observes)
    return material.world(material.environment(material.config.exploration_task), *keys)


def _many(policy: Explorer, seen: Seen, count: int, generator: torch.Generator) -> Float[Tensor, "count action"]:
    """So many single actions in one scene; several proposals at once would be drawn in another way."""
    drawn = []
    for part in torch.zeros(count, dtype=torch.int64).split(CHUNK):
        observation = {name: value[part] for name, value in seen.observation.items()}
        state = seen.slots.rows(part).to(policy.device)
        drawn.append(policy.propose(state, 1, generator, observation)[:, 0].cpu())
    return torch.cat(drawn)


def _object_clicks(
    material: PipelineMaterial, world: World, seen: Seen, *purpose: str | int
) -> Float[Tensor, "batch action"]:
    policy = RandomObject.Config().build(latents=world.encoder.latents, action=world.action)
    generator = material.generator("object clicks", *purpose)
    return policy.propose(seen.slots, 1, generator, seen.observation)[:, 0].cpu().clamp(0, 1)


def _remarks(world: World, encoder: SlotEncoder, slots: SlotState, sprites: Sprites) -> list[str]:
    """How far off predicted slots are: of true factors the farthest sprite, else the mean squared error a pixel."""
    if isinstance(encoder, OracleFactors):
        place = slots.latents[:, : sprites.present.shape[1], :2].double().cpu()
        away = torch.where(sprites.present, (place - sprites.position).norm(dim=-1), 0.0)
        return [f"off by {one:.3f}" for one in away.amax(1).tolist()]
    images = torch.cat([encoder.decode(part).cpu() for part in slots.latents.split(CHUNK)])
    pictures = _seen_by_models(world.observer, sprites)
    return [f"MSE {one:.4f}" for one in (images - pictures).square().mean((1, 2, 3)).tolist()]


def _seen_by_models(observer: Observer, sprites: Sprites) -> Float[Tensor, "batch 3 height width"]:
    return as_images(replace(observer, keys=("image",)).draw(sprites).image.cpu())


def _slots(world: World, sprites: Sprites) -> SlotState:
    return world.look(sprites).slots


def _learned(agent: SearchAgent) -> LearnedSimulation:
    if not isinstance(agent.simulation, LearnedSimulation):
        raise CapabilityError(
            f"a reward predictor inside of {type(agent.simulation).__name__}", "an agent that learned its rewards"
        )
    return agent.simulation
