"""What sprites do by themselves after every action: drift, bounce, attract, collide, be pushed.

    physics = InTurn(parts=(Pushing(), PairForces(spring=0.1, motion=Bounce(), substeps=4)))
    after = physics.advance(sprites, keep_in_frame=True)

A step lasts one unit of time; velocities are displacements a step. The original (Watters et al. 2019) knows `Drift`
alone, the others are ours. Where bodies matter sprites count as discs of their area. A user's physics is a subclass of
`Physics`.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from percepts.core.errors import ConfigError
from percepts.data.distributions import Distribution
from percepts.envs.spriteworld.actions import last_present
from percepts.envs.spriteworld.parts import ArenaPart, check_filter, in_order, length, matching
from percepts.envs.spriteworld.state import Sprites

_LEAST = 1e-12
"""The distance from which two centres have a direction."""


@dataclass(frozen=True, kw_only=True)
class Physics(ArenaPart):
    """The motion of sprites between two actions."""

    @abstractmethod
    def advance(self, sprites: Sprites, keep_in_frame: bool) -> Sprites:
        """The sprites one step later, a pure function of each arena; with `keep_in_frame` their centres stay in the
        unit square."""


@dataclass(frozen=True, kw_only=True)
class Drift(Physics):
    """Every sprite moves by its velocity, which does not change; at the border it stops."""

    def advance(self, sprites: Sprites, keep_in_frame: bool) -> Sprites:
        return sprites.moved(sprites.velocity, keep_in_frame)


@dataclass(frozen=True, kw_only=True)
class Bounce(Physics):
    """Every sprite moves by its velocity, and walls around the arena reflect it like light, whatever its speed.

    Attributes:
        touch: what the walls stop: the "centre" of a sprite or its "outline".
        restitution: the part of the speed across a wall that is left after a step with a bounce.

    Raises:
        ConfigError: a restitution outside of [0, 1].
    """

    touch: Literal["centre", "outline"] = "centre"
    restitution: float = 1.0

    def __post_init__(self) -> None:
        _check_share("restitution", self.restitution)

    def advance(self, sprites: Sprites, keep_in_frame: bool) -> Sprites:
        low, high = torch.zeros_like(sprites.position), torch.ones_like(sprites.position)
        if self.touch == "outline":
            low, high = -sprites.body.amin(2), 1 - sprites.body.amax(2)
            low = torch.minimum(low, (low + high) / 2)  # A body larger than the arena rests in its middle.
            high = torch.maximum(high, low)
        room = (high - low).clamp(min=_LEAST)
        way = sprites.position + sprites.velocity - low
        bounces = torch.floor(way / room)
        # The straight way, folded like a strip of paper at every wall.
        folded = room - (way - 2 * room * torch.floor(way / (2 * room)) - room).abs()
        turn = 1 - 2 * (bounces - 2 * torch.floor(bounces / 2))
        velocity = sprites.velocity * torch.where(bounces == 0, turn, turn * self.restitution)
        position = torch.minimum(torch.maximum(low + folded, low), high)  # rounding stays inside, too
        return replace(sprites, position=position, velocity=velocity)


@dataclass(frozen=True, kw_only=True)
class PairForces(Physics):
    """Forces along the line between every two sprites, integrated by the velocity form of Verlet's method.

    At the distance d the force towards each other is

        spring·(d − rest_length) + gravity·m·m'·d/(d² + softening²)^(3/2) − repulsion·max(0, 1 − d/reach),

    the gravity being that of Plummer's softened masses.

    Attributes:
        spring, rest_length: stiffness and length without force of springs between all pairs.
        gravity, softening: strength (negative: masses repel each other like charges) and what bounds it near 0.
        repulsion, reach: strength of a soft repulsion, and the distance from which it acts.
        damping: rate at which velocities fade, in shares a step.
        mass: "area" (scale²) or "unit" (1, for all).
        among: which sprites exert and feel the forces; None for all.
        motion: how sprites move by their velocities.
        substeps: integration steps in a step.

    Raises:
        ConfigError: numbers that are not finite, a reach, softening, length or damping below 0, or no substeps.
    """

    spring: float = 0.0
    rest_length: float = 0.25
    gravity: float = 0.0
    softening: float = 0.02
    repulsion: float = 0.0
    reach: float = 0.2
    damping: float = 0.0
    mass: Literal["area", "unit"] = "area"
    among: Distribution | None = None
    motion: Physics = field(default_factory=Drift)
    substeps: int = 1

    def __post_init__(self) -> None:
        check_filter("among", self.among)
        for name in ("spring", "gravity", "repulsion"):
            if not math.isfinite(getattr(self, name)):
                raise ConfigError(f"{name} = {getattr(self, name)}", "a finite number")
        for name in ("rest_length", "softening", "damping"):
            _check_least(name, getattr(self, name))
        if not (math.isfinite(self.reach) and self.reach > 0):
            raise ConfigError(f"reach = {self.reach}", "a finite number above 0")
        _check_count("substeps", self.substeps)

    def advance(self, sprites: Sprites, keep_in_frame: bool) -> Sprites:
        time = 1 / self.substeps
        kept = math.exp(-self.damping * time)
        push = self.acceleration(sprites)
        for _ in range(self.substeps):
            velocity = sprites.velocity + push * (time / 2)
            # A motion goes one unit of time; one over a shorter time is one of slower sprites.
            slow = self.motion.advance(replace(sprites, velocity=velocity * time), keep_in_frame)
            push = self.acceleration(slow)
            sprites = replace(slow, velocity=(slow.velocity / time + push * (time / 2)) * kept)
        return sprites

    def acceleration(self, sprites: Sprites) -> Float64[Tensor, "batch sprites 2"]:
        """What the forces do to every sprite's velocity in a unit of time."""
        away, direction, distance = _between(sprites)
        mass = _mass(sprites, self.mass)
        force = torch.zeros_like(distance)
        if self.spring:
            force = force + self.spring * (distance - self.rest_length)
        if self.gravity:
            squared = distance * distance + self.softening**2
            squared = squared.clamp(min=_LEAST)
            force = force + self.gravity * mass[:, :, None] * mass[:, None] * distance / (squared * squared.sqrt())
        if self.repulsion:
            force = force - self.repulsion * (1 - distance / self.reach).clamp(min=0)
        among = matching(self.among, sprites)
        force = torch.where(away & among[:, :, None] & among[:, None], force, 0.0)
        return in_order((force[..., None] * direction).transpose(-1, -2)) / mass[..., None]

    def potential(self, sprites: Sprites) -> Float64[Tensor, " batch"]:
        """The potential energy of the forces."""
        away, _, distance = _between(sprites)
        mass, among = _mass(sprites, self.mass), matching(self.among, sprites)
        soft = torch.sqrt(distance * distance + self.softening**2).clamp(min=_LEAST)
        near = (1 - distance / self.reach).clamp(min=0)
        energy = self.spring / 2 * (distance - self.rest_length) ** 2 + self.repulsion * self.reach / 2 * near**2
        energy = energy - self.gravity * mass[:, :, None] * mass[:, None] / soft
        return in_order(torch.where(away & among[:, :, None] & among[:, None], energy, 0.0).flatten(1)) / 2


