"""Where images come from: generated worlds, published files, folders, arrays, other people's datasets."""

from percepts.data.arrays import ArrayDataset, ArrayFile
from percepts.data.cache import Preloaded, PreloadedFactors
from percepts.data.dataset import FactorDataset, ImageDataset
from percepts.data.dsprites import DSprites
from percepts.data.folder import ImageFolder
from percepts.data.stream import Stream, StreamConfig
from percepts.data.wrapped import DictDataset

__all__ = [
    "ArrayDataset",
    "ArrayFile",
    "DSprites",
    "DictDataset",
    "FactorDataset",
    "ImageDataset",
    "ImageFolder",
    "Preloaded",
    "PreloadedFactors",
    "Stream",
    "StreamConfig",
]
