"""What is settled for a whole process: threads and memory."""

from __future__ import annotations

import pytest
import torch

from percepts.training import setup
from percepts.training.setup import computing


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("count", "meant"), [(1, 1), (3, 3), (None, 2)])
def test_threads_are_as_asked_for_a_while(count: int | None, meant: int):
    with computing(count):
        assert torch.get_num_threads() == meant
        with computing(4):
            assert torch.get_num_threads() == 4
        assert torch.get_num_threads() == meant
    assert torch.get_num_threads() == 2


def test_threads_are_as_before_after_an_error():
    with pytest.raises(ZeroDivisionError), computing(1):
        _ = 1 / 0
    assert torch.get_num_threads() == 2


def test_freed_memory_is_kept(monkeypatch: pytest.MonkeyPatch):
    kept = []
    monkeypatch.setattr(setup, "keep_memory", lambda: kept.append(True))
    with computing(None):
        assert kept == [True]
