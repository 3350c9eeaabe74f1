"""The one training engine: any model with `losses`, any number of parameter groups, on any number of processes.

    engine = Engine(model, dataset, Training(steps=1000), seed=0, run=run)
    outcome = engine.fit()

Step n sees global batch n and random numbers of (seed, n), whatever the number of processes and micro-batches. A run
that is stopped and resumed therefore ends with the same bits as an unbroken one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

import torch
from accelerate.utils import reduce as reduce_over_processes
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from percepts.core.capabilities import Batch, HasParameterGroups, Losses
from percepts.core.config import type_name
from percepts.core.errors import ConfigError, NonFiniteError
from percepts.core.progress import ProgressLine
from percepts.core.random import derive_seed
from percepts.core.runs import Run
from percepts.data.dataset import ImageDataset
from percepts.data.stream import Stream, StreamConfig
from percepts.training.checkpoint import Checkpoint, load_weights, prune, read_weights, save_checkpoint
from percepts.training.settings import Training
from percepts.training.setup import StopSignal, prepare_model, processes, settle_threads
from percepts.training.step import TrainingStep
from percepts.training.trackers import TensorBoard

Hook = Callable[[torch.nn.Module, int], dict[str, Any]]
"""Called with the model (its moving average where one is kept) and the step; returns named values to log."""


@dataclass(frozen=True)
class Outcome:
    """How a call of `fit` ended."""

    status: Literal["finished", "out of time", "interrupted"]
    step: int
    seconds: float
    images_per_second: float
    signal: int | None = None


class Engine:
    """Trains `model` on `dataset`. Without a run folder nothing is written (useful in tests and benchmarks)."""

    def __init__(
        self,
        model: Any,
        dataset: ImageDataset,
        training: Training,
        sampling: StreamConfig | None = None,
        *,
        seed: int,
        run: Run | None = None,
        evaluate: Hook | None = None,
    ) -> None:
        self.training, self.seed, self.run, self.evaluate = training, seed, run, evaluate
        settle_threads(training)
        self.world = processes(training.device)
        self.device = self.world.device
        self.model: Any = prepare_model(model, training.channels_last, self.device)
        self.average: AveragedModel | None = None
        if training.ema_decay is not None:
            self.average = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(training.ema_decay))
        if training.compile:
            for part in self.model.children():
                part.compile()
        sampling = sampling or StreamConfig()
        self.batch_size = sampling.batch_size
        self.stream = Stream(dataset, sampling, seed, self.device, self.world.process_index, self.world.num_processes)
        self.groups = parameter_groups(self.model)
        self.optimizers = {name: training.group_optimizers.get(name, training.optimizer) for name in self.groups}
        _check(training, self.groups, self.batch_size, self.world.num_processes)
        self.torch_optimizers = {name: self.optimizers[name].over(group) for name, group in self.groups.items()}
        self.step = 0
        self.seconds = 0.0
        self.best: tuple[float, int] | None = None
        self.coupled: bool | None = None

    def fit(self) -> Outcome:
        """Train until the last step, the time limit, or a polite signal; always leave a checkpoint behind."""
        started, first, before = time.monotonic(), self.step, self.seconds
        status: Literal["finished", "out of time", "interrupted"] = "finished"
        self.model.train()
        with ExitStack() as closing, StopSignal() as stop:
            line = ProgressLine(self.training.steps, "images", "step", self.batch_size, self.step)
            line.visible = line.visible and self.world.is_main_process and self.run is not None
            closing.callback(line.close)
            tracker = TensorBoard(self.run.path) if self.training.tensorboard and self.run and self._writes else None
            if tracker is not None:
                closing.callback(tracker.close)
            for batch in self._until_stopped(stop):
                losses = self.train_step(batch)
                self.seconds = before + time.monotonic() - started
                if self.step % self.training.log_every == 0 or self.step == self.training.steps:
                    self._log(losses, self._rate(first, started), line, tracker)
                if self.training.evaluate_every and self.step % self.training.evaluate_every == 0:
                    self._evaluate(tracker)
                line.update(self.step)
                ending = self._ending(stop)
                if ending or self.step % self.training.checkpoint_every == 0:
                    self.save()
                if ending:
                    status = ending
                    break
            else:
                if stop.number is not None:
                    self.save()
                    status = "interrupted"
        return Outcome(status, self.step, self.seconds, self._rate(first, started), stop.number)

    def train_step(self, batch: Batch) -> Losses:
        """One optimisation step on this process's part of a global batch; returns the losses of its last micro-batch.

        Raises:
            NonFiniteError: a loss is NaN or infinite; the weights are those of the step before.
        """
        # Layers that draw from torch's global stream (dropout) draw the same in a resumed run.
        torch.manual_seed(derive_seed(self.seed, "global", self.step, self.world.process_index))
        parts = self._parts(batch)
        known = self._known_means(parts)
        for optimizer in self.torch_optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        for number, part in enumerate(parts):
            with self._autocast():
                losses = self.model.losses(part, self._training_step(number, known))
            if self.device.type == "cpu" or self.step % 50 == 0:
                require_finite(losses, self.step)
            self._backward(losses)
        if self.world.num_processes > 1:
            self._average_gradients()
        for name, optimizer in self.torch_optimizers.items():
            settings = self.optimizers[name]
            if settings.clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(self.groups[name], settings.clip_norm)
            for group in optimizer.param_groups:
                group["lr"] = settings.lr * settings.schedule.factor(self.step, self.training.steps)
            optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.model)
        self.step += 1
        return losses

    def save(self) -> Checkpoint | None:
        """Write a checkpoint of the present step into the run folder and prune old ones."""
        checkpoint = None
        if self._writes and self.run is not None:
            resume = {
                "step": self.step,
                "seconds": self.seconds,
                "best": list(self.best) if self.best else None,
                "averaged": int(self.average.n_averaged) if self.average is not None else 0,
                "optimizers": {name: optimizer.state_dict() for name, optimizer in self.torch_optimizers.items()},
            }
            average = self.average.module.state_dict() if self.average is not None else None
            kind = type_name(type(self.model.config)) if hasattr(self.model, "config") else type(self.model).__name__
            checkpoint = save_checkpoint(
                self.run.checkpoints, self.step, kind, self.model.state_dict(), resume, average
            )
            prune(self.run.checkpoints, self.training.keep_last, {self.best[1]} if self.best else set())
            self.run.update(step=self.step, seconds=round(self.seconds, 3))
        self.world.wait_for_everyone()
        return checkpoint

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from `checkpoint`: weights, moving average, optimisers and counters.

        Raises:
            CheckpointError: it is damaged or of another model.
        """
        load_weights(self.model, checkpoint.weights(), str(checkpoint.path))
        state = checkpoint.resume_state()
        for name, optimizer in self.torch_optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        if self.average is not None:
            load_weights(self.average.module, read_weights(checkpoint.path / "ema.safetensors"), str(checkpoint.path))
            self.average.n_averaged.fill_(state["averaged"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.best = tuple(state["best"]) if state["best"] else None

    @property
    def _writes(self) -> bool:
        return self.run is not None and self.world.is_main_process

    def batches(self) -> Iterator[Batch]:
        """This process's parts of the global batches from the present step on, in the model's memory layout."""
        if self.step >= self.training.steps:
            return
        layout = torch.channels_last if getattr(self.model, "uses_channels_last", False) else None
        for batch in self.stream.batches(self.step):
            if layout is not None and "image" in batch:
                batch["image"] = batch["image"].contiguous(memory_format=layout)
            yield batch

    def _until_stopped(self, stop: StopSignal) -> Iterator[Batch]:
        """The batches; they end early where a signal to the whole process group has killed the loader's workers."""
        batches = self.batches()
        while True:
            try:
                batch = next(batches)
            except StopIteration:
                return
            except RuntimeError:
                if stop.number is None:
                    raise
                return
            yield batch

    def _parts(self, batch: Batch) -> list[Batch]:
        if self.training.accumulate == 1:
            return [batch]
        chunks = {key: value.chunk(self.training.accumulate) for key, value in batch.items()}
        return [{key: pieces[n] for key, pieces in chunks.items()} for n in range(self.training.accumulate)]

    def _training_step(self, number: int, known: list[Tensor] | None) -> TrainingStep:
        parts = self.world.num_processes * self.training.accumulate
        part = self.world.process_index * self.training.accumulate + number
        return TrainingStep(self.step, self.seed, part, parts, self.world.num_processes, known)

    def _known_means(self, parts: list[Batch]) -> list[Tensor] | None:
        """For accumulated training of a model whose loss is not linear in batch means: those means, by a first pass."""
        if len(parts) == 1 or self.coupled is False:
            return None
        seen = []
        with torch.no_grad():
            for number, part in enumerate(parts):
                step = self._training_step(number, None)
                with self._autocast():
                    self.model.losses(part, step)
                seen.append(step.seen_means)
        self.coupled = bool(seen[0])
        return [torch.stack(values).mean(0) for values in zip(*seen)] if self.coupled else None

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.training.precision == "bf16")

    def _backward(self, losses: Losses) -> None:
        if set(losses.minimise) != set(self.groups):
            raise ConfigError(
                f"the model minimises losses for {sorted(losses.minimise)}", f"the groups {sorted(self.groups)}"
            )
        share = 1 / self.training.accumulate
        if len(self.groups) == 1:
            (next(iter(losses.minimise.values())) * share).backward()
            return
        left = len(losses.minimise)
        for name, loss in losses.minimise.items():
            left -= 1
            (loss * share).backward(inputs=self.groups[name], retain_graph=left > 0)

    def _average_gradients(self) -> None:
        """One flat all-reduce. A DistributedDataParallel wrapper would expect one backward pass over all parameters,
        which models with several losses do not have."""
        gradients = [p.grad for group in self.groups.values() for p in group if p.grad is not None]
        flat = reduce_over_processes(torch.cat([gradient.flatten() for gradient in gradients]), "mean")
        for gradient, mean in zip(gradients, flat.split([gradient.numel() for gradient in gradients])):
            gradient.copy_(mean.view_as(gradient))

    def _rate(self, first: int, started: float) -> float:
        return (self.step - first) * self.batch_size / max(time.monotonic() - started, 1e-9)

    def _log(self, losses: Losses, rate: float, line: ProgressLine, tracker: TensorBoard | None) -> None:
        values = {**losses.terms, **{f"loss/{name}": value for name, value in losses.minimise.items()}}
        if len(losses.minimise) == 1:
            values["loss"] = values.pop(f"loss/{next(iter(losses.minimise))}")
        if self.world.num_processes > 1:
            values = {name: reduce_over_processes(value.detach().clone(), "mean") for name, value in values.items()}
        named = {name: value.detach().float().cpu().tolist() for name, value in values.items()}
        rates = {"seconds": round(self.seconds, 3), "images_per_second": round(rate, 1)}
        self._write({"step": self.step, **rates, "lr": self._learning_rate(), **named}, tracker)
        line.update(self.step, "  ".join(f"{k} {v:.4g}" for k, v in named.items() if isinstance(v, float)))
        self._remember_best(named)

    def _learning_rate(self) -> float:
        return next(iter(self.torch_optimizers.values())).param_groups[0]["lr"]

    def _evaluate(self, tracker: TensorBoard | None) -> None:
        if self.evaluate is None:
            return
        model: Any = self.average.module if self.average is not None else self.model
        model.eval()
        with torch.no_grad(), torch.compiler.set_stance("force_eager"):
            values = self.evaluate(model, self.step)
        self.model.train()
        self._write({"step": self.step, **{f"evaluation/{name}": value for name, value in values.items()}}, tracker)
        self._remember_best({f"evaluation/{name}": value for name, value in values.items()})

    def _write(self, entry: dict[str, Any], tracker: TensorBoard | None) -> None:
        if self._writes and self.run is not None:
            self.run.log(entry)
            if tracker is not None:
                tracker.log(entry)

    def _remember_best(self, values: dict[str, Any]) -> None:
        wanted = self.training.keep_best
        if wanted is None or wanted.removeprefix("-") not in values:
            return
        value = float(values[wanted.removeprefix("-")]) * (-1 if wanted.startswith("-") else 1)
        if math.isfinite(value) and (self.best is None or value < self.best[0]):
            self.best = (value, self.step)
            self.save()

    def _ending(self, stop: StopSignal) -> Literal["finished", "out of time", "interrupted"] | None:
        if self.step >= self.training.steps:
            return "finished"
        limit = self.training.max_minutes
        late = limit is not None and self.seconds >= 60 * limit
        if self.world.num_processes > 1:
            # Processes must leave together: they agree every ten steps.
            if self.step % 10:
                return None
            flags = torch.tensor([float(stop.number is not None), float(late)], device=self.device)
            stopped, late = (value > 0 for value in reduce_over_processes(flags, "sum").tolist())
        else:
            stopped = stop.number is not None
        return "interrupted" if stopped else "out of time" if late else None


def parameter_groups(model: torch.nn.Module) -> dict[str, list[torch.nn.Parameter]]:
    """The model's trainable parameters by group; the one group "model" where it names none."""
    named: dict[str, Iterable[torch.nn.Parameter]] = (
        dict(model.parameter_groups()) if isinstance(model, HasParameterGroups) else {"model": model.parameters()}
    )
    return {name: [p for p in parameters if p.requires_grad] for name, parameters in named.items()}


def require_finite(losses: Losses, step: int) -> None:
    """Name the first term that is NaN or infinite.

    Raises:
        NonFiniteError: there is one.
    """
    if all(bool(loss.isfinite()) for loss in losses.minimise.values()):
        return
    bad = next(
        (name, value) for name, value in {**losses.terms, **losses.minimise}.items() if not bool(value.isfinite().all())
    )
    kind = "nan" if bool(bad[1].isnan().any()) else "infinite"
    raise NonFiniteError(
        f"the loss term '{bad[0]}' became {kind} at step {step}; the weights before this step are kept",
        fix="a lower --lr, gradient clipping (--clip-norm 10), or look for bad images in the data",
    )


def _check(training: Training, groups: dict[str, list[torch.nn.Parameter]], batch: int, world: int) -> None:
    unknown = set(training.group_optimizers) - set(groups)
    if unknown:
        raise ConfigError(f"group_optimizers names {sorted(unknown)}", f"some of the model's groups {sorted(groups)}")
    if batch % (world * training.accumulate):
        raise ConfigError(
            f"batch_size = {batch} over {world} processes and {training.accumulate} micro-batches",
            f"a multiple of {world * training.accumulate}",
        )
