"""Decompositions, slot traversals, refinement, editing and their sections, on a model whose slots are known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from slot_fakes import LATENTS, SLOTS, ByColour, Photos, Squares, make_slot_evaluation, make_slot_run
from test_report_page import Outline
from torch import Tensor, nn

from percepts.core.errors import CapabilityError, PerceptsError
from percepts.core.slots import Decomposition, Slots
from percepts.report import save_figures, write_report
from percepts.report.material import AT_ONCE, SCENES, gather_material
from percepts.report.slot_editing import edit_scenes, editing_plate, telling_pair
from percepts.report.slot_palette import UNKNOWN, colour_masks
from percepts.report.slot_refinement import refinement_plate, step_numbers
from percepts.report.slot_sheet import Tile, sheet, shrink_labels, through
from percepts.report.slot_traversal import slot_traversal_plate, traverse_slot
from percepts.report.slot_usage import measure_slots, telling_image, telling_slots
from percepts.report.slots import (
    alike,
    decomposition_plate,
    join_decompositions,
    map_decomposition,
    part_of,
    take_pixels,
)


@pytest.fixture
def scenes() -> dict[str, Tensor]:
    return Squares.Config().build().gather(torch.arange(6))


@pytest.fixture
def taken(scenes: dict[str, Tensor]) -> Decomposition:
    with torch.no_grad():
        return ByColour().decompose(scenes["image"])


class OneSlot(ByColour):
    """Everything in a single slot, as a plain VAE has it."""

    def decompose(self, image: Tensor, slots: int | None = None) -> Decomposition:
        return super().decompose(image, 1)

    def refine(self, image: Tensor, steps: int | None = None, slots: int | None = None) -> list[Decomposition]:
        return super().refine(image, steps, 1)


class OnlyDecomposes(nn.Module):
    """Takes images apart, and can nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = ByColour()

    def decompose(self, image: Tensor, slots: int | None = None) -> Decomposition:
        return self.inner.decompose(image, slots)


class Follows(ByColour):
    """Takes every frame of a video apart."""

    def track(self, video: Tensor, slots: int | None = None) -> list[Decomposition]:
        return [self.decompose(frame, slots) for frame in video.unbind(1)]


def test_a_decomposition_is_shown_with_its_own_masks(scenes: dict[str, Tensor], taken: Decomposition) -> None:
    shown = take_pixels(scenes["image"], taken, scenes["segmentation"])
    assert len(shown) == 6
    assert shown[2].present == [True, True, True, True]
    assert shown[0].present == [True, True, False, False]
    assert np.array_equal(shown[2].segmentation, shown[2].truth), "the truth has the colours of its slots"
    assert sum(shown[2].share) == pytest.approx(1, abs=1e-5)
    red = scenes["segmentation"][2].numpy() == 1
    assert np.abs(shown[2].masked[1][red].astype(int) - shown[2].image[red].astype(int)).max() < 30
    assert (shown[2].masked[1][~red].min(-1) > 200).all(), "what is not the slot's lets the checkerboard through"
    assert (shown[2].unmasked[1].std((0, 1)) < 1).all()


def test_entities_get_the_number_of_the_slot_that_shows_them() -> None:
    truth = torch.tensor([[[0, 0, 1, 1], [2, 2, -1, 1]]])
    slots = torch.tensor([[[3, 3, 0, 0], [0, 0, 0, 0]]])
    found = alike(truth, slots)[0]
    assert found[0].tolist() == [3, 3, 0, 0]
    assert found[1, 2] == -1
    assert found[1, 0] not in (0, 3, -1), "no slot is left for it"
    assert np.array_equal(colour_masks(found)[1, 2], UNKNOWN)


def test_the_plate_grows_with_images_and_slots(scenes: dict[str, Tensor], taken: Decomposition) -> None:
    both = decomposition_plate(scenes["image"], taken, scenes["segmentation"])
    few = decomposition_plate(scenes["image"][:2], part_of(taken, 0, 2))
    assert both.size[1] > 2 * few.size[1]
    assert both.size[0] > few.size[0]
    assert "6 images taken apart into 4 slots" in both.alt


