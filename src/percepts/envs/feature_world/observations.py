"""What is seen of Feature World in numbers.

`outcomes` is all that a memory without errors would hold, `last` what happened in the last step alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from percepts.core.errors import ConfigError, nearest
from percepts.envs.feature_world.state import WorldState
from percepts.envs.feature_world.world import FeatureWorld

Key = Literal["outcomes", "last", "left", "objects", "posterior", "tested", "lit", "object_set", "image"]
KEYS: dict[str, str] = {
    "outcomes": "float32 [B,N]: of the last test of every object on offer: 1, -1, or 0 where there was none",
    "last": "float32 [B,F]: the object tested last, one-hot in every dimension; then whether it lit up, whether not",
    "left": "float32 [B,1]: the share of the budget that is left",
    "objects": "int64 [B,N,D]: the values of the objects on offer",
    "posterior": "float32 [B,H]: the probability of every hypothesis, as the tests were logged",
    "tested": "int64 [B]: the place of the object tested last; -1 before the first test or after a wasted step",
    "lit": "int64 [B]: 1 where it lit up",
    "object_set": "int64 [B]: the number of the set on offer",
    "image": "uint8 [B,H,W,3]: the table after the last step; only where it can be drawn",
}
"""What observations may hold."""
DEFAULT_KEYS = ("outcomes", "last", "left")


def observe(world: FeatureWorld, state: WorldState, keys: Sequence[str] = DEFAULT_KEYS) -> dict[str, Tensor]:
    """What is seen, by `keys` of `KEYS`; "image" is left to who draws.

    Raises:
        ConfigError: an unknown key.
    """
    check_keys(keys)
    made: dict[str, Any] = {
        "outcomes": lambda: state.outcomes.float(),
        "last": lambda: _last(world, state),
        "left": lambda: left_table(world).to(state.steps.device)[state.steps][:, None],
        "objects": lambda: world.offered(state),
        "posterior": lambda: state.alive.float() / state.live.clamp(min=1)[:, None],
        "tested": lambda: state.tested,
        "lit": lambda: state.lit.long(),
        "object_set": lambda: state.object_set,
    }
    return {key: made[key]() for key in keys if key in made}


def check_keys(keys: Sequence[str]) -> None:
    """Raises a ConfigError for keys that there are not, or none at all."""
    if not keys or isinstance(keys, str):
        raise ConfigError(f"keys = {keys!r}", "one or more of " + ", ".join(KEYS), 'keys=("outcomes",)')
    for key in keys:
        if key not in KEYS:
            close = nearest(str(key), KEYS)
            raise ConfigError(
                f"unknown key {key!r}" + (f", did you mean '{close}'?" if close else ""), "one of " + ", ".join(KEYS)
            )


def left_table(world: FeatureWorld) -> Tensor:
    """The share of the budget that is left, by steps taken, float32 [budget + 1]."""
    return (1 - torch.arange(world.budget + 1, dtype=torch.float64) / world.budget).float()


def one_hot_table(world: FeatureWorld) -> Tensor:
    """Of all objects, then of none: what `last` shows of them, float32 [O + 1, F], without the outcome."""
    features = world.tables.features
    parts = [torch.nn.functional.one_hot(column, count) for column, count in zip(features.T, world.values)]
    rows = torch.cat([*parts, torch.zeros(len(features), 2, dtype=torch.int64)], 1).float()
    return torch.cat([rows, torch.zeros(1, rows.shape[1])])


def _last(world: FeatureWorld, state: WorldState) -> Tensor:
    device, some = state.tested.device, state.tested >= 0
    number = world.knowledge(device).objects[state.object_set, state.tested.clamp(min=0)]
    features, place = world.tables.features.to(device)[number], 0
    last = torch.zeros(len(state), sum(world.values) + 2, device=device)
    for dimension, count in enumerate(world.values):
        last.scatter_(1, place + features[:, dimension, None], some[:, None].float())
        place += count
    last[:, -2], last[:, -1] = (some & state.lit).float(), (some & ~state.lit).float()
    return last
