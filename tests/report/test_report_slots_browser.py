"""The page of a slot model in a real browser: no complaints, whole pictures, nothing outside of the window."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, browser, found
from slot_fakes import ByColour, Squares, make_slot_evaluation, make_slot_run

from percepts.report import write_report

MISSING = [name for name, path in zip(("chromium", "chromedriver"), found()) if path is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"no {' and no '.join(MISSING)} on this machine")


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    run = make_slot_run(tmp_path_factory.mktemp("browser") / "squares", status="finished")
    page: Path = write_report(run, ByColour(), Squares.Config().build(), make_slot_evaluation())
    with browser() as one:
        one.size(1400, 900)
        one.open(page)
        yield one


def test_it_loads_without_complaints_and_with_whole_pictures(opened: Browser) -> None:
    widths = opened.run("return [...document.images].map((image) => image.complete ? image.naturalWidth : 0)")
    assert len(widths) > 100
    assert min(widths) > 0
    assert opened.console() == []


@pytest.mark.parametrize("width", [400, 768, 1200, 1600])
def test_nothing_overflows(opened: Browser, width: int) -> None:
    opened.size(width, 900)
    opened.run("document.querySelectorAll('details').forEach((one) => one.open = true)")
    assert opened.run("return document.documentElement.scrollWidth") <= width
    outside = opened.run(
        """
        const wide = (node) => node.closest('.wide, pre, .usage-table, .hidden, .skip, .contents, .between');
        return [...document.querySelectorAll('main *')]
            .filter((node) => !wide(node) && node.getBoundingClientRect().right > innerWidth + 1)
            .map((node) => node.tagName + '.' + node.className)
        """
    )
    assert outside == []


def test_present_slots_are_framed_in_their_colour_and_verdicts_lead_to_their_symptom(opened: Browser) -> None:
    framed = "document.querySelectorAll('.scene .part:not(.absent) .masked')"
    shadows = opened.run(f"return [...{framed}].map((one) => getComputedStyle(one).boxShadow)")
    assert shadows
    assert len(set(shadows)) >= 4
    assert "none" not in shadows
    links = "[...document.querySelectorAll('.verdicts a')]"
    dead = opened.run(f"return {links}.filter((one) => !document.getElementById(one.hash.slice(1))).length")
    assert dead == 0
