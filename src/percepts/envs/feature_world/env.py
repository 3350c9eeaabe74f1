"""Feature World as a Gymnasium environment.

    import percepts.envs.feature_world.registration      # makes the ids known
    env = gymnasium.make("FeatureWorld/Conjunction-v0", values=3, mode="answer")
    observation, info = env.reset(seed=0)
    observation, reward, terminated, truncated, info = env.step(env.action_space.sample())

It steps plain numbers (`light.LightWorld`); the same seed gives the same trajectory as in the batched twin.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from percepts.core.errors import ConfigError, DataError
from percepts.core.optional import require_package
from percepts.envs.arguments import action_number, check_options, check_render_mode, checked_seed
from percepts.envs.feature_world.board import draw_board
from percepts.envs.feature_world.light import LightWorld
from percepts.envs.feature_world.observations import DEFAULT_KEYS, check_keys, left_table, one_hot_table
from percepts.envs.feature_world.rendered import TableView, why_not_drawn
from percepts.envs.feature_world.world import FeatureWorld
from percepts.envs.feature_world.worlds import world_config

require_package("gymnasium", extra="envs")

import gymnasium  # noqa: E402
from gymnasium import spaces  # noqa: E402

Arrays = dict[str, NDArray[Any]]


class FeatureWorldEnv(gymnasium.Env[Arrays, Any]):
    """One world; observations are dictionaries (see `observations.KEYS`), actions numbers (see `FeatureWorld`).

    `info` holds `success`, `identified`, `gained` (bits) and `erred` as of `world.Outcome`, and the truth: `truth`, the
    number of the hidden hypothesis, `live`, how many hypotheses explain all tests, `steps`, and `object_set`.

    Args:
        world: a name of `WORLDS`, or a configuration.
        keys: what observations hold.
        render_mode: "rgb_array", or None.
        view: how tables are drawn; worlds that cannot be drawn as tables are shown as boards.
        settings: changes of the configuration, such as `values=3`.

    Raises:
        ConfigError: an unknown world, key or setting, settings that do not fit, or the key "image" of a world that
            cannot be drawn.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012 (Gymnasium's own type)

    def __init__(
        self,
        world: str | FeatureWorld.Config = "single",
        keys: Sequence[str] = DEFAULT_KEYS,
        render_mode: str | None = None,
        view: TableView.Config | None = None,
        **settings: Any,
    ) -> None:
        check_render_mode(render_mode)
        check_keys(keys)
        self.world: FeatureWorld = world_config(world, **settings).build()
        self.config, self.keys, self.render_mode = self.world.config, tuple(keys), render_mode
        self.view = view_of(self.world, self.keys, view)
        self.observation_space: spaces.Space[Arrays] = observation_space(self.world, self.keys, self.view)
        self.action_space = spaces.Discrete(self.world.actions)
        self._actions = self.world.actions
        self._light = LightWorld(self.world)

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Arrays, dict[str, Any]]:
        """Begin an episode: with a `seed` the first of its stream, without one the next.

        Raises:
            DataError: another seed, or options.
        """
        check_options(options, ())
        if seed is not None or not self._light.begun:
            super().reset(seed=checked_seed(seed))
            self._light.reset(int(self.np_random.integers(1 << 62)) if seed is None else int(seed))
        else:
            self._light.restart()
        return self._observe(), self._facts()

    def step(self, action: Any) -> tuple[Arrays, float, bool, bool, dict[str, Any]]:
        """Test an object, or answer.

        Raises:
            DataError: before the first reset, after the end of an episode, or an action that is none.
        """
        light = self._light
        if not light.begun:
            raise DataError("an environment that was never reset", fix="env.reset(seed=0)")
        if light.finished:
            raise DataError("a step after the end of the episode", fix="env.reset()")
        light.step(action_number(action, self._actions))
        return self._observe(), light.reward, light.terminated, light.truncated, self._facts()

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]
        """The picture [H, W, 3]; None without a render mode.

        Raises:
            DataError: before the first reset.
        """
        if self.render_mode is None:
            return None
        light = self._light
        if not light.begun:
            raise DataError("an environment that was never reset", fix="env.reset(seed=0)")
        if self.view is not None:
            return self._table()
        chosen = self.world.sets.objects[light.object_set]
        return draw_board(self.world, self.world.tables.features[chosen], torch.from_numpy(light.outcomes))

    def _observe(self) -> Arrays:
        light, tables = self._light, self._tables
        found: Arrays = {}
        for key in self.keys:
            if key == "outcomes":
                found[key] = light.outcomes.astype(np.float32)
            elif key == "last":
                found[key] = tables.last(light)
            elif key == "left":
                found[key] = tables.left[light.steps].copy()
            elif key == "image":
                found[key] = self._table()
            else:
                found[key] = tables.rarer(key, light)
        return found

    def _facts(self) -> dict[str, Any]:
        light = self._light
        return {
            "success": light.success,
            "identified": light.identified,
            "gained": light.gained,
            "erred": light.erred,
            "truth": light.truth,
            "live": light.live,
            "steps": light.steps,
            "object_set": light.object_set,
        }

    def _table(self) -> NDArray[np.uint8]:
        assert self.view is not None
        light = self._light
        scene, chosen, tested = (torch.tensor([value]) for value in (light.scene, light.object_set, light.tested))
        return self.view.draw_tables(scene, chosen, tested, torch.tensor([light.lit])).image[0].numpy()

    @functools.cached_property
    def _tables(self) -> _Views:
        return _Views(self.world)


