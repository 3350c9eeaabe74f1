import math

import numpy as np
import pytest
import torch

from percepts.core.errors import DataError
from percepts.metrics import decomposition_scores


def values(*arguments: torch.Tensor, **settings: object) -> dict[str, float]:
    return {name: score.value for name, score in decomposition_scores(*arguments, **settings).items()}


def hard(*labels: int, slots: int) -> torch.Tensor:
    """One image of one row: masks [1,K,1,W]."""
    return torch.nn.functional.one_hot(torch.tensor([[labels]]), slots).movedim(-1, 1).float()


def test_hard_and_flat_masks() -> None:
    assert values(hard(0, 0, 0, 1, slots=4)) == {"mask_entropy": 0.0, "one_slot_share": 0.75, "active_slots": 2.0}
    flat = values(torch.full((2, 4, 3, 3), 0.25))
    assert flat == {"mask_entropy": pytest.approx(1.0), "one_slot_share": 0.25, "active_slots": 0.0}
    assert values(torch.ones(1, 1, 2, 2)) == {"mask_entropy": 0.0, "one_slot_share": 1.0, "active_slots": 1.0}


def test_entropy_is_of_pixels_not_of_the_image() -> None:
    masks = torch.cat([hard(0, 1, slots=2), torch.full((1, 2, 1, 2), 0.5)], dim=3)
    assert values(masks)["mask_entropy"] == pytest.approx(0.5)


def test_disagreement_of_masks() -> None:
    masks, decoded = hard(0, 1, 1, 1, slots=2), hard(0, 0, 1, 1, slots=2)
    found = values(masks, decoded_mask=decoded)
    assert (found["mask_disagreement"], found["label_disagreement"]) == (0.25, 0.25)
    soft = values(masks, decoded_mask=0.5 * masks + 0.25)
    assert (soft["mask_disagreement"], soft["label_disagreement"]) == (0.25, 0.0)


def test_errors_of_objects_and_background() -> None:
    true = np.array([[[0, 0, 0, 1]], [[0, 0, 0, 0]]])
    image, reconstruction = torch.zeros(2, 3, 1, 4), torch.zeros(2, 3, 1, 4)
    reconstruction[0, 0, 0, 3] = 0.6
    reconstruction[:, :, 0, 0] = 0.3
    scores = decomposition_scores(torch.ones(2, 1, 1, 4), image=image, reconstruction=reconstruction, true=true)
    foreground, background = 0.36 / 3, 0.09 / 3
    assert scores["mse_foreground"].value == pytest.approx(foreground)
    assert scores["mse_foreground"].details["undefined"] == 1
    assert scores["mse_background"].value == pytest.approx((background + 0.09 / 4) / 2)
    assert scores["mse"].details["per_image"][0] == pytest.approx((foreground + 3 * background) / 4)
    everything = decomposition_scores(
        torch.ones(2, 1, 1, 4), image=image, reconstruction=reconstruction, true=true, backgrounds=2
    )
    assert math.isnan(everything["mse_foreground"].value)


def test_intervals_and_low_precision() -> None:
    masks = torch.rand(50, 3, 6, 6, generator=torch.Generator().manual_seed(0)).mul(4).softmax(dim=1)
    scores = decomposition_scores(masks, bootstrap=50, rng=np.random.default_rng(0))
    for name, score in scores.items():
        assert score.name == name
        assert score.interval[0] <= score.value <= score.interval[1]
    assert values(masks.bfloat16())["mask_entropy"] == pytest.approx(scores["mask_entropy"].value, abs=1e-2)


@pytest.mark.usefixtures("unchecked_shapes")
def test_bad_masks() -> None:
    good = torch.full((2, 2, 3, 3), 0.5)
    broken = good.clone()
    broken[1, 0, 2, 2] = torch.nan
    with pytest.raises(DataError, match="NaN or infinite"):
        decomposition_scores(broken)
    with pytest.raises(DataError, match="softmax"):
        decomposition_scores(good.log())
    with pytest.raises(DataError, match="softmax"):
        decomposition_scores(torch.ones(2, 2, 3, 3))
    with pytest.raises(DataError, match=r"\[N,K,H,W\]"):
        decomposition_scores(good[0])
    with pytest.raises(DataError, match=r"\[N,K,H,W\]"):
        decomposition_scores(good[:0])
    with pytest.raises(DataError, match="decoded masks of shape"):
        decomposition_scores(good, decoded_mask=torch.full((2, 4, 3, 3), 0.25))
    with pytest.raises(DataError, match="true labels of shape"):
        decomposition_scores(
            good, image=torch.zeros(2, 3, 3, 3), reconstruction=torch.zeros(2, 3, 3, 3), true=np.zeros((2, 4, 4), int)
        )
    with pytest.raises(DataError, match="reconstructions with values"):
        decomposition_scores(
            good, image=torch.zeros(2, 3, 3, 3), reconstruction=torch.full((2, 3, 3, 3), torch.nan), true=None
        )
