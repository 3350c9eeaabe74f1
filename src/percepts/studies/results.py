"""From a study's results to JSON, and from those files to RESULTS.md."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from percepts.core.results import plain
from percepts.core.runs import now, provenance

if TYPE_CHECKING:
    from percepts.studies.study import Claim, Results, RunResult, Scale, Study

SHOWN = (
    "ari_fg",
    "miou",
    "mse",
    "factor_vae.dlib",
    "mig.dlib",
    "dci.forest",
    "dci.gbt",
    "sap.dlib",
    "beta_vae.dlib",
    "excess",
    "active",
)
"""The scores in RESULTS.md's tables of arms; the JSON holds all."""


def summarise(study: Study, preset: str, results: Results, pictures: Sequence[str] = ()) -> dict[str, Any]:
    """The study's results as JSON data: claims, the scores of every run, and how they were made."""
    scale = study.presets[preset]
    runs = [_run(arm, run) for arm, run in results]
    summary = {
        "study": study.name,
        "title": study.title,
        "preset": preset,
        "seeds": list(scale.seeds),
        "claims": [_claim(claim, scale, results) for claim in scale.claims],
        "runs": runs,
        "across": results.across,
        "figures": list(pictures),
        "minutes": round(sum(run["minutes"] for run in runs) + results.across.get("minutes", 0), 1),
        "command": f"percepts reproduce {study.name} --preset {preset}",
        "date": now(),
        "provenance": _made_with(run.evaluation["provenance"] for _, run in results),
    }
    return dict(plain(summary))


def results_page(folder: Path) -> str:
    """RESULTS.md from all results in `folder`: for every study its claims, its figures, and its arms' scores."""
    parts = [
        "# Results\n\nWritten by `percepts reproduce`; not edited by hand. A row that misses its threshold says so; a "
        "row without a threshold is reported, not judged.\nThresholds are ours. The paper's figures carry how sure we "
        "are of them.\n"
    ]
    for file in sorted(folder.glob("*.json")):
        try:
            parts.append(_section(json.loads(file.read_text(encoding="utf-8"))))
        except (OSError, ValueError, KeyError, TypeError) as error:
            parts.append(f"## {file.stem}\n\n`{file.name}` cannot be read ({type(error).__name__}: {error}).\n")
    return "\n".join(parts)


def _claim(claim: Claim, scale: Scale, results: Results) -> dict[str, Any]:
    value = float(claim.measure(results))
    sign = "≤" if claim.at_most else "≥"
    return {
        "statement": claim.statement,
        "paper": claim.paper,
        "value": value,
        "wanted": "" if claim.threshold is None else f"{sign} {claim.threshold:g}",
        "holds": claim.holds(value),
        "seeds": list(claim.seeds or scale.seeds),
    }


def _run(arm: str, run: RunResult) -> dict[str, Any]:
    evaluation = run.evaluation
    scores = {name: metric["value"] for name, metric in evaluation["metrics"].items()}
    return {
        "arm": arm,
        "seed": run.seed,
        "run": run.run.path.name,
        "scores": {**scores, **run.extra},
        "reconstruction": evaluation.get("reconstruction", {}),
        "kl": evaluation.get("latents", {}).get("kl", []),
        "active": evaluation["slots"]["active"]
        if "slots" in evaluation
        else sum(evaluation.get("latents", {}).get("active", [])),
        "minutes": round(run.seconds / 60, 2),
    }


def _made_with(made: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """What the runs were measured with; more than one value where they differ. Without runs: this process."""
    runs = list(made) or [provenance()]
    return {
        key: ", ".join(sorted({str(run[key]) for run in runs}))
        for key in ("percepts", "commit", "python", "torch", "platform")
    }


def _section(results: Mapping[str, Any]) -> str:
    made = results["provenance"]
    lines = [f"## {results['title']} ({results['preset']})\n"]
    if results["claims"]:
        lines += ["| claim | paper | ours | seeds | threshold | |", "|---|---|---|---|---|---|"]
        lines += [_claim_row(row) for row in results["claims"]]
        lines.append("")
    lines += [f"![{Path(path).stem}]({path})" for path in results["figures"]] + [""]
    runs = results["runs"]
    lines += [_arm_table(runs)] if runs else []
    lines.append(
        f"\n`{results['command']}`, {f'{len(runs)} runs, ' if runs else ''}{results['minutes']} minutes of training on "
        f"one core each; percepts {made['percepts']} at {made['commit']}, torch {made['torch']}, "
        f"Python {made['python']}, {results['date'][:10]}.\n"
    )
    return "\n".join(lines)


def _claim_row(row: Mapping[str, Any]) -> str:
    verdict = {True: "pass", False: "**miss**", None: ""}[row["holds"]]
    value = "not a number" if row["value"] is None else f"{row['value']:.3f}"
    seeds = ", ".join(map(str, row["seeds"]))
    return f"| {row['statement']} | {row['paper']} | {value} | {seeds} | {row['wanted']} | {verdict} |"


def _arm_table(runs: Sequence[Mapping[str, Any]]) -> str:
    """Median and range of the shown scores of every arm."""
    found = [_scores(run) for run in runs]
    names = [name for name in SHOWN if any(scores.get(name) is not None for scores in found)]
    lines = ["| arm | seeds | " + " | ".join(names) + " | minutes |", "|---" * (len(names) + 3) + "|"]
    for arm in dict.fromkeys(run["arm"] for run in runs):
        chosen = [run for run in runs if run["arm"] == arm]
        cells = [_range([_scores(run).get(name) for run in chosen]) for name in names]
        seeds = ", ".join(str(run["seed"]) for run in chosen)
        minutes = sum(run["minutes"] for run in chosen)
        lines.append(f"| {arm} | {seeds} | " + " | ".join(cells) + f" | {minutes:.1f} |")
    return "\n".join(lines)


def _scores(run: Mapping[str, Any]) -> dict[str, float | None]:
    excess = run["reconstruction"].get("excess")
    mse = run["reconstruction"].get("mse") if "ari_fg" in run["scores"] else None
    return {**run["scores"], "excess": excess, "mse": mse, "active": run["active"]}


def _range(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return ""
    middle = f"{statistics.median(known):.3g}"
    return middle if len(known) == 1 else f"{middle} ({min(known):.3g}–{max(known):.3g})"
