"""Presets of MONet and IODINE; the studies of these papers train them."""

from __future__ import annotations

import dataclasses
from typing import Any

from percepts.core.config import Config
from percepts.data.clevr_like import clevr6, clevr10
from percepts.data.moving_sprites import MovingSprites
from percepts.data.multi_dsprites import MultiDSprites
from percepts.data.objects_room import ObjectsRoom
from percepts.data.small_scenes import apart_sprites, tiny_shapes, two_sprites
from percepts.data.stream import StreamConfig
from percepts.data.tetrominoes import Tetrominoes
from percepts.objects import iodine_presets as iodines
from percepts.objects import presets as monets
from percepts.objects.masks import MaskSource
from percepts.training.experiment import Data, Experiment, preset
from percepts.training.optimizers import Optimizer, Schedule
from percepts.training.settings import Training


@preset
def monet_sprites24() -> Experiment:
    """MONet on 24x24 images of two sprites of different colours on black: objects in minutes on a CPU.

    3 slots, scales 0.09 and 0.11, β = γ = 0.5, batch 32, 1600 steps. Measured here with seeds 0 to 2: ARI-FG
    0.98, 0.97, 0.95 on a processor with AVX2 and 0.61, 0.63, 0.93 on one with AVX512: rounding decides as another seed
    would, and about a quarter of the runs split a sprite. About four minutes on one core.
    """
    return _experiment(monets.monet_small24(), apart_sprites(), fast_training(1600, lr=2e-3))


@preset
def monet_tetrominoes() -> Experiment:
    """MONet on Tetrominoes (35x35, three pieces on black), small enough for a CPU.

    4 slots, scales 0.20 and 0.24, β = γ = 0.5, batch 32, 2000 steps. Expected, measured here with seed 0: ARI-FG 0.51
    and 0.55 in two runs, ten minutes on two cores; masks are visibly the pieces, their dark edges go to the background.
    """
    model = dataclasses.replace(monets.monet_small32(), background_scale=0.20, foreground_scale=0.24)
    return _experiment(model, Tetrominoes.Config(), fast_training(2000))


@preset
def iodine_shapes16() -> Experiment:
    """IODINE on 16x16 images of two shapes of different colours on black: objects in minutes on a CPU.

    3 slots, 3 steps of refinement, Normal 0.3, unit prior with a weight that rises to 1 in 1000 steps, clipped at 5,
    batch 32, 2000 steps. Expected, measured here with seeds 0 to 2: ARI-FG 0.56 to 0.59, 0.70 with six steps at test
    time; about eight minutes on one core. With Normal 0.1 every slot becomes one colour all over the image, and masks
    stay undecided.
    """
    model = dataclasses.replace(iodines.iodine_small16(), scale=0.3, kl_warm_up=1000)
    training = fast_training(2000, lr=3e-3, betas=(0.95, 0.999), clip_norm=5.0)
    return _experiment(model, tiny_shapes(), training)


@preset
def monet_multi_dsprites() -> Experiment:
    """MONet on Multi-dSprites (64x64, coloured sprites on coloured backgrounds), for a GPU: the paper's network.

    Adam 3e-4, batch 64, 1 000 000 steps as re-implementations say of the paper (its RMSprop 1e-4: `--optimizer.name
    rmsprop --lr 1e-4`). Published by later papers: ARI-FG 0.904 ± 0.008. Never run here at this size.
    """
    return _experiment(monets.monet_multi_dsprites(), MultiDSprites.Config(), long_training(1_000_000, lr=3e-4), 64)


@preset
def monet_multi_dsprites_grayscale() -> Experiment:
    """MONet on Multi-dSprites with coloured sprites on grey (64x64, two to five of them), for a GPU: 6 slots.

    The paper's network and scales, the training of `monet-multi-dsprites`; the number of slots is ours, one more than
    sprites. Never run here.
    """
    model = dataclasses.replace(monets.monet_multi_dsprites(), slots=6)
    dataset = MultiDSprites.Config(variant="colored_on_grayscale")
    return _experiment(model, dataset, long_training(1_000_000, lr=3e-4), 64)


@preset
def monet_multi_dsprites_binarized() -> Experiment:
    """MONet on Multi-dSprites in white on black (64x64, two or three sprites), for a GPU: the paper's network, 5 slots.

    The training of `monet-multi-dsprites`; no published MONet has these images. Colour, by which MONet groups first,
    tells nothing here, so expect little. Never run here.
    """
    dataset = MultiDSprites.Config(variant="binarized")
    return _experiment(monets.monet_multi_dsprites(), dataset, long_training(1_000_000, lr=3e-4), 64)


