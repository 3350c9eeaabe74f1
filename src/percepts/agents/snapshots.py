"""Nested state as files: tensors in safetensors, everything else as JSON. Nothing is ever unpickled.

    write_snapshot(folder / "step-00000400", curiosity.state_dict())
    curiosity.load_state_dict(read_snapshot(folder / "step-00000400"))

A snapshot appears whole or not at all, and knows the SHA-256 of its tensors.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from percepts.core.errors import CheckpointError
from percepts.core.files import atomic_folder, sha256, write_error, write_json
from percepts.training.checkpoint import on_cpu, read_weights

FORMAT = 1
TENSORS, PLAIN = "state.safetensors", "state.json"
_MARK = "$tensor"

T = TypeVar("T")


def write_snapshot(folder: Path | str, state: Mapping[str, Any], kind: str) -> Path:
    """Write `state` (mappings, lists, tensors, strings, numbers, None) as `folder`, whole or not at all.

    Args:
        kind: what it is the state of; a reader has to ask for the same.

    Raises:
        PerceptsError: the disk is full or not writable; an earlier snapshot there is untouched.
    """
    folder = Path(folder)
    tensors: dict[str, Tensor] = {}
    plain = _without_tensors(state, "", tensors)
    with atomic_folder(folder) as temporary:
        try:
            safetensors.torch.save_file(on_cpu(tensors), temporary / TENSORS)
        except (OSError, safetensors.SafetensorError) as error:
            reason = error if isinstance(error, OSError) else OSError(str(error).splitlines()[0])
            raise write_error(folder, reason) from error
        head = {"format": FORMAT, "kind": kind, "sha256": sha256(temporary / TENSORS)}
        write_json(temporary / PLAIN, {**head, "state": plain})
    return folder


def read_snapshot(folder: Path | str, kind: str) -> dict[str, Any]:
    """What `write_snapshot` wrote, on the CPU.

    Raises:
        CheckpointError: missing, damaged, or the state of something else.
    """
    folder = Path(folder)
    try:
        data = json.loads((folder / PLAIN).read_text(encoding="utf-8"))
        found, wanted = data["kind"], data["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"'{folder}' has no readable {PLAIN} ({error})", "a folder of a saved state") from error
    if data.get("format") != FORMAT or found != kind:
        raise CheckpointError(
            f"'{folder}' is the state of {found!r} in format {data.get('format')}", f"{kind!r} in format {FORMAT}"
        )
    tensors = read_weights(folder / TENSORS)
    if sha256(folder / TENSORS) != wanted:
        raise CheckpointError(f"'{folder / TENSORS}' is damaged", "the file that was written")
    return _with_tensors(data["state"], tensors, folder)


def tensors_of(value: Any) -> dict[str, Any]:
    """The tensors of a dataclass and of the dataclasses in it, by the names of the fields, and nothing else."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(value):
        part = getattr(value, field.name)
        if isinstance(part, Tensor):
            found[field.name] = part
        elif dataclasses.is_dataclass(part):
            found[field.name] = tensors_of(part)
    return found


def with_tensors_of(template: T, tensors: Mapping[str, Any]) -> T:
    """A copy of the dataclass `template` with the tensors that `tensors_of` found in another.

    Raises:
        CheckpointError: they have other names, types or shapes.
    """
    changed: dict[str, Any] = {}
    own = tensors_of(template)
    if own.keys() != tensors.keys():
        raise CheckpointError(f"a saved state of {sorted(tensors)}", f"one of {sorted(own)}")
    for name, part in own.items():
        saved = tensors[name]
        if isinstance(part, Tensor):
            if (saved.shape, saved.dtype) != (part.shape, part.dtype):
                raise CheckpointError(
                    f"a saved {name} of {saved.dtype} {list(saved.shape)}", f"{part.dtype} {list(part.shape)}"
                )
            changed[name] = saved.to(part.device).clone()
        else:
            changed[name] = with_tensors_of(getattr(template, name), saved)
    return dataclasses.replace(template, **changed)  # type: ignore[type-var]


def _without_tensors(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """`value` as JSON; the tensors go to `tensors` by their paths, and marks stand in their places."""
    if isinstance(value, Tensor):
        tensors[name] = value
        return {_MARK: name}
    if isinstance(value, Mapping):
        return {str(key): _without_tensors(part, f"{name}/{key}", tensors) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_tensors(part, f"{name}/{place}", tensors) for place, part in enumerate(value)]
    return value


def _with_tensors(value: Any, tensors: Mapping[str, Tensor], folder: Path) -> Any:
    if isinstance(value, dict):
        if value.keys() == {_MARK}:
            if value[_MARK] not in tensors:
                raise CheckpointError(f"'{folder}' lacks the tensor {value[_MARK]}", "the files that were written")
            # A copy lies in memory as a fresh tensor does, so that kernels add up in the same order.
            return torch.empty_like(tensors[value[_MARK]]).copy_(tensors[value[_MARK]])
        return {key: _with_tensors(part, tensors, folder) for key, part in value.items()}
    if isinstance(value, list):
        return [_with_tensors(part, tensors, folder) for part in value]
    return value
