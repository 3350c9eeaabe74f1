"""Model configurations of the papers' tables and of small worlds that a CPU can train.

Every function returns a config without `image_shape`; the data gives it. Optimiser settings belong to training and
are named here only for orientation. Excess reconstruction is that at posterior means, less the entropy of the pixels
(`diagnostics.excess_reconstruction`). "Unverified" means that the number is quoted from memory of the paper's appendix
or from re-implementations, because the appendix could not be checked. "Measured here" means with this library on a CPU
(PyTorch 2.13); "from an independent NumPy calibration", with other code of the same model.
"""

from __future__ import annotations

from collections.abc import Callable

from percepts.factors.beta_tcvae import BetaTCVAE
from percepts.factors.beta_vae import BetaVAE
from percepts.factors.capacity import FactorChannel, FactorChannels
from percepts.factors.cci_vae import CCIVAE, CapacitySchedule
from percepts.factors.dip_vae_i import DIPVAEI
from percepts.factors.dip_vae_ii import DIPVAEII
from percepts.factors.factor_vae import Discriminator, FactorVAE
from percepts.factors.vae import VAE
from percepts.nn.broadcast import SpatialBroadcastDecoder
from percepts.nn.conv import ConvDecoder, ConvEncoder
from percepts.nn.layers import Initialisation
from percepts.nn.likelihoods import Gaussian
from percepts.nn.mlp import MLPDecoder, MLPEncoder

HIGGINS = (32, 32, 64, 64)
BURGESS = (32, 32, 32, 32)
WATTERS = (64, 64, 64, 64)


def beta_vae_dsprites_fc(beta: float = 4.0) -> BetaVAE.Config:
    """beta-VAE on dSprites (Higgins et al. 2017, appendix Table 1): fully connected 1200, tanh decoder, 10 latents.

    Trained with Adagrad 1e-2 (start the accumulator at 0.1), Bernoulli. Layers confirmed by a published
    re-implementation; β = 4 unverified; Glorot initialisation is our guess. Expected (unverified): beta-VAE score
    99.2 % at β = 4 and 61.6 % at β = 1; re-implementations do not reproduce the latter.
    """
    return BetaVAE.Config(
        beta=beta,
        encoder=MLPEncoder.Config(hidden=(1200, 1200), initialisation="glorot"),
        decoder=MLPDecoder.Config(hidden=(1200, 1200, 1200), activation="tanh", initialisation="glorot"),
    )


def beta_vae_dsprites_conv(beta: float = 4.0) -> BetaVAE.Config:
    """beta-VAE on dSprites as in disentanglement_lib: 2×2 kernels in the encoder's last two layers, 10 latents.

    Layers as in its code (64×64 images); Adam 1e-4, batch 64, 300 000 steps there. Medians reported for the best β
    (unverified): beta-VAE score 82, FactorVAE score 66, MIG 10 (%).
    """
    return BetaVAE.Config(beta=beta, encoder=_dlib_encoder(), decoder=_dlib_decoder())


def cci_dsprites_conv(capacity: float = 25.0) -> CCIVAE.Config:
    """CCI-VAE as in disentanglement_lib ("AnnealedVAE"): the network of `beta_vae_dsprites_conv`, γ = 1000.

    C 0 → `capacity` nats in 100 000 of 300 000 steps; Adam 1e-4, batch 64.
    """
    return CCIVAE.Config(
        gamma=1000.0,
        capacity=CapacitySchedule(stop=capacity, end=100_000),
        encoder=_dlib_encoder(),
        decoder=_dlib_decoder(),
    )


def factor_vae_dsprites(gamma: float = 10.0) -> FactorVAE.Config:
    """FactorVAE as in disentanglement_lib: the network of `beta_vae_dsprites_conv`, a discriminator of 6 × 1000.

    Adam 1e-4, batch 64, 300 000 steps; the group "discriminator" has Adam 1e-4 with betas (0.5, 0.9), 1e-5 for some
    sets of images (from re-implementations, unverified).
    """
    return FactorVAE.Config(gamma=gamma, encoder=_dlib_encoder(), decoder=_dlib_decoder())


