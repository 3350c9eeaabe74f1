"""A file that only grows: JSON objects, one a line, each with a checksum, each on the disk before the next step.

A crash can cut the last line short and a bad disk can spoil any; such lines are left where they are, left out when the
file is read, and reported. Several threads and processes may append to one file.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from percepts.core.errors import DataError
from percepts.core.files import fsync_folder, write_error

_SUM = b',"sum":"%08x"}'
_TAIL = len(_SUM % 0)


@dataclass(frozen=True)
class Damage:
    """A line that cannot be used.

    Attributes:
        line: its number, from 1.
        reason: what is wrong with it.
    """

    line: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.line} {self.reason}"


class Journal:
    """The file at `path`; it need not exist before the first line is written.

    Attributes:
        damaged: the lines that could not be read so far.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.damaged: list[Damage] = []
        self._place = self._line = 0
        self._mutex = threading.RLock()

    def new(self) -> list[tuple[int, dict[str, Any]]]:
        """The entries written since the last call, by whomever, with the numbers of their lines; at first all.

        Raises:
            DataError: the file cannot be read.
        """
        with self._mutex:
            try:
                if not self.path.exists() or self.path.stat().st_size == self._place:
                    return []
                with open(self.path, "rb") as file, _locked(file, writing=False):
                    file.seek(self._place)
                    data = file.read()
            except OSError as error:
                raise DataError(f"cannot read '{self.path}' ({error.strerror or error})") from error
            self._place += len(data)
            lines = list(enumerate(data.split(b"\n"), self._line + 1))
            self._line += len(lines) - 1
            return [(number, entry) for number, line in lines if (entry := self._read(number, line)) is not None]

    def append(self, entry: Mapping[str, Any]) -> None:
        """Write one entry; it is on the disk when this returns.

        Raises:
            PerceptsError: the disk is full or not writable; what the file held before is untouched.
        """
        body = json.dumps(entry, allow_nan=False, separators=(",", ":")).encode()
        line = body[:-1] + _SUM % zlib.crc32(body) + b"\n"
        with self._mutex:
            fresh = not self.path.exists()
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with open(self.path, "ab+", buffering=0) as file, _locked(file, writing=True):
                    _write_whole(file, line)
                if fresh:
                    fsync_folder(self.path.parent)
            except OSError as error:
                raise write_error(self.path, error) from error

    def spoiled(self, line: int, reason: str) -> None:
        """Note that a line cannot be used."""
        self.damaged.append(Damage(line, reason))

    def report(self) -> str:
        """One line about the damage; empty where there is none."""
        if not self.damaged:
            return ""
        more = f" and {len(self.damaged) - 3} more" if len(self.damaged) > 3 else ""
        return f"'{self.path}': " + ", ".join(map(str, self.damaged[:3])) + more + "; left out"

    def _read(self, number: int, line: bytes) -> dict[str, Any] | None:
        """The entry of a line; nothing for one that is empty or damaged."""
        if not line.strip():
            return None
        body = line[:-_TAIL] + b"}"
        if line[-_TAIL:] != _SUM % zlib.crc32(body):
            whole = line.startswith(b"{") and line.endswith(b"}")
            self.spoiled(number, "does not match its checksum" if whole else "is cut short or no JSON")
            return None
        try:
            entry = json.loads(body)
        except ValueError:
            entry = None
        if not isinstance(entry, dict):
            self.spoiled(number, "is no JSON object")
            return None
        return entry


def _write_whole(file: BinaryIO, line: bytes) -> None:
    """Append the line or nothing, on a line of its own even where the one before was cut short."""
    size = os.fstat(file.fileno()).st_size
    if size:
        file.seek(size - 1)
        if file.read(1) != b"\n":
            line = b"\n" + line
    try:
        left = memoryview(line)
        while left:
            left = left[file.write(left) :]
        os.fsync(file.fileno())
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(file.fileno(), size)
        raise


@contextlib.contextmanager
def _locked(file: BinaryIO, *, writing: bool) -> Iterator[None]:
    """Hold the file against other processes, where the system can; the lock goes with the file."""
    with contextlib.suppress(ImportError):
        import fcntl

        fcntl.flock(file.fileno(), fcntl.LOCK_EX if writing else fcntl.LOCK_SH)
    yield
