"""IODINE (Greff et al. 2019): what the paper claims, tested on scenes that a CPU can train.

Refinement takes scenes apart step by step; more steps than in training do no harm; more objects with more slots, other
numbers of slots, scenes without colour and combinations that were never seen work; the posterior of an ambiguous image
has several modes, that of a clear one has one. At a larger scale: Tetrominoes.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import numpy as np
import torch

from percepts.data.ambiguous import AmbiguousTetrominoes
from percepts.data.clevr_like import no_green_spheres
from percepts.data.scenes import SceneDataset
from percepts.data.shifts import Shifted
from percepts.data.small_scenes import SmallScenes, held_out_combination, tiny_shapes
from percepts.data.tetrominoes import without_green_zs
from percepts.objects.multistability import see_again
from percepts.report.plates import Plate
from percepts.studies import slot_measures
from percepts.studies.object_presets import (
    iodine_clevr6,
    iodine_multi_dsprites,
    iodine_shapes16,
    iodine_small_tetrominoes,
    iodine_tetrominoes,
    trained_on,
)
from percepts.studies.slot_claims import (
    baselines,
    common_claims,
    held_out_claims,
    held_out_scores,
    images_of,
    probe_of_slots,
    single_slot,
    sweep_claims,
    sweep_plate,
)
from percepts.studies.study import Arm, Claim, Results, RunResult, Scale, Study
from percepts.training.experiment import Experiment

SEEDS = (0, 1, 2)
SLOTS, STEPS = (2, 3, 4, 5, 7), (1, 2, 3, 4, 6, 10, 15)
"""At test time; in training 3 slots, as many as entities, and 3 steps."""
STABLE = "stable to about 15 steps (unverified)"
MORE_SLOTS = "the number of slots may differ from that of training (unverified)"


def refinement(result: RunResult) -> dict[str, float]:
    """What each step of refinement brings, and how the trained model takes other scenes apart."""
    model, dataset = result.loaded
    world: SmallScenes.Config = dataclasses.replace(dataset.config, split="test")
    images, trained = images_of(result), model.config.steps
    steps = slot_measures.refinement_scores(model, world.build(), images, STEPS)
    first, last, longer = steps[1], steps[trained], steps[2 * trained]
    three = dataclasses.replace(world, sprites=(3, 3))
    equal = dataclasses.replace(world, colours=("green",), distinct_colours=False)
    return {
        "nll_gain": (first["nll"] - last["nll"]) / abs(first["nll"]),
        "ari_gain": last["ari_fg"] - first["ari_fg"],
        "longer_change": longer["ari_fg"] - last["ari_fg"],
        "three.ari_fg": slot_measures.take_apart_and_score(model, three, images, slots=4).score("ari_fg"),
        "same_colour.ari_fg": slot_measures.take_apart_and_score(model, equal, images).score("ari_fg"),
        "grey.ari_fg": grey_score(model, world, images),
        **{f"steps_{number}.ari_fg": row["ari_fg"] for number, row in steps.items()},
        **slot_measures.ari_by_slots(model, world, images, SLOTS),
        **probe_of_slots(result),
    }


def grey_score(model: Any, world: Any, images: int) -> float:
    """ARI-FG on scenes without colour; the model was trained with colours."""
    grey = Shifted.Config(dataset=world, kind="grey")
    return slot_measures.take_apart_and_score(model, grey, images).score("ari_fg")


def without_green_squares16() -> Experiment:
    """`iodine_shapes16` with squares and with green shapes, but without green squares; half as long, which is long
    enough to bind."""
    return trained_on(iodine_shapes16(), held_out_combination(tiny_shapes(), "square", "green"), steps=1000)


def pictures(results: Results) -> dict[str, Plate]:
    """The best seed's decompositions and its steps of refinement, and all seeds with other slots and steps."""
    best = max(results.arms["IODINE"], key=lambda run: run.score("ari_fg"))
    model, dataset = best.loaded
    world = dataclasses.replace(dataset.config, split="test")
    return {
        "decomposition": slot_measures.decompositions(model, world.build()),
        "refinement": slot_measures.refinements(model, world.build()),
        "three-shapes": slot_measures.decompositions(
            model, dataclasses.replace(world, sprites=(3, 3)).build(), slots=4
        ),
        **sweeps(results, "IODINE", slots=3, steps=3),
    }


def sweeps(results: Results, arm: str, slots: int, steps: int) -> dict[str, Plate]:
    """ARI-FG of an arm over slots and steps at test time, which in training are `slots` and `steps`."""
    runs = results.arms[arm]
    return {
        "slots": sweep_plate(arm, runs, "slots", trained=slots),
        "steps": sweep_plate(arm, runs, "steps", trained=steps),
    }


