"""An algebra of factor distributions: which combinations of factors there are, and how often.

    middle = Continuous("x", 9, 15) * Continuous("y", 9, 15)     # independent factors: a box
    world = Continuous("x", 6, 18) * Continuous("y", 6, 18)
    seen = world - middle                                        # all but the box
    seen.sample(100, generator)                                  # {"x": [100], "y": [100]}, none of them in the box
    seen.contains({"x": x, "y": y})                              # bool [N]

Distributions are values: frozen configurations that go through JSON and into presets. The kinds and their rules are
those of Spriteworld (Watters et al. 2019), with explicit generators and whole batches at a time.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from jaxtyping import Bool
from torch import Tensor

from percepts.core.config import Config
from percepts.core.errors import ConfigError, DataError
from percepts.data.draws import check_weights, choose, column, uniform

Factors = dict[str, Tensor]
"""Values by factor name, each float64 [count]."""

_SAME = 1e-6
"""Two values of a discrete factor are one if they differ by less than this (relative above 1): float32 may come by."""
_FEWEST_DRAWS, _MOST_DRAWS = 64, 1 << 18
_GIVE_UP = 1 << 20
"""So many draws in a row without a fitting one, and rejection sampling ends."""


@dataclass(frozen=True)
class Distribution(Config, ABC):
    """Any distribution over named factors.

    `a * b` is the `Product`, `a | b` the `Union` with equal weights, `a & b` the `Intersection` and `a - b` the
    `SetMinus`.
    """

    def __new__(cls, *_: object, **__: object) -> Self:
        # A configuration that is read may name the base class, which cannot be built.
        if cls.__abstractmethods__:
            raise ConfigError(
                f"{cls.__name__.lstrip('_')} is no distribution by itself", "Continuous, Discrete or a combination"
            )
        return super().__new__(cls)

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """The factors that it speaks of, in the order in which they are drawn."""

    @property
    def parts(self) -> tuple[Distribution, ...]:
        """The distributions that it is made of; none for a single factor."""
        return ()

    @abstractmethod
    def sample(self, count: int, generator: torch.Generator) -> Factors:
        """`count` independent draws on the generator's device; a pure function of the generator's state.

        Raises:
            DataError: nothing that fits is found.
        """

    @abstractmethod
    def contains(self, factors: Mapping[str, Tensor]) -> Bool[Tensor, " count"]:
        """Which combinations can occur. Factors that the distribution does not speak of are ignored; NaN never occurs.

        Raises:
            DataError: a factor that it does speak of is missing.
        """

    def __mul__(self, other: Distribution) -> Product:
        return Product((*_same_kind(Product, self), *_same_kind(Product, other)))

    def __or__(self, other: Distribution) -> Union:
        return Union((*_same_kind(Union, self), *_same_kind(Union, other)))

    def __and__(self, other: Distribution) -> Intersection:
        return Intersection((self, other))

    def __sub__(self, other: Distribution) -> SetMinus:
        return SetMinus(self, other)


@dataclass(frozen=True)
class Continuous(Distribution):
    """One factor, uniform on the half-open interval [low, high).

    Raises:
        ConfigError: no name, bounds that are not finite, or an empty interval.
    """

    name: str
    low: float
    high: float

    def __post_init__(self) -> None:
        _check_name(self.name)
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ConfigError(f"{self.name} in [{self.low}, {self.high})", "finite bounds, the lower one first")

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name,)

    def sample(self, count: int, generator: torch.Generator) -> Factors:
        values = self.low + (self.high - self.low) * uniform(count, generator)
        return {self.name: values.clamp(max=math.nextafter(self.high, self.low))}  # rounding may reach `high`

    def contains(self, factors: Mapping[str, Tensor]) -> Bool[Tensor, " count"]:
        values = column(factors, self.name)
        return (values >= self.low) & (values < self.high)

    def __str__(self) -> str:
        return f"{self.name} in [{self.low:g}, {self.high:g})"


@dataclass(frozen=True)
class Discrete(Distribution):
    """One factor that takes some values, all equally often or with given probabilities.

    Raises:
        ConfigError: no name, no values, values that are equal or not finite, or probabilities that are not positive or
            do not sum to 1.
    """

    name: str
    values: tuple[float, ...]
    probabilities: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        _check_name(self.name)
        if not self.values or not all(map(math.isfinite, self.values)):
            raise ConfigError(f"{self.name} in {self.values}", "one or more finite values")
        ordered = sorted(self.values)
        if any(_equal(one, other) for one, other in itertools.pairwise(ordered)):
            raise ConfigError(f"{self.name} in {self.values}", f"values that differ by more than {_SAME:g}")
        if self.probabilities is not None:
            check_weights(f"the probabilities of {self.name}", self.probabilities, len(self.values))
            if abs(sum(self.probabilities) - 1) > _SAME:
                raise ConfigError(f"the probabilities of {self.name} sum to {sum(self.probabilities):g}", "a sum of 1")

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name,)

    def sample(self, count: int, generator: torch.Generator) -> Factors:
        chosen = choose(self.probabilities or (1.0,) * len(self.values), count, generator)
        return {self.name: torch.tensor(self.values, dtype=torch.float64, device=generator.device)[chosen]}

    def contains(self, factors: Mapping[str, Tensor]) -> Bool[Tensor, " count"]:
        found = column(factors, self.name)
        values = torch.tensor(self.values, dtype=torch.float64, device=found.device)
        return ((found[:, None] - values).abs() < _SAME * values.abs().clamp(min=1)).any(1)

    def __str__(self) -> str:
        return f"{self.name} in {{{', '.join(f'{value:g}' for value in self.values)}}}"


@dataclass(frozen=True)
class _Combination(Distribution):
    """Several distributions at once; every one must contain what the combination contains."""

    components: tuple[Distribution, ...]

    def __post_init__(self) -> None:
        if not self.components:
            raise ConfigError(f"a {type(self).__name__.lower()} of nothing", "one or more components")
        _check_kind(self.components)

    @property
    def names(self) -> tuple[str, ...]:
        return self.components[0].names

    @property
    def parts(self) -> tuple[Distribution, ...]:
        return self.components

    def contains(self, factors: Mapping[str, Tensor]) -> Bool[Tensor, " count"]:
        return torch.stack([component.contains(factors) for component in self.components]).all(0)

    def __str__(self) -> str:
        return " and ".join(map(_bracketed, self.components))

    def _check_same_names(self, hint: str | None = None) -> None:
        first = self.components[0]
        for other in self.components[1:]:
            if set(other.names) != set(first.names):
                got = f"a {type(self).__name__.lower()} of '{first}' and '{other}'"
                raise ConfigError(got, "the same factors in every component", hint)


@dataclass(frozen=True)
class Product(_Combination):
    """Independent factors: all components together.

    Raises:
        ConfigError: no components, or two that speak of one factor.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        twice = sorted({name for name in self.names if self.names.count(name) > 1})
        if twice:
            raise ConfigError(f"{', '.join(twice)} in several components of a product", "every factor once")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for component in self.components for name in component.names)

    def sample(self, count: int, generator: torch.Generator) -> Factors:
        drawn: Factors = {}
        for component in self.components:
            drawn |= component.sample(count, generator)
        return drawn


