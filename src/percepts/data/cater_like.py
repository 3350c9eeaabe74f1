"""CATER-like videos: five to ten objects that turn, slide, are lifted and hidden under cones, seen by a moving camera.

The grammar is that of CATER with camera motion (Girdhar and Ramanan 2020), of which the published set with masks (Kabra
et al. 2021) has 33 frames of 64 x 64. Its frames are taken to be every ninth of 300, which is unverified; the pace of
actions is this library's own (`cater_motion`), as are materials and lamps (`clevr_look`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from percepts.core.capabilities import Batch
from percepts.core.errors import ConfigError
from percepts.data import clevr_look as look
from percepts.data.cater_motion import SEGMENT, Cast, Motion, plan
from percepts.data.hashed_draws import TRIES, Draws, Values
from percepts.data.scene_draws import Candidates, after_backgrounds, place
from percepts.data.scenes import Property
from percepts.data.solid_scenes import Frame, SolidConfig, SolidScenes
from percepts.rendering.objects import ObjectScene, look_at

SHAPES = ("cube", "sphere", "short cylinder", "cone", "snitch")
_SIZES = {"large": 0.75, "medium": 0.5, "small": 0.25, "snitch": 0.3}
_COLOURS = tuple(look.RGB)
_KNOWN = torch.tensor([list(look.SHAPES).index(name) for name in SHAPES])
_CONE, _SNITCH, _GOLD, _METAL = SHAPES.index("cone"), SHAPES.index("snitch"), _COLOURS.index("gold"), 1

_LENS = torch.tensor([look.FOCAL / 240, look.FOCAL / 240, 0.5, 0.5])
_STRIDE, _KEY = 9, 30
"""Frames of the original from one of these frames to the next, and from one place of its camera to the next."""
_HALF, _DISTANCE = 3.0, 0.25


class CaterLike(SolidScenes):
    """Videos of a golden snitch, two cones and two to seven other objects on a grey floor.

    The entities are the background and the objects, the snitch first. Properties, which do not change: the codes, from
    1, of `size`, `material`, `shape` and `colour`. A batch also has `camera` [B, T, 4, 4], world from camera, and
    `position` [B, T, E, 3], the centres in the world in metres. `details` has besides `yaw` [B, T, E], `action`
    [B, segments, E], numbers into `cater_motion.ACTIONS` for every eight frames, and `inside` [B, T, E, E]: [i, j] says
    that i is hidden inside of cone j.

    The camera begins near CLEVR's place. After every 30 of the original's frames its x or its y has become 10 or -10
    and its height 8, 10 or 12; it always looks at the middle of the floor. The picture is the square in the middle of
    the original's.

    Raises:
        ConfigError: numbers that cannot be, or so many objects that they do not fit.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(SolidConfig):
        """Settings.

        Attributes:
            frames: how many images a video has.
            objects: the fewest and the most, all numbers as likely; the snitch and two cones are always there.
            moving_camera: whether the camera moves.
            pixels: how many of the 240 x 240 pixels of the original's middle have to show every object at first, or
                later.
        """

        images: int = 10_000
        shadows: bool = True
        frames: int = 33
        objects: tuple[int, int] = (5, 10)
        moving_camera: bool = True
        pixels: int = 60

    config: Config
    backgrounds = 1

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        _check(config)
        self.frames = config.frames
        self.image_shape = (3, config.size, config.size)
        self.entities = 1 + config.objects[1]
        self.properties = {
            "size": Property("categorical", 5, ("none", *_SIZES)),
            "material": Property("categorical", 3, ("none", *look.MATERIALS)),
            "shape": Property("categorical", 6, ("none", *SHAPES)),
            "colour": Property("categorical", 10, ("none", *_COLOURS)),
        }
        self._frame = Frame(80, 80, _LENS, math.ceil(config.pixels / 9))

    def _make(self, scene: Draws, attempt: Tensor) -> Values:
        config, most, device = self.config, self.config.objects[1], attempt.device
        count = scene.whole("objects", *config.objects)
        attempt, spot = place(scene, attempt, count, lambda _, trial: _candidates(trial, most), _apart)
        trial = scene.attempt(torch.arange(len(attempt), device=device), attempt)
        kinds = _kinds(trial, most)
        exists = torch.arange(most, device=device) < count[:, None]
        radius = _radius(kinds["size"])
        half = look.half_extents(_KNOWN.to(device)[kinds["shape"]], radius)
        motion = plan(
            trial,
            Cast(exists, kinds["shape"] == _CONE, radius, half[..., 2]),
            torch.cat([spot, half[..., 2:]], dim=-1),
            trial.between("yaw", (0, 2 * math.pi), most),
            config.frames,
        )
        camera = _camera(scene, config.frames, config.moving_camera)
        return kinds | _stage(motion) | {
            "attempt": attempt,
            "exists": exists,
            "half": half.float(),
            "camera": camera,
            "lamps": look.lamp_places(scene),
        }  # fmt: skip

    def _objects(self, values: Values) -> ObjectScene:
        def every_frame(value: Tensor) -> Tensor:
            return value.repeat_interleave(self.config.frames, 0)

        return look.objects_on_floor(
            shape=every_frame(_KNOWN.to(values["shape"].device)[values["shape"]]),
            position=values["position"].flatten(0, 1),
            yaw=values["yaw"].flatten(0, 1),
            half=every_frame(values["half"]),
            colour=every_frame(values["colour"]),
            metal=every_frame(values["material"] == _METAL),
            exists=every_frame(values["exists"]),
            lamps=every_frame(values["lamps"]),
            camera=values["camera"].flatten(0, 1),
            intrinsics=_LENS,
        )

    def _properties(self, values: Values) -> Values:
        return {name: after_backgrounds((values[name] + 1) * values["exists"], 1) for name in self.properties}

    def _extras(self, values: Values) -> Batch:
        there = values["exists"][:, None, :, None]
        return {"camera": values["camera"], "position": after_backgrounds(values["position"] * there, 1, axis=2)}

    def _more_details(self, values: Values) -> Batch:
        inside = after_backgrounds(after_backgrounds(values["inside"], 1, axis=2), 1, axis=3)
        return {
            "yaw": after_backgrounds(values["yaw"] * values["exists"][:, None], 1, axis=2),
            "action": after_backgrounds(values["action"], 1, axis=2),
            "inside": inside,
        }


