"""What the studies of slot models measure beside the scores of a run's evaluation."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch

from percepts.core.config import Config
from percepts.core.random import torch_generator
from percepts.core.results import MetricResult
from percepts.core.slots import labels
from percepts.data.scenes import SceneDataset
from percepts.metrics.segmentation import segmentation_scores
from percepts.metrics.segmentation_colour import colour_clusters, property_labels
from percepts.report.plates import Plate
from percepts.report.slot_refinement import refinement_plate
from percepts.report.slots import decomposition_plate
from percepts.training.experiment import Experiment, build_model
from percepts.training.slot_evaluation import BATCH, Scenes, probe_slots, scene_scores, take_apart


@dataclass(frozen=True)
class Scored:
    """Scenes taken apart, and their segmentation scores."""

    scenes: Scenes
    scores: dict[str, MetricResult]

    def score(self, name: str) -> float:
        """One score."""
        return float(self.scores[name].value)


def take_apart_and_score(model: Any, world: Config, count: int, slots: int | None = None) -> Scored:
    """Decompose scenes of another world than the model's, with another number of slots where given."""
    dataset: SceneDataset = world.build()
    scenes = take_apart(model, dataset, count, slots=slots)
    return Scored(scenes, scene_scores(scenes, dataset))


def share_with_inactive(scenes: Scenes) -> float:
    """The share of images that leave at least one slot inactive."""
    return float((~scenes.presence).any(1).double().mean())


def object_slots(scenes: Scenes) -> float:
    """The mean number of present slots beside the largest, which holds the background."""
    return float((scenes.presence.double().sum(1) - 1).clamp_min(0).mean())


def untrained_score(experiment: Experiment, seed: int, count: int) -> float:
    """ARI-FG with the initial weights of a seed."""
    settled, dataset = dataclasses.replace(experiment, seed=seed).resolved()
    assert isinstance(dataset, SceneDataset)
    model = build_model(settled, dataset).eval()
    test = dataset.unseen()
    return float(scene_scores(take_apart(model, test, count), test)["ari_fg"].value)


def colour_baselines(dataset: SceneDataset, count: int, slots: int) -> dict[str, float]:
    """ARI-FG of two groupings by colour alone: k-means of every image's pixels, and an oracle that knows the objects'
    true colours and takes those of one colour for one object."""
    batch = dataset.gather(torch.arange(count))
    true = batch["segmentation"]
    clusters = colour_clusters(batch["image"], slots, generator=torch_generator(0, "colour clusters"))
    oracle = property_labels(true, batch["entity.colour"], backgrounds=dataset.backgrounds)
    return {
        f"{name}.ari_fg": float(segmentation_scores(true, groups, backgrounds=dataset.backgrounds)["ari_fg"].value)
        for name, groups in (("kmeans", clusters), ("oracle", oracle))
    }


@torch.no_grad()
def decompositions(model: Any, dataset: SceneDataset, count: int = 6, slots: int | None = None) -> Plate:
    """A picture of the first `count` scenes taken apart."""
    batch = dataset.gather(torch.arange(count), next(model.parameters()).device)
    return decomposition_plate(batch["image"], model.decompose(batch["image"], slots), batch["segmentation"])


@torch.no_grad()
def refinement_scores(
    model: Any, dataset: SceneDataset, count: int, steps: int | None = None
) -> dict[str, list[float]]:
    """ARI-FG and NLL (nats an image) of an IODINE's beliefs, each drawn by its means: before the first step and after
    each one."""
    places = range((model.config.steps if steps is None else steps) + 1)
    found: dict[str, list[list[float]]] = {name: [[] for _ in places] for name in ("ari_fg", "nll")}
    for indices in torch.arange(count).split(BATCH):
        batch = dataset.gather(indices, next(model.parameters()).device)
        for place in places:
            # The last belief of an inference is drawn by its means, those before it by samples.
            *_, belief = model.infer(batch["image"], place)
            found["nll"][place] += belief.nll.tolist()
            scores = segmentation_scores(
                batch["segmentation"].cpu(), labels(belief.log_mask).cpu(), backgrounds=dataset.backgrounds
            )
            found["ari_fg"][place] += list(scores["ari_fg"].details["per_image"])
    return {name: [sum(values) / len(values) for values in rows] for name, rows in found.items()}


@torch.no_grad()
def refinements(model: Any, dataset: SceneDataset, count: int = 4) -> Plate:
    """A picture of the steps of refinement for the first `count` scenes."""
    batch = dataset.gather(torch.arange(count), next(model.parameters()).device)
    return refinement_plate(batch["image"], model.refine(batch["image"]), batch["segmentation"], dataset.backgrounds)


def probe_scores(model: Any, dataset: SceneDataset, count: int = 1000) -> dict[str, float]:
    """How well a linear probe of the matching slot tells each property: "probe.NAME", accuracy or R²."""
    results = probe_slots(take_apart(model, dataset, count), dataset)
    return {f"probe.{name.rsplit('.', 1)[1]}": float(result.value) for name, result in results.items()}
