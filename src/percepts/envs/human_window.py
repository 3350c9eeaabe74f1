"""What windows in which humans play have in common: opening, own keys, waiting, the film at the end.

    check_film(record)
    play_in_window(player, Window, "sorting", size=(6, 6.6), record=record)

Windows are Matplotlib's, through whatever toolkit it finds.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from percepts.core.errors import ConfigError, PerceptsError
from percepts.core.files import write_bytes


class Filmed(Protocol):
    """A human who plays."""

    def gif(self) -> bytes:
        """What was played."""


class Closes(Protocol):
    """Draws a player into a figure, and listens."""

    def close(self) -> None:
        """Close the window."""


Who = TypeVar("Who", bound=Filmed)


def check_film(record: Path | str | None) -> None:
    """Refuse a film that is no GIF, before anything is played.

    Raises:
        ConfigError: it is none.
    """
    if record is not None and Path(record).suffix.lower() != ".gif":
        raise ConfigError(f"'{record}' is no GIF file", fix=f"{Path(record).with_suffix('.gif')}")


def play_in_window(
    player: Who,
    window: Callable[[Who, Any], Closes],
    title: str,
    size: tuple[float, float],
    record: Path | str | None = None,
) -> None:
    """Open a window and wait until it is closed; whatever ends it, the film is kept.

    Args:
        player: who plays.
        window: makes one of the player and a figure of Matplotlib.
        title: of the window.
        size: width and height in inches.
        record: a GIF file, which is written at the end.

    Raises:
        PerceptsError: there is no display, or the file cannot be written.
    """
    plt = interactive_pyplot()
    try:
        figure = plt.figure(title, figsize=size)
    except Exception as error:  # Every toolkit has its own.
        raise _no_display(f"{type(error).__name__}: {error}".splitlines()[0]) from error
    opened = window(player, figure)  # Held, since Matplotlib does not hold who listens.
    try:
        plt.show(block=True)
    finally:
        opened.close()
        if record is not None:
            write_bytes(record, player.gif())


def interactive_pyplot() -> Any:
    """Matplotlib's pyplot, with a backend that opens windows.

    Raises:
        PerceptsError: there is none.
    """
    import matplotlib.pyplot as plt
    from matplotlib.backends.registry import BackendFilter, backend_registry

    try:
        backend = str(plt.get_backend())
    except ImportError as error:
        raise _no_display(str(error).splitlines()[0]) from error
    if backend.lower() not in {name.lower() for name in backend_registry.list_builtin(BackendFilter.INTERACTIVE)}:
        raise _no_display(f"Matplotlib draws with '{backend}'")
    return plt


def listen(figure: Any, **meanings: Callable[[Any], None]) -> None:
    """Call these at the figure's events, by their names in Matplotlib, whose own meanings of keys are dropped."""
    manager = figure.canvas.manager
    if manager is not None and getattr(manager, "key_press_handler_id", None) is not None:
        figure.canvas.mpl_disconnect(manager.key_press_handler_id)
    for name, meaning in meanings.items():
        figure.canvas.mpl_connect(name, meaning)


def gif_of(frames: Sequence[NDArray[np.uint8]], size: int, milliseconds: int) -> bytes:
    """Pictures [H, W, 3] as an endless GIF, enlarged by whole numbers to about `size` pixels.

    Raises:
        PerceptsError: no pictures.
    """
    if not frames:
        raise PerceptsError("a GIF of no pictures", "one or more")
    factor = max(1, size // max(frames[0].shape[:2]))
    images = []
    for frame in frames:
        image = Image.fromarray(np.ascontiguousarray(frame))
        images.append(image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST))
    file = io.BytesIO()
    images[0].save(file, "GIF", save_all=True, append_images=images[1:], duration=milliseconds, loop=0)
    return file.getvalue()


def _no_display(why: str) -> PerceptsError:
    return PerceptsError(
        f"no window can be opened ({why})",
        "a display, and a toolkit for windows such as Tk or Qt",
        "a desktop session with pip install PyQt6, or in a browser: pip install tornado, then MPLBACKEND=webagg",
    )
