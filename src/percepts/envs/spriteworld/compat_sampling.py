"""Scenes in the order in which the original Spriteworld 1.0.2 draws random numbers (Watters et al. 2019).

The original has NumPy's legacy generator, global there and explicit here. A scene takes from it: the number of sprites
where there is a choice; then, sprite by sprite, factor by factor in the order in which the distributions name them, one
uniform number for each continuous factor and one choice for each discrete one; all factors of a set difference again
where they fall into what is held out; one choice between generators; and a shuffle at the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from percepts.core.config import Config
from percepts.core.errors import ConfigError, DataError
from percepts.data.distributions import (
    Continuous,
    Discrete,
    Distribution,
    Intersection,
    Product,
    Selection,
    SetMinus,
    Union,
)
from percepts.envs.spriteworld.compat_sprite import CompatDataError, CompatSprite, Number
from percepts.envs.spriteworld.generators import Chain, Generate, OneOf, SceneGenerator, Shuffled

Factors = dict[str, Number]
_MOST_TRIES = 100_000


@dataclass(frozen=True, kw_only=True)
class CompatOptions(Config):
    """Which original is reproduced.

    Attributes:
        numpy: the major version of NumPy that it runs on. Under 1, float32 factors are compared with bounds and turned
            into colours in float64; under 2 in float32. A few colours differ by one level, and a factor within rounding
            of a bound may fall on its other side.
        scale_setter_bug: see `CompatSprite`.
        whole: factors that continuous distributions draw as whole numbers, cut off behind the point, as the original's
            examples draw RGB colours and angles.
    """

    numpy: Literal[1, 2] = 2
    scale_setter_bug: bool = True
    whole: tuple[str, ...] = ()


CURRENT = CompatOptions()
"""Of a current NumPy, all bugs included."""


def draw_scene(
    generator: SceneGenerator, rng: np.random.RandomState, options: CompatOptions = CURRENT
) -> list[CompatSprite]:
    """The next scene, the last sprite in front.

    Raises:
        ConfigError: a kind of generator or distribution that the original does not have.
        CompatDataError: nothing that fits is found in 100 000 tries.
    """
    if isinstance(generator, Generate):
        count = generator.least
        if generator.most > generator.least:
            count = int(rng.randint(generator.least, generator.most + 1))
        drawn = (draw(generator.factors, rng, options) for _ in range(count))
        return [CompatSprite(factors, options.scale_setter_bug) for factors in drawn]
    if isinstance(generator, Chain):
        return [sprite for part in generator.parts for sprite in draw_scene(part, rng, options)]
    if isinstance(generator, OneOf):
        shares = None if generator.weights is None else _shares(generator.weights)
        return draw_scene(generator.parts[rng.choice(len(generator.parts), p=shares)], rng, options)
    if isinstance(generator, Shuffled):
        sprites = draw_scene(generator.part, rng, options)
        order = np.arange(len(sprites))
        rng.shuffle(order)
        return [sprites[place] for place in order]
    raise ConfigError(f"the original has no {type(generator).__name__}", "Generate, Chain, OneOf or Shuffled")


def draw(distribution: Distribution, rng: np.random.RandomState, options: CompatOptions = CURRENT) -> Factors:
    """One draw: float32 numbers of continuous factors, Python's of discrete and of whole ones.

    Raises:
        ConfigError: a kind of distribution that the original does not have.
        CompatDataError: nothing that fits is found in 100 000 tries.
    """
    if isinstance(distribution, Continuous):
        value = rng.uniform(distribution.low, distribution.high)
        return {distribution.name: int(value) if distribution.name in options.whole else np.float32(value)}
    if isinstance(distribution, Discrete):
        return {
            distribution.name: distribution.values[rng.choice(len(distribution.values), p=distribution.probabilities)]
        }
    if isinstance(distribution, Product):
        return {name: value for part in distribution.components for name, value in draw(part, rng, options).items()}
    if isinstance(distribution, Union):
        shares = _shares(distribution.weights or (1.0,) * len(distribution.components))
        return draw(distribution.components[rng.choice(len(shares), p=shares)], rng, options)
    base = _base(distribution)
    for _ in range(_MOST_TRIES):
        factors = draw(base, rng, options)
        if _accepts(distribution, factors, options):
            return factors
    raise CompatDataError(f"{_MOST_TRIES} draws from '{base}' and none of them '{distribution}'", "one that fits")


def contains(distribution: Distribution, factors: Mapping[str, Number], options: CompatOptions = CURRENT) -> bool:
    """Whether the distribution gives these factors; it is not asked about those that it does not speak of.

    Raises:
        DataError: a factor that it does speak of is missing.
    """
    if isinstance(distribution, Continuous | Discrete):
        if distribution.name not in factors:
            raise DataError(f"no factor '{distribution.name}' among {', '.join(factors) or 'none'}")
        value = factors[distribution.name]
        if options.numpy == 1 and isinstance(value, np.generic):
            value = value.item()
        if isinstance(distribution, Discrete):
            return value in distribution.values
        return bool(distribution.low <= value < distribution.high)
    if isinstance(distribution, Union):
        return any(contains(part, factors, options) for part in distribution.components)
    if isinstance(distribution, SetMinus | Selection):
        return contains(distribution.base, factors, options) and _accepts(distribution, factors, options)
    return all(contains(part, factors, options) for part in distribution.parts)


def _base(distribution: Distribution) -> Distribution:
    if isinstance(distribution, SetMinus | Selection):
        return distribution.base
    if isinstance(distribution, Intersection):
        return distribution.components[distribution.sample_from]
    raise ConfigError(f"the original has no {type(distribution).__name__}", "Continuous, Discrete or a combination")


def _accepts(distribution: Distribution, factors: Factors | Mapping[str, Number], options: CompatOptions) -> bool:
    """Whether a draw from the base of a distribution is one of the distribution."""
    if isinstance(distribution, SetMinus):
        return not contains(distribution.hold_out, factors, options)
    if isinstance(distribution, Selection):
        return contains(distribution.selected, factors, options)
    return all(contains(part, factors, options) for part in distribution.parts)


def _shares(weights: tuple[float, ...]) -> list[float]:
    total = sum(weights)
    return [weight / total for weight in weights]
