"""Loss traces of 50 steps: a change that must not change numerics leaves them as they are.

`python tests/golden/test_golden_traces.py` records them anew, for a change of behaviour that brings its proof.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import pytest
import torch

from percepts.data.sprites import Pebbles, Sprites
from percepts.factors import presets as models
from percepts.factors.beta_vae import BetaVAE
from percepts.factors.cci_vae import CCIVAE, CapacitySchedule
from percepts.factors.vae import VAE
from percepts.nn.broadcast import SpatialBroadcastDecoder
from percepts.nn.conv import ConvDecoder, ConvEncoder
from percepts.nn.likelihoods import Gaussian
from percepts.objects.iodine import slot_decoder
from percepts.objects.iodine_presets import iodine_release_tetrominoes
from percepts.objects.presets import monet_small24
from percepts.objects.refinement import RefinementNetwork
from percepts.studies.beta_vae import beta_vae_squares24
from percepts.studies.cci_vae import capacity_squares24, cci_squares24
from percepts.studies.spatial_broadcast import broadcast_blobs24
from percepts.training.engine import Engine
from percepts.training.experiment import Experiment, build_model
from percepts.training.optimizers import Optimizer

TRACES = Path(__file__).parent / "traces"
STEPS = 50


def sprites_conv() -> Experiment:
    """Convolutions on sprites of all shapes and orientations."""
    convolutions = {"channels": (8, 8, 16, 16), "hidden": (32,)}
    return dataclasses.replace(
        beta_vae_squares24(),
        model=BetaVAE.Config(
            encoder=ConvEncoder.Config(**convolutions), decoder=ConvDecoder.Config(**convolutions), beta=4.0, warm_up=20
        ),
        data=dataclasses.replace(beta_vae_squares24().data, dataset=Sprites.Config(), preload=False),
    )


def pebbles_broadcast() -> Experiment:
    """RGB, Gaussian likelihood, spatial broadcast with 3×3 kernels, rising capacity."""
    return dataclasses.replace(
        cci_squares24(),
        model=CCIVAE.Config(
            encoder=ConvEncoder.Config(channels=(8, 8, 8), hidden=(16,)),
            decoder=SpatialBroadcastDecoder.Config(channels=(8, 8), kernel=3),
            likelihood=Gaussian.Config(std=0.3),
            capacity=CapacitySchedule(start=0.5, stop=5.0, end=40),
            gamma=10.0,
        ),
        data=dataclasses.replace(cci_squares24().data, dataset=Pebbles.Config(), preload=False),
    )


def factor_vae_squares24() -> Experiment:
    """A discriminator beside the VAE, with an optimiser of its own."""
    judging = {"discriminator": Optimizer(lr=1e-4, betas=(0.5, 0.9))}
    experiment = _on_squares(models.factor_vae_squares24())
    training = dataclasses.replace(experiment.training, group_optimizers=judging)
    return dataclasses.replace(experiment, training=training)


def beta_tcvae_squares24() -> Experiment:
    """The aggregate posterior by weighted sampling."""
    return _on_squares(models.beta_tcvae_squares24())


def beta_tcvae_stratified_squares24() -> Experiment:
    """The aggregate posterior by stratified sampling, with every part of the KL weighed."""
    weights = {"alpha": 2.0, "gamma": 0.5, "estimator": "mss", "dataset_size": 864}
    return _on_squares(dataclasses.replace(models.beta_tcvae_squares24(), **weights))


def dip_vae_i_squares24() -> Experiment:
    """A penalty of the means' covariance."""
    return _on_squares(models.dip_vae_i_squares24())


def dip_vae_ii_squares24() -> Experiment:
    """A penalty of the aggregate posterior's covariance."""
    return _on_squares(models.dip_vae_ii_squares24())


def monet_pebbles() -> Experiment:
    """MONet with three slots an image; scales so large that the loss stays far from zero."""
    model = dataclasses.replace(monet_small24(), background_scale=0.4, foreground_scale=0.5)
    return dataclasses.replace(pebbles_broadcast(), model=model)


def iodine_pebbles() -> Experiment:
    """IODINE with three slots and two steps, with every input; clipped, as its gradients are large."""
    model = dataclasses.replace(iodine_release_tetrominoes(), slots=3, steps=2, latent_size=6, scale=0.3)
    small = {"decoder": slot_decoder((8, 8), 3), "refinement": RefinementNetwork.Config(channels=(8, 8), lstm=16)}
    experiment = dataclasses.replace(pebbles_broadcast(), model=dataclasses.replace(model, **small))
    optimizer = Optimizer(lr=1e-3, betas=(0.95, 0.999), clip_norm=5.0)
    return dataclasses.replace(experiment, training=dataclasses.replace(experiment.training, optimizer=optimizer))


def _on_squares(model: VAE.Config) -> Experiment:
    return dataclasses.replace(beta_vae_squares24(), model=model)


EXPERIMENTS = {
    make.__name__: make
    for make in (
        beta_vae_squares24,
        cci_squares24,
        capacity_squares24,
        broadcast_blobs24,
        sprites_conv,
        pebbles_broadcast,
        factor_vae_squares24,
        beta_tcvae_squares24,
        beta_tcvae_stratified_squares24,
        dip_vae_i_squares24,
        dip_vae_ii_squares24,
        monet_pebbles,
        iodine_pebbles,
    )
}


def trace(experiment: Experiment) -> list[float]:
    """The loss of each step."""
    sampling = dataclasses.replace(experiment.sampling, batch_size=16)
    experiment, dataset = dataclasses.replace(experiment, sampling=sampling, seed=3).resolved()
    engine = Engine(build_model(experiment, dataset), dataset, experiment.training, experiment.sampling, seed=3)
    steps = zip(engine.batches(), range(STEPS))
    return [float(engine.train_step(batch).minimise["model"].detach()) for batch, _ in steps]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_trace_is_the_recorded_one(name):
    recorded = json.loads((TRACES / f"{name}.json").read_text())
    # Kernels of other processors round otherwise, and training amplifies that; a changed formula shows at once.
    assert trace(EXPERIMENTS[name]()) == pytest.approx(recorded, rel=2e-3)
    assert recorded[-1] < recorded[0]


if __name__ == "__main__":
    torch.set_num_threads(1)
    TRACES.mkdir(exist_ok=True)
    for name in sys.argv[1:] or EXPERIMENTS:
        (TRACES / f"{name}.json").write_text(json.dumps(trace(EXPERIMENTS[name]())) + "\n")
