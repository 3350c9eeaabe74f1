"""Generators of scenes: how many sprites there are, what each may look like, and which hides which.

    target = Generate(area * hue, 1, 1)
    distractors = Generate(area * other_hue, 1, 3)           # one to three, each as likely
    scenes = Shuffled(Chain((target, distractors)))          # any of them may lie in front
    factors, present, streams = scenes.sample(streams)

As in Spriteworld (Watters et al. 2019), with a random stream for each arena and all arenas at once. A scene is *cast*
first, which says from which distribution each sprite comes, and then all sprites are drawn together. The sprites that
exist come before the places that stay empty.
"""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from percepts.core.errors import ConfigError, nearest
from percepts.data.distributions import Discrete, Distribution
from percepts.data.draws import check_weights
from percepts.envs.spriteworld.parts import ArenaPart, check_filter
from percepts.envs.spriteworld.sampling import Table, choose
from percepts.envs.spriteworld.state import DEFAULTS, FACTORS, SHAPES
from percepts.envs.streams import Streams

Scenes = tuple[Float64[Tensor, "batch sprites 10"], Bool[Tensor, "batch sprites"], Streams]
"""The factors of sprites in the order of `FACTORS`, which sprites exist, and the streams after them."""
Cast = tuple[Int64[Tensor, "batch sprites"], Bool[Tensor, "batch sprites"], Streams]
"""The number of each sprite's distribution among a generator's `roles`, which sprites exist, and the streams."""


@dataclass(frozen=True)
class SceneGenerator(ArenaPart):
    """Any generator of scenes. One of your own has `most` and `sample`, and goes into the combinations below."""

    @property
    @abstractmethod
    def most(self) -> int:
        """The most sprites in a scene, and the number of places for sprites in what `sample` gives."""

    @property
    def least(self) -> int:
        """The fewest sprites in a scene."""
        return 0

    @property
    def roles(self) -> tuple[Distribution, ...]:
        """The distributions of single sprites that scenes are cast with; none where sprites depend on each other."""
        return ()

    @abstractmethod
    def sample(self, streams: Streams) -> Scenes:
        """A scene for every stream; those of a row depend on its own stream alone.

        Raises:
            DataError: a distribution in which nothing is found.
        """


class _CastGenerator(SceneGenerator):
    """Scenes whose sprites, once cast, are independent; a combination with other generators in it draws one by one."""

    def sample(self, streams: Streams) -> Scenes:
        if not self.roles:
            return self._together(streams)
        role, present, streams = self.cast(streams)
        each, streams = streams.fork(self.most)
        factors, _ = self._table.draw(role.flatten(), each)
        factors = factors.view(len(streams), self.most, len(FACTORS))
        return (factors, present, streams) if self.least == self.most else _present_first(factors, present, streams)

    @property
    def fixed(self) -> tuple[int, ...] | None:
        """The roles of the sprites where they are the same in all scenes."""
        return None

    def cast(self, streams: Streams) -> Cast:
        """The roles of the sprites in a scene for every stream."""
        if self.fixed is None:
            return self._cast(streams)
        role = torch.tensor(self.fixed, dtype=torch.int64, device=streams.key.device).expand(len(streams), -1)
        return role, torch.ones_like(role, dtype=torch.bool), streams

    @abstractmethod
    def _cast(self, streams: Streams) -> Cast:
        """The same where chance has a part in it."""

    def _together(self, streams: Streams) -> Scenes:
        """Scenes where some part draws by rules of its own."""
        raise NotImplementedError

    @functools.cached_property
    def _table(self) -> Table:
        return Table.of(self.roles, FACTORS, DEFAULTS)

    def __getstate__(self) -> dict[str, Any]:
        # Copies and pickles hold the settings, not what was made of them.
        return {setting.name: getattr(self, setting.name) for setting in fields(self)}