def beta_tcvae_dsprites(beta: float = 6.0) -> BetaTCVAE.Config:
    """β-TCVAE as in disentanglement_lib: the network of `beta_vae_dsprites_conv`, weighted sampling.

    Adam 1e-4, batch 64, 300 000 steps.
    """
    return BetaTCVAE.Config(beta=beta, encoder=_dlib_encoder(), decoder=_dlib_decoder())


def dip_vae_i_dsprites(lambda_od: float = 10.0) -> DIPVAEI.Config:
    """DIP-VAE-I as in disentanglement_lib: the network of `beta_vae_dsprites_conv`, λ_d = 10 · λ_od.

    Adam 1e-4, batch 64, 300 000 steps.
    """
    return DIPVAEI.Config(lambda_od=lambda_od, encoder=_dlib_encoder(), decoder=_dlib_decoder())


def dip_vae_ii_dsprites(lambda_od: float = 10.0) -> DIPVAEII.Config:
    """DIP-VAE-II as in disentanglement_lib: the network of `beta_vae_dsprites_conv`, λ_d = λ_od.

    Adam 1e-4, batch 64, 300 000 steps.
    """
    return DIPVAEII.Config(lambda_od=lambda_od, encoder=_dlib_encoder(), decoder=_dlib_decoder())


UDR_SWEEP: dict[str, tuple[float, ...]] = {
    "beta_vae": (1.0, 2.0, 4.0, 6.0, 8.0, 16.0),
    "cci_vae": (5.0, 10.0, 25.0, 50.0, 75.0, 100.0),
    "factor_vae": (10.0, 20.0, 30.0, 40.0, 50.0, 100.0),
    "beta_tcvae": (1.0, 2.0, 4.0, 6.0, 8.0, 10.0),
    "dip_vae_i": (1.0, 2.0, 5.0, 10.0, 20.0, 50.0),
    "dip_vae_ii": (1.0, 2.0, 5.0, 10.0, 20.0, 50.0),
}
"""The values of β, C_max, γ, β, λ_od and λ_od in disentanglement_lib's study. That UDR's paper ranked models of these
values is likely and unverified."""


def udr_sweep() -> dict[str, tuple[VAE.Config, ...]]:
    """The six classes with the six values of `UDR_SWEEP` each, with disentanglement_lib's network; 50 seeds there."""
    makers: dict[str, Callable[[float], VAE.Config]] = {
        "beta_vae": beta_vae_dsprites_conv,
        "cci_vae": cci_dsprites_conv,
        "factor_vae": factor_vae_dsprites,
        "beta_tcvae": beta_tcvae_dsprites,
        "dip_vae_i": dip_vae_i_dsprites,
        "dip_vae_ii": dip_vae_ii_dsprites,
    }
    return {name: tuple(makers[name](value) for value in values) for name, values in UDR_SWEEP.items()}


def beta_vae_chairs(beta: float = 5.0) -> BetaVAE.Config:
    """beta-VAE on grey 64×64 chairs: four 4×4 convolutions, 32 latents, Bernoulli; β = 5 unverified. Adam 1e-4.

    Expected: azimuth, size or width, and leg style each on one latent (unverified).
    """
    return BetaVAE.Config(
        beta=beta,
        latent_size=32,
        encoder=ConvEncoder.Config(channels=HIGGINS, initialisation="glorot"),
        decoder=ConvDecoder.Config(channels=HIGGINS, initialisation="glorot"),
    )


def beta_vae_faces() -> BetaVAE.Config:
    """beta-VAE on grey 64×64 renderings of 3-D faces: the network of the chairs, β = 20 unverified. Adam 1e-4.

    Expected: azimuth, elevation and lighting each on one latent (unverified).
    """
    return beta_vae_chairs(beta=20.0)


