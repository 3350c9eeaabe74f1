"""Arenas as COBRA lives in them: acted on by numbers in [0, 1], and seen as slots."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from percepts.agents.agent import Observation
from percepts.agents.cobra.slots import SlotEncoder, SlotState
from percepts.agents.snapshots import tensors_of, with_tensors_of
from percepts.core.errors import ConfigError
from percepts.envs.spriteworld.arena import Arena, ArenaState, Outcome
from percepts.envs.spriteworld.observations import Observer
from percepts.envs.spriteworld.state import Sprites


@dataclass(frozen=True)
class Seen:
    """What there is to see in B arenas: observations, and the slots that an encoder makes of them."""

    observation: Observation
    slots: SlotState

    def put(self, index: Any, others: Seen) -> Seen:
        """A copy with the arenas at `index` replaced."""
        observation = {name: value.clone() for name, value in self.observation.items()}
        for name, value in others.observation.items():
            observation[name][index] = value
        return Seen(observation, self.slots.put(index, others.slots))

    def state_dict(self) -> dict[str, Any]:
        """All tensors, by name."""
        return {"observation": self.observation, "latents": self.slots.latents, "weight": self.slots.weight}

    @classmethod
    def of_state(cls, state: dict[str, Any]) -> Seen:
        """What `state_dict` described."""
        return cls(dict(state["observation"]), SlotState(state["latents"], state["weight"]))


class World:
    """Arenas, and how they are seen.

    Args:
        arena: with actions that are numbers in [0, 1].
        observer: draws what the encoder needs; keys that it lacks are added.
        encoder: makes slots.
        observes: further keys that somebody needs.

    Raises:
        ConfigError: other actions.
    """

    def __init__(self, arena: Arena, observer: Observer, encoder: SlotEncoder, observes: tuple[str, ...] = ()) -> None:
        self.arena, self.encoder = arena, encoder
        keys: Any = tuple(dict.fromkeys((*encoder.observes, *observes)))
        self.observer = replace(observer, keys=keys)
        self.action = action_size(arena)

    def look(self, sprites: Sprites) -> Seen:
        """What there is to see now."""
        return self.see(self.observer.observe(sprites))

    @torch.no_grad()
    def see(self, observation: Observation) -> Seen:
        """What the encoder makes of an observation now."""
        return Seen(observation, self.encoder.encode(observation))

    def step(
        self, state: ArenaState, action: Float[Tensor, "batch action"]
    ) -> tuple[ArenaState, Outcome, Bool[Tensor, " batch"]]:
        """Act; which episodes ended with it comes third."""
        state, outcome = self.arena.step(state, action.to(state.sprites.position.device, torch.float64))
        return state, outcome, outcome.terminated | outcome.truncated

    def go_on(self, state: ArenaState, seen: Seen, ended: Bool[Tensor, " batch"]) -> tuple[ArenaState, Seen]:
        """Begin new episodes where the last one ended, and look there again."""
        if not bool(ended.any()):
            return state, seen
        state = self.arena.restart(state, ended)
        rows = ended.nonzero()[:, 0]
        return state, seen.put(rows, self.look(state.sprites.rows(rows)))


class Episodes:
    """Arenas that act all at once, one episode after the other, and what there is to see in them.

    Args:
        world: where.
        seeds: one for each arena.
    """

    def __init__(self, world: World, seeds: Iterable[int]) -> None:
        self.world, self.seeds = world, tuple(seeds)
        self._arenas: ArenaState | None = None
        self._seen: Seen | None = None

    def seen(self) -> Seen:
        """What there is to see now. With the first look the first episodes begin."""
        return self._present()[1]

    def act(self, action: Float[Tensor, "batch action"]) -> tuple[Seen, Outcome, Bool[Tensor, " batch"]]:
        """Act in all arenas, and begin new episodes where the last one ended with it.

        Returns:
            What there was to see after the action, before new episodes began; what came of it; where episodes ended.
        """
        arenas, _ = self._present()
        arenas, outcome, ended = self.world.step(arenas, action)
        following = self.world.look(arenas.sprites)
        self._arenas, self._seen = self.world.go_on(arenas, following, ended)
        return following, outcome, ended

    def _present(self) -> tuple[ArenaState, Seen]:
        if self._arenas is None or self._seen is None:
            self._arenas = self.world.arena.reset(self.seeds)
            self._seen = self.world.look(self._arenas.sprites)
        return self._arenas, self._seen

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values."""
        return {
            "arenas": None if self._arenas is None else tensors_of(self._arenas),
            "seen": None if self._seen is None else self._seen.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Become what `state_dict` described.

        Raises:
            CheckpointError: it was of other arenas.
        """
        saved, seen = state["arenas"], state["seen"]
        self._arenas = None if saved is None else with_tensors_of(self.world.arena.reset(self.seeds), saved)
        self._seen = None if seen is None else Seen.of_state(seen)


def action_size(arena: Arena) -> int:
    """How many numbers an action has.

    Raises:
        ConfigError: actions are no numbers in [0, 1].
    """
    actions = arena.config.actions
    shape = actions.uniform_shape
    # Where uniform numbers are actions as they are, actions are numbers in [0, 1]; these are exact in any precision.
    numbers = (torch.arange(1, math.prod(shape) + 1, dtype=torch.float64) / 64).view(1, *shape)
    made = actions.of_uniform(numbers)
    if len(shape) != 1 or not made.is_floating_point() or not torch.equal(made.double(), numbers):
        raise ConfigError(
            f"actions of kind {type(actions).__name__}", "numbers in [0, 1]", "actions = SelectMove(scale=0.25)"
        )
    return shape[0]
