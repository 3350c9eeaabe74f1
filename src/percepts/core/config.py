"""Typed configuration: frozen dataclasses that build their class and round-trip through JSON.

    class Blob(Configurable):
        @dataclass(frozen=True, kw_only=True)
        class Config(Config):
            size: int = 3

        def __init__(self, config: Config) -> None: ...

    blob = Blob.Config(size=5).build()
    from_json(to_json(blob.config)) == blob.config

A default is written once, in the dataclass. In JSON every config carries its `type`, the name of the class that it
builds, so that a checkpoint can rebuild its model without a path to a class.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import json
import math
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, Union, get_args, get_origin

from percepts.core.errors import ConfigError, nearest

_registry: dict[str, type[Config]] = {}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The base of every configuration. Subclasses are frozen, keyword-only dataclasses.

    Raises:
        ConfigError: made with a value that is none of the choices of a `Literal` field.
    """

    owner: ClassVar[type | None] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        name = type_name(cls)
        if "type" in inspect.get_annotations(cls):
            raise ConfigError(f"{name} has a setting called 'type'", "another name: 'type' says in JSON what is built")
        known = _registry.get(name, cls)
        if (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ConfigError(
                f"{cls.__module__} defines {name}, which {known.__module__} defines already", "a name of its own"
            )
        _registry[name] = cls
        own = cls.__dict__.get("__post_init__")
        if own is not None:
            cls.__post_init__ = _after_choices(own)  # type: ignore[method-assign, assignment]

    def __post_init__(self) -> None:
        _check_choices(self)

    def build(self, **context: Any) -> Any:
        """Make the object that this config describes; `context` goes to its constructor.

        Raises:
            ConfigError: the config belongs to no class.
        """
        owner = type(self).owner
        if owner is None:
            raise ConfigError(f"{type_name(type(self))} is a plain group of settings and builds nothing")
        return owner(self, **context)


class Configurable:
    """Mixin of classes that are made by their nested `Config`."""

    config: Any

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        nested = cls.__dict__.get("Config")
        if nested is not None and issubclass(nested, Config):
            nested.owner = cls
            # Every nested class is called Config; the command line and error messages need to tell them apart.
            nested.__name__ = cls.__name__


def type_name(cls: type[Config]) -> str:
    """The name of a config in JSON: that of the class it builds, or its own."""
    parts = cls.__qualname__.replace("<locals>.", "").split(".")
    return parts[-2] if parts[-1] == "Config" and len(parts) > 1 else parts[-1]


def registered(name: Any) -> type[Config]:
    """The config class called `name` in JSON.

    Raises:
        ConfigError: no imported module defines it.
    """
    if not isinstance(name, str):
        raise ConfigError(f"type = {name!r}", "the name of a class")
    if name not in _registry:
        close = nearest(name, _registry)
        raise ConfigError(
            f"unknown type '{name}'" + (f", did you mean '{close}'?" if close else ""),
            fix="import the module that defines it before reading this configuration",
        )
    return _registry[name]


def to_json(value: Any) -> Any:
    """A config (or any value in one) as JSON data."""
    if isinstance(value, Config):
        fields = {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"type": type_name(type(value)), **fields}
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise ConfigError(
        f"a {type(value).__name__} ({value!r}) in a configuration", "numbers, strings, tuples, dicts, configs"
    )


def from_json(data: Any, expected: Any = Config, where: str = "config") -> Any:
    """The config described by JSON `data`, checked field by field against the types.

    Args:
        data: what `to_json` gave.
        expected: the config class or any annotation that the value must satisfy.
        where: the place to name in errors.

    Raises:
        ConfigError: an unknown key (naming the nearest known one), an unknown type or a value of the wrong type.
    """
    if isinstance(expected, type) and issubclass(expected, Config):
        return _read_config(data, expected, where)
    if expected is Any:
        return data
    origin, arguments = get_origin(expected), get_args(expected)
    if origin is typing.Annotated:
        return from_json(data, arguments[0], where)
    if origin in (Union, types.UnionType):
        return _read_union(data, arguments, where)
    if origin is Literal:
        return one_of(data, expected, where)
    if origin is tuple and isinstance(data, list | tuple):
        kinds = [arguments[0]] * len(data) if len(arguments) == 2 and arguments[1] is ... else arguments
        if len(kinds) == len(data):
            return tuple(from_json(item, kind, f"{where}[{i}]") for i, (item, kind) in enumerate(zip(data, kinds)))
    elif origin is list and isinstance(data, list):
        return [from_json(item, arguments[0], f"{where}[{i}]") for i, item in enumerate(data)]
    elif origin is dict and isinstance(data, dict):
        key_type = int if arguments[0] is int else str
        return {key_type(key): from_json(item, arguments[1], f"{where}.{key}") for key, item in data.items()}
    elif expected is float and isinstance(data, int | float) and not isinstance(data, bool):
        return float(data)
    elif expected is type(None) and data is None:
        return None
    elif isinstance(expected, type) and isinstance(data, expected) and isinstance(data, bool) == (expected is bool):
        return data
    name = expected.__name__ if isinstance(expected, type) and origin is None else str(expected)
    raise ConfigError(f"{where} = {data!r}", name)


def one_of(value: Any, choices: Any, where: str) -> Any:
    """`value`, which must be one of the `choices`, a `Literal`.

    Raises:
        ConfigError: it is not (1 is not True); naming the choices and the nearest of them.
    """
    known = get_args(choices)
    if any(value == choice and type(value) is type(choice) for choice in known):
        return value
    raise ConfigError(f"{where} = {value!r}{_hint(value, known)}", "one of " + ", ".join(map(repr, known)))


def digest(config: Config) -> str:
    """Twelve hexadecimal digits that name a configuration: equal configs, equal digests."""
    text = json.dumps(to_json(config), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of a config (or of its JSON) as (dotted name, value), in order; used to show differences."""
    for key, item in to_json(value).items():
        name = f"{prefix}.{key}" if prefix else key
        if isinstance(item, dict):
            yield from flatten(item, name)
        else:
            yield name, item


def _after_choices(own: Callable[[Any], None]) -> Callable[[Any], None]:
    """A class's own `__post_init__`, for which the choices have been checked whether or not it calls its parent's."""

    @functools.wraps(own)
    def checked(self: Config) -> None:
        _check_choices(self)
        own(self)

    return checked


def _check_choices(config: Config) -> None:
    for name, kind in _choices(type(config)).items():  # type: ignore[arg-type]  # mypy takes the class for an instance
        from_json(getattr(config, name), kind, f"{type_name(type(config))}.{name}")


@functools.cache
def _choices(cls: type[Config]) -> dict[str, Any]:
    """The fields of `cls` that are a `Literal`, or a union with one, and their types."""
    hints = typing.get_type_hints(cls)
    kinds = {field.name: hints[field.name] for field in dataclasses.fields(cls)}
    return {
        name: kind
        for name, kind in kinds.items()
        if get_origin(kind) is Literal or any(get_origin(member) is Literal for member in get_args(kind))
    }


def _read_config(data: Any, expected: type[Config], where: str) -> Config:
    if isinstance(data, expected):
        return data
    if not isinstance(data, dict):
        raise ConfigError(f"{where} = {data!r}", f"the settings of a {type_name(expected)}")
    name = data.get("type", type_name(expected))
    cls = expected if name == type_name(expected) else registered(name)
    if not issubclass(cls, expected):
        raise ConfigError(f"{where} has type '{name}'", f"a kind of {type_name(expected)}")
    known = {field.name for field in dataclasses.fields(cls)}
    for key in data:
        if key != "type" and key not in known:
            close = nearest(key, known)
            raise ConfigError(
                f"unknown key '{where}.{key}'" + (f", did you mean '{close}'?" if close else ""),
                "one of " + ", ".join(sorted(known)),
            )
    hints = typing.get_type_hints(cls)
    values = {key: from_json(data[key], hints[key], f"{where}.{key}") for key in data if key != "type"}
    missing = [
        field.name
        for field in dataclasses.fields(cls)
        if field.name not in values
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ConfigError(f"{where} lacks {', '.join(missing)}", f"every setting of {name} that has no default")
    return cls(**values)


def _read_union(data: Any, arguments: tuple[Any, ...], where: str) -> Any:
    """The first member that fits; a tagged config chooses its member by name, so that errors speak of that one."""
    if isinstance(data, dict) and "type" in data:
        configs = [kind for kind in arguments if isinstance(kind, type) and issubclass(kind, Config)]
        tagged = registered(data["type"])
        for kind in configs:
            if issubclass(tagged, kind):
                return _read_config(data, kind, where)
        raise ConfigError(
            f"{where} has type '{data['type']}'", "one of " + ", ".join(type_name(kind) for kind in configs)
        )
    # A number keeps its own type where both int and float are members.
    for kind in sorted(arguments, key=lambda kind: kind is not type(data)):
        try:
            return from_json(data, kind, where)
        except ConfigError:
            continue
    literals = [choice for kind in arguments if get_origin(kind) is Literal for choice in get_args(kind)]
    raise ConfigError(f"{where} = {data!r}{_hint(data, literals)}", " or ".join(map(_spelled, arguments)))


def _hint(value: Any, choices: Sequence[Any]) -> str:
    spelled = {str(choice).lower(): choice for choice in choices}
    close = nearest(str(value).lower(), spelled)
    return "" if close is None else f", did you mean {spelled[close]!r}?"


def _spelled(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(map(repr, get_args(kind)))
    return "None" if kind is type(None) else getattr(kind, "__name__", str(kind))
