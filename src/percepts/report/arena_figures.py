"""Figures of Spriteworld's arenas: what actions mean, drawn over a picture; where clicks fall; episodes as films.

    played = play_episodes(arena, agent, episodes=8, seed=0)
    episode = played.episode(played.telling, observer)
    episode_gif(episode_frames(episode))                       # bytes of a GIF
    film_strip(episode)                                        # a plate
    overlay_actions(image, action_arrows(SelectMove(scale=0.25), actions))

They know nothing of agents but that they act, so they show any arena and any policy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64, Num, UInt8
from PIL import Image, ImageDraw
from torch import Tensor

from percepts.agents.agent import Agent
from percepts.agents.spriteworld_policies import Look, truth
from percepts.core.errors import PerceptsError
from percepts.core.random import derive_seed
from percepts.envs.spriteworld.actions import ActionSpace, ClickGrid, DragAndDrop, Embodied, SelectMove, last_present
from percepts.envs.spriteworld.arena import Arena
from percepts.envs.spriteworld.observations import Observer
from percepts.envs.spriteworld.state import Sprites
from percepts.report.images import sequential
from percepts.report.plates import Plate, plate_of
from percepts.report.slot_sheet import Tile, sheet
from percepts.report.svg import short
from percepts.report.video import gif_bytes

SIDE = 144
"""Pictures of arenas are drawn or enlarged to at least so many pixels a side."""
HIT, MISSED, CASING = (240, 120, 50), (165, 170, 178), (255, 255, 255)
_FINE = 3
"""Arrows are drawn so many times as large and shrunk: smooth edges."""
SMOOTH = 0.03
"""Standard deviation, in arena units, of what every click is smeared with in a heat map."""

Pixels = UInt8[np.ndarray, "height width 3"]


@dataclass(frozen=True)
class Arrows:
    """N actions as they are drawn, in arena units with y up.

    Attributes:
        start: where they click; NaN where an action has no place.
        motion: whereto they push.
        hit: whether they found a sprite.
    """

    start: Float64[Tensor, "actions 2"]
    motion: Float64[Tensor, "actions 2"]
    hit: Bool[Tensor, " actions"]

    def __len__(self) -> int:
        return len(self.start)

    def rows(self, index: slice | Tensor) -> Arrows:
        """Some of them."""
        return Arrows(self.start[index], self.motion[index], self.hit[index])


def action_arrows(space: ActionSpace, action: Num[Tensor, "actions *action"], sprites: Sprites | None = None) -> Arrows:
    """What actions mean, before any noise.

    Args:
        space: what the numbers stand for.
        action: N of them.
        sprites: N arenas that they act on, or one for all. Without them all count as hits, and only clicks have a
            place.

    Raises:
        PerceptsError: arenas for another number of actions, or none for actions that are no clicks.
    """
    action = action.detach().cpu()
    if sprites is not None and len(sprites) not in (1, len(action)):
        raise PerceptsError(f"{len(action)} actions in {len(sprites)} arenas", "one arena, or one for each action")
    known = _clicks(space, action)
    if sprites is None:
        if known is None:
            raise PerceptsError(f"{type(space).__name__} without the sprites that it acts on", "sprites")
        return Arrows(*known, torch.ones(len(action), dtype=torch.bool))
    if len(sprites) != len(action):
        sprites = sprites.rows(torch.zeros(len(action), dtype=torch.int64))
    sprites = sprites.to("cpu")
    applied = space.apply(sprites, action)
    number = last_present(sprites) if isinstance(space, Embodied) else applied.hit
    start = known[0] if known is not None else _centres(sprites, number)
    return Arrows(start, applied.motion, number >= 0)


def overlay_actions(image: Pixels, arrows: Arrows, *, side: int = SIDE, missed: bool = True) -> Pixels:
    """The picture of an arena with a dot where each action clicks and an arrow whereto it pushes.

    Args:
        image: enlarged by a whole number to at least `side` pixels a side.
        arrows: the actions; those that hit nothing are grey.
        missed: whether those are drawn.
    """
    large = enlarged(image, side)
    height, width = large.shape[:2]
    ink = Image.new("RGBA", (width * _FINE, height * _FINE), (*CASING, 0))
    draw = ImageDraw.Draw(ink)
    scale = np.array([width, -height], np.float64) * _FINE
    thin = max(1.0, min(height, width) / 130) * _FINE * (1.0 if len(arrows) <= 4 else 0.6)
    starts = np.array([0.0, height * _FINE]) + arrows.start.numpy() * scale
    ends = starts + arrows.motion.numpy() * scale
    # What hit lies in front.
    for number in np.argsort(arrows.hit.numpy(), kind="stable"):
        hit = bool(arrows.hit[number])
        if np.isfinite(starts[number]).all() and (hit or missed):
            _draw_arrow(draw, starts[number], ends[number], thin, HIT if hit else MISSED)
    ink = ink.resize((width, height), Image.Resampling.LANCZOS)
    drawn = Image.alpha_composite(Image.fromarray(large).convert("RGBA"), ink)
    return np.asarray(drawn.convert("RGB"))


def click_density(clicks: Float[Tensor, "clicks 2"], cells: int = 72) -> Float64[np.ndarray, "cells cells"]:
    """How much denser clicks lie than uniform ones would, row 0 on top; every click is smeared by `SMOOTH`.

    What would leave the arena is kept at its border, so the mean is 1.
    """
    place = (clicks.detach().double().cpu().clamp(0, 1 - 1e-9) * cells).long()
    counts = torch.bincount((cells - 1 - place[:, 1]) * cells + place[:, 0], minlength=cells**2)
    away = torch.arange(cells, dtype=torch.float64)
    kernel = torch.exp(-0.5 * ((away[:, None] - away) / (SMOOTH * cells)) ** 2)
    kernel = kernel / kernel.sum(0, keepdim=True)
    smooth = kernel @ counts.double().view(cells, cells) @ kernel.T
    return (smooth * cells**2 / max(1, len(clicks))).numpy()


def heat_picture(
    density: Float64[np.ndarray, "cells cells"], limit: float, sprites: Sprites | None = None, *, side: int = SIDE
) -> Pixels:
    """A density from dark to bright, with the outlines of the sprites.

    Args:
        density: from `click_density`.
        limit: what is brightest.
        sprites: of one arena.
    """
    large = enlarged(sequential(density, limit), side)
    if sprites is None:
        return large
    height, width = large.shape[:2]
    image = Image.fromarray(large).resize((width * _FINE, height * _FINE), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(image)
    for number in sprites.present[0].nonzero()[:, 0].tolist():
        count = len(sprites.outlines[int(sprites.shape[0, number])].vertices)
        corners = sprites.corners[0, number, :count].cpu().numpy()
        points = [(x * width * _FINE, (1 - y) * height * _FINE) for x, y in corners]
        draw.line([*points, points[0]], fill=(235, 235, 235), width=_FINE)
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))


@dataclass(frozen=True)
class Episode:
    """One episode as it is shown.

    Attributes:
        frames: before every step and after the last one.
        arrows: what was done in every step.
        reward: of every step.
        success: whether the task was done at the end.
    """

    frames: UInt8[np.ndarray, "frames height width 3"]
    arrows: Arrows
    reward: tuple[float, ...]
    success: bool

    def __len__(self) -> int:
        return len(self.reward)


@dataclass(frozen=True)
class Played:
    """The first episodes of B arenas, before anything is drawn.

    Attributes:
        sprites: before every step and after the last one, of all arenas; those that are done stand still.
        arrows: of every step.
        reward: of every step.
        length, success, solved_at_start: of every episode.
    """

    sprites: tuple[Sprites, ...]
    arrows: tuple[Arrows, ...]
    reward: Float64[Tensor, "steps batch"]
    length: Int64[Tensor, " batch"]
    success: Bool[Tensor, " batch"]
    solved_at_start: Bool[Tensor, " batch"]

    @property
    def telling(self) -> int:
        """The episode to show: the solved one of median length in which there was something to do; the first one where
        none was solved."""
        solved = (self.success & ~self.solved_at_start).nonzero()[:, 0]
        if not len(solved):
            return 0
        order = self.length[solved].argsort(stable=True)
        return int(solved[order[(len(order) - 1) // 2]])

    def episode(self, number: int, observer: Observer) -> Episode:
        """One of them, drawn."""
        steps = int(self.length[number])
        seen = join_sprites([sprites.rows([number]) for sprites in self.sprites[: steps + 1]])
        rows = [arrows.rows(slice(number, number + 1)) for arrows in self.arrows[:steps]]
        arrows = Arrows(*(torch.cat([getattr(row, name) for row in rows]) for name in ("start", "motion", "hit")))
        reward = tuple(self.reward[:steps, number].tolist())
        return Episode(draw_arenas(observer, seen), arrows, reward, bool(self.success[number]))


@torch.no_grad()
def play_episodes(arena: Arena, agent: Agent, episodes: int, seed: int, look: Look = truth) -> Played:
    """Let a policy act until the first episode of each of B arenas is over.

    Args:
        arena: where.
        agent: who acts.
        episodes: B.
        seed: of the scenes and of the noise.
        look: what the policy sees of the sprites; by default the truth.
    """
    state = arena.reset([derive_seed(seed, "film", number) for number in range(episodes)])
    solved_at_start, memory = state.solved_at_start, None
    sprites, arrows, rewards = [state.sprites], [], []
    length, success = torch.zeros_like(state.time), torch.zeros_like(state.solved_at_start)
    while not bool(state.finished.all()):
        going = ~state.finished
        action, memory = agent.act(look(state.sprites), memory)
        action = action.to(state.sprites.position.device)
        shown = action_arrows(arena.config.actions, action, state.sprites)
        state, outcome = arena.step(state, action)
        # Noise may have moved the click: what was really hit counts.
        arrows.append(
            shown if isinstance(arena.config.actions, Embodied) else replace(shown, hit=outcome.hit.cpu() >= 0)
        )
        sprites.append(state.sprites)
        rewards.append(outcome.reward)
        length, success = length + going.long(), torch.where(going, outcome.success, success)
    return Played(tuple(sprites), tuple(arrows), torch.stack(rewards), length, success, solved_at_start)


def draw_arenas(observer: Observer, sprites: Sprites, side: int = SIDE) -> UInt8[np.ndarray, "batch height width 3"]:
    """Arenas as the observer draws them, at least `side` pixels a side."""
    factor = max(1.0, side / min(observer.height, observer.width))
    height, width = round(observer.height * factor), round(observer.width * factor)
    large = replace(observer, keys=("image",), image_as="bytes", height=height, width=width)
    return large.draw(sprites).image.cpu().numpy()


def episode_frames(episode: Episode, *, side: int = SIDE) -> UInt8[np.ndarray, "frames height width 3"]:
    """The frames of a film: before every step with what is done in it, and the end."""
    return np.stack([_acted(episode, step, side) for step in range(len(episode.frames))])


def episode_gif(
    frames: UInt8[np.ndarray, "frames height width 3"], *, fps: float = 3.0, hold: float = 1.5, side: int = SIDE
) -> bytes:
    """An endless GIF of an episode.

    Args:
        frames: RGB, enlarged by a whole number to at least `side` pixels a side.
        fps: frames a second.
        hold: seconds for which the last frame stays.

    Raises:
        PerceptsError: no frames, or frames of another kind.
    """
    frames = np.asarray(frames)
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8 or 0 in frames.shape:
        raise PerceptsError(f"frames {frames.shape} of {frames.dtype}", "one or more as uint8 [T,H,W,3]")
    large = np.stack([enlarged(frame, side) for frame in frames])
    held = np.repeat(large[-1:], max(0, round(hold * fps)), axis=0)
    return gif_bytes(np.concatenate([large, held]), fps)


def film_strip(episode: Episode, *, most: int = 6, caption: str = "", side: int = SIDE) -> Plate:
    """Some moments of an episode in a row, each with what is done next and the reward so far.

    Args:
        most: moments; the first and the last are always among them.
        caption: by default what is to be seen.
    """
    chosen = spread(len(episode.frames), most)
    gained = np.cumsum([0.0, *episode.reward])
    tiles = [Tile(_acted(episode, step, side), f"step {step}: return {short(float(gained[step]))}") for step in chosen]
    end = "solved" if episode.success else "not solved"
    words = caption or f"An episode of {len(episode)} steps, {end}: where the agent clicks next and whereto it pushes."
    return plate_of(sheet([tiles]), words, words)


def spread(count: int, most: int) -> list[int]:
    """At most so many of the numbers below `count`, evenly, with both ends."""
    return sorted({round(place) for place in np.linspace(0, count - 1, min(most, count))})


def enlarged(image: Pixels, side: int) -> Pixels:
    """Every pixel as a square of equally many, so that the image has at least `side` pixels a side."""
    scale = max(1, -(-side // min(image.shape[:2])))
    return np.asarray(image).repeat(scale, 0).repeat(scale, 1)


def join_sprites(parts: Sequence[Sprites]) -> Sprites:
    """Arenas of one kind, one after the other."""
    names = [field.name for field in dataclasses.fields(Sprites) if field.compare and field.name != "outlines"]
    joined: dict[str, Any] = {name: torch.cat([getattr(part, name) for part in parts]) for name in names}
    return replace(parts[0], **joined)


def _acted(episode: Episode, step: int, side: int) -> Pixels:
    """The frame before a step with what is done in it; the last frame as it is."""
    return overlay_actions(episode.frames[step], episode.arrows.rows(slice(step, step + 1)), side=side)


def _clicks(space: ActionSpace, action: Tensor) -> tuple[Tensor, Tensor] | None:
    """Where actions click and whereto they push; None for what are no clicks."""
    if isinstance(space, SelectMove):
        numbers = action.double()
        return numbers[:, :2], space.scale * (numbers[:, 2:] - 0.5)
    if isinstance(space, DragAndDrop):
        numbers = action.double()
        return numbers[:, :2], space.scale * (numbers[:, 2:] - numbers[:, :2])
    if isinstance(space, ClickGrid):
        cell, way = action.double() // space.directions, action % space.directions
        centre = torch.stack(
            [(cell % space.columns + 0.5) / space.columns, (cell // space.columns + 0.5) / space.rows], 1
        )
        angle = 2 * torch.pi * way.double() / space.directions
        return centre, 0.5 * space.scale * torch.stack([angle.cos(), angle.sin()], 1)
    return None


def _centres(sprites: Sprites, number: Int64[Tensor, " batch"]) -> Float64[Tensor, "batch 2"]:
    """Where the sprites with these numbers are; NaN for -1."""
    rows = torch.arange(len(number))
    if not sprites.present.shape[1]:
        return torch.full((len(number), 2), torch.nan, dtype=torch.float64)
    return torch.where((number >= 0)[:, None], sprites.position[rows, number.clamp_min(0)], torch.nan)


def _draw_arrow(
    draw: ImageDraw.ImageDraw, start: np.ndarray, end: np.ndarray, thin: float, colour: tuple[int, int, int]
) -> None:
    """A dot and an arrow with a light edge, which shows on any colour."""
    way = end - start
    far = float(np.hypot(*way))
    head = min(5 * thin, 0.7 * far)
    for wide, fill in ((2 * thin, CASING), (0.0, colour)):
        radius = 2 * thin + wide / 2
        if far > thin:
            along = way / far
            side = np.array([-along[1], along[0]])
            neck = end - along * head
            draw.line([tuple(start), tuple(neck)], fill=(*fill, 255), width=max(1, round(1.4 * thin + wide)))
            grown, broad = end + along * wide * 0.7, 0.6 * head + wide * 0.6
            base = neck - along * wide * 0.35
            draw.polygon([tuple(grown), tuple(base + side * broad), tuple(base - side * broad)], fill=(*fill, 255))
        box = [start[0] - radius, start[1] - radius, start[0] + radius, start[1] + radius]
        draw.ellipse(box, fill=(*fill, 255))
