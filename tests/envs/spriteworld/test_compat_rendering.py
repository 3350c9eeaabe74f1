"""The original's colours in both precisions, frames of whole batches, and the way to tensors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from percepts.core.errors import ConfigError
from percepts.envs.spriteworld.compat_rendering import as_tensors, factor_list, hsv_to_rgb, render
from percepts.envs.spriteworld.compat_sampling import CompatOptions
from percepts.envs.spriteworld.compat_sprite import CompatSprite
from percepts.envs.spriteworld.observations import Observer
from percepts.envs.spriteworld.state import FACTORS

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "spriteworld.json").read_text())["colours"]


def random_scene(count: int, seed: int) -> list[CompatSprite]:
    rng = np.random.RandomState(seed)
    return [
        CompatSprite(
            {
                "x": np.float32(rng.uniform()),
                "y": np.float32(rng.uniform()),
                "shape": rng.randint(1, 13),
                "angle": rng.uniform(0, 360),
                "scale": rng.uniform(0.1, 0.4),
                **{f"c{channel}": int(rng.randint(256)) for channel in range(3)},
            }
        )
        for _ in range(count)
    ]


def pillow(scene: list[CompatSprite], size: int, supersampling: int) -> np.ndarray:
    canvas = Image.new("RGB", (size * supersampling,) * 2)
    for sprite in scene:
        outline = [tuple(corner) for corner in (sprite.corners * size * supersampling).tolist()]
        ImageDraw.Draw(canvas).polygon(outline, fill=tuple(map(int, sprite.colour)))
    return np.flipud(np.array(canvas.resize((size, size), Image.Resampling.LANCZOS)))


@pytest.mark.parametrize(("hsv", "one", "two"), GOLDEN)
def test_colours_that_depend_on_the_version_of_numpy(hsv, one, two):
    drawn = tuple(np.float32(value) for value in hsv)
    assert hsv_to_rgb(drawn, CompatOptions(numpy=1)) == tuple(one)
    assert hsv_to_rgb(drawn, CompatOptions(numpy=2)) == tuple(two)
    assert one != two


def test_colours_are_cut_off_and_hue_wraps():
    assert hsv_to_rgb((0.2, 0.5, 0.5)) == (114, 127, 63)
    assert hsv_to_rgb((0.0, 0.0, 0.95)) == (242, 242, 242)
    assert hsv_to_rgb((1.0, 1.0, 1.0)) == hsv_to_rgb((0.0, 1.0, 1.0)) == (255, 0, 0)


@pytest.mark.parametrize("supersampling", [1, 5])
def test_frames_are_pillows_and_do_not_depend_on_the_batch(supersampling):
    scenes = [random_scene(count, seed) for seed, count in enumerate((4, 0, 1, 6))]
    observer = Observer(colours="rgb", height=32, width=32, supersampling=supersampling)
    frames = render(scenes, observer)
    for scene, frame in zip(scenes, frames):
        np.testing.assert_array_equal(frame, pillow(scene, 32, supersampling))
        np.testing.assert_array_equal(frame, render([scene], observer)[0])


def test_the_background_has_its_colour():
    frame = render([[]], Observer(background=(5, 6, 7)))[0]
    assert frame.shape == (64, 64, 3)
    assert frame[5, 5].tolist() == [5, 6, 7]


def test_a_random_background_is_an_error():
    with pytest.raises(ConfigError, match="random background"):
        render([[]], Observer(background="random_grey"))


def test_scenes_become_the_tensors_of_the_batched_arena():
    scenes = [random_scene(3, 1), random_scene(1, 2), []]
    sprites = as_tensors(scenes)
    assert sprites.present.sum(1).tolist() == [3, 1, 0]
    for row, scene in enumerate(scenes):
        for place, sprite in enumerate(scene):
            wanted = factor_list(scene)[place]
            assert sprites.factors[row, place].tolist() == [wanted[name] for name in FACTORS]
            corners = sprites.corners[row, place, : len(sprite.outline)].numpy()
            np.testing.assert_allclose(corners, sprite.corners, atol=1e-12)
