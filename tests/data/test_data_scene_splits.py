"""Which records the splits of papers have."""

from __future__ import annotations

import pytest
import torch

from percepts.core.errors import ConfigError, DataError
from percepts.data.scene_splits import passing, split_rows

MILLION = torch.ones(1_000_000, dtype=torch.bool)
CLEVR = torch.ones(100_000, dtype=torch.bool)
CLEVR6 = torch.rand(100_000, generator=torch.Generator().manual_seed(0)) < 0.535


@pytest.mark.parametrize(
    ("split", "first", "count"),
    [
        ("all", 0, 1_000_000),
        ("iodine-train", 0, 60_000),
        ("iodine-test", 60_000, 320),
        ("genesis-test", 0, 10_000),
        ("genesis-validation", 10_000, 10_000),
        ("genesis-train", 20_000, 980_000),
        ("addtt-train", 0, 90_000),
        ("addtt-validation", 90_000, 5_000),
        ("addtt-test", 95_000, 5_000),
    ],
)
def test_splits_of_a_million(split: str, first: int, count: int) -> None:
    assert torch.equal(split_rows(split, MILLION), torch.arange(first, first + count))


def test_splits_of_filtered_clevr() -> None:
    train, test = (split_rows(f"iodine-{part}", CLEVR6, 70_000) for part in ("train", "test"))
    assert torch.equal(train, CLEVR6[:70_000].nonzero()[:, 0])
    assert len(test) == 320
    assert test.min() >= 70_000
    assert CLEVR6[test].all()
    parts = [split_rows(f"addtt-{part}", CLEVR6) for part in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [int(CLEVR6.sum()) - 4_000, 2_000, 2_000]
    assert torch.equal(torch.cat(parts), CLEVR6.nonzero()[:, 0])


@pytest.mark.parametrize("convention", ["iodine", "genesis", "addtt"])
def test_no_record_is_in_two_parts(convention: str) -> None:
    parts = ["train", "test"] + (["validation"] if convention != "iodine" else [])
    rows = torch.cat([split_rows(f"{convention}-{part}", CLEVR6, 70_000) for part in parts])
    assert len(rows.unique()) == len(rows)
    assert CLEVR6[rows].all()


def test_a_split_that_a_short_file_does_not_reach_is_refused() -> None:
    with pytest.raises(DataError, match=r"'iodine-test' has none of the 100 records, of which 100 pass"):
        split_rows("iodine-test", torch.ones(100, dtype=torch.bool))


def test_numbers_of_objects() -> None:
    counts = torch.tensor([0, 3, 6, 7])
    assert passing(counts, None).all()
    assert passing(counts, (3, 6)).tolist() == [False, True, True, False]
    for wrong in ((6, 3), (-1, 3)):
        with pytest.raises(ConfigError, match="the least and the most"):
            passing(counts, wrong)
