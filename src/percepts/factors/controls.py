"""Codes without training, to hold a metric's scores against (the controls of Higgins et al. 2017, Table 1).

    codes = control_codes("pca", images, factors, rng=rng)
    beta_vae_score(codes, factors, rng=rng)

"ground_truth" is the best that a code can be, "raw_pixels" and "untrained" what a metric gives for nothing, "pca" and
"ica" what linear statistics of the pixels find.

What differs from the paper: its fitting procedure and preprocessing of the pixels are not known (ours: none but
centring). Expected on its 2-D shapes (from memory, unverified): beta-VAE score, in %, 100 for the ground truth, 46 raw
pixels, 85 PCA of ten components with 61 % of the variance, 42 ICA, 44 an untrained VAE. Measured here on squares-24
(seed 0, 2000 points): 100, 87, 100 (73 % of the variance), 100 and 79; three factors are too easy for this score.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from percepts.core.errors import ConfigError, DataError, nearest
from percepts.factors.vae import VAE

Control = Literal["ground_truth", "raw_pixels", "pca", "ica", "untrained"]
CONTROLS: tuple[Control, ...] = get_args(Control)


def control_codes(
    control: Control,
    images: Float[Tensor, "samples channels height width"],
    factors: Int[Tensor, "samples factors"],
    *,
    rng: np.random.Generator,
    components: int = 10,
    model: VAE.Config | None = None,
) -> Float[np.ndarray, "samples codes"]:
    """The control's codes for `images`, float32, one row an image.

    Args:
        control: "ground_truth": the factors' indices, standardised; "raw_pixels": all pixels and channels; "pca",
            "ica": components fitted to these very images; "untrained": the means of a VAE that was never trained.
        images: in [0, 1].
        factors: the indices of their factors' values.
        rng: source of the fits' and the untrained weights' random numbers.
        components: how many of PCA and ICA.
        model: the VAE for "untrained"; its image_shape may be open.

    Raises:
        ConfigError: an unknown control, or "untrained" without a model.
        DataError: images and factors of different numbers, or too few images for the components.
    """
    if len(images) != len(factors):
        raise DataError(f"{len(images)} images with factors of {len(factors)}", "one row of factors an image")
    if control == "ground_truth":
        return standardised(factors)
    if control == "raw_pixels":
        return images.flatten(1).float().cpu().numpy()
    if control == "pca":
        return principal_components(images, components, rng).codes
    if control == "ica":
        return independent_components(images, components, rng)
    if control == "untrained":
        if model is None:
            raise ConfigError("the control 'untrained' without a model", "the configuration of a VAE", "model=config")
        return untrained_codes(model, images, rng)
    close = nearest(control, CONTROLS)
    hint = f", did you mean '{close}'?" if close else ""
    raise ConfigError(f"unknown control '{control}'{hint}", "one of " + ", ".join(CONTROLS))


@dataclass(frozen=True)
class PrincipalComponents:
    """The first principal components of a set of images.

    Attributes:
        codes: every image's coordinates, float32.
        explained: the share of the pixels' variance that lies along every component, in [0, 1].
    """

    codes: Float[np.ndarray, "samples components"]
    explained: Float[np.ndarray, " components"]


def principal_components(
    images: Float[Tensor, "samples channels height width"], components: int, rng: np.random.Generator
) -> PrincipalComponents:
    """PCA of the centred pixels.

    Raises:
        DataError: fewer images or pixels than components.
    """
    from sklearn.decomposition import PCA

    pixels = images.flatten(1).float().cpu().numpy()
    if not 1 <= components <= min(pixels.shape):
        raise DataError(
            f"{components} components of {pixels.shape[0]} images with {pixels.shape[1]} pixels",
            "at least one, and no more than images or pixels",
        )
    fitted = PCA(components, random_state=_seed(rng))
    codes = fitted.fit_transform(pixels)
    return PrincipalComponents(codes.astype(np.float32), fitted.explained_variance_ratio_)


def independent_components(
    images: Float[Tensor, "samples channels height width"], components: int, rng: np.random.Generator
) -> Float[np.ndarray, "samples components"]:
    """FastICA of the first principal components (Hyvärinen 1999), float32, with variance 1.

    Where it has not converged after 1000 iterations, scikit-learn says so and the codes are those of the last one.

    Raises:
        DataError: fewer images or pixels than components.
    """
    from sklearn.decomposition import FastICA

    codes = principal_components(images, components, rng).codes.astype(np.float64)
    fitted = FastICA(whiten="unit-variance", max_iter=1000, random_state=_seed(rng))
    return fitted.fit_transform(codes).astype(np.float32)


@torch.no_grad()
def untrained_codes(
    config: VAE.Config, images: Float[Tensor, "samples channels height width"], rng: np.random.Generator
) -> Float[np.ndarray, "samples latents"]:
    """The posterior means of a freshly initialised VAE, float32; torch's global random state is left as it was."""
    shape = images.shape[1], images.shape[2], images.shape[3]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_seed(rng))
        model: VAE = dataclasses.replace(config, image_shape=config.image_shape or shape).build()
    model.eval().to(images.device)
    return torch.cat([model.encode(part).mean for part in images.split(256)]).float().cpu().numpy()


def standardised(factors: Int[Tensor, "samples factors"]) -> Float[np.ndarray, "samples factors"]:
    """Every column of `factors` with mean 0 and variance 1, float32; a constant column is 0."""
    values = factors.cpu().numpy().astype(np.float64)
    spread = values.std(axis=0)
    return ((values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0)).astype(np.float32)


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))
