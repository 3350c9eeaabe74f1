"""Occlusion completion: closed forms on two squares, and what groupings by colour get."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from percepts.core.errors import DataError, PerceptsError
from percepts.data.clevr_like import clevr6
from percepts.data.multi_dsprites import MultiDSprites
from percepts.data.scenes import SceneDataset
from percepts.data.small_scenes import two_sprites
from percepts.metrics import colour_clusters, occlusion_completion
from percepts.metrics.segmentation_completion import in_front

GREY, RED, BLUE = (torch.tensor(colour) for colour in ([0.1] * 3, [1.0, 0, 0], [0.0, 0, 1]))
HIDDEN, FRONT = 4 * 2, 4 * 5
"""Pixels of red behind blue, and of blue."""


@dataclasses.dataclass
class Scene:
    """One image: a red square of which blue hides the right half, on grey."""

    amodal: Tensor
    unoccluded: Tensor
    true: Tensor
    image: Tensor

    def score(self, appearance: Tensor, predicted: Tensor | None = None, **settings: object) -> dict[str, float]:
        found = self.results(appearance, predicted, **settings)
        return {name: result.value for name, result in found.items()}

    def results(self, appearance: Tensor, predicted: Tensor | None = None, **settings: object):
        return occlusion_completion(
            appearance,
            self.true if predicted is None else predicted,
            self.image,
            self.true,
            self.amodal,
            self.unoccluded,
            **settings,
        )

    @property
    def whole(self) -> Tensor:
        """The components of a model that knows everything: every entity on the background."""
        return torch.where(self.amodal[:, :, None], self.unoccluded, self.unoccluded[:, :1])


def scene(blue: Tensor = BLUE) -> Scene:
    amodal = torch.zeros(1, 3, 8, 10, dtype=torch.bool)
    amodal[:, 0] = True
    amodal[:, 1, 2:6, 1:5] = True
    amodal[:, 2, 2:6, 3:8] = True
    colours = torch.stack([GREY, RED, blue])[None, :, :, None, None]
    unoccluded = colours * amodal[:, :, None]
    true = (amodal * torch.arange(3)[:, None, None]).amax(1)
    image = unoccluded.gather(1, true[:, None, None].expand(-1, 1, 3, -1, -1))[:, 0]
    return Scene(amodal, unoccluded, true, image)


def painted(scene: Scene, pixels: tuple[slice, slice]) -> Tensor:
    """The image as component of every slot, but for red in the red square's at some pixels."""
    appearance = scene.image[:, None].repeat(1, 3, 1, 1, 1)
    appearance[(0, 1, slice(None), *pixels)] = RED[:, None, None]
    return appearance


def test_whole_components_complete_everything():
    found = scene().results(scene().whole)
    assert found["completion"].value == 1
    assert found["completion.error"].value == 0
    # Red against blue: two of three channels differ by 1.
    assert found["completion.error"].details["of_image"] == pytest.approx(2 / 3)
    assert (found["completion"].details["parts"], found["completion"].details["unmatched"]) == (1, 0)


def test_showing_the_image_completes_nothing():
    here = scene()
    found = here.results(here.image[:, None].expand(-1, 3, -1, -1, -1))
    assert found["completion"].value == 0
    assert found["completion.error"].value == found["completion.error"].details["of_image"]


def test_a_colour_all_over_is_no_completion_either():
    here = scene()
    colours = torch.stack([GREY, RED, BLUE])[None, :, :, None, None].expand(-1, -1, -1, 8, 10)
    found = here.results(colours)
    assert found["completion"].value == pytest.approx(HIDDEN / FRONT)
    assert found["completion"].details["everywhere"] == pytest.approx(HIDDEN / FRONT)
    assert found["completion.error"].value == 0


