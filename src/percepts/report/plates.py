"""Plates: finished figures as PNG bytes with a caption, in the report's look. Every other module of figures ends here.

matplotlib is imported when the first plate is drawn: presets and commands that draw nothing do not wait for it.
A plate knows nothing of the page or file that it goes to: `save` writes it with its caption below, `picture` puts it
into a page, which prints the caption itself. No plotting state is shared: every plate is drawn on a canvas of its own.
"""

from __future__ import annotations

import base64
import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64
from PIL import Image, ImageDraw, ImageFont

from percepts.core.files import write_bytes
from percepts.report.grids import font
from percepts.report.images import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

INK, SOFT, FAINT, RULE, PAPER = "#1b1d21", "#5b6068", "#8b9098", "#e3e3de", "#ffffff"
COLOURS = ("#2457a6", "#d1571b", "#16876e", "#a8388f", "#b58300", "#3c9cc9", "#7a4fc0", "#6d7d1c", "#c13a4e", "#5f6a78")
"""Those of the report's page; every use of them also differs in marker, place or label."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h")
DPI = 200
"""Dots an inch: a plate is shown at half its size."""
BLUES = np.array([[246, 247, 249], [185, 205, 232], [111, 155, 211], [36, 87, 166], [15, 42, 87]], np.float64)
"""A colour map from paper to ink, for matrices with numbers in their cells."""


@dataclass(frozen=True)
class Plate:
    """A finished figure.

    Attributes:
        png: the image.
        caption: one line on what to look for.
        alt: what it shows, for those who cannot see it.
        density: pixels of the image for one on the page.
    """

    png: bytes
    caption: str
    alt: str = ""
    density: int = 2

    @property
    def image(self) -> Image.Image:
        """The figure without its caption."""
        return Image.open(io.BytesIO(self.png)).convert("RGB")

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return Image.open(io.BytesIO(self.png)).size

    def save(self, path: Path | str) -> Path:
        """Write the figure with its caption below as a PNG file, atomically.

        Raises:
            PerceptsError: the file cannot be written.
        """
        write_bytes(path, png_of(_captioned(self.image, self.caption, self.density)))
        return Path(path)

    def picture(self) -> Picture:
        """The figure for a page."""
        image, file = self.image, io.BytesIO()
        image.save(file, "WEBP", lossless=True, method=2)
        source = "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()
        width, height = (-(-side // self.density) for side in image.size)
        return Picture(source, width, height, self.alt or self.caption)


def panels(
    rows: int = 1, columns: int = 1, *, width: float = 5.2, height: float = 3.1, sharex: bool = False, **ratios: Any
) -> tuple[Figure, list[list[Axes]]]:
    """A new figure of `width` by `height` inches and its panels, drawn in the report's look."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.09, h_pad=0.08)
    figure = Figure(figsize=(width, height), dpi=DPI, layout=layout, facecolor=PAPER)
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=sharex, gridspec_kw=ratios or None)
    for axes in grid.ravel():
        plain(axes)
    return figure, grid.tolist()


def plain(axes: Axes) -> Axes:
    """Two thin spines, quiet ticks, horizontal rules only."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(labelsize=8, colors=SOFT, length=3, width=0.6)
    axes.grid(axis="y", color=RULE, linewidth=0.7)
    axes.set_axisbelow(True)
    return axes


def name_axes(axes: Axes, x: str = "", y: str = "", title: str = "") -> None:
    """Labels with their units, and a title at the left."""
    axes.set_xlabel(x, fontsize=9, color=SOFT)
    axes.set_ylabel(y, fontsize=9, color=SOFT)
    if title:
        axes.set_title(title, fontsize=9.5, color=INK, loc="left", fontweight="bold")


def legend(axes: Axes, **options: Any) -> None:
    """The names of what is drawn, where more than one thing has a name."""
    if len(axes.get_legend_handles_labels()[1]) > 1:
        look: dict[str, Any] = {"facecolor": PAPER, "edgecolor": "none", "framealpha": 0.85, "fontsize": 8}
        axes.legend(**{**look, "labelcolor": SOFT, "handlelength": 1.6, **options})


def finish(figure: Figure, caption: str, alt: str = "") -> Plate:
    """The figure as a plate."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI, metadata={"Software": None})
    return Plate(file.getvalue(), caption, alt)


def plate_of(image: Image.Image, caption: str, alt: str = "") -> Plate:
    """A ready image, such as a grid of pictures, as a plate."""
    return Plate(png_of(image.convert("RGB")), caption, alt, density=1)


def empty_plate(words: str, caption: str = "", *, width: float = 5.2, height: float = 1.6) -> Plate:
    """What stands where there is nothing to draw: the reason, in words."""
    figure, ((axes,),) = panels(width=width, height=height)
    axes.set_axis_off()
    lines = textwrap.fill(words, round(13 * width))
    axes.text(0.5, 0.5, lines, ha="center", va="center", fontsize=9, color=SOFT, transform=axes.transAxes)
    return finish(figure, caption or words, words)


def png_of(image: Image.Image) -> bytes:
    """`image` as the bytes of a PNG file."""
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def colour_map(anchors: Float64[np.ndarray, "anchors 3"]) -> Colormap:
    """A colour map of evenly spaced `anchors` in [0, 255], grey for what is unknown."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("percepts", anchors / 255).with_extremes(bad="#d9dade")


def finite(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """The finite ones of `values`, in order."""
    array = np.asarray(values, np.float64).ravel()
    return array[np.isfinite(array)]


def spread_out(values: Sequence[float] | np.ndarray, width: float) -> np.ndarray:
    """Sideways places in [-width, width] for dots of one group, so that equal values do not hide each other.

    They depend on the values' order only, never on chance.
    """
    ranks = np.argsort(np.argsort(np.asarray(values, np.float64), kind="stable"), kind="stable")
    golden = (ranks * 0.618034) % 1.0
    return (golden - 0.5) * 2 * width if len(ranks) > 1 else np.zeros(len(ranks))


def _captioned(image: Image.Image, caption: str, density: int) -> Image.Image:
    """The image with its caption below, wrapped to its width."""
    if not caption:
        return image
    face, margin, step = font(round(4 + 7 * density)), 9 * density, 13 * density + 2
    lines = _wrapped(caption, face, max(image.width - 2 * margin, 120))
    canvas = Image.new("RGB", (image.width, image.height + step * len(lines) + margin), "white")
    canvas.paste(image, (0, 0))
    draw = ImageDraw.Draw(canvas)
    for number, line in enumerate(lines):
        draw.text((margin, image.height + 4 + step * number), line, fill=SOFT, font=face)
    return canvas


def _wrapped(words: str, face: ImageFont.FreeTypeFont, width: float) -> list[str]:
    """Lines of at most `width` pixels; a word wider than that has a line to itself."""
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and face.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
