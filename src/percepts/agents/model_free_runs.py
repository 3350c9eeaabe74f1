"""Trainings of model-free baselines in run folders: stopped at any moment, they go on as if they had not been.

    settings = ModelFreeRun(model=ModelFree.Config(steps=1000), world=cobra_task("sorting"), seed=0)
    baseline = train_model_free(settings, "runs/sorting-sac")
    baseline.curve()
    open_model_free("runs/sorting-sac").agent()

A folder holds what every run's does (`core.runs.Run`), and `evaluation.json`, the points of the curve. Nothing of it
can run code when it is read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from percepts.agents.cobra.slots import SlotEncoder
from percepts.agents.model_free import ModelFree
from percepts.agents.model_free_learners import check
from percepts.core.config import Config, flatten
from percepts.core.errors import RunError
from percepts.core.files import write_json
from percepts.core.progress import ProgressLine
from percepts.core.results import plain
from percepts.core.runs import Run
from percepts.envs.spriteworld.configs import SpriteworldConfig
from percepts.training.checkpoint import checkpoints, latest_intact, prune, set_aside_after


@dataclass(frozen=True, kw_only=True)
class ModelFreeRun(Config):
    """A training and where it takes place.

    Attributes:
        model: the learner and its budget.
        world: the task.
        held_out: what is evaluated beside it.
        seed: of everything.
        save_every: rewarded steps between two checkpoints, of which the newest two are kept.
    """

    model: ModelFree.Config = field(default_factory=ModelFree.Config)
    world: SpriteworldConfig
    held_out: SpriteworldConfig | None = None
    seed: int = 0
    save_every: int = 1000

    def __post_init__(self) -> None:
        check("save_every", self.save_every, self.save_every >= 1, "1 or more")


def train_model_free(
    settings: ModelFreeRun,
    folder: Path | str,
    encoder: SlotEncoder | None = None,
    device: torch.device | str = "cpu",
    log: Callable[[dict[str, float]], None] | None = None,
) -> ModelFree:
    """Train in a new folder, or go on in that of the same training.

    Args:
        settings: of the training.
        folder: of the run.
        encoder: for a learner that sees "slots"; not it, but its fingerprint is kept in the folder.
        device: of the learner's networks.
        log: called with every entry of the log.

    Raises:
        RunError: the folder holds another training, one that saw through another encoder, or something else; or another
            process writes to it.
        CheckpointError: it has checkpoints, and none of them is whole.
        NonFiniteError: a loss or a weight became NaN or infinite; the checkpoints stay.
    """
    folder = Path(folder)
    baseline = _built(settings, encoder, device)
    if (folder / "run.json").exists():
        run = _resumed(folder, settings, baseline.vision)
    else:
        run = Run.create(folder, settings, kind="agent", vision=baseline.vision)
    with run.lock():
        _go_on(run, baseline)
        run.update(status="running")
        try:
            _train(run, baseline, settings, log)
        except KeyboardInterrupt:
            run.update(status="interrupted")
            raise
        except BaseException:
            run.update(status="failed")
            raise
        run.update(status="finished")
    return baseline


def open_model_free(
    folder: Path | str, encoder: SlotEncoder | None = None, device: torch.device | str = "cpu"
) -> ModelFree:
    """The training in a run folder as its newest whole checkpoint has it.

    Args:
        folder: of the run.
        encoder: the one that it was trained with, for a learner that sees "slots".
        device: of the learner's networks.

    Raises:
        RunError: it is no run folder, or that of something else, or of a training that saw through another encoder.
        CheckpointError: it has no checkpoint that is whole.
    """
    run = Run.open(folder)
    settings = run.config()
    if not isinstance(settings, ModelFreeRun):
        raise RunError(f"'{folder}' is the run of a {type(settings).__name__}", "one of train_model_free")
    baseline = _built(settings, encoder, device)
    _check_vision(run, baseline.vision)
    baseline.load(latest_intact(run.checkpoints)[0])
    return baseline


def _built(settings: ModelFreeRun, encoder: SlotEncoder | None, device: torch.device | str) -> ModelFree:
    where = {"world": settings.world, "held_out": settings.held_out, "seed": settings.seed}
    baseline: ModelFree = settings.model.build(**where, encoder=encoder, device=device)
    return baseline


def _resumed(folder: Path, settings: ModelFreeRun, vision: str | None) -> Run:
    run = Run.open(folder)
    known, wanted = dict(flatten(run.settings())), dict(flatten(settings))
    for name in [*known, *wanted]:
        if known.get(name) != wanted.get(name):
            raise RunError(
                f"'{folder}' holds a run with {name} = {known.get(name)!r}",
                f"{wanted.get(name)!r}",
                "another folder, or the settings in its config.json",
            )
    _check_vision(run, vision)
    return run


def _check_vision(run: Run, vision: str | None) -> None:
    """Refuse an encoder that is not the one of the run: what was learned means nothing in its slots."""
    begun = run.info().get("vision")
    if begun != vision:
        what = f"the encoder {begun}" if begun else "an encoder that it does not name"
        raise RunError(
            f"'{run.path}' holds a training that saw through {what}, and not through the one given here ({vision})",
            "the same encoder, by its fingerprint",
            "the encoder that it was begun with, or another folder",
        )


def _go_on(run: Run, baseline: ModelFree) -> None:
    """Load the newest whole checkpoint, where there is any, and forget what came after it."""
    if checkpoints(run.checkpoints):
        baseline.load(latest_intact(run.checkpoints)[0])
        set_aside_after(run.checkpoints, baseline.rewarded_steps)
    run.forget_after(baseline.rewarded_steps)


def _train(
    run: Run, baseline: ModelFree, settings: ModelFreeRun, log: Callable[[dict[str, float]], None] | None
) -> None:
    def note(entry: dict[str, float]) -> None:
        run.log(entry)
        if log is not None:
            log(entry)

    kind, done = type(settings.model.learner).__name__, baseline.rewarded_steps
    line = ProgressLine(settings.model.steps, "steps", f"{kind} on {settings.world.name}", start=done)
    while not baseline.finished:
        # A round of the learner may be longer than the distance between two checkpoints.
        until = max(baseline.rewarded_steps // settings.save_every * settings.save_every + settings.save_every,
                    baseline.rewarded_steps + baseline.round)  # fmt: skip
        baseline.run(log=note, until=until, line=line)
        run.sync_log()
        baseline.save(run.checkpoints)
        prune(run.checkpoints, keep_last=2, keep=set())
        write_json(run.path / "evaluation.json", {"points": plain([asdict(point) for point in baseline.points])})
        run.update(step=baseline.rewarded_steps)
    line.close()
