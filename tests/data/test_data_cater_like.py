"""CATER-like videos: who does what, that nothing collides, that containers hide, and the camera's way."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from scene_contract import SceneContract

from percepts.core.errors import ConfigError
from percepts.data.cater_like import SHAPES, CaterLike
from percepts.data.cater_motion import ACTIONS, SEGMENT, Cast, Motion, plan
from percepts.data.hashed_draws import Draws
from percepts.data.scene_draws import project
from percepts.rendering.objects import pinhole

FEW = torch.arange(4)
NONE, ROTATE, SLIDE, PICK, CONTAIN = range(5)


def cater(**settings: Any) -> CaterLike:
    plain = {"size": 16, "samples": 1, "images": 200, "shadows": False, "frames": 9, "objects": (5, 6)}
    return CaterLike.Config(**plain | settings).build()


class TestCater(SceneContract):
    @pytest.fixture
    def dataset(self) -> CaterLike:
        return cater(size=8, frames=2, objects=(3, 4))


@pytest.fixture(scope="module")
def cast() -> Cast:
    """Forty videos: a snitch, a medium and a large cone, and small or large solids."""
    radius = torch.tensor([0.3, 0.5, 0.75, 0.25, 0.25, 0.75, 0.25, 0.5]).double().expand(40, -1)
    cone = torch.tensor([False, True, True, False, True, False, False, False]).expand(40, -1)
    return Cast(torch.arange(8) < torch.arange(40)[:, None] % 5 + 4, cone, radius, radius)


@pytest.fixture(scope="module")
def motion(cast: Cast) -> Motion:
    """What they do, from a grid."""
    spot = torch.tensor([[x, y] for x in (-2.4, -0.8, 0.8, 2.4) for y in (-1.2, 1.2)]).double().expand(40, -1, -1)
    start = torch.cat([spot, cast.upright[..., None]], dim=-1)
    return plan(Draws(torch.arange(40), 5, ("test",)), cast, start, torch.zeros(40, 8).double(), 33)


def test_one_or_two_objects_act_in_a_segment(cast: Cast, motion: Motion) -> None:
    assert motion.action.shape == (40, 4, 8)
    acting = (motion.action != NONE).sum(2)
    assert acting.max() == 2
    assert (acting >= 1).double().mean() > 0.95
    assert not motion.action[~cast.exists[:, None].expand(-1, 4, -1)].any()
    assert not ((motion.action == ROTATE) & cast.cone[:, None]).any()
    assert not ((motion.action == CONTAIN) & ~cast.cone[:, None]).any()
    assert set(motion.action.flatten().tolist()) == set(range(len(ACTIONS)))


def test_actions_move_as_they_say(cast: Cast, motion: Motion) -> None:
    for b, s, n in (motion.action != NONE).nonzero().tolist():
        path = motion.position[b, s * SEGMENT : (s + 1) * SEGMENT + 1, n]
        turned = motion.yaw[b, (s + 1) * SEGMENT, n] - motion.yaw[b, s * SEGMENT, n]
        action = int(motion.action[b, s, n])
        assert float(turned) % (2 * math.pi) == pytest.approx(math.pi / 2 if action == ROTATE else 0)
        moved = float((path[-1] - path[0]).norm())
        assert (moved == 0) == (action == ROTATE)
        lifted = float(path[:, 2].max() - path[0, 2])
        assert lifted == pytest.approx(2.0 if action >= PICK else 0.0)
        assert torch.allclose(path[[0, -1], 2], cast.upright[b, n])
        assert path[-1, :2].abs().max() <= 3
        if action >= PICK:
            assert torch.equal(path[1, :2], path[0, :2]), "it goes up before it goes across"


def test_what_does_not_act_stays_unless_it_is_carried(motion: Motion) -> None:
    for s in range(4):
        path = motion.position[:, s * SEGMENT : (s + 1) * SEGMENT + 1]
        moves = (path - path[:, :1]).abs().amax((1, 3)) > 0
        idle = (motion.action[:, s] == NONE) & moves
        for b, n in idle.nonzero().tolist():
            carriers = motion.inside[b, s * SEGMENT + 1, n] & (motion.action[b, s] == SLIDE)
            assert carriers.any()
            carrier = int(carriers.nonzero()[0, 0])
            offset = path[b, :, n] - path[b, :, carrier]
            assert torch.allclose(offset, offset[:1].expand_as(offset))


def test_nothing_collides(cast: Cast, motion: Motion) -> None:
    for n in range(8):
        for m in range(n):
            offset = motion.position[:, :, n] - motion.position[:, :, m]
            near = offset[..., :2].norm(dim=-1) < (cast.radius[:, n] + cast.radius[:, m] + 0.1 - 1e-9)[:, None]
            meets = near & (offset[..., 2].abs() < (cast.upright[:, n] + cast.upright[:, m])[:, None])
            meets &= (cast.exists[:, n] & cast.exists[:, m])[:, None]
            # Only a cone and what is inside of it, is being covered or has just been uncovered.
            for b, t in meets.nonzero().tolist():
                around = motion.inside[b, max(0, t - SEGMENT) : t + SEGMENT + 1]
                together = around[:, n, m] | around[:, m, n] | (around[:, n] & around[:, m]).any(1)
                assert together.any(), (b, t, n, m)


def test_cones_hide_what_is_smaller_and_take_it_along(cast: Cast, motion: Motion) -> None:
    inside = motion.inside
    assert inside[:, -1].any()
    assert not inside[:, 0].any()
    for b, t, i, j in inside.nonzero().tolist():
        assert cast.cone[b, j]
        assert cast.radius[b, i] < cast.radius[b, j]
        offset = motion.position[b, t, i] - motion.position[b, t, j]
        assert offset[:2].abs().max() < 1e-9
        assert not inside[b, t, j, i]
        # What is hidden does not act.
        assert t == 32 or motion.action[b, t // SEGMENT, i] == NONE
    for b, s, n in (motion.action == CONTAIN).nonzero().tolist():
        assert inside[b, (s + 1) * SEGMENT, :, n].any()
        assert not inside[b, s * SEGMENT + 1, :, n].any()


def test_things_inside_of_things_inside_are_inside_of_both(motion: Motion) -> None:
    inside = motion.inside.long()
    nested = (inside @ inside) > 0
    assert not (nested & ~motion.inside).any()


def test_a_short_video_is_the_beginning_of_a_long_one(cast: Cast, motion: Motion) -> None:
    start, yaw = motion.position[:, 0], motion.yaw[:, 0]
    draws = Draws(torch.arange(40), 5, ("test",))
    short = plan(draws, cast, start, yaw, 12)
    assert torch.equal(short.position, motion.position[:, :12])
    assert torch.equal(short.inside, motion.inside[:, :12])
    assert plan(draws, cast, start, yaw, 1).action.shape == (40, 0, 8)


def test_every_video_has_its_snitch_and_two_cones() -> None:
    dataset = cater()
    batch = dataset.gather(torch.arange(8))
    shape, size, colour = (batch[f"entity.{name}"] for name in ("shape", "size", "colour"))
    assert dataset.properties["shape"].names == ("none", *SHAPES)
    assert (shape[:, 1:4] == torch.tensor([5, 4, 4])).all()
    assert (size[:, 1:4] == torch.tensor([4, 2, 1])).all()
    assert (colour[:, 1] == 9).all()
    assert (batch["entity.material"][:, 1] == 2).all()
    assert not (shape[:, 4:] == 5).any()
    assert set((shape > 0).sum(1).tolist()) == {5, 6}
    assert torch.equal(batch["position"].abs().amax((1, 3)) > 0, shape > 0)


def test_objects_are_seen_where_they_are() -> None:
    dataset = cater(size=48, frames=3)
    batch, details = dataset.gather(FEW), dataset.details(FEW)
    lens = pinhole(2 * math.degrees(math.atan(120 / 350)))
    pixels = project(batch["position"], batch["camera"], lens) * torch.tensor([48, 48, 1])
    rows = torch.arange(48) + 0.5
    checked = 0
    for b, t, e in details["amodal"][:, :, 1:].flatten(3).any(3).nonzero().tolist():
        mask = details["amodal"][b, t, 1 + e].float()
        if mask.sum() < 6 or mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any():
            continue
        middle = torch.stack([(mask.sum(0) * rows).sum(), (mask.sum(1) * rows).sum()]) / mask.sum()
        assert (middle - pixels[b, t, 1 + e, :2]).abs().max() < 1 + 0.25 * float(mask.sum()) ** 0.5
        checked += 1
    assert checked > 20


def test_the_camera_goes_from_key_to_key_and_looks_at_the_middle() -> None:
    camera = cater(frames=33, size=4)._settled(FEW, "cpu")["camera"]
    eye, gaze = camera[..., :3, 3], camera[..., :3, 2]
    assert torch.allclose((-eye / eye.norm(dim=-1, keepdim=True) * gaze).sum(-1), torch.tensor(1.0), atol=1e-5)
    assert (eye[:, 0] - torch.tensor([7.48, -6.51, 5.34])).abs().max() <= 0.5 + 1e-5
    # Every tenth frame is one of the original's keys, three keys on.
    key = eye[:, 10::10]
    assert (key[..., 2].sub(10).abs().round(decimals=4).unique()).tolist() == [0.0, 2.0]
    assert (key[..., :2].abs().amax(-1) - 10).abs().max() < 1e-4
    still = cater(frames=9, size=4, moving_camera=False)._settled(FEW, "cpu")["camera"]
    assert torch.equal(still, still[:, :1].expand_as(still))


def test_details_follow_time() -> None:
    dataset = cater(size=8)
    batch, details = dataset.gather(FEW), dataset.details(FEW)
    entities = dataset.entities
    assert details["action"].shape == (4, 1, entities)
    assert details["inside"].shape == (4, 9, entities, entities)
    assert details["yaw"].shape == (4, 9, entities)
    assert details["relation.left"].shape == (4, 9, entities, entities)
    assert torch.equal(details["camera"], batch["camera"])
    first, last = batch["position"][:, 0], batch["position"][:, -1]
    acting = (details["action"][:, 0] >= SLIDE).nonzero().tolist()
    assert acting
    for b, e in acting:
        assert not torch.equal(first[b, e], last[b, e])


def test_the_same_video_in_any_batch_and_size() -> None:
    one = cater(size=8).gather(torch.tensor([7, 3]))
    other = cater(size=12, samples=2, shadows=True).gather(torch.arange(8))
    assert torch.equal(one["position"], other["position"][[7, 3]])
    assert torch.equal(one["video"][1], cater(size=8).gather(torch.tensor([3]))["video"][0])
    assert not torch.equal(one["position"], cater(size=8, split="test").gather(torch.tensor([7, 3]))["position"])


@pytest.mark.parametrize(
    "settings", [{"frames": 0}, {"objects": (2, 5)}, {"objects": (6, 5)}, {"objects": (5, 13)}, {"pixels": -1}]
)
def test_bad_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        cater(**settings)
