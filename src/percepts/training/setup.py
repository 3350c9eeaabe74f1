"""What is settled before the first step: processes, device, threads, memory layout, precision, signals."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import dataclasses
import os
import signal
import time
import types
from collections.abc import Iterator
from typing import Any, Literal

import torch
from accelerate import PartialState

from percepts.core.errors import ConfigError
from percepts.training.settings import Training


def processes(device: Literal["auto", "cpu", "cuda"] = "auto") -> PartialState:
    """The processes of this run as `accelerate launch` made them (one, without it).

    Raises:
        ConfigError: a GPU is asked for and torch finds none.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device = cuda, and torch finds no GPU", fix="--device cpu, or percepts doctor")
    state = PartialState(cpu=device == "cpu")
    if state.num_processes > 1:
        atexit.unregister(_leave)
        atexit.register(_leave)
    return state


def _leave() -> None:
    """Leave the other processes in order.

    A thread of gloo drops the last tensors a moment after the last exchange, for which it needs Python; where that has
    ended meanwhile, the thread aborts the whole program.
    """
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    time.sleep(0.25)


def device_of(device: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """Where this process computes. accelerate decides once for the whole program; the CPU can still be asked for."""
    return torch.device("cpu") if device == "cpu" else processes(device).device


def prepare_model(model: Any, channels_last: Literal["auto", "yes", "no"], device: torch.device) -> Any:
    """`model` on `device`, its 2-D convolutions channels-last where wanted (noted as `uses_channels_last`)."""
    model = model.to(device)
    convolutions = [part for part in model.modules() if isinstance(part, torch.nn.Conv2d | torch.nn.ConvTranspose2d)]
    model.uses_channels_last = channels_last == "yes" or (channels_last == "auto" and bool(convolutions))
    if model.uses_channels_last:
        for part in convolutions:
            part.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


def settle_process(training: Training) -> None:
    """Apply what `training` asks of the whole process: threads, determinism, memory."""
    if training.threads is not None:
        torch.set_num_threads(training.threads)
    if training.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    if training.keep_memory:
        keep_memory()


@contextlib.contextmanager
def computing(count: int | None) -> Iterator[None]:
    """Let torch compute with so many threads for a while; None: as many as it does. Small networks lose time with more
    than one. Freed memory is kept, then and later."""
    keep_memory()
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(count or before)
        yield
    finally:
        torch.set_num_threads(before)


def keep_memory() -> None:
    """Let the C library keep freed memory for the next tensors instead of giving it back to the system.

    A training step frees and asks for the same megabytes again; by default glibc unmaps large blocks, and the system
    then clears every page anew. Nothing happens where the C library is another one.
    """
    m_trim_threshold, m_mmap_threshold = -1, -3
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(m_mmap_threshold, 32 << 20)  # the largest that glibc accepts
        library.mallopt(m_trim_threshold, 1 << 30)


def settled_precision(training: Training) -> Training:
    """`training` with the precision "auto" decided for this machine."""
    if training.precision != "auto":
        return training
    native = native_bf16(device_of(training.device))
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
