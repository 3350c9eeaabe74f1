"""IODINE on videos: a frame a step, each predicted from those before."""

from __future__ import annotations

import pytest
import torch
from small_iodine import built, images, small_refinement, step
from torch import Tensor

from percepts.core.errors import DataError
from percepts.objects.iodine import IODINE


def sequential(**changes: object) -> IODINE:
    return built(sequential=True, refinement=small_refinement(head="predictor_corrector"), **changes)


def video(frames: int = 4, seed: int = 1) -> Tensor:
    return images(3 * frames, seed=seed).unflatten(0, (3, frames))


def test_a_frame_is_predicted_from_those_before():
    model, whole = sequential(), video()
    found = model.refine(whole)
    assert len(found) == 4
    for seen in range(4):
        changed = whole.clone()
        changed[:, seen:] = video(seed=9)[:, seen:]
        other = model.refine(changed)
        for number in range(4):
            same = torch.equal(found[number].mask, other[number].mask)
            assert same == (number <= seen), (seen, number)


def test_the_last_belief_of_a_part_of_a_video_is_shown_by_its_mean():
    model, whole = sequential(), video()
    first = model.refine(whole[:, :2])
    torch.testing.assert_close(first[0].mask, model.refine(whole)[0].mask)
    torch.testing.assert_close(first[1].slots.mean, model.refine(whole)[1].slots.mean)


def test_segmentations_of_videos_have_a_frame_each():
    model = sequential()
    labels = model.segment(video())
    assert labels.shape == (3, 4, 8, 8)
    torch.testing.assert_close(labels[:, 3], model.decompose(video()).mask.argmax(1))
    still = images(3)
    repeated = still.unsqueeze(1).expand(-1, 3, -1, -1, -1)
    torch.testing.assert_close(model.decompose(still).mask, model.decompose(repeated).mask)


def test_the_loss_is_over_frames_and_weighs_the_last_one_most():
    model, whole = sequential(), video()
    losses = model.losses({"video": whole}, step())
    assert losses.terms["nll_per_step"].shape == (4,)
    beliefs = losses.terms["nll_per_step"] + losses.terms["kl_per_step"]
    expected = (torch.tensor([0.0, 1 / 3, 2 / 3, 1.0]) * beliefs).sum()
    torch.testing.assert_close(losses.minimise["model"].detach(), expected)
    changed = whole.clone()
    changed[:, 3] = 0.0
    other = model.losses({"video": changed}, step()).terms["nll_per_step"]
    torch.testing.assert_close(other[:3], losses.terms["nll_per_step"][:3])
    assert other[3] != losses.terms["nll_per_step"][3]


def test_steps_that_a_video_does_not_have():
    model = sequential()
    with pytest.raises(DataError, match="a video of 4 frames for 4 steps"):
        model.refine(video(), steps=4)
    assert len(model.refine(video(), steps=3)) == 4
    with pytest.raises(DataError, match="as the model was built"):
        model.refine(video()[..., :7])
