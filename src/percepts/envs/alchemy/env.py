"""One table of Alchemy as a Gymnasium environment.

    import percepts.envs.alchemy.registration      # makes the ids known
    env = gymnasium.make("Alchemy/RotationRandomBottleneck-v0", end_trial=True)
    observation, info = env.reset(seed=0)
    observation, reward, terminated, truncated, info = env.step(env.action_space.sample())

The same seed gives the same trajectory as in the batched twin; a step takes microseconds, unless a belief is observed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from percepts.core.errors import ConfigError, DataError, nearest
from percepts.core.optional import require_package
from percepts.envs.alchemy.chemistry import POTIONS
from percepts.envs.alchemy.chemistry_view import CONTENTS, ChemistryView, ChemistryViews, ViewState, see_chemistry
from percepts.envs.alchemy.codecs import Encoding, encode
from percepts.envs.alchemy.levels import MAIN_LEVEL, Level
from percepts.envs.alchemy.light import Happened, LightTable
from percepts.envs.alchemy.picture import draw_tables
from percepts.envs.alchemy.table import Outcome, Table, TableState
from percepts.envs.arguments import action_number, check_options, check_render_mode, checked_seed

require_package("gymnasium", extra="envs")

import gymnasium  # noqa: E402
from gymnasium import spaces  # noqa: E402

Arrays = dict[str, NDArray[Any]]
SETTINGS = ("encoding", "see", "colour_actions", "render_mode")
"""Of the environment, beside those of its table."""
See = Mapping[str, ChemistryView | str]
"""Views of the chemistry by the name under which they are observed; a content is a view that holds nothing else."""


class AlchemyEnv(gymnasium.Env[Arrays, Any]):
    """A table with stones, potions and a cauldron. Observations are dictionaries: "symbolic" (see `observations`), and
    the views of the chemistry that are asked for. `Table` tells what actions are and do. No episode is truncated.

    `info` holds `trial`, `step` (made in the trial), `score` and `trial_score` (what stones paid so far); of the last
    action `new_trial` (it ended one), `stone` and `potion` (slots that it acted on, -1 for none), `banked`, `before`
    and `after` (the stone's latent vertices, -1 for none); and `discount` as dm_env has it.

    Args:
        level: a name, a `Level`, or a table's whole configuration.
        encoding: what "symbolic" is made of.
        see: views of the chemistry, such as {"ground_truth": "truth"}.
        colour_actions: whether actions name potions by their colour, as `codecs` tells, in place of their slots.
        render_mode: "rgb_array", or None.
        settings: of the table to change, such as `trials=3`.

    Raises:
        ConfigError: an unknown level, setting or render mode, or one that does not fit.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012 (Gymnasium's own type)

    def __init__(
        self,
        level: str | Level | Table.Config = MAIN_LEVEL,
        encoding: Encoding = Encoding(),  # noqa: B008 (it is frozen)
        see: See | None = None,
        colour_actions: bool = False,
        render_mode: str | None = None,
        **settings: Any,
    ) -> None:
        check_render_mode(render_mode)
        self.render_mode = render_mode
        self.table = Table(table_config(level, SETTINGS, **settings))
        self.views = ChemistryViews(views_of(see), self.table)
        self.encoding, self.colour_actions = encoding, colour_actions
        self.action_space = action_space(self.table, colour_actions)
        self.observation_space: spaces.Space[Arrays] = observation_space(self.table, encoding, self.views)
        self._actions = int(self.action_space.n)
        self._light = LightTable(self.table, encoding.used)
        self._viewed: ViewState | None = None
        self._shown: Arrays = {}
        self._started = False

    @property
    def state(self) -> TableState:
        """The table, for those who may know the truth: a batch of one.

        Raises:
            DataError: before the first reset.
        """
        self._check_started()
        return self._light.state()

    @property
    def new_trial(self) -> bool:
        """Whether the last observation is the first of a trial, which it does not tell."""
        return self._light.step_number == 0

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Arrays, dict[str, Any]]:
        """Begin an episode: with a `seed` the first of its stream, without one the next.

        Raises:
            DataError: another seed, or any option.
        """
        check_options(options, ())
        light, fresh = self._light, None
        if seed is not None or not self._started:
            super().reset(seed=checked_seed(seed))
            fresh = int(self.np_random.integers(most_seed(self.table))) if seed is None else int(seed)
            light.seed(fresh)
        light.begin()
        self._started = True
        self._view_anew(fresh)
        return self._observe(), self._info(light.happened)

    def step(self, action: Any) -> tuple[Arrays, float, bool, bool, dict[str, Any]]:
        """Act once.

        Raises:
            DataError: before the first reset, after the end of an episode, or an action that is none.
        """
        light = self._light
        if light.finished:
            self._check_started()
            raise DataError("a step after the end of the episode", fix="env.reset()")
        number = action_number(action, self._actions)
        before = light.state() if self.views.believes else None
        happened = light.act(light.slot_of(number) if self.colour_actions else number)
        if before is not None:
            self._view(before, happened)
        elif happened.new_trial and self.table.config.switch_trials:
            self._look()
        return self._observe(), happened.reward, light.finished, False, self._info(happened)

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]
        """The picture [H, W, 3]; None without a render mode.

        Raises:
            DataError: before the first reset.
        """
        return None if self.render_mode is None else draw_tables(self.state)[0]

    def _observe(self) -> Arrays:
        if self.encoding.plain:
            seen: Arrays = {"symbolic": self._light.seen.copy()}
        else:
            seen = {"symbolic": encode(self._light.state(), self.encoding)[0].numpy()}
        for name, shown in self._shown.items():
            seen[name] = shown.copy()
        return seen

    def _info(self, happened: Happened) -> dict[str, Any]:
        light = self._light
        return {
            "trial": light.trial,
            "step": light.step_number,
            "score": light.score,
            "trial_score": light.trial_score,
            "new_trial": happened.new_trial,
            "stone": happened.stone,
            "potion": happened.potion,
            "banked": happened.banked,
            "before": happened.before,
            "after": happened.after,
            "discount": 0.0 if light.finished else 1.0,
        }

    def _view_anew(self, seed: int | None) -> None:
        if not self.views.views:
            return
        state = self._light.state()
        if seed is not None:
            self._viewed = self.views.begin(state, [seed])
        elif self._viewed is not None:
            self._viewed = self.views.restart(self._viewed, state, torch.ones(1, dtype=torch.bool))
        self._look()

    def _view(self, before: TableState, happened: Happened) -> None:
        """Beliefs after a step."""
        assert self._viewed is not None
        finished = torch.tensor([self._light.finished])
        numbers = (torch.tensor([getattr(happened, name)]) for name in ("stone", "potion", "banked", "before", "after"))
        outcome = Outcome(torch.tensor([happened.reward]), finished, torch.tensor([happened.new_trial]), *numbers)
        self._viewed = self.views.follow(self._viewed, before, outcome, self._light.state())
        self._look()

    def _look(self) -> None:
        if self._viewed is not None:
            shown = self.views.observe(self._viewed, self._light.state())
            self._shown = {name: value[0].numpy() for name, value in shown.items()}

    def _check_started(self) -> None:
        if not self._started:
            raise DataError("an environment that was never reset", fix="env.reset(seed=0)")


