"""What the studies of slot models measure beside the scores of a run's evaluation."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import mean
from typing import Any

import torch

from percepts.core.capabilities import Batch
from percepts.core.config import Config
from percepts.core.random import torch_generator
from percepts.core.results import MetricResult
from percepts.core.slots import labels
from percepts.data.scenes import SceneDataset
from percepts.metrics.segmentation import segmentation_scores
from percepts.metrics.segmentation_colour import colour_clusters, property_labels
from percepts.metrics.segmentation_completion import occlusion_completion
from percepts.objects.explanation import Belief
from percepts.report.plates import Plate
from percepts.report.slot_refinement import refinement_plate
from percepts.report.slots import decomposition_plate
from percepts.training.experiment import Experiment, build_model
from percepts.training.slot_evaluation import (
    BATCH,
    Scenes,
    batch_size,
    decomposed,
    probe_slots,
    scene_scores,
    take_apart,
)


@dataclass(frozen=True)
class Scored:
    """Scenes taken apart, and their segmentation scores."""

    scenes: Scenes
    scores: dict[str, MetricResult]

    def score(self, name: str) -> float:
        """One score."""
        return float(self.scores[name].value)

    @property
    def mse(self) -> float:
        """The squared error of the reconstruction, mean over pixels and channels."""
        return float(self.scenes.error.mean()) / self.scenes.pixels


def take_apart_and_score(model: Any, world: Config, count: int, slots: int | None = None) -> Scored:
    """Decompose scenes of another world than the model's, with another number of slots where given."""
    dataset: SceneDataset = world.build()
    scenes = take_apart(model, dataset, count, slots=slots)
    return Scored(scenes, scene_scores(scenes, dataset))


def ari_by_slots(model: Any, world: Config, count: int, slots: Iterable[int]) -> dict[str, float]:
    """ARI-FG with these numbers of slots, whatever it was in training: "slots_K.ari_fg"."""
    return {f"slots_{k}.ari_fg": take_apart_and_score(model, world, count, k).score("ari_fg") for k in slots}


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
    model: Any, dataset: SceneDataset, count: int, steps: Iterable[int]
) -> dict[int, dict[str, float]]:
    """ARI-FG ("ari_fg") and NLL ("nll", nats an image) of an IODINE after each of these numbers of steps (0: before the
    first one), drawn by the means of the belief."""
    found: dict[int, dict[str, list[float]]] = {number: {"ari_fg": [], "nll": []} for number in steps}
    for indices in torch.arange(count).split(BATCH):
        batch = dataset.gather(indices, next(model.parameters()).device)
        for number, seen in enumerate(model.infer(batch["image"], max(found))):
            if number not in found:
                continue
            # Inference goes on from samples; what is scored is what it would have shown had it ended here, the means.
            belief = Belief(seen.posterior.parameters, None)
            end = model.explain(batch["image"], belief, torch.zeros_like, model.scale(), keep=False, refines=False)
            found[number]["nll"] += end.nll.tolist()
            scores = segmentation_scores(
                batch["segmentation"].cpu(), labels(end.log_mask).cpu(), backgrounds=dataset.backgrounds
            )
            found[number]["ari_fg"] += scores["ari_fg"].details["per_image"].tolist()
    return {number: {name: mean(values) for name, values in row.items()} for number, row in found.items()}


@torch.no_grad()
def completion_scores(model: Any, dataset: SceneDataset, count: int) -> dict[str, float]:
    """How slots complete hidden parts of objects (`metrics.occlusion_completion`): "completion" and "completion.error".

    For comparison: "completion.everywhere", of components of one colour all over; "completion.image", of showing the
    image, as groupings of its pixels do; "completion.error_ratio", the error as a share of that of the image.
    """
    device = next(model.parameters()).device
    rows: list[Batch] = []
    for indices in torch.arange(count).split(batch_size(model)):
        batch, details = dataset.gather(indices, device), dataset.details(indices, device)
        taken = decomposed(model, batch["image"], batch)
        known = {"image": batch["image"], "true": batch["segmentation"], "predicted": labels(taken.mask)}
        alone = {name: details[name] for name in ("amodal", "unoccluded")}
        rows.append({"appearance": taken.appearance, **known, **alone})
    table: dict[str, Any] = {name: torch.cat([row[name].cpu() for row in rows]) for name in rows[0]}
    whole = occlusion_completion(**table, backgrounds=dataset.backgrounds)
    table["appearance"] = table["image"][:, None].expand_as(table["appearance"])
    image = occlusion_completion(**table, backgrounds=dataset.backgrounds)
    error, error_of_image = whole["completion.error"].value, image["completion.error"].value
    return {
        "completion": whole["completion"].value,
        "completion.everywhere": whole["completion"].details["everywhere"],
        "completion.image": image["completion"].value,
        "completion.error": error,
        "completion.error_ratio": error / error_of_image,
    }


@torch.no_grad()
def refinements(model: Any, dataset: SceneDataset, count: int = 4) -> Plate:
    """A picture of the steps of refinement for the first `count` scenes."""
    batch = dataset.gather(torch.arange(count), next(model.parameters()).device)
    return refinement_plate(batch["image"], model.refine(batch["image"]), batch["segmentation"], dataset.backgrounds)


def probe_scores(model: Any, dataset: SceneDataset, count: int) -> dict[str, float]:
    """How well a linear probe of the matching slot tells each property: "probe.NAME", accuracy or R²."""
    results = probe_slots(take_apart(model, dataset, count), dataset)
    return {f"probe.{name.rsplit('.', 1)[1]}": float(result.value) for name, result in results.items()}
