"""What the commands share: parsers with examples, output that every terminal takes, and the error of a command that
lacks something."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any


def command_parser(command: Callable[..., Any], *examples: str, add_help: bool = True) -> Any:
    """The parser of a command: its docstring, and examples at the end of its help."""
    return _Parser(
        prog=f"percepts {command.__name__}",
        description=command.__doc__,
        epilog="examples\n" + "\n".join(f"  {example}" for example in examples),
        formatter_class=_Help,
        add_help=add_help,
        allow_abbrev=False,
    )


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong, and which option was meant."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            from percepts.core.errors import nearest

            options = [name for action in self._actions for name in action.option_strings if name.startswith("--")]
            name = unknown[0].partition("=")[0]
            close = nearest(name, options) if name.startswith("-") else None
            raise usage(f"'{unknown[0]}' is nothing that {self.prog} knows", close or f"{self.prog} --help")
        return found

    def error(self, message: str) -> Any:
        self.exit(2, f"error: {message}. See {self.prog} --help\n")


class _Help(argparse.RawDescriptionHelpFormatter):
    """Tells the defaults that the words do not."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text, default = action.help or "", action.default
        nothing = (
            default is None or default is False or default == argparse.SUPPRESS or isinstance(default, list | tuple)
        )
        return text if nothing or not action.option_strings or "default" in text else f"{text}; %(default)s by default"


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


def flags(words: Sequence[str]) -> set[str]:
    """The options among what was typed, by their names."""
    return {word.partition("=")[0] for word in words if word.startswith("--")}


def usage(got: str, fix: str) -> Exception:
    """The error of a command that cannot be meant so, and what to type instead."""
    from percepts.core.errors import ConfigError

    return ConfigError(got, fix=fix)
