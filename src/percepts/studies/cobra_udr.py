"""UDR meets COBRA (Duan et al. 2020; Watters et al. 2019): does an encoder's UDR, which needs no labels, predict how
few rewarded steps an agent needs that sees through it?

beta-VAEs of several β and seeds look at one sprite. On every one of them equal agents explore and then learn to bring
the sprite to the middle, with a small budget of rewarded steps. Beside UDR stand scores that need labels, and the
reconstruction. The paper's downstream experiment is known to us from its abstract and from memory alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from statistics import mean, median
from typing import Any

import numpy as np
import torch

from percepts.core.random import numpy_generator
from percepts.data.stream import StreamConfig
from percepts.envs.spriteworld.scenes import SpriteworldScenes
from percepts.factors import presets as models
from percepts.factors.beta_vae import BetaVAE
from percepts.factors.symptoms import ACTIVE_KL
from percepts.factors.vae import VAE
from percepts.metrics import regression_probe
from percepts.metrics.agreement import rank_correlation
from percepts.metrics.mig import mig
from percepts.metrics.udr import udr_scores
from percepts.metrics.udr_result import UDRResult
from percepts.nn.mlp import MLPDecoder, MLPEncoder
from percepts.report.plates import Plate
from percepts.report.udr import correlation_plate
from percepts.studies.cobra_udr_agents import CURVE, EXPLORATION, act, agent
from percepts.studies.cobra_udr_plates import curves_plate
from percepts.studies.measures import nmse
from percepts.studies.study import Arm, Claim, Results, RunResult, Scale, Study
from percepts.studies.udr import encoded
from percepts.training.evaluation import Evaluation
from percepts.training.experiment import Data, Experiment
from percepts.training.optimizers import Optimizer, Schedule
from percepts.training.settings import Training

BETAS = (1, 4, 8, 16)
"""Four of the six values of disentanglement_lib's sweep."""
IMAGES = 2000
"""Held-out scenes that all encoders are compared on."""
BINS = 8
"""Steps into which position and hue are cut for the mutual information gap."""
RESAMPLES = 5000
EFFICIENCY = "data efficiency"
OUTCOMES = (EFFICIENCY, "data efficiency, held out", "steps to 90 %")
UDR = "UDR, Lasso"
CONTROLS = ("reconstruction error", "active latents", "KL", "MIG", "R² of position", "error of the dynamics")


def one_sprite(beta: float, images: int = 10_000) -> Experiment:
    """A fully connected beta-VAE of 8 latents on pictures of 32 × 32 with one sprite; half a minute on one core."""
    layers: dict[str, Any] = {"hidden": (128, 128), "initialisation": "glorot"}
    return Experiment(
        model=BetaVAE.Config(
            beta=float(beta),
            latent_size=8,
            encoder=MLPEncoder.Config(**layers),
            decoder=MLPDecoder.Config(**layers),
        ),
        data=Data(dataset=scenes(images, 32), preload=True),
        sampling=StreamConfig(batch_size=64, sampling="independent"),
        training=Training(steps=3000, optimizer=Optimizer(lr=1e-3, schedule=Schedule(shape="cosine"))),
        evaluation=Evaluation(images=IMAGES, bootstrap=0),
    )


def large(model: VAE.Config, steps: int, batch: int) -> Experiment:
    """A convolutional VAE on pictures of 64 × 64 with one sprite, for a GPU."""
    return Experiment(
        model=model,
        data=Data(dataset=scenes(1_000_000, 64)),
        sampling=StreamConfig(batch_size=batch, sampling="independent"),
        training=Training(steps=steps, optimizer=Optimizer(lr=5e-4), precision="auto", checkpoint_every=5000),
        evaluation=Evaluation(images=IMAGES, bootstrap=0),
    )


def scenes(images: int, size: int) -> SpriteworldScenes.Config:
    """What the agents will see while they explore."""
    return SpriteworldScenes.Config(task=EXPLORATION, images=images, size=size, renderer="fast")


def compare(results: Results) -> dict[str, Any]:
    """What every encoder is worth by all scores and to its agents, and how these numbers are related.

    Returns:
        "arms": of the encoders; "numbers": of every encoder, by name; "efficiency": of every other score the rank
        correlation with the data efficiency; "UDR": the same of UDR with all outcomes; "UDR within β": that of the
        differences from the median of the same β; "chosen": by UDR.
    """
    arms, runs = [arm for arm, _ in results], [run for _, run in results]
    ranked = ranking(results)
    numbers = {
        **{f"UDR, {kind.capitalize()}": result.scores.tolist() for kind, result in ranked.items()},
        **scored(runs),
        **outcomes(results.across["encoders"]),
    }
    own = {name: centred(numbers[name], arms) for name in (UDR, EFFICIENCY)}
    groups = {group.name: group.score for group in ranked["lasso"].groups}
    best = max(groups, key=lambda name: groups[name])
    members = [place for place, arm in enumerate(arms) if arm == best]
    return {
        "arms": arms,
        "numbers": numbers,
        "efficiency": {
            name: related(values, numbers[EFFICIENCY])
            for name, values in numbers.items()
            if name not in (UDR, *OUTCOMES)
        },
        "UDR": {name: related(numbers[UDR], numbers[name]) for name in OUTCOMES},
        "UDR within β": related(own[UDR], own[EFFICIENCY]),
        "groups": groups,
        "chosen": max(members, key=lambda place: numbers[UDR][place]),
    }


