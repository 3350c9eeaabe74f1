"""Model-free baselines of COBRA: SAC and PPO of stable-baselines3 (the extra `rl`) on Spriteworld's tasks.

    baseline = ModelFree.Config(learner=SAC(), sees="factors", steps=1000, evaluate_at=(500, 1000)).build(
        world=cobra_task("sorting"), held_out=cobra_task("sorting", "test"), seed=0
    )
    baseline.run(log=print)
    baseline.curve().steps_to(0.9)
    evaluate(baseline.agent(), cobra_task("sorting", "test"), episodes=100, seed=1)

They learn a task from nothing, within a budget of rewarded environment steps that is never exceeded; a step of one
arena is one. An episode that ends for lack of time is no end of the task: its last value is bootstrapped. Watters et
al. (2019) compare COBRA with model-free agents whose settings and numbers we could not read; these stand in for them,
and are no reproduction.

A training that was saved and resumed ends with the same bits as an unbroken one (on the CPU). `model_free_runs` keeps
trainings in run folders.

Measured: after 1000 rewarded steps of goal-finding-new-position on the true factors (the settings that are defaults
here, seeds 0 to 2, 100 episodes each) both are as good as chance, which succeeds in 0.03 of the episodes: SAC in 0.00,
0.03 and 0.01 of them, PPO in 0.00, 0.03 and 0.01.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from percepts.agents.agent import Observation
from percepts.agents.cobra.evaluate import Curve, evaluate
from percepts.agents.cobra.slots import SlotEncoder
from percepts.agents.model_free_learners import AGAINST_DIVERGENCE, PPO, SAC, check
from percepts.agents.model_free_state import OwnRandom, copied_policy, learner_state, load_learner_state
from percepts.agents.model_free_views import Sees, View, view_of
from percepts.agents.model_free_vision import check_identity, fingerprint
from percepts.agents.spriteworld_policies import Score
from percepts.core.config import Config as BaseConfig
from percepts.core.config import Configurable, digest
from percepts.core.errors import CheckpointError, ConfigError, NonFiniteError
from percepts.core.optional import require_package
from percepts.core.progress import ProgressLine
from percepts.core.random import derive_seed
from percepts.envs.spriteworld.configs import SpriteworldConfig
from percepts.training.checkpoint import Checkpoint, load_weights, save_checkpoint

Choice = Literal["mean", "sampled"]


@dataclass(frozen=True)
class Point:
    """How well a learner does after a budget of rewarded steps.

    Attributes:
        steps: the budget.
        used: how many of them went into the policy; fewer where a round of the learner would have gone beyond.
        train: on the task that it learns.
        held_out: on the task that it does not.
    """

    steps: int
    used: int
    train: Score
    held_out: Score | None = None


class ModelFree(Configurable):
    """A learner in its arenas.

    Args:
        world: the task to learn, and how it is seen.
        seed: of everything.
        held_out: the task that evaluations are made on beside it.
        encoder: frozen vision, for a learner that sees "slots".
        device: of the learner's networks; arenas stay on the CPU.

    Attributes:
        vision: the fingerprint of the encoder; None without one.

    Raises:
        ConfigError: settings that do not fit together or to the world.
        MissingPackageError: stable-baselines3 is not installed.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Settings (all proposed, but for what `SAC` and `PPO` say of theirs).

        Attributes:
            learner: the algorithm.
            sees: "factors", the truth; "slots", a frozen encoder's; or "pixels".
            steps: rewarded steps, of all arenas together.
            arenas: that act at once.
            reward_scale: rewards are multiplied by this; COBRA's reward predictor learns r/10.
            places: for sprites in what the learner sees; None for as many as the task and the held-out one need.
            evaluate_at: after these budgets of rewarded steps.
            episodes: of an evaluation.
            acts: in evaluations by the policy's "mean", or "sampled" from it. Where actions have no noise, a mean that
                misses all sprites misses them until time is up.
            log_every: rewarded steps between two entries of the log.
        """

        learner: SAC | PPO = field(default_factory=SAC)
        sees: Sees = "factors"
        steps: int = 1000
        arenas: int = 1
        reward_scale: float = 0.1
        places: int | None = None
        evaluate_at: tuple[int, ...] = ()
        episodes: int = 100
        acts: Choice = "mean"
        log_every: int = 100

        def __post_init__(self) -> None:
            for name in ("steps", "arenas", "episodes", "log_every", "places"):
                check(name, getattr(self, name), getattr(self, name) is None or getattr(self, name) >= 1, "1 or more")
            within = all(0 <= budget <= self.steps for budget in self.evaluate_at)
            check("evaluate_at", self.evaluate_at, within, f"budgets from 0 to steps = {self.steps}")
            if self.learner.round(self.arenas) > self.steps:
                raise ConfigError(
                    f"steps = {self.steps} with rounds of {self.learner.round(self.arenas)}",
                    "at least one round of the learner",
                    "fewer arenas" if isinstance(self.learner, SAC) else "a smaller rollout, or fewer arenas",
                )

    config: Config

    def __init__(
        self,
        config: Config,
        world: SpriteworldConfig,
        seed: int,
        held_out: SpriteworldConfig | None = None,
        encoder: SlotEncoder | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        require_package("stable_baselines3", extra="rl")
        from stable_baselines3.common.logger import Logger

        from percepts.agents.model_free_arenas import LearnerArenas
        from percepts.envs.spriteworld.vector import SpriteworldVectorEnv

        self.config, self.world, self.held_out, self.seed = config, world, held_out, seed
        most = [each.observer.places(each.arena.generator.most) for each in (world, held_out) if each is not None]
        self.view = view_of(config.sees, world, config.places or max(most), encoder)
        self.vision = None if encoder is None else fingerprint(encoder)
        native = SpriteworldVectorEnv(config.arenas, world, autoreset_mode="SameStep", keys=self.view.observes)
        self.arenas = LearnerArenas(native, self.view, config.reward_scale)
        self._random = OwnRandom(torch.device(device))
        with self._random:
            self.learner = config.learner.make(
                self.arenas, config.sees == "pixels", config.steps, derive_seed(seed, "learner") % 2**32, str(device)
            )
        self.learner.set_logger(Logger(None, []))
        self.points: list[Point] = []
        self._episodes: list[tuple[float, float, float]] = []

    @property
    def rewarded_steps(self) -> int:
        """Made so far."""
        return int(self.learner.num_timesteps)

    @property
    def round(self) -> int:
        """Steps between two changes of the policy."""
        return self.config.learner.round(self.config.arenas)

    @property
    def finished(self) -> bool:
        """Whether no round is left in the budget, and all evaluations were made."""
        return self._reach(self.config.steps) == self.rewarded_steps and len(self.points) == len(self._budgets)

    def curve(self, held_out: bool = False) -> Curve:
        """Success over rewarded steps, on the task or on the held-out one.

        Raises:
            ConfigError: there is no held-out task.
        """
        if held_out and self.held_out is None:
            raise ConfigError("the curve of a held-out task without one", fix="held_out=cobra_task(name, 'test')")
        scores = [(point.steps, point.held_out if held_out else point.train) for point in self.points]
        return Curve(tuple((steps, score.success) for steps, score in scores if score is not None))

    def agent(self, acts: Choice | None = None, seed: int | None = None) -> ModelFreeAgent:
        """The policy as it is now; further learning does not change it.

        Args:
            acts: by the policy's "mean", or "sampled"; None as in evaluations.
            seed: of samples; None for one that belongs to the training's.
        """
        seed = derive_seed(self.seed, "model-free agent") if seed is None else seed
        space = self.arenas.arenas.single_action_space
        return ModelFreeAgent(copied_policy(self.learner.policy), self.view, space, acts or self.config.acts, seed)

    def run(
        self,
        log: Callable[[dict[str, float]], None] | None = None,
        until: int | None = None,
        line: ProgressLine | None = None,
    ) -> None:
        """Learn, and evaluate where it is due, until the end or as far as so many rewarded steps reach.

        Args:
            log: called with an entry every `log_every` rewarded steps and at the end.
            until: rewarded steps.
            line: shows how far it is; None for one of its own, which shows nothing where nobody watches a terminal.

        Raises:
            NonFiniteError: a loss or a weight became NaN or infinite.
        """
        kind, end = type(self.config.learner).__name__, self._reach(self.config.steps)
        shown = line or ProgressLine(end, "steps", f"{kind} on {self.world.name}", start=self.rewarded_steps)
        last = end if until is None else min(end, self._reach(until))
        self._evaluate()
        while self.rewarded_steps < last:
            self._learn(self._next_stop(last) - self.rewarded_steps, shown)
            self._evaluate()
            if log is not None and self._due(self.rewarded_steps):
                log(self._entry())
        if line is None:
            shown.close()

    @property
    def _budgets(self) -> list[int]:
        return sorted(set(self.config.evaluate_at))

    def _reach(self, budget: int) -> int:
        """The steps of all rounds that a budget pays for."""
        return min(budget, self.config.steps) // self.round * self.round

    def _due(self, steps: int) -> bool:
        """Whether an entry of the log belongs here: a multiple of `log_every` lies before the next round's end, or the
        budget reaches no further."""
        every = self.config.log_every
        return (steps + self.round - 1) // every * every >= steps or steps == self._reach(self.config.steps)

    def _next_stop(self, last: int) -> int:
        """Where the next evaluation or entry of the log is due."""
        now, every = self.rewarded_steps, self.config.log_every
        marks = [*self._budgets, -(-(now + self.round) // every) * every]
        return min([stop for stop in map(self._reach, marks) if stop > now] + [last])

    def _learn(self, steps: int, line: ProgressLine) -> None:
        def watch(variables: Mapping[str, Any], _: Any) -> bool:
            for info in variables["infos"]:
                if "episode" in info:
                    episode = info["episode"]
                    self._episodes.append((float(info["is_success"]), float(episode["r"]), float(episode["l"])))
            line.update(self.rewarded_steps)
            return True

        with self._finite(), self._random:
            self.learner.learn(steps, callback=watch, log_interval=None, reset_num_timesteps=False)
        self._check_finite()

    @contextlib.contextmanager
    def _finite(self) -> Iterator[None]:
        """Name a divergence that torch's distributions notice before any weight or loss shows it."""
        try:
            yield
        except ValueError as error:
            self._check_finite(error)
            if not str(error).startswith(("Expected parameter", "Expected value argument")):
                raise
            raise NonFiniteError(
                f"the policy of the {type(self.config.learner).__name__} became none by step {self.rewarded_steps}",
                fix=AGAINST_DIVERGENCE,
            ) from error

    def _check_finite(self, cause: Exception | None = None) -> None:
        losses = {name: torch.tensor(float(value)) for name, value in self.learner.logger.name_to_value.items()}
        for name, value in {**self.learner.policy.state_dict(), **losses}.items():
            # How much of the variance a value function explains is NaN where there is none.
            if not bool(value.isfinite().all()) and name != "train/explained_variance":
                raise NonFiniteError(
                    f"'{name}' of the {type(self.config.learner).__name__} became NaN or infinite by step "
                    f"{self.rewarded_steps}",
                    fix=AGAINST_DIVERGENCE,
                ) from cause

    def _evaluate(self) -> None:
        """The evaluations of the budgets that are used up now."""
        done = {point.steps for point in self.points}
        for budget in self._budgets:
            if budget in done or self._reach(budget) > self.rewarded_steps:
                continue
            agent, seed = self.agent(), derive_seed(self.seed, "model-free evaluation")
            with self._finite():
                scores = [
                    None if world is None else evaluate(agent, world, self.config.episodes, seed)
                    for world in (self.world, self.held_out)
                ]
            assert scores[0] is not None
            self.points.append(Point(budget, self.rewarded_steps, scores[0], scores[1]))

    def _entry(self) -> dict[str, float]:
        """Means over the episodes that ended since the last entry, where some did, and the newest losses."""
        entry: dict[str, float] = {"step": self.rewarded_steps, "episodes": len(self._episodes)}
        if self._episodes:
            means = torch.tensor(self._episodes, dtype=torch.float64).mean(0).tolist()
            entry |= dict(zip(("success", "return", "length"), means))
        self._episodes = []
        values = self.learner.logger.name_to_value.items()
        return entry | {name.removeprefix("train/"): float(value) for name, value in values}

    def save(self, folder: Path | str) -> Checkpoint:
        """Write a checkpoint of this step into `folder`: the policy's weights as safetensors, and what goes on from
        them as tensors and plain values.

        Raises:
            PerceptsError: the disk is full or not writable; earlier checkpoints are untouched.
        """
        resume = {
            "identity": self._identity(),
            "learner": learner_state(self.learner),
            "random": self._random.state_dict(),
            "arenas": self.arenas.state_dict() if self.rewarded_steps else None,
            "points": [asdict(point) for point in self.points],
            "episodes": self._episodes,
        }
        kind, weights = type(self.config.learner).__name__, self.learner.policy.state_dict()
        return save_checkpoint(Path(folder), self.rewarded_steps, kind, weights, resume)

    def load(self, checkpoint: Checkpoint | Path | str) -> None:
        """Become the training that `save` wrote.

        Args:
            checkpoint: its folder.

        Raises:
            CheckpointError: it is damaged, of another training, or of one with another encoder; or a file of
                stable-baselines3, which holds pickles and is never read.
        """
        checkpoint = checkpoint if isinstance(checkpoint, Checkpoint) else Checkpoint(Path(checkpoint))
        if checkpoint.path.is_file() or checkpoint.path.suffix == ".zip":
            raise CheckpointError(
                f"'{checkpoint.path}' is not a checkpoint folder; files of stable-baselines3 hold pickles, which can "
                "run code, and are never read",
                "a folder that ModelFree.save wrote",
            )
        resume = checkpoint.resume_state()
        check_identity(resume.get("identity"), self._identity(), checkpoint.path)
        load_weights(self.learner.policy, checkpoint.weights(), str(checkpoint.path))
        load_learner_state(self.learner, resume["learner"])
        self._random.load_state_dict(resume["random"])
        if resume["arenas"] is not None:
            self.arenas.load_state_dict(resume["arenas"])
        self.points = [_point(point) for point in resume["points"]]
        self._episodes = [tuple(episode) for episode in resume["episodes"]]

    def _identity(self) -> dict[str, Any]:
        worlds = [None if world is None else digest(world) for world in (self.world, self.held_out)]
        known = {"config": digest(self.config), "worlds": worlds, "seed": self.seed, "sees": list(self.view.shape)}
        return known if self.vision is None else {**known, "vision": self.vision}