@dataclass(frozen=True)
class Union(_Combination):
    """One of the components, drawn by `weights` (relative; equal if None): a mixture, so what lies in two components is
    drawn more often.

    Raises:
        ConfigError: no components, components of different factors, or weights that are not positive or not one each.
    """

    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_same_names()
        if self.weights is not None:
            check_weights("the weights of a union", self.weights, len(self.components))

    def sample(self, count: int, generator: torch.Generator) -> Factors:
        chosen = choose(self.weights or (1.0,) * len(self.components), count, generator)
        drawn = {name: torch.empty(count, dtype=torch.float64, device=generator.device) for name in self.names}
        for number, component in enumerate(self.components):
            places = (chosen == number).nonzero()[:, 0]
            for name, values in component.sample(len(places), generator).items():
                drawn[name][places] = values
        return drawn

    def contains(self, factors: Mapping[str, Tensor]) -> Bool[Tensor, " count"]:
        return torch.stack([component.contains(factors) for component in self.components]).any(0)

    def __str__(self) -> str:
        return " or ".join(map(_bracketed, self.components))


@dataclass(frozen=True)
class Intersection(_Combination):
    """What all components contain, distributed as the component number `sample_from` is.

    Raises:
        ConfigError: no components, components of different factors, or a `sample_from` that is no component.
    """

    sample_from: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_same_names("Selection, where one speaks of some of the factors only")
        if not 0 <= self.sample_from < len(self.components):
            raise ConfigError(f"sample_from = {self.sample_from}", f"0 to {len(self.components) - 1}")

    def sample(self, count: int, generator: torch.Generator) -> Factors:
        return _reject(self.components[self.sample_from], self, count, generator)


