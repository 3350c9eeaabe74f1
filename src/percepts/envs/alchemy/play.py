"""Alchemy in 3-D for humans, in a window, with the mouse or with keys.

    play(Bench.Config().build(), "cursor", seed=0, record="alchemy.gif")

With the cursor a stone is pressed on, dragged to a flask or the cauldron, and let go. With hands W, A, S, D walk, the
arrows look around, and the space bar takes what the middle of the view points at or lets go of it. Time passes as it
does on the clock, unless drawing takes longer. Windows are Matplotlib's, through whatever toolkit it finds.
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from percepts.core.optional import require_package
from percepts.envs.alchemy.bench import HOVER, TOP, Bench
from percepts.envs.alchemy.cursor import SPEED, Cursor
from percepts.envs.alchemy.interfaces import Interface, PlayerState, seen
from percepts.envs.alchemy.scene import SceneView
from percepts.envs.human_window import check_film, gif_of, listen, play_in_window

require_package("gymnasium", extra="envs")

from percepts.envs.alchemy.world3d import INTERFACES, InterfaceName  # noqa: E402

KEYS: dict[str, tuple[str, float]] = {
    "w": ("MOVE_BACK_FORWARD", 1.0), "s": ("MOVE_BACK_FORWARD", -1.0), "d": ("STRAFE_LEFT_RIGHT", 1.0),
    "a": ("STRAFE_LEFT_RIGHT", -1.0), "up": ("LOOK_DOWN_UP", 0.5), "down": ("LOOK_DOWN_UP", -0.5),
    "right": ("LOOK_LEFT_RIGHT", 0.5), "left": ("LOOK_LEFT_RIGHT", -0.5), "e": ("HAND_PUSH_PULL", 5.0),
    "c": ("HAND_PUSH_PULL", -5.0),
}  # fmt: skip
"""What keys do with hands while they are down."""
HUMAN_VIEW = SceneView.Config(height=216, width=288, samples=2, gloss=True)
"""How humans see the table by default."""
_TICK = 100
"""Milliseconds from one picture to the next."""


class HumanPlayer:
    """A human at one table; knows nothing of windows.

    Args:
        interface: a `Cursor` or `Hands`.
        seed: of the stream of episodes.
        view: of the pictures.
        keep: whether all pictures are kept, for a film.

    Attributes:
        state: the player.
        picture: what is seen, uint8 [H, W, 3].
        frames: all pictures so far, or the last one if they are not kept.
    """

    def __init__(self, interface: Interface[Any], seed: int, view: SceneView, keep: bool = False) -> None:
        self.interface, self.view, self.keep = interface, view, keep
        self.bench = interface.bench
        self.state: PlayerState = interface.begin(self.bench.reset([seed]))
        self.goal: tuple[float, float] | None = None
        self.gripping = False
        self._take: tuple[float, float] | None = None
        self.down: set[str] = set()
        self.last = 0.0
        self.frames: list[NDArray[np.uint8]] = []
        self.picture = self._show()

    @property
    def status(self) -> str:
        """A line about the episode."""
        table, config = self.state.bench.table, self.bench.config
        left = config.seconds - int(self.state.bench.frame) / config.rate
        trial = f"trial {int(table.trial) + 1} of {config.table.trials}"
        paid = f", last reward {self.last:+.0f}" if self.last else ""
        end = ", over. R: next" if self.over else ""
        return f"{trial}, {max(0.0, left):.0f} s left, score {float(table.score):+.0f}{paid}{end}"

    @property
    def controls(self) -> str:
        """A line about what can be done."""
        if isinstance(self.interface, Cursor):
            how = "drag stones onto flasks or into the cauldron"
        else:
            how = "WASD: walk, arrows: look, space: take and let go"
        return f"{how}; N: next trial, R: next episode, Q: quit"

    @property
    def over(self) -> bool:
        """Whether the episode is."""
        return bool(self.state.finished)

    def point(self, across: float, down: float) -> None:
        """Point at a place in the picture, by shares of its width and height from the upper left; the cursor goes
        there."""
        camera, _ = self.interface.look(self.state)
        camera = camera.view(-1, 4, 4)[0].double()
        lens = self.view.scene(self.state.bench, camera.float()).intrinsics.double()
        ray = camera[:3, :3] @ torch.stack(
            [(across - lens[2]) / lens[0], (down - lens[3]) / lens[1], lens.new_tensor(1)]
        )
        # What is held hangs over the table; where it will fall is what a human means.
        height = TOP + (HOVER if int(self.state.bench.held) >= 0 else 0.08)
        if float(ray[2]) < -1e-3:
            place = camera[:3, 3] + ray * ((height - camera[2, 3]) / ray[2])
            self.goal = float(place[0]), float(place[1])

    def press(self) -> None:
        """Take what the cursor or the middle of the view is at, as soon as it is there."""
        self.gripping, self._take = True, self.goal

    def release(self) -> None:
        """Let go."""
        self.gripping = False

    def toggle(self) -> None:
        """Take or let go."""
        self.gripping = not self.gripping

    def tick(self, frames: int) -> None:
        """Let some frames pass, and look."""
        for _ in range(frames):
            if self.over:
                break
            self.state, outcome = self.interface.act(self.state, self._motors())
            if float(outcome.reward) or bool((outcome.stone >= 0).any()):
                self.last = float(outcome.reward)
            if bool(outcome.new_trial):
                self.gripping, self._take = False, None
        self.picture = self._show()

    def end_trial(self) -> None:
        """Go on to the next trial."""
        bench, _ = self.bench.end_trial(self.state.bench, torch.ones(1, dtype=torch.bool))
        self.state, self.gripping, self._take = dataclasses.replace(self.state, bench=bench), False, None
        self.picture = self._show()

    def restart(self) -> None:
        """Begin the next episode."""
        self.state = self.interface.restart(self.state, torch.ones(1, dtype=torch.bool))
        self.gripping, self.last, self.goal, self._take = False, 0.0, None, None
        self.picture = self._show()

    def gif(self, size: int = 384) -> bytes:
        """Everything that was kept, enlarged by whole numbers to about `size` pixels."""
        return gif_of(self.frames, size, _TICK)

    def _motors(self) -> torch.Tensor:
        names = self.interface.names
        motors = torch.zeros(1, len(names))
        if isinstance(self.interface, Cursor):
            motors[0] = torch.tensor(self._cursor_motors())
            return motors
        for key in self.down:
            name, value = KEYS[key]
            motors[0, names.index(name)] += value
        motors[0, names.index("HAND_GRIP")] = float(self.gripping)
        return motors

    def _cursor_motors(self) -> tuple[float, float, float]:
        """The cursor first goes where something is to be taken, however fast the mouse goes on, and lets go only where
        the mouse has come to."""
        x, y = self.state.bench.hand[0, :2].tolist()
        goal = self._take or self.goal or (x, y)
        across, along = goal[0] - x, goal[1] - y
        arrived = max(abs(across), abs(along)) < 0.03
        grip = self.gripping or not arrived if int(self.state.bench.held) >= 0 else arrived and self._take is not None
        if self._take is not None and arrived:
            self._take = None
        step = SPEED * self.interface.interval
        return across / step, along / step, float(grip)

    def _show(self) -> NDArray[np.uint8]:
        found: NDArray[np.uint8] = seen(self.interface, self.view, self.state).image[0].numpy()
        self.frames = [*self.frames, found] if self.keep else [found]
        return found


class Window:
    """A player's window.

    Args:
        player: who plays.
        figure: of Matplotlib, to draw into.
    """

    def __init__(self, player: HumanPlayer, figure: Any) -> None:
        self.player, self.figure = player, figure
        self.closed = False
        self._clock = time.monotonic()
        self.axes = figure.add_axes((0.01, 0.07, 0.98, 0.86))
        self.axes.set_axis_off()
        self._image = self.axes.imshow(player.picture, extent=(0, 1, 1, 0), interpolation="nearest", aspect="auto")
        figure.text(0.5, 0.02, player.controls, ha="center", fontsize=9)
        self._title = figure.text(0.5, 0.95, player.status, ha="center")
        listen(
            figure,
            button_press_event=self._press,
            motion_notify_event=self._move,
            button_release_event=self._release,
            key_press_event=self._key,
            key_release_event=self._key_up,
        )
        self._timer = figure.canvas.new_timer(interval=_TICK)
        self._timer.add_callback(self.tick)
        self._timer.start()

    def tick(self) -> None:
        """Let as much time pass as has passed."""
        now = time.monotonic()
        rate = self.player.bench.config.rate
        # Where drawing is slower than time, time waits for it: nobody can play what is not seen.
        frames = min(round((now - self._clock) * rate), max(1, rate // 3))
        if frames:
            self._clock = now
            self.player.tick(frames)
            self._refresh()

    def close(self) -> None:
        """Close the window."""
        import matplotlib.pyplot as plt

        self.closed = True
        self._timer.stop()
        plt.close(self.figure)

    def _press(self, event: Any) -> None:
        self._move(event)
        if event.button == 1:
            self.player.press()

    def _move(self, event: Any) -> None:
        if event.x is not None and event.y is not None:
            across, down = self.axes.transData.inverted().transform((event.x, event.y))
            self.player.point(float(np.clip(across, 0, 1)), float(np.clip(down, 0, 1)))

    def _release(self, event: Any) -> None:
        self._move(event)
        self.player.release()

    def _key(self, event: Any) -> None:
        if event.key in KEYS:
            self.player.down.add(event.key)
        elif event.key in (" ", "space"):
            self.player.toggle()
        elif event.key in ("n", "N"):
            self.player.end_trial()
        elif event.key in ("r", "R"):
            self.player.restart()
        elif event.key in ("q", "Q", "escape"):
            self.close()
            return
        self._refresh()

    def _key_up(self, event: Any) -> None:
        self.player.down.discard(event.key)

    def _refresh(self) -> None:
        self._image.set_data(self.player.picture)
        self._title.set_text(self.player.status)
        self.figure.canvas.draw_idle()


def play(
    bench: Bench,
    interface: InterfaceName = "cursor",
    seed: int = 0,
    record: Path | str | None = None,
    view: SceneView.Config = HUMAN_VIEW,
) -> HumanPlayer:
    """Open a window and wait until it is closed.

    Args:
        bench: at which is played.
        interface: "cursor" for the mouse, "hands" for keys.
        seed: of the stream of episodes.
        record: a GIF file, which is written at the end.
        view: of the pictures.

    Returns:
        Who played.

    Raises:
        ConfigError: a file that is no GIF.
        PerceptsError: there is no display, or the file cannot be written.
    """
    check_film(record)
    player = HumanPlayer(INTERFACES[interface](bench), seed, view.build(bench=bench), keep=record is not None)
    play_in_window(player, Window, "Alchemy", (8, 6.9), record)
    return player