def grey_claim(arm: str) -> Claim:
    """How scenes without colour are taken apart."""
    return Claim(
        statement=f"{arm}: ARI-FG on scenes in grey, trained on coloured ones (mean of seeds)",
        measure=lambda results: results.mean(arm, "grey.ari_fg"),
        paper="grey CLEVR still works (unverified)",
    )


CPU = Scale(
    arms={
        "IODINE": Arm(experiment=iodine_shapes16, measure=refinement),
        "no green squares": Arm(
            experiment=without_green_squares16, seeds=(0,), measure=partial(held_out_scores, rule="with")
        ),
        "single slot": Arm(experiment=lambda: single_slot(iodine_shapes16()), seeds=(0,), measure=probe_of_slots),
    },
    seeds=SEEDS,
    compare=lambda results: baselines(iodine_shapes16(), SEEDS, clusters=3, count=images_of(results.arms["IODINE"][0])),
    figures=pictures,
    claims=(
        Claim(
            statement="ARI-FG on two shapes, the better of seeds 0 and 1 (the one meant by “best” below)",
            measure=lambda results: max(results.scores("IODINE", "ari_fg")[:2]),
            threshold=0.70,
            seeds=(0, 1),
            paper="0.992 ± 0.004 on Tetrominoes, 0.767 ± 0.056 on Multi-dSprites (quoted by later papers)",
        ),
        Claim(
            statement="NLL falls from the first to the last step of refinement, as a share of |NLL| (best of 0 and 1)",
            measure=lambda results: _best(results).score("nll_gain"),
            threshold=0.05,
            seeds=(0, 1),
            paper="every step improves (figure)",
        ),
        Claim(
            statement="ARI-FG rises from the first to the last step of refinement (best of 0 and 1)",
            measure=lambda results: _best(results).score("ari_gain"),
            threshold=0.2,
            seeds=(0, 1),
            paper="every step improves (figure)",
        ),
        Claim(
            statement="change of ARI-FG with twice the steps of training (best of 0 and 1)",
            measure=lambda results: _best(results).score("longer_change"),
            threshold=-0.05,
            seeds=(0, 1),
            paper=STABLE,
        ),
        Claim(
            statement="ARI-FG on three shapes with four slots ÷ that on two (best of 0 and 1)",
            measure=lambda results: _best(results).score("three.ari_fg") / _best(results).score("ari_fg"),
            threshold=0.8,
            seeds=(0, 1),
            paper="trained on up to six objects, more are found with more slots (figure)",
        ),
        *sweep_claims("IODINE", "steps", 3, (1, 6, 15), STABLE),
        *sweep_claims("IODINE", "slots", 3, (2, 5, 7), MORE_SLOTS),
        grey_claim("IODINE"),
        *held_out_claims("no green squares", "green squares", seeds=(0,)),
        *common_claims("IODINE"),
    ),
)


def _best(results: Results) -> RunResult:
    return max(results.arms["IODINE"][:2], key=lambda run: run.score("ari_fg"))


PIECE_SLOTS, PIECE_STEPS = (3, 4, 5, 6, 8), (1, 2, 3, 5, 8, 10, 15)
"""On Tetrominoes at test time; in training 4 slots, as many as entities, and 5 steps."""


def several_explanations(result: RunResult) -> dict[str, float]:
    """What refinement brings, other numbers of steps and slots, scenes in grey, and how many images of an ambiguous and
    of a clear set are explained in more than one way in 16 runs."""
    model, dataset = result.loaded
    world, images = dataclasses.replace(dataset.config, split="test"), images_of(result)
    steps = slot_measures.refinement_scores(model, world.build(), images, PIECE_STEPS)
    return {
        "ari_gain": steps[model.config.steps]["ari_fg"] - steps[1]["ari_fg"],
        "ambiguous": seen_in_several_ways(model, AmbiguousTetrominoes.Config(split="test").build()),
        "clear": seen_in_several_ways(model, AmbiguousTetrominoes.Config(tilings=(1, 1), split="test").build()),
        "grey.ari_fg": grey_score(model, world, images),
        **{f"steps_{number}.ari_fg": row["ari_fg"] for number, row in steps.items()},
        **slot_measures.ari_by_slots(model, world, images, PIECE_SLOTS),
    }


