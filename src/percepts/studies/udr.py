"""UDR (Duan et al. 2020): does a score without labels find the models that labels would choose?

On squares-24, four values of β with four seeds each, as in the study of beta-VAE, whose runs are used again: UDR ranks
the models as the supervised scores do, chooses a β that they like, and needs few models to compare. Then all six
classes of models, compared within their settings and all with all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch

from percepts.core.random import numpy_generator, torch_generator
from percepts.factors import presets as models
from percepts.factors.factor_vae import FactorVAE
from percepts.factors.vae import VAE
from percepts.metrics.udr import Kind, udr_scores
from percepts.metrics.udr_result import UDRResult
from percepts.report.plates import Plate
from percepts.report.udr import (
    ModelPair,
    box_plate,
    correlation_plate,
    extreme_pairs,
    pairwise_plate,
    similarity_plates,
)
from percepts.studies.beta_vae import sprites, squares24
from percepts.studies.cci_vae import controlled
from percepts.studies.factor_presets import beta_vae_sprites
from percepts.studies.measures import codes_of, spearman
from percepts.studies.study import Arm, Claim, Results, RunResult, Scale, Study
from percepts.training.experiment import Experiment
from percepts.training.optimizers import Optimizer
from percepts.training.selection_evidence import label_efficiency, stability

BETAS = (1, 4, 8, 14)
IMAGES = 1000
LABELLED = ("mig.dlib", "factor_vae.dlib", "dci.forest", "beta_vae.dlib")


def other_class(model: VAE.Config) -> Experiment:
    """squares24 with another class of the family in the place of beta-VAE."""
    experiment = squares24(1.0)
    judge = {"discriminator": Optimizer(lr=1e-4, betas=(0.5, 0.9))} if isinstance(model, FactorVAE.Config) else {}
    training = dataclasses.replace(experiment.training, group_optimizers=judge)
    return dataclasses.replace(experiment, model=model, training=training)


CLASSES: Mapping[str, Callable[[], Experiment]] = {
    **{f"FactorVAE, γ={value:g}": partial(other_class, models.factor_vae_squares24(value)) for value in (10.0, 40.0)},
    **{f"TC-VAE, β={value:g}": partial(other_class, models.beta_tcvae_squares24(value)) for value in (4.0, 10.0)},
    **{f"DIP-VAE-I, λ={value:g}": partial(other_class, models.dip_vae_i_squares24(value)) for value in (5.0, 50.0)},
    **{f"DIP-VAE-II, λ={value:g}": partial(other_class, models.dip_vae_ii_squares24(value)) for value in (5.0, 50.0)},
    "CCI-VAE, C → 6": controlled,
}
"""Two of the six classes' settings each; the first of the study's runs are beta-VAEs."""


def encoded(runs: list[RunResult], images: torch.Tensor) -> list[tuple[np.ndarray, np.ndarray]]:
    """Posterior means of the common images, and the mean KL of every latent, for every run."""
    models = []
    for run in runs:
        mean, variance = codes_of(run.loaded[0], images)
        models.append((mean, 0.5 * (mean**2 + variance - np.log(variance) - 1).mean(0)))
    return models


def common_images(results: Results) -> dict[str, torch.Tensor]:
    """The batch of images that all models encode, with its factors."""
    _, dataset = next(iter(results))[1].loaded
    generator = torch_generator(0, "udr images")
    # With replacement, as the world may have fewer images.
    return dataset.gather(torch.randint(len(dataset), (IMAGES,), generator=generator))


def agreement(results: Results, kind: Kind, everyone: bool = False, grouped: bool = True) -> UDRResult:
    """UDR of the beta-VAEs or of `everyone`, within settings (`grouped`) or all with all."""
    chosen = [(arm, run) for arm, run in results if everyone or arm.startswith("β=")]
    models = encoded([run for _, run in chosen], common_images(results)["image"])
    groups = [arm for arm, _ in chosen] if grouped else None
    return udr_scores(models, kind=kind, groups=groups, keep_similarity=not everyone)


def compare(results: Results) -> dict[str, Any]:
    """UDR of the beta-VAEs and of all classes, their correlations with the supervised scores, and controls."""
    batch, rng = common_images(results), numpy_generator(0, "udr")
    betas = [(arm, run) for arm, run in results if arm.startswith("β=")]
    groups, runs = [arm for arm, _ in betas], [run for _, run in betas]
    lasso, all_to_all = agreement(results, "lasso"), agreement(results, "lasso", grouped=False)
    supervised = {name: [run.score(name) for run in runs] for name in (*LABELLED, "elbo", "excess", "active")}
    found: dict[str, Any] = {
        "groups": groups,
        "supervised": supervised,
        "lasso": _described(lasso, runs),
        "spearman": _described(agreement(results, "spearman"), runs),
        "all to all": _described(all_to_all, runs),
    }
    models = encoded(runs, batch["image"])
    shuffled = [(rng.permutation(mean, axis=0), kl) for mean, kl in models]
    found["null"] = float(np.nanmax(udr_scores(shuffled, groups=groups).scores))
    for name, task in label_efficiency((10, 100)).items():
        found[name] = [task(mean, batch["factors"].numpy()) for mean, _ in models]
        found[f"{name} and UDR"] = spearman(found["lasso"]["scores"], found[name])
    scores = {name: np.array(values, float) for name, values in supervised.items()}
    for name, result in (("stability", lasso), ("stability, all to all", all_to_all)):
        found[name] = [dataclasses.asdict(row) for row in stability(result, scores, rng=rng)]
    if len(list(results)) > len(betas):
        for name, grouped in (("classes", True), ("classes, all to all", False)):
            result = agreement(results, "lasso", everyone=True, grouped=grouped)
            found[name] = _described(result, [run for _, run in results])
    return found


def _described(result: UDRResult, runs: list[RunResult]) -> dict[str, Any]:
    """Scores of models and groups, and the rank correlations with supervised scores, as JSON data."""
    return {
        "scores": result.scores.tolist(),
        "active": result.active_counts.tolist(),
        "groups": {group.name: group.score for group in result.groups},
        "correlations": {
            name: spearman(result.scores.tolist(), [run.score(name) for run in runs]) for name in (*LABELLED, "elbo")
        },
    }


def figures(results: Results) -> dict[str, Plate]:
    """Box plots over β, UDR against supervised scores, all pairs, and the similarity of the best and the worst pair."""
    found, groups = results.across, results.across["groups"]
    result = agreement(results, "lasso")
    scores = {"UDR, Lasso": found["lasso"]["scores"], "UDR, Spearman": found["spearman"]["scores"]}
    shown = {name: found["supervised"][name] for name in ("mig.dlib", "factor_vae.dlib", "dci.forest")}
    plates = {
        "boxes": box_plate(groups, {**scores, **shown, "active latents": found["supervised"]["active"]}, setting="β"),
        "correlation": correlation_plate(
            ("UDR, Lasso", scores["UDR, Lasso"]),
            shown,
            {name: found["lasso"]["correlations"][name] for name in shown},
            groups,
        ),
        "pairs": pairwise_plate(result.pairwise, groups),
    }
    extremes = extreme_pairs(result.pairwise)
    if extremes is not None:
        names = [f"{group}, {run.seed}" for group, run in ((arm, run) for arm, run in results if arm.startswith("β="))]
        pairs = [
            ModelPair(
                (names[j], names[i]), result.similarity[j, i], (result.kl[j], result.kl[i]), result.pairwise[j, i]
            )
            for j, i in extremes
        ]
        plates["similarity"] = similarity_plates(pairs, ("best pair", "worst pair"))
    return plates


def _correlation(kind: str, score: str) -> Callable[[Results], float]:
    return lambda results: results.across[kind]["correlations"][score]


def rank_of_choice(results: Results) -> float:
    """The place, from 1, of the β that UDR chooses among the βs ranked by their mean MIG."""
    groups = results.across["lasso"]["groups"]
    chosen = max(groups, key=groups.__getitem__)
    ranked = sorted(groups, key=lambda arm: -results.mean(arm, "mig.dlib"))
    return float(ranked.index(chosen) + 1)


def deviation(results: Results, pairs: int, score: str = "mig.dlib") -> float:
    """The standard deviation of the rank correlation of UDR (all to all) and a score over draws of `pairs` models."""
    rows = [row for row in results.across["stability, all to all"] if row["score"] == score and row["pairs"] == pairs]
    return float(rows[0]["deviation"]) if rows else float("nan")


_RECALLED = "recalled, unverified"
CLAIMS = (
    Claim(
        statement="rank correlation of UDR (Lasso) and MIG over 16 models",
        measure=_correlation("lasso", "mig.dlib"),
        threshold=0.55,
        paper=f"0.60 on dSprites, 0.71 on 3D Shapes ({_RECALLED})",
    ),
    Claim(
        statement="rank correlation of UDR (Spearman) and MIG",
        measure=_correlation("spearman", "mig.dlib"),
        threshold=0.55,
        paper=f"0.54 on dSprites, 0.70 on 3D Shapes ({_RECALLED})",
    ),
    Claim(
        statement="median UDR (Lasso) at β = 14",
        measure=lambda r: r.across["lasso"]["groups"]["β=14"],
        threshold=0.75,
    ),
    Claim(
        statement="median UDR (Lasso) at β = 1",
        measure=lambda r: r.across["lasso"]["groups"]["β=1"],
        threshold=0.45,
        at_most=True,
    ),
    Claim(
        statement="place of the β that UDR chooses, by mean MIG",
        measure=rank_of_choice,
        threshold=2,
        at_most=True,
        paper=f"UDR and supervised scores peak at the same value ({_RECALLED})",
    ),
    Claim(
        statement="rank correlation of UDR (Lasso) and UDR (Spearman)",
        measure=lambda r: spearman(r.across["lasso"]["scores"], r.across["spearman"]["scores"]),
        threshold=0.9,
        paper=f"similar ({_RECALLED})",
    ),
    Claim(
        statement="largest UDR (Lasso) of codes with shuffled rows",
        measure=lambda r: r.across["null"],
        threshold=0.05,
        at_most=True,
    ),
    *(
        Claim(
            statement=f"rank correlation of UDR (Lasso) and {name}",
            measure=_correlation("lasso", score),
            paper="comparable to that of supervised scores among themselves (abstract)",
        )
        for score, name in (
            ("factor_vae.dlib", "FactorVAE score"),
            ("dci.forest", "DCI disentanglement"),
            ("beta_vae.dlib", "beta-VAE score"),
        )
    ),
    Claim(
        statement="rank correlation of UDR (Spearman) and FactorVAE score",
        measure=_correlation("spearman", "factor_vae.dlib"),
    ),
    Claim(
        statement="rank correlation of MIG and FactorVAE score",
        measure=lambda r: spearman(r.across["supervised"]["mig.dlib"], r.across["supervised"]["factor_vae.dlib"]),
    ),
    Claim(
        statement="rank correlation of ELBO and MIG: a baseline that must fail",
        measure=lambda r: spearman(r.across["supervised"]["elbo"], r.across["supervised"]["mig.dlib"]),
        threshold=0.0,
        at_most=True,
        paper=f"no correlation ({_RECALLED})",
    ),
    Claim(
        statement="all to all: rank correlation of UDR (Lasso) and MIG",
        measure=_correlation("all to all", "mig.dlib"),
        paper=f"0.76 on dSprites, 0.68 on 3D Shapes ({_RECALLED})",
    ),
    Claim(
        statement="deviation of that correlation with 1 compared model over that with 5: more models, steadier",
        measure=lambda r: deviation(r, 1) / deviation(r, 5),
        threshold=1.0,
        paper=f"±.07 at 5, ±.01 at 45 models ({_RECALLED})",
    ),
    Claim(
        statement="six classes: rank correlation of UDR (Lasso) and MIG within settings",
        measure=_correlation("classes", "mig.dlib"),
        paper=f"0.40 to 0.81 by class and data ({_RECALLED})",
    ),
    Claim(
        statement="six classes: the same, all to all",
        measure=_correlation("classes, all to all", "mig.dlib"),
        paper=f"0.60 to 0.79 ({_RECALLED})",
    ),
    Claim(
        statement="rank correlation of UDR (Lasso) and a probe's accuracy from 100 labels",
        measure=lambda r: r.across["probe_accuracy.100 and UDR"],
        paper="UDR predicts data efficiency in two domains (abstract); other tasks",
    ),
)
CPU = Scale(
    arms={
        **{f"β={beta}": Arm(experiment=partial(squares24, beta)) for beta in BETAS},
        **{name: Arm(experiment=make, seeds=(0, 1, 2)) for name, make in CLASSES.items()},
    },
    seeds=(0, 1, 2, 3),
    claims=CLAIMS,
    compare=compare,
    figures=figures,
)
GPU = Scale(
    arms={f"β={beta}": Arm(experiment=partial(sprites, beta)) for beta in (1, 4, 10)},
    seeds=(0, 1, 2, 3, 4),
    claims=(
        Claim(
            statement="rank correlation of UDR (Lasso) and FactorVAE score over 15 models",
            measure=_correlation("lasso", "factor_vae.dlib"),
            threshold=0.4,
        ),
        Claim(
            statement="rank correlation of UDR (Lasso) and MIG",
            measure=_correlation("lasso", "mig.dlib"),
            threshold=0.4,
        ),
        Claim(
            statement="the β that UDR chooses is not 1 (1 if so)",
            measure=lambda r: float(max(r.across["lasso"]["groups"], key=r.across["lasso"]["groups"].get) != "β=1"),
            threshold=1.0,
        ),
        Claim(
            statement="deviation of the correlation with 2 compared models over that with 4 (all to all)",
            measure=lambda r: deviation(r, 2) / deviation(r, 4),
            threshold=1.0,
        ),
    ),
    compare=compare,
    figures=figures,
)


def swept(beta: float) -> Experiment:
    """beta-vae-sprites with another β: disentanglement_lib's network and schedule."""
    experiment = beta_vae_sprites()
    return dataclasses.replace(experiment, model=dataclasses.replace(experiment.model, beta=float(beta)))  # type: ignore[call-arg]


PAPER = Scale(
    arms={f"β={beta}": Arm(experiment=partial(swept, beta)) for beta in (1, 2, 4, 6, 8, 16)},
    seeds=tuple(range(50)),
    claims=(
        Claim(
            statement="rank correlation of UDR (Lasso) and MIG over 300 models",
            measure=_correlation("lasso", "mig.dlib"),
            paper=f"0.60 on dSprites ({_RECALLED})",
        ),
    ),
    compare=compare,
    figures=figures,
)

Study(
    name="udr",
    title="UDR on squares-24",
    presets={
        "tiny": CPU.shrunk("β=1", "β=14", "FactorVAE, γ=10", seeds=(0, 1)),
        "cpu": CPU,
        "gpu": GPU,
        "paper": PAPER,
    },
)
