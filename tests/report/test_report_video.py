"""Videos: GIFs and MP4s that hold their frames, and what is filmed of slots."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from slot_fakes import ByColour, Squares

from percepts.core.errors import MissingPackageError, PerceptsError
from percepts.report import video as videos
from percepts.report.video import decomposition_frames, gif_bytes, mp4_bytes, write_video

WITH_AV = importlib.util.find_spec("av") is not None


def moving(count: int = 6, height: int = 21, width: int = 33) -> np.ndarray:
    frames = np.full((count, height, width, 3), 30, np.uint8)
    for number in range(count):
        frames[number, 4:12, 4 * number : 4 * number + 8] = [230, 60, 20]
    return frames


def test_a_gif_has_every_frame_in_its_colours(tmp_path: Path) -> None:
    frames = moving()
    path = write_video(tmp_path / "film.gif", frames, fps=10)
    with Image.open(path) as image:
        assert image.n_frames == len(frames)
        assert image.info["duration"] == 100
        assert image.info["loop"] == 0
        for number in range(len(frames)):
            image.seek(number)
            assert np.abs(np.asarray(image.convert("RGB")).astype(int) - frames[number]).max() < 12


def test_still_parts_do_not_flicker() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    frames = np.stack([noise] * 5)
    frames[:, :8, :8] = np.arange(5)[:, None, None, None] * 50
    with Image.open(io.BytesIO(gif_bytes(frames))) as image:
        seen = []
        for number in range(5):
            image.seek(number)
            seen.append(np.asarray(image.convert("RGB"))[10:])
    assert all(np.array_equal(seen[0], one) for one in seen)


def test_the_last_frame_is_held(tmp_path: Path) -> None:
    path = write_video(tmp_path / "film.gif", moving(), fps=10, hold=1.0)
    with Image.open(path) as image:
        times = []
        for number in range(image.n_frames):
            image.seek(number)
            times.append(image.info["duration"])
    assert sum(times) == 1600


@pytest.mark.skipif(not WITH_AV, reason="the package av is not installed")
def test_an_mp4_plays_back_the_frames(tmp_path: Path) -> None:
    import av

    frames = moving()
    path = write_video(tmp_path / "film.mp4", frames, fps=12.5)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.height, stream.width) == (22, 34), "odd sides get one more row and column"
        assert float(stream.average_rate) == pytest.approx(12.5)
        back = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(back) == len(frames)
    assert np.abs(back[3][:21, :33].astype(int) - frames[3]).mean() < 6


def test_an_mp4_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(package: str, extra: str) -> None:
        raise MissingPackageError(f"the package '{package}' is not installed", fix=f"pip install 'percepts[{extra}]'")

    monkeypatch.setattr(videos, "require_package", missing)
    with pytest.raises(MissingPackageError, match=r"percepts\[video\]"):
        write_video(tmp_path / "film.mp4", moving())
    with pytest.raises(MissingPackageError):
        mp4_bytes(moving())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "frames",
    [moving()[0], moving().astype(np.float32), moving()[:0], moving()[..., :1]],
    ids=["one image", "floats", "no frame", "grey"],
)
def test_what_is_no_video_is_refused(tmp_path: Path, frames: np.ndarray) -> None:
    with pytest.raises(PerceptsError, match=r"uint8 \[T,H,W,3\]"):
        write_video(tmp_path / "film.gif", frames)


def test_other_endings_and_speeds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PerceptsError, match=r"\.gif or \.mp4"):
        write_video(tmp_path / "film.avi", moving())
    with pytest.raises(PerceptsError, match="fps > 0"):
        write_video(tmp_path / "film.gif", moving(), fps=0)


def test_a_decomposition_is_filmed_with_everything_in_its_place() -> None:
    batch = Squares.Config(frames=4).build().gather(torch.tensor([5]))
    with torch.no_grad():
        states = [ByColour().decompose(frame) for frame in batch["video"].unbind(1)]
    frames = decomposition_frames(batch["video"][0], states, batch["segmentation"][0])
    assert frames.dtype == np.uint8
    assert len(frames) == 4
    assert len({frame.tobytes() for frame in frames}) == 4, "it moves"
    assert np.array_equal(frames[0][:18], frames[3][:18]), "the headings do not"
    assert decomposition_frames(batch["video"][0], states).shape[2] < frames.shape[2]
    with pytest.raises(PerceptsError, match="equally many"):
        decomposition_frames(batch["video"][0], states[:2])
