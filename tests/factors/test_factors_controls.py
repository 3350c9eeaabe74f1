"""The controls, and what metrics say of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from percepts.core.errors import ConfigError, DataError
from percepts.data.minis import Squares24
from percepts.factors.controls import CONTROLS, control_codes, principal_components, standardised
from percepts.factors.presets import beta_vae_squares24
from percepts.metrics.interventional import beta_vae_score
from percepts.metrics.suite import evaluate_codes


@pytest.fixture(scope="module")
def world() -> Any:
    dataset = Squares24.Config().build()
    return dataset.gather(torch.arange(0, len(dataset), 2))


def codes(control: Any, world: Any, seed: int = 0, **settings: Any) -> np.ndarray:
    settings = {"model": beta_vae_squares24(), **settings}
    return control_codes(control, world["image"], world["factors"], rng=np.random.default_rng(seed), **settings)


@pytest.mark.parametrize(("control", "width"), list(zip(CONTROLS, (3, 576, 10, 10, 6))))
def test_every_control_has_a_row_an_image(control: Any, width: int, world: Any) -> None:
    table = codes(control, world)
    assert table.shape == (len(world["image"]), width)
    assert table.dtype == np.float32
    assert np.isfinite(table).all()
    assert np.array_equal(table, codes(control, world))


def test_the_beta_vae_score_ranks_the_controls(world: Any) -> None:
    scores = {
        control: beta_vae_score(
            codes(control, world), world["factors"].numpy(), rng=np.random.default_rng(1), num_train=400, num_eval=300
        ).value
        for control in ("ground_truth", "raw_pixels", "untrained")
    }
    assert scores["ground_truth"] > 0.99
    assert scores["ground_truth"] > scores["raw_pixels"] + 0.05
    assert scores["ground_truth"] > scores["untrained"] + 0.05


def test_the_ground_truth_has_the_best_scores(world: Any) -> None:
    table = codes("ground_truth", world)
    results = evaluate_codes(table, world["factors"].numpy(), rng=np.random.default_rng(0), fast=True)
    assert results["mig.dlib"].value > 0.95
    assert results["factor_vae.dlib"].value > 0.99


def test_principal_components_are_the_leading_directions(world: Any) -> None:
    found = principal_components(world["image"], 5, np.random.default_rng(0))
    pixels = world["image"].flatten(1).numpy().astype(np.float64)
    centred = pixels - pixels.mean(0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(np.abs(found.codes), np.abs(left[:, :5] * sizes[:5]), atol=1e-3)
    np.testing.assert_allclose(found.explained, sizes[:5] ** 2 / (sizes**2).sum(), rtol=1e-3)


def test_independent_components_unmix_what_principal_ones_leave_mixed() -> None:
    """Two uniform sources painted on two overlapping halves of an image: only ICA gives them back."""
    rng = np.random.default_rng(0)
    sources = rng.uniform(size=(2000, 2))
    first, second = rng.uniform(size=(2, 1, 4, 4))
    images = torch.from_numpy(sources[:, :1, None, None] * first + sources[:, 1:, None, None] * second).float() / 2
    factors = torch.zeros(2000, 1, dtype=torch.int64)

    def purity(control: Any) -> float:
        table = control_codes(control, images, factors, rng=rng, components=2)
        return float(np.abs(np.corrcoef(table.T, sources.T)[:2, 2:]).max(axis=1).min())

    assert purity("ica") > 0.99
    assert purity("pca") < 0.97


def test_independent_components_have_unit_variance_and_no_correlation(world: Any) -> None:
    np.testing.assert_allclose(np.cov(codes("ica", world).T), np.eye(10), atol=0.02)


def test_an_untrained_model_is_another_one_for_another_generator_and_leaves_torch_alone(world: Any) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = codes("untrained", world)
    assert torch.equal(torch.get_rng_state(), before)
    assert not np.allclose(first, codes("untrained", world, seed=1))
    assert first.std(axis=0).min() > 0


def test_constant_factors_are_zero() -> None:
    table = standardised(torch.tensor([[3, 0], [3, 1], [3, 2], [3, 3]]))
    assert np.array_equal(table[:, 0], np.zeros(4))
    assert table[:, 1].mean() == pytest.approx(0.0, abs=1e-7)
    assert table[:, 1].std() == pytest.approx(1.0)


def test_bad_input_says_what_to_do(world: Any) -> None:
    with pytest.raises(ConfigError, match=r"unknown control 'pcs', did you mean 'pca'.*ground_truth"):
        codes("pcs", world)
    with pytest.raises(ConfigError, match=r"'untrained' without a model.*model=config"):
        codes("untrained", world, model=None)
    with pytest.raises(DataError, match=r"577 components of 432 images with 576 pixels"):
        codes("pca", world, components=577)
    with pytest.raises(DataError, match=r"0 components"):
        codes("ica", world, components=0)
    rng = np.random.default_rng(0)
    with pytest.raises(DataError, match=r"432 images with factors of 431"):
        control_codes("raw_pixels", world["image"], world["factors"][:-1], rng=rng)
