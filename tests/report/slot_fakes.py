"""A world of coloured squares and a model that takes it apart by colour, well or badly as the test asks."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from percepts.core.capabilities import Batch, Losses, Step
from percepts.core.config import Config as BaseConfig
from percepts.core.runs import Run
from percepts.core.slots import Decomposition, Slots
from percepts.data.dataset import ImageDataset
from percepts.data.scenes import Property, SceneDataset

SIDE, SLOTS, LATENTS = 24, 4, 6
COLOURS = torch.tensor([[0.9, 0.1, 0.1], [0.1, 0.85, 0.1], [0.1, 0.2, 0.95]])


class Squares(SceneDataset):
    """Up to three squares, a red, a green and a blue one, on black; the last hides the others."""

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        frames: int | None = None
        items: int = 64
        twins: bool = False
        """All squares are red."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.image_shape = (3, SIDE, SIDE)
        self.entities, self.backgrounds, self.frames = 4, 1, config.frames
        self.properties = {"x": Property("numeric")}

    def __len__(self) -> int:
        return self.config.items

    def gather(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        frames = [self._frame(indices, time) for time in range(self.frames or 1)]
        image, segmentation = (torch.stack([frame[key] for frame in frames], 1) for key in range(2))
        visible = torch.stack([(segmentation == entity).flatten(1).any(1) for entity in range(4)], 1)
        if self.frames is None:
            return {"image": image[:, 0], "segmentation": segmentation[:, 0], "visible": visible}
        return {"video": image, "segmentation": segmentation, "visible": visible}

    def details(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        return {}

    def _frame(self, indices: Tensor, time: int) -> tuple[Tensor, Tensor]:
        image, segmentation = torch.zeros(len(indices), 3, SIDE, SIDE), torch.zeros(len(indices), SIDE, SIDE).long()
        for row, index in enumerate(indices.tolist()):
            for entity in range(1 + index % 3):
                x, y = (7 * index + 11 * entity + time) % (SIDE - 7), (5 * index + 13 * entity * entity) % (SIDE - 7)
                image[row, :, y : y + 7, x : x + 7] = COLOURS[0 if self.config.twins else entity][:, None, None]
                segmentation[row, y : y + 7, x : x + 7] = entity + 1
        return image, segmentation


class Photos(ImageDataset):
    """The same pictures as a user's folder has them: without any truth."""

    def __init__(self, items: int = 64) -> None:
        self.scenes = Squares.Config(items=items).build()
        self.image_shape = self.scenes.image_shape

    def __len__(self) -> int:
        return len(self.scenes)

    def gather(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        return {"image": self.scenes.gather(indices)["image"]}


class ByColour(nn.Module):
    """Slot 0 is what is dark, slots 1 to 3 what is red, green and blue; slots beyond stay empty.

    A slot's latents: how much it is a background (0: it is empty), x, y, and its colour as logits. Its refinement
    starts from masks that are the same everywhere.

    Args:
        sharpness: of the masks; 0 leaves all undecided.
        greedy: slot 0 takes everything.
        blind: what the decoded masks miss of the inferred ones, as a share of their logits.
    """

    def __init__(self, sharpness: float = 12.0, greedy: bool = False, blind: float = 0.0) -> None:
        super().__init__()
        self.sharpness, self.greedy, self.blind = sharpness, greedy, blind
        self.gain = nn.Parameter(torch.tensor(1.0))

    def losses(self, batch: Batch, step: Step) -> Losses:
        return Losses({"model": (self.reconstruct(batch["image"]) - batch["image"]).square().mean()})

    def encode(self, image: Tensor) -> Slots:
        return self.decompose(image).slots

    def decompose(self, image: Tensor, slots: int | None = None) -> Decomposition:
        return self._taken(image, slots or SLOTS, self.sharpness)

    def refine(self, image: Tensor, steps: int | None = None, slots: int | None = None) -> list[Decomposition]:
        steps = 3 if steps is None else steps
        return [self._taken(image, slots or SLOTS, self.sharpness * t / max(steps, 1)) for t in range(steps + 1)]

    def components(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        axis = torch.linspace(-2, 2, SIDE, device=latents.device)
        x, y = (latents[..., place, None, None] for place in (1, 2))
        far = torch.maximum((axis - x).abs(), (axis[:, None] - y).abs())
        background = latents[..., 0, None, None].sigmoid()
        nothing = torch.exp(-latents[..., 0, None, None].square())
        logits = ((1 - background) * 40 * (0.61 - far) - 40 * nothing) * (1 - self.blind)
        appearance = latents[..., 3:6].mul(self.gain).sigmoid()[..., None, None].expand(-1, -1, -1, SIDE, SIDE)
        return appearance, logits.softmax(1)

    def decode(self, latents: Tensor) -> Tensor:
        appearance, mask = self.components(latents)
        return (appearance * mask.unsqueeze(2)).sum(1).clamp(0, 1)

    def reconstruct(self, image: Tensor) -> Tensor:
        return self.decompose(image).reconstruction

    def segment(self, image: Tensor) -> Tensor:
        return self.encode(image).mask.argmax(1)

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        return self.decode(torch.randn(count, SLOTS, LATENTS, generator=generator))

    def _taken(self, image: Tensor, slots: int, sharpness: float) -> Decomposition:
        logits = torch.cat([torch.full_like(image[:, :1], 0.4), image], 1)[:, :slots] * sharpness
        logits = torch.cat([logits, torch.full_like(logits[:, :1], -30.0).expand(-1, max(slots - 4, 0), -1, -1)], 1)
        if self.greedy:
            logits = torch.cat([logits[:, :1] + 30, logits[:, 1:]], 1)
        mask = logits.softmax(1)
        axis = torch.linspace(-2, 2, SIDE)
        weight = mask.sum(dim=(2, 3)).clamp_min(1e-6)
        x, y = (mask.sum(2) @ axis) / weight, (mask.sum(3) @ axis) / weight
        colour = torch.einsum("bkhw,bchw->bkc", mask, image) / weight.unsqueeze(-1)
        first = torch.full_like(x, -4.0)
        first[:, 0] = 4.0
        if slots > 4:
            first[:, 4:] = 0.0
        mean = torch.stack([first, x, y, *colour.clamp(0.02, 0.98).logit().unbind(-1)], -1)
        empty = (weight < 8).unsqueeze(-1)
        mean = torch.where(empty, torch.zeros_like(mean), mean)
        variance = torch.where(empty, torch.ones_like(mean), torch.full_like(mean, 0.05))
        appearance, decoded = self.components(mean)
        return Decomposition(Slots(mean, variance, mask), appearance, decoded)


@dataclass(frozen=True, kw_only=True)
class SquaresExperiment(BaseConfig):
    """A stand-in for a whole experiment's configuration."""

    data: Squares.Config = field(default_factory=Squares.Config)
    note: str = ""
    seed: int = 3


def make_slot_run(folder: Path, lines: int = 40, undecided: bool = False, **info: Any) -> Run:
    """A run folder with the log of a slot model whose masks become decided, or do not."""
    run = Run.create(folder, SquaresExperiment(), **{"command": "percepts train", **info})
    entries = []
    for number in range(1, lines + 1):
        entropy = math.log(4) * (0.97 if undecided else 0.9 * math.exp(-4 * number / lines) + 0.02)
        entries.append(
            {
                "step": 50 * number, "seconds": 0.1 * number, "images_per_second": 321.0, "lr": 1e-3,
                "loss": 100 / number, "reconstruction": 90 / number - 60, "kl": 8.0 * number / lines,
                "kl_per_slot": [4.0 * number / lines, 3.0, 2.0, 0.01], "kl_mask": 5 / number,
                "mask_entropy": entropy, "largest_slot": 0.7, "active_slots": 3.1, "nll_t": [5.0, 3.0, -1.0 - number],
                "nll_per_value": -1.1,
            }
        )  # fmt: skip
    run.metrics_file.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return run


def make_slot_evaluation() -> dict[str, Any]:
    """What an evaluation of `ByColour` could say."""
    return {
        "step": 2000, "seed": 3, "images": 320, "seconds": 2.0,
        "metrics": {
            name: {"name": name, "value": value, "interval": [value - 0.02, value + 0.02], "level": 0.95, "details": {},
                   "parameters": {}}
            for name, value in {"ari": 0.91, "ari_fg": 0.88, "miou": 0.8}.items()
        },
        "slots": {
            "kl": [2.0, 9.0, 8.0, 7.0], "share": [0.7, 0.1, 0.1, 0.1], "present": [1.0, 0.9, 0.6, 0.3],
            "mask_entropy": 0.03, "mask_entropy_share": 0.02, "largest_slot": 0.72, "active": 2.8, "disagreement": 0.02,
        },
        "reconstruction": {"mse": 0.002, "nmse": 0.03},
    }  # fmt: skip
