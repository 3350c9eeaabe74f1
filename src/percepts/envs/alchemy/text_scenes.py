"""What the text form of Alchemy shows at a turn, as values, in words, and read back without loss.

    text = scene_text(scene)
    read_scene(text) == scene

Slots are numbered from 0 and never move; what is gone is listed as "none". The outcome of the last action is told in a
line of its own, that of a trial's last action too, which the symbolic observation hides.
"""

from __future__ import annotations

import functools
import itertools
import re
from dataclasses import dataclass
from typing import Any, Literal, get_args

from percepts.core.errors import DataError
from percepts.envs.alchemy.chemistry import POTION_COLOURS, STONE_FEATURES

Failure = Literal[
    "empty", "no action", "not understood", "no such stone", "no such potion", "no ending", "stone gone", "potion used"
]
"""Why a reply came to nothing."""
Coordinates = tuple[int, int, int]
GONE = "none"


@dataclass(frozen=True)
class Stone:
    """A stone as it is seen.

    Attributes:
        coordinates: colour, size and roundness: -1, 0 or 1.
        reward: what the cauldron pays for it now.
    """

    coordinates: Coordinates
    reward: float


@dataclass(frozen=True)
class Echo:
    """What came of the last action.

    Attributes:
        kind: what it was; "failed" is a reply that came to nothing.
        stone, potion: slots; -1 for none.
        colour: of the potion.
        after: the stone that was put into a potion, afterwards.
        changed: whether the potion changed it.
        paid: by the cauldron.
        failure: of a reply that came to nothing.
    """

    kind: Literal["dip", "bank", "end", "nothing", "failed"]
    stone: int = -1
    potion: int = -1
    colour: int = -1
    after: Stone | None = None
    changed: bool = False
    paid: float = 0.0
    failure: Failure | None = None


@dataclass(frozen=True)
class Scene:
    """What one turn shows.

    Attributes:
        trial, step: from 0.
        trials, steps: how many there are.
        score: of this trial so far.
        stones: by slot; None for one that is gone.
        potions: colours by slot; None for one that is used.
        echo: of the last action; None at the beginning.
        ended: score of the trial that has just ended, if one has.
        switched: whether the rules have just changed, and this is told.
        over: whether that was the last trial.
    """

    trial: int
    trials: int
    step: int
    steps: int
    score: float
    stones: tuple[Stone | None, ...]
    potions: tuple[int | None, ...]
    echo: Echo | None = None
    ended: float | None = None
    switched: bool = False
    over: bool = False


def scene_text(scene: Scene) -> str:
    """A scene in words."""
    lines = []
    if scene.echo is not None:
        lines.append("Last action: " + _echo_text(scene.echo))
    if scene.ended is not None:
        lines.append(f"The trial is over. Its score: {signed(scene.ended)}")
    if scene.switched:
        lines.append(_SWITCHED)
    if scene.over:
        lines.append(_OVER)
    elif scene.step == 0:
        lines.append("NEW GAME, NEW TRIAL" if scene.trial == 0 else "NEW TRIAL")
    lines.append(f"Trial {scene.trial + 1} of {scene.trials}, step {scene.step + 1} of {scene.steps}")
    lines.append("Stones:")
    lines += [f"{slot}: {GONE if stone is None else stone_text(stone)}" for slot, stone in enumerate(scene.stones)]
    lines.append("Potions:")
    lines += [f"{n}: {GONE if colour is None else POTION_COLOURS[colour]}" for n, colour in enumerate(scene.potions)]
    lines.append(f"Score of this trial: {signed(scene.score)}")
    return "\n".join(lines)


def read_scene(text: str) -> Scene:
    """The scene that a text shows; what stands before and after it, such as a summary, is passed over.

    Raises:
        DataError: the text shows none.
    """
    heads = list(_HEAD.finditer(text))
    if not heads:
        raise DataError("a text that shows no turn of Alchemy", "one of `TextAlchemy.texts`")
    head = heads[-1]
    rest = text[head.end() :].split("\n")
    try:
        middle, last = rest.index("Potions:"), next(n for n, line in enumerate(rest) if line.startswith(_SCORE))
        stones = tuple(_read_stone(line.partition(": ")[2]) for line in rest[rest.index("Stones:") + 1 : middle])
        potions = tuple(_COLOURS[line.partition(": ")[2]] for line in rest[middle + 1 : last])
        trial, trials, step, steps = map(int, head.groups())
        return Scene(
            trial - 1, trials, step - 1, steps, float(rest[last][len(_SCORE) :]), stones, potions,
            **_read_past(text[: head.start()]),
        )  # fmt: skip
    except (KeyError, StopIteration, ValueError) as error:
        raise DataError("a damaged turn of Alchemy", "one of `TextAlchemy.texts`, whole") from error


