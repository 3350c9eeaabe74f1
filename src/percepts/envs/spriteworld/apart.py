"""Scenes whose sprites keep their distance: in place, in hue or in anything else."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from percepts.core.errors import ConfigError
from percepts.data.distributions import Discrete
from percepts.envs.spriteworld.generators import SceneGenerator, Scenes, check_parts
from percepts.envs.spriteworld.parts import check_filter
from percepts.envs.spriteworld.sampling import first_fitting
from percepts.envs.spriteworld.state import FACTORS
from percepts.envs.streams import Streams


@dataclass(frozen=True)
class Apart(SceneGenerator):
    """The scenes of a part in which any two sprites differ: by at least `distance` (Euclidean) in the `factors`.

    `Apart(part, ("x", "y"), 0.2)` keeps sprites from hiding each other, `Apart(part, ("c0",), 0.1, period=1)` gives
    each a hue of its own. Whole scenes are drawn again.

    Raises:
        ConfigError: no or unknown factors, or a distance or period that is not positive and finite.
    """

    part: SceneGenerator
    factors: tuple[str, ...]
    distance: float
    period: float | None = None
    """Of factors that wrap around: 1 for a hue, 360 for an angle."""

    def __post_init__(self) -> None:
        check_parts("scene", (self.part,))
        for name in self.factors:
            check_filter("a generator", Discrete(name, (0.0,)))
        if not self.factors:
            raise ConfigError("sprites that are apart in no factor", "one or more factors", 'factors = ("x", "y")')
        for what, value in (("distance", self.distance), ("period", self.period)):
            if value is not None and not 0 < value < math.inf:
                raise ConfigError(f"{what} = {value}", "a finite number above 0")

    @property
    def most(self) -> int:
        return self.part.most

    @property
    def least(self) -> int:
        return self.part.least

    def sample(self, streams: Streams) -> Scenes:
        def attempt(_: Tensor, streams: Streams) -> tuple[Tensor, Streams]:
            factors, present, streams = self.part.sample(streams)
            return torch.cat([factors, present[..., None]], -1).flatten(1), streams

        def fits(_: Tensor, scenes: Tensor) -> Tensor:
            *factors, present = scenes.view(len(scenes), self.most, len(FACTORS) + 1).unbind(-1)
            pair = ((present[:, None] * present[..., None]) > 0).triu(1)
            squared = torch.zeros_like(pair, dtype=torch.float64)
            for name in self.factors:
                values = factors[FACTORS.index(name)]
                gap = (values[:, None] - values[..., None]).abs()
                squared += (gap if self.period is None else torch.minimum(gap, (self.period - gap).abs())) ** 2
            return ~(pair & (squared < self.distance**2)).any(-1).any(-1)

        none = torch.zeros_like(streams.key)
        scenes, streams = first_fitting(attempt, fits, none, streams, lambda _: f"{self.most} sprites apart")
        scenes = scenes.view(len(streams), self.most, len(FACTORS) + 1)
        return scenes[..., :-1], scenes[..., -1] > 0, streams
