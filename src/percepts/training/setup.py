"""What is settled before the first step: processes, device, threads, memory layout, precision, signals."""

from __future__ import annotations

import dataclasses
import signal
import types
from typing import Any, Literal

import torch
from accelerate import PartialState

from percepts.training.settings import Training


def processes(device: Literal["auto", "cpu", "cuda"] = "auto") -> PartialState:
    """The processes of this run as `accelerate launch` made them (one, without it), and this one's device."""
    return PartialState(cpu=device == "cpu")


def prepare_model(model: Any, channels_last: Literal["auto", "yes", "no"], device: torch.device) -> Any:
    """`model` on `device`, its convolution weights channels-last where wanted (noted as `uses_channels_last`)."""
    convolves = any(isinstance(part, torch.nn.Conv2d | torch.nn.ConvTranspose2d) for part in model.modules())
    wanted = channels_last == "yes" or (channels_last == "auto" and convolves)
    model = model.to(device, memory_format=torch.channels_last) if wanted else model.to(device)
    model.uses_channels_last = wanted
    return model


def settle_threads(training: Training) -> None:
    """Apply the thread count and the determinism that `training` asks for."""
    if training.threads is not None:
        torch.set_num_threads(training.threads)
    torch.use_deterministic_algorithms(training.deterministic)


def settled_precision(training: Training) -> Training:
    """`training` with the precision "auto" decided for this machine."""
    if training.precision != "auto":
        return training
    native = native_bf16(processes(training.device).device)
    return dataclasses.replace(training, precision="bf16" if native else "fp32")


def native_bf16(device: torch.device) -> bool:
    """Whether `device` multiplies bfloat16 matrices in hardware; emulation is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in checks)


class StopSignal:
    """Within this context the first SIGINT or SIGTERM only sets `number`; a second SIGINT interrupts at once."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._previous: dict[int, object] = {}

    def __enter__(self) -> StopSignal:
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._previous[number] = signal.signal(number, self._note)
            except ValueError:  # Not the main thread: the program around us handles signals.
                break
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _note(self, number: int, frame: types.FrameType | None) -> None:
        if self.number is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.number = number
