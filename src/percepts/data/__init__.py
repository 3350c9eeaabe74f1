"""Where images come from: generated worlds, published files, folders, arrays, other people's datasets."""

from percepts.data.ambiguous import AmbiguousTetrominoes, unambiguous
from percepts.data.arrays import ArrayDataset, ArrayFile
from percepts.data.cache import Preloaded, PreloadedFactors
from percepts.data.cached_scenes import CachedImages, CachedScenes
from percepts.data.cars3d import Cars3D
from percepts.data.cater_like import CaterLike
from percepts.data.celeba import CelebA
from percepts.data.chairs import Chairs
from percepts.data.circles import Circles
from percepts.data.clevr_json import ClevrJson
from percepts.data.clevr_like import ClevrLike, clevr6, clevr7_10, clevr10, cogent_a, cogent_b, no_green_spheres
from percepts.data.continuity import Subsampled, neighbour_distance
from percepts.data.continuous import ContinuousWorld, Jittered
from percepts.data.dataset import FactorDataset, ImageDataset
from percepts.data.distributions import (
    Continuous,
    Discrete,
    Distribution,
    Intersection,
    Product,
    Selection,
    SetMinus,
    Union,
)
from percepts.data.dsprites import DSprites
from percepts.data.faces import Faces
from percepts.data.folder import ImageFolder
from percepts.data.held_out import HeldOut, PartialGrid, split
from percepts.data.minis import Blobs24, Shapes24, Squares24
from percepts.data.moving_sprites import MovingSprites, more_moving_sprites, tiny_videos
from percepts.data.mpi3d import MPI3D
from percepts.data.multi_dsprites import MultiDSprites, more_sprites, without_green_squares
from percepts.data.nuisance import Nuisance
from percepts.data.objects_room import ObjectsRoom, ObjectsRoomVideo, objects_room_nine
from percepts.data.published_scenes import (
    CaterRecords,
    ClevrRecords,
    MultiDSpritesRecords,
    ObjectsRoomRecords,
    TetrominoesRecords,
)
from percepts.data.rooms import ObjectInRoom
from percepts.data.shapes3d import Shapes3D
from percepts.data.shifts import Shifted
from percepts.data.small_norb import SmallNORB
from percepts.data.small_scenes import SmallScenes, apart_sprites, tiny_shapes, two_sprites
from percepts.data.sprite_factors import SpriteFactors, small_objects
from percepts.data.sprites import ColouredSprites, Pebbles, Sprites
from percepts.data.stream import Stream, StreamConfig
from percepts.data.tetrominoes import Tetrominoes, without_green_zs, without_zs
from percepts.data.wrapped import DictDataset

__all__ = [
    "MPI3D",
    "AmbiguousTetrominoes",
    "ArrayDataset",
    "ArrayFile",
    "Blobs24",
    "CachedImages",
    "CachedScenes",
    "Cars3D",
    "CaterLike",
    "CaterRecords",
    "CelebA",
    "Chairs",
    "Circles",
    "ClevrJson",
    "ClevrLike",
    "ClevrRecords",
    "ColouredSprites",
    "Continuous",
    "ContinuousWorld",
    "DSprites",
    "DictDataset",
    "Discrete",
    "Distribution",
    "Faces",
    "FactorDataset",
    "HeldOut",
    "ImageDataset",
    "ImageFolder",
    "Intersection",
    "Jittered",
    "MovingSprites",
    "MultiDSprites",
    "MultiDSpritesRecords",
    "Nuisance",
    "ObjectInRoom",
    "ObjectsRoom",
    "ObjectsRoomRecords",
    "ObjectsRoomVideo",
    "PartialGrid",
    "Pebbles",
    "Preloaded",
    "PreloadedFactors",
    "Product",
    "Selection",
    "SetMinus",
    "Shapes3D",
    "Shapes24",
    "Shifted",
    "SmallNORB",
    "SmallScenes",
    "SpriteFactors",
    "Sprites",
    "Squares24",
    "Stream",
    "StreamConfig",
    "Subsampled",
    "Tetrominoes",
    "TetrominoesRecords",
    "Union",
    "apart_sprites",
    "clevr6",
    "clevr7_10",
    "clevr10",
    "cogent_a",
    "cogent_b",
    "more_moving_sprites",
    "more_sprites",
    "neighbour_distance",
    "no_green_spheres",
    "objects_room_nine",
    "small_objects",
    "split",
    "tiny_shapes",
    "tiny_videos",
    "two_sprites",
    "unambiguous",
    "without_green_squares",
    "without_green_zs",
    "without_zs",
]
