"""Playing by hand, without a display: events are sent to a figure that nobody sees."""

from __future__ import annotations

import dataclasses
import io
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.backend_bases import KeyEvent, MouseEvent
from matplotlib.backends.backend_agg import FigureCanvasAgg, FigureManagerBase
from matplotlib.figure import Figure
from PIL import Image

import percepts.envs.spriteworld.play as playing
from percepts.cli import COMMANDS, HELP, main
from percepts.core.errors import ConfigError, PerceptsError
from percepts.envs import human_window
from percepts.envs.human_window import gif_of
from percepts.envs.spriteworld.actions import ClickGrid, DragAndDrop, Embodied, SelectMove
from percepts.envs.spriteworld.configs import task_config
from percepts.envs.spriteworld.env import SpriteworldEnv
from percepts.envs.spriteworld.play import Player, Window, dragged, play
from percepts.envs.spriteworld.state import Sprites


def made(name: str = "goal-finding-new-position", seed: int = 0, **arena: Any) -> Player:
    config = task_config(name, keys=("success",), height=32, width=32)
    config = dataclasses.replace(config, arena=dataclasses.replace(config.arena, **arena))
    return Player(SpriteworldEnv(config, render_mode="rgb_array"), seed)


def sprites(player: Player) -> Sprites:
    return player.environment.state.sprites


def target(player: Player) -> tuple[float, float]:
    """Where the sprite is that belongs in the middle."""
    row = int((sprites(player).colour[0, :, 0] < 0.4).nonzero()[0])
    x, y = sprites(player).position[0, row].tolist()
    return x, y


def bring(player: Player, drag: Any) -> None:
    """Drag the target to the middle, by as many actions as that takes."""
    for _ in range(8):
        if player.end:
            break
        drag(target(player), (0.5, 0.5))


class Screen:
    """A window's figure and a hand for it."""

    def __init__(self, player: Player) -> None:
        self.figure = Figure(figsize=(4, 4.4))
        self.canvas = FigureCanvasAgg(self.figure)
        FigureManagerBase(self.canvas, 1)
        self.window = Window(player, self.figure)

    def mouse(self, kind: str, place: tuple[float, float], button: int = 1) -> None:
        x, y = self.window.axes.transData.transform(place)
        buttons = button if kind != "motion_notify_event" else None
        self.canvas.callbacks.process(kind, MouseEvent(kind, self.canvas, x, y, buttons))

    def drag(self, start: tuple[float, float], end: tuple[float, float], button: int = 1) -> None:
        self.mouse("button_press_event", start, button)
        self.mouse("motion_notify_event", ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2))
        self.mouse("button_release_event", end, button)

    def key(self, name: str) -> None:
        self.canvas.callbacks.process("key_press_event", KeyEvent("key_press_event", self.canvas, name))

    @property
    def shown(self) -> np.ndarray:
        return np.asarray(self.window._image.get_array())


def test_dragging_solves_a_task() -> None:
    player = made()
    screen = Screen(player)
    assert np.array_equal(screen.shown, player.frames[0])
    x, y = target(player)
    screen.drag((x, y), (0.5, 0.5))
    moved = target(player)
    assert moved != (x, y)
    assert np.array_equal(screen.shown, player.frames[1])
    assert not np.array_equal(player.frames[0], player.frames[1])
    bring(player, screen.drag)
    assert player.end == "solved"
    assert "solved!" in screen.window._title.get_text()
    assert f"step {player.steps} of 20" in player.status
    assert player.reward > 0
    count = len(player.frames)
    screen.drag((0.5, 0.5), (0.9, 0.9))
    assert len(player.frames) == count, "nothing moves after the end"
    screen.key("r")
    assert (player.steps, player.end, player.total) == (0, "", 0.0)
    assert "solved!" not in screen.window._title.get_text()


def test_what_is_shown_is_what_the_environment_says() -> None:
    player = made(seed=4)
    env = SpriteworldEnv(player.environment.config, render_mode="rgb_array")
    env.reset(seed=4)
    start = target(player)
    assert player.drag(start, (start[0] + 0.05, start[1] - 0.025))
    _, reward, *_ = env.step([*start, 0.7, 0.4])
    assert player.reward == pytest.approx(reward)
    assert f"reward {reward:+.2f}" in player.status
    assert np.array_equal(player.frames[-1], env.render())
    assert player.drag((0.01, 0.01), (0.01, 0.01))
    assert player.total == pytest.approx(2 * reward)
    player.restart()
    env.reset()
    assert np.array_equal(player.frames[-1], env.render())


def test_time_is_up() -> None:
    player = made(max_episode_length=2)
    for _ in range(2):
        assert player.drag((0.01, 0.01), (0.02, 0.01))
    assert player.end == "over"
    assert "over. R: next" in player.status
    assert not player.drag((0.01, 0.01), (0.02, 0.01))


