"""An experiment: which model learns from which data, how, and how it is measured. Presets are functions that give one.

run, experiment = start(demo(), "runs/demo")
outcome = train(run, experiment)
model, dataset = load(run)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro

from percepts.core.capabilities import Trainable, require
from percepts.core.config import Config, flatten, to_json
from percepts.core.errors import ConfigError, nearest
from percepts.core.files import write_json
from percepts.core.random import derive_seed
from percepts.core.runs import Run, now, provenance
from percepts.data.cache import Preloaded
from percepts.data.dataset import ImageDataset
from percepts.data.folder import ImageFolder
from percepts.data.stream import StreamConfig
from percepts.training.catalogue import load_rooms
from percepts.training.checkpoint import Checkpoint, checkpoints, latest_intact, load_weights
from percepts.training.engine import Engine, Hook, Outcome
from percepts.training.evaluation import Evaluation, evaluate_model
from percepts.training.settings import Training
from percepts.training.setup import processes, settled_precision


@dataclass(frozen=True, kw_only=True)
class Data(Config):
    """Where the images come from."""

    dataset: Config
    """The preset's data; its settings are the flags below."""
    folder: str | None = None
    """A folder of your own PNG or JPEG files, instead of the preset's data."""
    size: int | None = None
    """Height and width of your images after resizing; None: the preset's size."""
    labels: Literal["none", "folder"] = "none"
    """"folder": your images' folder names are labels, and a linear probe of them is measured."""
    preload: bool = False
    """Hold every image in memory (small data only)."""

    def resolved(self) -> Data:
        """The same with your folder in the place of the preset's data."""
        if self.folder is None:
            return self
        size: int | tuple[int, int] | None = self.size
        if size is None:
            shape = self.dataset.build().image_shape
            size = shape[1] if shape[1] == shape[2] else (shape[1], shape[2])
        own = ImageFolder.Config(path=str(Path(self.folder).expanduser().resolve()), size=size, labels=self.labels)
        return dataclasses.replace(self, dataset=own, folder=None, size=None, labels="none")

    def open(self) -> ImageDataset:
        """The dataset, in memory where `preload` says so."""
        dataset = self.resolved().dataset
        return (Preloaded.Config(dataset=dataset) if self.preload else dataset).build()


@dataclass(frozen=True, kw_only=True)
class Experiment(Config):
    """Everything that determines a run."""

    model: Config
    data: Data
    sampling: Annotated[StreamConfig, tyro.conf.OmitArgPrefixes] = field(default_factory=StreamConfig)
    training: Annotated[Training, tyro.conf.OmitArgPrefixes] = field(default_factory=Training)
    evaluation: Evaluation = field(default_factory=Evaluation)
    seed: int = 0

    def resolved(self) -> tuple[Experiment, ImageDataset]:
        """The same with everything that depends on the data and the machine settled, and the data."""
        data = self.data.resolved()
        dataset = data.open()
        model = self.model
        if getattr(model, "image_shape", dataset.image_shape) != dataset.image_shape:
            model = dataclasses.replace(model, image_shape=dataset.image_shape)  # type: ignore[call-arg]
        training = settled_precision(self.training)
        return dataclasses.replace(self, data=data, model=model, training=training), dataset


@dataclass(frozen=True)
class Preset:
    """A named experiment."""

    name: str
    make: Callable[[], Experiment]

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return (self.make.__doc__ or "").strip().splitlines()[0]


PRESETS: dict[str, Preset] = {}


def preset(make: Callable[[], Experiment]) -> Callable[[], Experiment]:
    """Register a function that gives an experiment; `cci_dsprites` becomes the preset "cci-dsprites"."""
    name = make.__name__.replace("_", "-")
    PRESETS[name] = Preset(name, make)
    return make


def find_preset(name: str) -> Preset:
    """The preset called `name`.

    Raises:
        ConfigError: there is none; the nearest is named.
    """
    if name not in PRESETS:
        close = nearest(name, PRESETS)
        hint = f", did you mean '{close}'?" if close else ""
        raise ConfigError(f"unknown preset '{name}'{hint}", fix="percepts presets")
    return PRESETS[name]


def start(experiment: Experiment, out: Path | str, **info: Any) -> tuple[Run, Experiment]:
    """A new run folder with the resolved experiment. On several processes only the main one writes."""
    world = processes(experiment.training.device)
    resolved, dataset = experiment.resolved()
    build_model(resolved, dataset)  # An experiment that cannot be built leaves no folder behind.
    if world.is_main_process:
        Run.create(out, resolved, **info)
    world.wait_for_everyone()
    return Run.open(out), resolved