def beta_vae_celeba(beta: float = 250.0, std: float = 1.0) -> BetaVAE.Config:
    """beta-VAE on 64×64 RGB CelebA: the network of the chairs with a Gaussian likelihood, β = 250 unverified.

    The paper's pixel variance is unknown; std = 1 (½ · squared error) is our choice, and β means nothing without it.
    """
    return BetaVAE.Config(
        beta=beta,
        latent_size=32,
        encoder=ConvEncoder.Config(channels=HIGGINS, initialisation="glorot"),
        decoder=ConvDecoder.Config(channels=HIGGINS, initialisation="glorot"),
        likelihood=Gaussian.Config(std=std),
    )


def beta_vae_squares24(beta: float = 14.0) -> BetaVAE.Config:
    """beta-VAE on squares-24 (864 grey 24×24 squares, factors scale, x, y): fully connected 128, 6 latents.

    Adam 1e-3, batch 64, 6000 steps. Expected over 4 seeds, from an independent NumPy calibration: MIG 0.24–0.38,
    FactorVAE score 0.88–0.95, 3 active units, excess reconstruction 23–25 nats at β = 14; at β = 1 MIG 0.04–0.13,
    2 nats. Measured here at β = 8, mean of seeds 0–3: excess 11.9 nats, MIG 0.35.
    """
    return BetaVAE.Config(beta=beta, latent_size=6, encoder=_small_encoder(), decoder=_small_decoder())


def beta_vae_blobs24_broadcast(beta: float = 1.0) -> BetaVAE.Config:
    """Spatial-broadcast VAE on blobs-24 (grey 24×24 bumps, factors x, y): a pixel-wise decoder of three layers of 32.

    Adam 1e-3, batch 16, 4000 steps. Expected at β = 1, measured here with seeds 0 and 1: two latents of 2.5 nats,
    affine R² of the position lattice 0.9993 and 0.9990. From an independent NumPy calibration: excess reconstruction
    0.5–0.8 nats.
    """
    decoder = SpatialBroadcastDecoder.Config(channels=(32, 32, 32), kernel=1, initialisation="glorot")
    return BetaVAE.Config(beta=beta, latent_size=6, encoder=_small_encoder(), decoder=decoder)


def beta_vae_blobs24_fc(beta: float = 1.0) -> BetaVAE.Config:
    """The fully connected baseline on blobs-24. Adam 1e-3, batch 16, 6000 steps.

    Expected at β = 1, measured here with seeds 0 and 1: affine R² 0.553 and 0.715. From an independent NumPy
    calibration: 4 active units, affine R² 0.2–0.6, excess reconstruction 0.7–0.8 nats; with PyTorch's default
    initialisation 3 active units and 0.77 in two seeds.
    """
    return BetaVAE.Config(beta=beta, latent_size=6, encoder=_small_encoder(), decoder=_small_decoder())


def broadcast_vae_sprites(beta: float = 1.0) -> BetaVAE.Config:
    """Spatial-broadcast VAE on coloured 64×64 sprites (Watters et al. 2019): 64 channels, 10 latents.

    Encoder and number of latents follow a re-implementation; decoder depth, kernel and the Gaussian's std = 0.3 are
    our choices, the paper's are unverified. Adam 3e-4.
    """
    return BetaVAE.Config(
        beta=beta,
        encoder=ConvEncoder.Config(channels=WATTERS),
        decoder=SpatialBroadcastDecoder.Config(channels=(64, 64, 64), kernel=3),
        likelihood=Gaussian.Config(std=0.3),
    )


