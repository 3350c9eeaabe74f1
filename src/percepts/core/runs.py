"""The run folder: everything that is known about one run, on disk, in files that people can read.

    config.json      the complete resolved configuration
    run.json         status, command, commit, host, versions, times
    metrics.jsonl    one line for every logged step
    checkpoints/     safetensors weights and the exact resume state
    report.html      what to look at

Every file but the log is replaced atomically. The log is append-only; a line cut short by a crash is ignored.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TextIO

from percepts import __version__
from percepts.core import files
from percepts.core.config import Config, from_json, to_json
from percepts.core.errors import RunError, nearest
from percepts.core.files import write_error, write_json, write_text
from percepts.core.results import plain

Status = Literal["created", "running", "finished", "interrupted", "failed"]


class Run:
    """A run folder. Make a new one with `Run.create`, open an old one with `Run.open`."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.config_file = self.path / "config.json"
        self.info_file = self.path / "run.json"
        self.metrics_file = self.path / "metrics.jsonl"
        self.checkpoints = self.path / "checkpoints"

    @classmethod
    def create(cls, path: Path | str, config: Config, **info: Any) -> Run:
        """Start a run at `path` with the resolved `config`; `info` is added to run.json. An entry "resume" in it is the
        command that goes on with the run, without its path.

        Raises:
            RunError: the folder already holds a run, or files of something else.
        """
        run = cls(path)
        run.check_free()
        with files.temporary_folder(run.path) as folder:
            write_json(folder / run.config_file.name, to_json(config))
            write_json(folder / run.info_file.name, {"status": "created", "started": now(), **provenance(), **info})
            try:
                # Renaming onto a folder that another process has filled meanwhile fails, and takes nothing from it.
                os.rename(folder, run.path)
            except OSError as error:
                raise run._taken() if run.info_file.exists() else write_error(run.path, error) from error
        return run

    @classmethod
    def open(cls, path: Path | str) -> Run:
        """The existing run at `path`.

        Raises:
            RunError: there is none; near names are suggested.
        """
        run = cls(path)
        if not run.info_file.is_file():
            siblings = [str(other.path) for other in find_runs(run.path.parent)]
            close = nearest(str(path), siblings)
            why = "it has no run.json" if run.path.exists() else "it does not exist"
            raise RunError(
                f"'{path}' is not a run folder ({why})",
                fix=f"percepts runs show {close}" if close else "percepts runs list",
            )
        return run

    def config(self) -> Any:
        """The resolved configuration of the run. The modules that define its types must have been imported."""
        return from_json(self._read(self.config_file), where=self.config_file.name)

    def settings(self) -> dict[str, Any]:
        """The configuration as it is written, which needs no module to be imported."""
        return self._read(self.config_file)

    def change(self, config: Config) -> None:
        """Write another configuration, one that agrees with all that the run holds."""
        write_json(self.config_file, to_json(config))

    def info(self) -> dict[str, Any]:
        """What run.json says."""
        return self._read(self.info_file)

    def evaluation(self) -> dict[str, Any] | None:
        """The scores of the run's last measurement, where there is a readable one."""
        try:
            return self._read(self.path / "evaluation.json")
        except RunError:
            return None

    def update(self, **info: Any) -> None:
        """Change entries of run.json."""
        write_json(self.info_file, {**self.info(), **info, "updated": now()})

    def log(self, entry: dict[str, Any]) -> None:
        """Append one line to metrics.jsonl; what is not finite becomes null."""
        line = json.dumps(plain(entry), allow_nan=False) + "\n"
        try:
            with open(self.metrics_file, "a", encoding="utf-8") as file:
                file.write(line)
        except OSError as error:
            raise write_error(self.metrics_file, error) from error

    def sync_log(self) -> None:
        """Push the log to the disk, so that it is never behind a checkpoint."""
        if self.metrics_file.exists():
            files.fsync_file(self.metrics_file)

    def metrics(self) -> list[dict[str, Any]]:
        """The logged lines, oldest first; a last line cut short by a crash is left out."""
        return list(self._lines())

    def forget_after(self, step: int) -> None:
        """Drop logged lines of steps after `step`: a resumed run writes them again."""
        kept = [entry for entry in self._lines() if entry.get("step", 0) <= step]
        write_text(self.metrics_file, "".join(json.dumps(entry) + "\n" for entry in kept))

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for writing; the lock goes with the process, however it ends.

        Raises:
            RunError: another process is writing to this run.
            PerceptsError: the lock cannot be written.
        """
        path = self.path / ".lock"
        with _opened(path) as file:
            if not _try_lock(file.fileno()):
                file.seek(0)
                raise RunError(
                    f"'{self.path}' is being written by process {file.read().strip() or 'unknown'}",
                    fix="wait for it to end, stop it, or choose another --out",
                )
            try:
                file.truncate(0)
                # Unbuffered: text that waits in a buffer would be written again, and fail again, when the file closes.
                os.write(file.fileno(), str(os.getpid()).encode())
            except OSError as error:
                raise write_error(path, error) from error
            _locked.add(file.fileno())
            try:
                yield
            finally:
                _locked.discard(file.fileno())
                with contextlib.suppress(OSError):  # It must not hide what ended the run; the lock goes all the same.
                    file.truncate(0)

    def check_free(self) -> None:
        """Refuse to begin a run where something is.

        Raises:
            RunError: the folder already holds a run, or files of something else.
        """
        if self.info_file.exists():
            raise self._taken()
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise RunError(f"'{self.path}' exists and is not an empty folder", "a new or empty folder", "another --out")

    def _taken(self) -> RunError:
        info = self.info()
        return RunError(
            f"'{self.path}' already holds a run ({info.get('status', 'unknown')})",
            "a new folder",
            f"{info.get('resume', 'percepts train --resume')} {self.path}, or another --out",
        )

    def _lines(self) -> Iterator[dict[str, Any]]:
        if not self.metrics_file.exists():
            return
        with open(self.metrics_file, encoding="utf-8", errors="replace") as file:
            for line in file:
                with contextlib.suppress(json.JSONDecodeError):
                    entry = json.loads(line)
                    if isinstance(entry, dict):
                        yield entry

    def _read(self, path: Path) -> dict[str, Any]:
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"cannot read '{path}' ({error})", "JSON that percepts wrote") from error
        if not isinstance(data, dict):
            raise RunError(f"'{path}' holds a {type(data).__name__}", "the JSON object that percepts wrote")
        return data


def find_runs(root: Path | str) -> list[Run]:
    """The runs in `root` (itself, or folders in it, three levels deep), by path."""
    root = Path(root)
    found = {path.parent for depth in ("", "*/", "*/*/", "*/*/*/") for path in root.glob(f"{depth}run.json")}
    return [Run(path) for path in sorted(found)]


def provenance() -> dict[str, Any]:
    """Where and with what something is computed: versions, commit, host, command."""
    from importlib.metadata import PackageNotFoundError, version

    def installed(package: str) -> str | None:
        try:
            return version(package)
        except PackageNotFoundError:
            return None

    return {
        "percepts": __version__,
        "commit": git_commit(),
        "python": platform.python_version(),
        "torch": installed("torch"),
        "numpy": installed("numpy"),
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "pid": os.getpid(),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    }


def git_commit() -> str | None:
    """The commit of the percepts checkout, with '+' where more than results is uncommitted; None outside of one."""

    def git(*words: str) -> str:
        here = Path(__file__).parent
        return subprocess.run(
            ["git", "-C", str(here), *words], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        # A checkout of another project may surround an installed percepts: only our own counts.
        if not (Path(git("rev-parse", "--show-toplevel")) / "src" / "percepts").is_dir():
            return None
        # What a study has just written changes nothing of what the next one measures.
        written = (":(exclude,top)RESULTS.md", ":(exclude,top)results", ":(exclude,top)benchmarks/results")
        changed = git("status", "--porcelain", "-uno", "--", ":/", *written)
        added = git("ls-files", "--others", "--exclude-standard", "--", ":/src", ":/benchmarks", *written)
        return git("rev-parse", "--short=12", "HEAD") + ("+" if changed or added else "")
    except (OSError, subprocess.SubprocessError):
        return None


def now() -> str:
    """The time in UTC, to the second, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


_locked: set[int] = set()
"""Descriptors of held locks. A forked worker must not keep its parent's lock alive, so it closes them."""


def _close_locks() -> None:
    for descriptor in _locked:
        with contextlib.suppress(OSError):
            os.close(descriptor)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_locks)


def _opened(path: Path) -> TextIO:
    try:
        return open(path, "a+", encoding="utf-8")
    except OSError as error:
        raise write_error(path, error) from error


def _try_lock(descriptor: int) -> bool:
    try:
        import fcntl
    except ImportError:  # Not a POSIX system: no advisory locks, so no protection.
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
