"""What UDR says about a set of models: plain arrays, in JSON and back."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from percepts.core.results import plain


@dataclass(frozen=True, kw_only=True)
class UDRGroup:
    """The models of one setting of the hyperparameters.

    Attributes:
        name: the group, as text.
        models: their positions.
        score: the median of their scores; NaN for a group of one model, which has nothing to be compared with.
        quartiles: (25 %, 75 %) of their scores.
        interval: bootstrap interval of the median over the models, where one was asked for.
    """

    name: str
    models: tuple[int, ...]
    score: float
    quartiles: tuple[float, float]
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class UDRResult:
    """UDR of M models.

    Attributes:
        kind: "lasso" or "spearman".
        scores: of every model, in [0, 1]; NaN where a model has no other model in its group. [M]
        intervals: bootstrap intervals of the scores over the compared models, where asked for. [M, 2]
        pairwise: entry [j, i]: the agreement of models j and i, with a Lasso fitted from j to i; NaN on the diagonal
            and between groups. [M, M]
        compared: entry [j, i]: whether this pair enters the score of i (of j with orientation "to_others"). [M, M]
        active: which latents of every model are informative; latents that a narrower model lacks are not. [M, D]
        active_counts: how many are. [M]
        kl: mean KL of every latent in nats, NaN where a model has no posterior. [M, D]
        groups: in order of first appearance; a single one, "all", where all models are compared with all.
        similarity: (j, i) → R, all latents of j as rows and of i as columns, inactive ones 0; where it was kept.
        warnings: in words: groups of one model, dead models, identical models.
        parameters: the settings that define the score.
    """

    kind: str
    scores: Float[np.ndarray, " models"]
    intervals: Float[np.ndarray, "models 2"] | None
    pairwise: Float[np.ndarray, "models models"]
    compared: Bool[np.ndarray, "models models"]
    active: Bool[np.ndarray, "models latents"]
    kl: Float[np.ndarray, "models latents"]
    groups: tuple[UDRGroup, ...]
    similarity: dict[tuple[int, int], Float[np.ndarray, "rows columns"]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def active_counts(self) -> np.ndarray:
        """How many latents of every model are informative. [M]"""
        return self.active.sum(axis=1)

    def to_json(self) -> dict[str, Any]:
        """JSON data; NaN becomes null, and similarity matrices become rows of {from, to, matrix}."""
        data = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        data["groups"] = [dataclasses.asdict(group) for group in self.groups]
        data["similarity"] = [
            {"from": source, "to": target, "matrix": matrix} for (source, target), matrix in self.similarity.items()
        ]
        return plain(data)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> UDRResult:
        """The result that `to_json` wrote."""
        arrays = {name: np.array(data[name], np.float64) for name in ("scores", "pairwise", "kl")}
        masks = {name: np.array(data[name], bool) for name in ("compared", "active")}
        groups = tuple(UDRGroup(**{**group, **_revived(group)}) for group in data["groups"])
        similarity = {(row["from"], row["to"]): np.array(row["matrix"], np.float64) for row in data["similarity"]}
        return cls(
            kind=data["kind"],
            **arrays,
            **masks,
            intervals=None if data["intervals"] is None else np.array(data["intervals"], np.float64),
            groups=groups,
            similarity=similarity,
            warnings=tuple(data["warnings"]),
            parameters=data["parameters"],
        )


def _revived(group: dict[str, Any]) -> dict[str, Any]:
    """A group's tuples, and NaN in the place of null."""
    numbers = {
        name: None if group[name] is None else np.array(group[name], float) for name in ("quartiles", "interval")
    }
    pairs = {name: None if pair is None else (float(pair[0]), float(pair[1])) for name, pair in numbers.items()}
    score = float("nan") if group["score"] is None else group["score"]
    return {**pairs, "score": score, "models": tuple(group["models"])}
