"""Files that are either the old ones or the new ones, never half of each."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from percepts.core.errors import PerceptsError


def write_bytes(path: Path | str, data: bytes) -> None:
    """Replace `path` by `data` atomically: temporary file, fsync, rename.

    Raises:
        PerceptsError: the disk is full or not writable; what stood at `path` is untouched.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        fsync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise write_error(path, error) from error


def write_text(path: Path | str, text: str) -> None:
    """Replace `path` by `text` (UTF-8) atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path | str, value: Any) -> None:
    """Replace `path` by `value` as indented JSON atomically."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


@contextlib.contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """A new folder beside `path`, to be renamed to it once it is filled; gone at the end if it was not."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        temporary.mkdir(parents=True)
        yield temporary
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def atomic_folder(path: Path | str) -> Iterator[Path]:
    """A temporary folder to fill; on success it takes the place of `path`, on failure it is gone.

    Every file in it reaches the disk before the rename. An existing folder at `path` is replaced.
    """
    path = Path(path)
    with temporary_folder(path) as temporary:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                fsync_file(file)
        fsync_folder(temporary)
        if path.exists():
            retired = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.old")
            os.replace(path, retired)
            os.replace(temporary, path)
            shutil.rmtree(retired, ignore_errors=True)
        else:
            os.replace(temporary, path)
        fsync_folder(path.parent)


def write_error(path: Path, error: OSError) -> PerceptsError:
    """The one-line error for a write that the system refused."""
    full = error.errno in (None, errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return PerceptsError(
        f"could not write '{path}' ({error.strerror or error}); what was there before is untouched",
        fix="free disk space, then repeat the command" if full else "another folder, one that you may write to",
    )


def fsync_file(path: Path) -> None:
    """Push a written file to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_folder(path: Path) -> None:
    """Push a folder's entries to the disk (a no-op where the system cannot)."""
    with contextlib.suppress(OSError):
        fsync_file(path)


def sha256(path: Path | str) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
