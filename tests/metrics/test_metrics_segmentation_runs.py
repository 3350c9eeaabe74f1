import numpy as np
import pytest
import torch

from percepts.core.errors import DataError, PerceptsError
from percepts.metrics import align_slots, distinct_explanations


def masks_of(labels: torch.Tensor, slots: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(labels, slots).movedim(-1, 1).float()


def test_permuted_slots_are_found() -> None:
    generator = torch.Generator().manual_seed(0)
    masks = torch.randn(10, 5, 8, 8, generator=generator).mul(3).softmax(dim=1)
    order = torch.stack([torch.randperm(5, generator=generator) for _ in range(10)])
    shuffled = masks.gather(1, order[..., None, None].expand_as(masks))
    found = align_slots(shuffled, masks)
    np.testing.assert_array_equal(found.slot, order.numpy())
    np.testing.assert_allclose(found.iou, 1.0, atol=1e-6)


def test_the_overlap_is_that_of_pixels_where_masks_are_hard() -> None:
    one = masks_of(torch.tensor([[[0, 0, 0, 1]]]), 3)
    other = masks_of(torch.tensor([[[1, 1, 0, 0]]]), 2)
    found = align_slots(one, other)
    np.testing.assert_array_equal(found.slot, [[1, 0, -1]])
    np.testing.assert_allclose(found.iou, [[2 / 3, 1 / 2, 0]])


def test_one_slot() -> None:
    found = align_slots(torch.ones(2, 1, 3, 3), torch.ones(2, 1, 3, 3))
    assert found.slot.tolist() == [[0], [0]]


def test_explanations_are_counted() -> None:
    rows, columns = torch.tensor([[0, 0], [1, 1]]), torch.tensor([[0, 1], [0, 1]])
    clear = torch.tensor([[0, 0], [0, 1]])
    big = [image.repeat_interleave(6, 0).repeat_interleave(6, 1) for image in (rows, columns, clear)]
    runs = torch.stack([torch.stack([big[way], big[2]]) for way in (1, 0, 1, 0, 0)])
    runs[2] = 5 - runs[2]  # names of slots do not matter
    found = distinct_explanations(runs)
    assert found.distinct.tolist() == [2, 1]
    np.testing.assert_allclose(found.frequency, [[0.6, 0.4, 0, 0, 0], [1, 0, 0, 0, 0]])
    assert found.way.tolist() == [[1, 0, 1, 0, 0], [0, 0, 0, 0, 0]]
    assert found.agreement[0, 0, 1] == pytest.approx(0.0, abs=0.05)
    again = distinct_explanations(runs[[4, 2, 0, 1, 3]])
    np.testing.assert_array_equal(again.distinct, found.distinct)
    np.testing.assert_array_equal(again.frequency, found.frequency)


def test_only_the_foreground_counts() -> None:
    runs = torch.zeros(3, 1, 6, 6, dtype=torch.long)
    runs[:, :, 2:4] = 1
    runs[1, :, 4:] = 2
    runs[2, :, 4:] = 3
    runs[2, :, :2] = 1
    objects = torch.zeros(1, 6, 6, dtype=torch.bool)
    objects[:, :4] = True
    assert distinct_explanations(runs).distinct.item() == 3
    found = distinct_explanations(runs.numpy(), foreground=objects.numpy())
    assert found.distinct.item() == 2
    np.testing.assert_allclose(found.frequency, [[2 / 3, 1 / 3, 0]])
    assert distinct_explanations(runs, foreground=torch.zeros(1, 6, 6, dtype=torch.bool)).distinct.item() == 1


def test_chains_of_similar_runs_are_one_way() -> None:
    """Eight runs, each a little further from the first; neighbours agree, the ends do not."""
    columns = torch.arange(100)
    runs = torch.stack([(columns < 40 + 2 * shift).long().repeat(4, 1) for shift in range(9)])[:, None]
    found = distinct_explanations(runs[[8, 0, 4, 2, 6, 1, 3, 5, 7]], agreement=0.9)
    assert found.agreement.min() < 0.6
    assert found.distinct.item() == 1


def test_one_run_has_one_explanation() -> None:
    found = distinct_explanations(torch.zeros(1, 3, 4, 4, dtype=torch.long))
    assert found.distinct.tolist() == [1, 1, 1]
    assert found.frequency.tolist() == [[1.0]] * 3


@pytest.mark.usefixtures("unchecked_shapes")
def test_bad_runs() -> None:
    good = torch.zeros(2, 3, 4, 4, dtype=torch.long)
    with pytest.raises(DataError, match="runs, images"):
        distinct_explanations(good[0])
    with pytest.raises(PerceptsError, match="agreement"):
        distinct_explanations(good, agreement=1.5)
    with pytest.raises(DataError, match="foreground"):
        distinct_explanations(good, foreground=good[0])
    with pytest.raises(DataError, match="same images"):
        align_slots(torch.ones(2, 1, 3, 3), torch.ones(1, 1, 3, 3))
    with pytest.raises(DataError, match="other masks"):
        align_slots(torch.ones(2, 1, 3, 3), torch.full((2, 1, 3, 3), torch.nan))
