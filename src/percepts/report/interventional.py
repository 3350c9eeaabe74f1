"""Interventional plots: how much a code still moves while one factor is held and all others change (Suter et al. 2019).

What the interventional robustness score (IRS; `metrics.interventional_robustness`) sums up: for every value of a factor
the mean of a code, and how far the code strays from it. A robust code has a thin band that follows one factor.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from percepts.core.errors import PerceptsError
from percepts.report.plates import COLOURS, SOFT, Plate, empty_plate, finish, panels

MOST_CODES, MOST_FACTORS = 8, 8


def interventional_plate(
    codes: Float[np.ndarray, "samples codes"],
    factors: Int[np.ndarray, "samples factors"],
    names: Sequence[str],
    *,
    order: Sequence[int] | None = None,
    scores: Float[np.ndarray, "codes factors"] | None = None,
    quantile: float = 0.99,
) -> Plate:
    """A small panel for every code and factor: the code's mean over the factor's values, and in a band the quantile of
    its deviations while the other factors vary.

    Args:
        names: of the factors.
        order: the codes to show, by default the `MOST_CODES` with the largest standard deviation.
        scores: the robustness score to print into every panel.
        quantile: of the absolute deviations: 0.99 as in Locatello et al. 2019, 1 (the maximum) in the paper.

    Raises:
        PerceptsError: arrays that do not fit together.
    """
    codes, factors = np.asarray(codes, np.float64), np.asarray(factors)
    if codes.ndim != 2 or factors.ndim != 2 or len(codes) != len(factors) or factors.shape[1] != len(names):
        raise PerceptsError(
            f"codes {codes.shape}, factors {factors.shape} and {len(names)} names",
            "a row a sample in both, a name a factor",
        )
    moving = [
        code
        for code in np.argsort(-codes.std(axis=0))
        if np.isfinite(codes[:, code]).all() and np.ptp(codes[:, code]) > 0
    ]
    rows = [code for code in (order if order is not None else moving) if code in moving][:MOST_CODES]
    columns = [factor for factor in range(len(names)) if len(np.unique(factors[:, factor])) > 1][:MOST_FACTORS]
    if not rows or not columns:
        return empty_plate("No code moves, or no factor varies: there is nothing to intervene on.")
    figure, grid = panels(len(rows), len(columns), width=1.0 + 1.5 * len(columns), height=0.7 + 1.1 * len(rows))
    for code, line in zip(rows, grid):
        reach = np.abs(codes[:, code] - codes[:, code].mean()).max() * 1.1
        for factor, axes in zip(columns, line):
            values, means, bands = group_deviations(codes[:, code], factors[:, factor], quantile)
            axes.fill_between(values, means - bands, means + bands, color=COLOURS[0], alpha=0.2, linewidth=0)
            axes.plot(
                values, means, color=COLOURS[0], linewidth=1.4, marker="o" if len(values) < 8 else "", markersize=3
            )
            axes.set_ylim(codes[:, code].mean() - reach, codes[:, code].mean() + reach)
            axes.tick_params(labelbottom=line is grid[-1], labelleft=factor == columns[0], labelsize=7)
            if scores is not None:
                axes.set_title(f"{scores[code, factor]:.2f}", fontsize=7.5, color=SOFT, loc="right", pad=2)
        line[0].set_ylabel(f"z{code}", fontsize=9, color=SOFT)
    for factor, axes in zip(columns, grid[-1]):
        axes.set_xlabel(f"{names[factor]} (index)", fontsize=8.5, color=SOFT)
    printed = " Numbers are the robustness score." if scores is not None else ""
    caption = f"A robust code has a thin band over one factor: nothing else moves it.{printed}"
    return finish(figure, caption, f"{len(rows)} codes over {', '.join(names[factor] for factor in columns)}")


def group_deviations(
    code: Float[np.ndarray, " samples"], factor: Int[np.ndarray, " samples"], quantile: float
) -> tuple[Float[np.ndarray, " values"], Float[np.ndarray, " values"], Float[np.ndarray, " values"]]:
    """For every value of the factor: the value, the code's mean, and the quantile of its deviations from that mean."""
    values = np.unique(factor)
    groups = [code[factor == value] for value in values]
    means = np.array([group.mean() for group in groups])
    bands = np.array([np.quantile(np.abs(group - mean), quantile) for group, mean in zip(groups, means)])
    return values.astype(np.float64), means, bands
