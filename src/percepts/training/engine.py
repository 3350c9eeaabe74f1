"""The one training engine: any model with `losses`, any number of parameter groups, on any number of processes.

    engine = Engine(model, dataset, Training(steps=1000), seed=0, run=run)
    outcome = engine.fit()

Step n sees global batch n and random numbers of (seed, n), whatever the number of processes and micro-batches. A run
that is stopped and resumed therefore ends with the same bits as an unbroken one.
"""

from __future__ import annotations

import math
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

import torch
from accelerate.utils import broadcast_object_list
from accelerate.utils import reduce as reduce_over_processes
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from percepts.core.capabilities import Batch, Diagnoses, Losses
from percepts.core.config import type_name
from percepts.core.errors import CheckpointError, ConfigError
from percepts.core.progress import ProgressLine
from percepts.core.random import derive_seed
from percepts.core.runs import Run
from percepts.data.dataset import ImageDataset
from percepts.data.stream import Stream, StreamConfig
from percepts.training.checkpoint import Checkpoint, load_weights, prune, read_weights, save_checkpoint
from percepts.training.checks import FiniteGuard, check_settings, memory_guard, parameter_groups
from percepts.training.settings import Training
from percepts.training.setup import StopSignal, device_of, prepare_model, processes, settle_process
from percepts.training.step import TrainingStep, shared_values
from percepts.training.trackers import TensorBoard

Hook = Callable[[torch.nn.Module, int], dict[str, Any]]
"""Called with the model (its moving average where one is kept) and the step; returns named values to log."""


RECENT, SPACING = 128, 20
"""How many of the last log entries a model sees when it is asked for signs of trouble, and their least distance in
steps: however often a run is logged, they reach back by 2500 steps or more."""


