"""The page of transcripts: everything is there, escaped, self-contained, and found by the search in a real browser."""

from __future__ import annotations

import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from browser import Browser, browser, found

from percepts.core.errors import DataError
from percepts.foundation.model import Completion, Message, Picture, Usage
from percepts.foundation.transcripts import begin_transcript
from percepts.report.transcripts import MOST_CHARACTERS, render_transcripts, write_transcripts

MISSING = [name for name, path in zip(("chromium", "chromedriver"), found()) if path is None]
EVIL = "<script>document.title = 'owned'</script><img src=x onerror=\"document.title = 'owned'\"> & </pre>"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(3):
        writer = begin_transcript(
            tmp_path / "deep" / f"{number}.jsonl", f"episode {number}", "You play.", {"seed": number, "sizes": [3, 5]}
        )
        for turn in range(4):
            answer = Completion(
                f"ACTION stone {number} potion {turn}", "small", Usage(1000, 20, number > 0), seconds=30.0
            )
            writer.turn([Message("user", f"state {turn}")], answer, {"reward": turn / 4})
        if number < 2:
            writer.end({"score": 1.25})
    (tmp_path / "metrics.jsonl").write_text('{"loss": 1}\n')
    return tmp_path


class Texts(HTMLParser):
    """The texts of the page outside of its style and script, and the tags."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.inside: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.inside += [tag] if tag in ("style", "script") else []
        self.addresses += [value or "" for name, value in attributes if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        self.inside = [] if tag in ("style", "script") else self.inside

    def handle_data(self, data: str) -> None:
        if not self.inside:
            self.texts.append(data)


def read(page: str) -> Texts:
    parser = Texts()
    parser.feed(page)
    return parser


def test_everything_that_was_said_is_on_the_page(folder: Path) -> None:
    path = write_transcripts(folder)
    assert path == folder / "transcripts.html"
    shown = read(path.read_text())
    text = "\n".join(shown.texts)
    for words in (
        "episode 2",
        "You play.",
        "state 3",
        "ACTION stone 1 potion 2",
        "0.75",
        "1.25",
        "[3, 5]",
        "deep/0.jsonl",
    ):
        assert words in text
    for words in (
        "What was said in 3 episodes, 2 of them finished",
        "12,000",
        "240",
        "6:00",
        "4 answers are estimated",
    ):
        assert words in text
    assert text.count("not finished") == 1
    assert all(address.startswith(("data:", "#")) for address in shown.addresses)


def test_texts_are_escaped_cut_and_cleaned(tmp_path: Path) -> None:
    writer = begin_transcript(tmp_path / "0.jsonl", EVIL, EVIL, {EVIL: EVIL})
    tags = read(render_transcripts(tmp_path)).tags
    writer.turn([Message("user", EVIL)], Completion(EVIL, EVIL, Usage(1, 1), EVIL, reasoning=EVIL), {EVIL: {EVIL: 1}})
    writer.turn([], Completion("x" * 10_000_000, "small", Usage(1, 1), "length"))
    writer.turn([Message("user", "lone \ud800 half")], Completion("", "small", Usage(1, 1)))
    writer.end({EVIL: EVIL})
    page = render_transcripts(tmp_path)
    shown = read(page)
    assert EVIL in "".join(shown.texts)
    assert {"script", "img"} & set(shown.tags) == {"script"}
    assert shown.tags.count("script") == tags.count("script")
    assert len(page) < 10 * MOST_CHARACTERS
    assert "9,980,000 more characters" in page
    assert "lone ? half" in page
    assert "(empty)" in page
    write_transcripts(tmp_path, tmp_path / "page.html")


def test_pictures_are_shown_if_they_are_pictures(tmp_path: Path) -> None:
    writer = begin_transcript(tmp_path / "0.jsonl", "pictures", "", {})
    evil = Picture(b"x", "text/html,<script>alert(1)</script>")
    writer.turn([Message("user", ("look", Picture(b"\x89PNG"), evil))], None)
    shown = read(render_transcripts(tmp_path))
    assert "data:image/png;base64,iVBORw==" in shown.addresses
    assert "1 that cannot be shown" in "".join(shown.texts)
    assert not any("text/html" in address for address in shown.addresses)


def test_damage_is_told(folder: Path) -> None:
    path = folder / "deep" / "1.jsonl"
    path.write_bytes(path.read_bytes().replace(b"potion 1", b"potion 7"))
    lost = folder / "deep" / "2.jsonl"
    lost.write_bytes(lost.read_bytes().replace(b"You play", b"You stay"))
    text = "".join(read(render_transcripts(folder)).texts)
    assert "deep/1.jsonl: line 3 does not match its checksum" in text
    assert "does not begin with an episode" in text
    with pytest.raises(DataError, match="no transcripts in"):
        render_transcripts(folder / "nowhere")


@pytest.fixture(scope="module")
def session() -> Iterator[Browser]:
    with browser() as one:
        yield one


@pytest.mark.skipif(bool(MISSING), reason=f"no {' and no '.join(MISSING)} on this machine")
def test_the_search_finds_turns_and_nothing_runs_that_was_said(session: Browser, folder: Path) -> None:
    begin_transcript(folder / "evil.jsonl", "evil", EVIL, {}).turn([Message("user", EVIL)], None)
    session.console()
    session.open(write_transcripts(folder))
    assert session.console() == []
    shown = "return [...document.querySelectorAll('.turn')].filter((one) => one.checkVisibility()).length"
    assert session.run(shown) == 0
    session.run("document.getElementById('unfold').click()")
    assert session.run(shown) == 12 + 1 + 4

    def search(words: str) -> None:
        session.run(
            "const field = document.getElementById('search'); field.value = arguments[0];"
            "field.dispatchEvent(new Event('input'));",
            words,
        )
        time.sleep(0.4)

    search("STONE 1 potion 2")
    assert session.run(shown) == 1
    assert session.run("return document.getElementById('found').textContent") == "1 turn"
    assert session.run("return CSS.highlights ? [...CSS.highlights.get('found')].length : 2") == 2
    search("nowhere to be found")
    assert session.run(shown) == 0
    search("")
    session.run("document.getElementById('unfold').click()")
    assert session.run(shown) == 17
    assert session.run("return document.title").endswith("percepts report")
    session.size(400, 900)
    assert session.run("return document.documentElement.scrollWidth <= 400")
