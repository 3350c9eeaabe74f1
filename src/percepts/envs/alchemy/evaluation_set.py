"""Fixed episodes to compare agents on: the published thousand, or a thousand of one's own.

    episodes = generated_episodes()                 # 1000 without rotations, always the same ones
    episodes = published_episodes("chemistries")    # the file of dm_alchemy
    episodes.save("episodes.npz"); load_episodes("episodes.npz")

`table.play(episodes)` lays them on as many tables, and `agents.alchemy.playing.play` plays them in a batch. The
published ones were drawn from the level without rotations and with random bottlenecks; here that level is drawn from,
too, so that scores agree but for the noise of a thousand episodes.
"""

from __future__ import annotations

import dataclasses
import io
import json
import math
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from percepts.core.errors import ConfigError, DataError
from percepts.core.files import write_bytes, write_json
from percepts.data.hashing import hashed_uniform
from percepts.envs.alchemy.chemistry import (
    EDGES,
    GRAPHS,
    POTION_MAPS,
    POTIONS,
    ROTATIONS,
    STONE_MAPS,
    VERTICES,
    Chemistry,
    chemistry_tables,
)
from percepts.envs.alchemy.levels import Level
from percepts.envs.alchemy.levels import level as find_level
from percepts.envs.alchemy.protobuf import PublishedEpisode, read_episodes
from percepts.envs.alchemy.table_state import NONE, Episodes

EPISODES = 1000
_LIMITS = {
    "graph": GRAPHS,
    "potion_map": POTION_MAPS,
    "stone_map": STONE_MAPS,
    "rotation": ROTATIONS,
    "stones": VERTICES,
    "potions": POTIONS,
}
_SLOTS = ("stones", "potions")
_ANGLES = ((0.0, 0.0, 0.0), (0.0, 0.0, -45.0), (0.0, -45.0, 0.0), (-45.0, 0.0, 0.0))
"""Of the rotations, in degrees."""
_FORMAT = "percepts alchemy episodes 1"


@dataclass(frozen=True)
class EvaluationSet(Episodes):
    """Episodes whose chemistry and items are fixed; a table plays them."""

    def save(self, path: Path | str) -> Path:
        """Write all of it, atomically: as NumPy's `.npz`, or as `.json` that a person can read.

        Raises:
            ConfigError: another ending.
            PerceptsError: the file cannot be written; an older one is untouched.
        """
        path, arrays = Path(path), {name: value.cpu().numpy() for name, value in self._parts().items()}
        if path.suffix == ".npz":
            file = io.BytesIO()
            np.savez_compressed(file, **{name: value.astype(np.int8) for name, value in arrays.items()})  # type: ignore[arg-type]
            write_bytes(path, file.getvalue())
        elif path.suffix == ".json":
            write_json(path, {"format": _FORMAT, **{name: value.tolist() for name, value in arrays.items()}})
        else:
            raise ConfigError(f"episodes as '{path.suffix}'", ".npz or .json")
        return path

    def _parts(self) -> dict[str, Tensor]:
        named = {field.name: getattr(self.chemistry, field.name) for field in dataclasses.fields(self.chemistry)}
        return {**named, "stones": self.stones, "potions": self.potions}


def generated_episodes(
    episodes: int = EPISODES,
    seed: int = 0,
    *,
    level: str | Level = "random-bottleneck",
    trials: int = 10,
    stones: int = 3,
    potions: int = 12,
) -> EvaluationSet:
    """Episodes that are a function of the seed, the same on every machine; the first ones do not depend on how many.

    Args:
        episodes: how many.
        seed: of all draws.
        level: what chemistries are drawn from.
        trials, stones, potions: of an episode, in a trial, in a trial.

    Raises:
        ConfigError: fewer than one of anything, or an unknown level.
    """
    for name, value in {"episodes": episodes, "trials": trials, "stones": stones, "potions": potions}.items():
        if value < 1:
            raise ConfigError(f"{name} = {value}", "1 or more")
    known = find_level(level)

    def draw(name: str, *shape: int) -> Tensor:
        return hashed_uniform(torch.arange(episodes * math.prod(shape)), seed, "alchemy", name).view(episodes, *shape)

    def one_of(numbers: Sequence[int], name: str) -> Tensor:
        return torch.tensor(numbers)[_below(len(numbers), draw(name))]

    bounds = known.prior().cumsum(0)
    chemistry = Chemistry(
        # Graphs that cannot occur have no width, so that they are never found.
        torch.searchsorted(bounds, draw("graph") * bounds[-1], right=True).clamp(max=max(known.choices)),
        one_of(known.potion_maps, "potion map"),
        one_of(known.stone_maps, "stone map"),
        one_of(known.rotations, "rotation"),
    )
    laid = _below(VERTICES, draw("stones", trials, stones)), _below(POTIONS, draw("potions", trials, potions))
    return EvaluationSet(chemistry, *laid)