def ranking(results: Results) -> dict[str, UDRResult]:
    """UDR of all encoders by kind, among those of equal β, on the same held-out pictures."""
    arms, runs = [arm for arm, _ in results], [run for _, run in results]
    codes = encoded(runs, held_out(runs[0])[0])
    return {
        "lasso": udr_scores(codes, kind="lasso", groups=arms),
        "spearman": udr_scores(codes, kind="spearman", groups=arms),
    }


def held_out(run: RunResult) -> tuple[torch.Tensor, np.ndarray]:
    """Pictures that no encoder has learned from, and x, y, hue and shape of their sprites [N, 4]."""
    dataset = run.loaded[1].unseen()
    indices = torch.arange(min(IMAGES, len(dataset)))
    sprites = dataset.sprites(indices)
    columns = (sprites.position[:, 0, 0], sprites.position[:, 0, 1], sprites.colour[:, 0, 0], sprites.shape[:, 0])
    return dataset.gather(indices)["image"], torch.stack([column.double() for column in columns], 1).numpy()


def scored(runs: Sequence[RunResult]) -> dict[str, list[float]]:
    """Numbers of every encoder without its agents: those that need no labels, and those that do."""
    images, truth = held_out(runs[0])
    half = len(truth) // 2
    steps = np.concatenate([np.floor((truth[:, :2] - 0.1) / 0.8 * BINS), np.floor(truth[:, 2:3] * BINS)], 1)
    factors = np.concatenate([steps.clip(0, BINS - 1), truth[:, 3:]], 1).astype(np.int64)
    codes = encoded(list(runs), images)
    return {
        "reconstruction error": [nmse(run.loaded[0], images) for run in runs],
        "active latents": [float((kl > ACTIVE_KL).sum()) for _, kl in codes],
        "KL": [float(kl.sum()) for _, kl in codes],
        "MIG": [mig(means, factors, active=kl > ACTIVE_KL).value for means, kl in codes],
        "R² of position": [
            regression_probe(means[:half], truth[:half, :2], means[half:], truth[half:, :2]).value for means, _ in codes
        ],
    }


def outcomes(encoders: Sequence[dict[str, Any]]) -> dict[str, list[float]]:
    """What the agents made of every encoder."""
    return {
        EFFICIENCY: [one["area"]["train"] for one in encoders],
        "data efficiency, held out": [one["area"]["test"] for one in encoders],
        "steps to 90 %": [one["steps"] for one in encoders],
        "error of the dynamics": [one["dynamics"] for one in encoders],
    }


def related(one: Sequence[float], other: Sequence[float]) -> dict[str, float]:
    """Spearman's rank correlation over encoders, its 95 % bootstrap interval, and the two-sided p-value of shuffles."""
    # The same shuffles and resamples for every pair of numbers: they are compared.
    rng = numpy_generator(0, "cobra_udr")
    found = rank_correlation({"one": one, "other": other}, permutations=RESAMPLES, bootstrap=RESAMPLES, rng=rng)
    tables = {"value": found.matrix, "low": found.low, "high": found.high, "p": found.p_values}
    return {name: float(table[0, 1]) for name, table in tables.items() if table is not None}


def centred(values: Sequence[float], arms: Sequence[str]) -> list[float]:
    """Every value less the median of its arm: what β does is taken out."""
    middle = {arm: median(value for value, own in zip(values, arms) if own == arm) for arm in arms}
    return [value - middle[arm] for value, arm in zip(values, arms)]


def figures(results: Results) -> dict[str, Plate]:
    """UDR against the agents' outcomes, the data efficiency against other scores, and the curves of every β."""
    found = results.across
    numbers, arms = found["numbers"], found["arms"]
    efficiency = correlation_plate(
        (UDR, numbers[UDR]),
        {name: numbers[name] for name in OUTCOMES},
        {name: found["UDR"][name]["value"] for name in OUTCOMES},
        arms,
    )
    controls = correlation_plate(
        (EFFICIENCY, numbers[EFFICIENCY]),
        {name: numbers[name] for name in CONTROLS},
        {name: found["efficiency"][name]["value"] for name in CONTROLS},
        arms,
    )
    told = "Every dot is an encoder; data efficiency is the mean success of its agents over the rewarded steps. "
    return {
        "efficiency": dataclasses.replace(
            efficiency, caption=told + "A rising cloud means that UDR predicts it without labels."
        ),
        "controls": dataclasses.replace(
            controls, caption=told + "Other scores, and what the agents' models got wrong."
        ),
        "curves": curves_plate(arms, found),
    }


def _related(table: str, name: str, number: str = "value") -> Callable[[Results], float]:
    return lambda results: results.across[table][name][number]


