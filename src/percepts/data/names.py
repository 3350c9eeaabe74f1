"""Datasets by name, of this room and of others: `SmallScenes` is "small-scenes"; so are functions that return
configurations."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, dataclass, fields
from types import ModuleType
from typing import Any, get_type_hints

import percepts.data
from percepts.core.config import Config
from percepts.core.errors import DataError, nearest
from percepts.data.dataset import ImageDataset


@dataclass(frozen=True)
class NamedDataset:
    """A dataset that can be asked for by name.

    Attributes:
        name: of words with hyphens.
        make: gives its configuration; takes the settings that are `needed`.
        summary: the first line of its description.
        needed: the settings without a default, such as the path of a file.
        open: whether `make` is a function that takes any setting of what it gives, so that its signature names none.
    """

    name: str
    make: Callable[..., Config]
    summary: str
    needed: tuple[str, ...]
    open: bool = False


def dataset_names(further: Sequence[str] = ()) -> dict[str, NamedDataset]:
    """All datasets of this room and all presets of them, by name, sorted; not those that change another dataset.

    Args:
        further: modules of other rooms with datasets, which this room does not know.
    """
    found: dict[str, NamedDataset] = {}
    own = [f"percepts.data.{information.name}" for information in pkgutil.iter_modules(percepts.data.__path__)]
    for name in (*own, *further):
        module = importlib.import_module(name)
        found |= {one.name: one for one in _in_module(module) if not {"dataset", "config"} & set(one.needed)}
    return dict(sorted(found.items()))


def find_dataset(name: str, further: Sequence[str] = ()) -> NamedDataset:
    """The dataset called `name`, of this room or of the modules `further`.

    Raises:
        DataError: there is none; naming the nearest.
    """
    known = dataset_names(further)
    if name not in known:
        close = nearest(name, known)
        hint = f", did you mean '{close}'?" if close else ""
        raise DataError(f"there is no dataset called '{name}'{hint}", fix="percepts data list")
    return known[name]


def kebab(name: str) -> str:
    """A class's or function's name as words with hyphens: "MultiDSprites" as "multi-dsprites", "CelebA" as "celeba"."""
    name = name.replace("DSprites", "Dsprites")
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z]{2})", "_", name)
    return name.lower().replace("_", "-")


def _in_module(module: ModuleType) -> Iterator[NamedDataset]:
    for name, value in vars(module).items():
        if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isclass(value) and issubclass(value, ImageDataset) and not inspect.isabstract(value):
            config = value.__dict__.get("Config")
            if config is not None:
                yield NamedDataset(kebab(name), config, _summary(value), _required(config))
        elif inspect.isfunction(value) and _gives_dataset(value):
            parameters = inspect.signature(value).parameters.values()
            free = {one.name for one in parameters if one.kind in (one.VAR_KEYWORD, one.VAR_POSITIONAL)}
            needed = tuple(one.name for one in parameters if one.default is one.empty and one.name not in free)
            yield NamedDataset(kebab(name), value, _summary(value), needed, bool(free) and not needed)


def _gives_dataset(function: Callable[..., Any]) -> bool:
    """Whether a function says that it returns the configuration of a dataset."""
    try:
        given = get_type_hints(function).get("return")
    except (NameError, TypeError):
        return False
    if not (inspect.isclass(given) and issubclass(given, Config)):
        return False
    return inspect.isclass(given.owner) and issubclass(given.owner, ImageDataset)


def _required(config: type[Config]) -> tuple[str, ...]:
    return tuple(one.name for one in fields(config) if one.default is MISSING and one.default_factory is MISSING)


def _summary(value: Any) -> str:
    return (inspect.getdoc(value) or "").split("\n\n")[0].replace("\n", " ").split(". ")[0].rstrip(".")
