"""An experiment: which model learns from which data, how, and how it is measured. Presets are functions that give one.

run, experiment = start(demo(), "runs/demo")
outcome = train(run, experiment)
model, dataset = load(run)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro

from percepts.core.capabilities import Trainable, require
from percepts.core.config import Config, flatten, to_json
from percepts.core.errors import ConfigError, RunError, nearest
from percepts.core.files import write_json
from percepts.core.random import derive_seed
from percepts.core.runs import Run, now, provenance
from percepts.data.cache import Preloaded
from percepts.data.dataset import ImageDataset
from percepts.data.folder import ImageFolder
from percepts.data.stream import StreamConfig
from percepts.training.catalogue import load_rooms
from percepts.training.checkpoint import Checkpoint, checkpoints, latest_intact, load_weights, set_aside_after
from percepts.training.checks import check_settings, parameter_groups
from percepts.training.engine import Engine, Hook, Outcome
from percepts.training.evaluation import Evaluation, evaluate_model
from percepts.training.settings import Training
from percepts.training.setup import device_of, processes, settled_precision


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
    max_unreadable: float = 0.05
    """The largest share of your files that may be damaged; they are skipped and named."""
    cache: str | None = None
    """Where the decoded images are kept; None: in your folder, or in your cache folder where that is read-only."""
    preload: bool = False
    """Hold every image in memory (small data only)."""

    def __post_init__(self) -> None:
        if self.folder is None and self.size is not None:
            raise ConfigError(f"data.size = {self.size} without data.folder", "a folder of pictures to resize")
        if self.size is not None and self.size < 1:
            raise ConfigError(f"data.size = {self.size}", "at least 1 pixel")

    def resolved(self) -> Data:
        """The same with your folder in the place of the preset's data."""
        if self.folder is None:
            return self
        size: int | tuple[int, int] | None = self.size
        if size is None:
            shape = self.dataset.build().image_shape
            size = shape[1] if shape[1] == shape[2] else (shape[1], shape[2])
        own = ImageFolder.Config(
            path=str(Path(self.folder).expanduser().resolve()),
            size=size,
            labels=self.labels,
            max_unreadable=self.max_unreadable,
            cache=self.cache,
        )
        return Data(dataset=own, preload=self.preload)

    def open(self) -> ImageDataset:
        """The dataset, in memory where `preload` says so."""
        dataset = self.resolved().dataset
        return (Preloaded.Config(dataset=dataset) if self.preload else dataset).build()


# Flags lose the name "training" and keep those around the experiment, such as --vision.steps of an agent.
@dataclass(frozen=True, kw_only=True)
class Experiment(Config):
    """Everything that determines a run."""

    model: Config
    data: Data
    sampling: Annotated[StreamConfig, tyro.conf.arg(name="")] = field(default_factory=StreamConfig)
    training: Annotated[Training, tyro.conf.arg(name="")] = field(default_factory=Training)
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


def find_preset(name: str, others: Iterable[str] = ()) -> Preset:
    """The preset called `name`.

    Args:
        others: names that may be meant beside presets.

    Raises:
        ConfigError: there is none; the nearest is named.
    """
    if name not in PRESETS:
        close = nearest(name, (*PRESETS, *others))
        hint = f", did you mean '{close}'?" if close else ""
        raise ConfigError(f"unknown preset '{name}'{hint}", fix="percepts presets")
    return PRESETS[name]


def start(experiment: Experiment, out: Path | str, **info: Any) -> tuple[Run, Experiment]:
    """A new run folder with the resolved experiment. On several processes only the main one writes."""
    world = processes(experiment.training.device)
    resolved, dataset = experiment.resolved()
    # An experiment that cannot run leaves no folder behind.
    groups = parameter_groups(build_model(resolved, dataset))
    check_settings(resolved.training, groups, resolved.sampling.batch_size, world.num_processes)
    if world.is_main_process:
        Run.create(out, resolved, data=dataset.identity, **info)
    world.wait_for_everyone()
    return Run.open(out), resolved


