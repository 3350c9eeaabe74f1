"""What an exploration costs that serves many tasks, and whether a pipeline knows sprites apart."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from percepts.agents.cobra.slot_models import ColourSegments
from percepts.agents.cobra.slots import JoinedFactors, OracleFactors
from percepts.report import cobra_figures
from percepts.report.cobra_figures import Cost, amortised_plate
from percepts.report.cobra_material import has_true_slots


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that plates are made of."""
    figures: list[Any] = []
    whole = cobra_figures.finish

    def finish(figure: Any, *words: str) -> Any:
        figures.append(figure)
        return whole(figure, *words)

    monkeypatch.setattr(cobra_figures, "finish", finish)
    return figures


def test_the_more_tasks_the_less_each_costs(drawn: list[Any]) -> None:
    plate = amortised_plate([Cost("shared", 1000, 50), Cost("alone", 0, 400, solved=False)], "costs", most=10)
    assert plate.alt == "Environment steps a task by number of tasks: shared, alone"
    (axes,) = drawn[0].axes
    lines = {line.get_label(): line for line in axes.get_lines()}
    tasks, steps = lines["shared"].get_data()
    assert list(tasks) == list(range(1, 11))
    assert list(steps) == pytest.approx([1000 / count + 50 for count in tasks])
    assert set(lines["alone: more than"].get_ydata()) == {400.0}
    assert lines["alone: more than"].get_linestyle() == ":"
    floors = [line.get_ydata()[0] for line in axes.get_lines() if line.get_linestyle() == "--"]
    assert floors == [50], "what is left when the exploration is paid for, only where there was one"


def test_nothing_to_draw_is_said() -> None:
    assert "nothing that it costs" in amortised_plate([], "costs").alt


@pytest.mark.parametrize(
    ("encoder", "apart"),
    [(OracleFactors.Config(), True), (JoinedFactors.Config(), False), (ColourSegments.Config(), False)],
)
def test_only_slots_that_are_sprites_are_drawn_as_sprites(encoder: Any, apart: bool) -> None:
    material: Any = SimpleNamespace(config=SimpleNamespace(encoder=encoder))
    assert has_true_slots(material) is apart