def gain(results: Results) -> float:
    """Data efficiency of the encoder that UDR chooses, less the mean over all."""
    values = results.across["numbers"][EFFICIENCY]
    return values[results.across["chosen"]] - mean(values)


def place_of_choice(results: Results) -> float:
    """The place, from 1, of the encoder that UDR chooses among all by data efficiency."""
    values = results.across["numbers"][EFFICIENCY]
    return 1.0 + sum(value > values[results.across["chosen"]] for value in values)


def _claims(encoders: int, steps: int) -> tuple[Claim, ...]:
    predicts = (
        "UDR predicts data efficiency in two domains (abstract); rank correlation about 0.56 (recalled, unverified)"
    )
    return (
        Claim(
            statement=f"rank correlation of UDR (Lasso) and data efficiency over {encoders} encoders",
            measure=_related("UDR", EFFICIENCY),
            threshold=0.0,
            paper=predicts,
        ),
        Claim(statement="lower end of its 95 % interval (bootstrap)", measure=_related("UDR", EFFICIENCY, "low")),
        Claim(statement="upper end", measure=_related("UDR", EFFICIENCY, "high")),
        Claim(statement="its p-value (permutations, two-sided)", measure=_related("UDR", EFFICIENCY, "p")),
        Claim(
            statement="the same of what is not due to β: differences from the median of the same β",
            measure=lambda results: results.across["UDR within β"]["value"],
        ),
        Claim(statement="rank correlation of UDR (Spearman)", measure=_related("efficiency", "UDR, Spearman")),
        Claim(
            statement="rank correlation of UDR (Lasso) and data efficiency from held-out starts",
            measure=_related("UDR", "data efficiency, held out"),
        ),
        Claim(
            statement="rank correlation of UDR (Lasso) and rewarded steps to 90 % (fewer are better)",
            measure=_related("UDR", "steps to 90 %"),
        ),
        *(
            Claim(
                statement=f"control: rank correlation of {name} and data efficiency",
                measure=_related("efficiency", name),
            )
            for name in CONTROLS
        ),
        Claim(statement="data efficiency of the encoder that UDR chooses, less the mean over all", measure=gain),
        Claim(statement=f"its place among the {encoders} by data efficiency", measure=place_of_choice),
        Claim(
            statement="data efficiency of agents that see the true factors (unscaled, so not an upper bound)",
            measure=lambda results: results.across["true factors"]["area"]["train"],
        ),
        Claim(
            statement=f"best mean success of a β after {steps} rewarded steps: the task can be learned from pictures",
            measure=last_success,
            threshold=0.8,
        ),
        Claim(
            statement="success of random actions",
            measure=lambda results: results.across["random"]["train"],
            threshold=0.1,
            at_most=True,
        ),
    )


def last_success(results: Results) -> float:
    """The largest mean over the encoders of a β of the success at the end."""
    ends: dict[str, list[float]] = {}
    for arm, one in zip(results.across["arms"], results.across["encoders"]):
        ends.setdefault(arm, []).extend(curve[-1][1] for curve in one["curves"]["train"])
    return max(map(mean, ends.values()))


CPU = Scale(
    arms={f"β={beta}": Arm(experiment=partial(one_sprite, beta)) for beta in BETAS},
    seeds=(0, 1, 2, 3),
    claims=_claims(16, CURVE[-1]),
    downstream=partial(act, whole=agent(), seeds=(0, 1)),
    compare=compare,
    figures=figures,
)
TINY = dataclasses.replace(
    CPU,
    arms={f"β={beta}": Arm(experiment=partial(one_sprite, beta, images=300)) for beta in (1, 16)},
    downstream=partial(act, whole=agent(transitions=256, curve=(20,), curve_episodes=4, episodes=4), seeds=(0,)),
)
GPU = dataclasses.replace(
    CPU,
    arms={
        f"β={beta}": Arm(
            experiment=partial(
                large, dataclasses.replace(models.beta_vae_chairs(float(beta)), latent_size=10), steps=5000, batch=256
            )
        )
        for beta in (1, 4, 16)
    },
    claims=_claims(12, CURVE[-1]),
    downstream=partial(act, whole=agent(64, 102_400, device="auto"), seeds=(0, 1)),
)
PAPER = dataclasses.replace(
    CPU,
    arms={
        f"β={beta:g}": Arm(experiment=partial(large, models.beta_vae_dsprites_conv(beta), steps=300_000, batch=64))
        for beta in models.UDR_SWEEP["beta_vae"]
    },
    seeds=tuple(range(50)),
    claims=_claims(300, CURVE[-1]),
    downstream=partial(act, whole=agent(64, 204_800, device="auto"), seeds=(0, 1, 2)),
)

STUDY = Study(
    name="cobra_udr",
    title="UDR meets COBRA: encoders ranked without labels, and the agents that see through them",
    presets={"tiny": TINY.shrunk(seeds=(0, 1)), "cpu": CPU, "gpu": GPU, "paper": PAPER},
)
