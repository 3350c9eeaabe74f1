"""What a selection says: runs, groups of runs, the evidence, and the choice. Plain data, in JSON and back.

Nothing here computes a score; `selection` fills these in and `report` draws them. A number that could not be computed
is NaN (null in JSON).
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from percepts.core.errors import RunError
from percepts.core.results import plain
from percepts.metrics.udr_result import UDRResult

SELECTION, CHOSEN = "selection.json", "chosen"
NAN = float("nan")


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One model that takes part: a finished run, or any encoder.

    Attributes:
        name: the run's folder within the sweep (or the encoder's name); unique.
        path: the run folder as it was given; None for an encoder without one.
        group: the group's name: a hash of the settings without the seed.
        seed: the run's seed.
        settings: the settings in which the candidates differ, by dotted name ("model.beta"); the seed is left out.
        udr: "lasso" and "spearman": the median over the models it was compared with, in [0, 1].
        udr_interval: the same names: bootstrap interval (low, high) over the compared models, or None.
        active: informative latents.
        latents: all latents, D.
        kl: mean KL of every latent in nats, over the common images; None where the encoder has no posterior.
        excess: -ln p(image | posterior mean) above the data's entropy, nats an image, over the common images.
        elbo: the ELBO with one sample of the latents, nats an image, over the common images.
        supervised: scores of the run's evaluation.json by metric name; empty where it has none of this checkpoint.
        downstream: results of the downstream tasks by task name.
        score: the number that ranks it, the criterion with the coverage penalty; higher is better, whatever the
            criterion's own direction.
        obstacles: why it may not be chosen, in words; empty where it may.
    """

    name: str
    path: str | None
    group: str
    seed: int | None
    settings: dict[str, Any]
    udr: dict[str, float]
    udr_interval: dict[str, tuple[float, float] | None] = field(default_factory=dict)
    active: int
    latents: int
    kl: list[float] | None
    excess: float = NAN
    elbo: float = NAN
    supervised: dict[str, float] = field(default_factory=dict)
    downstream: dict[str, float] = field(default_factory=dict)
    score: float = NAN
    obstacles: tuple[str, ...] = ()

    @property
    def eligible(self) -> bool:
        """Whether it may be chosen."""
        return not self.obstacles


@dataclass(frozen=True, kw_only=True)
class Group:
    """Candidates that differ in nothing but their seeds: one setting of the hyperparameters.

    Attributes:
        name: the group's hash, as in `Candidate.group`.
        settings: as in `Candidate.settings`.
        members: positions in `Selection.candidates`, best score first.
        score: median of the members' scores; the group with the highest is chosen.
        quartiles: of the members' scores, (25 %, 75 %).
        udr: "lasso" and "spearman": medians over the members.
        udr_quartiles: the same names: (25 %, 75 %).
        active: median number of informative latents.
        excess: median excess reconstruction, nats an image.
        elbo: median ELBO, nats an image.
        supervised: medians of the supervised scores by name.
        obstacles: why it may not be chosen; empty where it may.
    """

    name: str
    settings: dict[str, Any]
    members: tuple[int, ...]
    score: float
    quartiles: tuple[float, float]
    udr: dict[str, float]
    udr_quartiles: dict[str, tuple[float, float]]
    active: float
    excess: float
    elbo: float
    supervised: dict[str, float]
    obstacles: tuple[str, ...] = ()

    @property
    def eligible(self) -> bool:
        """Whether it may be chosen."""
        return not self.obstacles


@dataclass(frozen=True, kw_only=True)
class Correlation:
    """Spearman's rank correlation of two columns over the candidates.

    Attributes:
        first: "udr.lasso", "udr.spearman", "elbo" or "excess".
        second: a supervised score or a downstream task, by name.
        value: in [-1, 1]; NaN for fewer than three candidates or a constant column.
        interval: bootstrap interval over the candidates (95 %), or None.
        models: how many candidates have both numbers.
    """

    first: str
    second: str
    value: float
    interval: tuple[float, float] | None
    models: int


