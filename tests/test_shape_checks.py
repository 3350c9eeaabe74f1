"""The checks of shapes that tests run under: what they find, and what they leave out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Protocol, Self

import jaxtyping
import pytest
import torch
from jaxtyping import Float64, Int64
from shape_checks import shapes_checked
from torch import Tensor


class Unchecked(Protocol):
    """Not to be asked for at run time."""


class Kept:
    @jaxtyping.jaxtyped(typechecker=shapes_checked)
    def same(self, other: Self, values: Float64[Tensor, " n"], with_: Unchecked) -> Self:
        return self

    @jaxtyping.jaxtyped(typechecker=shapes_checked)
    def pair(self, values: Float64[Tensor, " n"]) -> tuple[Int64[Tensor, " n"], Self]:
        return values.long()[1:] if len(values) == 3 else values.long(), self


def test_shapes_and_kinds_are_checked_and_nothing_else() -> None:
    kept, good = Kept(), torch.zeros(2, dtype=torch.float64)
    assert kept.same("no Kept", good, None) is kept
    for wrong in (good.float(), good[None], None):
        with pytest.raises(jaxtyping.TypeCheckError):
            kept.same(kept, wrong, None)


def test_parts_of_what_is_returned_are_checked() -> None:
    assert len(Kept().pair(torch.zeros(2, dtype=torch.float64))) == 2
    with pytest.raises(jaxtyping.TypeCheckError):
        Kept().pair(torch.zeros(3, dtype=torch.float64))


def test_they_are_on_where_they_are_asked_for() -> None:
    code = """
import conftest, jaxtyping, torch
from percepts.envs.spriteworld.state import Sprites
try:
    Sprites.of(torch.ones(2, 3, 10), torch.zeros(2, 3, dtype=torch.bool))
    print("taken")
except jaxtyping.TypeCheckError:
    print("refused")
"""
    for asked, said in (("1", "refused"), ("", "taken")):
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True, check=True,
            env=os.environ | {"PERCEPTS_ALL_SHAPES": asked},
        )  # fmt: skip
        assert done.stdout.strip() == said