@dataclass(frozen=True)
class Generate(_CastGenerator):
    """`least` to `most` sprites, each number as likely as the others, drawn independently of one another.

    Raises:
        ConfigError: a factor that sprites do not have, or numbers that are negative or in the wrong order.
    """

    factors: Distribution
    """Of the `FACTORS`; the others take their `DEFAULTS`."""
    least: int = 1  # type: ignore[assignment]
    most: int = 1  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if not isinstance(self.factors, Distribution):
            raise ConfigError(f"{self.factors!r} as the factors of sprites", "a distribution")
        check_filter("a generator", self.factors)
        if not 0 <= self.least <= self.most:
            raise ConfigError(f"least = {self.least}, most = {self.most}", "0 <= least <= most")

    @property
    def roles(self) -> tuple[Distribution, ...]:
        return (self.factors,)

    @property
    def fixed(self) -> tuple[int, ...] | None:
        return (0,) * self.most if self.least == self.most else None

    def _cast(self, streams: Streams) -> Cast:
        place = torch.arange(self.most, device=streams.key.device).expand(len(streams), -1)
        numbers, streams = streams.uniform(1)
        count = self.least + (numbers * (self.most - self.least + 1)).long()
        return torch.zeros_like(place), place < count, streams


@dataclass(frozen=True)
class Chain(_CastGenerator):
    """The sprites of all parts; those of later parts in front.

    Raises:
        ConfigError: no parts.
    """

    parts: tuple[SceneGenerator, ...]

    def __post_init__(self) -> None:
        check_parts("chain", self.parts)

    @property
    def most(self) -> int:
        return sum(part.most for part in self.parts)

    @property
    def least(self) -> int:
        return sum(part.least for part in self.parts)

    @functools.cached_property
    def roles(self) -> tuple[Distribution, ...]:  # type: ignore[override]
        return _all_roles(self.parts)

    @functools.cached_property
    def fixed(self) -> tuple[int, ...] | None:  # type: ignore[override]
        parts = _all_fixed(self.parts)
        return None if parts is None else tuple(role for part in parts for role in part)

    def _cast(self, streams: Streams) -> Cast:
        roles, present, streams = _cast_each(self.parts, streams)
        return torch.cat(roles, 1), torch.cat(present, 1), streams

    def _together(self, streams: Streams) -> Scenes:
        factors, present = [], []
        for part in self.parts:
            drawn, exist, streams = part.sample(streams)
            factors.append(drawn)
            present.append(exist)
        return _present_first(torch.cat(factors, 1), torch.cat(present, 1), streams)


@dataclass(frozen=True)
class OneOf(_CastGenerator):
    """The scenes of one of the parts, drawn by `weights` (relative; equal if None).

    Raises:
        ConfigError: no parts, or weights that are not positive or not one each.
    """

    parts: tuple[SceneGenerator, ...]
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        check_parts("choice", self.parts)
        if self.weights is not None:
            check_weights("the weights of a choice", self.weights, len(self.parts))

    @property
    def most(self) -> int:
        return max(part.most for part in self.parts)

    @property
    def least(self) -> int:
        return min(part.least for part in self.parts)

    @functools.cached_property
    def roles(self) -> tuple[Distribution, ...]:  # type: ignore[override]
        return _all_roles(self.parts)

    @functools.cached_property
    def _casts(self) -> list[list[int]] | None:
        """The roles of every part, -1 where no sprite is, if chance has no part in them."""
        parts = _all_fixed(self.parts)
        return None if parts is None else [[*part, *[-1] * (self.most - len(part))] for part in parts]

    def _cast(self, streams: Streams) -> Cast:
        chosen, streams = self._choose(streams)
        if self._casts is not None:
            role = torch.tensor(self._casts, dtype=torch.int64, device=chosen.device)[chosen]
            return role.clamp(min=0), role >= 0, streams
        roles, present, streams = _cast_each(self.parts, streams)
        row = torch.arange(len(streams), device=chosen.device)
        role = torch.stack([_widened(one, self.most) for one in roles])[chosen, row]
        return role, torch.stack([_widened(one, self.most) for one in present])[chosen, row], streams

    def _together(self, streams: Streams) -> Scenes:
        chosen, streams = self._choose(streams)
        factors = torch.zeros(len(streams), self.most, len(FACTORS), dtype=torch.float64, device=chosen.device)
        present = torch.zeros(len(streams), self.most, dtype=torch.bool, device=chosen.device)
        for number, part in enumerate(self.parts):
            rows = (chosen == number).nonzero()[:, 0]
            if len(rows):
                drawn, exist, advanced = part.sample(streams.rows(rows))
                factors[rows, : part.most], present[rows, : part.most] = drawn, exist
                streams = streams.put(rows, advanced)
        return factors, present, streams

    def _choose(self, streams: Streams) -> tuple[Int64[Tensor, " batch"], Streams]:
        numbers, streams = streams.uniform()
        return choose(self.weights or (1.0,) * len(self.parts), numbers), streams


