"""The mutual information gap of posteriors instead of their means (Chen et al. 2018, beta-TCVAE).

A code is a random number here, z ~ q(z|x). Its entropy over the data is estimated by samples, each in the mixture of
all posteriors, and its entropy given a factor's value in the mixture of the images with that value:

    H(z_j) = -E_n E_{z ~ q(z_j|x_n)} log (1/N) sum_m q(z_j|x_m),
    I(z_j; v_k) = H(z_j) - mean over v of H(z_j | v_k = v).

Beside `mig.dlib`, which bins the means, noise in the posteriors costs information, no bins limit it, and the gap is
divided by the logarithm of the number of values. The two are not comparable. Chen et al. leave out dSprites' shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from percepts.core.errors import DataError
from percepts.core.results import MetricResult
from percepts.metrics.arrays import Codes, Factors, as_pair, as_table, spread
from percepts.metrics.mig import factor_gaps

_ENTRIES = 1 << 21  # densities held at once (16 MB)


def posterior_mig(
    mean: Codes,
    variance: Codes,
    factors: Factors,
    *,
    rng: np.random.Generator,
    samples: int = 10000,
    exclude: Sequence[int] = (),
    device: torch.device | str = "cpu",
) -> MetricResult:
    """The mutual information gap of Gaussian posteriors with diagonal covariance, in [0, 1].

    Args:
        mean: posterior means, one row an image, one column a code: the whole dataset, or a sample of it.
        variance: posterior variances.
        factors: the index of every factor's value.
        rng: source of the images that are sampled and of the samples.
        samples: samples of all posteriors together, spread evenly over the images.
        exclude: factors to leave out; Chen et al. leave out the shape (0) on dSprites.
        device: where the densities are computed, in double precision. The cost is samples · images · codes
            exponentials: seconds for 10 000 images, too much on a CPU for all of dSprites.

    Returns:
        "mig.chen"; details: `mutual_information` (nats, at least 0) [codes, factors], `entropies` (nats; negative where
        a density is narrow) [codes], `gaps` [factors]. With one code the runner-up counts as 0. Excluded factors and
        factors that do not vary have gap 0 and are left out of the mean. Values count by their share of the rows.

    Raises:
        DataError: arrays that do not fit together (see `as_pair`), a variance that is not positive, a factor number
            that does not exist, fewer than one sample, or no factor left.
    """
    means, values = as_pair(mean, factors)
    variances = as_table(variance, "posterior variances")
    if variances.shape != means.shape:
        raise DataError(f"means of shape {means.shape} with variances of shape {variances.shape}", "equal shapes")
    if variances.min() <= 0:
        raise DataError(f"a posterior variance of {variances.min()}", "positive variances", "exp(log_variance)")
    if samples < 1:
        raise DataError(f"samples = {samples}", "at least 1")
    kept = _kept(values, exclude)
    chosen = values[:, kept]
    points = _Points.draw(means, np.sqrt(variances), samples, rng, device)
    marginal = points.log_density()
    gain = [points.log_density(column) - marginal for column in chosen.T]
    information = np.stack([np.maximum(each.mean(dim=1).cpu().numpy(), 0.0) for each in gain], axis=1)
    scale = np.log([len(np.unique(column)) for column in chosen.T])
    gaps = factor_gaps(information, scale)
    return MetricResult(
        name="mig.chen",
        value=float(gaps.mean()),
        details={
            "mutual_information": spread(information, kept),
            "entropies": -marginal.mean(dim=1).cpu().numpy(),
            "gaps": spread(gaps[None], kept)[0],
        },
        parameters={"samples": samples, "images": len(means), "excluded": sorted(exclude)},
    )


def _kept(values: Int[np.ndarray, "samples factors"], exclude: Sequence[int]) -> np.ndarray:
    width = values.shape[1]
    wrong = [factor for factor in exclude if not 0 <= factor < width]
    if wrong:
        raise DataError(f"factor {wrong[0]} to exclude", f"numbers from 0 to {width - 1}")
    kept = (values != values[0]).any(axis=0) & ~np.isin(np.arange(width), list(exclude))
    if not kept.any():
        raise DataError("every factor that varies is excluded", "at least one that is left", "a shorter `exclude`")
    return kept


@dataclass(frozen=True, kw_only=True)
class _Points:
    """Samples of the posteriors: the same ones for every entropy, whose differences are then far less noisy.

    Attributes:
        means: of every image's posterior.
        deviations: of every image's posterior.
        image: which image each sample is from; each has as many as any other, give or take one.
        points: the samples.
    """

    means: Float[Tensor, "codes images"]
    deviations: Float[Tensor, "codes images"]
    image: Int[np.ndarray, " samples"]
    points: Float[Tensor, "codes samples"]

    @classmethod
    def draw(
        cls,
        means: Float[np.ndarray, "images codes"],
        deviations: Float[np.ndarray, "images codes"],
        samples: int,
        rng: np.random.Generator,
        device: torch.device | str,
    ) -> _Points:
        image = np.resize(rng.permutation(len(means)), samples)
        points = means[image] + deviations[image] * rng.normal(size=(samples, means.shape[1]))
        tables = (torch.from_numpy(table.T.copy()).to(device) for table in (means, deviations, points))
        return cls(**dict(zip(("means", "deviations", "points"), tables)), image=image)

    def log_density(self, column: Int[np.ndarray, " images"] | None = None) -> Float[Tensor, "codes samples"]:
        """The log density of every sample among all images, or among those with its own image's value in `column`."""
        column = np.zeros(self.means.shape[1], np.int64) if column is None else column
        found = torch.empty_like(self.points)
        for value in np.unique(column[self.image]):
            rows, drawn = (np.flatnonzero(part == value) for part in (column, column[self.image]))
            images, samples = (torch.from_numpy(part).to(self.points.device) for part in (rows, drawn))
            parts = zip(self.points[:, samples], self.means[:, images], self.deviations[:, images])
            found[:, samples] = torch.stack([mixture_log_density(*code) for code in parts])
        return found


def mixture_log_density(
    points: Float[Tensor, " points"], means: Float[Tensor, " parts"], deviations: Float[Tensor, " parts"]
) -> Float[Tensor, " points"]:
    """The log density of points in an even mixture of one-dimensional Gaussians, a manageable number at a time."""
    constant = -deviations.log() - 0.5 * np.log(2 * np.pi) - np.log(len(means))
    inverse = 1 / deviations
    found = []
    for part in points.split(max(1, _ENTRIES // len(means))):
        exponents = (part[:, None] - means).mul_(inverse).square_().mul_(-0.5).add_(constant)
        found.append(exponents.logsumexp(dim=1))
    return torch.cat(found)
