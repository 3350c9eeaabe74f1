"""The words of a sweep: which settings take which values, over which seeds.

read_grid(["model.beta=1,4", "lr=1e-3"])   {"model.beta": ["1", "4"], "lr": ["1e-3"]}
read_seeds("0-3,8")                        (0, 1, 2, 3, 8)
with_settings(experiment, {"model.beta": 4})
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from percepts.core.config import flatten, from_json, to_json
from percepts.core.errors import ConfigError, nearest
from percepts.training.experiment import Experiment

UNPREFIXED = ("training.optimizer.", "training.", "sampling.")
"""Groups whose settings have flags without the group's name (--lr, --steps, --batch-size)."""


def read_grid(words: Iterable[str]) -> dict[str, list[str]]:
    """The values, still as text, of every key of KEY=VALUE,VALUE… words.

    Raises:
        ConfigError: another form, no value, or a key given twice.
    """
    grid: dict[str, list[str]] = {}
    for word in words:
        key, equals, values = word.partition("=")
        if not key or not equals or not values:
            raise ConfigError(f"--grid {word}", "KEY=VALUE,VALUE…", "--grid model.beta=1,4,8")
        if key in grid:
            raise ConfigError(f"--grid has {key} twice", "all its values in one word")
        grid[key] = _split(values)
    return grid


def read_seeds(text: str) -> tuple[int, ...]:
    """The seeds of a list of numbers and ranges such as "0-3,8".

    Raises:
        ConfigError: another form, no seed, or a seed given twice.
    """
    seeds: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if last < first:
            raise ConfigError(f"--seeds {text!r}", "numbers and rising ranges", "--seeds 0-3,8")
        seeds.extend(range(first, last + 1))
    check_distinct("--seeds", seeds)
    return tuple(seeds)


def check_distinct(what: str, values: Sequence[Any]) -> None:
    """Refuse an empty list, and one that has a value twice.

    Raises:
        ConfigError: it is.
    """
    if not values:
        raise ConfigError(f"{what} has no value", "at least one")
    for place, value in enumerate(values):
        if value in values[:place]:
            raise ConfigError(f"{what} has {value} twice", "different values")


def setting_name(key: str, names: Sequence[str]) -> str:
    """The full dotted name of a setting from that name, its flag, or an ending that only one setting has.

    Raises:
        ConfigError: there is none (the nearest is named), or several.
    """
    found = matching(key, names)
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError(f"'{key}' names {len(found)} settings", "one of " + ", ".join(found))
    wanted = _plain(key)
    inside = [name for name in names if name.startswith(f"{wanted}.")]
    if inside:
        raise ConfigError(f"'{key}' is a group of settings", "one of " + ", ".join(inside[:8]))
    endings = {name.rpartition(".")[2]: name for name in reversed(names)}
    close = nearest(wanted, names) or endings.get(nearest(wanted.rpartition(".")[2], endings) or "")
    raise ConfigError(f"unknown setting '{key}'" + (f", did you mean '{close}'?" if close else ""))


def matching(key: str, names: Sequence[str]) -> list[str]:
    """The settings that `key` may mean: one of exactly that name or flag, or else all that end so."""
    wanted = _plain(key)
    for prefix in ("", *UNPREFIXED):
        if prefix + wanted in names:
            return [prefix + wanted]
    return [name for name in names if name.endswith(f".{wanted}")]


def setting_names(experiment: Experiment) -> list[str]:
    """The dotted names that a grid can vary: all settings but the seed and what kind of thing each part is."""
    names = (name for name, _ in flatten(experiment))
    return [name for name in names if name != "seed" and name.rpartition(".")[2] != "type"]


def with_setting(experiment: Experiment, name: str, text: str) -> tuple[Experiment, Any]:
    """The experiment with one setting read from text, and the value as JSON data.

    Raises:
        ConfigError: the setting does not take such a value.
    """
    try:
        value = json.loads(text)
    except ValueError:
        value = {"none": None, "true": True, "false": False}.get(text.lower(), text)
    try:
        changed = with_settings(experiment, {name: value})
    except ConfigError:
        if value == text:
            raise
        try:  # A setting of text may look like a number.
            changed = with_settings(experiment, {name: text})
        except ConfigError:
            changed = with_settings(experiment, {name: value})
    return changed, dict(flatten(changed))[name]


def with_settings(experiment: Experiment, settings: Mapping[str, Any]) -> Experiment:
    """The experiment with settings changed: JSON data by dotted name.

    Raises:
        ConfigError: no such setting, or one that does not take such a value.
    """
    data = to_json(experiment)
    for name, value in settings.items():
        *path, last = name.split(".")
        place = data
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    return from_json(data, Experiment, "experiment")


def differences(before: Experiment, after: Experiment) -> dict[str, Any]:
    """The settings of `after` that `before` has otherwise, as JSON data by dotted name."""
    old = dict(flatten(before))
    return {name: value for name, value in flatten(after) if name not in old or old[name] != value}


def _plain(key: str) -> str:
    return key.lstrip("-").replace("-", "_")


def _split(text: str) -> list[str]:
    """Split at the commas that are outside of brackets and quotes."""
    parts, depth, quoted = [""], 0, False
    for character in text:
        quoted ^= character == '"'
        depth += 0 if quoted else (character in "[{(") - (character in ")}]")
        if character == "," and not depth and not quoted:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]