def test_many_slots_are_counted_and_large_images_shrunk() -> None:
    image = torch.rand(1, 3, 130, 260, generator=torch.Generator().manual_seed(0))
    mask = torch.rand(1, 20, 130, 260).softmax(1)
    slots = Slots(torch.zeros(1, 20, 2), torch.ones(1, 20, 2), mask)
    taken = Decomposition(slots, image[:, None].expand(-1, 20, -1, -1, -1), mask)
    (shown,) = take_pixels(image, taken, torch.zeros(1, 130, 260, dtype=torch.int64))
    assert len(shown.slots) == 16
    assert shown.hidden == 4
    assert shown.segmentation.shape == shown.soft.shape == shown.truth.shape == (48, 96, 3)
    assert not any(shown.present)


@pytest.mark.parametrize("what", ["other images", "other truth", "nothing"])
def test_what_does_not_fit_is_refused(scenes: dict[str, Tensor], taken: Decomposition, what: str) -> None:
    image, truth = scenes["image"], scenes["segmentation"]
    if what == "other images":
        image = image[:4]
    elif what == "other truth":
        truth = truth[:, ::2]
    else:
        image, truth, taken = image[:0], truth[:0], part_of(taken, 0, 0)
    with pytest.raises(PerceptsError, match="of the same images"):
        decomposition_plate(image, taken, truth)


def test_nan_in_a_picture_is_shown_and_not_fatal(scenes: dict[str, Tensor], taken: Decomposition) -> None:
    appearance, mask = taken.appearance.clone(), taken.mask.clone()
    appearance[0], mask[1] = math.nan, math.nan
    broken = Decomposition(Slots(taken.slots.mean, taken.slots.variance, mask), appearance, taken.decoded_mask)
    shown = take_pixels(scenes["image"], broken)
    assert len(shown) == 6
    assert shown[0].unmasked[0].max() == 0
    decomposition_plate(scenes["image"], broken)


def test_usage_counts_only_held_slots(taken: Decomposition) -> None:
    usage = measure_slots(taken)
    assert usage.presence.tolist() == [1.0, 1.0, pytest.approx(4 / 6), pytest.approx(2 / 6)]
    assert usage.active == pytest.approx(3.0)
    assert usage.share.sum() == pytest.approx(1, abs=1e-5)
    kl = 0.5 * (taken.slots.mean**2 + taken.slots.variance - taken.slots.variance.log() - 1)
    assert usage.held_kl.tolist() == pytest.approx(kl[taken.slots.presence].mean(0).tolist(), rel=1e-5)
    assert usage.held_kl[usage.order].tolist() == sorted(usage.held_kl.tolist(), reverse=True)
    assert usage.variance.tolist() == pytest.approx([0.05] * LATENTS)
    assert measure_slots(ByColour(sharpness=0.0).decompose(torch.zeros(2, 3, 24, 24))).active == 0


def test_telling_slots_are_present_and_the_background_comes_last(taken: Decomposition) -> None:
    assert telling_image(taken) in (2, 5)
    assert telling_slots(taken, 0, 4) == [1, 0]
    assert set(telling_slots(taken, 2, 3)) == {1, 2, 3}


def test_a_traversal_moves_the_object_and_its_mask(scenes: dict[str, Tensor], taken: Decomposition) -> None:
    found = traverse_slot(ByColour(), taken.slots.mean[0], 1, [1, 5], [-1.5, 0.0, 1.5])
    assert found.component.shape == (2, 3, 3, 24, 24)
    columns = (found.mask[0] > 0.5).float().sum(1).argmax(1).tolist()
    assert columns[0] < columns[1] < columns[2], "latent 1 is the horizontal place, and the mask goes along"
    assert torch.allclose(found.component[0, 0], found.component[0, 2])
    blue = found.image[1, :, 2].amax((1, 2))
    assert blue[0] < blue[1] < blue[2]
    untouched = ByColour().components(taken.slots.mean[:1])[0][0, 1]
    assert torch.allclose(found.component[0, 0], untouched, atol=1e-6)
    assert slot_traversal_plate([found], measure_slots(taken)).size[0] > 200


