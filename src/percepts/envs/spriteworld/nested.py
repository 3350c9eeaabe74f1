"""Nested values taken apart into tensors and plain data, and put together again by an example of their form."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from percepts.core.errors import CapabilityError

_PLAIN = (bool, int, float, str)


def taken_apart(value: Any, tensors: dict[str, Tensor], name: str = "") -> dict[str, Any]:
    """The plain data in a value, by path; its tensors go to `tensors`, by path.

    Raises:
        CapabilityError: there is something in it that is neither, nor a dataclass, mapping, tuple or list.
    """
    if isinstance(value, Tensor):
        tensors[name] = value
        return {}
    if value is None or isinstance(value, _PLAIN):
        return {name: value}
    return {path: one for key, part in _parts(value, name) for path, one in taken_apart(part, tensors, key).items()}


def filled(example: Any, plain: Mapping[str, Any], tensors: Mapping[str, Tensor], name: str = "") -> Any:
    """A value of the form of `example` with what `taken_apart` found in another; tensors on the example's devices.

    Raises:
        CapabilityError: that one had another form.
    """
    if isinstance(example, Tensor):
        if name not in tensors or (tensors[name].shape, tensors[name].dtype) != (example.shape, example.dtype):
            raise CapabilityError(f"no tensor {list(example.shape)} of {example.dtype} at '{name}'")
        return tensors[name].to(example.device)
    if example is None or isinstance(example, _PLAIN):
        if name not in plain or type(plain[name]) is not type(example):
            raise CapabilityError(f"no {type(example).__name__} at '{name}'")
        return plain[name]
    parts = {key: filled(part, plain, tensors, key) for key, part in _parts(example, name)}
    values = list(parts.values())
    if dataclasses.is_dataclass(example) and not isinstance(example, type):
        return dataclasses.replace(example, **dict(zip(_names(example), values)))
    if isinstance(example, Mapping):
        return dict(zip(example, values))
    if hasattr(example, "_fields"):
        return type(example)(*values)
    return type(example)(values)


def _parts(value: Any, name: str) -> list[tuple[str, Any]]:
    """The parts of a value with their paths."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(f"{name}/{field}", getattr(value, field)) for field in _names(value)]
    if isinstance(value, Mapping):
        return [(f"{name}/{key}", part) for key, part in value.items()]
    if isinstance(value, tuple | list):
        return [(f"{name}/{number}", part) for number, part in enumerate(value)]
    raise CapabilityError(f"a {type(value).__name__} at '{name}'", "tensors and plain data")


def _names(value: Any) -> list[str]:
    """Of the fields that a dataclass is made of; what does not count when two are compared is no part of it."""
    return [field.name for field in dataclasses.fields(value) if field.init and field.compare]
