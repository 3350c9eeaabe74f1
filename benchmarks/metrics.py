"""Speed of the metrics beside straightforward loops on the same data: python benchmarks/metrics.py

10 000 samples of 10 codes and the five factors of dSprites; one thread. The peers are what one would write first: a
scikit-learn call for every pair of code and factor, a Python loop over the votes of the FactorVAE score, scikit-learn's
classifiers. The whole suite is timed by the clock, on this data and on the factors of squares of 24 x 24 pixels, with
one thread and with as many as torch takes by default (the boosted trees of different factors share them).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import mutual_info_score
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits

from percepts.metrics import Information, discretise, evaluate_codes, factor_vae_score, mig
from percepts.metrics.boosting import boosted_trees
from percepts.metrics.logistic import fit_logistic
from percepts.metrics.scalar_svm import fit_scalar_svm

SIZES = (3, 6, 40, 32, 32)
SQUARES = (6, 12, 12)
SAMPLES, TESTS, CODES, BINS = 10_000, 5_000, 10, 20
BATCH, VOTES, FRESH = 64, 10_000, 5_000


def measure() -> dict[str, Any]:
    """Shortest CPU times in seconds, ratios peer / ours, and how far the results are apart."""
    codes, factors = make(SIZES, SAMPLES)
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
        classifiers = classifier_races(codes, factors[:, 2])
    return {
        "threads": 1,
        "samples": SAMPLES,
        "codes": CODES,
        "factor_sizes": list(SIZES),
        "mutual_information": {**counting, "largest_difference": float(np.abs(matrix - peer_matrix).max())},
        "mig": {**gap, "difference": abs(score - peer_score), "target_ratio": 40},
        "factor_vae": {**voting, "score": vae, "peer_score": peer_vae},
        **classifiers,
        "suite": {"dsprites": suite_seconds(SIZES), "squares": suite_seconds(SQUARES)},
        "suite_targets_s": {"fast": 3, "exact": 60},
    }


def make(sizes: tuple[int, ...], samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes that mix all factors, with noise, and the factors."""
    rng = np.random.default_rng(0)
    factors = rng.integers(sizes, size=(samples, len(sizes)))
    return factors @ rng.normal(size=(len(sizes), CODES)) / 10 + rng.normal(size=(samples, CODES)), factors


def classifier_races(codes: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Our classifiers of a factor of forty values beside scikit-learn's: boosted trees (3 of the 100 stages), the
    logistic regression of explicitness, the support vector machine of SAP."""
    classes, target = np.unique(labels, return_inverse=True)
    scaled = (codes - codes.mean(axis=0)) / codes.std(axis=0)
    stages = 3
    trees, ours, theirs = race(
        lambda: boosted_trees(codes, labels, codes[:10], rng=np.random.default_rng(0), trees=stages).importance,
        lambda: GradientBoostingClassifier(n_estimators=stages, random_state=0).fit(codes, labels).feature_importances_,
        rounds=1,
    )
    logistic, fitted, reference = race(
        lambda: fit_logistic(scaled, labels).probabilities(scaled),
        lambda: LogisticRegression(max_iter=1000).fit(scaled, labels).predict_proba(scaled),
        rounds=2,
    )
    svm, machine, peer = race(
        lambda: fit_scalar_svm(codes[:, 0], target, classes, 0.01).predict(codes[:, 0]),
        lambda: (
            LinearSVC(C=0.01, class_weight="balanced", dual=False, tol=1e-4)
            .fit(codes[:, :1], labels)
            .predict(codes[:, :1])
        ),
        rounds=2,
    )
    return {
        "boosted_trees": {**trees, "stages": stages, "largest_difference": float(np.abs(ours - theirs).max())},
        "logistic": {**logistic, "largest_difference": float(np.abs(fitted - reference).max())},
        "scalar_svm": {**svm, "same_labels": float((machine == peer).mean())},
    }


def suite_seconds(sizes: tuple[int, ...]) -> dict[str, float]:
    """Seconds by the clock for all scores of one model: the fast suite, and the one with exact boosted trees."""
    codes, factors = make(sizes, SAMPLES + TESTS)
    evaluate_codes(codes[:100], factors[:100], rng=np.random.default_rng(0))  # imports are not measured
    threads = torch.get_num_threads()
    found: dict[str, float] = {}
    for count in sorted({1, threads}):
        torch.set_num_threads(count)
        for name, fast, rounds in (("fast", True, 3), ("exact", False, 1)):
            seconds = []
            with threadpool_limits(count):
                for _ in range(rounds):
                    start = time.perf_counter()
                    evaluate_codes(codes, factors, rng=np.random.default_rng(0), fast=fast)
                    seconds.append(time.perf_counter() - start)
            found[f"{name}_s_{count}_threads"] = min(seconds)
    torch.set_num_threads(threads)
    return found


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
    for name in ("mutual_information", "mig", "factor_vae", "boosted_trees", "logistic", "scalar_svm"):
        print(f"{name}: {results[name]['ratio']:.0f} times as fast as the loop")
    print(json.dumps(results, indent=2))
