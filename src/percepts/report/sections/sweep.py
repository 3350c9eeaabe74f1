"""The sections of a sweep's page: ranking, agreement of seeds, evidence from labels, and the record."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from percepts.report.plates import Plate
from percepts.report.scores import meaning_of
from percepts.report.sections.section import Section
from percepts.report.svg import MINUS, short
from percepts.report.udr import (
    box_plate,
    correlation_plate,
    extreme_pairs,
    pair_of,
    pairwise_plate,
    similarity_plates,
)
from percepts.training.selection_tables import Candidate, Correlation, Group, Selection

MOST_SCORES = 6
MOST_SETTINGS = 4
MOST_VALUES = 12
KINDS = {"lasso": "UDR lasso", "spearman": "UDR Spearman"}


def ranking(selection: Selection) -> Section:
    """The runs, best first, and the settings that they belong to."""
    scores = score_names(selection)
    rows = [_row(selection, place, one, scores) for place, one in enumerate(selection.ranked, start=1)]
    groups = [_group_row(selection, group) for group in selection.groups]
    return Section(
        "ranking",
        "Ranking",
        {
            "settings": [plain_name(name) for name in selection.varied],
            "scores": [_title(name) for name in scores],
            "rows": rows,
            "groups": groups,
            "seeds": any(row["seed"] for row in rows),
            "criterion": selection.criterion,
            "chosen": selection.best.path if selection.best else None,
            "remarks": any(row["remark"] for row in rows),
        },
    )


def agreement(selection: Selection) -> Section:
    """Do the seeds of a setting find the same axes? Boxes by hyperparameter, all pairs, the best and the worst pair."""
    kind = ranking_kind(selection)
    boxes = [_boxes(selection, name) for name in selection.varied[:MOST_SETTINGS]] or [_boxes(selection, None)]
    result = selection.udr[kind]
    names = [candidate_name(selection, one) for one in selection.candidates]
    order = settings_order(selection)
    ordered = [selection.candidates[place] for place in order]
    labels = [group_name(selection, one.settings, one.group) for one in ordered]
    seeds = [f"seed {one.seed}" if one.seed is not None else one.name for one in ordered]
    plates = [*boxes, pairwise_plate(result.pairwise[np.ix_(order, order)], labels, seeds)]
    found = extreme_pairs(result.pairwise)
    if found is not None:
        pairs = [pair for one, other in found if (pair := pair_of(result, one, other, names)) is not None]
        if pairs:
            plates.append(similarity_plates(pairs, ["Best pair", "Worst pair"]))
    return Section("agreement", "Do seeds agree?", {"plates": plates, "kind": KINDS[kind]})


def evidence(selection: Selection) -> Section | None:
    """UDR beside scores that needed labels; None without such scores."""
    kind = ranking_kind(selection)
    names = score_names(selection)
    if not names or not selection.correlations:
        return None
    own = {row.second: row.value for row in selection.correlations if row.first == f"udr.{kind}"}
    ordered = [selection.candidates[place] for place in settings_order(selection)]
    columns = {_title(name): [one.supervised.get(name, math.nan) for one in ordered] for name in names}
    udr = [one.udr.get(kind, math.nan) for one in ordered]
    labels = [group_name(selection, one.settings, one.group) for one in ordered]
    rho = {_title(name): own.get(name, math.nan) for name in names}
    plate = correlation_plate((KINDS[kind], udr), columns, rho, labels)
    stability = [
        {"kind": KINDS.get(row.kind, row.kind), "score": _title(row.score), "pairs": row.pairs, "draws": row.draws,
         "mean": signed(row.mean), "deviation": f"{row.deviation:.3f}"}
        for row in selection.stability if row.kind == kind and row.score in names
    ]  # fmt: skip
    table = [_correlation_row(row) for row in selection.correlations if row.second in names]
    return Section(
        "evidence", "Beside scores that need labels", {"plate": plate, "rows": table, "stability": stability}
    )


def record(selection: Selection) -> Section:
    """The settings of the selection, the runs that took no part, and how to repeat it."""
    rows = [(name.replace("_", " "), value) for name, value in selection.provenance.items() if value not in (None, "")]
    command = str(selection.provenance.get("command") or "")
    left_out = [(row.name, row.reason) for row in selection.left_out]
    content = {"parameters": selection.parameters, "rows": rows, "command": command, "left_out": left_out}
    return Section("record", "How this was selected", content)


def ranking_kind(selection: Selection) -> str:
    """The UDR that the page shows: the one that ranks, or the Lasso's."""
    return "spearman" if selection.criterion == "udr-spearman" else "lasso"


def score_names(selection: Selection) -> list[str]:
    """Scores of the evaluations on a scale from 0 to 1, the best known first, at most `MOST_SCORES`."""
    names = {name for one in selection.candidates for name, value in one.supervised.items() if math.isfinite(value)}
    kept = [name for name in names if meaning_of(name).top is not None]
    return sorted(kept, key=lambda name: (meaning_of(name).order, name))[:MOST_SCORES]


