"""What the studies of MONet and IODINE claim and compare alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from functools import partial
from statistics import mean
from typing import Any, Literal

from percepts.data.scenes import SceneDataset
from percepts.report.plates import Plate
from percepts.report.rate_distortion import Sweep, score_plate
from percepts.studies import slot_measures
from percepts.studies.study import Claim, Results, RunResult
from percepts.training.experiment import Experiment


def common_claims(arm: str) -> tuple[Claim, ...]:
    """Of the arm `arm` and of the arm "single slot": the worst seed, baselines, equal colours, and what slots tell.

    They read `baselines` from `Results.across`, and "same_colour.ari_fg" and `slot_measures.probe_scores` of the runs.
    """

    def position(results: Results, of: str) -> float:
        return mean([results.mean(of, "probe.x"), results.mean(of, "probe.y")])

    return (
        Claim(
            statement="ARI-FG, worst of three seeds",
            measure=lambda results: min(results.scores(arm, "ari_fg")),
        ),
        Claim(
            statement="ARI-FG of the untrained model, largest absolute value of three seeds",
            measure=lambda results: max(abs(score) for score in results.across["untrained.ari_fg"]),
            threshold=0.1,
            at_most=True,
        ),
        Claim(
            statement="ARI-FG of a single slot",
            measure=lambda results: results.mean("single slot", "ari_fg"),
            threshold=0.0,
            at_most=True,
            seeds=(0,),
        ),
        Claim(
            statement="ARI-FG where all objects have one colour (mean of seeds)",
            measure=lambda results: results.mean(arm, "same_colour.ari_fg"),
        ),
        Claim(
            statement="R² of the position read linearly from the slot that holds the object (mean of seeds)",
            measure=lambda results: position(results, arm),
            paper="each slot holds its object's position (figure)",
        ),
        Claim(
            statement="the same from a single slot for the whole image",
            measure=lambda results: position(results, "single slot"),
            seeds=(0,),
        ),
        Claim(
            statement="ARI-FG of k-means on colours (a baseline that sees only colours)",
            measure=lambda results: float(results.across["kmeans.ari_fg"]),
        ),
        Claim(
            statement="ARI-FG of the colour oracle (objects of one true colour are one object)",
            measure=lambda results: float(results.across["oracle.ari_fg"]),
        ),
    )


def completion_claims(arm: str) -> tuple[Claim, ...]:
    """How the arm `arm`, measured by `slot_measures.completion_scores`, knows what it cannot see."""

    def of(name: str) -> partial[float]:
        return partial(Results.mean, arm=arm, name=name)

    figure = "hidden parts of objects are filled in (figure)"
    return (
        Claim(
            statement=f"{arm}: error of components in hidden parts of objects ÷ that of the image (mean of seeds)",
            measure=of("completion.error_ratio"),
            threshold=1.0,
            at_most=True,
            paper=figure,
        ),
        Claim(
            statement=f"{arm}: IoU of components with hidden parts, within what hides them (mean of seeds)",
            measure=of("completion"),
            paper=figure,
        ),
        Claim(
            statement=f"{arm}: the same IoU of components in the object's colour all over, which know no shape",
            measure=of("completion.everywhere"),
        ),
        Claim(
            statement=f"{arm}: the same IoU of showing the image, as k-means on colours does",
            measure=of("completion.image"),
        ),
    )


def held_out_claims(arm: str, words: str, seeds: tuple[int, ...] | None = None) -> tuple[Claim, ...]:
    """How the arm `arm`, trained without a combination and measured by `held_out_scores`, takes scenes with it apart.

    Args:
        words: what was held out.
        seeds: of the arm; None: the scale's.
    """
    return (
        Claim(
            statement=f"ARI-FG on scenes with {words}, which training did not show",
            measure=lambda results: results.mean(arm, "held_out.ari_fg"),
            seeds=seeds,
            paper="combinations that were never seen are taken apart (unverified)",
        ),
        Claim(
            statement=f"the same model's ARI-FG on unseen scenes without {words}",
            measure=lambda results: results.mean(arm, "ari_fg"),
            seeds=seeds,
        ),
        Claim(
            statement=f"its reconstruction error on scenes with {words} ÷ that on scenes without",
            measure=lambda results: results.mean(arm, "held_out.mse") / results.mean(arm, "mse"),
            seeds=seeds,
        ),
    )


def sweep_claims(
    arm: str, kind: Literal["slots", "steps"], trained: int, values: Iterable[int], paper: str
) -> tuple[Claim, ...]:
    """ARI-FG of the arm `arm` with other numbers of slots or steps than the `trained` one."""
    return tuple(
        Claim(
            statement=f"{arm}: ARI-FG with {kind} = {value} at test time, {trained} in training (mean of seeds)",
            measure=partial(Results.mean, arm=arm, name=f"{kind}_{value}.ari_fg"),
            paper=paper,
        )
        for value in values
    )


def sweep_plate(name: str, runs: Sequence[RunResult], kind: Literal["slots", "steps"], trained: int) -> Plate:
    """ARI-FG of runs over the numbers of slots or steps that were measured ("slots_K.ari_fg", "steps_T.ari_fg")."""
    found = [
        (int(score.removeprefix(f"{kind}_").removesuffix(".ari_fg")), value)
        for run in runs
        for score, value in run.extra.items()
        if score.startswith(f"{kind}_") and score.endswith(".ari_fg")
    ]
    sweep = Sweep(name, [value for value, _ in found], [score for _, score in found])
    plate = score_plate([sweep], score="ARI-FG", parameter=f"{kind} at test time", logarithmic=False)
    caption = (
        f"ARI-FG with other numbers of {kind} than the {trained} of training, without training again. Dots are seeds, "
        "the line is their median, the ring its best value."
    )
    return dataclasses.replace(plate, caption=caption)


def baselines(experiment: Experiment, seeds: tuple[int, ...], clusters: int, count: int) -> dict[str, Any]:
    """ARI-FG of untrained models and of groupings by colour, on the test scenes of an experiment's world."""
    world = experiment.data.dataset.build()
    assert isinstance(world, SceneDataset)
    untrained = [slot_measures.untrained_score(experiment, seed, count) for seed in seeds]
    return {"untrained.ari_fg": untrained, **slot_measures.colour_baselines(world.unseen(), count, clusters)}


def single_slot(experiment: Experiment) -> Experiment:
    """The baseline: the same model with one slot for the whole image."""
    model: Any = experiment.model
    return dataclasses.replace(experiment, model=dataclasses.replace(model, slots=1))


def probe_of_slots(result: RunResult) -> dict[str, float]:
    """What a linear probe reads from single slots of the test scenes: 1000 of them where 320 are taken apart."""
    model, dataset = result.loaded
    return slot_measures.probe_scores(model, dataset.unseen(), 1000 * images_of(result) // 320)


def held_out_scores(result: RunResult, **change: Any) -> dict[str, float]:
    """Scenes with a combination that training did not show: "held_out.ari_fg" and "held_out.mse".

    Args:
        change: what makes such scenes of the config of the training's.
    """
    model, dataset = result.loaded
    world = dataclasses.replace(dataset.config, split="test", **change)
    found = slot_measures.take_apart_and_score(model, world, images_of(result))
    return {"held_out.ari_fg": found.score("ari_fg"), "held_out.mse": found.mse}


def images_of(result: RunResult) -> int:
    """How many scenes the run's evaluation took apart: as many are taken for every other measurement."""
    return int(result.evaluation["images"])
