"""The two scores that hold a factor fixed: the FactorVAE score and the beta-VAE score.

Both ask for many small batches in which one factor is shared. On a table of codes (the full grid of factors, or any
sample) such a batch is a look-up among the rows with that factor value, for all votes at once; on a full grid that has
the same distribution as rendering and encoding on demand. `RenderedCodes` is the path for noisy or continuous data.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Int

from percepts.core.errors import DataError
from percepts.core.results import MetricResult
from percepts.metrics.arrays import Codes, Factors, spread
from percepts.metrics.bootstrap import bootstrap_interval
from percepts.metrics.logistic import fit_logistic
from percepts.metrics.sources import CodeSource, Sampler, as_source

_ROWS_AT_ONCE = 16384  # bounds the memory of many votes at once and keeps a chunk in the cache


def factor_vae_score(
    codes: Codes | Sampler,
    factors: Factors | tuple[int, ...],
    *,
    rng: np.random.Generator,
    batch_size: int = 64,
    num_variance: int = 10000,
    num_train: int = 10000,
    num_eval: int = 5000,
    threshold: float = 0.05,
    bootstrap: int = 0,
    level: float = 0.95,
) -> MetricResult:
    """Does the code that varies least tell which factor was held fixed? (Kim & Mnih 2018, section 4.)

    Args:
        codes: one row a sample, one column a code; or `sampler(factors int [n, K], rng) -> codes [n, D]`.
        factors: the index of every factor's value; with a sampler, how many values each factor has.
        rng: source of all draws.
        batch_size: samples a vote.
        num_variance: random samples for the global variance of each code.
        num_train: votes that make the majority classifier.
        num_eval: fresh votes that it is scored on.
        threshold: codes with a smaller standard deviation are dead and get no vote.
        bootstrap: resamples of the fresh votes for the interval (the classifier stays).
        level: confidence level of the interval.

    Returns:
        "factor_vae.dlib": accuracy on the fresh votes; chance is 1 / factors. Details: `votes` [codes, factors] of the
        training votes, `train_accuracy`, `active` [codes], `variance` [codes]. Without an active code the score is 0.
        Factors that do not vary are never held fixed.

    Raises:
        DataError: arrays that do not fit together (see `as_pair`) or sizes below 2 (batch) and 1 (votes).
    """
    _check_sizes(2, batch_size=batch_size, num_variance=num_variance)
    _check_sizes(1, num_train=num_train, num_eval=num_eval)
    source = as_source(codes, factors)
    sample = source.independent(num_variance, rng)
    variance = (sample - sample[0]).var(axis=0, ddof=1)  # of exactly 0 for a constant code
    active = np.sqrt(variance) >= threshold
    parameters = {
        "batch_size": batch_size,
        "num_variance": num_variance,
        "num_train": num_train,
        "num_eval": num_eval,
        "threshold": threshold,
    }
    if not active.any() or not (variance > 0).any():
        details = {"votes": np.zeros((variance.size, source.varying.size)), "train_accuracy": 0.0}
        details |= {"active": active, "variance": variance}
        return MetricResult(name="factor_vae.dlib", value=0.0, details=details, parameters=parameters)
    active &= variance > 0
    votes = _votes(source, variance, active, batch_size, num_train, rng)
    fresh = _votes(source, variance, active, batch_size, num_eval, rng)
    table = np.zeros((variance.size, source.varying.size), np.int64)
    np.add.at(table, (votes[1], votes[0]), 1)
    classifier = table.argmax(axis=1)
    correct = classifier[fresh[1]] == fresh[0]
    return MetricResult(
        name="factor_vae.dlib",
        value=float(correct.mean()),
        interval=_accuracy_interval(correct, bootstrap, level, rng),
        level=level,
        details={
            "votes": table,
            "train_accuracy": float((classifier[votes[1]] == votes[0]).mean()),
            "active": active,
            "variance": variance,
        },
        parameters=parameters,
    )


def beta_vae_score(
    codes: Codes | Sampler,
    factors: Factors | tuple[int, ...],
    *,
    rng: np.random.Generator,
    batch_size: int = 64,
    num_train: int = 10000,
    num_eval: int = 5000,
    max_iterations: int = 1000,
    bootstrap: int = 0,
    level: float = 0.95,
) -> MetricResult:
    """Can a linear classifier tell which factor pairs of images share? (Higgins et al. 2017, section 3.)

    One point: a factor; pairs of samples that share its value (another value in every pair); the mean absolute
    difference of their codes. The score saturates early: never rely on it alone.

    Args:
        codes: one row a sample, one column a code; or `sampler(factors int [n, K], rng) -> codes [n, D]`.
        factors: the index of every factor's value; with a sampler, how many values each factor has.
        rng: source of all draws.
        batch_size: pairs a point.
        num_train: points that the classifier is trained on.
        num_eval: fresh points that it is scored on.
        max_iterations: of the logistic regression (lbfgs, multinomial, C = 1, raw features). Old versions of
            scikit-learn, with which published scores were computed, trained one classifier per factor instead.
        bootstrap: resamples of the fresh points for the interval (the classifier stays).
        level: confidence level of the interval.

    Returns:
        "beta_vae.dlib": accuracy on the fresh points; chance is 1 / factors. Details: `train_accuracy`, `coefficients`
        [codes, factors], `rescaled` (0 at chance, 1 at best).

    Raises:
        DataError: arrays that do not fit together (see `as_pair`), sizes below 1, or fewer than two varying factors.
    """
    _check_sizes(1, batch_size=batch_size, num_train=num_train, num_eval=num_eval)
    source = as_source(codes, factors)
    if source.varying.sum() < 2:
        raise DataError("fewer than two factors vary", "two or more to tell apart")
    labels, features = _differences(source, batch_size, num_train, rng)
    if np.unique(labels).size < 2:
        raise DataError(f"{num_train} training points happen to share one factor", fix="num_train of at least 100")
    fresh_labels, fresh = _differences(source, batch_size, num_eval, rng)
    model = fit_logistic(features, labels, max_iterations=max_iterations)
    correct = model.predict(fresh) == fresh_labels
    chance = 1 / int(source.varying.sum())
    drawn = np.isin(np.arange(source.varying.size), model.classes)
    return MetricResult(
        name="beta_vae.dlib",
        value=float(correct.mean()),
        interval=_accuracy_interval(correct, bootstrap, level, rng),
        level=level,
        details={
            "train_accuracy": float((model.predict(features) == labels).mean()),
            "coefficients": spread(model.coefficients, drawn),
            "rescaled": float((correct.mean() - chance) / (1 - chance)),
        },
        parameters={
            "classifier": "logistic regression, lbfgs, multinomial, C=1",
            "batch_size": batch_size,
            "num_train": num_train,
            "num_eval": num_eval,
            "max_iterations": max_iterations,
        },
    )


def shared_factor_points(
    codes: Codes | Sampler, factors: Factors | tuple[int, ...], *, rng: np.random.Generator, batch_size: int, count: int
) -> tuple[Int[np.ndarray, " points"], Float[np.ndarray, "points codes"]]:
    """The points of the beta-VAE score: the shared factor, and the mean absolute difference of the pairs' codes.

    Raises:
        DataError: as `beta_vae_score`.
    """
    _check_sizes(1, batch_size=batch_size, count=count)
    source = as_source(codes, factors)
    if source.varying.sum() < 2:
        raise DataError("fewer than two factors vary", "two or more to tell apart")
    return _differences(source, batch_size, count, rng)


def _votes(
    source: CodeSource,
    variance: Float[np.ndarray, " codes"],
    active: Bool[np.ndarray, " codes"],
    batch_size: int,
    count: int,
    rng: np.random.Generator,
) -> tuple[Int[np.ndarray, " votes"], Int[np.ndarray, " votes"]]:
    """For every vote the factor that was held fixed and the code whose relative variance was smallest."""
    scale = np.where(active, variance, 1.0)
    held, chosen = [], []
    for factor in _factor_chunks(source, batch_size, count, rng):
        batch = source.common_value(factor, batch_size, rng)
        # Centred on one sample, a code that is constant in the batch has a variance of exactly 0.
        batch -= batch[:, :1].copy()
        square = np.einsum("vld,vld->vd", batch, batch) - np.einsum("vld->vd", batch) ** 2 / batch_size
        held.append(factor)
        chosen.append(np.where(active, square / scale, np.inf).argmin(axis=1))
    return np.concatenate(held), np.concatenate(chosen)


def _differences(
    source: CodeSource, batch_size: int, count: int, rng: np.random.Generator
) -> tuple[Int[np.ndarray, " points"], Float[np.ndarray, "points codes"]]:
    """For every point the shared factor and the mean absolute difference of the pairs' codes."""
    labels, features = [], []
    for factor in _factor_chunks(source, batch_size, count, rng):
        one, other = source.shared_pairs(factor, batch_size, rng)
        one -= other
        labels.append(factor)
        features.append(np.einsum("vld->vd", np.abs(one, out=one)) / batch_size)
    return np.concatenate(labels), np.concatenate(features)


def _factor_chunks(
    source: CodeSource, batch_size: int, count: int, rng: np.random.Generator
) -> Iterator[Int[np.ndarray, " votes"]]:
    """Which factor every vote holds fixed: uniform over the factors that vary, a manageable number at a time."""
    choices = np.flatnonzero(source.varying)
    step = max(1, _ROWS_AT_ONCE // batch_size)
    for start in range(0, count, step):
        yield choices[rng.integers(len(choices), size=min(step, count - start))]


def _accuracy_interval(
    correct: Bool[np.ndarray, " points"], resamples: int, level: float, rng: np.random.Generator
) -> tuple[float, float] | None:
    return bootstrap_interval(
        lambda rows: float(correct[rows].mean()),
        len(correct),
        float(correct.mean()),
        resamples=resamples,
        rng=rng,
        level=level,
        bounds=(0.0, 1.0),
    )


def _check_sizes(least: int, **sizes: int) -> None:
    for name, size in sizes.items():
        if size < least:
            raise DataError(f"{name} = {size}", f"at least {least}")
