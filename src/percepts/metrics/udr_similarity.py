"""How alike the latents of two models are, for many pairs of models at once, and what that is worth as one number.

Codes come as [models, samples, latents], standardised, uninformative latents zero. A block compares every source model
with every target model: R [sources, targets, source latents, target latents].
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Bool, Float

from percepts.core.errors import PerceptsError

Normalisation: TypeAlias = Literal["code", "pooled"]
TOLERANCE, MAX_SWEEPS, POLISH = 1e-8, 5000, 20
SYSTEMS = 4_000_000
"""Numbers that are held at once while linear systems are solved (32 MB)."""


def relative_strength(
    matrix: Float[np.ndarray, "*pairs rows columns"],
    rows: Bool[np.ndarray, "*#pairs rows"] | None = None,
    columns: Bool[np.ndarray, "*#pairs columns"] | None = None,
    *,
    normalisation: Normalisation = "code",
) -> Float[np.ndarray, "*pairs"]:
    """UDR of similarity matrices: how much every latent has one dominant match. In [0, 1]; 1 for a permutation.

    r²/Σ of every informative row and column, r its largest entry. "code" (the authors' code): the mean of the rows' and
    the columns' means. "pooled" (unverified: the formula of the paper as remembered): the mean over rows and columns
    together, which differs where one model has more informative latents than the other.

    Args:
        matrix: non-negative similarities.
        rows: which latents of the source are informative; None: all.
        columns: which latents of the target are.
        normalisation: "code" or "pooled".

    Returns:
        The scores; 0 where a model has no informative latent, and for rows and columns of zeros.
    """
    rows = np.ones(matrix.shape[:-1], bool) if rows is None else rows
    columns = np.ones(matrix.shape[:-2] + matrix.shape[-1:], bool) if columns is None else columns
    matrix = matrix * rows[..., :, None] * columns[..., None, :]
    row_sum, row_count = _dominance(matrix, axis=-1), rows.sum(axis=-1)
    column_sum, column_count = _dominance(matrix, axis=-2), columns.sum(axis=-1)
    if normalisation == "pooled":
        score = (row_sum + column_sum) / np.maximum(row_count + column_count, 1)
    elif normalisation == "code":
        score = 0.5 * (row_sum / np.maximum(row_count, 1) + column_sum / np.maximum(column_count, 1))
    else:
        raise PerceptsError(f"normalisation = {normalisation!r}", "'code' or 'pooled'")
    return np.where((row_count > 0) & (column_count > 0), score, 0.0)


def lasso_block(
    sources: Float[np.ndarray, "sources samples from"], targets: Float[np.ndarray, "targets samples to"], alpha: float
) -> Float[np.ndarray, "sources targets from to"]:
    """|W| of the Lasso from every source to every target: argmin (1/2N) ‖Y - X W‖² + alpha ‖W‖₁, columns jointly.

    Cyclic coordinate descent on the normal equations, for all pairs together, until no coefficient moves by more than
    1e-8 in a sweep. Every 20 sweeps the linear system of the coefficients that are not zero is solved; a solution that
    satisfies the optimality conditions is the end, which saves thousands of sweeps where latents are nearly dependent.
    Where latents are duplicates of each other the first one takes the weight, as in scikit-learn.
    """
    samples = sources.shape[1]
    gram = np.matmul(sources.transpose(0, 2, 1), sources) / samples
    flat = targets.transpose(1, 0, 2).reshape(samples, -1)
    product = np.matmul(sources.transpose(0, 2, 1), flat) / samples
    weights = np.zeros_like(product)
    left = np.arange(len(sources))
    for sweep in range(1, MAX_SWEEPS + 1):
        some, wanted, current = gram[left], product[left], weights[left]
        done = _sweep(some, wanted, current, alpha) <= TOLERANCE
        if sweep % POLISH == 0:
            for source in np.flatnonzero(~done):
                done[source] = _polish(some[source], wanted[source], current[source], alpha)
        weights[left] = current
        left = left[~done]
        if left.size == 0:
            break
    return np.abs(weights).reshape(len(sources), sources.shape[2], len(targets), -1).transpose(0, 2, 1, 3)


def lasso_block_sklearn(
    sources: Float[np.ndarray, "sources samples from"], targets: Float[np.ndarray, "targets samples to"], alpha: float
) -> Float[np.ndarray, "sources targets from to"]:
    """The same with one scikit-learn fit a pair, the authors' way; slower, for checks."""
    from sklearn.linear_model import Lasso

    def fit(source: np.ndarray, target: np.ndarray) -> np.ndarray:
        coefficients = Lasso(alpha=alpha, tol=1e-7, max_iter=100_000).fit(source, target).coef_
        # One target column gives a vector; rows of the matrix are targets.
        return np.abs(np.atleast_2d(coefficients)).T

    return np.array([[fit(source, target) for target in targets] for source in sources])


def correlation_block(
    sources: Float[np.ndarray, "sources samples from"], targets: Float[np.ndarray, "targets samples to"]
) -> Float[np.ndarray, "sources targets from to"]:
    """|correlation| of every latent of every source with every latent of every target: one matrix product."""
    one, other = (np.moveaxis(table, 1, 0).reshape(table.shape[1], -1) for table in (sources, targets))
    matrix = np.minimum(np.abs(one.T @ other) / len(one), 1.0)
    return matrix.reshape(len(sources), sources.shape[2], len(targets), -1).transpose(0, 2, 1, 3)


def average_ranks(table: Float[np.ndarray, "samples columns"]) -> Float[np.ndarray, "samples columns"]:
    """The ranks 1 … N of every column; equal values share the mean of their ranks."""
    values = np.ascontiguousarray(table.T)
    order = np.argsort(values, axis=1, kind="stable")
    ordered = np.take_along_axis(values, order, axis=1)
    samples = values.shape[1]
    place = np.broadcast_to(np.arange(samples), values.shape)
    new = np.ones(values.shape, bool)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    last = np.ones(values.shape, bool)
    last[:, :-1] = new[:, 1:]
    first_of_run = np.maximum.accumulate(np.where(new, place, 0), axis=1)
    last_of_run = np.minimum.accumulate(np.where(last, place, samples)[:, ::-1], axis=1)[:, ::-1]
    ranks = np.empty(values.shape)
    np.put_along_axis(ranks, order, 1 + 0.5 * (first_of_run + last_of_run), axis=1)
    return ranks.T


def _sweep(gram: np.ndarray, product: np.ndarray, weights: np.ndarray, alpha: float) -> np.ndarray:
    """Move every row of `weights` [sources, from, columns] to its optimum in turn; the largest move of each source."""
    moved = np.zeros(len(gram))
    for row in range(gram.shape[1]):
        own = gram[:, row, row][:, None]
        slope = product[:, row] - np.matmul(gram[:, row, None], weights)[:, 0] + own * weights[:, row]
        shrunk = slope - np.clip(slope, -alpha, alpha)
        # The coefficient of a latent that is zero everywhere stays zero.
        new = np.divide(shrunk, own, out=np.zeros_like(shrunk), where=own > 0)
        moved = np.maximum(moved, np.abs(new - weights[:, row]).max(axis=1))
        weights[:, row] = new
    return moved


def _polish(gram: np.ndarray, product: np.ndarray, weights: np.ndarray, alpha: float) -> bool:
    """Put the exact solution for the present signs into those columns of `weights` where it is the optimum; whether
    that is every column."""
    size, columns = weights.shape
    chunk = max(1, SYSTEMS // size**2)
    solved = [
        _solve(gram, product[:, start : start + chunk], weights[:, start : start + chunk], alpha)
        for start in range(0, columns, chunk)
    ]
    return all(solved)


def _solve(gram: np.ndarray, product: np.ndarray, weights: np.ndarray, alpha: float) -> bool:
    signs = np.sign(weights).T
    used = signs != 0
    systems = np.where(used[:, :, None] & used[:, None, :], gram, 0.0)
    diagonal = np.arange(len(gram))
    # A trace of ridge keeps exact duplicates solvable; the conditions below are checked without it.
    systems[:, diagonal, diagonal] += np.where(used, 1e-13, 1.0)
    exact = np.linalg.solve(systems, np.where(used, product.T - alpha * signs, 0.0)[:, :, None])[:, :, 0]
    slope = product.T - exact @ gram
    optimal = np.where(used, np.abs(slope - alpha * signs) <= 1e-9, np.abs(slope) <= alpha + 1e-9)
    fits = (optimal & (exact * signs >= 0)).all(axis=1)
    weights[:, fits] = exact[fits].T
    return bool(fits.all())


def _dominance(matrix: np.ndarray, axis: int) -> np.ndarray:
    """Σ of largest² / sum along `axis`, over the other axis; 0 for lines of zeros."""
    largest, total = matrix.max(axis=axis), matrix.sum(axis=axis)
    return np.asarray(np.divide(largest**2, total, out=np.zeros_like(total), where=total > 0).sum(axis=-1))