@pytest.mark.parametrize(
    ("pixels", "iou", "share_of_error"),
    [
        ((slice(2, 4), slice(3, 5)), 0.5, 0.5),  # half of what is hidden
        ((slice(2, 6), slice(3, 7)), 0.5, 0.0),  # as much again
        ((slice(2, 6), slice(4, 6)), 1 / 3, 0.5),  # a pixel too far to the right
        ((slice(0, 2), slice(0, 10)), 0.0, 1.0),  # where blue hides nothing: nobody asks
        ((slice(0, 8), slice(0, 5)), 1.0, 0.0),
    ],
)
def test_closed_forms(pixels: tuple[slice, slice], iou: float, share_of_error: float):
    here = scene()
    found = here.score(painted(here, pixels))
    assert found["completion"] == pytest.approx(iou)
    assert found["completion.error"] == pytest.approx(share_of_error * 2 / 3)


def test_scores_are_means_over_images_and_do_not_depend_on_the_order_of_slots():
    here = scene()
    one, two = here.whole, here.image[:, None].expand(-1, 3, -1, -1, -1)
    both = Scene(*(torch.cat([value, value]) for value in dataclasses.astuple(here)))
    appearance, predicted = torch.cat([one, two]), both.true
    found = both.results(appearance, predicted)
    np.testing.assert_array_equal(found["completion"].details["per_image"], [1, 0])
    assert found["completion"].value == 0.5
    order = torch.tensor([2, 0, 1])
    again = both.score(appearance[:, order], order.argsort()[predicted])
    assert again == {name: result.value for name, result in found.items()}
    soft = torch.nn.functional.one_hot(predicted, 3).movedim(-1, 1).float()
    assert both.score(appearance, soft) == again


def test_entities_that_are_not_there_change_nothing():
    here = scene()
    more = Scene(
        torch.nn.functional.pad(here.amodal, (0, 0, 0, 0, 0, 2)),
        torch.nn.functional.pad(here.unoccluded, (0, 0, 0, 0, 0, 0, 0, 2)),
        here.true,
        here.image,
    )
    appearance = painted(here, (slice(2, 4), slice(3, 5)))
    assert more.score(appearance) == here.score(appearance)


def test_nothing_hidden_is_no_score():
    here = scene()
    apart = Scene(here.amodal[:, [0, 2]], here.unoccluded[:, [0, 2]], (here.true == 2).long(), here.image)
    found = apart.results(apart.whole)
    assert np.isnan(found["completion"].value)
    assert np.isnan(found["completion.error"].value)
    assert found["completion"].details["undefined"] == 1


def test_parts_that_are_too_small_or_cannot_be_told_do_not_count():
    here = scene()
    assert here.score(here.whole, least_pixels=HIDDEN)["completion"] == 1
    assert np.isnan(here.score(here.whole, least_pixels=HIDDEN + 1)["completion"])
    alike = scene(torch.tensor([0.9, 0.05, 0]))
    assert np.isnan(alike.score(alike.whole)["completion"])
    assert alike.score(alike.whole, least_contrast=0.1)["completion"] == 1


def test_the_background_counts_where_it_is_no_background():
    here = scene()
    found = here.results(here.whole, backgrounds=0)
    assert found["completion"].value == 1
    assert found["completion"].details["parts"] == 2
    assert here.score(here.image[:, None].expand(-1, 3, -1, -1, -1), backgrounds=0)["completion"] == 0


def test_an_object_without_a_slot_shows_the_image():
    here = scene()
    # Slots for two of three: the background's is not kept for it, so red loses to blue, which shows more pixels.
    appearance, predicted = here.whole[:, :1], torch.zeros_like(here.true)
    found = here.results(appearance, predicted)
    assert found["completion"].details["unmatched"] == 1
    assert found["completion"].value == 0
    assert found["completion.error"].value == found["completion.error"].details["of_image"]


