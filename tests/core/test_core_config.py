"""Configurations: building, JSON round trips, and errors that name the nearest key."""

from __future__ import annotations

import dataclasses
import json
import pickle
from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from percepts.core.config import Config, Configurable, digest, flatten, from_json, one_of, registered, to_json
from percepts.core.errors import ConfigError


class Inner(Configurable):
    @dataclass(frozen=True, kw_only=True)
    class Config(Config):
        width: int = 3

    def __init__(self, config: Config, scale: float = 1.0) -> None:
        self.config = config
        self.area = config.width * scale


class Other(Configurable):
    @dataclass(frozen=True, kw_only=True)
    class Config(Config):
        depth: int = 1

    def __init__(self, config: Config) -> None:
        self.config = config


@dataclass(frozen=True, kw_only=True)
class Outer(Config):
    inner: Inner.Config | Other.Config = field(default_factory=Inner.Config)
    anything: Config = field(default_factory=Inner.Config)
    rate: float = 0.5
    count: int | None = None
    flag: bool = False
    kind: Literal["abs", "square"] = "abs"
    sizes: tuple[int, ...] = (1, 2)
    pair: tuple[float, str] = (1.0, "a")
    table: dict[str, Inner.Config] = field(default_factory=dict)


@given(
    rate=st.floats(allow_nan=False, allow_infinity=False),
    count=st.none() | st.integers(),
    flag=st.booleans(),
    sizes=st.lists(st.integers()).map(tuple),
    text=st.text(),
    width=st.integers(),
    other=st.booleans(),
)
def test_json_round_trip(rate, count, flag, sizes, text, width, other):
    inner = Other.Config(depth=width) if other else Inner.Config(width=width)
    config = Outer(
        inner=inner,
        anything=inner,
        rate=rate,
        count=count,
        flag=flag,
        sizes=sizes,
        pair=(rate, text),
        table={text: Inner.Config()},
    )
    again = from_json(json.loads(json.dumps(to_json(config))))
    assert again == config
    assert digest(again) == digest(config)


def test_a_config_builds_its_owner_with_context():
    built = Inner.Config(width=4).build(scale=2.0)
    assert isinstance(built, Inner)
    assert built.area == 8
    assert to_json(built.config)["type"] == "Inner"


def test_plain_settings_build_nothing():
    with pytest.raises(ConfigError, match="Outer is a plain group of settings"):
        Outer().build()


def test_unknown_key_names_the_nearest():
    data = to_json(Outer())
    data["inner"]["widht"] = 4
    with pytest.raises(ConfigError, match=r"unknown key 'config\.inner\.widht', did you mean 'width'"):
        from_json(data)


def test_unknown_type_names_the_nearest():
    with pytest.raises(ConfigError, match="unknown type 'Iner', did you mean 'Inner'"):
        registered("Iner")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rate", "fast"),
        ("count", 1.5),
        ("flag", 1),
        ("count", True),
        ("kind", "sqare"),
        ("sizes", 3),
        ("pair", [1.0]),
        ("inner", {"type": "Outer"}),
        ("anything", 7),
        ("table", [1]),
    ],
)
def test_wrong_values_are_refused_by_name(key, value):
    data = to_json(Outer())
    data[key] = value
    with pytest.raises(ConfigError, match=rf"config\.{key}"):
        from_json(data)


def test_an_integer_is_a_float_but_not_the_reverse():
    assert from_json({**to_json(Outer()), "rate": 2}).rate == 2.0


def test_equal_configs_have_equal_digests_and_others_do_not():
    assert digest(Outer()) == digest(Outer())
    assert digest(Outer()) != digest(Outer(rate=0.25))


def test_flatten_gives_dotted_leaves():
    leaves = dict(flatten(Outer(table={"a": Inner.Config(width=9)})))
    assert leaves["inner.width"] == 3
    assert leaves["table.a.width"] == 9
    assert leaves["sizes"] == [1, 2]


def test_a_config_is_frozen():
    with pytest.raises(AttributeError):
        Outer().rate = 1.0  # type: ignore[misc]


def test_values_that_json_cannot_hold_are_refused():
    with pytest.raises(ConfigError, match="a set"):
        to_json(Outer(sizes={1}))  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class Chosen(Config):
    kind: Literal["abs", "square"] = "abs"
    size: Literal["auto", 1, 3] | None = None
    ratio: float = 1.0

    def __post_init__(self) -> None:
        if self.ratio < 0:
            raise ConfigError(f"ratio = {self.ratio}")


@dataclass(frozen=True, kw_only=True)
class Forgetful(Chosen):
    """Its own check does not call its parent's."""

    shape: Literal["round", "flat"] = "round"

    def __post_init__(self) -> None:
        if self.ratio > 9:
            raise ConfigError(f"ratio = {self.ratio}")


@pytest.mark.parametrize("cls", [Outer, Chosen, Forgetful])
def test_a_choice_is_checked_however_a_config_is_made(cls):
    wrong = r"\.kind = 'Sqare', did you mean 'square'\?; expected one of 'abs', 'square'"
    with pytest.raises(ConfigError, match=cls.__name__ + wrong):
        cls(kind="Sqare")
    with pytest.raises(ConfigError, match=cls.__name__ + wrong):
        dataclasses.replace(cls(kind="square"), kind="Sqare")
    assert pickle.loads(pickle.dumps(cls(kind="square"))).kind == "square"


def test_choices_of_a_child_of_a_union_and_of_numbers():
    with pytest.raises(ConfigError, match=r"Forgetful\.shape = 'squashed'"):
        Forgetful(shape="squashed")
    with pytest.raises(ConfigError, match=r"Chosen\.size = 2; expected 'auto' or 1 or 3 or None"):
        Chosen(size=2)
    for wrong in (True, 1.0, "1"):
        with pytest.raises(ConfigError, match=r"Chosen\.size"):
            Chosen(size=wrong)
    assert [Chosen(size=size).size for size in ("auto", 1, 3, None)] == ["auto", 1, 3, None]
    assert one_of(3, Literal[1, 3], "size") == 3


def test_a_class_still_makes_its_own_checks():
    with pytest.raises(ConfigError, match="ratio = -1"):
        Chosen(ratio=-1.0)
    with pytest.raises(ConfigError, match="ratio = 10"):
        Forgetful(ratio=10.0)
