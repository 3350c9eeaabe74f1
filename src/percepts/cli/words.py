"""What the commands share: parsers with examples, output that every terminal takes, and the error of a command that
lacks something."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def command_parser(command: Callable[..., Any], *examples: str, add_help: bool = True) -> Any:
    """The parser of a command: its docstring, and examples at the end of its help."""
    import argparse

    return argparse.ArgumentParser(
        prog=f"percepts {command.__name__}",
        description=command.__doc__,
        epilog="examples\n" + "\n".join(f"  {example}" for example in examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=add_help,
        allow_abbrev=False,
    )


def encodable(*streams: Any) -> None:
    """Make text streams write "?" for what their encoding lacks, such as "…" and "×" in ASCII, instead of failing.

    Args:
        streams: such as `sys.stdout`; what cannot be told so, as a stream in memory, is left as it is.
    """
    for stream in streams:
        reconfigure = getattr(stream, "reconfigure", None)
        # Python's own choice for standard error loses nothing: it writes the code of the character.
        if reconfigure is not None and stream.errors in ("strict", "surrogateescape"):
            reconfigure(errors="replace")


def usage(got: str, fix: str) -> Exception:
    """The error of a command that cannot be meant so, and what to type instead."""
    from percepts.core.errors import ConfigError

    return ConfigError(got, fix=fix)
