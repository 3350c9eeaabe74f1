"""COBRA as a whole (Watters et al. 2019): vision, exploration, tasks and evaluation, stage by stage in one folder.

    agent = CobraAgent.start(cobra_cpu(), "runs/cobra")
    agent.train_vision()                      # only where the encoder is one that is trained
    agent.explore()
    agent.train_task("sorting")
    agent.evaluate("sorting", "test")         # a Score
    CobraAgent.open("runs/cobra").run()       # everything that is still to do

Every stage can be interrupted and called again (`stages`); it needs the ones before it, and never touches them. The
exploration sees no rewards; it may fine-tune a copy of the vision. In the tasks vision, dynamics and exploration policy
are frozen: only a reward predictor is learned, from scratch in each.
"""

from __future__ import annotations

import dataclasses
import hashlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from percepts.agents import stages
from percepts.agents.cobra.evaluate import Curve, evaluate
from percepts.agents.cobra.exploration import Explorer
from percepts.agents.cobra.fine_tuning import with_vision
from percepts.agents.cobra.learning import ExplorationRun, TaskRun
from percepts.agents.cobra.planning import Planner, SearchAgent
from percepts.agents.cobra.scores import note_score, of_learned, read_scores
from percepts.agents.cobra.settings import PipelineSettings, TrainedVision, advice
from percepts.agents.cobra.slot_models import ModelSlots, SingleSlot
from percepts.agents.cobra.slots import SlotEncoder
from percepts.agents.cobra.transition import SlotTransition
from percepts.agents.cobra.world import action_size
from percepts.agents.spriteworld_policies import Score
from percepts.core.config import Configurable
from percepts.core.errors import ConfigError, PerceptsError, RunError, nearest
from percepts.core.runs import Run, now
from percepts.envs.spriteworld.configs import MODES, TEST, TRAIN, SpriteworldConfig, task_config
from percepts.training import experiment as experiments
from percepts.training.checkpoint import checkpoints, latest_intact, load_weights
from percepts.training.engine import Outcome
from percepts.training.setup import computing, device_of

__all__ = ["CobraAgent", "TrainedVision"]


