"""Configurations of IODINE: the published code's ("release"), the paper's, and small ones that a CPU trains.

Every function returns a config without `image_shape`; the data gives it. The release and the paper differ in density,
prior and some layers, so their NLL and KL cannot be compared. The release's numbers are those of its code; "paper"
settings that it does not share are quoted by re-implementations or from memory, and unverified.

Optimisers belong to training. All of the release's: Adam with betas (0.95, 0.999), a learning rate that falls
exponentially by 10 in 1 000 000 steps, gradients clipped at norm 5; `scaled_learning_rate` gives the rate for a batch.
"""

from __future__ import annotations

import dataclasses
import math

from percepts.core.errors import ConfigError
from percepts.nn.broadcast import SpatialBroadcastDecoder
from percepts.objects.iodine import IODINE, slot_decoder
from percepts.objects.refinement import FLAT, SPATIAL, FlatInput, RefinementNetwork, SpatialInput

RELEASE_PRIOR_STD = math.sqrt(math.log(2))
"""The release makes its prior from zeros like a posterior: variance softplus(0)."""

CAPACITIES = ("capacity", "flat_capacity")
WITHOUT_CAPACITY: tuple[SpatialInput | FlatInput, ...] = tuple(
    name for name in (*SPATIAL, *FLAT) if name not in CAPACITIES
)


def iodine_release_clevr6() -> IODINE.Config:
    """IODINE on CLEVR with up to six objects (128×128) as released: 7 slots of 64 latents, 5 steps.

    Batch 32 at rate 1e-3 (the paper says 3e-4, unverified), 1 000 000 steps. Expected: ARI-FG 0.988 ± 0.000.
    """
    return _release(_clevr6(hidden=(256, 256)), slots=7, latents=64)


def iodine_release_multi_dsprites() -> IODINE.Config:
    """IODINE on Multi-dSprites (64×64) as released: 6 slots of 16 latents, 5 steps.

    Batch 128 at rate 3e-4, 1 000 000 steps. Expected: ARI-FG 0.767 ± 0.056.
    """
    return _release(_sprites(lstm=128), slots=6, latents=16, decoder=slot_decoder((32,) * 4, 5))


def iodine_release_tetrominoes() -> IODINE.Config:
    """IODINE on Tetrominoes (35×35) as released: 4 slots of 32 latents, 5 steps, no LSTM.

    Batch 256 at rate 3e-4, 1 000 000 steps. Expected: ARI-FG 0.992 ± 0.004.
    """
    return _release(_sprites(lstm=None), slots=4, latents=32, decoder=slot_decoder((32,) * 4, 5))


def iodine_paper_clevr6() -> IODINE.Config:
    """`iodine_release_clevr6` with the paper's density, prior and MLP. Batch 32 at rate 3e-4 (all unverified)."""
    return _paper(iodine_release_clevr6(), _clevr6(hidden=(256,)))


def iodine_paper_multi_dsprites() -> IODINE.Config:
    """`iodine_release_multi_dsprites` with the paper's density and prior. Batch 128 at rate 3e-4 (unverified)."""
    return _paper(iodine_release_multi_dsprites(), _sprites(lstm=128))


def iodine_paper_tetrominoes() -> IODINE.Config:
    """`iodine_release_tetrominoes` with the paper's density and prior. Batch 256 at rate 3e-4 (unverified)."""
    return _paper(iodine_release_tetrominoes(), _sprites(lstm=None))


def iodine_video() -> IODINE.Config:
    """Sequential IODINE for 64×64 videos of sprites: a frame a step, the release's head for sequences (sizes are ours).

    Batch 32 at rate 3e-4. Expected: slots that stay with their objects.
    """
    refinement = dataclasses.replace(_sprites(lstm=128), head="predictor_corrector")
    config = _release(refinement, slots=5, latents=16, decoder=slot_decoder((32,) * 4, 5))
    return dataclasses.replace(config, sequential=True)


def iodine_small16(slots: int = 3) -> IODINE.Config:
    """IODINE for 16×16 images of two shapes, trained by a CPU: 8 latents, 3 steps, normal density of 0.1.

    Adam 1e-3 with betas (0.95, 0.999), clipped at norm 5, batch 32, 2000 steps.
    """
    refinement = RefinementNetwork.Config(inputs=WITHOUT_CAPACITY, channels=(16,) * 3, hidden=(64,), lstm=64)
    return IODINE.Config(slots=slots, steps=3, latent_size=8, decoder=slot_decoder((16,) * 3, 3), refinement=refinement)


def iodine_small_tetrominoes() -> IODINE.Config:
    """IODINE for Tetrominoes in minutes on a large GPU: the release with 3×3 kernels in the decoder and an LSTM.

    Adam 5e-4 with betas (0.95, 0.999), 500 steps of warm-up, clipped at norm 5, batch 128, some 6000 steps in bf16.
    """
    return _release(_sprites(lstm=128), slots=4, latents=32, decoder=slot_decoder((32,) * 4, 3))


def scaled_learning_rate(rate: float, batch: int, reference: int) -> float:
    """The learning rate for another batch than the `reference` that `rate` is for: in proportion to the square root.

    Raises:
        ConfigError: one of them is not positive.
    """
    if min(rate, batch, reference) <= 0:
        raise ConfigError(f"rate {rate} for batches of {reference} and {batch}", "positive numbers")
    return rate * math.sqrt(batch / reference)


def _release(
    refinement: RefinementNetwork.Config,
    slots: int,
    latents: int,
    decoder: SpatialBroadcastDecoder.Config | None = None,
) -> IODINE.Config:
    config = IODINE.Config(
        slots=slots,
        steps=5,
        latent_size=latents,
        capacity_channel=True,
        refinement=refinement,
        density="logistic",
        scale=0.03,
        prior_std=RELEASE_PRIOR_STD,
    )
    return config if decoder is None else dataclasses.replace(config, decoder=decoder)


def _paper(release: IODINE.Config, refinement: RefinementNetwork.Config) -> IODINE.Config:
    return dataclasses.replace(
        release,
        refinement=dataclasses.replace(refinement, inputs=WITHOUT_CAPACITY),
        capacity_channel=False,
        density="normal",
        scale=0.1,
        prior_std=1.0,
    )


def _clevr6(hidden: tuple[int, ...]) -> RefinementNetwork.Config:
    return RefinementNetwork.Config(channels=(64,) * 4, kernel=3, hidden=hidden, lstm=256)


def _sprites(lstm: int | None) -> RefinementNetwork.Config:
    return RefinementNetwork.Config(channels=(32,) * 3, kernel=5, hidden=(128,), lstm=lstm, coordinates="cos")