def candidate_name(selection: Selection, one: Candidate | None) -> str:
    """A model by its settings and seed, or by its name where those do not tell."""
    if one is None:
        return "none"
    seed = "" if one.seed is None else f"seed {one.seed}"
    settings = group_name(selection, one.settings, "")
    return ", ".join(part for part in (settings, seed) if part) or one.name


def group_name(selection: Selection, settings: dict[str, Any], name: str) -> str:
    """A setting in words: the hyperparameters that vary, or its name where none does."""
    shown = [f"{plain_name(key)} {_value(settings[key])}" for key in selection.varied if key in settings]
    return ", ".join(shown[:MOST_SETTINGS]) or name[:8]


def plain_name(setting: str) -> str:
    """The last word of a dotted setting; β and γ by their letters."""
    last = setting.rsplit(".", 1)[-1]
    return {"beta": "β", "gamma": "γ", "type": setting.rsplit(".", 2)[-2] if "." in setting else "type"}.get(
        last, last.replace("_", " ")
    )


def signed(value: float, digits: int = 2) -> str:
    """A correlation for people."""
    return f"{value:.{digits}f}".replace("-", MINUS) if math.isfinite(value) else "n/a"


def _boxes(selection: Selection, setting: str | None) -> Plate:
    """Box plots of the scores over the values of one hyperparameter."""
    models = selection.candidates
    if setting is None:
        order, values = list(range(len(models))), [group_name(selection, one.settings, one.group) for one in models]
    else:
        raw = [one.settings.get(setting) for one in models]
        order = sorted(range(len(models)), key=lambda place: _sort_key(raw[place]))
        values = [_value(one) for one in raw]
    kinds = list(dict.fromkeys(values[place] for place in order))[:MOST_VALUES]
    order = [place for place in order if values[place] in kinds]
    columns: dict[str, list[float]] = {
        title: [models[place].udr.get(kind, math.nan) for place in order] for kind, title in KINDS.items()
    }
    columns["informative latents"] = [float(models[place].active) for place in order]
    for name in score_names(selection)[:3]:
        columns[_title(name)] = [models[place].supervised.get(name, math.nan) for place in order]
    return box_plate([values[place] for place in order], columns, setting=plain_name(setting or "setting"))


def settings_order(selection: Selection) -> list[int]:
    """The candidates' positions in order of their settings, numbers by size, then of their seeds."""

    def key(place: int) -> tuple[Any, ...]:
        one = selection.candidates[place]
        return (*(_sort_key(one.settings.get(name)) for name in selection.varied), one.group, one.seed or 0, one.name)

    return sorted(range(len(selection.candidates)), key=key)


def _row(selection: Selection, place: int, one: Candidate, scores: Sequence[str]) -> dict[str, Any]:
    return {
        "place": place,
        "name": one.name,
        "settings": [_value(one.settings.get(name)) for name in selection.varied],
        "seed": "" if one.seed is None else str(one.seed),
        "lasso": signed(one.udr.get("lasso", math.nan), 3),
        "spearman": signed(one.udr.get("spearman", math.nan), 3),
        "active": f"{one.active}/{one.latents}",
        "excess": short(one.excess),
        "elbo": short(one.elbo),
        "scores": [signed(one.supervised.get(name, math.nan), 3) for name in scores],
        "chosen": selection.best is one,
        "barred": not one.eligible,
        "remark": "; ".join(one.obstacles),
    }


def _group_row(selection: Selection, group: Group) -> dict[str, Any]:
    low, high = group.quartiles
    return {
        "name": group_name(selection, group.settings, group.name),
        "seeds": len(group.members),
        "score": signed(group.score, 3),
        "quartiles": f"{signed(low, 3)} – {signed(high, 3)}" if math.isfinite(low) else "n/a",
        "active": f"{group.active:g}",
        "excess": short(group.excess),
        "chosen": selection.chosen is not None and selection.chosen in group.members,
        "remark": "; ".join(group.obstacles),
    }


def _correlation_row(row: Correlation) -> dict[str, Any]:
    names = {
        "udr.lasso": "UDR lasso",
        "udr.spearman": "UDR Spearman",
        "elbo": "ELBO",
        "excess": "excess reconstruction",
    }
    interval = f"{signed(row.interval[0])} … {signed(row.interval[1])}" if row.interval else ""
    return {
        "first": names.get(row.first, row.first),
        "second": _title(row.second),
        "value": signed(row.value),
        "interval": interval,
        "models": row.models,
    }


def _title(name: str) -> str:
    """A score's name in print, with its variant where that tells it from others."""
    meaning = meaning_of(name)
    variant = name.split(".")[1] if name.startswith("dci.") and name.count(".") else ""
    return f"{meaning.title} ({variant})" if variant else meaning.title


def _value(value: Any) -> str:
    if isinstance(value, float):
        return short(value)
    return "n/a" if value is None else str(value)


def _sort_key(value: Any) -> tuple[int, float, str]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (0, float(value), "")
    return (1, 0.0, str(value))
