"""The original CelebA folder.

Deep learning face attributes in the wild, Liu, Luo, Wang and Tang, ICCV 2015. 202 599 aligned faces of 178 x 218 pixels
with 40 attributes that are there or not, 10 177 people, and a split by people into training, validation and test.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from percepts.core.capabilities import Batch
from percepts.core.config import Config as BaseConfig
from percepts.core.errors import DataError
from percepts.data.dataset import ImageDataset, check_places
from percepts.data.folder import ImageFolder
from percepts.data.published import likeness, wanted_path

PARTITIONS = {"train": 0, "validation": 1, "test": 2}
_WHAT = "the CelebA folder, with img_align_celeba and list_attr_celeba.txt"
_PICTURES = ("img_align_celeba/img_align_celeba", "img_align_celeba", "Img/img_align_celeba")


class CelebA(ImageDataset):
    """CelebA: faces, with their attributes as `factors` int64 [B,40] of 0 and 1.

    The text files may lie in the folder itself or where the archive has them (`Anno`, `Eval`). The largest centred
    square of every picture is kept and resized (papers crop in several ways, and most do not say how). The pictures are
    decoded once into a cache, as those of an `ImageFolder`.

    Attributes:
        files: the file name of every item.
        factor_names: the 40 attributes.
        factor_sizes: 2 for each.
        people: the number of the person in every item, int64 [N]; None without `identity_CelebA.txt`.

    Raises:
        DataError: a file is missing or damaged, or the pictures and the lists do not belong together.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Where the folder is, and which part of it.

        Attributes:
            path: the folder around `img_align_celeba`.
            split: the authors' own; "all" needs no `list_eval_partition.txt`.
            size: of the images, in pixels.
            max_unreadable: the largest share of pictures that may be damaged; they are skipped and named in a warning.
            max_memory_gigabytes: as of `ImageFolder`.
            cache: as of `ImageFolder`.
        """

        path: str
        split: Literal["all", "train", "validation", "test"] = "all"
        size: int = 64
        max_unreadable: float = 0.0
        max_memory_gigabytes: float = 0.5
        cache: str | None = None

    def __init__(self, config: Config) -> None:
        self.config = config
        root = wanted_path(config.path, "folder", _WHAT)
        names, listed, attributes = _attributes(_text(root, "list_attr_celeba.txt"))
        pictures = next((root / name for name in _PICTURES if (root / name).is_dir()), None)
        if pictures is None:
            raise DataError(f"the folder '{root}' has no img_align_celeba", _WHAT)
        self._folder = ImageFolder(
            ImageFolder.Config(
                path=str(pictures),
                size=config.size,
                channels=3,
                max_unreadable=config.max_unreadable,
                max_memory_gigabytes=config.max_memory_gigabytes,
                cache=config.cache,
            )
        )
        self._compare(pictures, set(listed))
        self._choose(root)
        row_of = {name: row for row, name in enumerate(listed)}
        self._attributes = torch.from_numpy(attributes[[row_of[name] for name in self.files]])
        self.image_shape = self._folder.image_shape
        self.factor_names = names
        self.factor_sizes = (2,) * len(names)
        people = _find(root, "identity_CelebA.txt")
        self.people = None if people is None else torch.tensor(_numbers_of(people, self.files))

    def __len__(self) -> int:
        return len(self.files)

    @property
    def identity(self) -> str:
        """As `ImageDataset.identity`, with a fingerprint of the pictures' names and sizes and of the attributes."""
        digest = hashlib.sha256(self._attributes.numpy().tobytes()).hexdigest()
        return f"{super().identity}, {self._folder.identity}, attributes {digest[:16]}"

    def gather(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        """`image` float32 [B,3,H,W] in [0,1] and `factors` int64 [B,40].

        Raises:
            IndexError: an index is negative or too large.
        """
        indices = indices.cpu()
        check_places(indices, len(self))
        image = self._folder.gather(self._chosen[indices], device)["image"]
        return {"image": image, "factors": self._attributes[indices].to(device, torch.int64)}

    def _compare(self, pictures: Path, listed: set[str]) -> None:
        """Refuse pictures without attributes and attributes without a picture."""
        there = {*self._folder.files, *(name for name, _ in self._folder.unreadable)}
        for what, lacking in (("not in list_attr_celeba.txt", there - listed), ("missing", listed - there)):
            if lacking:
                raise DataError(
                    f"of the {len(there | listed)} pictures in '{pictures}', {len(lacking)} are {what} "
                    f"('{min(lacking)}' is the first)",
                    "the pictures and the list of one data set",
                )

    def _choose(self, root: Path) -> None:
        """Find the items of the split."""
        chosen = list(range(len(self._folder)))
        if self.config.split != "all":
            parts = _numbers_of(_text(root, "list_eval_partition.txt"), self._folder.files)
            chosen = [index for index in chosen if parts[index] == PARTITIONS[self.config.split]]
            if not chosen:
                raise DataError(f"the split '{self.config.split}' of '{root}' is empty", fix="split='all'")
        self._chosen = torch.tensor(chosen)
        self.files = tuple(self._folder.files[index] for index in chosen)


def _find(root: Path, name: str) -> Path | None:
    return next((path for path in (root / name, root / "Anno" / name, root / "Eval" / name) if path.is_file()), None)


def _text(root: Path, name: str) -> Path:
    found = _find(root, name)
    if found is None:
        raise DataError(f"the folder '{root}' has no {name}, nor have Anno and Eval in it{likeness(root)}", _WHAT)
    return found


def _lines(path: Path) -> list[str]:
    """The lines of a text file that are not empty."""
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"'{path}' cannot be read ({error})", "a text file") from error


def _attributes(path: Path) -> tuple[tuple[str, ...], list[str], NDArray[np.uint8]]:
    """The names of the attributes, the pictures, and for every picture 1 where it has an attribute and 0 where not."""
    lines = _lines(path)
    if len(lines) < 3 or not lines[0].isdecimal():
        raise DataError(
            f"'{path}' begins with '{lines[0][:40] if lines else ''}'",
            "the number of pictures, then the names of the attributes, then a line a picture",
        )
    names, rows = tuple(lines[1].split()), lines[2:]
    if int(lines[0]) != len(rows):
        raise DataError(f"'{path}' announces {lines[0]} pictures and lists {len(rows)}", fix="fetch the file again")
    files, values = [], []
    for number, row in enumerate(rows, start=3):
        file, _, text = row.partition(" ")
        found = text.split()
        if len(found) != len(names) or not set(found) <= {"1", "-1"}:
            raise DataError(
                f"line {number} of '{path}' begins with '{row[:40]}'", f"a file name and {len(names)} times 1 or -1"
            )
        files.append(file)
        values.append(text)
    table = np.fromstring(" ".join(values), np.int8, sep=" ").reshape(len(rows), len(names))
    return names, files, (table > 0).astype(np.uint8)


def _numbers_of(path: Path, files: tuple[str, ...]) -> list[int]:
    """The number that a list of lines "file number" has for every one of `files`."""
    numbers: dict[str, int] = {}
    for count, line in enumerate(_lines(path), start=1):
        file, _, number = line.partition(" ")
        if not number.isdecimal():
            raise DataError(f"line {count} of '{path}' is '{line[:40]}'", "a file name and a number")
        numbers[file] = int(number)
    lacking = [name for name in files if name not in numbers]
    if lacking:
        raise DataError(f"'{path}' does not list {len(lacking)} of the pictures ('{lacking[0]}' is the first)")
    return [numbers[name] for name in files]