@dataclass(frozen=True, kw_only=True)
class Collisions(Physics):
    """Sprites that touch and come nearer to each other bounce off: instant impulses between discs of their area, whose
    masses are their areas. Momentum is kept, and energy too, where each touches one other at most.

    Attributes:
        restitution: the part of the speed towards each other that is left after it; 1 for elastic collisions.
        motion: how sprites move by their velocities, afterwards.
        substeps: how often in a step collisions are looked for.

    Raises:
        ConfigError: a restitution outside of [0, 1], or no substeps.
    """

    restitution: float = 1.0
    motion: Physics = field(default_factory=Bounce)
    substeps: int = 4

    def __post_init__(self) -> None:
        _check_share("restitution", self.restitution)
        _check_count("substeps", self.substeps)

    def advance(self, sprites: Sprites, keep_in_frame: bool) -> Sprites:
        time = 1 / self.substeps
        for _ in range(self.substeps):
            velocity = self.bounced(sprites)
            slow = self.motion.advance(replace(sprites, velocity=velocity * time), keep_in_frame)
            sprites = replace(slow, velocity=slow.velocity / time)
        return sprites

    def bounced(self, sprites: Sprites) -> Float64[Tensor, "batch sprites 2"]:
        """The velocities after the impulses of all pairs that touch."""
        away, direction, distance = _between(sprites)
        mass, radius = _mass(sprites, "area"), _radius(sprites)
        x, y = (sprites.velocity[:, :, None] - sprites.velocity[:, None]).unbind(-1)
        nearing = x * direction[..., 0] + y * direction[..., 1]
        hit = away & (nearing > 0) & (distance < radius[:, :, None] + radius[:, None])
        reduced = mass[:, :, None] * mass[:, None] / (mass[:, :, None] + mass[:, None])
        impulse = torch.where(hit, (1 + self.restitution) * reduced * nearing, 0.0)
        return sprites.velocity - in_order((impulse[..., None] * direction).transpose(-1, -2)) / mass[..., None]