class _Filtered(Distribution):
    """The draws of its first part that its second part, which may speak of some of the factors only, lets pass."""

    def __post_init__(self) -> None:
        _check_kind(self.parts)
        base, second = self.parts
        unknown = [name for name in second.names if name not in base.names]
        if unknown:
            raise ConfigError(
                f"'{second}' speaks of {', '.join(unknown)}, which '{base}' does not",
                f"some of {', '.join(base.names)}",
            )

    @property
    def names(self) -> tuple[str, ...]:
        return self.parts[0].names

    def sample(self, count: int, generator: torch.Generator) -> Factors:
        return _reject(self.parts[0], self, count, generator)


@dataclass(frozen=True)
class SetMinus(_Filtered):
    """`base` without what `hold_out` contains, distributed as `base`; `hold_out` may speak of some factors only.

    Raises:
        ConfigError: `hold_out` speaks of a factor that `base` does not have.
    """

    base: Distribution
    hold_out: Distribution

    @property
    def parts(self) -> tuple[Distribution, ...]:
        return (self.base, self.hold_out)

    def contains(self, factors: Mapping[str, Tensor]) -> Bool[Tensor, " count"]:
        return self.base.contains(factors) & ~self.hold_out.contains(factors)

    def __str__(self) -> str:
        return f"{_bracketed(self.base)} but not {_bracketed(self.hold_out)}"


@dataclass(frozen=True)
class Selection(_Filtered):
    """What `base` and `selected` both contain, distributed as `base`; `selected` may speak of some factors only.

    Raises:
        ConfigError: `selected` speaks of a factor that `base` does not have.
    """

    base: Distribution
    selected: Distribution

    @property
    def parts(self) -> tuple[Distribution, ...]:
        return (self.base, self.selected)

    def contains(self, factors: Mapping[str, Tensor]) -> Bool[Tensor, " count"]:
        return self.base.contains(factors) & self.selected.contains(factors)

    def __str__(self) -> str:
        return f"{_bracketed(self.base)} and {_bracketed(self.selected)}"


def _reject(base: Distribution, wanted: Distribution, count: int, generator: torch.Generator) -> Factors:
    """`count` draws from `base` that `wanted` contains: draw batches, keep what fits, and draw as many more as the
    share that fitted so far suggests."""
    kept: list[Factors] = []
    found, drawn, in_vain = 0, 0, 0
    while found < count:
        share = max(found, 1) / max(drawn, 1)
        size = min(max(math.ceil(1.1 * (count - found) / share), _FEWEST_DRAWS), _MOST_DRAWS)
        batch = base.sample(size, generator)
        fits = wanted.contains(batch).nonzero()[:, 0]
        kept.append({name: values[fits] for name, values in batch.items()})
        found, drawn = found + len(fits), drawn + size
        in_vain = 0 if len(fits) else in_vain + size
        if in_vain >= _GIVE_UP:
            raise DataError(
                f"{in_vain} draws in a row from '{base}' and none of them '{wanted}'",
                "a distribution that is not empty",
                "a larger base or a smaller hold-out",
            )
    if not kept:
        return base.sample(0, generator)
    return {name: torch.cat([part[name] for part in kept])[:count] for name in wanted.names}


def _equal(one: float, other: float) -> bool:
    return abs(one - other) < _SAME * max(1.0, abs(one), abs(other))


def _same_kind(kind: Callable[..., Distribution], one: Distribution) -> tuple[Distribution, ...]:
    """The components of a plain `kind`, or the distribution alone: a * b * c is one product of three."""
    return one.parts if type(one) is kind and getattr(one, "weights", None) is None else (one,)


def _bracketed(part: Distribution) -> str:
    return f"({part})" if part.parts else str(part)


def _check_name(name: str) -> None:
    if not name:
        raise ConfigError("a factor without a name", "the name of a factor")


def _check_kind(parts: tuple[Any, ...]) -> None:
    for part in parts:
        if not isinstance(part, Distribution):
            raise ConfigError(
                f"{part!r} among distributions", "a distribution", "Discrete(name, values) for single values"
            )
