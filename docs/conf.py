"""How the documentation is built: `make docs`."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

from percepts import __version__

HERE = Path(__file__).parent
SOURCE = HERE.parent / "src" / "percepts"

project = "percepts"
author = "The percepts authors"
release = version = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"percepts {__version__}"
html_show_sphinx = False

myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "member-order": "bysource", "show-inheritance": True}
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
napoleon_attr_annotations = False  # The types stand beside the attributes already, and shapes are not markup.
napoleon_use_ivar = True
napoleon_use_rtype = False
suppress_warnings = ["ref.python"]  # Two rooms may use one short name, such as Config.

SECTIONS = {"Args:", "Attributes:", "Raises:", "Returns:", "Yields:", "Example:", "Examples:", "Note:", "Notes:"}
MARKS = re.compile(r"(`+[^`]+`+)")


def write_reference(app: Any) -> None:
    """One page a room, with a section for every module that has public content."""
    folder = HERE / "reference" / "rooms"
    folder.mkdir(exist_ok=True)
    for room in sorted(path.parent for path in SOURCE.glob("*/__init__.py")):
        modules = [
            path for path in sorted(room.rglob("*.py")) if not path.stem.startswith("__") and path.stat().st_size
        ]
        if not modules:
            continue
        overview = ast.get_docstring(ast.parse((room / "__init__.py").read_text())) or ""
        parts = [f"# {room.name}", overview.splitlines()[0] if overview else ""]
        parts += [_section(".".join(("percepts", *path.relative_to(SOURCE).with_suffix("").parts))) for path in modules]
        page = "\n\n".join(part for part in parts if part) + "\n"
        target = folder / f"{room.name}.md"
        if not target.exists() or target.read_text() != page:
            target.write_text(page)


def _section(module: str) -> str:
    return f"## {module}\n\n```{{eval-rst}}\n.. automodule:: {module}\n```"


def plain_docstring(app: Any, what: str, name: str, object_: Any, options: Any, lines: list[str]) -> None:
    """Read docstrings as they are written: plain text with `code`, formulas and examples indented, Google sections."""
    lines[:] = [line for block in _blocks(lines) for line in block]


def _blocks(lines: list[str]) -> list[list[str]]:
    """Paragraphs as text, those that stand indented outside of a section as literal blocks."""
    blocks: list[list[str]] = []
    in_section = in_literal = False
    for number, line in enumerate(lines):
        indented = line.startswith("    ")
        if line.strip() in SECTIONS and not indented:
            in_section = True
        elif line.strip() and not indented:
            in_section = False
        if indented and not in_section:
            starts = not in_literal and (number == 0 or not lines[number - 1].strip())
            blocks.append(["::", "", line] if starts else [line])
            in_literal = in_literal or starts
        else:
            blocks.append([_text(line)])
            in_literal = in_literal and not line.strip()
    return blocks


def _text(line: str) -> str:
    """`code` becomes a literal; characters that have a meaning in reStructuredText lose it."""
    parts = MARKS.split(line)
    return "".join(
        f"``{part.strip('`')}``" if part.startswith("`") else re.sub(r"([*|\\])|(?<=\w)(_)(?=\W|$)", r"\\\1\2", part)
        for part in parts
    )


def setup(app: Any) -> None:
    """Write the reference pages; put docstrings in order before napoleon reads their sections."""
    app.connect("builder-inited", write_reference)
    app.connect("autodoc-process-docstring", plain_docstring, priority=400)