@preset
def monet_g() -> Experiment:
    """MONet as GENESIS trains it, on the Multi-dSprites of that paper (64x64, up to four sprites), for a GPU.

    One scale of 0.7, a goal for the error (GECO), Adam 1e-4, batch 32, 500 000 steps. GENESIS-V2 reports it on other
    data: ARI-FG 0.54 on Objects Room, 0.70 on ShapeStacks (unverified). Never run here.
    """
    dataset = MultiDSprites.Config(variant="genesis")
    return _experiment(monets.monet_g(), dataset, long_training(500_000, lr=1e-4), 32)


@preset
def monet_release_multi_dsprites() -> Experiment:
    """MONet on Multi-dSprites with coloured sprites on grey as in a public object-centric benchmark, for a GPU.

    6 slots, scales 0.06 and 0.10, Adam 1e-4 that falls by half in 500 000 steps, batch 64. Which of the variants that
    benchmark has is unverified. Never run here.
    """
    training = long_training(500_000, lr=1e-4, schedule=Schedule(shape="exponential", final=0.5))
    dataset = MultiDSprites.Config(variant="colored_on_grayscale")
    return _experiment(monets.monet_release_multi_dsprites(), dataset, training, 64)


@preset
def monet_release_tetrominoes() -> Experiment:
    """MONet on Tetrominoes (the middle 32x32) as in a public object-centric benchmark, for a GPU.

    4 slots, scales 0.30 and 0.36, Adam 1e-4, batch 64, 500 000 steps. No published score. Never run here;
    `monet-tetrominoes` is the small one.
    """
    dataset = Tetrominoes.Config(image_size=32)
    return _experiment(monets.monet_tetrominoes(), dataset, long_training(500_000, lr=1e-4), 64)


@preset
def monet_objects_room() -> Experiment:
    """MONet on generated Objects Rooms (64x64, up to three objects), for a GPU: the paper's network, 7 slots.

    The training of `monet-multi-dsprites`. GENESIS-V2 reports ARI-FG 0.54 of MONet with GECO (unverified). Never run
    here.
    """
    return _experiment(monets.monet_objects_room(), ObjectsRoom.Config(), long_training(1_000_000, lr=3e-4), 64)


@preset
def monet_clevr6() -> Experiment:
    """MONet on generated CLEVR-like scenes of up to six objects (128x128), for a GPU: 7 slots, RMSprop 3e-5, batch 32.

    Settings of a re-implementation. Published by later papers, on CLEVR6: ARI-FG 0.962 ± 0.006. Never run here.
    """
    return _experiment(monets.monet_clevr6(), clevr6(), long_training(500_000, lr=3e-5, name="rmsprop"), 32)


@preset
def monet_clevr() -> Experiment:
    """MONet on generated CLEVR-like scenes of three to ten objects (128x128), for a large GPU: 11 slots.

    The paper's optimiser, RMSprop 1e-4, batch 64, 1 000 000 steps (quoted by re-implementations); 11 slots are
    unverified. Others' runs reach ARI-FG 0.545 ± 0.114 on CLEVR (unverified). Where memory is short:
    `--model.checkpoint-attention True`. Never run here.
    """
    return _experiment(monets.monet_clevr(), clevr10(), long_training(1_000_000, lr=1e-4, name="rmsprop"), 64)


@preset
def iodine_small_tetrominoes() -> Experiment:
    """IODINE on Tetrominoes (35x35) with smaller kernels than published, for minutes on one large GPU.

    Adam 5e-4 with 500 steps of warm-up, batch 128, 7000 steps. Never run here.
    """
    training = long_training(7000, lr=5e-4, betas=(0.95, 0.999), clip_norm=5.0)
    schedule = Schedule(shape="cosine", warm_up=500, final=0.1)
    optimizer = dataclasses.replace(training.optimizer, schedule=schedule)
    training = dataclasses.replace(training, optimizer=optimizer, log_every=50, checkpoint_every=1000)
    return _experiment(iodines.iodine_small_tetrominoes(), Tetrominoes.Config(), training, 128)


@preset
def iodine_tetrominoes() -> Experiment:
    """IODINE on Tetrominoes (35x35) as its code was published, batch 256.

    Published: ARI-FG 0.992 ± 0.004. Never run here.
    """
    return _published(iodines.iodine_release_tetrominoes(), Tetrominoes.Config(), batch=256, lr=3e-4)


@preset
def iodine_multi_dsprites() -> Experiment:
    """IODINE on Multi-dSprites (64x64, coloured on grey) as its code was published, batch 128.

    Published: ARI-FG 0.767 ± 0.056. Never run here.
    """
    dataset = MultiDSprites.Config(variant="colored_on_grayscale")
    return _published(iodines.iodine_release_multi_dsprites(), dataset, batch=128, lr=3e-4)


@preset
def iodine_clevr6() -> Experiment:
    """IODINE on generated CLEVR-like scenes of up to six objects (128x128) as its code was published, batch 32.

    Published, on CLEVR6: ARI-FG 0.988 ± 0.000. Never run here.
    """
    return _published(iodines.iodine_release_clevr6(), clevr6(), batch=32, lr=1e-3)


