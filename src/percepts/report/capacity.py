"""Capacity curves: how much information each factor or latent gets as the capacity C grows (Burgess et al. 2018)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from percepts.core.errors import PerceptsError
from percepts.report.plates import COLOURS, FAINT, SOFT, Plate, empty_plate, finish, legend, name_axes, panels
from percepts.report.svg import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ALLOCATED = 0.25
"""Nats above which a factor or latent counts as having got capacity (our threshold)."""
MOST_POINTS = 60
DASHES = ("-", "--", "-.", (0, (1, 1.2)))


def capacity_plate(
    entries: Sequence[Mapping[str, Any]],
    names: Sequence[str] | None = None,
    *,
    snapshots: Sequence[float] = (),
    title: str = "",
) -> Plate:
    """KL of every factor or latent over the capacity, and over the log-likelihood (the paper's figure 3).

    Args:
        entries: lines of a run's metrics.jsonl; those with `capacity` and `kl_per_latent` are read, and
            `reconstruction` (−ln p(x | z), nats an image) for the second panel where it is logged.
        names: of the latents; by default z0, z1, …; the factors' own where every latent stands for one.
        snapshots: capacities to mark.

    Raises:
        PerceptsError: another number of names than of latents.
    """
    capacity, kl, likelihood = (_thinned(values) for values in capacity_curves(entries))
    if len(capacity) < 2:
        return empty_plate("Fewer than two logged lines have both a capacity and the KL of every latent.")
    labels = [f"z{latent}" for latent in range(kl.shape[1])] if names is None else list(names)
    if len(labels) != kl.shape[1]:
        raise PerceptsError(f"{len(labels)} names for {kl.shape[1]} latents", "one for every latent")
    rising = len(capacity) if capacity.max() <= capacity[0] else int((capacity < capacity.max()).sum()) + 1
    both = bool(np.isfinite(likelihood).sum() > 1)
    figure, (row,) = panels(1, 2 if both else 1, width=8.6 if both else 5.2, height=3.2)
    order = allocation_order(kl)
    _lines(row[0], capacity[:rising], kl[:rising], labels, order)
    for value in snapshots:
        row[0].axvline(value, color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)))
        at: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "ha": "right", "va": "top"}
        row[0].annotate(f"{short(value)} ", (value, 1), fontsize=7.5, color=SOFT, **at)
    name_axes(row[0], "capacity C (nats)", "mean KL (nats)", title)
    if both:
        _lines(row[1], likelihood, kl, labels, order)
        low, high = np.nanquantile(likelihood, [0.02, 1])  # The wild beginning of a run is left out of sight.
        if high > low:
            row[1].set_xlim(low, high + 0.03 * (high - low))
        name_axes(row[1], "log-likelihood ln p(x | z) (nats an image)", "mean KL (nats)")
    legend(row[0], loc="upper left", fontsize=7.5)
    allocated = [labels[latent] for latent in order]
    caption = "Which factor gets information first as the capacity grows: " + (
        f"in order {', '.join(allocated[:10])}." if allocated else f"none got {ALLOCATED} nats."
    )
    return finish(figure, caption, caption)


def capacity_curves(
    entries: Sequence[Mapping[str, Any]],
) -> tuple[Float[np.ndarray, " lines"], Float[np.ndarray, "lines latents"], Float[np.ndarray, " lines"]]:
    """The capacity, the KL of every latent and the log-likelihood of the logged lines that have the first two."""
    found = [
        (line["capacity"], line["kl_per_latent"], line.get("reconstruction"))
        for line in entries
        if isinstance(line.get("capacity"), int | float) and isinstance(line.get("kl_per_latent"), list)
    ]
    size = len(found[-1][1]) if found else 0
    found = [line for line in found if len(line[1]) == size]
    kl = np.array([values for _, values, _ in found], np.float64).reshape(len(found), size)  # None becomes NaN
    likelihood = [np.nan if value is None else -float(value) for _, _, value in found]
    return np.array([value for value, _, _ in found], np.float64), kl, np.array(likelihood, np.float64)


def allocation_order(kl: Float[np.ndarray, "lines latents"], threshold: float = ALLOCATED) -> list[int]:
    """The latents that come to exceed `threshold` nats for good, the earliest first.

    Early lines of a run often overshoot for a moment: the last crossing counts.
    """
    above = np.nan_to_num(kl) > threshold
    last_below = [int(np.flatnonzero(~column).max(initial=-1)) for column in above.T]
    crossed = [(line + 1, latent) for latent, line in enumerate(last_below) if line + 1 < len(kl)]
    return [latent for _, latent in sorted(crossed)]


def _thinned(values: np.ndarray, most: int = MOST_POINTS) -> np.ndarray:
    """Means over equal stretches of lines: single batches are noisy. The last stretch may be shorter."""
    stretch = -(-len(values) // most)
    if stretch <= 1:
        return values
    return np.array([values[start : start + stretch].mean(axis=0) for start in range(0, len(values), stretch)])


def _lines(axes: Axes, x: np.ndarray, kl: np.ndarray, labels: Sequence[str], order: Sequence[int]) -> None:
    """Allocated latents in colours, in their order, the others grey."""
    for latent in range(kl.shape[1]):
        if latent not in order:
            axes.plot(x, kl[:, latent], color="#c9ccd1", linewidth=0.9)
    for rank, latent in enumerate(order):
        style: dict[str, Any] = {"color": COLOURS[rank % 10], "linestyle": DASHES[rank % 4], "linewidth": 1.7}
        axes.plot(x, kl[:, latent], label=labels[latent], **style)
    axes.set_ylim(bottom=0)
