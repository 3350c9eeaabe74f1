"""Alchemy played by hand, without a display: events are sent to a figure that nobody sees."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.backend_bases import KeyEvent, MouseEvent
from matplotlib.backends.backend_agg import FigureCanvasAgg, FigureManagerBase
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

import percepts.envs.alchemy.play as playing
from percepts.cli import main
from percepts.core.errors import ConfigError, PerceptsError
from percepts.envs import human_window
from percepts.envs.alchemy.bench import CAULDRON, HOVER, TOP, Bench
from percepts.envs.alchemy.cursor import Cursor
from percepts.envs.alchemy.hands import Hands, HandsState
from percepts.envs.alchemy.play import HumanPlayer, Window
from percepts.envs.alchemy.scene import SceneView
from percepts.envs.alchemy.table import Table

VIEW = SceneView.Config(height=36, width=48, samples=1)


def made(interface: Any = Cursor, keep: bool = False, **settings: Any) -> HumanPlayer:
    bench = Bench.Config(table=Table.Config(trials=2), **settings).build()
    return HumanPlayer(interface(bench), 0, VIEW.build(bench=bench), keep)


def shares(player: HumanPlayer, place: Tensor) -> tuple[float, float]:
    """Where in the picture a place in the world is."""
    camera, _ = player.interface.look(player.state)
    lens = player.view.scene(player.state.bench, camera).intrinsics
    x, y, z = (camera.view(-1, 4, 4)[0].inverse() @ torch.cat([place, torch.ones(1)]))[:3]
    return float(lens[0] * x / z + lens[2]), float(lens[1] * y / z + lens[3])


class Screen:
    """A window's figure and a hand for it."""

    def __init__(self, player: HumanPlayer) -> None:
        self.figure = Figure(figsize=(4, 3.4))
        self.canvas = FigureCanvasAgg(self.figure)
        FigureManagerBase(self.canvas, 1)
        self.player, self.window = player, Window(player, self.figure)

    def mouse(self, kind: str, place: Tensor) -> None:
        x, y = self.window.axes.transData.transform(shares(self.player, place))
        button: Any = 1 if kind != "motion_notify_event" else None
        self.canvas.callbacks.process(kind, MouseEvent(kind, self.canvas, x, y, button))

    def key(self, name: str, kind: str = "key_press_event") -> None:
        self.canvas.callbacks.process(kind, KeyEvent(kind, self.canvas, name))

    @property
    def shown(self) -> Any:
        return np.asarray(self.window._image.get_array())

    @property
    def title(self) -> str:
        return str(self.window._title.get_text())


def test_a_stone_is_dragged_into_the_cauldron() -> None:
    player = made()
    screen = Screen(player)
    assert np.array_equal(screen.shown, player.picture)
    stone = torch.cat([player.state.bench.places[0, 1], torch.tensor([TOP + 0.08])])
    screen.mouse("button_press_event", stone)
    # The mouse is faster than the cursor, which takes the stone nevertheless.
    screen.mouse("motion_notify_event", torch.tensor([0.5, -0.5, TOP + 0.08]))
    player.tick(30)
    assert player.state.bench.held.tolist() == [1]
    over = torch.tensor([*CAULDRON, TOP + HOVER])
    screen.mouse("motion_notify_event", over)
    screen.mouse("button_release_event", over)
    player.tick(3)
    assert player.state.bench.held.tolist() == [1], "it is let go where the mouse was, not on the way"
    player.tick(40)
    table = player.state.bench.table
    assert table.stone_here[0].tolist() == [True, False, True]
    assert player.last == float(table.score)
    screen.window._refresh()
    assert f"score {float(table.score):+.0f}" in screen.title
    assert np.array_equal(screen.shown, player.picture)


def test_pressing_beside_a_stone_takes_nothing() -> None:
    player = made()
    screen = Screen(player)
    screen.mouse("button_press_event", torch.tensor([0.15, -0.6, TOP + 0.08]))
    player.tick(40)
    assert player.state.bench.held.tolist() == [-1]
    torch.testing.assert_close(player.state.bench.hand[0, :2], torch.tensor([0.15, -0.6]), rtol=0, atol=0.02)


