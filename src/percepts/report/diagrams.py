"""Diagrams as SVG: how much each latent is used, and the geometry plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from percepts.report.svg import Axis, Frame, Svg, picture_of, short, tag, text
from percepts.report.traversal import Latents
from percepts.report.tuning import Lattice

CORNERS = np.array([[[42, 157, 143], [231, 111, 81]], [[58, 90, 190], [233, 181, 60]]], np.float64)
"""Colours of the four corners of a lattice: two teal to blue, two red to yellow; between them they are mixed."""


def usage_bars(latents: Latents, classes: Mapping[int, str]) -> Svg:
    """KL and mean posterior variance of every latent, largest KL first.

    Args:
        classes: the colour class of every latent.
    """
    width, height, left, right = 520, 300, 56, 506
    order = latents.order
    slot = (right - left) / len(order)
    top_kl = max([*latents.kl, 0.01])
    top_variance = max([*latents.variance, 1.0])
    across = Axis(0, len(order), left, right)
    kl = Frame(width, height, across, Axis(0, top_kl * 1.06, 166, 30, "mean KL (nats)"))
    variance = Frame(width, height, across, Axis(0, top_variance * 1.06, 268, 202, "mean posterior variance σ²"))
    body = [kl.axes({}, 4), variance.axes({}, 2)]
    for place, latent in enumerate(order):
        tip = (
            f"z{latent}: KL {short(latents.kl[latent])} nats, σ² {short(latents.variance[latent])}, "
            f"std of μ {short(latents.spread[latent])}"
        )
        bars = "".join(
            _bar(frame, across.at(place) + slot * 0.16, slot * 0.68, values[latent])
            for frame, values in ((kl, latents.kl), (variance, latents.variance))
        )
        hit = tag("rect", class_="hit", x=across.at(place), y=30, width=slot, height=238)
        name = text(across.at(place + 0.5), 286, f"z{latent}", "tick middle" + (" tiny" if len(order) > 16 else ""))
        body.append(tag("g", hit + bars + name, class_=f"bar {classes[latent]}", data_tip=tip))
    used = ", ".join(f"z{latent} {short(latents.kl[latent])}" for latent in latents.used)
    label = f"KL and variance of {len(latents)} latents. KL in nats of the active ones: {used or 'none'}"
    return picture_of(body, width, height, label, {"class": "diagram"})


def geometry_plot(lattice: Lattice, names: Sequence[str]) -> Svg:
    """The lattice of two factors at the left, and where it lies in the plane of two latents at the right.

    Args:
        names: of the two factors.
    """
    width, height, side = 520, 268, 200
    panels = [(lattice.factors, 40, names), (lattice.codes, 300, [f"z{latent}" for latent in lattice.latents])]
    body: list[str] = []
    for nodes, left, labels in panels:
        # One scale for both axes: an undistorted lattice must look undistorted.
        middle = (nodes.min(axis=(0, 1)) + nodes.max(axis=(0, 1))) / 2
        reach = max(float(np.ptp(nodes, axis=(0, 1)).max()) / 2 * 1.06, 1e-9)
        x = Axis(middle[0] - reach, middle[0] + reach, left, left + side)
        downwards = nodes is lattice.factors  # Images count y from the top.
        ends = (16, 16 + side) if downwards else (16 + side, 16)
        y = Axis(middle[1] - reach, middle[1] + reach, *ends)
        body.append(tag("rect", class_="panel", x=left, y=16, width=side, height=side, rx=3))
        if not downwards:
            body += [_zero(x, y, left, side)]
        body.append(_mesh(nodes, x, y))
        body.append(text(left + side / 2, 16 + side + 20, labels[0], "label middle"))
        upright = text(0, 0, labels[1], "label middle")
        body.append(tag("g", upright, transform=f"translate({left - 10} {16 + side / 2}) rotate(-90)"))
    label = f"A lattice of {names[0]} and {names[1]}, and its image in latents {labels[0]} and {labels[1]}"
    return picture_of(body, width, height, label, {"class": "diagram"})


def _bar(frame: Frame, x: float, width: float, value: float) -> str:
    top, bottom = frame.y.at(max(value, 0.0)), frame.y.start
    return tag("rect", class_="fill", x=x, y=top, width=width, height=float(max(bottom - top, 0.6)), rx=1)


def _zero(x: Axis, y: Axis, left: float, side: float) -> Svg:
    """The axes of the latents, where they are in view."""
    lines = ""
    if x.low < 0 < x.high:
        lines += tag("line", class_="rule", x1=x.at(0), x2=x.at(0), y1=16, y2=16 + side)
    if y.low < 0 < y.high:
        lines += tag("line", class_="rule", x1=left, x2=left + side, y1=y.at(0), y2=y.at(0))
    return Svg(lines)


def _mesh(nodes: np.ndarray, x: Axis, y: Axis) -> Svg:
    """Lines between neighbours, coloured by their place in the lattice."""
    columns, rows, _ = nodes.shape
    pieces = []
    for i in range(columns):
        for j in range(rows):
            here = f"{x.at(nodes[i, j, 0]):.1f} {y.at(nodes[i, j, 1]):.1f}"
            steps = [(i + 1, j)] * (i + 1 < columns) + [(i, j + 1)] * (j + 1 < rows)
            ways = "".join(f"M{here}L{x.at(nodes[a, b, 0]):.1f} {y.at(nodes[a, b, 1]):.1f}" for a, b in steps)
            colour = corner_mix(i / max(columns - 1, 1), j / max(rows - 1, 1))
            pieces.append(tag("path", d=ways or "M" + here, stroke=colour))
    return tag("g", "".join(pieces), class_="mesh")


def corner_mix(across: float, down: float) -> str:
    """The colour of a place in a lattice, both coordinates in [0, 1], as #rrggbb."""
    top, bottom = (CORNERS[:, side] for side in (0, 1))
    mixed = (1 - across) * ((1 - down) * top[0] + down * top[1]) + across * ((1 - down) * bottom[0] + down * bottom[1])
    return "#" + "".join(f"{round(channel):02x}" for channel in mixed)