class _Views:
    """What is looked up for the observations of a single world."""

    def __init__(self, world: FeatureWorld) -> None:
        self.left = left_table(world)[:, None].numpy()
        self._one_hot = one_hot_table(world).numpy()
        self._objects: list[list[int]] = world.sets.objects.tolist()
        self._offered = world.tables.features[world.sets.objects].numpy()
        self._hypotheses = world.hypotheses

    def last(self, light: LightWorld) -> NDArray[Any]:
        """The object tested last, and what came of it."""
        number = self._objects[light.object_set][light.tested] if light.tested >= 0 else -1
        row = self._one_hot[number].copy()
        if light.tested >= 0:
            row[-2 if light.lit else -1] = 1
        return row

    def rarer(self, key: str, light: LightWorld) -> NDArray[Any]:
        """The other keys."""
        if key == "objects":
            return self._offered[light.object_set].copy()
        if key == "posterior":
            packed = light.alive.to_bytes((self._hypotheses + 7) // 8, "little")
            alive = np.unpackbits(np.frombuffer(packed, np.uint8), bitorder="little")[: self._hypotheses]
            return alive.astype(np.float32) / np.float32(max(1, light.live))
        return np.array({"tested": light.tested, "lit": light.lit, "object_set": light.object_set}[key], np.int64)[()]


def view_of(world: FeatureWorld, keys: Sequence[str], view: TableView.Config | None) -> TableView | None:
    """What draws the tables of a world; None if nothing can.

    Raises:
        ConfigError: pictures are wanted of a world that cannot be drawn.
    """
    if view is None and "image" not in keys and why_not_drawn(world) is not None:
        return None
    built: TableView = (view or TableView.Config()).build(world=world)
    return built


def observation_space(world: FeatureWorld, keys: Sequence[str], view: TableView | None) -> spaces.Space[Any]:
    """The space of one world's observations.

    Raises:
        ConfigError: unknown keys, or settings of the world that do not fit.
    """
    check_keys(keys)
    dimensions = len(world.dimensions)
    made: dict[str, Any] = {
        "outcomes": lambda: spaces.Box(-1.0, 1.0, (world.choices,), np.float32),
        "last": lambda: spaces.Box(0.0, 1.0, (sum(world.values) + 2,), np.float32),
        "left": lambda: spaces.Box(0.0, 1.0, (1,), np.float32),
        "objects": lambda: spaces.Box(0, max(world.values) - 1, (world.choices, dimensions), np.int64),
        "posterior": lambda: spaces.Box(0.0, 1.0, (world.hypotheses,), np.float32),
        "tested": lambda: spaces.Discrete(world.choices + 1, start=-1),
        "lit": lambda: spaces.Discrete(2),
        "object_set": lambda: spaces.Discrete(len(world.sets.objects)),
        "image": lambda: spaces.Box(0, 255, (*_size(view), 3), np.uint8),
    }
    return spaces.Dict({key: made[key]() for key in keys})


def _size(view: TableView | None) -> tuple[int, int]:
    if view is None:
        raise ConfigError("pictures without a view", "a world that can be drawn")
    return view.shape