def published_episodes(path: Path | str) -> EvaluationSet:
    """The episodes of dm_alchemy's file of chemistries and items.

    Raises:
        DataError: it cannot be read, is no such file, or holds what is no chemistry.
    """
    found = read_episodes(path)
    numbers = [_numbers(episode, place) for place, episode in enumerate(found)]
    arrays = {name: [one[name] for one in numbers] for name in _LIMITS}
    return _checked(arrays, path)


def load_episodes(path: Path | str) -> EvaluationSet:
    """What `EvaluationSet.save` wrote.

    Raises:
        DataError: it cannot be read, is no such file, or is damaged.
    """
    path = Path(path)
    try:
        if path.suffix == ".json":
            arrays: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        else:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
    except OSError as error:
        raise DataError(f"'{path}' cannot be read ({error.strerror})", "a file of episodes") from error
    except (ValueError, zipfile.BadZipFile, zlib.error, EOFError, RecursionError, NotImplementedError) as error:
        raise DataError(f"'{path}' is no file of episodes ({error})", "what EvaluationSet.save wrote") from error
    return _checked(arrays, path)


def _numbers(episode: PublishedEpisode, place: int) -> dict[str, Any]:
    """A published episode in our numbers."""
    return {
        "graph": _graph(episode.edges, place),
        "potion_map": episode.potion_map,
        "stone_map": episode.stone_map,
        "rotation": _rotation(episode.angles, place),
        "stones": episode.stones,
        "potions": episode.potions,
    }


def _graph(edges: Sequence[int], place: int) -> int:
    """The graph with these edges: 0 where there is none, else 1 + the potion along it, which goes up its axis."""
    tables = chemistry_tables()
    upwards = [2 * (i ^ j).bit_length() for i, j in EDGES]
    if len(edges) == len(EDGES) and all(value in (0, potion) for value, potion in zip(edges, upwards)):
        found = (tables.edges == torch.tensor(edges).bool()).all(1).nonzero()
        if len(found):
            return int(found[0])
    raise DataError(f"edges {list(edges)} of episode {place}", "twelve of one of the 109 graphs")


def _rotation(angles: Sequence[float], place: int) -> int:
    """The rotation about these angles."""
    for number, known in enumerate(_ANGLES):
        if len(angles) == len(known) and np.allclose(angles, known, atol=1e-3):
            return number
    raise DataError(f"angles {list(angles)} of episode {place}", f"three: one of {_ANGLES}")


def _checked(arrays: Mapping[str, Any], path: Path | str) -> EvaluationSet:
    """The episodes in these arrays.

    Raises:
        DataError: something is missing, of another size or no such number.
    """
    found = {}
    for name, limit in _LIMITS.items():
        try:
            value = np.asarray(arrays[name])
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"'{path}' has no {name}, or trials of different sizes", "a file of episodes") from error
        dimensions, least = (3, NONE) if name in _SLOTS else (1, 0)
        if value.ndim != dimensions or not value.size or not np.issubdtype(value.dtype, np.integer):
            raise DataError(f"'{path}': {name} has size {list(value.shape)}", f"{dimensions} dimensions of integers")
        if value.min() < least or value.max() >= limit:
            raise DataError(f"'{path}': {name} {value.min()} to {value.max()}", f"numbers from {least} to {limit - 1}")
        found[name] = torch.from_numpy(value.astype(np.int64))
    if len({len(value) for value in found.values()}) > 1 or found["stones"].shape[1] != found["potions"].shape[1]:
        shapes = {name: list(value.shape) for name, value in found.items()}
        raise DataError(f"'{path}': sizes {shapes}", "as many episodes and trials of everything")
    stones, potions = found.pop("stones"), found.pop("potions")
    return EvaluationSet(Chemistry(**found), stones, potions)


def _below(count: int, unit: Tensor) -> Int64[Tensor, "*shape"]:
    """Numbers from 0 to count - 1 of uniform ones."""
    return (unit * count).long()
