"""Speed of the segmentation scores beside scikit-learn: python benchmarks/segmentation.py

Label maps of 64 x 64 pixels with up to six entities and seven slots; one thread. The peer is one call of
`adjusted_rand_score` an image, as published evaluations do it; ARI-FG drops the background's pixels first. Also the
time of all scores of 320 images, the papers' test set, and of the k-means baseline on them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.metrics import adjusted_rand_score
from threadpoolctl import threadpool_limits

from percepts.metrics import adjusted_rand_index, colour_clusters, segmentation_scores

IMAGES, PEER_IMAGES, SIDE, PROTOCOL = 4000, 100, 64, 320


def measure() -> dict[str, Any]:
    """Shortest CPU times in turns, images a second, ratios, and how far the scores are apart."""
    true, predicted = label_maps(np.random.default_rng(0))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        results = {
            "threads": 1,
            "images": IMAGES,
            "side": SIDE,
            "ari": race(true, predicted, foreground=False),
            "ari_fg": race(true, predicted, foreground=True),
            "all_scores_of_320_s": shortest(lambda: segmentation_scores(true[:PROTOCOL], predicted[:PROTOCOL]), 5),
            "ari_fg_of_320_s": shortest(lambda: adjusted_rand_index(true[:PROTOCOL], predicted[:PROTOCOL]), 5),
            "k_means_of_320_s": shortest(lambda: k_means(true[:PROTOCOL]), 1),
            "targets": {"ari_images_s": 20_000, "ratio": 40, "ari_fg_of_320_s": 1},
        }
    torch.set_num_threads(threads)
    return results


def label_maps(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Discs before a background, and the same maps with a fifth of the pixels wrong and an extra slot."""
    grid = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE)), axis=-1)
    true = np.zeros((IMAGES, SIDE, SIDE), np.int64)
    for entity in range(1, 6):
        centre = rng.uniform(0, SIDE, size=(IMAGES, 1, 1, 2))
        radius = rng.uniform(6, 16, size=(IMAGES, 1, 1))
        true[((grid - centre) ** 2).sum(axis=-1) < radius**2] = entity
    noise = rng.integers(7, size=true.shape)
    return true, np.where(rng.random(true.shape) < 0.2, noise, true)


def race(true: np.ndarray, predicted: np.ndarray, foreground: bool) -> dict[str, float]:
    """Images a second of both, in turns."""
    ours, theirs = [], []
    scores: np.ndarray = np.zeros(0)
    peer: np.ndarray = np.zeros(0)
    for _ in range(5):
        start = time.process_time()
        scores = adjusted_rand_index(true, predicted, foreground=foreground, degenerate="sklearn").details["per_image"]
        ours.append(time.process_time() - start)
        start = time.process_time()
        peer = peer_loop(true[:PEER_IMAGES], predicted[:PEER_IMAGES], foreground)
        theirs.append(time.process_time() - start)
    speed, peer_speed = IMAGES / min(ours), PEER_IMAGES / min(theirs)
    return {
        "images_s": speed,
        "peer_images_s": peer_speed,
        "ratio": speed / peer_speed,
        "largest_difference": float(np.abs(scores[:PEER_IMAGES] - peer).max()),
    }


def peer_loop(true: np.ndarray, predicted: np.ndarray, foreground: bool) -> np.ndarray:
    """One scikit-learn call an image."""
    scores = []
    for one, other in zip(true.reshape(len(true), -1), predicted.reshape(len(true), -1)):
        kept = one > 0 if foreground else slice(None)
        scores.append(adjusted_rand_score(one[kept], other[kept]))
    return np.array(scores)


def k_means(true: np.ndarray) -> torch.Tensor:
    """Seven clusters of images in which every entity has a noisy colour."""
    generator = torch.Generator().manual_seed(0)
    colours = torch.rand(len(true), 6, 3, generator=generator)
    image = colours[torch.arange(len(true))[:, None, None], torch.from_numpy(true)].permute(0, 3, 1, 2)
    image = (image + 0.05 * torch.randn(image.shape, generator=generator)).clamp(0, 1)
    return colour_clusters(image, 7, generator=generator)


def shortest(work: Callable[[], Any], rounds: int) -> float:
    """The least CPU time in seconds."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
