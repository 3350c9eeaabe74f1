"""Videos: frames as a GIF, or as an MP4 where the package `av` is installed; and what to film of slots.

write_video("slots.gif", frames)                               # frames uint8 [T, H, W, 3]
write_video("slots.mp4", decomposition_frames(images, states))
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor

from percepts.core.errors import PerceptsError
from percepts.core.files import write_bytes
from percepts.core.optional import require_package
from percepts.core.slots import Decomposition
from percepts.report.slot_palette import slot_colour
from percepts.report.slot_sheet import Tile, sheet
from percepts.report.slots import join_decompositions, take_pixels

Frames = UInt8[np.ndarray, "frames height width 3"]


def write_video(path: Path | str, frames: Frames, *, fps: float = 8.0, hold: float = 0.0) -> Path:
    """Write `frames` to `path`, atomically; its ending says what is made: ".gif", or ".mp4" (H.264).

    Args:
        frames: RGB.
        fps: frames a second. A GIF counts time in hundredths of a second.
        hold: seconds for which the last frame stays longer.

    Raises:
        MissingPackageError: an MP4 without the package `av`.
        PerceptsError: another ending, no frame, or frames of another kind; the file cannot be written.
    """
    path, frames = Path(path), np.asarray(frames)
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8 or 0 in frames.shape or not fps > 0:
        raise PerceptsError(
            f"frames {frames.shape} of {frames.dtype} at {fps:g} a second", "one or more as uint8 [T,H,W,3], fps > 0"
        )
    makers = {".gif": gif_bytes, ".mp4": mp4_bytes}
    if path.suffix.lower() not in makers:
        raise PerceptsError(f"a video named '{path.name}'", "a name that ends in .gif or .mp4")
    held = np.concatenate([frames, np.repeat(frames[-1:], round(hold * fps), axis=0)])
    write_bytes(path, makers[path.suffix.lower()](held, fps))
    return path


def gif_bytes(frames: Frames, fps: float = 8.0) -> bytes:
    """An endless GIF; all frames share the colours of a palette made from all of them, so that nothing flickers."""
    some = frames[:: max(1, len(frames) // 12)]
    # A palette for every frame would make still parts change from one to the next.
    board = Image.fromarray(some.reshape(-1, *some.shape[2:])).quantize(255, Image.Quantize.MEDIANCUT)
    drawn = [Image.fromarray(frame).quantize(palette=board, dither=Image.Dither.NONE) for frame in frames]
    file = io.BytesIO()
    drawn[0].save(file, "GIF", save_all=True, append_images=drawn[1:], duration=round(100 / fps) * 10, loop=0)
    return file.getvalue()


def mp4_bytes(frames: Frames, fps: float = 8.0) -> bytes:
    """An MP4 (H.264, 4:2:0) that browsers and slides play; odd sides get one more row or column of the same colour.

    Raises:
        MissingPackageError: the package `av` is not installed.
    """
    av = require_package("av", "video")
    even = np.pad(frames, ((0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0)), mode="edge")
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000), options={"crf": "16"})
        stream.height, stream.width, stream.pix_fmt = even.shape[1], even.shape[2], "yuv420p"
        for frame in even:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def decomposition_frames(
    images: Float[Tensor, "frames channels height width"],
    states: Sequence[Decomposition],
    truth: Int[Tensor, "frames height width"] | None = None,
) -> Frames:
    """A frame for every decomposition of one image: image, reconstruction, masks, truth, and the slots beside them.

    Args:
        images: the frames of a video, or one image again and again while it is refined.
        states: one decomposition a frame, each of one image (as `core.slots.Tracks.track` and
            `core.slots.Refines.refine` give them for a batch of one).
        truth: the true entity of every pixel.

    Raises:
        PerceptsError: images, decompositions and truth do not fit together.
    """
    if len(images) != len(states) or not len(states):
        raise PerceptsError(f"{len(images)} images and {len(states)} decompositions", "equally many, at least one")
    shown = take_pixels(images, join_decompositions(list(states)), truth)
    # What is shown must not change its place from frame to frame.
    slots = sorted({slot for one in shown for slot in one.slots})
    drawn = []
    for one in shown:
        upper: list[Tile | None] = [Tile(one.image), Tile(one.reconstruction), Tile(one.soft)]
        upper += [] if one.truth is None else [Tile(one.truth)]
        for slot in slots:
            place = one.slots.index(slot) if slot in one.slots else None
            frame = slot_colour(slot) if place is not None and one.present[place] else ""
            upper.append(None if place is None else Tile(one.masked[place], frame=frame))
        heads = ["image", "model", "masks"] + ([] if one.truth is None else ["truth"])
        drawn.append(np.asarray(sheet([upper], columns=[*heads, *(f"slot {slot}" for slot in slots)])))
    return np.stack(drawn)