def train(run: Run, experiment: Experiment, evaluate: Hook | None = None) -> Outcome:
    """Train the run from its newest intact checkpoint (or the beginning) and keep run.json up to date.

    Args:
        experiment: the run's own, or one that differs in what a resumed run may change (see `MAY_CHANGE`).
        evaluate: called every `training.evaluate_every` steps; None: a small evaluation of the model.

    Raises:
        RunError: another process is writing to the run.
        ConfigError: `experiment` is another one than the run's.
        NonFiniteError: a loss or gradient became NaN or infinite; the run is marked as failed.
    """
    world = processes(experiment.training.device)
    if not world.is_main_process:
        return _train(run, experiment, evaluate)
    with run.lock():
        try:
            # The command that began the run stays: it is how the run is made again.
            made = provenance()
            resumed = {"resumed": now(), **made, "command": run.info().get("command"), "resumed_by": made["command"]}
            resumed = resumed if checkpoints(run.checkpoints) else {}
            outcome = _train(run, experiment, evaluate)
        except KeyboardInterrupt:
            run.update(status="interrupted")
            raise
        except Exception as error:
            # What fails before training begins (missing data, another setting) leaves the run as it was.
            if run.info()["status"] == "running":
                run.update(status="failed", error=f"{type(error).__name__}: {error}")
            raise
        run.update(
            status="interrupted" if outcome.status == "interrupted" else "finished",
            ended=now(),
            step=outcome.step,
            seconds=round(outcome.seconds, 3),
            **({"images_per_second": round(outcome.images_per_second, 1)} if outcome.images_per_second else {}),
            stopped_by=outcome.status,
            error=None,
            device=str(device_of(experiment.training.device)),
            threads=torch.get_num_threads(),
            processes=world.num_processes,
            **resumed,
        )
        return outcome


def _train(run: Run, experiment: Experiment, evaluate: Hook | None) -> Outcome:
    warn = _check_change(run.config(), experiment)
    dataset = experiment.data.open()
    if run.info().get("data", dataset.identity) != dataset.identity:
        raise RunError(
            f"the data of '{run.path}' has changed ({dataset.identity})", run.info()["data"], "a new run with --out"
        )
    model = build_model(experiment, dataset)
    if evaluate is None and experiment.training.evaluate_every:
        evaluate = small_evaluation(dataset, experiment)
    engine = Engine(
        model, dataset, experiment.training, experiment.sampling, seed=experiment.seed, run=run, evaluate=evaluate
    )
    checkpoint, problems = latest_intact(run.checkpoints) if checkpoints(run.checkpoints) else (None, [])
    if checkpoint is not None:
        engine.restore(checkpoint)
    engine.world.wait_for_everyone()
    if engine.world.is_main_process:
        for line in [*warn, *(f"{problem}; continuing from step {engine.step}" for problem in problems)]:
            print(f"warning: {line}")
        set_aside_after(run.checkpoints, engine.step)
        run.forget_after(engine.step if checkpoint is not None else -1)
        write_json(run.config_file, to_json(experiment))
        run.update(status="running")
    engine.world.wait_for_everyone()
    return engine.fit()


def small_evaluation(dataset: ImageDataset, experiment: Experiment) -> Hook:
    """The evaluation during training: a smaller, faster one than at the end, as named numbers."""
    settings = dataclasses.replace(
        experiment.evaluation, images=2000, exact=False, bootstrap=0, scenes=160, slot_codes=False
    )

    def evaluate(model: Any, step: int) -> dict[str, Any]:
        result = evaluate_model(model, dataset, settings, experiment.seed)
        scores = {name: metric["value"] for name, metric in result["metrics"].items()}
        return {**scores, **result.get("reconstruction", {})}

    return evaluate


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
    return model.to(device_of(experiment.training.device)).eval(), dataset, checkpoint


def measure(run: Run, settings: Evaluation | None = None, step: int | None = None) -> dict[str, Any]:
    """Measure a checkpoint of a run and write the run's evaluation.json.

    Args:
        settings: how; None: as the run's experiment says.
        step: of the checkpoint; None takes the newest intact one.
    """
    model, dataset, checkpoint = load(run, step)
    experiment: Experiment = run.config()
    settings = settings or experiment.evaluation
    result = evaluate_model(model, dataset, settings, experiment.seed)
    result = {"step": checkpoint.step, **result, "settings": to_json(settings), "provenance": provenance()}
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


MAY_CHANGE = (
    "evaluation.",
    *(
        f"training.{name}"
        for name in [
            "steps",
            "max_minutes",
            "log_every",
            "evaluate_every",
            "checkpoint_every",
            "keep_last",
            "keep_best",
            "tensorboard",
            "device",
            "threads",
        ]
    ),
)
"""Settings that a resumed run may change: none of them enters into a step."""


def _check_change(before: Experiment, after: Experiment) -> list[str]:
    """Warnings about the change of a run that is resumed.

    Raises:
        ConfigError: a setting that would make it another experiment.
    """
    old, new = dict(flatten(before)), dict(flatten(after))
    for name in sorted(new.keys() | old.keys()):
        if old.get(name) != new.get(name) and not name.startswith(MAY_CHANGE):
            raise ConfigError(
                f"resuming with {name} = {new.get(name)} a run that has {old.get(name)}",
                "the same experiment (steps, limits, logging and evaluation may change)",
                "start a new run with --out",
            )
    shape = after.training.optimizer.schedule.shape
    if before.training.steps != after.training.steps and shape != "constant":
        return [f"the {shape} learning-rate schedule now ends at step {after.training.steps}: the rate jumps here"]
    return []
