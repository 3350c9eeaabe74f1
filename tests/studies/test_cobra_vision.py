"""What slots say of positions and whether sprites share one, on slots whose answer is known."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from percepts.core.errors import DataError
from percepts.core.slots import Decomposition, Slots
from percepts.data.distributions import Product
from percepts.envs.spriteworld.configs import AREA, HUES, LOOK
from percepts.envs.spriteworld.generators import Generate
from percepts.envs.spriteworld.scenes import SpriteworldScenes
from percepts.studies.cobra_vision import position_r2, purity, slot_tools, sprites_alike

DATA = SpriteworldScenes.Config(task="exploration", images=120, size=24, renderer="fast")


def scenes(predicted: Tensor, mean: Tensor, segmentation: Tensor, place: Tensor) -> SimpleNamespace:
    truth = {"segmentation": segmentation, "entity.x": place[..., 0], "entity.y": place[..., 1]}
    return SimpleNamespace(predicted=predicted, mean=mean, truth=truth)


def known(count: int = 80, sprites: int = 3, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Label maps, the same with slots in another order, codes of the slots that tell their sprites' places, places."""
    generator = torch.Generator().manual_seed(seed)
    segmentation = torch.randint(0, 1 + sprites, (count, 8, 8), generator=generator)
    order = torch.stack([torch.randperm(1 + sprites, generator=generator) for _ in range(count)])
    predicted = order.gather(1, segmentation.flatten(1)).view_as(segmentation)
    place = torch.rand(count, 1 + sprites, 2, generator=generator)
    told = place @ torch.tensor([[1.0, 2.0, 0.0, 1.0], [0.0, 1.0, 3.0, 1.0]])
    codes = torch.zeros_like(told).scatter(1, order[..., None].expand_as(told), told)
    return segmentation, predicted, codes, place


def test_slots_that_hold_positions_are_read() -> None:
    segmentation, predicted, codes, place = known()
    assert min(position_r2(scenes(predicted, codes, segmentation, place))) > 0.99
    noise = torch.randn(codes.shape, generator=torch.Generator().manual_seed(1))
    assert max(position_r2(scenes(predicted, noise, segmentation, place))) < 0.2
    # x alone is in the codes: y is not.
    blind = codes[..., :1] * torch.tensor([1.0, 2.0])
    x, y = position_r2(scenes(predicted, blind, segmentation, place))
    assert x > 0.99
    assert y < 0.2


def test_the_slots_are_matched_by_their_masks() -> None:
    segmentation, predicted, codes, place = known()
    wrong = (predicted + 1) % 4
    assert max(position_r2(scenes(wrong, codes, segmentation, place))) < 0.5
    assert min(position_r2(scenes(wrong, codes.roll(1, 1), segmentation, place))) > 0.99


def test_scenes_without_sprites_say_nothing() -> None:
    segmentation, predicted, codes, place = known()
    with pytest.raises(DataError, match="two visible sprites"):
        position_r2(scenes(predicted, codes, segmentation * 0, place))


def test_purity_is_the_share_of_the_most_common_sprite() -> None:
    truth = torch.tensor([[[0, 0, 1, 1], [2, 2, 2, 2]]])
    codes, place = torch.zeros(1, 3, 2), torch.zeros(1, 3, 2)

    def of(predicted: list[list[int]]) -> float:
        return purity(scenes(torch.tensor([predicted]), codes, truth, place))

    assert of([[0, 0, 1, 1], [2, 2, 2, 2]]) == 1
    assert of([[2, 2, 0, 0], [1, 1, 1, 1]]) == 1
    assert of([[0, 0, 1, 1], [1, 1, 1, 1]]) == pytest.approx(4 / 6)
    assert of([[0, 0, 1, 1], [1, 1, 2, 2]]) == pytest.approx(4 / 6)
    # A sprite in two slots of its own is no impurity, one in the background's slot with another is.
    assert of([[0, 0, 1, 1], [2, 2, 0, 0]]) == 1
    assert of([[0, 0, 0, 0], [0, 0, 0, 0]]) == pytest.approx(4 / 6)


class Colours(torch.nn.Module):
    """Takes pictures apart by their brightest channel: sprites of one hue share a slot."""

    def __init__(self, slots: int = 4) -> None:
        super().__init__()
        self.config = SimpleNamespace(slots=slots)
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def decompose(self, image: Tensor, slots: int | None = None) -> Decomposition:
        label = torch.where(image.amax(1) > 0.1, 1 + image.argmax(1), 0)
        mask = torch.nn.functional.one_hot(label, self.config.slots).movedim(-1, 1).float()
        grid = torch.linspace(0, 1, image.shape[-1])
        weight = mask / mask.sum((2, 3), keepdim=True).clamp(min=1)
        mean = torch.stack([(weight * grid).sum((2, 3)), (weight * grid[:, None]).sum((2, 3))], -1)
        found = Slots(mean=mean, variance=torch.ones_like(mean), mask=mask)
        return Decomposition(found, image[:, None].expand(-1, self.config.slots, -1, -1, -1), mask)


def test_sprites_of_one_hue_that_share_a_slot_are_seen() -> None:
    found = slot_tools(Colours(), DATA)
    assert found.keys() == {"position_r2", "position_r2.x", "position_r2.y", "purity", "purity.alike"}
    assert found["purity.alike"] < 0.75
    assert found["purity"] > found["purity.alike"]
    one = replace(DATA, generator=Generate(Product((AREA, LOOK, HUES["green"]))))
    assert slot_tools(Colours(), one)["position_r2"] > 0.95


def test_scenes_of_clustering_fit_into_the_slots() -> None:
    few, many = sprites_alike(DATA, Colours(4)), sprites_alike(DATA, Colours(5))
    indices = torch.arange(50)
    assert set(few.build().sprites(indices).present.sum(1).tolist()) == {2}
    assert set(many.build().sprites(indices).present.sum(1).tolist()) == {4}
    hues = few.build().sprites(indices).colour[..., 0]
    assert (hues[:, 0] - hues[:, 1]).abs().max() < 0.2
    assert (few.size, few.renderer) == (DATA.size, DATA.renderer)
