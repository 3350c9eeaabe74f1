"""What a section hands to its template."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from percepts.report.svg import Svg


@dataclass(frozen=True)
class Section:
    """One section of the page.

    Attributes:
        name: of its template, and its anchor.
        title: its heading.
        content: what the template reads.
    """

    name: str
    title: str
    content: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Chart:
    """A chart with its heading and caption."""

    title: str
    svg: Svg
    caption: str = ""