class ModelFreeAgent:
    """Acts by a learned policy. An `agents.agent.Agent`; its state is the number of steps it has made.

    Args:
        policy: of stable-baselines3.
        view: what it sees.
        space: of the arena's actions.
        acts: by its "mean", or "sampled", as a function of (seed, step).
        seed: of the samples.
    """

    def __init__(self, policy: Any, view: View, space: Any, acts: Choice = "mean", seed: int = 0) -> None:
        self.policy, self.view, self.space, self.acts, self.seed = policy, view, space, acts, seed

    @property
    def observes(self) -> tuple[str, ...]:
        """The keys of the observation that it needs."""
        return self.view.observes

    def act(self, observation: Observation, state: int | None = None) -> tuple[Tensor, int]:
        """The actions, and the number of the next step."""
        from percepts.agents.model_free_arenas import native_actions

        step = 0 if state is None else state
        seen, device = self.view.of(observation).numpy(), torch.device(self.policy.device)
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(derive_seed(self.seed, "sampled action", step))
            actions, _ = self.policy.predict(seen, deterministic=self.acts == "mean")
        there = next(iter(observation.values())).device
        return torch.from_numpy(native_actions(actions, self.space)).to(there), step + 1


def _point(saved: Mapping[str, Any]) -> Point:
    scores = {key: None if saved[key] is None else Score(**saved[key]) for key in ("train", "held_out")}
    assert scores["train"] is not None
    return Point(saved["steps"], saved["used"], scores["train"], scores["held_out"])