@dataclass(frozen=True, kw_only=True)
class Pushing(Physics):
    """The body, which is the last present sprite, pushes away what it touches, and that what it touches in its turn.

    A pushed sprite goes straight away from the one that it overlaps most until the two discs touch no more. Sprites
    that overlap without a pushed one among them stay where they are. Velocities are neither used nor changed.

    Attributes:
        sweeps: how many sprites a chain can have behind the body.
        movable: which sprites can be pushed; None for all.

    Raises:
        ConfigError: no sweeps, or a filter of unknown factors.
    """

    sweeps: int = 3
    movable: Distribution | None = None

    def __post_init__(self) -> None:
        _check_count("sweeps", self.sweeps)
        check_filter("movable", self.movable)

    def advance(self, sprites: Sprites, keep_in_frame: bool) -> Sprites:
        number = torch.arange(sprites.present.shape[1], device=sprites.present.device)
        pushers = (last_present(sprites)[:, None] == number) & sprites.present
        free = matching(self.movable, sprites) & ~pushers
        for _ in range(self.sweeps if len(number) else 0):
            sprites, pushed = _pushed(sprites, pushers, free, keep_in_frame)
            pushers, free = pushers | pushed, free & ~pushed
        return sprites


@dataclass(frozen=True, kw_only=True)
class InTurn(Physics):
    """Several physics, one after another; of those that move sprites by their velocities it takes one.

    Raises:
        ConfigError: no parts.
    """

    parts: tuple[Physics, ...]

    def __post_init__(self) -> None:
        if not self.parts:
            raise ConfigError("physics of no parts", "one or more")

    def advance(self, sprites: Sprites, keep_in_frame: bool) -> Sprites:
        for part in self.parts:
            sprites = part.advance(sprites, keep_in_frame)
        return sprites


def kinetic_energy(sprites: Sprites, mass: Literal["area", "unit"] = "area") -> Float64[Tensor, " batch"]:
    """The energy of motion of the present sprites, Σ m·v²/2."""
    x, y = sprites.velocity.unbind(-1)
    return in_order(torch.where(sprites.present, _mass(sprites, mass) * (x * x + y * y) / 2, 0.0))


def _pushed(
    sprites: Sprites, pushers: Bool[Tensor, "batch sprites"], free: Bool[Tensor, "batch sprites"], keep_in_frame: bool
) -> tuple[Sprites, Bool[Tensor, "batch sprites"]]:
    """The sprites after one sweep, and those that were pushed in it."""
    _, direction, distance = _between(sprites)
    radius = _radius(sprites)
    pairs = pushers[:, :, None] & free[:, None]
    overlap = torch.where(pairs, radius[:, :, None] + radius[:, None] - distance, 0.0)
    depth, by = overlap.max(1)
    way = direction.gather(1, by[:, None, :, None].expand(-1, 1, -1, 2))[:, 0]
    pushed = depth > 0
    by_how_much = torch.where(pushed[..., None], depth[..., None] * way, 0.0)
    return sprites.moved(by_how_much, keep_in_frame), pushed


def _between(
    sprites: Sprites,
) -> tuple[
    Bool[Tensor, "batch sprites sprites"],
    Float64[Tensor, "batch sprites sprites 2"],
    Float64[Tensor, "batch sprites sprites"],
]:
    """Of every two sprites: whether they are two, the direction from the first to the second, and the distance. Two on
    one point are to the right of each other for `Pushing`; no other force acts between them."""
    position = torch.where(sprites.present[..., None], sprites.position, 0.0)
    offset = position[:, None] - position[:, :, None]
    distance = length(offset)
    apart = distance > _LEAST
    right = offset.new_tensor([1.0, 0.0])
    direction = torch.where(apart[..., None], offset / distance.clamp(min=_LEAST)[..., None], right)
    return apart & sprites.present[:, :, None] & sprites.present[:, None], direction, distance


def _mass(sprites: Sprites, kind: str) -> Float64[Tensor, "batch sprites"]:
    if kind == "unit":
        return torch.ones_like(sprites.scale)
    return torch.where(sprites.present, sprites.scale * sprites.scale, 1.0).clamp(min=_LEAST)


def _radius(sprites: Sprites) -> Float64[Tensor, "batch sprites"]:
    """Of a disc of the sprite's area."""
    return torch.where(sprites.present, sprites.scale / math.sqrt(math.pi), 0.0)


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ConfigError(f"{name} = {value}", "0 to 1")


def _check_least(name: str, value: float) -> None:
    if not (math.isfinite(value) and value >= 0):
        raise ConfigError(f"{name} = {value}", "a finite number that is not negative")


def _check_count(name: str, value: int) -> None:
    if value < 1:
        raise ConfigError(f"{name} = {value}", "1 or more")