def stone_text(stone: Stone) -> str:
    """A stone in words: "blue large round with reward +15"."""
    return f"{_stone_names()[0][stone.coordinates]} with reward {signed(stone.reward)}"


def properties_text(coordinates: Coordinates) -> str:
    """What a stone looks like in words: "blue large round"."""
    return _stone_names()[0][coordinates]


def read_properties(text: str) -> Coordinates | None:
    """The coordinates of a stone by its words; None for words that are not these."""
    return _stone_names()[1].get(text)


def rounded(value: float) -> float:
    """A reward or score as the text can hold it: six digits."""
    return float(f"{value:.6g}")


def signed(value: float) -> str:
    """A reward or score in words."""
    return f"{value:+.6g}"


_OVER = "The game is over."
_SWITCHED = "The rules have changed: potions and stones may mean other things from now on."
_SCORE = "Score of this trial: "
_HEAD = re.compile(r"^Trial (\d+) of (\d+), step (\d+) of (\d+)$\n", re.MULTILINE)
_DIP = re.compile(r"stone (\d+) into potion (\d+) \((\w+)\)\. The stone (is now|is still) (.*)\.")
_BANK = re.compile(r"stone (\d+) into the cauldron\. It paid (.*)\.")
_FAILED = re.compile(r"none, for your reply came to nothing \((.*)\)\.")
_ENDED = re.compile(r"^The trial is over\. Its score: (.*)$", re.MULTILINE)
_COLOURS: dict[str, int | None] = {GONE: None, **{name: number for number, name in enumerate(POTION_COLOURS)}}


def _echo_text(echo: Echo) -> str:
    if echo.kind == "dip":
        assert echo.after is not None
        became = "is now" if echo.changed else "is still"
        where = f"stone {echo.stone} into potion {echo.potion} ({POTION_COLOURS[echo.colour]})"
        return f"{where}. The stone {became} {stone_text(echo.after)}."
    if echo.kind == "bank":
        return f"stone {echo.stone} into the cauldron. It paid {signed(echo.paid)}."
    if echo.kind == "failed":
        return f"none, for your reply came to nothing ({echo.failure})."
    return "the end of the trial." if echo.kind == "end" else "nothing."


def _read_past(text: str) -> dict[str, Any]:
    """What the lines before the scene's head say of it."""
    ended = _ENDED.findall(text)
    return {
        "echo": _read_echo(text.rpartition("Last action: ")[2].partition("\n")[0]) if "Last action: " in text else None,
        "ended": float(ended[-1]) if ended else None,
        "switched": _SWITCHED in text,
        "over": _OVER in text,
    }


def _read_echo(line: str) -> Echo:
    if found := _DIP.fullmatch(line):
        after, colour = _read_stone(found[5]), _COLOURS[found[3]]
        if after is None or colour is None:
            raise ValueError(line)
        return Echo("dip", int(found[1]), int(found[2]), colour, after, found[4] == "is now")
    if found := _BANK.fullmatch(line):
        return Echo("bank", int(found[1]), paid=float(found[2]))
    if found := _FAILED.fullmatch(line):
        known: dict[str, Failure] = {name: name for name in get_args(Failure)}
        return Echo("failed", failure=known[found[1]])
    if line == "the end of the trial.":
        return Echo("end")
    if line == "nothing.":
        return Echo("nothing")
    raise ValueError(line)


def _read_stone(text: str) -> Stone | None:
    if text == GONE:
        return None
    words, _, reward = text.partition(" with reward ")
    return Stone(_stone_names()[1][words], float(reward))


@functools.cache
def _stone_names() -> tuple[dict[Coordinates, str], dict[str, Coordinates]]:
    """Words by coordinates, and back."""
    names = {
        (a, b, c): " ".join(words[one + 1] for words, one in zip(STONE_FEATURES, (a, b, c)))
        for a, b, c in itertools.product((-1, 0, 1), repeat=3)
    }
    return names, {text: place for place, text in names.items()}