class CobraAgent(Configurable):
    """A pipeline in its folder.

    Args:
        path: the folder; `start` makes it.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(PipelineSettings):
        """Everything that determines a pipeline; each of its settings is told in `settings.PipelineSettings`."""

    config: Config

    def __init__(self, config: Config, path: Path | str) -> None:
        self.config, self.path = config, Path(path)
        self.vision_path, self.explore_path = self.path / "vision", self.path / "explore"

    @classmethod
    def start(cls, config: Config, path: Path | str, **info: Any) -> CobraAgent:
        """A new pipeline; `info` goes to its run.json.

        Raises:
            ConfigError: an unknown task, or one whose actions are no numbers in [0, 1]; nothing is written.
            RunError: the folder holds something already.
        """
        agent = cls(config, path)
        places = [(config.exploration_task, TRAIN), *((task, mode) for task in config.tasks for mode in MODES)]
        for task, mode in places:
            action_size(agent.environment(task, mode).arena.build())
        Run.create(path, config, kind="cobra", **info)
        return agent

    @classmethod
    def open(cls, path: Path | str) -> CobraAgent:
        """The pipeline in a folder.

        Raises:
            RunError: there is none.
        """
        run = Run.open(path)
        config = run.config()
        if not isinstance(config, cls.Config):
            raise RunError(f"'{path}' is no pipeline of COBRA, but a {type(config).__name__}", "its folder")
        return cls(config, path)

    def run(self) -> Literal["finished", "interrupted"]:
        """Do everything that is still to do: all stages in order, then the evaluation of every task.

        Returns:
            Whether it is finished, or a signal stopped it.

        Raises:
            RunError: another process does it.
        """
        run = Run.open(self.path)
        with run.lock():
            run.update(status="running", error=None)
            try:
                status = self._run()
            except BaseException as error:
                interrupted = isinstance(error, KeyboardInterrupt)
                reason = None if interrupted else f"{type(error).__name__}: {error}".splitlines()[0]
                with suppress(PerceptsError):  # Where this fails, too, it must not hide what came first.
                    run.update(status="interrupted" if interrupted else "failed", error=reason)
                raise
            run.update(status=status, **({"ended": now()} if status == "finished" else {}))
        return status

    def _run(self) -> Literal["finished", "interrupted"]:
        vision = self.train_vision()
        if vision is not None and vision.status == "interrupted":
            return "interrupted"
        if self.explore().status == "interrupted":
            return "interrupted"
        for task in self.config.tasks:
            if self.train_task(task).status == "interrupted":
                return "interrupted"
            for mode in MODES:
                if mode not in self.scores().get(task, {}):
                    self.evaluate(task, mode)
        return "finished"

    def train_vision(self) -> Outcome | None:
        """Train the vision, or go on with it; None where there is nothing to train.

        Raises:
            RunError: another process trains it.
        """
        if self.config.vision is None:
            return None
        run = Run(self.vision_path)
        if not run.info_file.exists():
            experiment = dataclasses.replace(self.config.vision, seed=self.config.seed)
            run, _ = experiments.start(experiment, self.vision_path, stage="vision")
        info = run.info()
        if info["status"] == "finished":  # Also by its time limit: later stages are built on what it is then.
            speed = info.get("images_per_second", 0.0)
            return Outcome(info.get("stopped_by", "finished"), info["step"], info["seconds"], speed)
        return experiments.train(run, run.config())

    def explore(self) -> stages.StageOutcome:
        """Explore, or go on with it: the transition model and the exploration policy.

        Raises:
            RunError: the vision that it needs is not trained; else as of `stages.carry_out`.
        """
        settings = ExplorationRun(
            environment=self.environment(self.config.exploration_task),
            encoder=self.config.encoder,
            exploration=self.config.exploration,
            seed=self.config.seed,
        )
        stage = stages.Stage("exploration", self.explore_path, settings, self._seen_by("the exploration"))
        with computing(self.config.threads):
            return stages.carry_out(stage, lambda: settings.build_learning(self.encoder(), self._device))

    def train_task(self, task: str) -> stages.StageOutcome:
        """Learn a task of the configuration, or go on with it.

        Raises:
            ConfigError: another task.
            RunError: the exploration is not finished; else as of `stages.carry_out`.
        """
        stage, settings = self.task_stage(task), self._task_run(task)
        with computing(self.config.threads):
            return stages.carry_out(stage, lambda: settings.build_learning(*self.frozen(), self._device))

    def evaluate(
        self, task: str, mode: str = TRAIN, episodes: int | None = None, planner: Planner | None = None
    ) -> Score:
        """How well the agent does a task that it has learned. It is written to evaluation.json under the task and mode
        where episodes and planner are those of the configuration.

        Args:
            task: one of the configuration's.
            mode: "train", or the held-out "test".
            episodes: None: as configured.
            planner: another search; None: as configured.

        Raises:
            ConfigError: another task or mode, or no episodes.
            RunError: the task is not learned yet.
        """
        environment = self.environment(task, mode)
        with computing(self.config.threads):
            agent, learned = self.agent(task, planner), self._learned(task)
            count = self.config.episodes if episodes is None else episodes
            score = evaluate(agent, environment, count, self.config.seed)
        if planner is None and episodes in (None, self.config.episodes):
            note_score(self.path, task, mode, score, learned)
        return score

    def agent(self, task: str, planner: Planner | None = None) -> SearchAgent:
        """What acts in a task that was learned.

        Raises:
            ConfigError: another task than the configuration's.
            RunError: it is not learned yet.
        """
        path, settings = self._task_path(task), self._task_run(task)
        fix = advice(self.path, {f"task --task {task}": f"agent.train_task('{task}')"})
        found = stages.read_result(path, "task", "acting in it", fix)
        stages.check(self.task_stage(task), Run(path))
        phase = settings.build_learning(*self.frozen(), self._device).phase
        load_weights(phase.reward, found["reward"], str(path))
        return phase.agent(planner or self.config.planner)

    def task_stage(self, task: str) -> stages.Stage:
        """What identifies the learning of a task, with what it is built on.

        Raises:
            ConfigError: another task than the configuration's.
            RunError: the exploration is not finished, or saw through another vision than the one that is there.
        """
        settings, needed = self._task_run(task), f"the task {task}"
        explored, seen_by = stages.fingerprint(self.explore_path, needed, self._next_step), self._seen_by(needed)
        stages.check_built_on(Run(self.explore_path), seen_by)
        return stages.Stage("task", self._task_path(task), settings, seen_by | {"exploration": explored})

    def curve(self, task: str, mode: str = TRAIN) -> Curve:
        """Success by rewarded steps, as far as the task was learned."""
        key = f"{mode}/success"
        entries = Run(self._task_path(task)).metrics()
        return Curve(tuple((entry["step"], entry[key]) for entry in entries if key in entry))

    def scores(self) -> dict[str, dict[str, Any]]:
        """What evaluation.json says of the tasks as they are learned now: scores by task and mode."""
        scores = read_scores(self.path)
        return {task: found for task in scores if (found := of_learned(scores[task], self._learned(task)))}

    def status(self) -> dict[str, str]:
        """What became of every stage, in their order: "missing", "running", "interrupted", "failed" or "finished"."""
        paths = {"vision": self.vision_path} if self.config.vision is not None else {}
        paths |= {"explore": self.explore_path}
        paths |= {f"tasks/{task}": self._task_path(task) for task in self.config.tasks}
        return {name: stages.status_of(path) for name, path in paths.items()}

    def environment(self, task: str, mode: str = TRAIN) -> SpriteworldConfig:
        """A task's environment as this pipeline sees it."""
        found = task_config(task, mode, self.config.noise)
        return dataclasses.replace(found, observer=self.config.observer)

    def encoder(self) -> SlotEncoder:
        """What makes slots, as the stage "vision" left it; where the exploration fine-tunes it, `frozen` has it after.

        Raises:
            RunError: it is to be trained first.
        """
        chosen = self.config.encoder
        if not isinstance(chosen, TrainedVision):
            return chosen.build()
        self._seen_by("the encoder")
        model, _, checkpoint = experiments.load(Run.open(self.vision_path))
        model, trained = model.to(self._device), checkpoint.step
        if chosen.kind == "single":
            return SingleSlot(model, trained=trained)
        return ModelSlots(model, chosen.full_share, trained=trained)

    def frozen(self) -> tuple[SlotEncoder, SlotTransition, Explorer]:
        """What the exploration leaves to the tasks: encoder, transition model and exploration policy.

        Raises:
            RunError: it is not finished, or saw through another vision than the one that is there.
        """
        found = stages.read_result(self.explore_path, "exploration", "the next stage", self._next_step)
        encoder = self.encoder()
        stages.check_built_on(Run(self.explore_path), self._seen_by("the next stage"))
        if found.get("vision") is not None:
            encoder = with_vision(encoder, found["vision"], str(self.explore_path))
        sizes = {"latents": encoder.latents, "action": int(found["action"])}
        transition = self.config.exploration.transition.build(**sizes)
        explorer = self.config.exploration.explorer.build(**sizes)
        load_weights(transition, found["transition"], str(self.explore_path))
        load_weights(explorer, found["explorer"], str(self.explore_path))
        return encoder, transition.to(self._device), explorer.to(self._device)

    def _task_run(self, task: str) -> TaskRun:
        if task not in self.config.tasks:
            close = nearest(task, self.config.tasks)
            raise ConfigError(
                f"the task '{task}' is not in this pipeline" + (f", did you mean '{close}'?" if close else ""),
                "one of " + ", ".join(self.config.tasks),
            )
        return TaskRun(
            environment=self.environment(task, TRAIN),
            held_out=self.environment(task, TEST),
            encoder=self.config.encoder,
            phase=self.config.tasks[task],
            curve=self.config.curve,
            curve_episodes=self.config.curve_episodes,
            planner=self.config.planner,
            seed=self.config.seed,
        )

    def _learned(self, task: str) -> str | None:
        """What identifies an agent that has learned a task, with what it is built on; None where there is none."""
        path = self._task_path(task)
        if stages.status_of(path) != "finished":
            return None
        built_on = Run(path).info().get("built_on") or {}
        parts = [stages.fingerprint(path, "its scores", ""), *(f"{name} {built_on[name]}" for name in sorted(built_on))]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def _task_path(self, task: str) -> Path:
        return self.path / "tasks" / task

    @property
    def _next_step(self) -> str:
        vision = self.config.vision is not None and stages.status_of(self.vision_path) != "finished"
        first = {"vision": "agent.train_vision()"} if vision else {}
        return advice(self.path, first | {"explore": "agent.explore()"})

    def _seen_by(self, needed_for: str) -> dict[str, str]:
        """The fingerprint of the trained vision, where there is one."""
        if self.config.vision is None:
            return {}
        run = Run(self.vision_path)
        status = stages.status_of(self.vision_path)
        if status != "finished" or not checkpoints(run.checkpoints):
            what = "was not begun" if status == "missing" else f"is {status}"
            raise RunError(f"the stage 'vision' {what}, and {needed_for} needs it", "a trained one", self._next_step)
        newest, _ = latest_intact(run.checkpoints)
        return {"vision": newest.manifest()["files"]["model.safetensors"]}

    @property
    def _device(self) -> torch.device:
        return device_of(self.config.device)