@dataclass(frozen=True, kw_only=True)
class Stability:
    """How much the rank correlation depends on which P models each model was compared with.

    Attributes:
        kind: "lasso" or "spearman".
        score: the supervised score that UDR is correlated with.
        pairs: P, the number of other models that enter each median.
        mean, deviation: of the correlation, over the draws.
        draws: how often P models were drawn for every model.
    """

    kind: str
    score: str
    pairs: int
    mean: float
    deviation: float
    draws: int


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A run that takes no part, and why."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The outcome of selecting among trained models.

    Attributes:
        criterion: what ranks: "udr-lasso", "udr-spearman", "elbo", or the name of a supervised score.
        coverage: "none", "guard" or "penalty".
        candidates: in the order of their names.
        groups: best score first, those without a score last.
        chosen: position of the chosen candidate; None where none may be chosen (`warnings` say why).
        left_out: runs that take no part.
        udr: "lasso" and "spearman": pairwise matrices [M, M], masks, similarity matrices of the kept pairs, all in the
            order of `candidates` (see `metrics.udr_result.UDRResult`).
        correlations: of the label-free scores with the supervised and downstream ones; empty without such scores.
        stability: of these correlations in P.
        warnings: what to look at before trusting the choice, in words.
        parameters: the settings of the selection.
        images: how many common images were encoded for UDR.
        provenance: versions, commit, host, command.
    """

    criterion: str
    coverage: str
    candidates: tuple[Candidate, ...]
    groups: tuple[Group, ...]
    chosen: int | None
    left_out: tuple[LeftOut, ...] = ()
    udr: dict[str, UDRResult]
    correlations: tuple[Correlation, ...] = ()
    stability: tuple[Stability, ...] = ()
    warnings: tuple[str, ...] = ()
    parameters: dict[str, Any] = field(default_factory=dict)
    images: int
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def best(self) -> Candidate | None:
        """The chosen candidate."""
        return None if self.chosen is None else self.candidates[self.chosen]

    @property
    def ranked(self) -> list[Candidate]:
        """The candidates, those that may be chosen first, best score first."""
        return sorted(self.candidates, key=lambda c: (not c.eligible, math.isnan(c.score), -c.score, c.name))

    @property
    def varied(self) -> list[str]:
        """The names of the settings in which the candidates differ."""
        return sorted({name for candidate in self.candidates for name in candidate.settings})

    def to_json(self) -> dict[str, Any]:
        """JSON data; NaN becomes null."""
        data = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        for name in ("candidates", "groups", "left_out", "correlations", "stability"):
            data[name] = [dataclasses.asdict(row) for row in data[name]]
        data["udr"] = {kind: result.to_json() for kind, result in self.udr.items()}
        return plain(data)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Selection:
        """The selection that `to_json` wrote."""
        rows: dict[str, type] = {
            "candidates": Candidate,
            "groups": Group,
            "left_out": LeftOut,
            "correlations": Correlation,
            "stability": Stability,
        }
        values = {**data, "warnings": tuple(data["warnings"])}
        for name, kind in rows.items():
            values[name] = tuple(kind(**_revived(row)) for row in data[name])
        values["udr"] = {kind: UDRResult.from_json(result) for kind, result in data["udr"].items()}
        return cls(**values)

    @classmethod
    def read(cls, folder: Path | str) -> Selection:
        """The selection kept in `folder`.

        Raises:
            RunError: there is none, or it cannot be read.
        """
        file = Path(folder) / SELECTION
        try:
            return cls.from_json(json.loads(file.read_text(encoding="utf-8")))
        except FileNotFoundError as error:
            raise RunError(f"'{folder}' holds no {SELECTION}", fix=f"percepts select {folder}") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"cannot read '{file}' ({error})", "what percepts select wrote") from error


def _revived(row: dict[str, Any]) -> dict[str, Any]:
    """Null numbers as NaN again, and pairs as tuples."""
    values = dict(row)
    for name in ("excess", "elbo", "score", "active", "value", "mean", "deviation"):
        if name in values and values[name] is None:
            values[name] = NAN
    for name in ("udr", "supervised", "downstream"):
        if name in values:
            values[name] = {key: NAN if number is None else number for key, number in values[name].items()}
    for name in ("udr_interval", "udr_quartiles"):
        if name in values:
            values[name] = {key: _pair(numbers) for key, numbers in values[name].items()}
    for name in ("interval", "quartiles"):
        if name in values:
            values[name] = _pair(values[name])
    for name in ("members", "obstacles"):
        if name in values:
            values[name] = tuple(values[name])
    return values


def _pair(numbers: list[float | None] | None) -> tuple[float, ...] | None:
    return None if numbers is None else tuple(NAN if number is None else number for number in numbers)
