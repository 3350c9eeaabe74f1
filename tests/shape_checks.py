"""Checks of the shapes in signatures, and of nothing else, for rooms whose other types beartype cannot check."""

from __future__ import annotations

import re
from typing import Any, get_args, get_origin

from beartype import beartype

_SHAPED = re.compile(r"\b(Bool|Complex|Float|Inexact|Int|Num|Real|Shaped|UInt)\d*\[")


def shapes_checked(function: Any) -> Any:
    """A function that raises for tensors of other shapes or kinds than its signature says.

    Annotations without a shape are left out: among them are protocols that cannot be checked at run time, and `Self`,
    of which beartype only knows in a whole class, while jaxtyping decorates method by method.
    """
    notes = getattr(function, "__annotations__", None) or {}
    kept = {name: part for name, note in notes.items() if (part := _shaped(note)) is not None}
    if not kept:
        return function
    function.__annotations__ = kept
    return beartype(function)


def _shaped(note: Any) -> Any:
    """What is checked of an annotation; None for nothing."""
    if not _SHAPED.search(note if isinstance(note, str) else repr(note)):
        return None
    if get_origin(note) is tuple:
        return tuple[tuple(part if part is ... else (_shaped(part) or object) for part in get_args(note))]
    return note
