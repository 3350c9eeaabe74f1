"""What the studies of MONet and IODINE claim and compare alike."""

from __future__ import annotations

import dataclasses
from statistics import mean
from typing import Any

from percepts.data.scenes import SceneDataset
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
    """What a linear probe reads from single slots of the test scenes."""
    model, dataset = result.loaded
    return slot_measures.probe_scores(model, dataset.unseen())