def test_traversals_of_what_is_not_there_are_refused(taken: Decomposition) -> None:
    for slot, latents in ((9, [0]), (0, [99]), (0, [])):
        with pytest.raises(PerceptsError, match="slots 0 to 3"):
            traverse_slot(ByColour(), taken.slots.mean[0], slot, latents)
    with pytest.raises(CapabilityError, match="components"):
        traverse_slot(OnlyDecomposes(), taken.slots.mean[0], 0, [0])
    with pytest.raises(PerceptsError, match="no traversal"):
        slot_traversal_plate([], measure_slots(taken))


def test_refinement_improves_step_by_step(scenes: dict[str, Tensor]) -> None:
    with torch.no_grad():
        states = ByColour().refine(scenes["image"][1:4])
    numbers = step_numbers(scenes["image"][1:4], states, scenes["segmentation"][1:4])
    errors, entropies = [one.error for one in numbers], [one.entropy for one in numbers]
    assert errors == sorted(errors, reverse=True)
    assert entropies == sorted(entropies, reverse=True)
    assert entropies[0] == pytest.approx(math.log(SLOTS), abs=1e-5)
    assert numbers[-1].ari == pytest.approx(1.0)
    assert step_numbers(scenes["image"][1:4], states)[0].ari is None
    plate = refinement_plate(scenes["image"][1:4], states, scenes["segmentation"][1:4])
    assert "ARI-FG" in plate.caption
    assert "ARI" not in refinement_plate(scenes["image"][1:4], states).caption
    with pytest.raises(PerceptsError, match="no state"):
        step_numbers(scenes["image"], [])


def test_many_steps_are_thinned_but_keep_both_ends(scenes: dict[str, Tensor]) -> None:
    from percepts.report.slot_refinement import MOST_STEPS, refinement_pixels

    with torch.no_grad():
        steps, drawn, masks = refinement_pixels(ByColour().refine(scenes["image"][:1], steps=40), 0)
    assert (steps[0], steps[-1]) == (0, 40)
    assert len(steps) == len(drawn) == len(masks) == MOST_STEPS


def test_edits_take_out_add_and_swap(scenes: dict[str, Tensor], taken: Decomposition) -> None:
    pair = torch.tensor([0, 2])
    both = map_decomposition(taken, lambda value: value[pair])
    edits = edit_scenes(ByColour(), scenes["image"][pair], both, slots=(1, 3))
    decoded, without, more, swapped = (edit.image.astype(int) for edit in edits.edits[:4])

    def amount(pixels: np.ndarray, channel: int) -> float:
        return float((pixels[..., channel] > 120).mean())

    assert amount(decoded, 0) > 0.05
    assert amount(without, 0) == 0
    assert amount(more, 0) > 0.05
    assert amount(more, 2) > 0.05
    assert amount(swapped, 0) == 0
    assert amount(swapped, 2) > 0.05
    assert editing_plate(edits).size[0] > 400
    with pytest.raises(PerceptsError, match="two of each"):
        edit_scenes(ByColour(), scenes["image"], taken)
    with pytest.raises(PerceptsError, match="0 to 3"):
        edit_scenes(ByColour(), scenes["image"][pair], both, slots=(0, 4))
    with pytest.raises(CapabilityError):
        edit_scenes(OnlyDecomposes(), scenes["image"][pair], both)


def test_a_pair_to_edit_is_found_among_any_number_of_images(taken: Decomposition) -> None:
    one, two = telling_pair(taken)
    assert one != two
    assert telling_pair(part_of(taken, 0, 1)) == (0, 0)


def test_sheets_place_their_tiles() -> None:
    red = Tile(np.full((8, 8, 3), [255, 0, 0], np.uint8), note="a note", frame="#00ff00")
    picture = np.asarray(sheet([[red, None], [None, red]], columns=["one", "two"], labels=[("name", "")], breaks=[1]))
    assert (picture == [255, 0, 0]).all(-1).sum() == 2 * 72 * 72
    assert (picture == [0, 255, 0]).all(-1).sum() == 2 * (78 * 78 - 72 * 72)


