"""The mutual information gap: how much more the best code says about a factor than the second best.

Chen et al. 2018 (beta-TCVAE) define the gap; `mig.dlib` estimates it as Locatello et al. 2019 do, from histograms of
the posterior means. It asks for compactness: a factor that is spread over two codes scores 0.
The best possible score is below 1 where a factor has more values than a code has bins (0.895 on dSprites' factors).
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from jaxtyping import Float

from percepts.core.errors import PerceptsError
from percepts.core.results import MetricResult
from percepts.metrics.arrays import Codes, Factors, Mask, as_mask
from percepts.metrics.bootstrap import bootstrap_interval
from percepts.metrics.information import Information

Variant = Literal["dlib", "sup"]


def mig(
    codes: Codes,
    factors: Factors,
    *,
    bins: int = 20,
    variant: Variant = "dlib",
    active: Mask | None = None,
    bootstrap: int = 0,
    level: float = 0.95,
    rng: np.random.Generator | None = None,
) -> MetricResult:
    """The mutual information gap, in [0, 1].

    Args:
        codes: one row a sample, one column a code (posterior means).
        factors: the index of every factor's value.
        bins: equal-width histogram bins a code.
        variant: "dlib": mean over factors of the gap between the two most informative codes, over the factor's
            entropy. "sup": mean over codes of the gap between the two factors that a code says most about, each
            over its entropy (Li et al. 2020, definition unverified).
        active: codes to keep; by default all. A dead code that moves by 1e-4 is binned like any other and may look
            informative.
        bootstrap: resamples for the confidence interval; the bins stay those of the whole sample.
        level: confidence level of the interval.
        rng: source of the resamples.

    Returns:
        "mig.dlib" or "mig.sup"; details: `mutual_information` (nats) [codes, factors], `entropies` [factors] and
        `gaps`, per factor (dlib) or per code (sup). With one code the runner-up counts as 0; factors that do not vary
        have gap 0 and are left out of the mean; no active code gives 0.

    Raises:
        DataError: arrays that do not fit together (see `as_pair`) or a mask of another length.
    """
    return mig_from(
        Information.measure(codes, factors, bins),
        variant=variant,
        active=active,
        bootstrap=bootstrap,
        level=level,
        rng=rng,
    )


def mig_from(
    information: Information,
    *,
    variant: Variant = "dlib",
    active: Mask | None = None,
    bootstrap: int = 0,
    level: float = 0.95,
    rng: np.random.Generator | None = None,
) -> MetricResult:
    """`mig` of an information matrix that is already there."""
    if variant not in get_args(Variant):
        raise PerceptsError(f"MIG variant '{variant}'", "one of " + ", ".join(get_args(Variant)))
    width = information.matrix.shape[0]
    mask = np.ones(width, bool) if active is None else as_mask(active, width)

    def gaps(measured: Information) -> Float[np.ndarray, " gaps"]:
        of = factor_gaps if variant == "dlib" else code_gaps
        return of(measured.matrix[mask], measured.entropies)

    def score(measured: Information) -> float:
        found = gaps(measured)
        kept = found[measured.entropies > 0] if variant == "dlib" else found
        return float(kept.mean()) if kept.size else 0.0

    value = score(information)
    return MetricResult(
        name=f"mig.{variant}",
        value=value,
        interval=bootstrap_interval(
            lambda rows: score(information.resampled(rows)),
            len(information.binned),
            value,
            resamples=bootstrap,
            rng=rng,
            level=level,
            bounds=(0.0, 1.0),
        ),
        level=level,
        details={
            "mutual_information": information.matrix,
            "entropies": information.entropies,
            "gaps": gaps(information),
        },
        parameters={"bins": information.bins, "samples": len(information.binned), "active": mask.tolist()},
    )


def factor_gaps(
    matrix: Float[np.ndarray, "codes factors"], entropies: Float[np.ndarray, " factors"]
) -> Float[np.ndarray, " factors"]:
    """For every factor the two largest mutual informations' difference over its entropy (Chen et al. 2018, eq. 6)."""
    best = np.sort(np.concatenate([np.zeros((2, matrix.shape[1])), matrix]), axis=0)[-2:]
    return (best[1] - best[0]) / np.where(entropies > 0, entropies, np.inf)


def code_gaps(
    matrix: Float[np.ndarray, "codes factors"], entropies: Float[np.ndarray, " factors"]
) -> Float[np.ndarray, " codes"]:
    """For every code the difference of its two largest normalised mutual informations over factors."""
    normalised = matrix / np.where(entropies > 0, entropies, np.inf)
    best = np.sort(np.concatenate([np.zeros((len(matrix), 2)), normalised], axis=1), axis=1)[:, -2:]
    return best[:, 1] - best[:, 0]
