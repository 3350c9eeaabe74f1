"""Playing a task by hand: in a window of Matplotlib, with mouse or keys, and what was played as a GIF.

    play(SpriteworldEnv("sorting", render_mode="rgb_array", height=256, width=256), seed=0, record=Path("sorting.gif"))

A press chooses a sprite, the way to the release is its motion. Bodies are steered with the arrow keys; the space bar
takes hold of what is under them, and lets go of it. R begins the next episode, Q closes the window. In between nothing
is computed: the window waits for events.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from percepts.core.errors import ConfigError
from percepts.envs.human_window import check_film, gif_of, listen, play_in_window
from percepts.envs.spriteworld.actions import ActionSpace, ClickGrid, Clicks, DragAndDrop, Embodied, SelectMove
from percepts.envs.spriteworld.env import SpriteworldEnv

Point = tuple[float, float]

_DIRECTIONS = {"up": 0, "left": 1, "down": 2, "right": 3}
_MILLISECONDS = 400
_SHORTEST = 0.005
"""A way of the mouse that is shorter, in arenas, is no motion of a numbered action."""


class Player:
    """A human who plays episode after episode; knows nothing of windows.

    Args:
        environment: with the render mode "rgb_array".
        seed: of its stream of scenes and noise.

    Attributes:
        frames: all pictures so far, uint8 [H, W, 3].
        carrying: whether the body takes along what is under it.

    Raises:
        ConfigError: another render mode, or actions that have no controls.
    """

    def __init__(self, environment: SpriteworldEnv, seed: int = 0) -> None:
        if environment.render_mode != "rgb_array":
            raise ConfigError("an environment without pictures", fix="render_mode='rgb_array'")
        self.environment = environment
        self.actions: ActionSpace = environment.config.arena.actions
        if not isinstance(self.actions, SelectMove | DragAndDrop | ClickGrid | Embodied):
            raise ConfigError(f"actions of kind {type(self.actions).__name__}", "SelectMove, DragAndDrop or Embodied")
        self.frames: list[NDArray[np.uint8]] = []
        self.carrying = False
        self._begin(seed)

    @property
    def status(self) -> str:
        """A line about the episode."""
        count = f"step {self.steps} of {self.environment.config.arena.max_episode_length}"
        reward = f"reward {self.reward:+.2f}, in all {self.total:+.2f}"
        end = {"": "", "solved": ", solved! R: next", "over": ", over. R: next"}[self.end]
        if self.solved_at_start and not self.steps:
            end = ", solved already"
        return f"{count}, {reward}{', carrying' if self.carrying else ''}{end}"

    @property
    def controls(self) -> str:
        """A line about what can be done."""
        how = "arrows: go, space: carry" if isinstance(self.actions, Embodied) else "press on a sprite and drag it"
        return f"{how}; R: next episode, Q: quit"

    def restart(self) -> None:
        """Begin the next episode."""
        self._begin(None)

    def drag(self, start: Point, end: Point) -> bool:
        """Press at a point of the arena and release at another; whether that was an action."""
        action = dragged(self.actions, start, end)
        return action is not None and self._act(action)

    def steer(self, direction: str) -> bool:
        """Send the body "up", "left", "down" or "right"; whether that was an action."""
        if not isinstance(self.actions, Embodied):
            return False
        return self._act(np.array([int(self.carrying), _DIRECTIONS[direction]]))

    def carry(self) -> None:
        """Take hold of what is under the body, or let go of it."""
        self.carrying = isinstance(self.actions, Embodied) and not self.carrying

    def gif(self, size: int = 256, milliseconds: int = _MILLISECONDS) -> bytes:
        """Everything that was played, enlarged by whole numbers to about `size` pixels."""
        return gif_of(self.frames, size, milliseconds)

    def _begin(self, seed: int | None) -> None:
        _, info = self.environment.reset(seed=seed)
        self.steps, self.reward, self.total, self.carrying = 0, 0.0, 0.0, False
        self.end = ""
        self.solved_at_start = bool(info["solved_at_start"])
        self._show()

    def _act(self, action: NDArray[Any]) -> bool:
        if self.end:
            return False
        _, self.reward, terminated, truncated, info = self.environment.step(action)
        self.steps, self.total = self.steps + 1, self.total + self.reward
        if terminated or truncated:
            self.end = "solved" if info["success"] else "over"
        self._show()
        return True

    def _show(self) -> None:
        picture = self.environment.render()
        assert picture is not None
        self.frames.append(picture)


class Window:
    """A player's window.

    Args:
        player: who plays.
        figure: of Matplotlib, to draw into.
    """

    def __init__(self, player: Player, figure: Any) -> None:
        self.player, self.figure = player, figure
        self.closed = False
        self._start: Point | None = None
        self.axes = figure.add_axes((0.02, 0.08, 0.96, 0.84))
        self.axes.set_axis_off()
        image, frame = player.frames[-1], (0, 1, 0, 1)
        self._image = self.axes.imshow(image, extent=frame, interpolation="nearest", vmin=0, vmax=255)
        (self._arrow,) = self.axes.plot([], [], color="white", marker="o", markevery=[0], linewidth=1.5)
        self.axes.set(xlim=(0, 1), ylim=(0, 1))
        figure.text(0.5, 0.03, player.controls, ha="center")
        self._title = figure.text(0.5, 0.95, player.status, ha="center")
        listen(
            figure,
            button_press_event=self._press,
            motion_notify_event=self._move,
            button_release_event=self._release,
            key_press_event=self._key,
        )

    def _press(self, event: Any) -> None:
        self._start = self._place(event) if event.button == 1 else None

    def _move(self, event: Any) -> None:
        place = self._place(event)
        if self._start is not None and place is not None:
            self._arrow.set_data([self._start[0], place[0]], [self._start[1], place[1]])
            self.figure.canvas.draw_idle()

    def _release(self, event: Any) -> None:
        start, self._start = self._start, None
        place = self._place(event)
        self._arrow.set_data([], [])
        if start is not None and place is not None:
            self.player.drag(start, place)
        self._refresh()

    def _key(self, event: Any) -> None:
        if event.key in _DIRECTIONS:
            self.player.steer(event.key)
        elif event.key in (" ", "space"):
            self.player.carry()
        elif event.key in ("r", "R"):
            self.player.restart()
        elif event.key in ("q", "Q", "escape"):
            self.close()
            return
        self._refresh()

    def close(self) -> None:
        """Close the window."""
        import matplotlib.pyplot as plt

        self.closed = True
        plt.close(self.figure)

    def _refresh(self) -> None:
        self._image.set_data(self.player.frames[-1])
        self._title.set_text(self.player.status)
        self.figure.canvas.draw_idle()

    def _place(self, event: Any) -> Point | None:
        """Where in the arena something happened; what happens beside it counts as its border."""
        if event.x is None or event.y is None:
            return None
        x, y = self.axes.transData.inverted().transform((event.x, event.y))
        return float(np.clip(x, 0, 1)), float(np.clip(y, 0, 1))


def play(environment: SpriteworldEnv, seed: int = 0, record: Path | str | None = None) -> Player:
    """Open a window and wait until it is closed.

    Args:
        environment: with the render mode "rgb_array".
        seed: of its stream of scenes and noise.
        record: a GIF file, which is written at the end.

    Returns:
        Who played.

    Raises:
        ConfigError: an environment that cannot be played, or a file that is no GIF.
        PerceptsError: there is no display, or the file cannot be written.
    """
    check_film(record)
    player = Player(environment, seed)
    play_in_window(player, Window, environment.config.name, (6, 6.6), record)
    return player


def dragged(actions: ActionSpace, start: Point, end: Point) -> NDArray[Any] | None:
    """The action that chooses what is at `start` and moves it towards `end`, as far as actions go; None if there is
    none."""
    across, along = end[0] - start[0], end[1] - start[1]
    if isinstance(actions, ClickGrid):
        if math.hypot(across, along) < _SHORTEST:
            return None
        column = min(int(start[0] * actions.columns), actions.columns - 1)
        row = min(int(start[1] * actions.rows), actions.rows - 1)
        direction = round(math.atan2(along, across) / (2 * math.pi) * actions.directions) % actions.directions
        return np.array((row * actions.columns + column) * actions.directions + direction)
    if isinstance(actions, DragAndDrop):
        return np.array([*start, *end])
    if isinstance(actions, Clicks):
        motion = [min(max(0.5 + way / actions.scale, 0.0), 1.0) for way in (across, along)]
        return np.array([*start, *motion])
    return None
