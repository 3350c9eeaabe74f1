"""`percepts data`: what datasets there are, how they look, drawing them once, and checking published files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from percepts.cli.words import command_parser, usage

_OF_ENVIRONMENTS = ("percepts.envs.spriteworld.scenes", "percepts.envs.spriteworld.recording")
"""Modules with datasets that environments give."""


def data(words: list[str]) -> int:
    """List datasets, preview one, draw one once into shards on disk, or check published files.

    Settings of the dataset may follow its name; percepts data preview NAME --settings lists them."""
    parser = command_parser(
        data,
        "percepts data list",
        "percepts data preview two-sprites --out picture.png",
        "percepts data preview tetrominoes-records --path tetrominoes_train.tfrecords --count 8",
        "percepts data cache two-sprites --images 10000 --out shards",
        "percepts data check clevr_with_masks_train.tfrecords",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="list | preview | cache | check")
    commands.add_parser("list", help="all datasets by name, and the settings that they need")
    preview = commands.add_parser("preview", help="a picture of some items with their segmentation and depth")
    preview.add_argument("name", metavar="NAME", help="of a dataset; percepts data list")
    preview.add_argument("--out", type=Path, help="the picture; by default NAME.png")
    preview.add_argument("--count", type=int, default=16, help="how many items")
    preview.add_argument("--seed", type=int, default=0, help="which items")
    preview.add_argument("--settings", action="store_true", help="list the settings of the dataset and stop")
    cache = commands.add_parser("cache", help="draw the first items once into shards on disk; goes on if stopped")
    cache.add_argument("name", metavar="NAME", help="of a dataset; percepts data list")
    cache.add_argument("--out", metavar="FOLDER", help="by default percepts/shards in your cache folder")
    cache.add_argument("--images", type=int, required=True, help="how many items")
    cache.add_argument("--settings", action="store_true", help="list the settings of the dataset and stop")
    check = commands.add_parser("check", help="checksums, number of records and set of TFRecord files")
    check.add_argument("path", metavar="PATH", help="a TFRecord file, or a folder of them")
    check.add_argument("--contents", action="store_true", help="unpack every record, too, and check its masks")
    options, rest = parser.parse_known_args(words)
    if rest and options.command in ("list", "check"):
        raise usage(f"percepts data {options.command} does not know '{rest[0]}'", "percepts data --help")
    return {"list": _list, "preview": _preview, "cache": _cache, "check": _check}[options.command](options, rest)


def _list(options: Any, rest: list[str]) -> int:
    import shutil
    import sys

    from percepts.data.names import dataset_names

    known = dataset_names(_OF_ENVIRONMENTS)
    wide = max(map(len, known))
    # Whole lines for a file or another program.
    width = shutil.get_terminal_size((120, 24)).columns if sys.stdout.isatty() else None
    for name, one in known.items():
        needed = " ".join(f"--{setting.replace('_', '-')}" for setting in one.needed)
        print(_line(f"{name:{wide}}  ", one.summary, f" (needs {needed})" if needed else "", width))
    return 0


def _line(start: str, text: str, end: str, width: int | None) -> str:
    """A line of a table; `text` is cut where the line would be wider than `width`, but not to nothing."""
    room = len(text) if width is None else max(width - len(start) - len(end), 20)
    return start + (text if len(text) <= room else text[: room - 3].rstrip() + "...") + end


def _preview(options: Any, rest: list[str]) -> int:
    config = _config(options, rest)
    import io

    from percepts.core.files import write_bytes
    from percepts.report.preview import preview

    out = options.out or Path(f"{options.name}.png")
    if out.suffix.lower() != ".png":
        raise usage(f"--out '{out}' is no PNG file", f"--out {out.with_suffix('.png')}")
    file = io.BytesIO()
    dataset = config.build()
    preview(dataset, options.count, options.seed).save(file, "PNG")
    write_bytes(out, file.getvalue())
    shape = " x ".join(map(str, dataset.image_shape))
    shown = min(options.count, len(dataset))
    print(f"{out}: {shown:,} of the {len(dataset):,} items of {options.name}, images of {shape}")
    return 0


def _cache(options: Any, rest: list[str]) -> int:
    config = _config(options, rest)
    import dataclasses

    from percepts.data.cached_scenes import CachedImages
    from percepts.data.flat_scenes import GeneratedConfig

    if isinstance(config, GeneratedConfig):  # of which there are as many as one likes
        config = dataclasses.replace(config, images=max(config.images, options.images))
    cached = CachedImages.Config(
        dataset=config, images=options.images, folder=options.out, max_memory_gigabytes=0
    ).build()
    size = sum(path.stat().st_size for path in cached.folder.rglob("*.npy")) / 1e6
    print(f"{cached.folder}: {len(cached)} items, {size:,.1f} MB")
    return 0


def _check(options: Any, rest: list[str]) -> int:
    from percepts.core.errors import DataError
    from percepts.data.record_check import check_records
    from percepts.data.scene_records import record_files

    damaged = False
    files = record_files(options.path)
    for path in files:
        try:
            found = check_records(path, options.contents)
        except DataError as error:
            if len(files) == 1:
                raise
            damaged = True
            print(error.got, flush=True)
            continue
        kind = "not compressed" if found.compression == "none" else found.compression
        title = found.set.title if found.set is not None else "no set that is known"
        state = "damaged" if found.damage else "checksums match"
        print(f"{path}: {found.records:,} intact records, {kind}, {state}; {title}", flush=True)
        if found.damage:
            damaged = True
            print(f"  {found.damage}")
    return int(damaged)


def _config(options: Any, rest: list[str]) -> Any:
    """The configuration of the dataset that is named, with the settings that follow its name."""
    import tyro

    from percepts.data.names import find_dataset

    chosen = find_dataset(options.name, _OF_ENVIRONMENTS)
    words = ["--help"] if options.settings else rest
    lacking = [one for one in chosen.needed if not any(_sets(word, one) for word in words)]
    if lacking and "--help" not in words:
        settings = " ".join(f"--{one.replace('_', '-')} {one.upper()}" for one in lacking)
        raise usage(
            f"the dataset '{chosen.name}' needs {', '.join(lacking)}",
            f"percepts data {options.command} {chosen.name} {settings}",
        )
    preset: Any = chosen.make() if chosen.open else None
    return tyro.cli(
        type(preset) if chosen.open else chosen.make,
        default=preset,
        args=words,
        prog=f"percepts data {options.command} {chosen.name}",
        description=chosen.summary,
        config=(tyro.conf.AvoidSubcommands, tyro.conf.FlagConversionOff),
    )


def _sets(word: str, setting: str) -> bool:
    return word.split("=")[0].lstrip("-").replace("-", "_") == setting
