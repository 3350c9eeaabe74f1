"""Every symptom of slots that do not bind is found in a model that has it, and in no model that has not."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from slot_fakes import ByColour, Photos, Squares, make_slot_evaluation, make_slot_run
from test_report_page import Outline
from torch import Tensor, nn

from percepts.core.slots import Decomposition, Slots
from percepts.nn.mixture import log_density, mixture_nll
from percepts.report import write_report
from percepts.report.binding import BindingNumbers, binding_numbers, gradient_shares, pixel_scale
from percepts.report.binding_findings import Finding, binding_findings

HEALTHY = BindingNumbers(
    images=24, slots=4, entropy=0.02, largest=0.7, active=3.0, kl=30.0, error=0.05, contrast=0.3, scale=0.1,
    disagreement=0.01, gradient=[0.4, 0.3, 0.2, 0.1], colour=0.6, colour_oracle=0.7, model=0.95, visible=3.0,
    pieces=1.0,
)  # fmt: skip


def numbers_of(model: nn.Module, data: Squares | Photos, **options: object) -> BindingNumbers:
    batch = data.gather(torch.arange(12))
    with torch.no_grad():
        taken = model.decompose(batch["image"])
        return binding_numbers(model, batch["image"], taken, batch.get("segmentation"), **options)


def verdicts(findings: list[Finding]) -> dict[str, bool | None]:
    return {one.name: one.found for one in findings}


def test_nothing_is_found_where_all_is_well() -> None:
    assert set(verdicts(binding_findings(HEALTHY)).values()) == {False}
    assert all(one.tries and one.evidence.endswith(".") for one in binding_findings(HEALTHY))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("empty", {"kl": 0.1}),
        ("one-slot", {"largest": 0.99}),
        ("one-slot", {"active": 1.1}),
        ("undecided", {"entropy": 0.9}),
        ("pieces", {"pieces": 2.2}),
        ("colour", {"colour": 0.8, "model": 0.6}),
        ("scale", {"error": 0.4}),
        ("scale", {"error": 0.001}),
        ("scale", {"contrast": 0.05}),
        ("gradient", {"gradient": [0.99, 0.01, 0.0, 0.0]}),
        ("masks", {"disagreement": 0.25}),
    ],
)
def test_each_symptom_is_found_by_its_own_numbers_alone(name: str, change: dict) -> None:
    found = verdicts(binding_findings(dataclasses.replace(HEALTHY, **change)))
    assert [symptom for symptom, there in found.items() if there] == [name]


@pytest.mark.parametrize(
    ("change", "unknown"),
    [
        ({"slots": 1, "gradient": [1.0], "entropy": 0.0}, {"one-slot", "undecided", "pieces", "colour", "gradient"}),
        ({"model": None, "colour_oracle": None, "visible": None, "pieces": None}, {"pieces", "colour"}),
        ({"colour_oracle": 0.99}, {"colour"}),
        ({"scale": None, "gradient": None, "disagreement": None}, {"scale", "gradient", "masks"}),
        ({"visible": 1.0}, {"one-slot"}),
    ],
)
def test_what_the_data_or_the_model_cannot_tell_is_called_so(change: dict, unknown: set[str]) -> None:
    found = verdicts(binding_findings(dataclasses.replace(HEALTHY, **change)))
    assert {name for name, there in found.items() if there is None} == unknown


def test_a_model_that_binds_shows_no_symptom() -> None:
    numbers = numbers_of(ByColour(), Squares.Config().build())
    found = verdicts(binding_findings(numbers))
    assert True not in found.values()
    assert numbers.model == pytest.approx(1.0)
    assert numbers.pieces == pytest.approx(1.0)
    assert numbers.visible == pytest.approx(3.0)
    assert numbers.colour_oracle == pytest.approx(1.0)


def test_undecided_greedy_and_blind_models_show_theirs() -> None:
    data = Squares.Config().build()
    soft = binding_findings(numbers_of(ByColour(sharpness=0.0), data))
    assert verdicts(soft)["undecided"] is True
    assert verdicts(soft)["one-slot"] is False, "undecided masks are not one slot that has all"
    greedy = binding_findings(numbers_of(ByColour(greedy=True), data))
    assert verdicts(greedy)["one-slot"] is True
    assert verdicts(greedy)["undecided"] is False
    assert verdicts(binding_findings(numbers_of(ByColour(blind=1.0), data)))["masks"] is True


def test_same_coloured_objects_give_a_model_of_colours_away() -> None:
    numbers = numbers_of(ByColour(), Squares.Config(twins=True).build())
    assert verdicts(binding_findings(numbers))["colour"] is True
    assert numbers.colour is not None
    assert numbers.model is not None
    assert numbers.colour > numbers.model + 0.2


def test_the_evaluation_replaces_what_it_knows_and_nulls_do_not() -> None:
    evaluated = {"active": 1.5, "largest_slot": None, "kl": [1.0, 2.0, None], "mask_entropy_share": 0.25}
    ours, known = (
        numbers_of(ByColour(), Squares.Config().build()),
        numbers_of(ByColour(), Squares.Config().build(), evaluated=evaluated),
    )
    assert (known.active, known.kl, known.entropy) == (1.5, 3.0, 0.25)
    assert known.largest == ours.largest


def test_gradients_of_slots_are_those_of_the_likelihood() -> None:
    model, images = ByColour(), Squares.Config().build().gather(torch.arange(4))["image"]
    with torch.no_grad():
        taken = model.decompose(images)
        found = gradient_shares(model, images, taken, 0.2)
    assert found is not None
    assert sum(found) == pytest.approx(1.0)
    assert model.gain.grad is None
    latents = taken.slots.mean.clone().double().requires_grad_()
    appearance, _ = model.double().components(latents)
    nll = mixture_nll(
        taken.mask.double().clamp_min(1e-6).log(), log_density("normal", images.double(), appearance, 0.2)
    )
    nll.mean().backward()
    norm = latents.grad.norm(dim=2).mean(0)
    assert found == pytest.approx((norm / norm.sum()).tolist(), rel=1e-3)


def test_models_without_single_slots_or_gradients_have_no_shares() -> None:
    class Frozen(ByColour):
        @torch.no_grad()
        def components(self, latents: Tensor) -> tuple[Tensor, Tensor]:
            return super().components(latents)

    images = Squares.Config().build().gather(torch.arange(2))["image"]
    taken = ByColour().decompose(images)
    assert gradient_shares(nn.Linear(1, 1), images, taken) is None
    assert gradient_shares(Frozen(), images, taken) is None


def test_masks_that_are_decoded_get_gradients_too() -> None:
    class Decoded(ByColour):
        def decompose(self, image: Tensor, slots: int | None = None) -> Decomposition:
            taken = super().decompose(image, slots)
            return Decomposition(
                Slots(taken.slots.mean, taken.slots.variance, taken.decoded_mask), taken.appearance, taken.decoded_mask
            )

    images = Squares.Config().build().gather(torch.arange(2))["image"]
    one, two = (gradient_shares(m, images, m.decompose(images)) for m in (Decoded(), ByColour()))
    assert one != two
    assert numbers_of(Decoded(), Squares.Config().build()).disagreement is None


def test_the_scale_of_known_models_is_found() -> None:
    assert pixel_scale(nn.Linear(1, 1)) is None
    assert pixel_scale(SimpleNamespace(config=SimpleNamespace(foreground_scale=0.11))) == 0.11
    assert pixel_scale(SimpleNamespace(config=SimpleNamespace(density="normal"), scale=lambda: 0.1)) == 0.1
    logistic = SimpleNamespace(config=SimpleNamespace(density="logistic"), scale=lambda: 0.03)
    assert pixel_scale(logistic) == pytest.approx(0.0544, abs=1e-4)
    assert pixel_scale(SimpleNamespace(config=SimpleNamespace(scale=None))) is None


@pytest.mark.parametrize("truth", [True, False])
@pytest.mark.parametrize("lines", [0, 1, 40])
def test_the_section_is_there_for_any_slot_model(tmp_path: Path, truth: bool, lines: int) -> None:
    data = Squares.Config().build() if truth else Photos()
    run = make_slot_run(tmp_path / "run", lines=lines, undecided=True)
    page = write_report(run, ByColour(sharpness=0.5), data, None).read_text()
    outline = Outline(page)
    assert "binding" in outline.sections
    assert len(set(outline.ids)) == len(outline.ids)
    assert "The masks&#39; entropy is 100%" in page or "The masks' entropy is 100%" in page
    assert ("Entropy of the masks over training" in page) == (lines > 0)


def test_the_evaluation_gives_scores_and_key_numbers(tmp_path: Path) -> None:
    evaluation = make_slot_evaluation()
    run = make_slot_run(tmp_path / "run")
    page = write_report(run, ByColour(), Squares.Config().build(), evaluation).read_text()
    for words in ("ARI, objects", "0.880", "Mean IoU, objects", "Slots present", "of 4, in an image", "None of the 8"):
        assert words in page
    evaluation["slots"] = {}
    write_report(run, ByColour(), Squares.Config().build(), evaluation)


def test_hostile_logs_do_not_break_the_section(tmp_path: Path) -> None:
    run = make_slot_run(tmp_path / "run", lines=3)
    with run.metrics_file.open("a") as file:
        file.write('{"step": 200, "mask_entropy": null, "kl_per_slot": [null, 1.0], "nll_t": [null]}\n')
        file.write('{"step": 250, "mask_entropy": "x", "kl_per_slot": "y", "nll_t": {}}\n')
    assert write_report(run, ByColour(), Squares.Config().build(), None).is_file()
