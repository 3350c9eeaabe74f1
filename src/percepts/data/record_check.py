"""Whether a TFRecord file is whole, and which published set it is of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from percepts.core.progress import ProgressLine
from percepts.data.scene_formats import SceneFormat, read_scene, recognised
from percepts.data.tfrecord import DamagedRecord, compression, records


@dataclass(frozen=True)
class RecordFile:
    """What was found out about a file.

    Attributes:
        path: of it.
        records: how many are intact, up to the first that is not.
        compression: "none", "gzip" or "zlib".
        set: which published set its first record is of; None for no known one.
        damage: what is wrong, as a clause; None where nothing is.
    """

    path: Path
    records: int
    compression: str
    set: SceneFormat | None
    damage: str | None


def check_records(path: Path | str, contents: bool = False) -> RecordFile:
    """Read a file to its end and compare all checksums.

    Args:
        path: of a TFRecord file.
        contents: also unpack every record of a known set, and check its sizes, codes and masks.

    Raises:
        DataError: it is no TFRecord file.
    """
    path = Path(path)
    count, found, damage = 0, None, None
    kind = compression(path)
    progress = ProgressLine(path.stat().st_size // 1_000_000, "MB", f"checking '{path.name}'")
    try:
        for record in records(path):
            if record.number == 0:
                found = recognised(record.payload)
            if contents and found is not None:
                read_scene(record.payload, found)
            count += 1
            progress.update(record.position // 1_000_000, f"{count:,} records")
    except DamagedRecord as error:
        damage = error.got
    except ValueError as error:
        damage = f"record {count} of '{path}' cannot be used: {error}"
    progress.close()
    return RecordFile(path, count, kind, found, damage)