def _kinds(trial: Draws, most: int) -> Values:
    """What the objects are: the snitch, a medium and a large cone, then anything."""
    size, shape = trial.whole("size", 0, 2, most), trial.whole("shape", 0, 3, most)
    colour, material = trial.whole("colour", 0, 7, most), trial.whole("material", 0, 1, most)
    size[:, :3] = torch.tensor([3, 1, 0], device=size.device)
    shape[:, :3] = torch.tensor([_SNITCH, _CONE, _CONE], device=size.device)
    colour[:, 0], material[:, 0] = _GOLD, _METAL
    return {"size": size, "shape": shape, "colour": colour, "material": material}


def _radius(size: Tensor) -> Tensor:
    return torch.tensor(list(_SIZES.values()), dtype=torch.float64, device=size.device)[size]


def _candidates(trial: Draws, most: int) -> Candidates:
    x, y = (trial.between(name, (-_HALF, _HALF), most, TRIES) for name in ("x", "y"))
    return Candidates(x, y, _radius(_kinds(trial, most)["size"]))


def _apart(x: Tensor, y: Tensor, reach: Tensor) -> Tensor:
    return x.square() + y.square() >= (reach + _DISTANCE).square()


def _stage(motion: Motion) -> Values:
    return {
        "position": motion.position.float(),
        "yaw": motion.yaw.float(),
        "action": motion.action,
        "inside": motion.inside,
    }


def _camera(scene: Draws, frames: int, moving: bool) -> Float[Tensor, "batch frames 4 4"]:
    """Where the camera is in every frame, smoothly from one place to the next."""
    keys = 2 + (frames - 1) * _STRIDE // _KEY
    first = look.jittered(scene, "camera", look.LOCATION, 0.5)
    axis, side = scene.whole("camera.axis", 0, 1, keys), scene.whole("camera.side", 0, 1, keys)
    height = scene.whole("camera.height", 0, 2, keys)
    places = [first]
    for key in range(1, keys):
        on_axis = torch.arange(2, device=axis.device) == axis[:, key, None]
        level = torch.where(on_axis, 20.0 * side[:, key, None] - 10, places[-1][:, :2])
        places.append(torch.cat([level, 8.0 + 2 * height[:, key, None]], dim=1) if moving else places[-1])
    path = torch.stack(places, dim=1)
    time = torch.arange(frames, device=path.device, dtype=torch.float64) * _STRIDE / _KEY
    before = time.long()
    share = time - before
    share = (share * share * (3 - 2 * share))[None, :, None]
    eye = path[:, before] * (1 - share) + path[:, before + 1] * share
    return look_at(eye, torch.zeros_like(eye)).float()


def _check(config: CaterLike.Config) -> None:
    fewest, most = config.objects
    if not 3 <= fewest <= most <= 12:
        raise ConfigError(
            f"objects = {config.objects}", "the fewest and the most, from 3, the snitch and two cones, to 12"
        )
    if config.frames < 1:
        raise ConfigError(f"frames = {config.frames}", f"at least 1, or better 1 more than some times {SEGMENT}")
    if config.pixels < 0:
        raise ConfigError(f"pixels = {config.pixels}", "0 or more")
