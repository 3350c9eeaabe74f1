"""The page in a real browser: no complaints, whole pictures, no overflow, and sliders that move pictures."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, browser, found
from report_fakes import CentreOfMass, Dots, OnlyLosses, make_evaluation, make_run

from percepts.report import write_report

MISSING = [name for name, path in zip(("chromium", "chromedriver"), found()) if path is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"no {' and no '.join(MISSING)} on this machine")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = make_run(tmp_path_factory.mktemp("browser") / "dots", status="finished", note="w" * 300, commit="c" * 80)
    return write_report(run, CentreOfMass(), Dots.Config().build(), make_evaluation())


@pytest.fixture(scope="module")
def session() -> Iterator[Browser]:
    with browser() as one:
        yield one


@pytest.fixture
def opened(session: Browser, page: Path) -> Browser:
    session.size(1400, 900)
    session.prefer(prefers_color_scheme="light", prefers_reduced_motion="no-preference")
    session.console()
    session.open(page)
    return session


PICTURE = "return document.querySelector('.latent canvas').toDataURL()"
SLIDE = """
const slider = document.querySelector('.latent input');
slider.value = arguments[0];
slider.dispatchEvent(new Event('input', {bubbles: true}));
"""


def test_the_page_loads_without_complaints_and_with_whole_pictures(opened: Browser) -> None:
    widths = opened.run("return [...document.images].map((image) => image.complete ? image.naturalWidth : 0)")
    assert len(widths) > 60
    assert min(widths) > 0
    assert opened.console() == []
    requests = opened.run(
        "return performance.getEntriesByType('resource').filter((e) => !e.name.startsWith('data:')).length"
    )
    assert requests == 0


@pytest.mark.parametrize("width", [400, 768, 1200, 1400, 1600])
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


def test_a_slider_moves_its_picture(opened: Browser) -> None:
    seen = []
    for value in (-1.5, 0, 0.25, 1.5):
        opened.run(SLIDE, value)
        seen.append(opened.run(PICTURE))
    assert len(set(seen)) == 4
    opened.run(SLIDE, -1.5)
    assert opened.run(PICTURE) == seen[0]


def test_a_sliders_picture_is_the_frame_of_the_strip(opened: Browser) -> None:
    opened.run(SLIDE, -1)
    same = opened.run(
        """
        const row = document.querySelector('.latent'), canvas = row.querySelector('canvas');
        const strip = row.querySelector('.strip'), other = document.createElement('canvas');
        other.width = canvas.width; other.height = canvas.height;
        const step = (strip.naturalWidth + Math.max(1, Math.floor(canvas.width / 16))) / 13;
        other.getContext('2d').drawImage(strip, -4 * step, 0);
        return canvas.toDataURL() === other.toDataURL();
        """
    )
    assert same is True


def test_it_plays_by_itself_pauses_and_respects_reduced_motion(opened: Browser, page: Path) -> None:
    moves = """
        const frames = new Set(), canvas = document.querySelector('.latent canvas');
        canvas.scrollIntoView();
        return new Promise((done) => {
            const clock = setInterval(() => frames.add(canvas.dataset.frame), 20);
            setTimeout(() => { clearInterval(clock); done(frames.size); }, 900);
        });
    """
    assert opened.run(moves) > 1
    opened.run("document.getElementById('play').click()")
    assert opened.run("return document.getElementById('play').textContent") == "Play"
    assert opened.run(moves) == 1
    opened.prefer(prefers_reduced_motion="reduce")
    opened.open(page)
    assert opened.run(moves) == 1


def test_charts_are_read_with_the_keyboard(opened: Browser) -> None:
    words = opened.run(
        """
        const chart = document.querySelector('#training svg.chart');
        chart.focus();
        const right = () => new KeyboardEvent('keydown', {key: 'ArrowRight', bubbles: true});
        for (let i = 0; i < 8; i++) chart.dispatchEvent(right());
        return document.getElementById('tip').innerText;
        """
    )
    assert "step" in words
    assert "z1" in words
    assert opened.console() == []


def test_dark_and_light_are_both_readable(opened: Browser) -> None:
    colours = """
        const style = getComputedStyle(document.body);
        return [style.color, style.backgroundColor].map((colour) => colour.match(/\\d+/g).map(Number));
    """
    for theme, darker in (("light", 0), ("dark", 1)):
        opened.prefer(prefers_color_scheme=theme)
        pair = [sum(channels[:3]) for channels in opened.run(colours)]
        assert pair[darker] < 150
        assert pair[1 - darker] > 600


def test_differences_are_shown_on_request(opened: Browser) -> None:
    visible = "return getComputedStyle(document.querySelector('.pair .error')).display"
    assert opened.run(visible) == "none"
    opened.run("document.getElementById('errors').click()")
    assert opened.run(visible) == "block"


def test_a_sparse_page_loads_too(session: Browser, tmp_path: Path) -> None:
    path = write_report(make_run(tmp_path / "plain", lines=1), OnlyLosses(), Dots.Config().build(), None)
    session.console()
    session.open(path)
    session.size(400, 900)
    assert session.run("return document.documentElement.scrollWidth") <= 400
    assert session.console() == []
    shutil.rmtree(tmp_path / "plain")