@dataclass(frozen=True)
class Shuffled(_CastGenerator):
    """The scenes of a part with their sprites in random order, so that any may hide any other."""

    part: SceneGenerator

    def __post_init__(self) -> None:
        check_parts("shuffle", (self.part,))

    @property
    def most(self) -> int:
        return self.part.most

    @property
    def least(self) -> int:
        return self.part.least

    @property
    def roles(self) -> tuple[Distribution, ...]:
        return self.part.roles

    def _cast(self, streams: Streams) -> Cast:
        roles, present, streams = _cast_each((self.part,), streams)
        order, streams = self._order(present[0], streams)
        return roles[0].gather(1, order), present[0].gather(1, order), streams

    def _together(self, streams: Streams) -> Scenes:
        factors, present, streams = self.part.sample(streams)
        order, streams = self._order(present, streams)
        return _ordered(factors, order), present.gather(1, order), streams

    def _order(self, present: Tensor, streams: Streams) -> tuple[Int64[Tensor, "batch sprites"], Streams]:
        numbers, streams = streams.uniform(self.most)
        return (numbers + ~present).argsort(dim=1, stable=True), streams


def shapes(*names: str) -> Discrete:
    """The factor "shape", one of these names of `SHAPES`.

    Raises:
        ConfigError: an unknown shape (naming the nearest), or none.
    """
    for name in names:
        if name not in SHAPES:
            close = nearest(name, SHAPES)
            hint = f", did you mean '{close}'?" if close else ""
            raise ConfigError(f"unknown shape '{name}'{hint}", "one of " + ", ".join(SHAPES))
    order = list(SHAPES)
    return Discrete("shape", tuple(order.index(name) + 1.0 for name in names))


def check_parts(what: str, parts: tuple[SceneGenerator, ...]) -> None:
    """Make sure that there are parts, and that they are generators.

    Raises:
        ConfigError: they are not.
    """
    if not parts:
        raise ConfigError(f"a {what} of no generators", "one or more parts")
    for part in parts:
        if not isinstance(part, SceneGenerator):
            raise ConfigError(f"{part!r} as part of a {what}", "a scene generator", "Generate(factors, least, most)")


def _all_roles(parts: Sequence[SceneGenerator]) -> tuple[Distribution, ...]:
    """The roles of all parts, one after another; none if one of the parts has none."""
    roles = [part.roles for part in parts]
    return tuple(role for ones in roles for role in ones) if all(roles) else ()


def _all_fixed(parts: Sequence[SceneGenerator]) -> list[tuple[int, ...]] | None:
    """The fixed roles of every part, numbered as in `_all_roles`; None if those of one are not fixed."""
    fixed, before = [], 0
    for part in parts:
        roles = part.fixed if isinstance(part, _CastGenerator) else None
        if roles is None:
            return None
        fixed.append(tuple(role + before for role in roles))
        before += len(part.roles)
    return fixed


def _cast_each(parts: Sequence[SceneGenerator], streams: Streams) -> tuple[list[Tensor], list[Tensor], Streams]:
    """The casts of all parts, numbered as in `_all_roles`."""
    roles, present, before = [], [], 0
    for part in parts:
        assert isinstance(part, _CastGenerator)
        role, exist, streams = part.cast(streams)
        roles.append(role + before)
        present.append(exist)
        before += len(part.roles)
    return roles, present, streams


def _widened(places: Tensor, most: int) -> Tensor:
    """With places that stay empty behind the others."""
    return torch.nn.functional.pad(places, (0, most - places.shape[1]))


def _present_first(factors: Tensor, present: Tensor, streams: Streams) -> Scenes:
    order = (~present).int().argsort(dim=1, stable=True)
    return _ordered(factors, order), present.gather(1, order), streams


def _ordered(factors: Tensor, order: Tensor) -> Tensor:
    return factors.gather(1, order[..., None].expand(-1, -1, factors.shape[-1]))
