"""The scaled-down acceptance of the spatial broadcast decoder: affine position codes, images in the held-out hole."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from trained import Trained, nmse, train

from percepts.data.minis import Blobs24
from percepts.metrics import affine_geometry
from percepts.studies.spatial_broadcast import broadcast_blobs24, fc_blobs24, with_hole

pytestmark = pytest.mark.slow
SEEDS = (0, 1)


@pytest.fixture(scope="module")
def broadcast():
    return [train(broadcast_blobs24(), seed) for seed in SEEDS]


@pytest.fixture(scope="module")
def connected():
    return [train(fc_blobs24(), seed) for seed in SEEDS]


def lattice() -> tuple[torch.Tensor, np.ndarray]:
    """All images of the full lattice, and their standardised positions."""
    blobs = Blobs24.Config().build()
    batch = blobs.gather(torch.arange(len(blobs)))
    factors = batch["factors"].double().numpy()
    return batch["image"], (factors - factors.mean(0)) / factors.std(0)


def affine_r2(trained: Trained) -> float:
    """R² of the affine map from the two latents of smallest mean posterior variance to the positions."""
    images, positions = lattice()
    mean, variance = trained.codes(images)
    two = np.argsort(variance.mean(0))[:2]
    return affine_geometry(mean[:, two], positions, (16, 16)).value


def test_the_broadcast_decoder_has_two_affine_latents(broadcast):
    for seed, trained in zip(SEEDS, broadcast):
        kl = np.array(trained.evaluation()["latents"]["kl"])
        print(f"\nseed {seed}: affine R² {affine_r2(trained):.4f}, KL {np.sort(kl)[::-1].round(2)}")
        assert affine_r2(trained) >= 0.97
        assert (kl > 0.1).sum() == 2


def test_the_connected_decoder_bends_the_lattice(connected):
    for seed, trained in zip(SEEDS, connected):
        print(f"\nseed {seed}: affine R² {affine_r2(trained):.4f}")
        assert affine_r2(trained) <= 0.75


@pytest.mark.parametrize("seed", SEEDS)
def test_the_broadcast_decoder_draws_in_the_hole(seed):
    images, _ = lattice()
    inside = ~Blobs24.Config(hole=0.45).build().support
    ours = nmse(train(with_hole(broadcast_blobs24()), seed).model, images[inside])
    theirs = nmse(train(with_hole(fc_blobs24()), seed).model, images[inside])
    print(f"\nseed {seed}: nMSE in the hole {ours:.3f} (broadcast), {theirs:.3f} (connected)")
    assert ours <= 0.20
    assert theirs >= 2 * ours