def deconv_vae_sprites(beta: float = 1.0, coordinates: bool = False) -> BetaVAE.Config:
    """The baseline of `broadcast_vae_sprites`: five transposed convolutions of 64 channels from 2×2 (unverified).

    Args:
        coordinates: add x and y to the input of every one of them, the CoordConv ablation.
    """
    return BetaVAE.Config(
        beta=beta,
        encoder=ConvEncoder.Config(channels=WATTERS),
        decoder=ConvDecoder.Config(channels=(64, *WATTERS), hidden=(), coordinates=coordinates),
        likelihood=Gaussian.Config(std=0.3),
    )


def cci_dsprites() -> CCIVAE.Config:
    """CCI-VAE on dSprites (Burgess et al. 2018): 10 latents, γ = 1000, C 0 → 25 nats in 100 000 steps. Adam 5e-4.

    Network and numbers agree in three re-implementations; unverified in the paper. Expected (unverified): five
    informative latents (y, x, scale, two for rotation) and sharp reconstructions.
    """
    return _burgess(latent_size=10, gamma=1000.0, capacity=25.0)


def cci_coloured_dsprites() -> CCIVAE.Config:
    """CCI-VAE on dSprites with coloured sprites: as on dSprites (from re-implementations, unverified)."""
    return cci_dsprites()


def cci_chairs() -> CCIVAE.Config:
    """CCI-VAE on 64×64 chairs: 10 latents, γ = 1000, C 0 → 25 nats in 100 000 steps. Adam 5e-4.

    From memory of re-implementations and unverified; these values are less certain than those of the other tables.
    """
    return _burgess(latent_size=10, gamma=1000.0, capacity=25.0)


def cci_celeba() -> CCIVAE.Config:
    """CCI-VAE on 64×64 RGB CelebA: 32 latents, γ = 10 000, C 0 → 50 nats in 100 000 steps (unverified)."""
    return _burgess(latent_size=32, gamma=10_000.0, capacity=50.0)


def cci_practical() -> CCIVAE.Config:
    """CCI-VAE on dSprites as re-implementations prefer it: γ = 100, C 0 → 25 nats in 100 000 steps. Adam 5e-4.

    Expected (from one of them, unverified): posterior variances of 0.0003 or less for five latents and about 1
    for the others.
    """
    return _burgess(latent_size=10, gamma=100.0, capacity=25.0)


def cci_squares24() -> CCIVAE.Config:
    """CCI-VAE on squares-24: γ = 30, C 0 → 6 nats over 8000 of 10 000 steps, Adam 5e-4, batch 64.

    Expected, measured here, means over seeds 0–3: excess reconstruction 5.2 nats, MIG 0.39, FactorVAE score 0.97;
    3 latents above 0.05 nats in every seed, |KL − C| ≤ 0.5 nats throughout. From an independent NumPy calibration with
    two seeds: latents with 2.3, 2.3 and 1.5 nats, excess 4.4–4.8 nats, MIG about 0.25, FactorVAE score 0.89 or more.
    """
    return CCIVAE.Config(
        latent_size=6,
        encoder=_small_encoder("torch"),
        decoder=_small_decoder("torch"),
        gamma=30.0,
        capacity=CapacitySchedule(stop=6.0, end=8000),
    )


def factor_vae_squares24(gamma: float = 10.0) -> FactorVAE.Config:
    """FactorVAE on squares-24: the network of `beta_vae_squares24`, a discriminator of 3 × 128, small enough for a CPU.

    Adam 1e-3, batch 64, 6000 steps; the group "discriminator" has Adam 1e-4 with betas (0.5, 0.9).

    Expected, measured here with seed 0: excess reconstruction 2.3 nats, MIG 0.18, FactorVAE score 0.86; at the end
    total correlation 0.02 nats and the discriminator right in 55 %.
    """
    return FactorVAE.Config(
        gamma=gamma,
        latent_size=6,
        encoder=_small_encoder(),
        decoder=_small_decoder(),
        discriminator=Discriminator.Config(hidden=(128, 128, 128)),
    )


