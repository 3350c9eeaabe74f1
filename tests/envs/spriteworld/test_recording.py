"""Episodes of arenas as a dataset, with actions and truth."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from dataset_contract import assert_equal
from scene_contract import SceneContract

from percepts.core.errors import ConfigError
from percepts.data.cached_scenes import CachedImages
from percepts.data.distributions import Continuous
from percepts.envs.spriteworld.actions import ClickGrid, DragAndDrop, Embodied, SelectMove
from percepts.envs.spriteworld.configs import TASKS, Noise, SpriteworldConfig, register_task, task_config
from percepts.envs.spriteworld.recording import SpriteworldEpisodes, object_clicks
from percepts.envs.spriteworld.state import Sprites
from percepts.envs.streams import Streams


def episodes(**settings: Any) -> SpriteworldEpisodes:
    return SpriteworldEpisodes.Config(**{"images": 40, "size": 12, "supersampling": 2, "steps": 4, **settings}).build()


class TestExploration(SceneContract):
    @pytest.fixture
    def dataset(self) -> SpriteworldEpisodes:
        return episodes(clicks="objects", background="random_grey")


class TestBody(SceneContract):
    @pytest.fixture
    def dataset(self) -> SpriteworldEpisodes:
        return episodes(task="goal-finding-embodied", renderer="fast", split="test")


class TestNoise(SceneContract):
    @pytest.fixture
    def dataset(self) -> SpriteworldEpisodes:
        return episodes(task="sorting", noise=0.05, seed=5)


def test_keys_and_shapes() -> None:
    batch = episodes(steps=3).gather(torch.arange(5))
    assert batch["video"].shape == (5, 4, 3, 12, 12)
    assert (batch["action"].dtype, batch["action"].shape) == (torch.float32, (5, 3, 4))
    assert (batch["reward"].dtype, batch["reward"].shape) == (torch.float32, (5, 3))
    assert (batch["hit"].dtype, batch["hit"].shape) == (torch.int64, (5, 3))
    assert (batch["motion"].dtype, batch["motion"].shape) == (torch.float32, (5, 3, 2))
    for name in ("success", "acted"):
        assert (batch[name].dtype, batch[name].shape) == (torch.bool, (5, 3))
    embodied = episodes(task="goal-finding-embodied", steps=3).gather(torch.arange(5))
    assert (embodied["action"].dtype, embodied["action"].shape) == (torch.int64, (5, 3, 2))


def test_the_length_is_the_tasks_unless_given() -> None:
    assert SpriteworldEpisodes.Config(task="exploration").build().frames == 11
    assert SpriteworldEpisodes.Config(task="sorting").build().frames == 51
    assert episodes(task="exploration", steps=30).frames == 31
    assert episodes(task="exploration", steps=30).gather(torch.tensor([0]))["acted"].all()


def test_what_an_action_does_is_in_the_next_frame() -> None:
    dataset = episodes(clicks="objects", steps=6)
    places = torch.arange(40)
    batch, position = dataset.gather(places), dataset.details(places)["position"]
    assert torch.equal(position[:, 0, :, 0], batch["entity.x"])
    assert torch.equal(position[:, 0, :, 1], batch["entity.y"])
    step = position[:, 1:] - position[:, :-1]
    hit, motion = batch["hit"], batch["motion"]
    assert float((hit > 0).float().mean()) > 0.95, "clicks on objects hit"
    assert torch.allclose(motion, 0.25 * (batch["action"][..., 2:] - 0.5), atol=1e-6)
    own = step.gather(2, hit[..., None, None].expand(-1, -1, -1, 2))[:, :, 0]
    inside = ((position[:, 1:] > 0) & (position[:, 1:] < 1)).all(-1).gather(2, hit[..., None])[..., 0] & (hit > 0)
    assert torch.allclose(own[inside], motion[inside], atol=1e-6)
    others = torch.arange(dataset.entities) != hit[..., None]
    assert not step[others].any()
    still = (step == 0).flatten(2).all(2)
    same = (batch["video"][:, 1:] == batch["video"][:, :-1]).flatten(2).all(2)
    assert torch.equal(same[still], torch.ones_like(same[still]))
    assert same.float().mean() < 0.2


def test_uniform_actions_seldom_hit() -> None:
    batch = episodes(images=600, size=4, supersampling=1, steps=5).gather(torch.arange(600))
    assert float((batch["hit"] > 0).float().mean()) == pytest.approx(0.056, abs=0.012)
    assert float(batch["action"].mean()) == pytest.approx(0.5, abs=0.01)


def test_every_object_is_clicked_on_alike() -> None:
    batch = episodes(task="clustering", images=600, size=4, supersampling=1, steps=1, clicks="objects").gather(
        torch.arange(600)
    )
    share = torch.bincount(batch["hit"][:, 0], minlength=5)[1:] / 600
    assert float(share.min()) > 0.17
    assert float(share.max()) < 0.32


def test_what_is_done_stands_still() -> None:
    # Some of them get there by luck.
    dataset = episodes(task="goal-finding-new-shape", images=400, size=4, supersampling=1, steps=8, clicks="objects")
    batch, position = dataset.gather(torch.arange(400)), dataset.details(torch.arange(400))["position"]
    done = batch["success"][:, :-1]
    assert done.any()
    assert torch.equal(batch["success"][:, 1:][done], torch.ones_like(done)[done])
    assert torch.equal(batch["acted"][:, 1:], ~done)
    assert not batch["reward"][:, 1:][done].any()
    assert not batch["hit"][:, 1:][done].any()
    assert torch.equal(position[:, 2:][done], position[:, 1:-1][done])
    distance = (position[:, 1:, 1] - 0.5).norm(dim=-1)
    assert torch.equal(distance <= 0.075, batch["success"])
    on = batch["acted"]
    assert torch.allclose(batch["reward"][on], 50 * (0.075 - distance[on]), atol=1e-4)


def test_entities_keep_their_numbers() -> None:
    dataset = episodes(task="clustering", clicks="objects", steps=10, size=32)
    batch = dataset.gather(torch.arange(10))
    colours = batch["entity.colour"]
    middle = dataset.details(torch.arange(10))["amodal"] & (
        batch["segmentation"][:, :, None] == torch.arange(5)[:, None, None]
    )
    for entity in range(1, 5):
        for episode in range(10):
            shown = batch["video"][episode].movedim(1, -1)[middle[episode, :, entity]]
            if len(shown) > 50:
                brightest = shown[shown.sum(-1) >= shown.sum(-1).quantile(0.5)]
                assert torch.allclose(brightest.median(0).values, colours[episode, entity], atol=0.1)


def test_noise_changes_motions_not_actions() -> None:
    exact, noisy = (episodes(steps=3, noise=noise).gather(torch.arange(30)) for noise in (None, 0.05))
    assert torch.equal(exact["action"], noisy["action"])
    spread = (noisy["motion"] - exact["motion"]).std()
    assert float(spread) == pytest.approx(0.25 * 0.05, rel=0.2)


def test_actions_are_other_ones_in_other_episodes_splits_and_seeds() -> None:
    first, places = episodes(), torch.arange(4)
    action = first.gather(places)["action"]
    assert len(action.flatten().unique()) == action.numel()
    for other in (episodes(seed=1), episodes(split="validation"), first.unseen()):
        assert not torch.isin(other.gather(places)["action"], action).any()


def test_longer_episodes_begin_like_shorter_ones() -> None:
    short, long = (episodes(steps=steps).gather(torch.arange(3)) for steps in (2, 6))
    assert torch.equal(long["video"][:, :3], short["video"])
    assert torch.equal(long["action"][:, :2], short["action"])


def test_large_batches_are_made_in_parts() -> None:
    dataset = episodes(images=200, size=4, supersampling=1)
    whole = dataset.gather(torch.arange(150))
    assert_equal({key: value[100:] for key, value in whole.items()}, dataset.gather(torch.arange(100, 150)))


def test_shards_on_disk_hold_the_same_and_go_on_after_a_stop(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    config = SpriteworldEpisodes.Config(images=30, size=8, steps=3, clicks="objects")
    settings: Any = {"dataset": config, "folder": str(tmp_path), "batch_size": 4}
    monkeypatch.setattr("percepts.data.shard_writing._SHARD_BYTES", 20_000)
    asked: list[int] = []
    gather = SpriteworldEpisodes.gather

    def stops(self: Any, indices: torch.Tensor, device: Any = "cpu") -> Any:
        if len(asked) == 4:
            raise KeyboardInterrupt
        asked.append(int(indices[0]))
        return gather(self, indices, device)

    monkeypatch.setattr(SpriteworldEpisodes, "gather", stops)
    with pytest.raises(KeyboardInterrupt):
        CachedImages.Config(images=24, **settings).build()
    asked.clear()
    monkeypatch.setattr(
        SpriteworldEpisodes, "gather", lambda *words, **more: (asked.append(0), gather(*words, **more))[1]
    )
    cached = CachedImages.Config(images=24, **settings).build()
    assert 0 < len(asked) < 6, "finished shards are not made again"
    assert len(list(cached.folder.glob("0*"))) > 1
    places = torch.tensor([23, 0, 7])
    assert_equal(cached.gather(places), gather(config.build(), places))
    assert_equal(cached.details(places), config.build().details(places))
    assert (cached.frames, cached.entities) == (4, 7)


def test_no_items_at_all() -> None:
    none = torch.arange(0)
    batch = episodes().gather(none)
    assert (batch["video"].shape, batch["action"].shape) == ((0, 5, 3, 12, 12), (0, 4, 4))
    assert episodes().details(none)["position"].shape == (0, 5, 7, 2)


class TestObjectClicks:
    """Clicks for every kind of action that has them."""

    sprites: Sprites = task_config("clustering").arena.build().reset(range(300)).sprites

    @pytest.mark.parametrize(
        "actions", [SelectMove(scale=0.25), DragAndDrop(), ClickGrid(columns=80, rows=80, directions=8)]
    )
    def test_they_hit(self, actions: Any) -> None:
        action, streams = object_clicks(actions, self.sprites, Streams.of(range(300), "test"))
        assert float((actions.apply(self.sprites, action).hit >= 0).float().mean()) > 0.9
        again, _ = object_clicks(actions, self.sprites.rows([7]), Streams.of([7], "test"))
        assert torch.equal(again[0], action[7])
        other, _ = object_clicks(actions, self.sprites, streams)
        assert not torch.equal(other, action)
        if isinstance(actions, ClickGrid):
            assert action.max() < actions.actions
            assert len((action % 8).unique()) == 8

    def test_they_leave_out_what_cannot_be_moved(self) -> None:
        green = Continuous("c0", 0.27, 0.37)
        action, _ = object_clicks(SelectMove(movable=green), self.sprites, Streams.of(range(300), "test"))
        hit = self.sprites.topmost(
            action[:, None, :2].double(), green.contains({"c0": self.sprites.colour[..., 0].flatten()}).view(300, 4)
        )
        assert (hit >= 0).float().mean() > 0.98

    def test_there_must_be_something_to_click(self) -> None:
        with pytest.raises(ConfigError, match="Embodied"):
            object_clicks(Embodied(), self.sprites, Streams.of(range(300), "test"))


def test_tasks_of_ones_own() -> None:
    @register_task("test-recording", modes=("only",))
    def own(mode: str, noise: Noise) -> SpriteworldConfig:
        config = task_config("exploration", noise=noise)
        return dataclasses.replace(config, arena=dataclasses.replace(config.arena, actions=ClickGrid()))

    try:
        batch = episodes(task="test-recording", mode="only").gather(torch.arange(3))
        assert (batch["action"].dtype, batch["action"].shape) == (torch.int64, (3, 4))
    finally:
        del TASKS["test-recording"]


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"images": 0}, "images = 0"),
        ({"steps": 0}, "steps = 0"),
        ({"task": "explore"}, "did you mean 'exploration'"),
        ({"mode": "validation"}, "mode of exploration"),
        ({"size": 0}, "height = 0"),
        ({"noise": -1.0}, "noise"),
        ({"clicks": "corners"}, "clicks"),
        ({"task": "goal-finding-embodied", "clicks": "objects"}, "clicks on objects where actions are Embodied"),
        ({"task": "goal-finding-embodied", "noise": 0.1}, "noise"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        episodes(**settings)
