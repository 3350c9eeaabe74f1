"""Where images come from: generated worlds, published files, folders, arrays, other people's datasets."""

from percepts.data.arrays import ArrayDataset, ArrayFile
from percepts.data.cache import Preloaded, PreloadedFactors
from percepts.data.cars3d import Cars3D
from percepts.data.celeba import CelebA
from percepts.data.chairs import Chairs
from percepts.data.dataset import FactorDataset, ImageDataset
from percepts.data.dsprites import DSprites
from percepts.data.folder import ImageFolder
from percepts.data.minis import Blobs24, Squares24
from percepts.data.mpi3d import MPI3D
from percepts.data.rooms import ObjectInRoom
from percepts.data.shapes3d import Shapes3D
from percepts.data.small_norb import SmallNORB
from percepts.data.sprites import ColouredSprites, Pebbles, Sprites
from percepts.data.stream import Stream, StreamConfig
from percepts.data.wrapped import DictDataset

__all__ = [
    "MPI3D",
    "ArrayDataset",
    "ArrayFile",
    "Blobs24",
    "Cars3D",
    "CelebA",
    "Chairs",
    "ColouredSprites",
    "DSprites",
    "DictDataset",
    "FactorDataset",
    "ImageDataset",
    "ImageFolder",
    "ObjectInRoom",
    "Pebbles",
    "Preloaded",
    "PreloadedFactors",
    "Shapes3D",
    "SmallNORB",
    "Sprites",
    "Squares24",
    "Stream",
    "StreamConfig",
]
