"""What the studies of slot models measure: models whose answers are known, and rows made of known numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from percepts.core.runs import Run
from percepts.core.slots import Decomposition, Slots, labels
from percepts.data.multi_dsprites import is_green, without_green_squares
from percepts.data.scenes import SceneDataset
from percepts.data.shifts import Shifted
from percepts.data.small_scenes import apart_sprites, two_sprites
from percepts.metrics import adjusted_rand_index
from percepts.objects.explanation import Explanation
from percepts.objects.iodine import IODINE, slot_decoder
from percepts.objects.refinement import RefinementNetwork
from percepts.objects.slot_posterior import SlotPosterior
from percepts.studies import iodine, monet, slot_measures
from percepts.studies.slot_claims import (
    completion_claims,
    held_out_claims,
    held_out_scores,
    images_of,
    sweep_claims,
    sweep_plate,
)
from percepts.studies.study import STUDIES, Results, RunResult

WORLD = dataclasses.replace(two_sprites(), images=500)


class ByColour(nn.Module):
    """Gives every colour of an image a slot, as far as there are slots; a component is the image, or one colour."""

    def __init__(self, kind: str = "image") -> None:
        super().__init__()
        self.kind = kind
        self.weight = nn.Parameter(torch.zeros(1))

    def decompose(self, image: Tensor, slots: int | None = None) -> Decomposition:
        count = 3 if slots is None else slots
        found = []
        for picture in image:
            colours, number = picture.flatten(1).T.unique(dim=0, return_inverse=True)
            found.append((number.clamp_max(count - 1).view(image.shape[2:]), colours[:count]))
        mask = nn.functional.one_hot(torch.stack([number for number, _ in found]), count).movedim(-1, 1).float()
        appearance = image[:, None].expand(-1, count, -1, -1, -1)
        if self.kind == "colour":
            table = torch.stack([nn.functional.pad(colour, (0, 0, 0, count - len(colour))) for _, colour in found])
            appearance = table[..., None, None].expand_as(appearance)
        mean = torch.zeros(len(image), count, 2)
        return Decomposition(Slots(mean, torch.ones_like(mean), mask), appearance, mask)


class Loaded(RunResult):
    """A run whose model is at hand."""

    def __init__(self, model: Any, dataset: SceneDataset, images: int = 40) -> None:
        super().__init__(0, Run("nowhere"), {"images": images, "metrics": {}, "reconstruction": {}})
        object.__setattr__(self, "loaded", (model, dataset))


def results(**scores: list[dict[str, float]]) -> Results:
    """Runs of known numbers."""
    evaluation = {"images": 10, "metrics": {"ari_fg": {"value": 0.8}}, "reconstruction": {"mse": 0.01}}
    return Results(
        {
            arm: [RunResult(seed, Run("nowhere"), evaluation, extra) for seed, extra in enumerate(rows)]
            for arm, rows in scores.items()
        }
    )


def test_other_numbers_of_slots():
    world = dataclasses.replace(WORLD, distinct_colours=True, overlap=False)
    found = slot_measures.ari_by_slots(ByColour(), world, 30, (2, 3, 5))
    # Of three colours, two share the last of two slots: an object and the background, or both objects.
    assert found["slots_3.ari_fg"] == found["slots_5.ari_fg"] == 1
    assert found["slots_2.ari_fg"] < 0.9
    assert list(found) == ["slots_2.ari_fg", "slots_3.ari_fg", "slots_5.ari_fg"]


def test_what_cannot_be_seen_is_not_known_by_colour():
    dataset = WORLD.build()
    shown = slot_measures.completion_scores(ByColour(), dataset, 80)
    assert shown["completion"] == shown["completion.image"] == 0
    assert shown["completion.error_ratio"] == pytest.approx(1)
    one_colour = slot_measures.completion_scores(ByColour("colour"), dataset, 80)
    assert one_colour["completion"] == pytest.approx(one_colour["completion.everywhere"])
    assert 0 < one_colour["completion"] < 1
    assert one_colour["completion.error"] < 1e-12


def test_models_that_are_told_the_masks_are_told_them_here_too():
    class Told(ByColour):
        needs_segmentation = True

        def decompose(self, image: Tensor, slots: int | None = None, segmentation: Tensor | None = None):  # type: ignore[override]
            assert segmentation is not None
            return super().decompose(image, slots)

    assert slot_measures.completion_scores(Told(), WORLD.build(), 40)["completion.image"] == 0
    assert monet.completed(Loaded(Told(), WORLD.build())) == slot_measures.completion_scores(
        Told(), WORLD.build().unseen(), 40
    )


def tiny_iodine() -> IODINE:
    network = RefinementNetwork.Config(channels=(4,), hidden=(8,), lstm=None)
    config = IODINE.Config(
        image_shape=(3, 24, 24), slots=3, steps=2, latent_size=4, decoder=slot_decoder((4,), 3), refinement=network
    )
    torch.manual_seed(0)
    return config.build().eval()


def test_scores_of_refinement_are_those_of_an_inference_that_ends_there():
    model, dataset = tiny_iodine(), WORLD.build()
    found = slot_measures.refinement_scores(model, dataset, 40, (0, 3, 1))
    assert set(found) == {0, 1, 3}
    batch = dataset.gather(torch.arange(40))
    for steps, row in found.items():
        *_, belief = model.infer(batch["image"], steps)
        assert row["nll"] == pytest.approx(float(belief.nll.mean()), rel=1e-5)
        ari = adjusted_rand_index(batch["segmentation"], labels(belief.log_mask)).value
        assert row["ari_fg"] == pytest.approx(ari, abs=1e-6)
    assert len({row["nll"] for row in found.values()}) == 3


def test_a_held_out_combination_is_what_the_scores_are_about():
    seen: list[Any] = []

    class Noting(ByColour):
        def decompose(self, image: Tensor, slots: int | None = None) -> Decomposition:
            seen.append(image)
            return super().decompose(image, slots)

    dataset = without_green_squares().build()
    run = Loaded(Noting(), dataset, images=20)
    assert set(held_out_scores(run, rule="with_green_squares")) == {"held_out.ari_fg", "held_out.mse"}
    pixels = torch.cat(seen).movedim(1, -1)
    assert len(pixels) == images_of(run) == 20
    green = is_green(pixels).flatten(1).any(1)
    assert green.float().mean() > 0.9  # but where another sprite hides the green one


@pytest.mark.parametrize(
    ("experiment", "rule"),
    [(monet.without_green_squares24(), "with"), (iodine.without_green_squares16(), "with")],
)
def test_held_out_models_train_without_the_combination(experiment: Any, rule: str):
    config = experiment.data.dataset
    for world, expected in ((config, False), (dataclasses.replace(config, split="test", rule=rule), True)):
        batch = world.build().gather(torch.arange(200))
        square = batch["entity.shape"] == 1 + config.shapes.index("square")
        green = (batch["entity.colour"] == torch.tensor([0.0, 1.0, 0.0])).all(-1)
        assert ((square & green).any(1) == expected).all()


@pytest.mark.parametrize(
    ("study", "arm", "setting", "values"),
    [
        ("monet", "no green squares", "rule", ("without_green_squares", "with_green_squares")),
        ("iodine", "no green Z or S", "rule", ("without_green_zs", "with_green_zs")),
        ("iodine", "no green spheres", "green_spheres", ("none", "some")),
    ],
)
def test_held_out_models_at_full_scale_train_without_the_combination(
    study: str, arm: str, setting: str, values: tuple[str, str]
):
    chosen = STUDIES[study].presets["paper"].arms[arm]
    config, measure = chosen.experiment().data.dataset, chosen.measure
    assert isinstance(measure, partial)
    assert (getattr(config, setting), measure.keywords) == (values[0], {setting: values[1]})
    dataclasses.replace(config, **measure.keywords).build()  # type: ignore[type-var]


def test_grey_scenes_are_grey():
    seen: list[Tensor] = []

    class Noting(ByColour):
        def decompose(self, image: Tensor, slots: int | None = None) -> Decomposition:
            seen.append(image)
            return super().decompose(image, slots)

    world = dataclasses.replace(apart_sprites(), images=100)
    # Red, green and cyan differ in luminance: who groups by grey finds them all.
    assert iodine.grey_score(Noting(), world, 20) == 1
    (image,) = seen
    assert (image == image[:, :1]).all()
    assert Shifted.Config(dataset=world, kind="grey").build().entities == 3


class Undecided:
    """Sees an image from left to right, or from top to bottom where asked to be of two minds."""

    def __init__(self, minds: int) -> None:
        self.minds, self.asked = minds, 0
        self.weight = nn.Parameter(torch.zeros(1))

    def parameters(self) -> Iterator[nn.Parameter]:
        return iter([self.weight])

    def infer(self, image: Tensor, steps: int | None, slots: int | None, generator: torch.Generator):
        self.asked += 1
        batch, _, height, width = image.shape
        left = (torch.arange(width) < width // 2).expand(height, width)
        way = left if self.asked % self.minds == 0 else left.T
        mask = nn.functional.one_hot(way.long(), 2).movedim(-1, 0).float().expand(batch, -1, -1, -1)
        log_mask = (0.98 * mask + 0.01).log()
        yield Explanation(
            posterior=SlotPosterior(torch.zeros(batch, 2, 6)),
            kl=torch.ones(batch, 2, 3),
            rows=torch.zeros(2 * batch, 3),
            pull_back=None,
            appearance=mask.unsqueeze(2),
            mask_logit=log_mask.unsqueeze(2),
            log_mask=log_mask,
            log_prob_slots=log_mask,
            log_prob=log_mask[:, 0],
        )


def test_several_ways_are_counted_image_by_image():
    world = dataclasses.replace(two_sprites(), sprites=(1, 1), extent=(24, 24), shapes=("square",)).build()
    assert iodine.seen_in_several_ways(Undecided(1), world, count=6, runs=4) == 0
    assert iodine.seen_in_several_ways(Undecided(2), world, count=6, runs=4) == 1
    # Where only the background is seen in two ways, nothing is.
    empty = dataclasses.replace(two_sprites(), sprites=(0, 0)).build()
    assert iodine.seen_in_several_ways(Undecided(2), empty, count=6, runs=4) == 0


def test_rows_of_sweeps_are_means_over_seeds():
    found = results(
        IODINE=[{"steps_1.ari_fg": 0.2, "steps_6.ari_fg": 0.6}, {"steps_1.ari_fg": 0.4, "steps_6.ari_fg": 1}]
    )
    one, six = sweep_claims("IODINE", "steps", 3, (1, 6), "a figure")
    assert (one.measure(found), six.measure(found)) == (pytest.approx(0.3), pytest.approx(0.8))
    assert one.statement == "IODINE: ARI-FG with steps = 1 at test time, 3 in training (mean of seeds)"
    assert one.threshold is None
    plate = sweep_plate("IODINE", found.arms["IODINE"], "steps", trained=3)
    assert "3 of training" in plate.caption
    assert plate.size[0] > 500


def test_rows_of_hidden_parts_and_of_held_out_combinations():
    extra = {
        "completion": 0.4,
        "completion.everywhere": 0.3,
        "completion.image": 0.0,
        "completion.error_ratio": 0.1,
        "held_out.ari_fg": 0.6,
        "held_out.mse": 0.03,
    }
    found = results(MONet=[extra])
    assert [claim.measure(found) for claim in completion_claims("MONet")] == [0.1, 0.4, 0.3, 0.0]
    assert [claim.holds(claim.measure(found)) for claim in completion_claims("MONet")] == [True, None, None, None]
    rows = held_out_claims("MONet", "green squares", seeds=(0,))
    assert [claim.measure(found) for claim in rows] == [0.6, 0.8, pytest.approx(3)]
    assert all(claim.seeds == (0,) for claim in rows)