def test_a_press_beside_the_picture_counts_at_its_border() -> None:
    player = made()
    screen = Screen(player)
    screen.drag((0.5, 0.5), (1.3, 0.5))
    assert player.steps == 1


def test_other_buttons_and_keys_do_nothing() -> None:
    player = made()
    screen = Screen(player)
    screen.drag((0.5, 0.5), (0.6, 0.5), button=3)
    for name in ("x", "up", " ", "ctrl+c"):
        screen.key(name)
    screen.mouse("button_release_event", (0.5, 0.5))
    assert (player.steps, len(player.frames), player.carrying) == (0, 1, False)


def test_an_arrow_shows_the_motion_while_it_is_drawn() -> None:
    screen = Screen(made())
    screen.mouse("button_press_event", (0.25, 0.5))
    screen.mouse("motion_notify_event", (0.75, 0.5))
    across, up = screen.window._arrow.get_data()
    assert np.allclose(across, [0.25, 0.75], atol=0.01)
    assert np.allclose(up, 0.5, atol=0.01)
    screen.mouse("button_release_event", (0.75, 0.5))
    assert len(screen.window._arrow.get_data()[0]) == 0


def test_bodies_go_by_arrow_keys_and_carry_with_the_space_bar() -> None:
    player = made("goal-finding-embodied")
    screen = Screen(player)
    assert "arrows" in player.controls
    body = int(sprites(player).present[0].sum()) - 1
    # Into the middle of the first sprite, and away with it.
    for axis, (less, more) in ((0, ("left", "right")), (1, ("down", "up"))):
        way = float(sprites(player).position[0, 0, axis] - sprites(player).position[0, body, axis])
        for _ in range(round(abs(way) / 0.05)):
            screen.key(more if way > 0 else less)
    before = sprites(player).position[0].clone()
    screen.key(" ")
    assert player.carrying
    assert "carrying" in screen.window._title.get_text()
    steps = player.steps
    screen.key("up")
    after = sprites(player).position[0]
    assert player.steps == steps + 1
    assert after[body, 1] > before[body, 1]
    assert int((after != before).any(-1).sum()) == 2, "the body and what it carries"
    screen.key("space")
    assert not player.carrying
    screen.key("down")
    assert int((sprites(player).position[0] != after).any(-1).sum()) == 1
    screen.drag((0.2, 0.2), (0.3, 0.3))
    assert player.steps == steps + 2, "there is nothing to click on"


def test_q_closes_the_window() -> None:
    screen = Screen(made())
    screen.key("q")
    assert screen.window.closed


def test_solved_at_the_start_is_told() -> None:
    player = made(task=dataclasses.replace(task_config("goal-finding-new-position").arena.task, terminate_distance=2.0))
    assert "solved already" in player.status


class TestActions:
    """From ways of the mouse to actions."""

    def test_select_move(self) -> None:
        assert dragged(SelectMove(scale=0.25), (0.25, 0.5), (0.3125, 0.375)).tolist() == [0.25, 0.5, 0.75, 0.0]
        far = dragged(SelectMove(scale=0.25), (0.0, 1.0), (1.0, 0.0))
        assert far.tolist() == [0, 1, 1, 0], "as far as it goes"

    def test_drag_and_drop(self) -> None:
        assert dragged(DragAndDrop(), (0.25, 0.5), (1.0, 0.0)).tolist() == [0.25, 0.5, 1, 0]

    def test_grids(self) -> None:
        grid = ClickGrid(columns=4, rows=2, directions=4)
        for end, direction in (((0.9, 0.6), 0), ((0.7, 0.9), 1), ((0.2, 0.6), 2), ((0.7, 0.1), 3)):
            assert int(dragged(grid, (0.7, 0.6), end)) == (1 * 4 + 2) * 4 + direction
        assert dragged(grid, (0.5, 0.5), (0.5, 0.5)) is None
        assert int(dragged(grid, (1.0, 1.0), (0.9, 1.0))) == grid.actions - 2

    def test_bodies_are_not_dragged(self) -> None:
        assert dragged(Embodied(), (0.1, 0.1), (0.5, 0.5)) is None

    @pytest.mark.parametrize("actions", [SelectMove(), DragAndDrop(), ClickGrid(columns=8, rows=8, directions=8)])
    def test_all_can_be_played(self, actions: Any) -> None:
        player = made(actions=actions)
        start = target(player)
        assert player.drag(start, (0.5, 0.5))
        assert player.steps == 1


def test_environments_that_cannot_be_played() -> None:
    with pytest.raises(ConfigError, match="without pictures"):
        Player(SpriteworldEnv("sorting"))
    with pytest.raises(ConfigError, match="no GIF file"):
        play(SpriteworldEnv("sorting", render_mode="rgb_array"), record="film.mp4")


