"""Checkpoints: safetensors weights, the exact resume state, and a manifest that proves both are whole.

    checkpoints/step-00001000/
        model.safetensors      the weights
        ema.safetensors        their moving average, where the run keeps one
        resume.pt              optimiser state and counters (plain tensors and numbers, never other objects)
        manifest.json          format, step, model type, and the SHA-256 of each file

A checkpoint appears whole or not at all: it is written beside, pushed to the disk, and renamed into place.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from percepts.core.errors import CheckpointError
from percepts.core.files import atomic_folder, sha256, write_error, write_json

FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint folder on disk."""

    path: Path

    @property
    def step(self) -> int:
        """The number of optimisation steps that it holds."""
        return int(self.path.name.removeprefix("step-"))

    def manifest(self) -> dict[str, Any]:
        """What manifest.json says."""
        try:
            data = json.loads((self.path / "manifest.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CheckpointError(f"checkpoint '{self.path}' has no readable manifest.json ({error})") from error
        if not isinstance(data, dict) or not isinstance(data.get("files"), dict) or data.get("step") != self.step:
            raise CheckpointError(f"checkpoint '{self.path}' has a damaged manifest.json", "the one that was written")
        return data

    def verify(self) -> None:
        """Check every file against the manifest.

        Raises:
            CheckpointError: a file is missing or was changed.
        """
        manifest = self.manifest()
        if manifest.get("format") != FORMAT:
            raise CheckpointError(f"checkpoint '{self.path}' has format {manifest.get('format')}", f"format {FORMAT}")
        for name, expected in manifest["files"].items():
            file = self.path / name
            if not file.is_file() or sha256(file) != expected:
                raise CheckpointError(
                    f"checkpoint '{self.path}' is damaged: {name} is {'changed' if file.is_file() else 'missing'}",
                    fix="use another checkpoint of the run (percepts runs show lists them), and delete this one",
                )

    def weights(self, ema: bool = False) -> dict[str, Tensor]:
        """The weights (or their moving average) on the CPU, checked against the manifest."""
        self.verify()
        return read_weights(self.path / ("ema.safetensors" if ema else "model.safetensors"))

    def resume_state(self) -> dict[str, Any]:
        """The optimiser state and counters; only tensors and plain values are ever read."""
        self.verify()
        try:
            return torch.load(self.path / "resume.pt", map_location="cpu", weights_only=True)
        except Exception as error:
            raise CheckpointError(f"the resume state of '{self.path}' cannot be read ({error})") from error


def save_checkpoint(
    folder: Path,
    step: int,
    model_type: str,
    weights: dict[str, Tensor],
    resume: dict[str, Any],
    ema: dict[str, Tensor] | None = None,
) -> Checkpoint:
    """Write the checkpoint of `step` into `folder`, whole or not at all.

    Raises:
        PerceptsError: the disk is full or not writable; earlier checkpoints are untouched.
    """
    target = folder / f"step-{step:08d}"
    weights, ema = on_cpu(weights), None if ema is None else on_cpu(ema)
    with atomic_folder(target) as temporary:
        try:
            safetensors.torch.save_file(weights, temporary / "model.safetensors")
            if ema is not None:
                safetensors.torch.save_file(ema, temporary / "ema.safetensors")
            torch.save(resume, temporary / "resume.pt")
            files = {file.name: sha256(file) for file in sorted(temporary.iterdir())}
            manifest = {"format": FORMAT, "step": step, "model": model_type, "files": files}
            write_json(temporary / "manifest.json", manifest)
        except (OSError, safetensors.SafetensorError, RuntimeError) as error:
            # torch and safetensors report a full disk as errors of their own.
            reason = error if isinstance(error, OSError) else OSError(str(error).splitlines()[0])
            raise write_error(target, reason) from error
    return Checkpoint(target)


def checkpoints(folder: Path) -> list[Checkpoint]:
    """The checkpoints in `folder`, oldest first."""
    return [Checkpoint(path) for path in sorted(folder.glob("step-*")) if path.is_dir()]


def latest_intact(folder: Path) -> tuple[Checkpoint, list[str]]:
    """The newest checkpoint whose files are whole, and what was wrong with newer ones.

    Raises:
        CheckpointError: there is none.
    """
    problems: list[str] = []
    for checkpoint in reversed(checkpoints(folder)):
        try:
            checkpoint.verify()
        except CheckpointError as error:
            problems.append(str(error))
        else:
            return checkpoint, problems
    raise CheckpointError(f"no intact checkpoint in '{folder}'" + "".join(f"; {problem}" for problem in problems))


def set_aside_after(folder: Path, step: int) -> None:
    """Rename the checkpoints of steps after `step` to "damaged-…": a run that resumes from `step` writes them anew."""
    for checkpoint in checkpoints(folder):
        if checkpoint.step > step:
            aside = folder / f"damaged-{checkpoint.path.name}"
            shutil.rmtree(aside, ignore_errors=True)
            checkpoint.path.rename(aside)


def prune(folder: Path, keep_last: int, keep: set[int]) -> None:
    """Delete all but the newest `keep_last` checkpoints and those of the steps in `keep`, and leftovers of crashes."""
    for checkpoint in checkpoints(folder)[: -keep_last or None]:
        if checkpoint.step not in keep:
            shutil.rmtree(checkpoint.path, ignore_errors=True)
    for leftover in [*folder.glob(".step-*.tmp"), *folder.glob(".step-*.old")]:
        shutil.rmtree(leftover, ignore_errors=True)


def on_cpu(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous copies on the CPU, as safetensors stores them (the memory format is not kept)."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in weights.items()}


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file on the CPU.

    Raises:
        CheckpointError: missing, or not a whole safetensors file (a pickle is refused unread).
    """
    if path.suffix != ".safetensors":
        raise CheckpointError(
            f"'{path.name}' is not a safetensors file; pickled weights can run code and are never read",
            fix="convert it with safetensors.torch.save_file where it is trusted",
        )
    try:
        return safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"cannot read weights from '{path}' ({error})", "a whole safetensors file") from error


def load_weights(model: torch.nn.Module, weights: dict[str, Tensor], source: str) -> None:
    """Put `weights` into `model`.

    Raises:
        CheckpointError: they belong to another model; the message names the first differences. The model is unchanged.
    """
    own = model.state_dict()
    problems = [f"no {name}" for name in own if name not in weights]
    problems += [f"an unknown {name}" for name in weights if name not in own]
    problems += [
        f"{name} of shape {tuple(weights[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in own.items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    if problems:
        more = f" and {len(problems) - 3} more differences" if len(problems) > 3 else ""
        raise CheckpointError(
            f"'{source}' holds the weights of another model: it has {', '.join(problems[:3])}{more}",
            f"the weights of a {type(model).__name__} with this configuration",
        )
    model.load_state_dict(weights)
