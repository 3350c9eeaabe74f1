"""Speed of UDR beside one call a pair of latents or models: python benchmarks/udr.py

50 models (1 225 pairs), 10 latents, 1 000 images, one thread. The peers are what the authors' code does: a
`scipy.stats.spearmanr` for every pair of latents and a scikit-learn `Lasso` for every ordered pair of models. They run
on a part of the pairs and their times are scaled up to all ordered pairs: the authors' code visits each in both orders
(for Spearman one order would do, which halves the ratio).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from percepts.metrics import udr_scores
from percepts.metrics.udr import Kind

MODELS, LATENTS, IMAGES = 50, 10, 1000
SPEARMAN_PAIRS, LASSO_PAIRS, ROUNDS = 12, 24, 5


def measure() -> dict[str, Any]:
    """Shortest CPU times in seconds of all pairs, ratios peer / ours, and how far the similarities are apart."""
    models = table(np.random.default_rng(0))
    ordered = [(j, i) for j in range(MODELS) for i in range(MODELS) if i != j]
    spread = [ordered[place] for place in np.random.default_rng(1).permutation(len(ordered))]
    with threadpool_limits(1):
        spearman = race(models, "spearman", spread[:SPEARMAN_PAIRS], spearman_loop)
        lasso = race(models, "lasso", spread[:LASSO_PAIRS], lasso_loop)
    return {
        "threads": 1,
        "models": MODELS,
        "pairs": MODELS * (MODELS - 1) // 2,
        "latents": LATENTS,
        "images": IMAGES,
        "spearman": {**spearman, "target_s": 2, "target_ratio": 100},
        "lasso": lasso,
    }


def table(rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    """Models that see ten common factors, each through its own mixing of neighbours and noise; all latents count."""
    factors = rng.normal(size=(IMAGES, LATENTS))
    models = []
    for _ in range(MODELS):
        mixing = np.eye(LATENTS) + 0.3 * rng.normal(size=(LATENTS, LATENTS))
        codes = factors[:, rng.permutation(LATENTS)] @ mixing + 0.3 * rng.normal(size=factors.shape)
        models.append((codes, np.ones(LATENTS)))
    return models


def spearman_loop(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """|ρ| by one SciPy call a pair of latents."""
    from scipy.stats import spearmanr

    return np.array([[abs(spearmanr(one, other).statistic) for other in target.T] for one in source.T])


def lasso_loop(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """|coefficients| by one scikit-learn fit a pair of models."""
    from sklearn.linear_model import Lasso

    one, other = ((codes - codes.mean(axis=0)) / codes.std(axis=0) for codes in (source, target))
    return np.abs(Lasso(alpha=0.1).fit(one, other).coef_).T


def race(
    models: list[tuple[np.ndarray, np.ndarray]],
    kind: Kind,
    pairs: list[tuple[int, int]],
    peer: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> dict[str, Any]:
    """Our time for all pairs and the peer's for `pairs`, scaled to all, taken in turns."""
    peer(models[0][0], models[1][0])  # Its first call imports its package.
    ours, theirs, difference = [], [], 0.0
    for part in np.array_split(np.array(pairs), ROUNDS):
        start = time.process_time()
        udr_scores(models, kind=kind)
        middle = time.process_time()
        matrices = [peer(models[j][0], models[i][0]) for j, i in part]
        theirs.append((time.process_time() - middle) / len(part))
        ours.append(middle - start)
        for (j, i), matrix in zip(part, matrices, strict=True):
            own = udr_scores([models[j], models[i]], kind=kind, keep_similarity=True).similarity[0, 1]
            difference = max(difference, float(np.abs(own - matrix).max()))
    whole = min(theirs) * MODELS * (MODELS - 1)
    return {
        "ours_s": min(ours),
        "peer_s": whole,
        "peer_timed_pairs": len(pairs),
        "ratio": whole / min(ours),
        "largest_difference": difference,
    }


if __name__ == "__main__":
    results = measure()
    for kind in ("spearman", "lasso"):
        print(f"{kind}: {results[kind]['ours_s']:.2f} s, {results[kind]['ratio']:.0f} times as fast as the loop")
    print(json.dumps(results, indent=2))