def train(run: Run, experiment: Experiment, evaluate: Hook | None = None) -> Outcome:
    """Train the run from its newest intact checkpoint (or the beginning) and keep run.json up to date.

    Raises:
        RunError: another process is writing to the run.
        NonFiniteError: a loss term became NaN or infinite; the run is marked as failed.
    """
    world = processes(experiment.training.device)
    if not world.is_main_process:
        return _train(run, experiment, evaluate)
    with run.lock():
        try:
            run.update(status="running", resumed=now() if checkpoints(run.checkpoints) else None)
            outcome = _train(run, experiment, evaluate)
        except KeyboardInterrupt:
            run.update(status="interrupted")
            raise
        except Exception as error:
            run.update(status="failed", error=f"{type(error).__name__}: {error}")
            raise
        finished = outcome.status != "interrupted"
        run.update(
            status="finished" if finished else "interrupted",
            ended=now(),
            step=outcome.step,
            seconds=round(outcome.seconds, 3),
            images_per_second=round(outcome.images_per_second, 1),
            stopped_by=outcome.status,
            device=str(world.device),
            threads=torch.get_num_threads(),
            processes=world.num_processes,
        )
        return outcome


def _train(run: Run, experiment: Experiment, evaluate: Hook | None) -> Outcome:
    dataset = experiment.data.open()
    model = build_model(experiment, dataset)
    engine = Engine(
        model, dataset, experiment.training, experiment.sampling, seed=experiment.seed, run=run, evaluate=evaluate
    )
    writes = engine.world.is_main_process
    if checkpoints(run.checkpoints):
        checkpoint, problems = latest_intact(run.checkpoints)
        if writes:
            for problem in problems:
                print(f"warning: {problem}; continuing from {checkpoint.path.name}")
            run.forget_after(checkpoint.step)
        engine.restore(checkpoint)
    elif writes:
        run.forget_after(-1)
    return engine.fit()


def load(run: Run, step: int | None = None, ema: bool | None = None) -> tuple[Any, ImageDataset, Checkpoint]:
    """The trained model of a run in evaluation mode (the moving average where it keeps one), its data, its checkpoint.

    Args:
        step: of the checkpoint; None takes the newest intact one.
        ema: load the moving average; None: if there is one.

    Raises:
        CheckpointError: no such checkpoint, or a damaged one.
    """
    load_rooms()
    experiment: Experiment = run.config()
    dataset = experiment.data.open()
    if step is None:
        checkpoint, _ = latest_intact(run.checkpoints)
    else:
        checkpoint = Checkpoint(run.checkpoints / f"step-{step:08d}")
    model = build_model(experiment, dataset)
    averaged = experiment.training.ema_decay is not None if ema is None else ema
    load_weights(model, checkpoint.weights(averaged), str(checkpoint.path))
    return model.eval(), dataset, checkpoint


def measure(run: Run, settings: Evaluation | None = None, step: int | None = None) -> dict[str, Any]:
    """Measure a checkpoint of a run and write the run's evaluation.json.

    Args:
        settings: how; None: as the run's experiment says.
        step: of the checkpoint; None takes the newest intact one.
    """
    model, dataset, checkpoint = load(run, step)
    experiment: Experiment = run.config()
    result = evaluate_model(model, dataset, settings or experiment.evaluation, experiment.seed)
    result = {"step": checkpoint.step, **result, "provenance": provenance()}
    write_json(run.path / "evaluation.json", result)
    return result


def build_model(experiment: Experiment, dataset: ImageDataset) -> Any:
    """The experiment's model with the initial weights of its seed.

    Raises:
        ConfigError: the model's image shape is not the data's.
        CapabilityError: it cannot be trained.
    """
    shape = getattr(experiment.model, "image_shape", dataset.image_shape)
    if shape != dataset.image_shape:
        raise ConfigError(f"a model for images {shape} and data with images {dataset.image_shape}", "equal shapes")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(experiment.seed, "initial weights"))
        model = experiment.model.build()
    return require(model, Trainable, "training")


RESUMABLE = ("training.", "evaluation.")
"""Settings that a resumed run may change, unless they change the numbers of a step."""
FIXED = ("training.optimizer", "training.group_optimizers", "training.accumulate", "training.precision")


def change(run: Run, experiment: Experiment) -> None:
    """Give a run that is about to be resumed other settings, of those that may change.

    Raises:
        ConfigError: a setting that would make it another experiment.
    """
    before, after = dict(flatten(run.config())), dict(flatten(experiment))
    for name in after.keys() | before.keys():
        allowed = name.startswith(RESUMABLE) and not name.startswith(FIXED)
        if before.get(name) != after.get(name) and not allowed:
            raise ConfigError(
                f"resuming with {name} = {after.get(name)} a run that has {before.get(name)}",
                "the same experiment (steps, limits, logging and evaluation may change)",
                "start a new run with --out",
            )
    write_json(run.config_file, to_json(experiment))
