"""How the code answers to the true factors: information, position maps, geometry, tuning curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from percepts.core.capabilities import Encodes
from percepts.data.dataset import FactorDataset
from percepts.metrics.geometry import affine_geometry
from percepts.report.curves import Line, line_chart
from percepts.report.diagrams import geometry_plot
from percepts.report.images import diverging, picture
from percepts.report.material import Material
from percepts.report.sections.section import Chart, Section
from percepts.report.svg import short
from percepts.report.tuning import TuningCurve, lattice, position_factors, position_maps, selective, tuning_curve

MATRICES = {
    "mutual_information": ("Mutual information", "nats"),
    "importance": ("Importance", "shares"),
}
"""Matrices among a metric's details that are worth a table: codes are rows, factors are columns."""
MOST_CURVES = 8


def factors(material: Material) -> Section | None:
    """Everything that takes knowledge of the true factors."""
    dataset, latents = material.factors, material.latents
    if dataset is None or latents is None or not isinstance(material.model, Encodes):
        return None
    columns = position_factors(dataset)
    content: dict[str, Any] = {
        "matrices": matrices(material, dataset),
        "maps": [],
        "charts": tuning_charts(material, dataset, columns),
        "geometry": None,
    }
    if columns is not None:
        found = position_maps(material.model, dataset, columns, material.generator("position maps"))
        content["maps"] = [
            {
                "latent": latent,
                "classes": material.classes[latent],
                "picture": picture(diverging(found[latent], 3.0), f"Mean of latent {latent} by object position"),
            }
            for latent in latents.order
            if latents.active[latent]
        ]
        content["axes"] = [dataset.factor_names[column] for column in columns]
        content["geometry"] = geometry(material, dataset, columns)
    return Section("factors", "Latents and true factors", content)


def matrices(material: Material, dataset: FactorDataset) -> list[dict[str, Any]]:
    """The evaluated codes × factors matrices as tables, one of each kind, rows in order of KL."""
    assert material.latents is not None
    shape = (len(material.latents), len(dataset.factor_names))
    tables: dict[str, dict[str, Any]] = {}
    for metric in sorted(material.metrics):
        details = material.metrics[metric].get("details") or {}
        for kind in MATRICES.keys() & details.keys() - tables.keys():
            matrix = np.array(details[kind], np.float64) if _is_matrix(details[kind], shape) else None
            if matrix is not None and np.isfinite(matrix).all() and matrix.max() > 0:
                tables[kind] = _table(material, dataset, metric, kind, matrix)
    return [tables[kind] for kind in MATRICES if kind in tables]


def geometry(material: Material, dataset: FactorDataset, columns: tuple[int, int]) -> Chart | None:
    """The lattice of positions in the plane of the two latents that answer most to it."""
    found = lattice(material.model, dataset, columns)
    if found is None:
        return None
    names = [dataset.factor_names[column] for column in columns]
    caption = (
        f"Left, positions of one object; right, their posterior means in the two latents that move most, "
        f"z{found.latents[0]} and z{found.latents[1]}. An upright, even grid is a clean code."
    )
    if np.ptp(found.codes, axis=(0, 1)).min() > 1e-6:
        x, y, _ = found.codes.shape
        fit = affine_geometry(found.codes.reshape(-1, 2), found.factors.reshape(-1, 2), (x, y))
        caption += (
            f" Affine R² {short(fit.value)}, axes turned by {fit.details['axis_angle']:.0f}°, "
            f"{fit.details['fold_count']} of {fit.details['cells']} cells folded."
        )
    return Chart("Geometry of positions", geometry_plot(found, names), caption)


def tuning_charts(material: Material, dataset: FactorDataset, positions: tuple[int, int] | None) -> list[Chart]:
    """A tuning curve for every factor but the positions, which have maps."""
    charts: list[Chart] = []
    for column, size in enumerate(dataset.factor_sizes):
        if size > 1 and column not in (positions or ()) and len(charts) < MOST_CURVES:
            curve = tuning_curve(material.model, dataset, column, material.generator(f"tuning {column}"))
            charts.append(_tuning_chart(material, curve, f"tuning-{column}"))
    return charts


def _tuning_chart(material: Material, curve: TuningCurve, key: str) -> Chart:
    assert material.latents is not None
    named = selective(curve, material.latents.used)[:4]
    lines = [
        Line(
            f"z{latent}",
            curve.values.tolist(),
            curve.mean[:, latent].tolist(),
            material.classes[latent] if latent in named else "off",
            curve.deviation[:, latent].tolist() if latent in named[:2] else (),
            latent in named,
        )
        for latent in reversed(material.latents.used)
    ]
    few = len(curve.values) <= 8
    answer = ", ".join(f"z{latent}" for latent in named) or "no latent"
    return Chart(
        f"Tuning to {curve.factor}",
        line_chart(
            lines,
            label=f"Mean of each active latent over {curve.factor}; {answer} move most",
            x_label=curve.factor,
            y_label="posterior mean",
            include=(-1.0, 1.0),
            points=len(curve.values) <= 12,
            x_ticks={float(value): short(float(value)) for value in curve.values} if few else None,
            key=key,
        ),
    )


def _table(material: Material, dataset: FactorDataset, metric: str, kind: str, matrix: np.ndarray) -> dict[str, Any]:
    assert material.latents is not None
    title, unit = MATRICES[kind]
    top = float(matrix.max())
    # A dead latent's tiny movements are binned like any other's and may look informative: it is never the best.
    used = material.latents.used or material.latents.order
    best = [used[row] for row in matrix[used].argmax(axis=0)]
    rows = [
        {
            "name": f"z{latent}",
            "classes": material.classes[latent],
            "active": material.latents.active[latent],
            "cells": [
                {"text": f"{value:.2f}", "share": round(100 * max(value, 0) / top), "best": best[column] == latent}
                for column, value in enumerate(matrix[latent])
            ],
        }
        for latent in material.latents.order
    ]
    return {"title": title, "unit": unit, "metric": metric, "columns": dataset.factor_names, "rows": rows}


def _is_matrix(value: Any, shape: Sequence[int]) -> bool:
    return (
        isinstance(value, list)
        and len(value) == shape[0]
        and all(isinstance(row, list) and len(row) == shape[1] and None not in row for row in value)
    )
