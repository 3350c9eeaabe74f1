"""Feature worlds by name."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

from percepts.core.errors import ConfigError, nearest
from percepts.envs.feature_world.world import FeatureWorld


def single(**settings: Any) -> FeatureWorld.Config:
    """One feature of three dimensions of five values: 15 hypotheses about 125 objects."""
    return FeatureWorld.Config(**{"k": 1, "n": 1} | settings)


def conjunction(**settings: Any) -> FeatureWorld.Config:
    """Two features of different dimensions, both needed: 75 hypotheses about 125 objects."""
    return FeatureWorld.Config(**{"k": 2, "n": 2} | settings)


def k_of_n(k: int, n: int, **settings: Any) -> FeatureWorld.Config:
    """At least `k` of `n` features of different dimensions."""
    return FeatureWorld.Config(k=k, n=n, **settings)


def table_top(**settings: Any) -> FeatureWorld.Config:
    """Twelve objects of four colours and four shapes, other ones in every episode, which `rendered` can draw."""
    defaults: dict[str, Any] = {"dimensions": ("colour", "shape"), "values": 4, "objects": 12, "object_sets": 256}
    return FeatureWorld.Config(**defaults | settings)


WORLDS: dict[str, Callable[..., FeatureWorld.Config]] = {
    "single": single,
    "conjunction": conjunction,
    "two-of-three": functools.partial(k_of_n, 2, 3),
    "table-top": table_top,
}
"""Settings by name."""


def world_config(world: str | FeatureWorld.Config, **settings: Any) -> FeatureWorld.Config:
    """A configuration by its name in `WORLDS`, or one as it is, with changes.

    Raises:
        ConfigError: an unknown name or setting.
    """
    if isinstance(world, str) and world not in WORLDS:
        close = nearest(world, WORLDS)
        hint = f", did you mean '{close}'?" if close else ""
        raise ConfigError(f"unknown world '{world}'{hint}", "one of " + ", ".join(WORLDS))
    known = {part.name for part in fields(FeatureWorld.Config)}
    for name in settings:
        if name not in known:
            close = nearest(name, known)
            hint = f", did you mean '{close}'?" if close else ""
            raise ConfigError(f"unknown setting '{name}' of a world{hint}", "one of " + ", ".join(sorted(known)))
    return WORLDS[world](**settings) if isinstance(world, str) else replace(world, **settings)
