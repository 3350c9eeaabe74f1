"""A player of text Alchemy that knows only what a short summary holds: what each colour of potion does, and the best
stone.

    notebook = Notebook().with_turn(before, after)
    notebook.text()                       # "red potion: makes stones blue …" and "best stone: blue large round …"
    Notebook.read(notebook.text())        # the same

At the beginning of every trial it reads its notebook and remembers nothing else of what was before, so what it reaches
shows what such a summary is good for. What was tried in vain, which bottlenecks cause, is known within a trial only.
Without rotation a potion acts on one visible property, so the facts are enough for tables without bottlenecks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from percepts.agents.explorers.dialogue import Answer
from percepts.core.errors import ConfigError, DataError
from percepts.core.random import numpy_generator
from percepts.envs.alchemy.chemistry import AXES, POTION_COLOURS, STONE_FEATURES
from percepts.envs.alchemy.text import TextAlchemy
from percepts.envs.alchemy.text_replies import action_text
from percepts.envs.alchemy.text_scenes import (
    Coordinates,
    Scene,
    Stone,
    properties_text,
    read_properties,
    read_scene,
    signed,
)

Effect = tuple[int, int]
"""A property and the side to which a potion moves it, -1 or 1."""
Vain = frozenset[tuple[Coordinates, int]]
"""Stones and properties along which they could not be moved."""


@dataclass(frozen=True)
class Notebook:
    """Facts.

    Attributes:
        effects: by colour of the potion; None where nothing was seen.
        best: the best stone seen; None before any.
    """

    effects: tuple[Effect | None, ...] = (None,) * len(POTION_COLOURS)
    best: Stone | None = None

    def text(self) -> str:
        """The notebook in words, a fact a line."""
        lines = [
            f"{name} potion: " + ("unknown" if effect is None else f"makes stones {_value(effect)}")
            for name, effect in zip(POTION_COLOURS, self.effects)
        ]
        best = self.best
        told = "unknown" if best is None else f"{properties_text(best.coordinates)} with reward {signed(best.reward)}"
        return "\n".join([*lines, f"best stone: {told}"])

    @classmethod
    def read(cls, text: str) -> Self:
        """What `text` wrote.

        Raises:
            DataError: it is something else.
        """
        facts = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
        try:
            effects = tuple(_effect(facts[f"{name} potion"]) for name in POTION_COLOURS)
            words, _, reward = facts["best stone"].partition(" with reward ")
            if words == "unknown":
                return cls(effects)
            coordinates = read_properties(words)
            if coordinates is None:
                raise ValueError(words)
            return cls(effects, Stone(coordinates, float(reward)))
        except (KeyError, ValueError) as error:
            raise DataError("a notebook that lacks facts", "what `Notebook.text` wrote") from error

    def with_stones(self, stones: Sequence[Stone | None]) -> Self:
        """After a look at stones. A stone that looks like the best one and pays otherwise takes its place: the rules
        must have changed, and the effects are forgotten."""
        found = self
        for stone in stones:
            if stone is None:
                continue
            best = found.best
            if best is not None and stone.coordinates == best.coordinates and stone.reward != best.reward:
                found = type(self)(best=stone)
            elif best is None or stone.reward > best.reward:
                found = replace(found, best=stone)
        return found

    def with_effect(self, colour: int, before: Coordinates, after: Coordinates) -> Self:
        """After a potion changed a stone; its opposite, by the pairs, does the opposite."""
        axis = next(place for place in range(AXES) if before[place] != after[place])
        effects = list(self.effects)
        effects[colour], effects[colour ^ 1] = (axis, after[axis]), (axis, -after[axis])
        for other, effect in enumerate(effects):
            if other not in (colour, colour ^ 1) and effect is not None and effect[0] == axis:
                effects[other] = None
        return replace(self, effects=tuple(effects))


@dataclass(frozen=True)
class Page:
    """What the player remembers of a game.

    Attributes:
        notes: the notebook in words, as it was when the trial began.
        notebook: the same, with what was seen since.
        scene: the last turn; None at the beginning.
        vain: what could not be moved in this trial.
    """

    notes: str = field(default_factory=lambda: Notebook().text())
    notebook: Notebook = Notebook()
    scene: Scene | None = None
    vain: Vain = frozenset()


class NotebookPlayer:
    """Plays by a notebook: makes stones like the best one with the potions that it knows, tries what it does not know
    on stones that it cannot improve, and puts what pays into the cauldron.

    Args:
        game: whose words and actions.
        seed: of the choices among potions that it does not know.

    Raises:
        ConfigError: a level with rotations, where a potion may change two properties.
    """

    def __init__(self, game: TextAlchemy, seed: int = 0) -> None:
        if game.table.level.rotation:
            raise ConfigError(
                f"a notebook for the level '{game.table.level.name}', which rotates", "one without rotation"
            )
        self.game, self.seed = game, seed

    def start(self, seeds: Sequence[int]) -> list[Page]:
        """See `dialogue.TextAgent`."""
        return [Page() for _ in seeds]

    def act(self, texts: Sequence[str | None], state: list[Page]) -> tuple[list[Answer], list[Page]]:
        """See `dialogue.TextAgent`.

        Raises:
            DataError: a text that shows no turn.
        """
        pages, answers = [], []
        for text, page in zip(texts, state):
            pages.append(page if text is None else _learned(page, read_scene(text)))
            answers.append(Answer("" if text is None else self._choice(pages[-1])))
        return answers, pages

    def _choice(self, page: Page) -> str:
        scene, table = page.scene, self.game.config.table
        assert scene is not None
        found = self._improvement(page, scene) or self._trial(page, scene)
        if found is None:
            paying = [slot for slot, stone in enumerate(scene.stones) if stone is not None and stone.reward > 0]
            if not paying:
                return action_text(table, 0)
            return action_text(table, 1 + table.end_trial + paying[0] * (table.potions + 1))
        slot, potion = found
        return action_text(table, 1 + table.end_trial + slot * (table.potions + 1) + 1 + potion)

    def _improvement(self, page: Page, scene: Scene) -> tuple[int, int] | None:
        """The stone with the shortest known way to a better one, and the first potion of that way."""
        if self._left(scene) <= 0 or page.notebook.best is None:
            return None
        ways = []
        for slot, stone in enumerate(scene.stones):
            if stone is None or stone.reward >= page.notebook.best.reward:
                continue
            way = _way(stone.coordinates, page.notebook.best.coordinates, page.notebook, scene.potions, page.vain)
            if way:
                ways.append((len(way), slot, way[0]))
        if not ways:
            return None
        _, slot, colour = min(ways)
        return slot, scene.potions.index(colour)

    def _trial(self, page: Page, scene: Scene) -> tuple[int, int] | None:
        """A stone that is worth least and a potion of a colour that is not known yet."""
        if self._left(scene) <= 0:
            return None
        effects = page.notebook.effects
        unknown = [slot for slot, colour in enumerate(scene.potions) if colour is not None and effects[colour] is None]
        best = page.notebook.best
        ready = [
            (stone.reward, slot)
            for slot, stone in enumerate(scene.stones)
            if stone is not None and (best is None or stone.reward < best.reward or best.reward <= 1)
        ]
        choices = [
            (slot, potion)
            for _, slot in sorted(ready)
            for potion in unknown
            if (_at(scene, slot), -1 - (scene.potions[potion] or 0)) not in page.vain
        ]
        if not choices:
            return None
        least = [choice for choice in choices if choice[0] == choices[0][0]]
        generator = numpy_generator(self.seed, "notebook", scene.trial, scene.step, repr(scene.stones))
        return least[int(generator.integers(len(least)))]

    def _left(self, scene: Scene) -> int:
        """Steps that are not needed to put stones into the cauldron."""
        return scene.steps - scene.step - sum(stone is not None for stone in scene.stones)


def _learned(page: Page, scene: Scene) -> Page:
    """The page after a look at a turn."""
    notebook, vain, old, echo = page.notebook, page.vain, page.scene, scene.echo
    if old is not None and echo is not None and echo.kind == "dip" and echo.after is not None:
        before, after = _at(old, echo.stone), echo.after.coordinates
        notebook = notebook.with_stones([echo.after])
        if before != after:
            notebook = notebook.with_effect(echo.colour, before, after)
        else:
            effect = notebook.effects[echo.colour]
            if effect is None:
                # Of a colour that is not known: not to be tried on such a stone again.
                vain |= {(before, -1 - echo.colour)}
            elif before[effect[0]] != effect[1]:
                vain |= {(before, effect[0]), (_moved(before, effect), effect[0])}
    if scene.step == 0:
        # All that outlives a trial is what the notebook says.
        notes = notebook.text()
        return Page(notes, Notebook.read(notes).with_stones(scene.stones), scene)
    return Page(page.notes, notebook.with_stones(scene.stones), scene, vain)


def _way(
    start: Coordinates, end: Coordinates, notebook: Notebook, potions: Sequence[int | None], vain: Vain
) -> list[int]:
    """Colours that lead from one stone to another by what is known and left, as few as possible; none if there are no
    such."""
    have = {colour: potions.count(colour) for colour in set(potions) if colour is not None}
    todo: deque[tuple[Coordinates, list[int]]] = deque([(start, [])])
    reached = {start}
    while todo:
        place, way = todo.popleft()
        if place == end:
            return way
        for colour, count in have.items():
            effect = notebook.effects[colour]
            if effect is None or place[effect[0]] == effect[1] or (place, effect[0]) in vain:
                continue
            following = _moved(place, effect)
            if following not in reached and way.count(colour) < count:
                reached.add(following)
                todo.append((following, [*way, colour]))
    return []


def _moved(place: Coordinates, effect: Effect) -> Coordinates:
    a, b, c = (effect[1] if axis == effect[0] else value for axis, value in enumerate(place))
    return a, b, c


def _at(scene: Scene, slot: int) -> Coordinates:
    stone = scene.stones[slot]
    return (0, 0, 0) if stone is None else stone.coordinates


def _value(effect: Effect) -> str:
    axis, side = effect
    return STONE_FEATURES[axis][side + 1]


def _effect(text: str) -> Effect | None:
    words = text.removeprefix("makes stones ")
    if words == "unknown":
        return None
    for axis, names in enumerate(STONE_FEATURES):
        if words in names:
            return axis, names.index(words) - 1
    raise ValueError(text)
