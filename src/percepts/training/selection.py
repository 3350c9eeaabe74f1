"""Choosing among trained models without labels: the procedure of UDR over finished runs.

    selection = select(find_runs("runs/sweeps/beta"), SelectionSettings(), out="runs/sweeps/beta")
    selection.best.path

Every finished run encodes the same images; runs that differ in nothing but their seed form a group and are compared
with one another (Duan et al. 2020; `metrics.udr`). The group with the highest median score is chosen, and within it
the run with the highest score. What a selection holds is described in `selection_tables`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from percepts.core.config import to_json
from percepts.core.errors import RunError
from percepts.core.files import write_json, write_text
from percepts.core.random import numpy_generator
from percepts.core.runs import Run, provenance
from percepts.metrics.arrays import as_array, as_table
from percepts.metrics.udr import Kind, Model, udr_scores
from percepts.metrics.udr_result import UDRResult
from percepts.training.selection_choice import SelectionSettings, choose, concerns
from percepts.training.selection_encoding import Encoded, encode_runs
from percepts.training.selection_evidence import Task, correlations, label_efficiency, labelled, stability
from percepts.training.selection_tables import (
    CHOSEN,
    SELECTION,
    Candidate,
    Correlation,
    Group,
    LeftOut,
    Selection,
    Stability,
)

__all__ = [
    "CHOSEN",
    "SELECTION",
    "Candidate",
    "Correlation",
    "Group",
    "LeftOut",
    "Selection",
    "SelectionSettings",
    "Stability",
    "Task",
    "label_efficiency",
    "select",
    "selection_from_codes",
    "write_selection",
]
KINDS: tuple[Kind, ...] = ("lasso", "spearman")


def select(
    runs: Sequence[Run],
    settings: SelectionSettings | None = None,
    *,
    out: Path | str | None = None,
    tasks: Mapping[str, Task] | None = None,
) -> Selection:
    """Rank finished runs and choose one.

    Args:
        runs: those of a sweep, for example `find_runs(folder)`; unfinished, failed or damaged ones are left out and
            named in the result.
        settings: how to choose.
        out: a folder to write selection.json and `chosen` (the path of the chosen run, one line) into.
        tasks: downstream tasks by name, computed for every run on `task_images` images (or `images`, if more) and
            correlated with UDR; `label_efficiency()` gives some.

    Raises:
        RunError: fewer than two usable runs, runs on different data, or a criterion that no run has.
        DataError: no two runs that differ in nothing but their seed.
    """
    settings = settings or SelectionSettings()
    if not runs:
        raise RunError("no runs to select from", "a folder of finished runs", "percepts sweep, or percepts runs list")
    wanted = max(settings.images, settings.task_images if tasks else 0)
    encoded, left_out = encode_runs(runs, wanted, settings.batch_size, settings.seed)
    if len(encoded) < 2:
        named = "; ".join(f"{row.name}: {row.reason}" for row in left_out[:3])
        raise RunError(
            f"{len(encoded)} of {len(runs)} runs can be compared" + (f" ({named})" if named else ""),
            "at least two finished runs with other seeds, better five",
            "train more seeds, or resume the unfinished runs",
        )
    selection = _select(encoded, settings, tuple(left_out), tasks or {})
    if out is not None:
        write_selection(selection, out)
    return selection


def selection_from_codes(
    models: Mapping[str, Model],
    *,
    groups: Mapping[str, str] | None = None,
    supervised: Mapping[str, Mapping[str, float]] | None = None,
    settings: SelectionSettings | None = None,
) -> Selection:
    """The same for any encoders, by their codes of the same images.

    Args:
        models: by name: codes [N, D], and the mean KL of every latent in nats [D], or None without a posterior.
        groups: by name: which were trained alike; None compares all with all.
        supervised: by name: scores by metric name.
        settings: how to choose; `images` and `task_images` play no part.

    Raises:
        DataError: tables that do not fit together or are not finite, or no two models in one group (see
            `metrics.udr.udr_scores`).
        RunError: a criterion that no model has.
    """
    settings = settings or SelectionSettings()
    groups = groups or dict.fromkeys(models, "all")
    encoded = [
        Encoded(
            name=name,
            codes=as_table(codes, f"codes of {name}"),
            kl=None if kl is None else np.asarray(as_array(kl), np.float64),
            group=groups[name],
            settings={"group": groups[name]},
            supervised=dict((supervised or {}).get(name, {})),
        )
        for name, (codes, kl) in sorted(models.items())
    ]
    return _select(encoded, dataclasses.replace(settings, images=max(2, *(len(one.codes) for one in encoded))), (), {})


def write_selection(selection: Selection, folder: Path | str) -> None:
    """Write selection.json, and `chosen` with the path of the chosen run (absent where none was chosen)."""
    folder = Path(folder)
    write_json(folder / SELECTION, selection.to_json())
    if selection.best is None:
        (folder / CHOSEN).unlink(missing_ok=True)
    else:
        path = Path(selection.best.path).absolute() if selection.best.path else selection.best.name
        write_text(folder / CHOSEN, f"{path}\n")


def _select(
    encoded: Sequence[Encoded], settings: SelectionSettings, left_out: tuple[LeftOut, ...], tasks: Mapping[str, Task]
) -> Selection:
    udr: dict[str, UDRResult] = {kind: _udr(encoded, settings, kind) for kind in KINDS}
    candidates = _candidates(encoded, udr, settings, tasks)
    candidates, groups, chosen = choose(candidates, settings)
    rng = numpy_generator(settings.seed, "selection correlations")
    scores = labelled(candidates)
    notes = [one.note for one in encoded if one.note]
    return Selection(
        criterion=settings.ranking,
        coverage=settings.coverage,
        candidates=tuple(candidates),
        groups=tuple(groups),
        chosen=chosen,
        left_out=left_out,
        udr={kind: _with_similarity(udr[kind], kind, encoded, settings, chosen) for kind in KINDS},
        correlations=correlations(candidates, bootstrap=settings.bootstrap, rng=rng),
        stability=tuple(row for result in udr.values() for row in stability(result, scores, rng=rng))
        if settings.stability
        else (),
        warnings=(*notes, *udr["lasso"].warnings, *concerns(candidates, groups, chosen, settings.ranking)),
        parameters=to_json(settings),
        images=min(settings.images, len(encoded[0].codes)),
        provenance=provenance(),
    )


def _udr(encoded: Sequence[Encoded], settings: SelectionSettings, kind: Kind) -> UDRResult:
    return udr_scores(
        [(one.codes[: settings.images], one.kl) for one in encoded],
        kind=kind,
        groups=[one.group for one in encoded] if settings.compare == "group" else None,
        pairs=settings.pairs,
        names=[one.name for one in encoded],
        bootstrap=settings.bootstrap,
        alpha=settings.alpha,
        kl_threshold=settings.kl_threshold,
        # The same pairs for both kinds.
        rng=numpy_generator(settings.seed, "selection pairs"),
    )


def _candidates(
    encoded: Sequence[Encoded], udr: Mapping[str, UDRResult], settings: SelectionSettings, tasks: Mapping[str, Task]
) -> list[Candidate]:
    varied = _varied(encoded)
    return [
        Candidate(
            name=one.name,
            path=one.path,
            group=one.group,
            seed=one.seed,
            settings={name: one.settings[name] for name in varied if name in one.settings},
            udr={kind: float(result.scores[place]) for kind, result in udr.items()},
            udr_interval={kind: _interval(result, place) for kind, result in udr.items()},
            active=int(udr["lasso"].active_counts[place]),
            latents=one.codes.shape[1],
            kl=None if one.kl is None else one.kl.tolist(),
            excess=one.excess,
            elbo=one.elbo,
            supervised=one.supervised,
            downstream={name: float(task(one.codes, one.factors)) for name, task in tasks.items()},
        )
        for place, one in enumerate(encoded)
    ]


def _varied(encoded: Sequence[Encoded]) -> list[str]:
    """The settings in which the models differ."""
    names = dict.fromkeys(name for one in encoded for name in one.settings)
    return [name for name in names if any(one.settings.get(name) != encoded[0].settings.get(name) for one in encoded)]


def _interval(result: UDRResult, place: int) -> tuple[float, float] | None:
    if result.intervals is None or np.isnan(result.intervals[place]).any():
        return None
    low, high = result.intervals[place]
    return float(low), float(high)


def _with_similarity(
    result: UDRResult, kind: Kind, encoded: Sequence[Encoded], settings: SelectionSettings, chosen: int | None
) -> UDRResult:
    """The result with R of the pairs worth seeing: the best, the worst, and those of the chosen model."""
    found = np.argwhere(~np.isnan(result.pairwise))
    order = found[np.argsort(result.pairwise[tuple(found.T)], kind="stable")]
    wanted = [order[0], order[-1], *(pair for pair in found if pair[1] == chosen)]
    places = sorted({int(place) for pair in wanted for place in pair})
    again = udr_scores(
        [(encoded[place].codes[: settings.images], encoded[place].kl) for place in places],
        kind=kind,
        alpha=settings.alpha,
        kl_threshold=settings.kl_threshold,
        keep_similarity=True,
    )
    kept = {(int(j), int(i)): again.similarity[places.index(j), places.index(i)] for j, i in wanted}
    return dataclasses.replace(result, similarity=kept)