def beta_tcvae_squares24(beta: float = 6.0) -> BetaTCVAE.Config:
    """β-TCVAE on squares-24: the network of `beta_vae_squares24`, weighted sampling.

    Adam 1e-3, batch 64, 6000 steps.

    Expected, measured here with seed 0: excess reconstruction 6.3 nats, MIG 0.30, FactorVAE score 0.93, 4 active units;
    total correlation 1.4 nats at the end (of a batch of 64).
    """
    return BetaTCVAE.Config(beta=beta, latent_size=6, encoder=_small_encoder(), decoder=_small_decoder())


def dip_vae_i_squares24(lambda_od: float = 5.0) -> DIPVAEI.Config:
    """DIP-VAE-I on squares-24: the network of `beta_vae_squares24`, λ_d = 10 · λ_od.

    Adam 1e-3, batch 64, 6000 steps.

    Expected, measured here with seed 0: excess reconstruction 2.7 nats, MIG 0.09, FactorVAE score 0.90; all 6 units
    stay active, as this penalty asks.
    """
    return DIPVAEI.Config(lambda_od=lambda_od, latent_size=6, encoder=_small_encoder(), decoder=_small_decoder())


def dip_vae_ii_squares24(lambda_od: float = 10.0) -> DIPVAEII.Config:
    """DIP-VAE-II on squares-24: the network of `beta_vae_squares24`, λ_d = λ_od.

    Adam 1e-3, batch 64, 6000 steps.

    Expected, measured here with seed 0: excess reconstruction 2.6 nats, MIG 0.10, FactorVAE score 0.90, 4 active units.
    """
    return DIPVAEII.Config(lambda_od=lambda_od, latent_size=6, encoder=_small_encoder(), decoder=_small_decoder())


def capacity_squares24(channels: tuple[FactorChannel, ...]) -> FactorChannels.Config:
    """The factor-conditioned capacity model on squares-24: γ = 30, C 0.2 → 6 nats in 6000 steps, Adam 1e-3, batch 64.

    Args:
        channels: scale, x and y, from `factor_channels(dataset, names)`.

    Expected KL, measured here with seeds 0 and 1: scale 0.19 and 0.18, x 0.83 and 0.82, y 0.82 and 0.83 nats at
    C = 1.9; scale 1.34 and 1.33 at C = 6. From an independent NumPy calibration: scale, x, y 0.20, 0.85, 0.91 nats at
    C = 1.94 and 1.44, 2.32, 2.20 at C = 6; the reconstruction term falls from 86 nats at C = 0.78 to 23.
    """
    return FactorChannels.Config(
        channels=channels,
        decoder=_small_decoder("torch"),
        gamma=30.0,
        capacity=CapacitySchedule(start=0.2, stop=6.0, end=6000),
    )


def _dlib_encoder() -> ConvEncoder.Config:
    return ConvEncoder.Config(channels=HIGGINS, kernels=(4, 4, 2, 2), initialisation="glorot")


def _dlib_decoder() -> ConvDecoder.Config:
    return ConvDecoder.Config(channels=HIGGINS, initialisation="glorot")


def _small_encoder(initialisation: Initialisation = "glorot") -> MLPEncoder.Config:
    return MLPEncoder.Config(hidden=(128, 128), initialisation=initialisation)


def _small_decoder(initialisation: Initialisation = "glorot") -> MLPDecoder.Config:
    return MLPDecoder.Config(hidden=(128, 128), initialisation=initialisation)


def _burgess(latent_size: int, gamma: float, capacity: float) -> CCIVAE.Config:
    return CCIVAE.Config(
        latent_size=latent_size,
        encoder=ConvEncoder.Config(channels=BURGESS, hidden=(256, 256)),
        decoder=ConvDecoder.Config(channels=BURGESS, hidden=(256, 256)),
        gamma=gamma,
        capacity=CapacitySchedule(stop=capacity, end=100_000),
    )
