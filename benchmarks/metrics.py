"""Speed of the metrics beside straightforward loops on the same data: python benchmarks/metrics.py

10 000 samples of 10 codes and the five factors of dSprites; one thread. The peers are what one would write first: a
scikit-learn call for every pair of code and factor, and a Python loop over the votes of the FactorVAE score.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.metrics import mutual_info_score
from threadpoolctl import threadpool_limits

from percepts.metrics import Information, discretise, factor_vae_score, mig

SIZES = (3, 6, 40, 32, 32)
SAMPLES, CODES, BINS = 10_000, 10, 20
BATCH, VOTES, FRESH = 64, 10_000, 5_000


def measure() -> dict[str, Any]:
    """Shortest CPU times in seconds, ratios peer / ours, and how far the results are apart."""
    rng = np.random.default_rng(0)
    factors = rng.integers(SIZES, size=(SAMPLES, len(SIZES)))
    codes = factors @ rng.normal(size=(len(SIZES), CODES)) / 10 + rng.normal(size=(SAMPLES, CODES))
    binned = discretise(codes, BINS)
    with threadpool_limits(1):
        counting, matrix, peer_matrix = race(
            lambda: Information.count(binned, factors, BINS).matrix, lambda: pair_loop(binned, factors), rounds=8
        )
        gap, score, peer_score = race(
            lambda: mig(codes, factors, bins=BINS).value, lambda: mig_loop(codes, factors), rounds=8
        )
        voting, vae, peer_vae = race(
            lambda: factor_vae_score(codes, factors, rng=np.random.default_rng(1)).value,
            lambda: vote_loop(codes, factors, np.random.default_rng(2)),
            rounds=3,
        )
    return {
        "threads": 1,
        "samples": SAMPLES,
        "codes": CODES,
        "factor_sizes": list(SIZES),
        "mutual_information": {**counting, "largest_difference": float(np.abs(matrix - peer_matrix).max())},
        "mig": {**gap, "difference": abs(score - peer_score), "target_ratio": 40},
        "factor_vae": {**voting, "score": vae, "peer_score": peer_vae},
    }


def pair_loop(binned: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Mutual information by one scikit-learn call a pair."""
    return np.array([[mutual_info_score(code, factor) for factor in factors.T] for code in binned.T])


def mig_loop(codes: np.ndarray, factors: np.ndarray) -> float:
    """MIG as one writes it with NumPy's histogram and scikit-learn."""
    columns = [np.digitize(code, np.histogram(code, BINS)[1][:-1]) for code in codes.T]
    matrix = pair_loop(np.stack(columns, axis=1), factors)
    entropies = np.array([mutual_info_score(factor, factor) for factor in factors.T])
    ordered = np.sort(matrix, axis=0)
    return float(((ordered[-1] - ordered[-2]) / entropies).mean())


def vote_loop(codes: np.ndarray, factors: np.ndarray, rng: np.random.Generator) -> float:
    """The FactorVAE score, one vote after the other; the rows of every factor value are looked up in lists."""
    rows = [{value: np.flatnonzero(factor == value) for value in np.unique(factor)} for factor in factors.T]
    variance = codes[rng.integers(len(codes), size=10_000)].var(axis=0, ddof=1)

    def votes(count: int) -> np.ndarray:
        table = np.zeros((codes.shape[1], factors.shape[1]), int)
        for _ in range(count):
            factor = rng.integers(factors.shape[1])
            members = rows[factor][factors[rng.integers(len(factors)), factor]]
            batch = codes[rng.choice(members, BATCH)]
            table[np.argmin(batch.var(axis=0, ddof=1) / variance), factor] += 1
        return table

    classifier = votes(VOTES).argmax(axis=1)
    fresh = votes(FRESH)
    return float(fresh[np.arange(len(fresh)), classifier].sum() / fresh.sum())


def race(ours: Callable[[], Any], peer: Callable[[], Any], rounds: int) -> tuple[dict[str, float], Any, Any]:
    """The shortest CPU times of both in seconds, taken in turns, and the results."""
    times: dict[str, list[float]] = {"ours": [], "peer": []}
    results: dict[str, Any] = {}
    for _ in range(rounds):
        for name, work, repeats in (("ours", ours, 3), ("peer", peer, 1)):
            for _ in range(repeats):
                start = time.process_time()
                results[name] = work()
                times[name].append(time.process_time() - start)
    best, other = min(times["ours"]), min(times["peer"])
    return {"ours_s": best, "peer_s": other, "ratio": other / best}, results["ours"], results["peer"]


if __name__ == "__main__":
    results = measure()
    for name in ("mutual_information", "mig", "factor_vae"):
        print(f"{name}: {results[name]['ratio']:.0f} times as fast as the loop")
    print(json.dumps(results, indent=2))