@preset
def iodine_multi_dsprites_coloured() -> Experiment:
    """IODINE on Multi-dSprites with coloured sprites on any colour (64x64, up to four), for a large GPU.

    The published settings for coloured sprites on grey, batch 128; no published score. Never run here.
    """
    dataset = MultiDSprites.Config(variant="colored_on_colored")
    return _published(iodines.iodine_release_multi_dsprites(), dataset, batch=128, lr=3e-4)


@preset
def iodine_multi_dsprites_binarized() -> Experiment:
    """IODINE on Multi-dSprites in white on black (64x64, two or three sprites), for a large GPU.

    The published settings for coloured sprites, batch 128. The paper compares with R-NEM on such images: ARI 0.648 ±
    0.172 (unverified). Never run here.
    """
    dataset = MultiDSprites.Config(variant="binarized")
    return _published(iodines.iodine_release_multi_dsprites(), dataset, batch=128, lr=3e-4)


@preset
def iodine_paper_tetrominoes() -> Experiment:
    """IODINE on Tetrominoes (35x35) with the density and prior of the paper instead of its code's, batch 256.

    Normal 0.1 and a unit prior, rate 3e-4 (all unverified). Published: ARI-FG 0.992 ± 0.004. Never run here.
    """
    return _published(iodines.iodine_paper_tetrominoes(), Tetrominoes.Config(), batch=256, lr=3e-4)


@preset
def iodine_paper_multi_dsprites() -> Experiment:
    """IODINE on Multi-dSprites (64x64, coloured on grey) with the density and prior of the paper, batch 128.

    Normal 0.1 and a unit prior, rate 3e-4 (all unverified). Published: ARI-FG 0.767 ± 0.056. Never run here.
    """
    dataset = MultiDSprites.Config(variant="colored_on_grayscale")
    return _published(iodines.iodine_paper_multi_dsprites(), dataset, batch=128, lr=3e-4)


@preset
def iodine_paper_clevr6() -> Experiment:
    """IODINE on generated CLEVR-like scenes of up to six objects (128x128) with the paper's density, prior and MLP.

    Normal 0.1, a unit prior, one hidden layer of 256, batch 32 at rate 3e-4 (all unverified). Published, on CLEVR6:
    ARI-FG 0.988 ± 0.000. Never run here.
    """
    return _published(iodines.iodine_paper_clevr6(), clevr6(), batch=32, lr=3e-4)


@preset
def iodine_video() -> Experiment:
    """Sequential IODINE on 16 frames of three or four moving sprites (64x64), for a large GPU: a frame a step.

    5 slots, the release's head for sequences and its optimiser, batch 32; sizes and data are ours. The paper shows
    slots that stay with their objects (figure); no score is known. Never run here.
    """
    return _published(iodines.iodine_video(), MovingSprites.Config(), batch=32, lr=3e-4)


def monet_regime24(masks: MaskSource) -> Experiment:
    """MONet's component VAE alone, on two sprites that may hide each other, with "given", "all_in_one" or "wrong"
    masks: section 2.2 of the paper, 600 steps."""
    return _experiment(monets.monet_components24(masks), two_sprites(), fast_training(600, final=1.0))


def trained_on(experiment: Experiment, dataset: Config, steps: int | None = None) -> Experiment:
    """The same with other data, and with other steps where given."""
    data = dataclasses.replace(experiment.data, dataset=dataset)
    training = experiment.training if steps is None else dataclasses.replace(experiment.training, steps=steps)
    return dataclasses.replace(experiment, data=data, training=training)


def fast_training(steps: int, lr: float = 1e-3, final: float = 0.1, **optimizer: Any) -> Training:
    """Adam that falls to `final` of its rate, logged often."""
    schedule = Schedule(shape="cosine", warm_up=50, final=final)
    return Training(
        steps=steps,
        optimizer=dataclasses.replace(Optimizer(lr=lr, schedule=schedule), **optimizer),
        log_every=20,
        checkpoint_every=500,
    )


def long_training(steps: int, **optimizer: Any) -> Training:
    """A constant rate, logged and saved rarely."""
    return Training(steps=steps, optimizer=Optimizer(**optimizer), log_every=500, checkpoint_every=5000)


def _published(model: Config, dataset: Config, *, batch: int, lr: float) -> Experiment:
    """IODINE's published training: a million steps of Adam that falls to a tenth, clipped at 5."""
    schedule = Schedule(shape="exponential", final=0.1)
    training = long_training(1_000_000, lr=lr, betas=(0.95, 0.999), clip_norm=5.0, schedule=schedule)
    return _experiment(model, dataset, training, batch)


def _experiment(model: Config, dataset: Config, training: Training, batch: int = 32) -> Experiment:
    return Experiment(
        model=model, data=Data(dataset=dataset), sampling=StreamConfig(batch_size=batch), training=training
    )
