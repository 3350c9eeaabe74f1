"""Figures of arenas: arrows lie where actions click, films hold every step, heat maps keep their clicks."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from percepts.agents.spriteworld_policies import GreedyOracle, RandomPolicy
from percepts.core.errors import PerceptsError
from percepts.envs.spriteworld import (
    ClickGrid,
    DragAndDrop,
    Embodied,
    Observer,
    SelectMove,
    SpriteworldConfig,
    task_config,
)
from percepts.envs.spriteworld.examples import goal_finding_embodied
from percepts.envs.spriteworld.state import Sprites
from percepts.report.arena_figures import (
    HIT,
    MISSED,
    Arrows,
    Played,
    action_arrows,
    click_density,
    draw_arenas,
    enlarged,
    episode_frames,
    episode_gif,
    film_strip,
    heat_picture,
    join_sprites,
    overlay_actions,
    play_episodes,
    spread,
)


@pytest.fixture(scope="module")
def clustering() -> SpriteworldConfig:
    return task_config("clustering", renderer="fast")


@pytest.fixture(scope="module")
def scenes(clustering: SpriteworldConfig) -> Sprites:
    return clustering.arena.build().reset(range(256)).sprites


def arrow(x: float, y: float, to_x: float = 0.0, to_y: float = 0.0, hit: bool = True) -> Arrows:
    place, motion = torch.tensor([[x, y]]).double(), torch.tensor([[to_x, to_y]]).double()
    return Arrows(place, motion, torch.tensor([hit]))


def like(pixel: np.ndarray, colour: tuple[int, int, int]) -> bool:
    """Edges are smoothed, which also stirs the middle of a small dot a little."""
    return int(np.abs(pixel.astype(int) - colour).max()) <= 12


@pytest.mark.parametrize(
    "space",
    [SelectMove(scale=0.25), DragAndDrop(scale=0.5), ClickGrid(scale=0.3, columns=5, rows=7, directions=8)],
    ids=lambda space: type(space).__name__,
)
def test_arrows_begin_where_actions_click_and_go_whereto_they_push(
    space: SelectMove | DragAndDrop | ClickGrid, scenes: Sprites
) -> None:
    numbers = torch.rand(len(scenes), *space.uniform_shape, generator=torch.Generator().manual_seed(0))
    action = space.of_uniform(numbers.double())
    applied = space.apply(scenes, action)
    found = action_arrows(space, action, scenes)
    assert torch.equal(scenes.topmost(found.start[:, None])[:, 0], applied.hit)
    assert torch.equal(found.hit, applied.hit >= 0)
    assert 0 < int(found.hit.sum()) < len(scenes)
    torch.testing.assert_close(found.motion, applied.motion)
    alone = action_arrows(space, action)
    torch.testing.assert_close((alone.start, alone.motion), (found.start, found.motion))


def test_many_actions_may_act_on_one_arena(scenes: Sprites) -> None:
    action = torch.rand(9, 4, generator=torch.Generator().manual_seed(1))
    one = action_arrows(SelectMove(scale=0.25), action, scenes.rows([3]))
    same = action_arrows(SelectMove(scale=0.25), action, scenes.rows([3] * 9))
    assert torch.equal(one.hit, same.hit)
    with pytest.raises(PerceptsError, match="9 actions in 2 arenas"):
        action_arrows(SelectMove(), action, scenes.rows([0, 1]))


def test_a_body_is_where_embodied_actions_begin(scenes: Sprites) -> None:
    space, action = Embodied(step_size=0.05), torch.tensor([[1, 0], [0, 3]])
    found = action_arrows(space, action, scenes.rows([0, 1]))
    torch.testing.assert_close(found.start, scenes.position[:2, -1])
    torch.testing.assert_close(found.motion, torch.tensor([[0.0, 0.05], [0.05, 0.0]]).double())
    assert found.hit.all()
    with pytest.raises(PerceptsError, match="Embodied without the sprites"):
        action_arrows(space, action)


def test_a_dot_lies_where_the_click_is_and_the_arrow_goes_up_with_y() -> None:
    black = np.zeros((64, 64, 3), np.uint8)
    drawn = overlay_actions(black, arrow(0.25, 0.75), side=64)
    assert like(drawn[16, 16], HIT)
    assert drawn[40:].max() == 0
    pushed = overlay_actions(black, arrow(0.5, 0.5, to_y=0.4), side=64)
    assert pushed[10:20, 32].max() > 0
    assert pushed[40:].max() == 0
    right = overlay_actions(black, arrow(0.5, 0.5, to_x=0.4), side=64)
    assert right[32, 50].max() > 0
    assert right[:, :24].max() == 0


def test_misses_are_grey_or_left_out_and_what_has_no_place_is_not_drawn() -> None:
    black = np.zeros((32, 32, 3), np.uint8)
    missed = arrow(0.5, 0.5, hit=False)
    assert like(overlay_actions(black, missed, side=96)[48, 48], MISSED)
    assert overlay_actions(black, missed, side=96, missed=False).max() == 0
    assert overlay_actions(black, arrow(float("nan"), 0.5)).max() == 0
    both = Arrows(*(torch.cat([getattr(arrow(0.5, 0.5), name), getattr(missed, name)]) for name in
                    ("start", "motion", "hit")))  # fmt: skip
    assert like(overlay_actions(black, both, side=96)[48, 48], HIT), "what hit lies in front"


def test_pictures_are_enlarged_by_whole_numbers() -> None:
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    large = enlarged(image, 10)
    assert large.shape == (12, 12, 3)
    assert np.array_equal(large[::3, ::3], image)
    assert np.array_equal(enlarged(image, 3), image)


def test_the_density_of_clicks_is_relative_to_uniform_ones() -> None:
    corner = click_density(torch.tensor([[1.0, 1.0], [0.99, 0.98]]))
    assert np.unravel_index(corner.argmax(), corner.shape) == (0, 71), "y goes up, so it is the first row"
    assert corner.mean() == pytest.approx(1.0), "nothing is lost beyond the border"
    cells = (torch.arange(72) + 0.5) / 72
    even = click_density(torch.cartesian_prod(cells, cells))
    assert even[20:-20, 20:-20] == pytest.approx(1.0, abs=1e-4)
    assert click_density(torch.zeros(0, 2)).max() == 0


def test_heat_is_bright_where_clicks_are_and_shows_outlines(scenes: Sprites) -> None:
    density = click_density(torch.full((50, 2), 0.5))
    picture = heat_picture(density, float(density.max()), side=72)
    assert picture.shape == (72, 72, 3)
    assert picture[36, 36].sum() > 500 > picture[2, 2].sum()
    outlined = heat_picture(density * 0, 1.0, scenes.rows([0]), side=144)
    assert 0.002 < (outlined.min(2) > 120).mean() < 0.2


def test_episodes_are_played_to_their_ends(clustering: SpriteworldConfig) -> None:
    arena = clustering.arena.build()
    played = play_episodes(arena, GreedyOracle(arena, 100, "objects"), episodes=6, seed=3)
    assert played.success.all()
    assert len(played.sprites) == int(played.length.max()) + 1 == len(played.arrows) + 1
    number = int(played.length.argmax())
    episode = played.episode(number, clustering.observer)
    assert len(episode.frames) == len(episode) + 1 == len(episode.arrows) + 1
    last = arena.config.task.judge(played.sprites[-1].rows([number]))
    assert bool(last.success[0])
    assert episode.success
    assert episode.reward[-1] == pytest.approx(float(last.reward[0]))
    short = int(played.length.argmin())
    assert float(played.reward[int(played.length[short]) :, short].abs().sum()) == 0
    assert np.array_equal(episode.frames[-1], draw_arenas(clustering.observer, played.sprites[-1].rows([number]))[0])


def test_unsolved_episodes_last_until_time_is_up() -> None:
    config = task_config("goal-finding-new-shape")
    arena = config.arena.build()
    played = play_episodes(arena, RandomPolicy(arena), episodes=12, seed=0)
    assert set(played.length[~played.success].tolist()) == {arena.config.max_episode_length}
    assert len(played.length) == 12


def test_the_episode_to_show_was_solved_by_acting() -> None:
    def of(length: list[int], success: list[bool], at_start: list[bool]) -> Played:
        tensors = (torch.tensor(length), torch.tensor(success), torch.tensor(at_start))
        return Played((), (), torch.zeros(0, len(length)).double(), *tensors)

    assert of([9, 1, 3, 5], [True] * 4, [False, True, False, False]).telling == 3
    assert of([1, 20], [True, False], [True, False]).telling == 0
    assert of([20, 20, 7], [False, False, True], [False] * 3).telling == 2


def test_embodied_agents_are_filmed_too() -> None:
    config = goal_finding_embodied("train", None)
    arena = config.arena.build()
    played = play_episodes(arena, RandomPolicy(arena), episodes=2, seed=0)
    episode = played.episode(0, config.observer)
    assert episode.arrows.hit.all()
    assert torch.isfinite(episode.arrows.start).all()


def test_a_gif_has_a_frame_a_step_and_holds_the_end(clustering: SpriteworldConfig) -> None:
    arena = clustering.arena.build()
    episode = play_episodes(arena, GreedyOracle(arena, 50, "objects"), 2, 1).episode(0, clustering.observer)
    frames = episode_frames(episode)
    assert frames.shape[1] == 144
    assert not np.array_equal(frames[0], enlarged(episode.frames[0], 144)), "with what is done next"
    assert np.array_equal(frames[-1], enlarged(episode.frames[-1], 144))
    with Image.open(io.BytesIO(episode_gif(frames, fps=5, hold=2.0))) as film:
        times = []
        for number in range(film.n_frames):
            film.seek(number)
            times.append(film.info["duration"])
    assert film.size == (144, 144)
    assert sum(times) == 200 * len(frames) + 2000


@pytest.mark.parametrize(
    "frames", [np.zeros((0, 4, 4, 3), np.uint8), np.zeros((2, 4, 4, 3)), np.zeros((4, 4, 3), np.uint8)]
)
def test_what_is_no_film_is_refused(frames: np.ndarray) -> None:
    with pytest.raises(PerceptsError, match="one or more as uint8"):
        episode_gif(frames)


def test_a_strip_shows_both_ends() -> None:
    config = task_config("goal-finding-new-shape", renderer="fast")
    arena = config.arena.build()
    played = play_episodes(arena, RandomPolicy(arena), 3, 0)
    episode = played.episode(int(played.length.argmax()), config.observer)
    strip = film_strip(episode, most=4)
    assert strip.size[0] == 10 + 4 * (144 + 8) - 8 + 10
    picture = np.asarray(strip.image)
    assert np.array_equal(picture[10:154, 10:154], episode_frames(episode)[0])
    assert np.array_equal(picture[10:154, -154:-10], episode_frames(episode)[-1])
    assert spread(21, 6) == [0, 4, 8, 12, 16, 20]
    assert spread(3, 6) == [0, 1, 2]


def test_arenas_are_drawn_large_enough_and_join(scenes: Sprites) -> None:
    observer = Observer(keys=("factors",), renderer="fast", height=16, width=16)
    drawn = draw_arenas(observer, scenes.rows([0, 1]))
    assert drawn.shape == (2, 144, 144, 3)
    assert draw_arenas(Observer(renderer="fast", height=200, width=200), scenes.rows([0])).shape[1] == 200
    joined = join_sprites([scenes.rows([1]), scenes.rows([0])])
    assert np.array_equal(draw_arenas(observer, joined), drawn[::-1])
