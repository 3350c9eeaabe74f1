"""Episodes of arenas as a dataset: videos with actions, rewards and the truth about every sprite.

    SpriteworldEpisodes.Config(task="exploration", clicks="objects", steps=10).build()

Episode i is a function of the seed and of i, whatever else is asked for. `CachedImages` writes them on disk once;
`transitions.record` writes what an agent of one's own does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Num
from torch import Tensor

from percepts.core.capabilities import Batch
from percepts.core.errors import ConfigError
from percepts.core.random import derive_seed
from percepts.data.dataset import check_places
from percepts.data.flat_scenes import GeneratedConfig, seen
from percepts.data.hashing import hashed_uniform
from percepts.data.scenes import SceneDataset
from percepts.envs.spriteworld.actions import ActionSpace, ClickGrid, Clicks
from percepts.envs.spriteworld.arena import Arena
from percepts.envs.spriteworld.configs import task_config
from percepts.envs.spriteworld.observations import Screen
from percepts.envs.spriteworld.parts import matching
from percepts.envs.spriteworld.scenes import in_parts, properties_of, sprite_properties, sprites_alone
from percepts.envs.spriteworld.state import Sprites
from percepts.envs.streams import Streams

_AT_ONCE = 64
Maker = Callable[[Tensor, torch.device | str], Batch]


class SpriteworldEpisodes(SceneDataset):
    """Videos of what random actions do in the arena of one of Spriteworld's tasks, and what they are rewarded with.

    (Watters et al. 2019.) A video of T actions has T + 1 frames; what action t does is seen in frame t + 1. Entities
    keep their numbers and all properties but their places. Once the task is done the sprites stand still. Besides what
    scenes have, a batch has

    - `action` [B,T,…]: float32 numbers, or int64 where actions are numbered; those of an episode that is over do
      nothing;
    - `acted` bool [B,T]: whether it was still on;
    - `reward` float32 [B,T], and `success` bool [B,T]: whether the task is done after the action;
    - `hit` int64 [B,T]: the entity that the action found; 0, the background, for none;
    - `motion` float32 [B,T,2]: the displacement that was meant for it, in arenas to the right and up, noise included.

    Properties are those of `SpriteworldScenes`, with `x` and `y` in the first frame; `details` also has `position`
    float32 [B,T+1,E,2] in all of them.

    Raises:
        ConfigError: no images or steps, an unknown task or mode, clicks on objects where nothing is clicked on, or
            settings of pictures that cannot be.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(GeneratedConfig):
        """Settings.

        Attributes:
            task: a name of `envs.spriteworld.configs.TASKS`.
            mode: of the task, such as the held-out "test".
            noise: standard deviation of the noise on actions; of none by default.
            steps: actions of an episode; by default as many as the task allows.
            clicks: "uniform" actions, which seldom hit anything, or clicks on "objects", of which every one is as
                likely as the others; motions are uniform.
            size: pixels a side.
            renderer: see `observations`; models are used with the renderer that they were trained with.
            supersampling: canvas pixels along every side of a pixel, of the exact renderer.
            background: of 255; "random_grey": another grey in every episode.
        """

        images: int = 100_000
        task: str = "exploration"
        mode: str = "train"
        noise: float | None = None
        steps: int | None = None
        clicks: Literal["uniform", "objects"] = "uniform"
        size: int = 64
        renderer: Literal["exact", "fast", "pil"] = "exact"
        supersampling: int = 5
        background: tuple[int, int, int] | Literal["random_grey"] = (0, 0, 0)

    config: Config
    backgrounds = 1
    frames: int

    def __init__(self, config: Config) -> None:
        known = task_config(config.task, config.mode, config.noise)
        steps = known.arena.max_episode_length if config.steps is None else config.steps
        for name, value in (("images", config.images), ("steps", steps)):
            if value < 1:
                raise ConfigError(f"{name} = {value}", "at least 1")
        self.config = config
        self._arena: Arena = replace(known.arena, max_episode_length=steps).build()
        self._observer = replace(
            known.observer,
            keys=("image", "segmentation"),
            image_as="floats",
            renderer=config.renderer,
            height=config.size,
            width=config.size,
            supersampling=config.supersampling,
            background=config.background,
        )
        if config.clicks == "objects":
            check_clicks(self._arena.config.actions)
        self.image_shape = (3, config.size, config.size)
        self.frames = steps + 1
        self.entities = 1 + self._arena.config.generator.most
        self.properties = sprite_properties(self._arena.outlines, self.entities)

    def __len__(self) -> int:
        return self.config.images

    def gather(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        """The episodes at `indices` [B].

        Raises:
            IndexError: an index is negative or too large.
        """
        return self._some(self._batch, indices, device)

    def details(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        """`amodal`, `unoccluded` and `position` of the episodes at `indices` [B].

        Raises:
            IndexError: an index is negative or too large.
        """
        return self._some(self._details, indices, device)

    def _some(self, make: Maker, indices: Tensor, device: torch.device | str) -> Batch:
        check_places(indices, len(self))
        if len(indices):
            return in_parts(make, indices, device, _AT_ONCE)
        # There is no arena without rows.
        return {key: value[:0] for key, value in make(indices.new_zeros(1), device).items()}

    def _batch(self, indices: Tensor, device: torch.device | str) -> Batch:
        frames, done = self._play(indices, device)
        grey = None
        if self.config.background == "random_grey":
            grey = hashed_uniform(indices.to(device), self.config.seed, "backdrop", self.config.split)
        # Frame by frame: most actions hit nothing, and what has not changed is not drawn again.
        screen = Screen(self._observer)
        drawn = [screen.observe(sprites, None, grey) for sprites in frames]
        segmentation = torch.stack([one["segmentation"] for one in drawn], 1)
        properties = properties_of(frames[0], self._observer)
        return {
            "video": torch.stack([one["image"] for one in drawn], 1),
            "segmentation": segmentation,
            "visible": seen(segmentation, self.entities),
            **{f"entity.{name}": value for name, value in properties.items()},
            **done,
        }

    def _details(self, indices: Tensor, device: torch.device | str) -> Batch:
        frames, _ = self._play(indices, device)
        parts = []
        for sprites in frames:
            places = properties_of(sprites, self._observer)
            position = torch.stack([places["x"], places["y"]], -1)
            parts.append({**sprites_alone(sprites, self._observer), "position": position})
        return {key: torch.stack([part[key] for part in parts], 1) for key in parts[0]}

    def _play(self, indices: Tensor, device: torch.device | str) -> tuple[list[Sprites], Batch]:
        """The sprites in every frame, and what was done."""
        seed, split = self.config.seed, self.config.split
        state = self._arena.reset([derive_seed(seed, "episode", split, index) for index in indices.tolist()], device)
        streams = Streams.of(indices.tolist(), seed, "actions", split, device=device)
        actions, frames, done = self._arena.config.actions, [state.sprites], []
        for _ in range(self.frames - 1):
            if self.config.clicks == "objects":
                action, streams = object_clicks(actions, state.sprites, streams)
            else:
                numbers, streams = streams.uniform(*actions.uniform_shape)
                action = actions.of_uniform(numbers)
            acted = ~state.finished
            state, outcome = self._arena.step(state, action)
            frames.append(state.sprites)
            done.append(
                {
                    "action": action,
                    "acted": acted,
                    "reward": outcome.reward.float(),
                    "success": outcome.success,
                    "hit": outcome.hit + 1,
                    "motion": outcome.motion.float(),
                }
            )
        return frames, {key: torch.stack([one[key] for one in done], 1) for key in done[0]}


def check_clicks(actions: ActionSpace) -> None:
    """Make sure that actions click on something.

    Raises:
        ConfigError: they do not.
    """
    if not isinstance(actions, Clicks):
        raise ConfigError(f"clicks on objects where actions are {type(actions).__name__}", fix="clicks = 'uniform'")


def object_clicks(
    actions: ActionSpace, sprites: Sprites, streams: Streams
) -> tuple[Num[Tensor, "batch *action"], Streams]:
    """A click inside of a random sprite that may be moved (as much of it as is in the arena), and a uniform motion.

    Returns:
        The actions, and the streams after them. A sprite in front of the chosen one may catch a click.

    Raises:
        ConfigError: nothing is clicked on.
    """
    check_clicks(actions)
    assert isinstance(actions, Clicks)
    points, streams = sprites.sample_inside(streams, matching(actions.movable, sprites))
    motions, streams = streams.uniform(2)
    points = points.clamp(0, 1)
    if not isinstance(actions, ClickGrid):
        return torch.cat([points, motions], 1).float(), streams
    cells = points.new_tensor([actions.columns, actions.rows])
    column, row = torch.minimum(points * cells, cells - 1).long().unbind(1)
    direction = (motions[:, 0] * actions.directions).long()
    return (row * actions.columns + column) * actions.directions + direction, streams