def test_in_front_is_all_of_what_hides_and_nothing_else():
    seen = torch.nn.functional.one_hot(torch.tensor([[0, 1, 2, 2, 3]]), 4).movedim(-1, 1).bool()[:, :, None]
    hidden = torch.zeros_like(seen)
    hidden[0, 1, 0, 2] = True
    hidden[0, 0, 0, [1, 4]] = True
    assert in_front(hidden, seen)[0, :, 0].int().tolist() == [
        [0, 1, 0, 0, 1],
        [0, 0, 1, 1, 0],
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0],
    ]


@pytest.mark.parametrize(
    ("world", "least", "most"),
    [
        (two_sprites().build(), 1.0, 0.0),
        (MultiDSprites.Config(variant="colored_on_grayscale", size=32).build(), 1.0, 0.0),
        (clevr6(size=32).build(), 0.9, 0.15),
    ],
)
def test_generated_worlds_know_what_is_hidden(world: SceneDataset, least: float, most: float):
    """Components made of the truth reach the top and clusters of colour get nothing, but for shades and soft edges."""
    indices = torch.arange(40)
    batch, more = world.gather(indices), world.details(indices)
    truth = Scene(more["amodal"], more["unoccluded"], batch["segmentation"], batch["image"])
    found = truth.results(truth.whole, backgrounds=world.backgrounds)
    assert found["completion"].details["parts"] > 3
    assert found["completion"].value >= least
    assert found["completion.error"].value < 1e-12
    assert found["completion.error"].details["of_image"] > 0.02
    clusters = colour_clusters(batch["image"], 3, generator=torch.Generator().manual_seed(0))
    shown = batch["image"][:, None].expand(-1, 3, -1, -1, -1)
    assert truth.score(shown, clusters, backgrounds=world.backgrounds)["completion"] <= most


def test_many_images_are_the_same_as_some_at_a_time(monkeypatch: pytest.MonkeyPatch):
    world, indices = two_sprites().build(), torch.arange(30)
    batch, more = world.gather(indices), world.details(indices)
    truth = Scene(more["amodal"], more["unoccluded"], batch["segmentation"], batch["image"])
    noisy = (truth.whole + 0.4 * torch.randn(truth.whole.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    whole = truth.results(noisy)["completion"].details["per_image"]
    assert 0.1 < np.nanmean(whole) < 0.9
    monkeypatch.setattr("percepts.metrics.segmentation_completion._BLOCK", 1)
    np.testing.assert_array_equal(truth.results(noisy)["completion"].details["per_image"], whole)


def test_an_interval_comes_with_the_score():
    world, indices = two_sprites().build(), torch.arange(60)
    batch, more = world.gather(indices), world.details(indices)
    truth = Scene(more["amodal"], more["unoccluded"], batch["segmentation"], batch["image"])
    whole, nothing = truth.whole, batch["image"][:, None].expand(-1, 3, -1, -1, -1)
    half = torch.where((indices % 2 == 0)[:, None, None, None, None], whole, nothing)
    result = truth.results(half, bootstrap=100, rng=np.random.default_rng(0))["completion"]
    assert result.interval is not None
    assert 0 < result.interval[0] < result.value < result.interval[1] < 1


def test_bad_input(unchecked_shapes: None):
    here = scene()
    for settings in ({"least_pixels": 0}, {"least_contrast": -0.1}):
        with pytest.raises(PerceptsError, match="or more"):
            here.results(here.whole, **settings)
    with pytest.raises(DataError, match="components of shape"):
        here.results(here.whole[..., :5])
    with pytest.raises(DataError, match="drawn alone"):
        dataclasses.replace(here, unoccluded=here.unoccluded[:, :2]).results(here.whole)
    with pytest.raises(DataError, match="amodal"):
        dataclasses.replace(here, amodal=here.amodal[:, :, :4]).results(here.whole)
    with pytest.raises(DataError, match="labels up to 2"):
        dataclasses.replace(here, amodal=here.amodal[:, :2], unoccluded=here.unoccluded[:, :2]).results(here.whole)
    with pytest.raises(DataError, match="NaN"):
        here.results(here.whole * float("nan"))