def test_gifs() -> None:
    player = made()
    bring(player, player.drag)
    with Image.open(io.BytesIO(player.gif(size=100, milliseconds=120))) as film:
        assert film.size == (96, 96)
        assert film.n_frames == len(player.frames)
        assert (film.info["duration"], film.info["loop"]) == (120, 0)
        film.seek(film.n_frames - 1)
        last = np.asarray(film.convert("RGB")).astype(int)
    error = np.abs(last - player.frames[-1].repeat(3, 0).repeat(3, 1))
    assert error.mean() < 3
    with pytest.raises(PerceptsError, match="no pictures"):
        gif_of([], 96, 100)


def test_windows_listen_until_they_are_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `play` does with Matplotlib; a stand-in for its event loop sends the keys."""
    shown: list[bool] = []

    def show(block: bool) -> None:
        import gc

        gc.collect()
        figure = plt.gcf()
        for name in ("up", " ", "left", "r", "down", "q"):
            figure.canvas.callbacks.process("key_press_event", KeyEvent("key_press_event", figure.canvas, name))
        shown.append(plt.fignum_exists(figure.number))

    stand_in = SimpleNamespace(figure=plt.figure, show=show, close=plt.close)
    monkeypatch.setattr(human_window, "interactive_pyplot", lambda: stand_in)
    env = SpriteworldEnv("goal-finding-embodied", render_mode="rgb_array", keys=("success",), height=16, width=16)
    player = play(env, seed=1, record=tmp_path / "film.gif")
    assert shown == [False], "Q closes it"
    assert (len(player.frames), player.steps) == (5, 1)
    with Image.open(tmp_path / "film.gif") as film:
        assert film.n_frames == 5


def test_what_was_played_is_kept_when_the_window_breaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def show(block: bool) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(human_window, "interactive_pyplot", lambda: SimpleNamespace(figure=plt.figure, show=show))
    env = SpriteworldEnv("sorting", render_mode="rgb_array", keys=("success",), height=16, width=16)
    with pytest.raises(KeyboardInterrupt):
        play(env, record=tmp_path / "film.gif")
    assert (tmp_path / "film.gif").exists()
    assert not plt.get_fignums()


def test_toolkits_that_fail_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def figure(*words: Any, **more: Any) -> None:
        raise RuntimeError("couldn't connect to display\nmore")

    monkeypatch.setattr(human_window, "interactive_pyplot", lambda: SimpleNamespace(figure=figure))
    with pytest.raises(PerceptsError, match=r"no window can be opened \(RuntimeError: couldn't connect to display\)"):
        play(SpriteworldEnv("sorting", render_mode="rgb_array"))


class TestCommand:
    """`percepts play`."""

    def test_it_is_listed(self) -> None:
        assert "play" in COMMANDS
        assert "percepts play spriteworld TASK" in HELP

    def test_help_has_examples(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            main(["play", "--help"])
        assert "percepts play spriteworld sorting" in capsys.readouterr().out

    def test_settings_arrive(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        found: list[Any] = []

        def opened(environment: SpriteworldEnv, seed: int, record: Path | None) -> Player:
            found.append((environment.config, seed, record))
            return Player(environment, seed)

        monkeypatch.setattr(playing, "play", opened)
        words = ["--mode", "test", "--noise", "0.1", "--seed", "3", "--size", "48", "--renderer", "fast"]
        assert main(["play", "spriteworld", "sorting", *words, "--record", str(tmp_path / "a.gif")]) == 0
        ((config, seed, record),) = found
        assert (config.name, config.mode, config.arena.actions.noise) == ("sorting", "test", 0.1)
        assert (config.observer.height, config.observer.renderer) == (48, "fast")
        assert (seed, record) == (3, tmp_path / "a.gif")
        assert "step 0 of 50" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ([], "one of exploration"),
            (["sortin"], "did you mean 'sorting'"),
            (["sorting", "--mode", "fast"], "mode of sorting"),
            (["sorting", "--record", "a.png"], "a.gif"),
            (["sorting", "--hands"], "--hands, which belongs to alchemy"),
        ],
    )
    def test_mistakes_are_one_line(self, words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["play", "spriteworld", *words]) == 1
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1

    def test_without_a_display_it_says_what_to_do(self) -> None:
        surroundings = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
        command = [sys.executable, "-m", "percepts.cli", "play", "spriteworld", "sorting", "--size", "16"]
        done = subprocess.run(command, capture_output=True, text=True, env={**surroundings, "MPLBACKEND": "agg"})
        assert done.returncode == 1
        assert done.stderr.startswith("error: no window can be opened (Matplotlib draws with 'agg')")
        assert "webagg" in done.stderr
        assert done.stderr.count("\n") == 1