def seen_in_several_ways(model: Any, dataset: SceneDataset, count: int = 64, runs: int = 16) -> float:
    """The share of `count` images that `runs` inferences with different noise take apart in two ways or more."""
    batch = dataset.gather(torch.arange(count), next(model.parameters()).device)
    seen = see_again(model, batch["image"], runs, foreground=dataset.foreground(batch))
    return float(np.mean(seen.explanations.distinct > 1))


def more_objects(result: RunResult) -> dict[str, float]:
    """CLEVR-like scenes of seven to ten objects with eleven slots, and scenes in grey."""
    model, dataset = result.loaded
    world, images = dataclasses.replace(dataset.config, split="test"), images_of(result)
    more = slot_measures.take_apart_and_score(model, dataclasses.replace(world, objects=(7, 10)), images, slots=11)
    return {"more.ari_fg": more.score("ari_fg"), "grey.ari_fg": grey_score(model, world, images)}


TETROMINOES = (
    Claim(
        statement="ARI-FG on Tetrominoes (mean of seeds)",
        measure=lambda results: results.mean("Tetrominoes", "ari_fg"),
        threshold=0.70,
        paper="0.992 ± 0.004 (quoted by later papers); grouping by true colour alone scores 0.79",
    ),
    Claim(
        statement="ARI-FG rises from the first to the last step of refinement (mean of seeds)",
        measure=lambda results: results.mean("Tetrominoes", "ari_gain"),
        threshold=0.2,
        paper="every step improves (figure)",
    ),
    Claim(
        statement="share of ambiguous images with two explanations or more in 16 runs",
        measure=lambda results: results.mean("Tetrominoes", "ambiguous"),
        threshold=0.20,
        paper="the same image is explained in several ways (figure, unverified)",
    ),
    Claim(
        statement="share of clear images with two explanations or more in 16 runs",
        measure=lambda results: results.mean("Tetrominoes", "clear"),
        threshold=0.05,
        at_most=True,
    ),
    *sweep_claims("Tetrominoes", "steps", 5, (1, 10, 15), STABLE),
    *sweep_claims("Tetrominoes", "slots", 4, (3, 6, 8), MORE_SLOTS),
    grey_claim("Tetrominoes"),
)


PAPER = (
    Claim(
        statement="ARI-FG on Multi-dSprites (mean of seeds)",
        measure=lambda results: results.mean("Multi-dSprites", "ari_fg"),
        paper="0.767 ± 0.056 (quoted by later papers)",
    ),
    Claim(
        statement="ARI-FG on CLEVR-like scenes of up to six objects (mean of seeds)",
        measure=lambda results: results.mean("CLEVR6", "ari_fg"),
        paper="0.988 ± 0.000 on CLEVR6 (quoted by later papers)",
    ),
    Claim(
        statement="ARI-FG on CLEVR-like scenes of seven to ten objects with eleven slots (mean of seeds)",
        measure=lambda results: results.mean("CLEVR6", "more.ari_fg"),
        paper="stays high (abstract; no number verified)",
    ),
    grey_claim("CLEVR6"),
    *held_out_claims("no green Z or S", "green pieces Z and S"),
    *held_out_claims("no green spheres", "green spheres"),
)


def tetrominoes(paper: bool) -> Scale:
    """Tetrominoes at the size of one GPU, or all three datasets with the published settings, and two of them without a
    combination of shape and colour (further trainings would not fit into the minutes of the smaller size)."""
    experiment = iodine_tetrominoes if paper else iodine_small_tetrominoes
    arms = {"Tetrominoes": Arm(experiment=experiment, measure=several_explanations)}
    if paper:
        arms["Multi-dSprites"] = Arm(experiment=iodine_multi_dsprites)
        arms["CLEVR6"] = Arm(experiment=iodine_clevr6, measure=more_objects)
        arms["no green Z or S"] = Arm(
            experiment=lambda: trained_on(iodine_tetrominoes(), without_green_zs()),
            measure=partial(held_out_scores, rule="with_green_zs"),
        )
        arms["no green spheres"] = Arm(
            experiment=lambda: trained_on(iodine_clevr6(), no_green_spheres(objects=(3, 6))),
            measure=partial(held_out_scores, green_spheres="some"),
        )
    claims = TETROMINOES + (PAPER if paper else ())
    figures = partial(sweeps, arm="Tetrominoes", slots=4, steps=5)
    return Scale(arms=arms, seeds=SEEDS if paper else (0,), claims=claims, figures=figures)


Study(
    name="iodine",
    title="IODINE",
    presets={
        "tiny": CPU.shrunk("IODINE", "no green squares", steps=20),
        "cpu": CPU,
        "gpu": tetrominoes(paper=False),
        "paper": tetrominoes(paper=True),
    },
)