def table_config(level: str | Level | Table.Config, others: Sequence[str] = (), **settings: Any) -> Table.Config:
    """The configuration of a table.

    Args:
        level: a name, a level, or a whole configuration.
        others: settings of the environment, which may be meant beside those of its table.
        settings: to change in it.

    Raises:
        ConfigError: an unknown level or setting (naming the nearest), or one that does not fit.
    """
    known = [part.name for part in dataclasses.fields(Table.Config) if part.name != "level"]
    for name in settings:
        if name not in known:
            close = nearest(name, (*known, *others))
            hint = f", did you mean '{close}'?" if close else ""
            raise ConfigError(f"unknown setting '{name}' of a table{hint}", "one of " + ", ".join((*known, *others)))
    if isinstance(level, Table.Config):
        return dataclasses.replace(level, **settings)
    return Table.Config(level=level, **settings)


def _content(see: Any) -> str:
    """What somebody wants to see who did not name the view."""
    return see if see in CONTENTS else CONTENTS[0]


def views_of(see: See | None) -> dict[str, ChemistryView]:
    """The views that are asked for.

    Raises:
        ConfigError: a content that there is not, no mapping, or a view called "symbolic".
    """
    if see is not None and not isinstance(see, Mapping):
        raise ConfigError(f"see = {see!r}", "views of the chemistry by name", f'see={{"chemistry": "{_content(see)}"}}')
    if see and "symbolic" in see:
        raise ConfigError("a view of the chemistry called 'symbolic'", "another name: that is what the table shows")
    views = {}
    for name, view in (see or {}).items():
        views[name] = view if isinstance(view, ChemistryView) else see_chemistry(view)  # type: ignore[arg-type]
    return views


def action_space(table: Table, colour_actions: bool) -> spaces.Discrete:
    """The space of one table's actions."""
    config = table.config
    by_colour = 1 + config.end_trial + config.stones * (POTIONS + 1)
    return spaces.Discrete(by_colour if colour_actions else table.actions)


def observation_space(table: Table, encoding: Encoding, views: ChemistryViews) -> spaces.Space[Any]:
    """The space of one table's observations."""
    config = table.config
    shape = (encoding.size(config.stones, config.potions),)
    shown = {name: spaces.Box(0.0, 1.0, (count,), np.float32) for name, count in views.sizes().items()}
    return spaces.Dict({"symbolic": spaces.Box(*encoding.bounds(config.potions), shape, np.float32), **shown})


def most_seed(table: Table) -> int:
    """Seeds that are drawn are below."""
    return 1 << (32 if table.config.seeding == "compat" else 62)