def test_masks_let_the_checkerboard_through_and_labels_shrink_without_mixing() -> None:
    black = np.zeros((16, 16, 1), np.uint8)
    assert through(np.repeat(black, 3, -1), np.ones((16, 16))).max() == 0
    assert through(np.repeat(black, 3, -1), np.zeros((16, 16))).min() > 200
    labels = torch.zeros(2, 200, 100, dtype=torch.int64)
    labels[:, 100:] = 7
    small = shrink_labels(labels)
    assert small.shape == (2, 96, 48)
    assert set(small.unique().tolist()) == {0, 7}


def test_batches_join_to_the_whole(taken: Decomposition) -> None:
    joined = join_decompositions([part_of(taken, 0, 2), part_of(taken, 2, 6)])
    assert torch.equal(joined.mask, taken.mask)
    assert torch.equal(joined.appearance, taken.appearance)
    assert torch.equal(joined.slots.variance, taken.slots.variance)


def sections_of(page: str) -> list[str]:
    outline = Outline(page)
    assert not outline.open
    assert len(set(outline.ids)) == len(outline.ids)
    return outline.sections


def test_a_slot_model_has_its_sections(tmp_path: Path) -> None:
    run = make_slot_run(tmp_path / "squares", status="finished")
    page = write_report(run, ByColour(), Squares.Config().build(), make_slot_evaluation()).read_text()
    found = sections_of(page)
    assert found[:4] == ["decomposition", "slots", "refinement", "editing"]
    assert "tracking" not in found
    assert "traversals" not in found
    assert len(page) < 5e6
    assert "present" in page


@pytest.mark.parametrize("model", [OneSlot(), OnlyDecomposes(), ByColour(greedy=True), ByColour(sharpness=0.0)])
def test_odd_slot_models_have_a_page(tmp_path: Path, model: nn.Module) -> None:
    page = write_report(make_slot_run(tmp_path / "odd", lines=0), model, Squares.Config().build(), None).read_text()
    assert "decomposition" in sections_of(page)


def test_a_folder_without_truth_has_the_page_too(tmp_path: Path) -> None:
    page = write_report(make_slot_run(tmp_path / "mine"), ByColour(), Photos(5), None).read_text()
    assert {"decomposition", "slots", "refinement", "editing"} <= set(sections_of(page))
    assert "true entities" not in page


def test_videos_show_their_first_frames_and_are_followed(tmp_path: Path) -> None:
    data = Squares.Config(frames=5).build()
    page = write_report(make_slot_run(tmp_path / "still"), ByColour(), data, None).read_text()
    assert "tracking" not in sections_of(page)
    page = write_report(make_slot_run(tmp_path / "film"), Follows(), data, None).read_text()
    assert "tracking" in sections_of(page)
    assert "frames 1, 2, 3, 4, 5" in page


def test_images_are_taken_apart_in_small_batches_and_scenes_are_few(tmp_path: Path) -> None:
    seen: list[int] = []

    class Counts(ByColour):
        def decompose(self, image: Tensor, slots: int | None = None) -> Decomposition:
            seen.append(len(image))
            return super().decompose(image, slots)

    material = gather_material(make_slot_run(tmp_path / "run"), Counts(), Squares.Config().build(), None, 0)
    assert seen == [AT_ONCE] * (SCENES // AT_ONCE)
    assert material.decomposition is not None
    assert len(material.decomposition.mask) == len(material.images) == SCENES
    assert material.truth is not None
    assert material.mean is None


def test_figures_of_slots_are_saved(tmp_path: Path) -> None:
    paths = save_figures(make_slot_run(tmp_path / "run"), ByColour(), Squares.Config().build(), None)
    names = {path.name for path in paths}
    assert {"decomposition.png", "slot_traversals.png", "refinement.png", "slot_editing.png", "refinement.gif"} <= names
    data = Squares.Config(frames=3).build()
    assert "tracking.gif" in {path.name for path in save_figures(make_slot_run(tmp_path / "film"), Follows(), data)}
