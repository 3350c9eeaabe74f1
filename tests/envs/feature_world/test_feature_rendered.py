"""The table, the hand and the eyes."""

from __future__ import annotations

import pytest
import torch

from percepts.core.errors import ConfigError, DataError
from percepts.envs.feature_world.hand import Hand
from percepts.envs.feature_world.perception import TrayReader, misperceived
from percepts.envs.feature_world.rendered import FIRST_OBJECT, TABLE, TRAY, TableView, why_not_drawn
from percepts.envs.feature_world.world import WASTED, FeatureWorld
from percepts.envs.feature_world.worlds import single, table_top

CONFIG = table_top(values=3, objects=6, object_sets=8)


@pytest.fixture(scope="module")
def world() -> FeatureWorld:
    """Six objects of three colours and three shapes."""
    built: FeatureWorld = CONFIG.build()
    return built


@pytest.fixture(scope="module")
def view(world: FeatureWorld) -> TableView:
    """Small pictures."""
    built: TableView = TableView.Config(height=24, samples=1).build(world=world)
    return built


def test_pictures_and_masks(world: FeatureWorld, view: TableView) -> None:
    state = world.reset(range(4))
    drawn = view.draw(state)
    assert drawn.image.shape == (4, 24, 32, 3)
    assert drawn.image.dtype == torch.uint8
    for segmentation in drawn.segmentation:
        assert {TABLE, TRAY, *range(FIRST_OBJECT, FIRST_OBJECT + 6)} <= set(segmentation.unique().tolist())
    assert len(drawn.image.flatten(1).unique(dim=0)) == 4


def test_a_picture_does_not_depend_on_the_batch(world: FeatureWorld, view: TableView) -> None:
    state, _ = world.step(world.reset(range(5)), torch.tensor([0, 1, 2, 3, 4]))
    whole, film = view.draw(state), view.film(state)
    for row in range(5):
        alone = state.rows(torch.tensor([row]))
        assert torch.equal(view.draw(alone).image[0], whole.image[row])
        assert torch.equal(view.film(alone).image[0], film.image[row])


def test_objects_stand_apart_on_the_table(view: TableView) -> None:
    spots = view.spots(torch.arange(500))
    assert spots.shape == (500, 6, 3)
    between = torch.cdist(spots, spots) + 10 * torch.eye(6)
    assert float(between.min()) > 0.5
    assert float((spots[:, :, 1]).min()) > -0.6  # The tray is in front of it.
    assert not torch.equal(spots[0], spots[1])


def test_the_lamp_is_green_on_reward_only(world: FeatureWorld, view: TableView) -> None:
    state = world.reset(range(32))
    state, _ = world.step(state, torch.zeros(32, dtype=torch.int64))
    drawn = view.draw(state)
    green = torch.stack(
        [
            (image[seen == TRAY].float() @ torch.tensor([-0.5, 1.0, -0.5])).mean()
            for image, seen in zip(drawn.image, drawn.segmentation)
        ]
    )
    assert 0 < int(state.lit.sum()) < 32
    assert float(green[state.lit].min()) > 60
    assert float(green[~state.lit].max()) < 10


def test_the_film_carries_the_tested_object_alone(world: FeatureWorld, view: TableView) -> None:
    before = world.reset(range(6))
    state, _ = world.step(before, torch.tensor([2, 2, 2, 2, 2, WASTED]))
    film, first, last = view.film(state), view.draw(before), view.draw(state)
    assert film.image.shape == (6, 4, 24, 32, 3)
    assert torch.equal(film.image[:, -1], last.image)
    carried = FIRST_OBJECT + 2
    for row in range(5):
        rows = [segmentation.eq(carried).nonzero()[:, 0].double().mean() for segmentation in film.segmentation[row]]
        assert rows[-1] > rows[0]  # Towards the camera.
        assert rows[-1] > first.segmentation[row].eq(carried).nonzero()[:, 0].double().mean()
    assert torch.equal(film.image[5], first.image[5].expand(4, -1, -1, -1))
    # The light goes on when the object is down, not before.
    lit = state.lit.nonzero()[:, 0].tolist()
    assert lit
    for row in lit:
        dark = (film.image[row, 0][film.segmentation[row, 0] == TRAY].float()).mean(0)
        assert float(dark[1] - dark[0]) < 10


@pytest.mark.parametrize("height", [24, 48])
def test_the_reader_sees_everything(height: int) -> None:
    """All colours, all shapes, three sizes; twelve objects on the table."""
    world = table_top(
        dimensions=("colour", "shape", "size"), values=(8, 8, 3), object_sets=64, distinguishing=False
    ).build()
    view = TableView.Config(height=height, samples=2).build(world=world)
    state = world.reset(range(60))
    state, _ = world.step(state, torch.arange(60) % 12)
    number, lit = TrayReader(view).read(view.draw(state).image)
    really = world.knowledge().objects[state.object_set, state.tested]
    if height == 48:
        assert torch.equal(number, really)
    else:
        assert float((number == really).double().mean()) > 0.9
    assert torch.equal(lit, state.lit)


def test_the_reader_sees_that_there_is_nothing(world: FeatureWorld, view: TableView) -> None:
    number, lit = TrayReader(view).read(view.draw(world.reset(range(5))).image)
    assert number.tolist() == [-1] * 5
    assert not lit.any()
    with pytest.raises(DataError, match="24, 32, 3"):
        TrayReader(view).read(torch.zeros(1, 8, 8, 3, dtype=torch.uint8))


def test_the_channel_errs_as_often_as_it_says(world: FeatureWorld) -> None:
    unit = torch.rand(2000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    objects = torch.arange(9).repeat(223)[:2000]
    assert torch.equal(misperceived(world, objects, unit, 0.0), objects)
    wrong = misperceived(world, objects, unit, 0.3) != objects
    assert float(wrong.double().mean()) == pytest.approx(0.3, abs=0.04)
    nothing = torch.full((2000,), -1)
    assert torch.equal(misperceived(world, nothing, unit, 1.0), nothing)
    with pytest.raises(ConfigError, match="probability"):
        misperceived(world, objects, unit, 1.5)


def test_the_hand_does_what_it_is_told(world: FeatureWorld, view: TableView) -> None:
    hand = Hand(view)
    state = world.reset(range(3))
    names = [hand.words.object(int(world.knowledge().objects[state.object_set[row], row + 1])) for row in range(3)]
    said = [f"Please put the {names[0]} on the tray!", f"TEST: {names[1]}", "What a nice day."]
    done = hand.obey(state, said)
    assert done.state.tested.tolist() == [1, 2, WASTED]
    assert [reply.failure for reply in done.replies] == [None, None, "invalid"]
    assert done.film.image.shape[:2] == (3, 4)
    wanted, _ = world.step(state, torch.tensor([1, 2, WASTED]))
    assert torch.equal(done.state.alive, wanted.alive)
    with pytest.raises(DataError, match="2 instructions for 3"):
        hand.obey(state, said[:2])


@pytest.mark.parametrize(
    "config",
    [single(values=3), table_top(dimensions=("colour", "size"), values=(3, 4)), single(dimensions=("colour", "shape"))],
)
def test_what_cannot_be_drawn(config: FeatureWorld.Config) -> None:
    world = config.build()
    assert why_not_drawn(world) is not None
    with pytest.raises(ConfigError, match="up to 12 objects"):
        TableView.Config().build(world=world)


@pytest.mark.parametrize("settings", [{"height": 25}, {"height": 0}, {"frames": 0}, {"samples": 0}])
def test_bad_settings(settings: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        TableView.Config(**settings)
