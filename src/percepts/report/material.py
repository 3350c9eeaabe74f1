"""What a report is made of: everything that several sections read, gathered once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from percepts.core.capabilities import Batch, Encodes
from percepts.core.errors import RunError
from percepts.core.random import torch_generator
from percepts.core.runs import Run
from percepts.core.slots import Decomposes, Decomposition
from percepts.data.dataset import FactorDataset, ImageDataset
from percepts.data.scenes import SceneDataset
from percepts.report.slot_usage import SlotUsage, measure_slots
from percepts.report.slots import join_decompositions, to_cpu
from percepts.report.traversal import Latents, measure_latents
from percepts.report.tuning import device_of

IMAGES = 256
SCENES = 24
"""Images where the model takes them apart: each costs as much as its slots."""
AT_ONCE = 8
COLOURS = 10


@dataclass(frozen=True)
class Material:
    """A run and what its model says about a sample of its data.

    Attributes:
        config: the content of config.json; its types need not be imported.
        info: the content of run.json.
        log: the lines of training, oldest first.
        evaluation: the content of evaluation.json, or nothing.
        batch: up to `IMAGES` (`SCENES`) random items, on the model's device; of scenes such as training did not show.
        mean: the posterior means of these images, [B, D], on the CPU; None without a vector code.
        latents: how much each latent is used: as evaluated, or else over these images.
        seed: of every choice that the report makes.
        decomposition: what the model makes of the images, on the CPU; None where it does not take images apart.
        slots: how its slots are used over these images.
    """

    run: Run
    model: nn.Module
    dataset: ImageDataset
    config: dict[str, Any]
    info: dict[str, Any]
    log: list[dict[str, Any]]
    evaluation: dict[str, Any]
    batch: Batch
    mean: Float[Tensor, "batch latents"] | None
    latents: Latents | None
    seed: int
    decomposition: Decomposition | None = None
    slots: SlotUsage | None = None

    @property
    def images(self) -> Float[Tensor, "batch channels height width"]:
        """The sample of images; of videos the first frames."""
        return self.batch["image"]

    @property
    def truth(self) -> Int[Tensor, "batch height width"] | None:
        """The true entity of every pixel of the images on the CPU, where the data know it."""
        known = self.batch.get("segmentation")
        if known is None:
            return None
        return (known if known.ndim == 3 else known[:, 0]).cpu()

    @property
    def factors(self) -> FactorDataset | None:
        """The dataset, where it knows its factors."""
        return self.dataset if isinstance(self.dataset, FactorDataset) else None

    @property
    def classes(self) -> dict[int, str]:
        """The colour class of every latent, the same all over the page: coloured by rank, grey where inactive."""
        if self.latents is None:
            return {}
        coloured = {latent: f"s{rank % COLOURS}" for rank, latent in enumerate(self.latents.used)}
        return {latent: coloured.get(latent, "off") for latent in range(len(self.latents))}

    @property
    def metrics(self) -> dict[str, Any]:
        """The evaluated metrics by name, as JSON data."""
        return self.evaluation.get("metrics") or {}

    def generator(self, purpose: str) -> torch.Generator:
        """Random numbers for one purpose of this report."""
        return torch_generator(self.seed, "report", purpose)


def gather_material(
    run: Run, model: nn.Module, dataset: ImageDataset, evaluation: Mapping[str, Any] | None, seed: int
) -> Material:
    """Read the run folder, draw the sample of images and encode it.

    Raises:
        RunError: the run's files cannot be read.
    """
    takes_apart = isinstance(model, Decomposes)
    whole = dataset
    if isinstance(dataset, SceneDataset):
        dataset = dataset.unseen()
    count = min(SCENES if takes_apart else IMAGES, len(dataset))
    # A dataset may be far too large for a permutation: distinct enough indices are drawn from more than needed.
    drawn = torch.randint(len(dataset), (4 * count,), generator=torch_generator(seed, "report", "images"))
    few = len(dataset) <= 4 * IMAGES
    order = torch.randperm(len(dataset), generator=torch_generator(seed, "report", "images")) if few else drawn.unique()
    if not few:
        order = order[torch.randperm(len(order), generator=torch_generator(seed, "report", "order"))]
    batch = dataset.gather(order[:count], device_of(model))
    if "image" not in batch and "video" in batch:
        batch["image"] = batch["video"][:, 0]
    mean, latents, decomposition = None, None, None
    if isinstance(model, Decomposes):
        parts = [to_cpu(model.decompose(images)) for images in batch["image"].split(AT_ONCE)]
        decomposition = join_decompositions(parts)
    elif isinstance(model, Encodes):
        posterior = model.encode(batch["image"])
        if posterior.mean.ndim == 2:
            mean, latents = posterior.mean.float().cpu(), measure_latents(posterior)
            latents = _evaluated_latents(evaluation, len(latents)) or latents
    return Material(
        run=run,
        model=model,
        dataset=whole,
        config=read_config(run),
        info=run.info(),
        log=[line for line in run.metrics() if isinstance(line, dict) and "step" in line],
        evaluation=dict(evaluation or {}),
        batch=batch,
        mean=mean,
        latents=latents,
        seed=seed,
        decomposition=decomposition,
        slots=None if decomposition is None else measure_slots(decomposition),
    )


def read_config(run: Run) -> dict[str, Any]:
    """The configuration as JSON data: a report needs no class of it.

    Raises:
        RunError: the file is missing or damaged.
    """
    try:
        return json.loads(run.config_file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"cannot read '{run.config_file}' ({error})", "JSON that percepts wrote") from error


def find_setting(config: Any, *names: str) -> Any:
    """The setting at the dotted place `names`, None where there is none."""
    for name in names:
        if not isinstance(config, Mapping) or name not in config:
            return None
        config = config[name]
    return config


def series(log: list[dict[str, Any]], name: str) -> tuple[list[int], list[float]]:
    """The steps and values of one logged number; what is not a number becomes NaN."""
    found = [(line["step"], line[name]) for line in log if name in line]
    return [step for step, _ in found], [as_number(value) for _, value in found]


def as_number(value: Any) -> float:
    """`value` as a float, NaN where it is none."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else float("nan")


def numeric_names(log: list[dict[str, Any]]) -> Iterator[str]:
    """The names of the logged scalars, in order of appearance."""
    yield from dict.fromkeys(name for line in log for name, value in line.items() if isinstance(value, int | float))


def _evaluated_latents(evaluation: Mapping[str, Any] | None, count: int) -> Latents | None:
    """The evaluation's own figures, from more images than a report looks at, where they fit the model."""
    found = (evaluation or {}).get("latents") or {}
    columns = [found.get(name) for name in ("kl", "mean_variance", "std_of_mean", "active")]
    if any(not isinstance(column, list) or len(column) != count for column in columns):
        return None
    kl, variance, spread = ([as_number(value) for value in column] for column in columns[:3])  # type: ignore[union-attr]
    if any(value != value for value in (*kl, *variance, *spread)):
        return None
    return Latents(kl, variance, spread, [bool(value) for value in columns[3] or []])
