"""COBRA's exploration (Watters et al. 2019): a transition model learns what actions do, and an explorer seeks the
actions about which it is wrong. No reward, no discount.

    curiosity = Curiosity.Config().build(arena=arena, observer=observer, encoder=OracleFactors.Config().build(), seed=0)
    curiosity.run(log=print)
    curiosity.transition                  # frozen from here on; the tasks are learned with it

In every step all arenas act once, and both networks learn from replayed transitions: the transition model minimises its
error, then the explorer learns how large that error still is, as log(1 + e / e₀) with e₀ a running median (`interest`).
Everything is a function of (seed, step), so a loop that is stopped, saved (`state_dict`), and resumed ends with the
same bits as an unbroken one. The paper's sizes are unknown; the numbers here are proposed, and were tried on
ground-truth slots.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from percepts.agents.cobra.exploration import (
    CriticPolicy,
    Explorer,
    RandomObject,
    Uniform,
    click_entropy,
    click_histogram,
)
from percepts.agents.cobra.fine_tuning import FineTuning
from percepts.agents.cobra.interest import Interest, InterestName
from percepts.agents.cobra.learner import Learner, step_together
from percepts.agents.cobra.probes import collect, measure
from percepts.agents.cobra.recursive_bins import RecursiveBinPolicy
from percepts.agents.cobra.replay import Replay
from percepts.agents.cobra.slots import SlotEncoder, SlotState
from percepts.agents.cobra.transition import SlotTransition
from percepts.agents.cobra.transition_losses import TransitionLoss
from percepts.agents.cobra.windows import ExplorationWindow
from percepts.agents.cobra.world import Episodes, Seen, World, action_size
from percepts.core.config import Config as BaseConfig
from percepts.core.config import Configurable, digest
from percepts.core.errors import CheckpointError, ConfigError
from percepts.core.random import derive_seed, torch_generator
from percepts.envs.spriteworld.arena import Arena
from percepts.envs.spriteworld.observations import Observer
from percepts.training.optimizers import Optimizer

Entry = dict[str, int | float]
"""Named numbers; `step` is the number of transitions."""
Log = Callable[[Entry], None]
ExplorerConfig = CriticPolicy.Config | RecursiveBinPolicy.Config | Uniform.Config | RandomObject.Config


class Curiosity(Configurable):
    """The loop of exploration.

    Args:
        arena: where; its task is not looked at.
        observer: draws pictures, where the encoder needs them.
        encoder: the vision; it is never changed. With `fine_tune` a copy of it is, the attribute `encoder`.
        seed: of everything.
        device: of the networks; arenas stay where they are.

    Raises:
        ConfigError: settings that do not fit together, actions that are no numbers in [0, 1], or `fine_tune` with an
            encoder in which nothing was learned.
        CapabilityError: `fine_tune` with a model that it is not made for; or (at the first update) the loss needs
            pictures, and the encoder cannot draw.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Sizes of the loop (all proposed, from the pilot).

        Attributes:
            transitions: after which exploration ends.
            arenas: that act at once.
            updates: of both networks in every step of all arenas.
            batch_size: transitions of an update.
            uniform: share of the actions that are uniform, whatever the explorer says.
            capacity: transitions that are kept, the newest; None: all.
            loss: what is an error.
            subtract_drawing: with the loss "pixel" the explorer sees only the error beyond that of drawing the next
                image from its own slots, which no prediction can avoid: curiosity would go to what is hard to draw.
            interest: whether the explorer looks for the model's error, or for its progress (see `interest`).
            follow: for progress, how much of the model the slow copy takes in after every update, in (0, 1).
            memory: of the running median e₀, a share in [0, 1).
            fine_tune: learning rate of the vision; 0: it is frozen, as the paper's. Needs the loss "pixel" and an
                encoder that was trained. The replay then keeps two pictures of every transition, in which the slots are
                found anew in every update.
            transition: the model.
            explorer: who acts.
            optimizer: of the transition model.
            explorer_optimizer: of the explorer.
            log_every: steps of all arenas between two entries of the log.
            probe_arenas: trajectories of every probe set that `probes` measures on.
        """

        transitions: int = 25_600
        arenas: int = 64
        updates: int = 2
        batch_size: int = 512
        uniform: float = 0.1
        capacity: int | None = None
        loss: TransitionLoss = field(default_factory=lambda: TransitionLoss(kind="aligned"))
        subtract_drawing: bool = True
        interest: InterestName = "error"
        follow: float = 0.01
        memory: float = 0.99
        fine_tune: float = 0.0
        transition: SlotTransition.Config = field(default_factory=lambda: SlotTransition.Config(hidden=(96, 96)))
        explorer: ExplorerConfig = field(default_factory=lambda: CriticPolicy.Config(hidden=(96, 96)))
        optimizer: Optimizer = field(default_factory=lambda: Optimizer(lr=2e-3, clip_norm=0.01))
        explorer_optimizer: Optimizer = field(default_factory=lambda: Optimizer(lr=1e-2, clip_norm=0.3))
        log_every: int = 10
        probe_arenas: int = 64

        def __post_init__(self) -> None:
            for name in ("transitions", "arenas", "updates", "batch_size", "log_every", "probe_arenas"):
                if getattr(self, name) < 1:
                    raise ConfigError(f"{name} = {getattr(self, name)}", "1 or more")
            if self.capacity is not None and self.capacity < self.arenas:
                raise ConfigError(f"capacity = {self.capacity}", f"arenas = {self.arenas} or more, or none for all")
            if not (0 <= self.uniform <= 1 and 0 <= self.memory < 1):
                raise ConfigError(f"uniform = {self.uniform}, memory = {self.memory}", "shares in [0, 1] and [0, 1)")
            if not 0 < self.follow < 1:
                raise ConfigError(f"follow = {self.follow}", "a share in (0, 1)")
            if not 0 <= self.fine_tune < math.inf:
                raise ConfigError(f"fine_tune = {self.fine_tune}", "a learning rate, or 0")
            if self.fine_tune and not self.loss.needs_image:
                raise ConfigError(
                    f"fine_tune = {self.fine_tune} with the loss '{self.loss.kind}', which is smallest where all slots "
                    "are the same",
                    "the loss 'pixel'",
                )

        @property
        def steps(self) -> int:
            """Of all arenas."""
            return math.ceil(self.transitions / self.arenas)

    config: Config

    def __init__(
        self,
        config: Config,
        arena: Arena,
        observer: Observer,
        encoder: SlotEncoder,
        seed: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self.config, self.seed, self.device = config, seed, torch.device(device)
        updates = config.steps * config.updates
        self._tuning = FineTuning(encoder, config.fine_tune, updates, seed) if config.fine_tune else None
        self.encoder: SlotEncoder = self._tuning.encoder if self._tuning else encoder
        sizes = {"latents": encoder.latents, "action": action_size(arena)}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "exploration networks"))
            self.transition: SlotTransition = config.transition.build(**sizes).to(self.device)
            self.explorer: Explorer = config.explorer.build(**sizes).to(self.device)
        self._pictures = ("image",) if config.loss.needs_image else ()
        self.world = World(arena, observer, self.encoder, (*self.explorer.observes, *self._pictures))
        self._episodes = Episodes(
            self.world, (derive_seed(seed, "exploration arena", row) for row in range(config.arenas))
        )
        self._model = Learner(self.transition, config.optimizer, updates, "transition model")
        self._seeker = Learner(self.explorer, config.explorer_optimizer, updates, "explorer")
        self._interest = Interest(config.interest, self.transition, config.follow, config.memory)
        self.replay = Replay(config.capacity or config.steps * config.arenas, self.device)
        self.step_count = 0
        self._window = ExplorationWindow()

    @property
    def transitions(self) -> int:
        """Made so far."""
        return self.step_count * self.config.arenas

    @property
    def median(self) -> float | None:
        """e₀; None before the first update of an explorer that learns."""
        return self._interest.median

    @property
    def fine_tuned(self) -> dict[str, Tensor] | None:
        """The weights of the vision as they are now; None where it is frozen."""
        return None if self._tuning is None else self._tuning.weights()

    @property
    def finished(self) -> bool:
        """Whether all transitions were made."""
        return self.step_count >= self.config.steps

    def run(self, log: Log | None = None, until: int | None = None) -> None:
        """Explore until the end, or until so many transitions were made.

        Args:
            log: called with an entry every `log_every` steps.
            until: transitions.
        """
        while not self.finished and (until is None or self.transitions < until):
            entry = self.step()
            if entry is not None and log is not None:
                log(entry)

    def step(self) -> Entry | None:
        """All arenas act once, and both networks learn; the entry of the log where one is due.

        Raises:
            NonFiniteError: a loss became NaN or infinite.
        """
        seen = self._episodes.seen()
        if self._tuning is not None:
            seen = self.world.see(seen.observation)  # The vision has changed since.
        action, behaviour = self._choose(seen)
        following, outcome, _ = self._episodes.act(action)
        self.replay.add(self._transition(seen, action, behaviour, following))
        self._window.acted(action, outcome)
        for update in range(self.config.updates):
            generator = torch_generator(self.seed, "exploration batch", self.step_count, update)
            self._learn(self.replay.sample(self.config.batch_size, generator))
        self.step_count += 1
        if self.step_count % self.config.log_every and not self.finished:
            return None
        entry: Entry = {"step": self.transitions, **self._window.entry(), "median": self.median or 0.0}
        self._window = ExplorationWindow()
        return entry

    def probes(self, seed: int | None = None) -> dict[str, float]:
        """What the transition model is worth now: `probes.measure` on trajectories of uniform actions ("random/…"), of
        clicks into objects ("objects/…"), and of the explorer ("explorer/…"), and where it clicks.

        Args:
            seed: of the trajectories; None: one of their own that belongs to the run's.
        """
        seed = derive_seed(self.seed, "exploration probes") if seed is None else seed
        limit = self.world.arena.config.max_episode_length
        steps = min(10, limit) if limit else 10
        observes = (*RandomObject.observes, *self.world.observer.keys)
        world = World(self.world.arena, self.world.observer, self.encoder, observes)
        sizes = {"latents": self.encoder.latents, "action": world.action}
        random, objects = Uniform.Config().build(**sizes), RandomObject.Config().build(**sizes)
        actors: dict[str, Explorer] = {"random": random, "objects": objects, "explorer": self.explorer}
        found = {}
        for name, actor in actors.items():
            probe = collect(
                world, actor, arenas=self.config.probe_arenas, steps=steps, seed=derive_seed(seed, name),
                image=self.config.loss.needs_image,
            ).to(self.device)  # fmt: skip
            for key, value in measure(probe, self.transition, self.config.loss, self.encoder).items():
                found[f"{name}/{key}"] = value
            found[f"{name}/click_entropy"] = click_entropy(click_histogram(probe.action[probe.valid]))
        return found

    @torch.no_grad()
    def _choose(self, seen: Seen) -> tuple[Float[Tensor, "batch action"], Float[Tensor, " batch"]]:
        """What all arenas do, and with which density."""
        generator = torch_generator(self.seed, "exploration action", self.step_count)
        slots = seen.slots.to(self.device)
        chosen = self.explorer.propose(slots, 1, generator, seen.observation)[:, 0].cpu()
        anywhere = torch.rand(chosen.shape, generator=generator)
        uniform = torch.rand(len(chosen), generator=generator) < self.config.uniform
        action = torch.where(uniform[:, None], anywhere, chosen)
        density = self.explorer.density(slots, action.to(self.device), seen.observation).cpu()
        share = self.config.uniform
        return action.to(seen.slots.latents.device), share + (1 - share) * density

    def _transition(self, seen: Seen, action: Tensor, behaviour: Tensor, following: Seen) -> dict[str, Tensor]:
        pictures, kept = None, self.explorer.observes if self.explorer.learns else ()
        if "image" in seen.observation:
            pictures = (seen.observation["image"], following.observation["image"])
        rows = {
            "action": action,
            "behaviour": behaviour,
            "changed": self.config.loss.changed(seen.slots, following.slots, pictures),
        }
        if self._tuning is None:
            rows |= {"latents": seen.slots.latents, "weight": seen.slots.weight}
            rows |= {"next_latents": following.slots.latents, "next_weight": following.slots.weight}
            if self._subtracts:
                rows["drawing"] = self._drawing(following.slots, following.observation["image"])
        else:
            kept = (*kept, *self._pictures)
        rows |= {f"seen_{key}": seen.observation[key] for key in kept}
        return rows | {f"next_{key}": following.observation[key] for key in self._pictures}

    @property
    def _subtracts(self) -> bool:
        """Whether the error of drawing is of interest."""
        settings = self.config
        wanted = settings.subtract_drawing and settings.interest == "error"
        return wanted and settings.loss.needs_image and self.explorer.learns

    def _learn(self, rows: Mapping[str, Tensor]) -> None:
        rows = {name: value.to(self.device) for name, value in rows.items()}
        importance = self.config.loss.importance(rows["changed"], self.transitions)
        if self._tuning is None:
            before = SlotState(rows["latents"], rows["weight"])
            loss = (self._error(self.transition, before, rows) * importance).mean()
            self._model.step(loss)
        else:
            before = self._tuning.see(rows["seen_image"])
            loss = (self._error(self.transition, before, rows) * importance).mean()
            own = self._tuning.loss(rows["seen_image"])
            step_together(loss + own, self._model, self._tuning.learner)
            self._window.add({"vision_loss": own})
            with torch.no_grad():
                before = self._tuning.see(rows["seen_image"])
        self._window.add({"transition_loss": loss})
        self._interest.follow()
        if self.explorer.learns:
            self._seek(before, rows)

    def _seek(self, before: SlotState, rows: Mapping[str, Tensor]) -> None:
        """Teach the explorer what is of interest to the newest model."""
        drawing = rows.get("drawing")
        if self._subtracts and drawing is None:
            drawing = self._drawing(self.world.see({"image": rows["next_image"]}).slots, rows["next_image"])
        surprise = self._interest.of(lambda model: self._error(model, before, rows), drawing)
        observation = {key: rows[f"seen_{key}"] for key in self.explorer.observes}
        loss, terms = self.explorer.loss(before, rows["action"], surprise, rows["behaviour"], observation)
        self._seeker.step(loss)
        self._window.add({"surprise": surprise.mean(), **terms})

    def _error(self, model: SlotTransition, before: SlotState, rows: Mapping[str, Tensor]) -> Float[Tensor, " batch"]:
        predicted = model.after(before, rows["action"])
        # A picture says it all: without slots of it, any will do.
        following = SlotState(rows["next_latents"], rows["next_weight"]) if "next_latents" in rows else predicted
        return self.config.loss.error(predicted, following, rows.get("next_image"), self.encoder)

    @torch.no_grad()
    def _drawing(self, slots: SlotState, image: Tensor) -> Float[Tensor, " batch"]:
        """The error of a prediction that knows the slots to come."""
        slots = slots.to(self.device)
        return self.config.loss.error(slots, slots, image.to(self.device), self.encoder)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the loop goes on from: tensors and plain values, for `snapshots.write_snapshot`."""
        return {
            "config": digest(self.config),
            "seed": self.seed,
            "step": self.step_count,
            "interest": self._interest.state_dict(),
            "transition": self._model.state_dict(),
            "explorer": self._seeker.state_dict(),
            "replay": self.replay.state_dict(),
            "window": self._window.state_dict(),
            "vision": None if self._tuning is None else self._tuning.learner.state_dict(),
            **self._episodes.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Become the loop that `state_dict` described.

        Raises:
            CheckpointError: it was another one.
        """
        if (state["config"], state["seed"]) != (digest(self.config), self.seed):
            raise CheckpointError(
                "the state of an exploration with other settings or another seed", "the same configuration and seed"
            )
        self._model.load_state_dict(state["transition"])
        self._seeker.load_state_dict(state["explorer"])
        self.replay.load_state_dict(state["replay"])
        self._window = ExplorationWindow.of_state(state["window"])
        self._interest.load_state_dict(state["interest"])
        if self._tuning is not None:
            self._tuning.learner.load_state_dict(state["vision"])
        self._episodes.load_state_dict(state)
        self.step_count = state["step"]
