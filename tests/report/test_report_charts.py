"""Charts are well-formed SVG, show the right places, and escape what they are told to print."""

from __future__ import annotations

import json
import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from percepts.core.results import MetricResult
from percepts.report.curves import MOST_POINTS, Line, line_chart, smoothed, trajectory
from percepts.report.diagrams import geometry_plot, usage_bars
from percepts.report.scores import headline_scores, score_table
from percepts.report.svg import Axis, Frame, limits, nats, path, round_numbers, short
from percepts.report.traversal import Latents
from percepts.report.tuning import Lattice

HOSTILE = '</svg><script>alert("x")</script>&\'"'
LATENTS = Latents([0.001, 2.0, 1.0], [1.0, 0.02, 0.05], [0.0, 0.9, 0.9], [False, True, True])


def parsed(svg: str) -> ElementTree.Element:
    root = ElementTree.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    return root


def test_charts_are_well_formed_and_escape_their_words() -> None:
    lines = [Line(HOSTILE, [1, 2, 3], [1.0, math.nan, 2.0], "s0", (0.1, 0.1, 0.1), True)]
    lattice = Lattice((2, 0), np.random.default_rng(0).normal(size=(3, 4, 2)), np.zeros((3, 4, 2)))
    for svg in (
        line_chart(lines, label=HOSTILE, x_label=HOSTILE, y_label=HOSTILE, points=True, key="k"),
        trajectory([3, 2, 1.5, 1], [1, 2, 3, 4], [1, 2, 3, 4], label=HOSTILE, x_label=HOSTILE, y_label="y"),
        usage_bars(LATENTS, {0: "off", 1: "s0", 2: "s1"}),
        geometry_plot(lattice, [HOSTILE, "y"]),
    ):
        assert len(parsed(svg)) > 3
        assert "<script" not in svg
    assert parsed(line_chart(lines, label=HOSTILE)).get("aria-label") == HOSTILE


def test_a_chart_without_numbers_says_so() -> None:
    root = parsed(line_chart([Line("a", [1, 2], [math.nan, math.nan])], label="nothing"))
    assert "no data yet" in "".join(root.itertext())


def test_a_line_breaks_where_numbers_are_missing() -> None:
    frame = Frame(100, 100, Axis(0, 10, 0, 100), Axis(0, 10, 100, 0))
    drawn = path([(0, 0), (1, 10), (2, math.nan), (5, 5)], "line", frame)
    assert parsed_path(drawn) == "M0 100L10 0M50 50"


def parsed_path(svg: str) -> str:
    found = re.search(r' d="([^"]*)"', svg)
    assert found is not None
    return found[1]


def test_charts_carry_their_numbers_for_reading_off() -> None:
    svg = line_chart([Line("kl", [10, 20], [1.23456789, math.inf])], label="KL")
    plot = json.loads(parsed(svg).get("data-plot", ""))
    assert plot["lines"] == [{"name": "kl", "classes": "s0", "x": [10, 20], "y": [1.2346, None]}]
    assert plot["x"][:2] == [0, 20], "steps are counted from 0"


def test_long_lines_are_thinned_by_means_and_keep_their_end() -> None:
    x = list(range(10_000))
    plot = json.loads(parsed(line_chart([Line("a", x, [value % 2 for value in x])], label="a")).get("data-plot", ""))
    y = plot["lines"][0]["y"]
    assert len(y) <= MOST_POINTS + 1
    assert y[-1] == 1
    assert np.abs(np.array(y[:-1]) - 0.5).max() < 0.05


def test_a_wild_beginning_does_not_set_the_scale() -> None:
    line = Line("loss", list(range(100)), [1e6] + [2.0 - number / 100 for number in range(99)])
    plot = json.loads(parsed(line_chart([line], label="loss", settled=0.05)).get("data-plot", ""))
    assert plot["y"][1] < 3


def test_smoothing_keeps_the_raw_line_and_the_mean() -> None:
    noise = [float(number % 2) for number in range(120)]
    raw, mean = smoothed("loss", list(range(120)), noise)
    assert list(raw.y) == noise
    assert max(abs(value - 0.5) for value in mean.y[5:-5]) < 0.2
    assert len(smoothed("loss", [1, 2], [3.0, 4.0])) == 1


def test_usage_bars_are_sorted_by_kl() -> None:
    root = parsed(usage_bars(LATENTS, {0: "off", 1: "s0", 2: "s1"}))
    tips = [node.get("data-tip", "")[:2] for node in root if node.get("data-tip")]
    assert tips == ["z1", "z2", "z0"]


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(0, 10, [0, 2, 4, 6, 8, 10]), (0.1, 0.32, [0.1, 0.15, 0.2, 0.25, 0.3]), (1, 1, [])]
)
def test_ticks_are_round_numbers(low: float, high: float, expected: list[float]) -> None:
    assert round_numbers(low, high) == pytest.approx(expected)


def test_limits_hold_what_they_must() -> None:
    assert limits([]) == (0, 1)
    assert limits([2.0, math.nan, 4.0], include=(0.0,))[0] == 0
    low, high = limits([5.0, 5.0])
    assert low < 5 < high


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "n/a"), (math.nan, "n/a"), (math.inf, "∞"), (-math.inf, "−∞"), (-1.5, "−1.5"), (0.00035, "0.00035"),
        (2.5e-7, "2.5e−7"), (12345.0, "12.3k"), (2.5e6, "2.5M"), (1234.5, "1234"), (0.0, "0"),
    ],
)  # fmt: skip
def test_numbers_for_people(value: float | None, expected: str) -> None:
    assert short(value) == expected


def test_nats_line_up() -> None:
    assert [nats(value) for value in (0.0, 0.001, 2.0, 12.345)] == ["0.00", "<0.01", "2.00", "12.35"]


def metrics(*results: MetricResult) -> dict[str, object]:
    return {result.name: result.to_json() for result in results}


def test_scores_come_with_meaning_bar_and_interval() -> None:
    rows = score_table(
        metrics(
            MetricResult(name="active_units.kl", value=4.0),
            MetricResult(name="mig.dlib", value=0.25, interval=(0.2, 0.3)),
        )
    )
    assert [row.name for row in rows] == ["mig.dlib", "active_units.kl"]
    assert (rows[0].value, rows[0].interval, rows[0].share) == ("0.250", "0.200 – 0.300", 25)
    assert rows[0].whisker == pytest.approx((20, 10))
    assert rows[0].sentence
    assert (rows[1].value, rows[1].share) == ("4", None)


def test_a_missing_score_is_not_available() -> None:
    (row,) = score_table(metrics(MetricResult(name="mig.dlib", value=math.nan, interval=(math.nan, 1.0))))
    assert (row.value, row.interval, row.share, row.whisker) == ("n/a", "n/a – 1.000", None, None)


def test_dci_has_three_rows_and_unknown_metrics_their_own_name() -> None:
    details = {"completeness": 0.4, "informativeness": 0.9}
    rows = score_table(
        metrics(MetricResult(name="dci.gbt", value=0.5, details=details), MetricResult(name="new.one", value=7.0))
    )
    titles = [row.title for row in rows]
    assert titles == ["DCI disentanglement", "DCI completeness", "DCI informativeness", "new.one"]


def test_the_headline_names_each_score_once() -> None:
    both = metrics(
        MetricResult(name="sap.dlib", value=0.1), MetricResult(name="sap.continuous", value=0.2),
        MetricResult(name="mig.dlib", value=0.3),
    )  # fmt: skip
    assert [title for title, _, _ in headline_scores(both)] == ["Mutual information gap", "SAP"]
