"""Where images come from: generated worlds, published files, folders, arrays, other people's datasets."""

from percepts.data.arrays import ArrayDataset, ArrayFile
from percepts.data.cache import Preloaded, PreloadedFactors
from percepts.data.dataset import FactorDataset, ImageDataset
from percepts.data.dsprites import DSprites
from percepts.data.folder import ImageFolder
from percepts.data.minis import Blobs24, Squares24
from percepts.data.sprites import ColouredSprites, Pebbles, Sprites
from percepts.data.stream import Stream, StreamConfig
from percepts.data.wrapped import DictDataset

__all__ = [
    "ArrayDataset",
    "ArrayFile",
    "Blobs24",
    "ColouredSprites",
    "DSprites",
    "DictDataset",
    "FactorDataset",
    "ImageDataset",
    "ImageFolder",
    "Pebbles",
    "Preloaded",
    "PreloadedFactors",
    "Sprites",
    "Squares24",
    "Stream",
    "StreamConfig",
]