class TrainingWarning(UserWarning):
    """Training goes on, but its log shows a sign of trouble."""


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
        settle_process(training)
        self.world = processes(training.device)
        self.device = device_of(training.device)
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
        check_settings(training, self.groups, self.batch_size, self.world.num_processes)
        self.torch_optimizers = {name: self.optimizers[name].over(group) for name, group in self.groups.items()}
        self.step = 0
        self.seconds = 0.0
        self.best: tuple[float, int] | None = None
        self.guard = FiniteGuard(self.device)
        self.tracker: TensorBoard | None = None
        self.recent: deque[dict[str, Any]] = deque(maxlen=RECENT)
        self.warned: dict[str, str] = {}

    def fit(self) -> Outcome:
        """Train until the last step, the time limit, or a polite signal; always leave a checkpoint behind."""
        started, first, before = time.monotonic(), self.step, self.seconds
        with ExitStack() as closing, StopSignal() as stop:
            line = ProgressLine(self.training.steps, "images", "step", self.batch_size, self.step)
            line.visible = line.visible and self.world.is_main_process and self.run is not None
            closing.callback(line.close)
            if self.training.tensorboard and self.run is not None and self._writes:
                self.tracker = TensorBoard(self.run.path, self.step)
                closing.callback(self.tracker.close)
            self.model.train()
            self._recall()
            ending = self._ending(stop)
            batches = self.batches()
            while ending is None:
                with memory_guard(self.model, self.batch_size, self.training.accumulate):
                    losses = self.train_step(next(batches))
                self.seconds = before + time.monotonic() - started
                better = False
                if self.step % self.training.log_every == 0 or self.step == self.training.steps:
                    better = self._log(losses, self._rate(first, started), line)
                if self.training.evaluate_every and self.step % self.training.evaluate_every == 0:
                    better = self._evaluate() or better
                line.update(self.step)
                ending = self._ending(stop)
                if ending or better or self.step % self.training.checkpoint_every == 0:
                    self.save()
        if self.training.keep_best is not None and self.best is None and self.step > first:
            warnings.warn(f"keep_best: '{self.training.keep_best}' was never logged as a number", stacklevel=2)
        return Outcome(ending, self.step, self.seconds, self._rate(first, started), stop.number)

    def train_step(self, batch: Batch) -> Losses:
        """One optimisation step on this process's part of a global batch; returns its losses, without gradients.

        Raises:
            NonFiniteError: a loss or gradient is NaN or infinite; the weights are those of the step before. (Off the
                CPU this comes out when the step is logged or saved.)
        """
        parts = self._parts(batch)
        known = self._shared_values(parts)
        for optimizer in self.torch_optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        seen = []
        for number, part in enumerate(parts):
            losses = self._forward(part, self._training_step(number, known))
            self.guard.losses(losses, self.step)
            self._backward(losses)
            seen.append(losses)
        if self.world.num_processes > 1:
            self._average_gradients()
        for name, group in self.groups.items():
            norm = torch.nn.utils.get_total_norm([p.grad for p in group if p.grad is not None])
            self.guard.gradients(norm, name, self.step)
            limit = self.optimizers[name].clip_norm
            if limit is not None:
                torch.nn.utils.clip_grads_with_norm_(group, limit, norm)
        for name, optimizer in self.torch_optimizers.items():
            settings = self.optimizers[name]
            for options in optimizer.param_groups:
                options["lr"] = settings.lr * settings.schedule.factor(self.step, self.training.steps)
            optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.model)
        self.step += 1
        return mean_losses(seen)

    def save(self) -> Checkpoint | None:
        """Write a checkpoint of the present step into the run folder and prune old ones."""
        checkpoint = None
        self.guard.weights(self.groups, self.step)
        if self._writes and self.run is not None:
            resume = {
                "step": self.step,
                "seconds": self.seconds,
                "best": list(self.best) if self.best else None,
                "averaged": int(self.average.n_averaged) if self.average is not None else 0,
                "kinds": {name: optimizer.name for name, optimizer in self.optimizers.items()},
                "optimizers": {name: optimizer.state_dict() for name, optimizer in self.torch_optimizers.items()},
            }
            self.run.sync_log()
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
        kinds = {name: optimizer.name for name, optimizer in self.optimizers.items()}
        if state.get("kinds") != kinds:
            raise CheckpointError(f"'{checkpoint.path}' holds the optimisers {state.get('kinds')}", f"{kinds}")
        for name, optimizer in self.torch_optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
            for parameter, values in optimizer.state.items():
                # Fused kernels pair a weight and its moments by their place in memory.
                for key, value in values.items():
                    if isinstance(value, Tensor) and value.shape == parameter.shape:
                        values[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
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
        layout = torch.channels_last if getattr(self.model, "uses_channels_last", False) else None
        for batch in self.stream.batches(self.step):
            if layout is not None and "image" in batch:
                batch["image"] = batch["image"].contiguous(memory_format=layout)
            yield batch

    def _parts(self, batch: Batch) -> list[Batch]:
        if self.training.accumulate == 1:
            return [batch]
        chunks = {key: value.chunk(self.training.accumulate) for key, value in batch.items()}
        return [{key: pieces[n] for key, pieces in chunks.items()} for n in range(self.training.accumulate)]

    def _forward(self, part: Batch, step: TrainingStep) -> Losses:
        # Layers that draw from torch's global stream (dropout) draw the same again, and in a resumed run.
        torch.manual_seed(derive_seed(self.seed, "global", self.step, step.part))
        with self._autocast():
            losses: Losses = self.model.losses(part, step)
        return losses

    def _training_step(self, number: int, known: list[Tensor] | None) -> TrainingStep:
        parts = self.world.num_processes * self.training.accumulate
        part = self.world.process_index * self.training.accumulate + number
        return TrainingStep(self.step, self.seed, part, parts, self.world.num_processes, known)

    def _shared_values(self, parts: list[Batch]) -> list[Tensor] | None:
        """For accumulated training of a model whose loss compares the images of a batch: what its parts share."""
        if len(parts) == 1 or not getattr(self.model, "couples_batch", False):
            return None
        return shared_values(
            lambda step, number: self._forward(parts[number], step),
            lambda known: [self._training_step(number, known) for number in range(len(parts))],
            self.world.num_processes,
        )

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
        which models with several losses do not have. A parameter without a gradient here may have one elsewhere."""
        parameters = [parameter for group in self.groups.values() for parameter in group]
        flat = [p.new_zeros(p.numel()) if p.grad is None else p.grad.flatten() for p in parameters]
        used = torch.tensor([float(p.grad is not None) for p in parameters], device=self.device)
        means = reduce_over_processes(torch.cat([*flat, used]), "mean")
        *gradients, used = means.split([*(p.numel() for p in parameters), len(parameters)])
        for parameter, gradient, share in zip(parameters, gradients, used.tolist()):
            # Fused kernels pair a weight and its gradient by their place in memory.
            parameter.grad = torch.empty_like(parameter).copy_(gradient.view_as(parameter)) if share else None

    def _rate(self, first: int, started: float) -> float:
        return (self.step - first) * self.batch_size / max(time.monotonic() - started, 1e-9)

    def _log(self, losses: Losses, rate: float, line: ProgressLine) -> bool:
        """Write a line of numbers; whether they are the best yet."""
        self.guard.require(self.step)
        values = {**losses.terms, **{f"loss/{name}": value for name, value in losses.minimise.items()}}
        if len(losses.minimise) == 1:
            values["loss"] = values.pop(f"loss/{next(iter(losses.minimise))}")
        if self.world.num_processes > 1:
            values = {name: reduce_over_processes(value.clone(), "mean") for name, value in values.items()}
        named = {name: value.float().cpu().tolist() for name, value in values.items()}
        rates = {"seconds": round(self.seconds, 3), "images_per_second": round(rate, 1)}
        lr = next(iter(self.torch_optimizers.values())).param_groups[0]["lr"]
        self._write({"step": self.step, **rates, "lr": lr, **named})
        self._diagnose({"step": self.step, **named})
        line.update(self.step, "  ".join(f"{k} {v:.4g}" for k, v in named.items() if isinstance(v, float)))
        return self._is_best(named)

    def _recall(self) -> None:
        """Take up the log of a run that goes on."""
        if self._writes and self.run is not None and isinstance(self.model, Diagnoses) and self.step:
            for line in self.run.metrics():
                spaced = not self.recent or line["step"] >= self.recent[-1]["step"] + SPACING
                if "seconds" in line and spaced and line["step"] <= self.step:
                    self.recent.append(line)
            self.warned = dict(self.run.info().get("warnings", {}))

    def _diagnose(self, entry: dict[str, Any]) -> None:
        """Say once what the model finds wrong with its training; run.json keeps what still holds."""
        if self.recent and entry["step"] < self.recent[-1]["step"] + SPACING:
            return
        self.recent.append(entry)
        if not isinstance(self.model, Diagnoses) or not self.world.is_main_process:
            return
        found = dict(self.model.diagnose(list(self.recent)))
        for name in found.keys() - self.warned.keys():
            warnings.warn(f"step {self.step}: {found[name]}", TrainingWarning, stacklevel=2)
        if self._writes and self.run is not None and found != self.warned:
            self.run.update(warnings=found)
        self.warned = found

    def _evaluate(self) -> bool:
        """Call the hook on the main process and write what it gives; whether that is the best yet."""
        values: dict[str, Any] = {}
        if self.evaluate is not None and self.world.is_main_process:
            model: Any = self.average.module if self.average is not None else self.model
            model.eval()
            with torch.no_grad(), torch.compiler.set_stance("force_eager"):
                values = self.evaluate(model, self.step)
            self.model.train()
        if self.world.num_processes > 1:
            values = broadcast_object_list([values])[0]
        if not values:
            return False
        named = {f"evaluation/{name}": value for name, value in values.items()}
        self._write({"step": self.step, **named})
        return self._is_best(named)

    def _write(self, entry: dict[str, Any]) -> None:
        if self._writes and self.run is not None:
            self.run.log(entry)
            if self.tracker is not None:
                self.tracker.log(entry)

    def _is_best(self, values: dict[str, Any]) -> bool:
        wanted = self.training.keep_best or ""
        value = values.get(wanted.removeprefix("-"))
        if isinstance(value, list):
            raise ConfigError(f"keep_best = {wanted!r}, which is a list of numbers", "the name of a single number")
        if not isinstance(value, int | float) or not math.isfinite(value):
            return False
        signed = -value if wanted.startswith("-") else value
        if self.best is not None and signed >= self.best[0]:
            return False
        self.best = (float(signed), self.step)
        return True

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


def mean_losses(parts: Sequence[Losses]) -> Losses:
    """The losses of a batch from those of its equal parts, without gradients."""

    def mean(values: Sequence[Tensor]) -> Tensor:
        return values[0].detach() if len(values) == 1 else torch.stack([value.detach() for value in values]).mean(0)

    return Losses(
        {name: mean([part.minimise[name] for part in parts]) for name in parts[0].minimise},
        {name: mean([part.terms[name] for part in parts]) for name in parts[0].terms},
    )
