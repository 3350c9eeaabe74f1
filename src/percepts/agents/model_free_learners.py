"""Settings of model-free learners: SAC (Haarnoja et al. 2018) and PPO (Schulman et al. 2017) of stable-baselines3.

Where a number comes from stands beside it: "default" is that of stable-baselines3 2.9, "proposed" is ours. None is
known to be of the COBRA paper, whose own baselines and their settings we could not read.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

from percepts.core.config import Config
from percepts.core.errors import ConfigError
from percepts.core.optional import require_package

# What the error says that ends a training whose numbers became NaN or infinite.
AGAINST_DIVERGENCE = "a lower learning rate, or a smaller reward_scale"


@dataclass(frozen=True, kw_only=True)
class Learner(Config):
    """What all learners have.

    Attributes:
        learning_rate: of Adam (default).
        discount: γ (default).
        hidden: widths of the hidden layers of every network; None for the library's own: (256, 256) in SAC and (64, 64)
            in PPO, none after the convolutions of pictures (default).
    """

    learning_rate: float = 3e-4
    discount: float = 0.99
    hidden: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        check("learning_rate", self.learning_rate, self.learning_rate > 0, "a positive number")
        check("discount", self.discount, 0 <= self.discount < 1, "a number in [0, 1)")
        check("hidden", self.hidden, all(width > 0 for width in self.hidden or ()), "widths of 1 or more")

    @abstractmethod
    def round(self, arenas: int) -> int:
        """The environment steps between two changes of the policy, of all arenas together."""

    @abstractmethod
    def make(self, env: Any, pictures: bool, steps: int, seed: int, device: str) -> Any:
        """The learner of stable-baselines3.

        Args:
            env: a `VecEnv`.
            pictures: whether it shows pictures.
            steps: environment steps that will be made.
            seed: of everything, from 0 to 2³² - 1.
            device: of the networks.

        Raises:
            ConfigError: actions that the algorithm cannot choose among.
            MissingPackageError: stable-baselines3 is not installed.
        """

    def _common(self, env: Any, pictures: bool, seed: int, device: str) -> dict[str, Any]:
        return {
            "policy": "CnnPolicy" if pictures else "MlpPolicy",
            "env": env,
            "learning_rate": self.learning_rate,
            "gamma": self.discount,
            "policy_kwargs": {} if self.hidden is None else {"net_arch": list(self.hidden)},
            "seed": seed,
            "device": device,
            "verbose": 0,
        }


@dataclass(frozen=True, kw_only=True)
class SAC(Learner):
    """Soft actor-critic with a learned temperature, whose target entropy is minus the number of action components.

    Attributes:
        batch_size: transitions of an update (default).
        updates: for each environment step (default).
        warm_up: so many first steps are uniformly random, and nothing is learned (default).
        capacity: transitions that are kept, the newest (default); never more than there will be.
        averaging: τ of the target networks (default).
        temperature: the first one (default).
    """

    batch_size: int = 256
    updates: int = 1
    warm_up: int = 100
    capacity: int = 1_000_000
    averaging: float = 0.005
    temperature: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("batch_size", "updates", "capacity"):
            check(name, getattr(self, name), getattr(self, name) >= 1, "1 or more")
        check("warm_up", self.warm_up, self.warm_up >= 0, "0 or more")
        check("averaging", self.averaging, 0 < self.averaging <= 1, "a share in (0, 1]")
        check("temperature", self.temperature, self.temperature > 0, "a positive number")

    def round(self, arenas: int) -> int:
        """One step of every arena."""
        return arenas

    def make(self, env: Any, pictures: bool, steps: int, seed: int, device: str) -> Any:
        """See `Learner.make`."""
        library = require_package("stable_baselines3", extra="rl")
        if not hasattr(env.action_space, "low"):
            raise ConfigError(f"SAC with actions in {env.action_space}", "numbers", "learner = PPO()")
        return library.SAC(
            **self._common(env, pictures, seed, device),
            batch_size=self.batch_size,
            gradient_steps=self.updates * env.num_envs,
            learning_starts=self.warm_up,
            buffer_size=max(env.num_envs, min(self.capacity, steps)),
            tau=self.averaging,
            ent_coef=f"auto_{self.temperature}",
        )


@dataclass(frozen=True, kw_only=True)
class PPO(Learner):
    """Proximal policy optimisation with clipped ratios and generalised advantage estimation.

    Attributes:
        rollout: steps of every arena between two changes of the policy (proposed: the default, 2048, is more than the
            steps that Spriteworld's tasks are learned in).
        batch_size: steps of an update; divides those of all arenas' rollouts (proposed, to fit them; default is 64).
        epochs: passes over them (default).
        trace: λ of the advantages (default).
        clip: of the ratios of probabilities (default).
        entropy: weight of the bonus (default).
        value: weight of the value loss (default).
        clip_norm: of the gradient (default).
    """

    rollout: int = 200
    batch_size: int = 50
    epochs: int = 10
    trace: float = 0.95
    clip: float = 0.2
    entropy: float = 0.0
    value: float = 0.5
    clip_norm: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check("rollout", self.rollout, self.rollout >= 1, "1 or more")
        check("batch_size", self.batch_size, self.batch_size >= 2, "2 or more")
        check("epochs", self.epochs, self.epochs >= 1, "1 or more")
        check("trace", self.trace, 0 <= self.trace <= 1, "a number in [0, 1]")
        check("entropy", self.entropy, self.entropy >= 0, "0 or more")
        for name in ("clip", "value", "clip_norm"):
            check(name, getattr(self, name), getattr(self, name) > 0, "a positive number")

    def round(self, arenas: int) -> int:
        """The rollouts of all arenas."""
        return self.rollout * arenas

    def make(self, env: Any, pictures: bool, steps: int, seed: int, device: str) -> Any:
        """See `Learner.make`."""
        library = require_package("stable_baselines3", extra="rl")
        size = self.round(env.num_envs)
        if size % self.batch_size:
            raise ConfigError(f"batch_size = {self.batch_size} with rollouts of {size} steps", "a divisor of that")
        return library.PPO(
            **self._common(env, pictures, seed, device),
            n_steps=self.rollout,
            batch_size=self.batch_size,
            n_epochs=self.epochs,
            gae_lambda=self.trace,
            clip_range=self.clip,
            ent_coef=self.entropy,
            vf_coef=self.value,
            max_grad_norm=self.clip_norm,
        )


def check(name: str, value: Any, right: bool, expected: str) -> None:
    """Raises a ConfigError where a setting is not right."""
    if not right:
        raise ConfigError(f"{name} = {value}", expected)