def test_hands_are_steered_by_keys() -> None:
    player = made(Hands)
    screen = Screen(player)
    screen.key("a")
    screen.key("right")
    player.tick(10)
    state = player.state
    assert isinstance(state, HandsState)
    assert state.place[0, 0] < -0.1
    assert state.yaw[0] > 0.1
    screen.key("a", "key_release_event")
    screen.key("right", "key_release_event")
    player.tick(20)
    still = player.state
    assert isinstance(still, HandsState)
    assert torch.equal(still.yaw, state.yaw)
    assert still.velocity.abs().max() < 0.01
    assert not player.down
    screen.key(" ")
    assert player.gripping
    screen.key(" ")
    assert not player.gripping


def test_trials_and_episodes_follow_each_other() -> None:
    player = made(seconds=0.2)
    screen = Screen(player)
    first = player.picture
    assert "trial 1 of 2" in screen.title
    screen.key("n")
    assert "trial 2 of 2" in screen.title
    assert not np.array_equal(player.picture, first)
    player.tick(10)
    assert player.over
    assert "over. R: next" in player.status
    screen.key("n")
    assert player.over
    screen.key("r")
    assert not player.over
    assert "trial 1 of 2" in screen.title
    assert not np.array_equal(player.picture, first)


def test_time_passes_by_the_clock_but_waits_for_slow_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(playing.time, "monotonic", lambda: now[0])
    player = made()
    window = Screen(player).window
    for seconds, frames in ((0.1, 3), (0.001, 3), (0.099, 6), (50.0, 16)):
        now[0] += seconds
        window.tick()
        assert int(player.state.bench.frame) == frames


def test_what_was_played_becomes_a_film() -> None:
    player = made(keep=True)
    for _ in range(3):
        player.tick(2)
    with Image.open(io.BytesIO(player.gif())) as film:
        assert film.size == (48 * 8, 36 * 8)
    assert len(player.frames) == 4
    forgetful = made()
    forgetful.tick(1)
    assert len(forgetful.frames) == 1


def test_playing_needs_a_window(tmp_path: Path) -> None:
    bench = Bench.Config().build()
    with pytest.raises(ConfigError, match="no GIF"):
        playing.play(bench, record=tmp_path / "a.mp4")
    with pytest.raises(PerceptsError, match="no window"):
        playing.play(bench)


def test_the_window_opens_and_records(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    figure = Figure()
    FigureManagerBase(FigureCanvasAgg(figure), 1)

    class Toolkit:
        @staticmethod
        def figure(*_: Any, **__: Any) -> Figure:
            return figure

        @staticmethod
        def show(block: bool) -> None:
            figure.canvas.callbacks.process("key_press_event", KeyEvent("key_press_event", figure.canvas, "q"))

    monkeypatch.setattr(human_window, "interactive_pyplot", lambda: Toolkit)
    player = playing.play(Bench.Config().build(), "hands", record=tmp_path / "a.gif", view=VIEW)
    assert (tmp_path / "a.gif").read_bytes()[:3] == b"GIF"
    assert isinstance(player.interface, Hands)


@pytest.mark.parametrize(
    ("words", "interface", "level"),
    [
        (["--trials", "3"], "cursor", "rotation-random-bottleneck"),
        (["fixed", "--hands", "--size", "72"], "hands", "fixed"),
    ],
)
def test_the_command(
    words: list[str], interface: str, level: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[Any] = []

    def opened(bench: Bench, kind: str, seed: int, record: Any, view: SceneView.Config) -> HumanPlayer:
        told.extend((bench.config.table, kind, seed, view))
        return made()

    monkeypatch.setattr(playing, "play", opened)
    assert main(["play", "alchemy", *words, "--seed", "4"]) == 0
    table, kind, seed, view = told
    assert (table.level, kind, seed) == (level, interface, 4)
    assert view.width == view.height * 4 // 3
    assert "trial 1 of 2" in capsys.readouterr().out


def test_a_level_that_there_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["play", "alchemy", "nowhere"]) == 1
    assert "unknown level" in capsys.readouterr().err
